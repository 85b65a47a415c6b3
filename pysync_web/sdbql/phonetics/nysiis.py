"""NYSIIS (R. L. Taft, "Name Search Techniques", New York State Identification and Intelligence System, 1970).

The code is not cut to six letters, as it was on the system's cards.
"""

from __future__ import annotations

import re
from typing import Final

from .letters import latin

_BEGINNINGS: Final = (("MAC", "MCC"), ("KN", "NN"), ("K", "C"), ("PH", "FF"), ("PF", "FF"), ("SCH", "SSS"))
_ENDINGS: Final = ((r"(EE|IE)$", "Y"), (r"(DT|RT|RD|NT|ND)$", "D"))
_VOWELS: Final = frozenset("AEIOU")
_LONGER: Final = (("EV", "AF"), ("KN", "NN"), ("SCH", "SSS"), ("PH", "FF"))
_SINGLE: Final = {**dict.fromkeys("AEIOU", "A"), "Q": "G", "Z": "S", "M": "N", "K": "C"}


def nysiis(text: str) -> str:
    """Code a word: "MacDonald" and "McDonald" are both MCDANALD."""
    word = latin(text)
    for begin, new in _BEGINNINGS:
        if word.startswith(begin):
            word = new + word[len(begin) :]
            break
    for ending, new in _ENDINGS:
        word = re.sub(ending, new, word)
    code = list(word[:1])
    letters = list(word)
    for at in range(1, len(letters)):
        _translate(letters, at)
        if letters[at] != code[-1]:
            code.append(letters[at])
    return _without_ending("".join(code))


def _translate(letters: list[str], at: int) -> None:
    """Replace a letter in its place, and those behind it that it takes along."""
    for found, new in _LONGER:
        if "".join(letters[at : at + len(found)]) == found:
            letters[at : at + len(found)] = new
            return
    before, letter = letters[at - 1], letters[at]
    behind = letters[at + 1] if at + 1 < len(letters) else ""
    if (letter == "H" and (before not in _VOWELS or behind not in _VOWELS)) or (
        letter == "W" and before in _VOWELS
    ):
        letters[at] = before
    else:
        letters[at] = _SINGLE.get(letter, letter)


def _without_ending(code: str) -> str:
    if len(code) > 1 and code.endswith("S"):
        code = code[:-1]
    if code.endswith("AY"):
        code = code[:-2] + "Y"
    return code[:-1] if len(code) > 1 and code.endswith("A") else code
