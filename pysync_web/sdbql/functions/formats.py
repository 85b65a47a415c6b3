"""Texts made fit for a place: addresses, slugs, marked, masked and cleaned ones, and what looks like an e-mail.

Every pattern here runs in time proportional to the text, whatever the text is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

from . import sizes
from .arguments import a_text, an_array, an_integer
from .registry import FunctionError, function

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]++@(?:[A-Za-z0-9-]++\.)++[A-Za-z]{2,63}", re.ASCII)
_URL = re.compile(r"https?://[^\s/?#.]\S*", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_NOT_IN_EMAIL = re.compile(r"[^a-z0-9._%+@-]+")
_NOT_IN_URL = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_LAST_WORD = re.compile(r"\s\S*+\Z")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_DIGRAPHS = {
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "θ": "th",
    "φ": "ph",
    "χ": "kh",
    "ψ": "ps",
    "є": "ie",
    "ж": "zh",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ю": "iu",
    "я": "ia",
}
_LATIN = str.maketrans(
    {
        **dict(zip("øđðłıħαβγδεζηικλμνξοπρσςτυω", "oddlihabgdezeiklmnxoprsstuo", strict=True)),
        **dict(zip("абвгдезиклмнопрстуфыэіґ", "abvgdeziklmnoprstufyeig", strict=True)),
        **_DIGRAPHS,
    }
)
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_MOST_MARKING = 50_000_000  # the text's characters times those of all terms: less than a second


@function("SLUGIFY", least=1, most=1)
def slugify(text: Any) -> str:
    """Make a slug: small Latin letters and digits, with one hyphen for anything between.

    Cyrillic and Greek letters are written in Latin ones; other scripts drop out.
    """
    parted = unicodedata.normalize("NFKD", a_text(text).lower())
    plain = "".join([mark for mark in parted if not unicodedata.combining(mark)])
    return _NO_WORD.sub("-", plain.translate(_LATIN)).strip("-")


@function("SANITIZE", least=1, most=2)
def sanitize(value: Any, steps: Any = "trim") -> str:
    """Clean a text by a named step, or by the steps of an array in order.

    The steps are trim, lower, upper, alphanumeric, alpha, numeric, email, url, html (escape), strip_html and
    normalize_whitespace.
    """
    text = a_text(value)
    for step in steps if type(steps) is list else [steps]:
        clean = _STEPS.get(a_text(step, 2).lower())
        if clean is None:
            raise FunctionError(f"no step is called {step[:40]!r}; there are {', '.join(_STEPS)}")
        text = clean(text)
        sizes.check_text(len(text))
    return text


@function("ENCODE_URI", "URL_ENCODE", "ENCODE_URI_COMPONENT", least=1, most=1)
def encode_uri(value: Any) -> str:
    """Write a text as a part of an address: all but letters, digits and ``-_.~`` as the bytes of UTF-8, ``%20``."""
    text = a_text(value)
    marks = {mark: mark if mark in _UNRESERVED else _percent(mark) for mark in set(text)}
    return sizes.join([marks[mark] for mark in text])


@function("DECODE_URI", "URL_DECODE", "DECODE_URI_COMPONENT", least=1, most=1)
def decode_uri(text: Any) -> str:
    """Read a part of an address: ``+`` is a space, and a ``%`` before no two hexadecimal digits stands for itself."""
    return _ESCAPED.sub(_unescaped, a_text(text).replace("+", " "))


@function("IS_EMAIL", least=1, most=1)
def is_email(value: Any) -> bool:
    """Tell whether a value is a text that looks like an e-mail address."""
    return type(value) is str and _EMAIL.fullmatch(value) is not None


@function("IS_URL", least=1, most=1)
def is_url(value: Any) -> bool:
    """Tell whether a value is a text that looks like an http or https address."""
    return type(value) is str and _URL.fullmatch(value) is not None


@function("IS_UUID", least=1, most=1)
def is_uuid(value: Any) -> bool:
    """Tell whether a value is a text that looks like a UUID."""
    return type(value) is str and _UUID.fullmatch(value) is not None


@function("IS_BLANK", least=1, most=1)
def is_blank(value: Any) -> bool:
    """Tell whether a value is null or a text of nothing but white space."""
    return value is None or (type(value) is str and not value.strip())


@function("HIGHLIGHT", least=2, most=2)
def highlight(text: Any, terms: Any) -> str | None:
    """Put ``<b>`` and ``</b>`` around each occurrence of a term or of many, in any case, the longest first.

    What is no text gives null.
    """
    if type(text) is not str:
        return None
    wanted = [a_text(term, 2) for term in (an_array(terms, 2) if type(terms) is not str else [terms])]
    found = sorted({term for term in wanted if term}, key=lambda term: (-len(term), term))
    if not found:
        return text
    if sum(map(len, found)) * len(text) > _MOST_MARKING:
        raise FunctionError("too many or too long terms for a text of this length")
    sizes.check_text(len(text))
    pattern = re.compile("|".join(map(re.escape, found)), re.IGNORECASE)
    pieces = pattern.split(text)
    sizes.check_text(len(text) + 7 * (len(pieces) - 1))
    return pattern.sub(r"<b>\g<0></b>", text)


@function("TRUNCATE_TEXT", "ELLIPSIS", least=2, most=3)
def truncate_text(value: Any, length: Any, ending: Any = "...") -> str:
    """Keep so many characters and put an ending behind them; a word that would be cut is left out, but the first.

    A text that is not longer stays as it is.
    """
    text, most, end = a_text(value), max(0, an_integer(length, 2)), a_text(ending, 3)
    if len(text) <= most:
        return text
    kept = text[:most]
    if not text[most].isspace():
        kept = _LAST_WORD.sub("", kept) or kept
    return kept.rstrip() + end


@function("MASK", least=1, most=4)
def mask(value: Any, start: Any = 0, end: Any = None, character: Any = "*") -> str:
    """Put a character in place of those from a place up to another, not including it; below 0 counts from the end."""
    text, mark = a_text(value), a_text(character, 4)
    if len(mark) != 1:
        raise FunctionError("argument 4 must be one character")
    begin, stop, _ = slice(an_integer(start, 2), None if end is None else an_integer(end, 3)).indices(len(text))
    return text[:begin] + mark * (stop - begin) + text[max(begin, stop) :]


def _percent(mark: str) -> str:
    return "".join([f"%{byte:02X}" for byte in mark.encode("utf-8", "replace")])


def _unescaped(found: re.Match[str]) -> str:
    return bytes.fromhex(found.group().replace("%", "")).decode("utf-8", "replace")


def _strip_html(text: str) -> str:
    """Drop what is between < and >, in one walk: a < that nothing closes stays."""
    kept = []
    place = 0
    while (opened := text.find("<", place)) >= 0 and (closed := text.find(">", opened)) >= 0:
        kept.append(text[place:opened])
        place = closed + 1
    return "".join([*kept, text[place:]])


def _only(is_wanted: Callable[[str], bool]) -> Callable[[str], str]:
    return lambda text: "".join(filter(is_wanted, text))


_STEPS: Final[dict[str, Callable[[str], str]]] = {
    "trim": str.strip,
    "lower": str.lower,
    "upper": str.upper,
    "alphanumeric": _only(str.isalnum),
    "alpha": _only(str.isalpha),
    "numeric": _only(lambda mark: mark in "0123456789"),
    "email": lambda text: _NOT_IN_EMAIL.sub("", text.lower()),
    "url": lambda text: _NOT_IN_URL.sub("", text),
    "html": lambda text: text.translate(_HTML),
    "strip_html": _strip_html,
    "normalize_whitespace": lambda text: " ".join(text.split()),
}
