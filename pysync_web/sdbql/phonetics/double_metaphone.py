"""Double Metaphone (L. Philips, "The Double Metaphone Search Algorithm", C/C++ Users Journal 18 (6), 2000).

Two codes of up to four sounds: as English says a name, and as the language may that it comes from. One rule is
SoliDB's: SCH at the beginning before a consonant is S in both, where Philips has X and S.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from .letters import latin

LENGTH: Final = 4
MOST_LETTERS: Final = 200
_VOWELS: Final = "AEIOUY"

Sounds: TypeAlias = tuple[str, str, int]
"""What is added to the first code and to the second, and how many letters were read."""


class Word:
    """A word to look at around a place; beyond its ends there are blanks."""

    __slots__ = ("is_slavic_or_german", "last", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.last = len(text) - 1
        self.is_slavic_or_german = any(part in text for part in ("W", "K", "CZ", "WITZ"))

    def has(self, at: int, *parts: str) -> bool:
        """Tell whether one of some parts is at a place."""
        return at >= 0 and any(self.text.startswith(part, at) for part in parts)

    def vowel(self, at: int) -> bool:
        """Tell whether a vowel is at a place."""
        return 0 <= at <= self.last and self.text[at] in _VOWELS

    def next_is(self, at: int, letters: str) -> bool:
        """Tell whether the letter behind a place is one of some."""
        return at < self.last and self.text[at + 1] in letters


def double_metaphone(text: str) -> tuple[str, str]:
    """Code a word: "Smith" is SM0 and XMT."""
    word = Word(latin(text)[:MOST_LETTERS])
    first = second = ""
    at = 1 if word.has(0, "GN", "KN", "PN", "WR", "PS") else 0
    while at <= word.last and min(len(first), len(second)) < LENGTH:
        more, other, length = _SOUNDS[word.text[at]](word, at)
        first, second, at = first + more, second + other, at + length
    return first[:LENGTH], second[:LENGTH]


def _both(sound: str, length: int = 1) -> Sounds:
    return sound, sound, length


def _vowel(word: Word, at: int) -> Sounds:
    return _both("A" if at == 0 else "")


def _plain(sound: str, doubles: str) -> Callable[[Word, int], Sounds]:
    """Make the rule of a letter with one sound, which takes certain letters behind it along."""
    return lambda word, at: _both(sound, 2 if word.next_is(at, doubles) else 1)


def _c(word: Word, at: int) -> Sounds:
    if (
        at > 1
        and not word.vowel(at - 2)
        and word.has(at - 1, "ACH")
        and not word.has(at + 2, "I")
        and (not word.has(at + 2, "E") or word.has(at - 2, "BACHER", "MACHER"))
    ):
        return _both("K", 2)
    if at == 0 and word.has(0, "CAESAR"):
        return _both("S", 2)
    if word.has(at, "CHIA"):
        return _both("K", 2)
    if word.has(at, "CH"):
        return _ch(word, at)
    if word.has(at, "CZ") and not word.has(at - 2, "WICZ"):
        return "S", "X", 2
    if word.has(at + 1, "CIA"):
        return _both("X", 3)
    if word.has(at, "CC") and not (at == 1 and word.has(0, "M")):
        return _cc(word, at)
    if word.has(at, "CK", "CG", "CQ"):
        return _both("K", 2)
    if word.has(at, "CI", "CE", "CY"):
        return ("S", "X", 2) if word.has(at, "CIO", "CIE", "CIA") else _both("S", 2)
    return _both("K", 2 if word.next_is(at, "CKQ") and not word.has(at + 1, "CE", "CI") else 1)


def _ch(word: Word, at: int) -> Sounds:
    if at > 0 and word.has(at, "CHAE"):
        return "K", "X", 2
    is_greek = word.has(at + 1, "HARAC", "HARIS", "HOR", "HYM", "HIA", "HEM") and not word.has(0, "CHORE")
    if at == 0 and is_greek:
        return _both("K", 2)
    ends = at + 1 == word.last
    if (
        word.has(0, "SCH")
        or word.has(at - 2, "ORCHES", "ARCHIT", "ORCHID")
        or word.has(at + 2, "T", "S")
        or ((at == 0 or word.has(at - 1, "A", "O", "U", "E")) and (ends or word.next_is(at + 1, "LRNMBHFVW")))
    ):
        return _both("K", 2)
    if at == 0:
        return _both("X", 2)
    return _both("K", 2) if word.has(0, "MC") else ("X", "K", 2)


def _cc(word: Word, at: int) -> Sounds:
    if word.has(at + 2, "I", "E", "H") and not word.has(at + 2, "HU"):
        is_hard = (at == 1 and word.has(0, "A")) or word.has(at - 1, "UCCEE", "UCCES")
        return _both("KS" if is_hard else "X", 3)
    return _both("K", 2)


def _d(word: Word, at: int) -> Sounds:
    if word.has(at, "DG"):
        return _both("J", 3) if word.has(at + 2, "I", "E", "Y") else _both("TK", 2)
    return _both("T", 2 if word.next_is(at, "TD") else 1)


def _g(word: Word, at: int) -> Sounds:
    if word.next_is(at, "H"):
        return _gh(word, at)
    if word.next_is(at, "N"):
        if at == 1 and word.vowel(0) and not word.is_slavic_or_german:
            return "KN", "N", 2
        is_silent = not word.has(at + 2, "EY") and not word.is_slavic_or_german
        return ("N", "KN", 2) if is_silent else _both("KN", 2)
    if word.has(at + 1, "LI") and not word.is_slavic_or_german:
        return "KL", "L", 2
    if at == 0 and word.has(1, "Y", "ES", "EP", "EB", "EL", "EY", "IB", "IL", "IN", "IE", "EI", "ER"):
        return "K", "J", 2
    if (
        word.has(at + 1, "ER", "Y")
        and not word.has(0, "DANGER", "RANGER", "MANGER")
        and not word.has(at - 1, "E", "I", "RGY", "OGY")
    ):
        return "K", "J", 2
    if word.next_is(at, "EIY") or word.has(at - 1, "AGGI", "OGGI"):
        if word.has(0, "SCH") or word.has(at + 1, "ET"):
            return _both("K", 2)
        return _both("J", 2) if word.text[at + 1 :] == "IER" else ("J", "K", 2)
    return _both("K", 2 if word.next_is(at, "G") else 1)


def _gh(word: Word, at: int) -> Sounds:
    if at > 0 and not word.vowel(at - 1):
        return _both("K", 2)
    if at == 0:
        return _both("J" if word.has(2, "I") else "K", 2)
    is_silent = word.has(at - 2, "B", "H", "D") or word.has(at - 3, "B", "H", "D") or word.has(at - 4, "B", "H")
    if is_silent:
        return _both("", 2)
    if at > 2 and word.has(at - 1, "U") and word.has(at - 3, "C", "G", "L", "R", "T"):
        return _both("F", 2)
    return _both("" if word.has(at - 1, "I") else "K", 2)


def _h(word: Word, at: int) -> Sounds:
    return _both("H", 2) if (at == 0 or word.vowel(at - 1)) and word.vowel(at + 1) else _both("")


def _j(word: Word, at: int) -> Sounds:
    length = 2 if word.next_is(at, "J") else 1
    if word.has(at, "JOSE"):
        return _both("H") if at == 0 and word.last == 3 else ("J", "H", 1)
    if at == 0:
        return "J", "A", length
    if word.vowel(at - 1) and not word.is_slavic_or_german and word.next_is(at, "AO"):
        return "J", "H", length
    if at == word.last:
        return "J", "", length
    is_sounded = not word.next_is(at, "LTKSNMBZ") and not word.has(at - 1, "S", "K", "L")
    return _both("J" if is_sounded else "", length)


def _l(word: Word, at: int) -> Sounds:
    if not word.next_is(at, "L"):
        return _both("L")
    is_spanish = (at == word.last - 2 and word.has(at - 1, "ILLO", "ILLA", "ALLE")) or (
        (word.has(word.last - 1, "AS", "OS") or word.has(word.last, "A", "O")) and word.has(at - 1, "ALLE")
    )
    return ("L", "", 2) if is_spanish else _both("L", 2)


def _m(word: Word, at: int) -> Sounds:
    takes_b = word.has(at - 1, "UMB") and (at + 1 == word.last or word.has(at + 2, "ER"))
    return _both("M", 2 if takes_b or word.next_is(at, "M") else 1)


def _p(word: Word, at: int) -> Sounds:
    return _both("F", 2) if word.next_is(at, "H") else _both("P", 2 if word.next_is(at, "PB") else 1)


def _r(word: Word, at: int) -> Sounds:
    length = 2 if word.next_is(at, "R") else 1
    is_french = at == word.last and not word.is_slavic_or_german
    if is_french and word.has(at - 2, "IE") and not word.has(at - 4, "ME", "MA"):
        return "", "R", length
    return _both("R", length)


def _s(word: Word, at: int) -> Sounds:
    if word.has(at - 1, "ISL", "YSL"):
        return _both("")
    if at == 0 and word.has(0, "SUGAR"):
        return "X", "S", 1
    if word.has(at, "SH"):
        return _both("S" if word.has(at + 1, "HEIM", "HOEK", "HOLM", "HOLZ") else "X", 2)
    if word.has(at, "SIO", "SIA"):
        return _both("S", 3) if word.is_slavic_or_german else ("S", "X", 3)
    if (at == 0 and word.next_is(0, "MNLW")) or word.next_is(at, "Z"):
        return "S", "X", 2 if word.next_is(at, "Z") else 1
    if word.has(at, "SC"):
        return _sc(word, at)
    length = 2 if word.next_is(at, "SZ") else 1
    return ("", "S", length) if at == word.last and word.has(at - 2, "AI", "OI") else _both("S", length)


def _sc(word: Word, at: int) -> Sounds:
    if word.has(at + 2, "H"):
        if word.has(at + 3, "ER", "EN"):
            return "X", "SK", 3
        if word.has(at + 3, "OO", "UY", "ED", "EM"):
            return _both("SK", 3)
        return _both("S" if at == 0 and not word.vowel(3) and not word.has(3, "W") else "X", 3)
    return _both("S" if word.has(at + 2, "I", "E", "Y") else "SK", 3)


def _t(word: Word, at: int) -> Sounds:
    if word.has(at, "TION", "TIA", "TCH"):
        return _both("X", 3)
    if word.has(at, "TH", "TTH"):
        return _both("T", 2) if word.has(at + 2, "OM", "AM") or word.has(0, "SCH") else ("0", "T", 2)
    return _both("T", 2 if word.next_is(at, "TD") else 1)


def _w(word: Word, at: int) -> Sounds:
    if word.has(at, "WR"):
        return _both("R", 2)
    if at == 0 and word.vowel(1):
        return "A", "F", 1
    if at == 0 and word.has(0, "WH"):
        return _both("A")
    is_polish = word.has(at - 1, "EWSKI", "EWSKY", "OWSKI", "OWSKY") or word.has(0, "SCH")
    if (at == word.last and word.vowel(at - 1)) or is_polish:
        return "", "F", 1
    return ("TS", "FX", 4) if word.has(at, "WICZ", "WITZ") else _both("")


def _x(word: Word, at: int) -> Sounds:
    if at == 0:
        return _both("S")
    is_silent = at == word.last and (word.has(at - 3, "IAU", "EAU") or word.has(at - 2, "AU", "OU"))
    return _both("" if is_silent else "KS", 2 if word.next_is(at, "CX") else 1)


def _z(word: Word, at: int) -> Sounds:
    if word.next_is(at, "H"):
        return _both("J", 2)
    length = 2 if word.next_is(at, "Z") else 1
    if word.has(at + 1, "ZO", "ZI", "ZA") or (word.is_slavic_or_german and at > 0 and not word.has(at - 1, "T")):
        return "S", "TS", length
    return _both("S", length)


_SOUNDS: Final[dict[str, Callable[[Word, int], Sounds]]] = {
    **dict.fromkeys(_VOWELS, _vowel),
    "B": _plain("P", "B"),
    "C": _c,
    "D": _d,
    "F": _plain("F", "F"),
    "G": _g,
    "H": _h,
    "J": _j,
    "K": _plain("K", "K"),
    "L": _l,
    "M": _m,
    "N": _plain("N", "N"),
    "P": _p,
    "Q": _plain("K", "Q"),
    "R": _r,
    "S": _s,
    "T": _t,
    "V": _plain("F", "V"),
    "W": _w,
    "X": _x,
    "Z": _z,
}
