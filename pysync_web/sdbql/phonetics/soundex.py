"""Soundex: a letter and three digits. English is that of Russell and Odell (1918) as the US National Archives use it.

German is the Kölner Phonetik. French has the digits of its usual variant, without silent ends as in F. Brouard's
Soundex 2. Spanish groups letters as Amón, Moreno and Echeverri (2012). Italian, Portuguese and Dutch have no
published variant: there the spelling is first brought to one letter a sound. Greek is first written in Latin letters
as it is spoken, Japanese kana in Hepburn's; both may come in Latin letters too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from ...deferred import dataclass
from .cologne import cologne
from .letters import latin
from .scripts import greek_in_latin, kana_in_latin


@dataclass(frozen=True, slots=True)
class Variant:
    """Spellings to replace, in this order, and then a digit for each letter that has one.

    Equal digits side by side count once; letters in ``silent`` may even stand between them.
    """

    groups: str
    spellings: tuple[tuple[str, str], ...] = ()
    silent: str = ""
    prepare: Callable[[str], str] = latin


_ROMANCE: Final = "1BP 2CKQ 3DT 4L 5MN 6R 7GJ 8SXZ 9FVW"

VARIANTS: Final[Mapping[str, Variant]] = {
    "en": Variant("1BFPV 2CGJKQSXZ 3DT 4L 5MN 6R", silent="HW"),
    "fr": Variant(
        _ROMANCE,
        (
            ("PH", "F"),
            ("^H", ""),
            ("(?<=[^CS])H", ""),
            ("GU(?=[EI])", "G"),
            ("G(?=[EIY])", "J"),
            ("CH|SH|SCH", "S"),
            ("C(?=[EIY])", "S"),
            ("QU|CK|CC", "K"),
            ("(E?AUX?|EAU)$", "O"),
            ("(?<=.{2})[ELT]?[TDSXZP]+$", ""),
            ("E$", ""),
        ),
    ),
    "es": Variant(
        "0P 1BV 2F 3DT 4SCXZ 5LY 6NM 7QK 8GJ 9R",
        (
            ("H", ""),
            ("LL", "Y"),
            ("QU(?=[EI])", "K"),
            ("C(?=[EI])", "S"),
            ("C", "K"),
            ("GU(?=[EI])", "K"),
            ("G(?=[EI])", "J"),
            ("[VW]", "B"),
            ("[ZX]", "S"),
            ("^Y", "I"),
        ),
    ),
    "it": Variant(
        _ROMANCE,
        (
            ("SC(?=[EI])", "S"),
            ("CH", "K"),
            ("GH", "G"),
            ("C(?=[EIY])", "Z"),
            ("C", "K"),
            ("QU?", "K"),
            ("GN", "N"),
            ("GL(?=I)", "L"),
            ("G(?=[EI])", "J"),
            ("H", ""),
            ("PH", "F"),
            ("^J", "I"),
            ("W", "V"),
            ("X", "S"),
            ("K", "C"),
        ),
    ),
    "pt": Variant(
        "1BP 2CKQSXZ 3DT 4L 5MN 6R 7GJ 9FV",
        (
            ("PH", "F"),
            ("[CS]H", "X"),
            ("[LN]H", "L"),
            ("TH", "T"),
            ("H", ""),
            ("QU?(?=[EI])", "K"),
            ("C(?=[EIY])", "S"),
            ("G(?=[EIY])", "J"),
            ("W", "V"),
            ("Z", "S"),
            ("[CQ]", "K"),
            ("^Y", "I"),
            ("(?<=..)S$", ""),
        ),
    ),
    "nl": Variant(
        "1BP 2CKQ 3DT 4L 5MN 6R 7G 8SZX 9FVW",
        (
            ("IJ", "Y"),
            ("EI", "Y"),
            ("EY", "Y"),
            ("SCH", "S"),
            ("CH", "G"),
            ("TH", "T"),
            ("PH", "F"),
            ("DT", "T"),
            ("C(?=[EIY])", "S"),
            ("QU", "KW"),
            ("C|CK", "K"),
            ("[WF]", "V"),
            ("Z", "S"),
            ("(?<=.)J", "Y"),
            ("D$", "T"),
        ),
        silent="H",
    ),
    "el": Variant(
        "1BFPV 2CGJKQSXZ 3DT 4L 5MN 6R",
        (("[CK]H", "H"), ("TH", "T"), ("PH", "F"), ("Y", "I")),
        silent="HW",
        prepare=greek_in_latin,
    ),
    "ja": Variant(
        "1BP 2KG 3DT 4RL 5MN 6SZJ 7HF",
        (("TS", "S"), ("[CS]H", "S"), ("DZ", "Z"), ("V", "B"), ("N(?=[BPM])", "M"), ("L", "R")),
        prepare=kana_in_latin,
    ),
}

LOCALES: Final = ("en", "de", *(name for name in VARIANTS if name != "en"))


def soundex(text: str, locale: str = "en") -> str:
    """Code a word in a language: "Robert" is R163. A text without letters has an empty code."""
    if locale == "de":
        return cologne(text)
    variant = VARIANTS[locale]
    word = variant.prepare(text)
    for found, new in _compiled(locale):
        word = found.sub(new, word)
    return _coded(word, _digits(locale), variant.silent)


@cache
def _compiled(locale: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(found), new) for found, new in VARIANTS[locale].spellings)


@cache
def _digits(locale: str) -> dict[str, str]:
    return {letter: group[0] for group in VARIANTS[locale].groups.split() for letter in group[1:]}


def _coded(word: str, digits: Mapping[str, str], silent: str) -> str:
    code, last = word[:1], digits.get(word[:1], "")
    for letter in word[1:]:
        digit = digits.get(letter, "")
        if digit and digit != last:
            code += digit
        if letter not in silent:
            last = digit
        if len(code) == 4:
            break
    return code.ljust(4, "0") if code else ""
