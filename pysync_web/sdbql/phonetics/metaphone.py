"""Metaphone (L. Philips, "Hanging on the Metaphone", Computer Language 7 (12), 1990): consonants as in English.

0 is th, X is sh. The code is as long as the word needs.
"""

from __future__ import annotations

import re
from typing import Final

from .letters import latin

_VOWELS: Final = "AEIOU"
_SAME: Final = {**{letter: letter for letter in "FJLMNR"}, "Q": "K", "V": "F", "X": "KS", "Z": "S"}
_DOUBLED: Final = re.compile(r"([^C])\1+")


def metaphone(text: str) -> str:
    """Code a word: "Wright" and "Right" are both RT."""
    word = _DOUBLED.sub(r"\1", latin(text))
    if word[:2] in ("AE", "GN", "KN", "PN", "WR"):
        word = word[1:]
    elif word.startswith("X"):
        word = "S" + word[1:]
    elif word.startswith("WH"):
        word = "W" + word[2:]
    return "".join(_sound(word, at) for at in range(len(word)))


def _sound(word: str, at: int) -> str:
    letter, behind = word[at], word[at + 1 : at + 2]
    before = word[at - 1] if at else ""
    match letter:
        case "A" | "E" | "I" | "O" | "U":
            return "" if at else letter
        case "B":
            return "" if before == "M" and not behind else "B"
        case "C":
            return _sound_of_c(word, at, before)
        case "D":
            return "J" if word[at + 1 : at + 3] in ("GE", "GY", "GI") else "T"
        case "G":
            return _sound_of_g(word, at, before)
        case "H":
            return "" if before in tuple("CSPTG") or (before in tuple(_VOWELS) and not _is_vowel(behind)) else "H"
        case "K":
            return "" if before == "C" else "K"
        case "P":
            return "F" if behind == "H" else "P"
        case "S":
            return "X" if behind == "H" or word[at + 1 : at + 3] in ("IO", "IA") else "S"
        case "T":
            return _sound_of_t(word, at, behind)
        case "W" | "Y":
            return letter if _is_vowel(behind) else ""
        case _:
            return _SAME[letter]


def _is_vowel(letter: str) -> bool:
    return letter != "" and letter in _VOWELS


def _sound_of_c(word: str, at: int, before: str) -> str:
    behind = word[at + 1 : at + 2]
    if behind and behind in "IEY":
        if before == "S":
            return ""
        return "X" if word.startswith("IA", at + 1) else "S"
    if behind == "H":
        return "K" if before == "S" else "X"
    return "" if before == "C" else "K"


def _sound_of_g(word: str, at: int, before: str) -> str:
    behind = word[at + 1 : at + 2]
    if behind == "H" and at + 2 < len(word) and not _is_vowel(word[at + 2]):
        return ""
    if behind == "N" and word[at + 2 :] in ("", "ED"):
        return ""
    if before == "D" and behind and behind in "EYI":
        return ""
    return "J" if behind and behind in "IEY" and before != "G" else "K"


def _sound_of_t(word: str, at: int, behind: str) -> str:
    if word[at + 1 : at + 3] in ("IA", "IO"):
        return "X"
    if behind == "H":
        return "0"
    return "" if word.startswith("CH", at + 1) else "T"
