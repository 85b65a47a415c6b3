"""Kölner Phonetik (H. J. Postel, IBM-Nachrichten 19, 1969): digits for German sounds, as many as the word needs."""

from __future__ import annotations

from typing import Final

from .letters import latin

_PLAIN: Final = {
    **dict.fromkeys("AEIJOUY", "0"),
    **dict.fromkeys("FVW", "3"),
    **dict.fromkeys("GKQ", "4"),
    **dict.fromkeys("MN", "6"),
    **dict.fromkeys("SZ", "8"),
    "B": "1",
    "L": "5",
    "R": "7",
    "H": "",
}


def cologne(text: str) -> str:
    """Code a word: "Müller" and "Miller" are both 657."""
    word = f" {latin(text)} "
    digits = "".join(_digit(*word[at - 1 : at + 2], is_first=at == 1) for at in range(1, len(word) - 1))
    single = "".join(digit for at, digit in enumerate(digits) if at == 0 or digit != digits[at - 1])
    return single[:1] + single[1:].replace("0", "")


def _digit(before: str, letter: str, behind: str, *, is_first: bool) -> str:
    match letter:
        case "P":
            return "3" if behind == "H" else "1"
        case "D" | "T":
            return "8" if behind in "CSZ" else "2"
        case "X":
            return "8" if before in "CKQ" else "48"
        case "C" if is_first:
            return "4" if behind in "AHKLOQRUX" else "8"
        case "C":
            return "4" if behind in "AHKOQUX" and before not in "SZ" else "8"
        case _:
            return _PLAIN[letter]
