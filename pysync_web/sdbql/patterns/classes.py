"""Named sets of characters: Perl's escapes, POSIX classes, general categories and some scripts of Unicode.

Python's ``re`` knows no ``\\p{…}``: such a set is written out as its ranges, found once by looking at all characters.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

ESCAPED_SETS: Final = {char: f"\\{char}" for char in "dDwWsS"}

POSIX: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}

# What a property's long name stands for: beginnings of general categories.
CATEGORIES: Final = {
    "letter": ("L",),
    "alphabetic": ("L", "Nl"),
    "alpha": ("L", "Nl"),
    "uppercase": ("Lu",),
    "uppercaseletter": ("Lu",),
    "upper": ("Lu",),
    "lowercase": ("Ll",),
    "lowercaseletter": ("Ll",),
    "lower": ("Ll",),
    "titlecaseletter": ("Lt",),
    "modifierletter": ("Lm",),
    "otherletter": ("Lo",),
    "mark": ("M",),
    "number": ("N",),
    "decimalnumber": ("Nd",),
    "digit": ("Nd",),
    "punctuation": ("P",),
    "punct": ("P",),
    "symbol": ("S",),
    "currencysymbol": ("Sc",),
    "mathsymbol": ("Sm",),
    "separator": ("Z",),
    "spaceseparator": ("Zs",),
    "other": ("C",),
    "control": ("Cc",),
    "cntrl": ("Cc",),
    "any": ("",),
}

SCRIPTS: Final = {
    "latin": "LATIN ",
    "greek": "GREEK ",
    "cyrillic": "CYRILLIC ",
    "arabic": "ARABIC ",
    "hebrew": "HEBREW ",
    "armenian": "ARMENIAN ",
    "georgian": "GEORGIAN ",
    "devanagari": "DEVANAGARI ",
    "thai": "THAI ",
    "hangul": "HANGUL ",
    "hiragana": "HIRAGANA ",
    "katakana": "KATAKANA ",
    "han": "CJK ",
}

# Beyond these, no character has a name or a category of its own.
ASSIGNED: Final = (range(0x32400), range(0xE0000, 0xE0200))


def posix_class(name: str) -> str | None:
    """Give the set ``[:name:]`` or ``[:^name:]``, or None."""
    inner = POSIX.get(name.removeprefix("^"))
    return None if inner is None else f"[^{inner}]" if name.startswith("^") else f"[{inner}]"


def property_class(name: str, *, is_negated: bool) -> str | None:
    """Give the set of a general category or a script, by its short or long name in any letter case, or None."""
    ranges = _ranges(name.rpartition("=")[2])
    if ranges is None:
        return None
    return f"[{'^' if is_negated else ''}{ranges}]" if ranges else "(?s:.)" if is_negated else "(?!)"


@cache
def _ranges(name: str) -> str | None:
    plain = name.lower().replace("_", "").replace(" ", "")
    if plain in ("any", "ascii", "whitespace"):
        return {"any": r"\U00000000-\U0010ffff", "ascii": r"\x00-\x7f", "whitespace": r"\s"}[plain]
    if plain in SCRIPTS:
        beginning = SCRIPTS[plain]
        return _written([code for code in _assigned() if unicodedata.name(chr(code), "").startswith(beginning)])
    beginnings = CATEGORIES.get(plain)
    if beginnings is None:
        known = set(_categories())
        beginnings = (name,) if name in known or name in {category[0] for category in known} else None
    if beginnings is None:
        return None
    return _written(
        sorted(
            code for category, codes in _categories().items() if category.startswith(beginnings) for code in codes
        )
    )


def _assigned() -> list[int]:
    return [code for part in ASSIGNED for code in part]


@cache
def _categories() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    category = unicodedata.category
    for code in _assigned():
        found.setdefault(category(chr(code)), []).append(code)
    return found


def _written(codes: list[int]) -> str:
    """Write sorted numbers of characters as ranges of a class."""
    parts: list[str] = []
    begin = last = -2
    for code in [*codes, -2]:
        if code == last + 1:
            last = code
            continue
        if begin >= 0:
            parts.append(f"\\U{begin:08x}" if begin == last else f"\\U{begin:08x}-\\U{last:08x}")
        begin = last = code
    return "".join(parts)
