"""Words in capital letters without marks: what all the codes of sounds begin with."""

from __future__ import annotations

import unicodedata
from typing import Final

_SPECIAL: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "å": "a", "ł": "l", "đ": "d", "þ": "th"}
)
_LATIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def without_marks(text: str) -> str:
    """Give a text in capitals, its letters without accents and umlauts."""
    plain = unicodedata.normalize("NFD", text.lower().translate(_SPECIAL))
    return "".join(char for char in plain if not unicodedata.combining(char)).upper()


def latin(text: str) -> str:
    """Give the letters A to Z of a text, in capitals."""
    return "".join(char for char in without_marks(text) if char in _LATIN)
