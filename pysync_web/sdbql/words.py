"""Texts as searches see them: small letters, only letters and digits, single spaces; their words and trigrams."""

from __future__ import annotations

import re
from typing import Final

N_GRAM: Final = 3
_NEITHER = re.compile(r"[^\w\s]|_")


def normalized(text: str) -> str:
    """Give a text in small letters without punctuation, its words parted by single spaces."""
    return " ".join(_NEITHER.sub("", text.lower()).split())


def words_of(text: str) -> list[str]:
    """Give the words of a text, normalised."""
    return _NEITHER.sub("", text.lower()).split()


def trigrams(text: str) -> set[str]:
    """Give all runs of three characters of a normalised text, or the text itself if it is shorter."""
    plain = normalized(text)
    if len(plain) < N_GRAM:
        return {plain}
    return {plain[at : at + N_GRAM] for at in range(len(plain) - N_GRAM + 1)}


def alike(first: str, second: str) -> float:
    """Tell how alike two texts are, from 0 to 1: the trigrams that both have, of those that either has."""
    a, b = trigrams(first), trigrams(second)
    return len(a & b) / len(a | b)
