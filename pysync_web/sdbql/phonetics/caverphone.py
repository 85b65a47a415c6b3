"""Caverphone 2.0 (D. Hood, Caversham Project, University of Otago, 2004): ten characters for names in New Zealand."""

from __future__ import annotations

import re
from typing import Final

from .letters import latin

# What is replaced, in this order: 2 is a letter without a sound, 3 is a vowel, a capital letter is done.
_STEPS: Final = [
    (re.compile(found), new)
    for found, new in (
        *((r"e$", ""), (r"^(cou|rou|tou|enou|trou)gh", r"\g<1>2f"), (r"^gn", "2n"), (r"mb$", "m2")),
        *((r"cq", "2q"), (r"c(?=[iey])", "s"), (r"tch", "2ch"), (r"[cqx]", "k"), (r"v", "f"), (r"dg", "2g")),
        *((r"tio", "sio"), (r"tia", "sia"), (r"d", "t"), (r"ph", "fh"), (r"b", "p"), (r"sh", "s2"), (r"z", "s")),
        *((r"^[aeiou]", "A"), (r"[aeiou]", "3"), (r"j", "y"), (r"^y3", "Y3"), (r"^y", "A"), (r"y", "3")),
        *((r"3gh3", "3kh3"), (r"gh", "22"), (r"g", "k")),
        *((f"{letter}+", letter.upper()) for letter in "stpkfmn"),
        *((r"w3", "W3"), (r"wh3", "Wh3"), (r"w$", "3"), (r"w", "2"), (r"^h", "A"), (r"h", "2")),
        *((r"r3", "R3"), (r"r$", "3"), (r"r", "2"), (r"l3", "L3"), (r"l$", "3"), (r"l", "2")),
        *((r"2", ""), (r"3$", "A"), (r"3", "")),
    )
]


def caverphone(text: str) -> str:
    """Code a word: "Lee" and "Leigh" are both LA11111111."""
    word = latin(text).lower()
    for found, new in _STEPS:
        word = found.sub(new, word)
    return word[:10].ljust(10, "1")
