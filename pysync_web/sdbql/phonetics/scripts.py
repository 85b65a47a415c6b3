"""Greek and Japanese kana in Latin letters: Greek as it is spoken today, kana after Hepburn."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from .letters import latin, without_marks


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("-") for pair in text.split())


_GREEK: Final[dict[str, str]] = _pairs(
    "ΟΥ-U ΑΙ-E ΕΙ-I ΟΙ-I ΥΙ-I ΜΠ-B ΝΤ-D ΓΚ-G ΓΓ-G ΑΥ-AV ΕΥ-EV Α-A Β-V Γ-G Δ-D Ε-E Ζ-Z Η-I Θ-TH Ι-I Κ-K Λ-L "
    "Μ-M Ν-N Ξ-KS Ο-O Π-P Ρ-R Σ-S Τ-T Υ-I Φ-F Χ-H Ψ-PS Ω-O"
)
_GREEK_PARTS: Final = re.compile("|".join(sorted(_GREEK, key=len, reverse=True)))

_ROWS: Final = {
    "": "あいうえお",
    "K": "かきくけこ",
    "G": "がぎぐげご",
    "S": "さしすせそ",
    "Z": "ざじずぜぞ",
    "T": "たちつてと",
    "D": "だぢづでど",
    "N": "なにぬねの",
    "H": "はひふへほ",
    "B": "ばびぶべぼ",
    "P": "ぱぴぷぺぽ",
    "M": "まみむめも",
    "R": "らりるれろ",
}
_KANA: Final[dict[str, str]] = {
    **{kana: row + vowel for row, letters in _ROWS.items() for kana, vowel in zip(letters, "AIUEO", strict=True)},
    **_pairs(
        "し-SHI じ-JI ち-CHI ぢ-JI つ-TSU づ-ZU ふ-FU を-O ん-N や-YA ゆ-YU よ-YO わ-WA ゐ-I ゑ-E ゔ-VU "
        "ぁ-A ぃ-I ぅ-U ぇ-E ぉ-O"
    ),
}
_SMALL_Y: Final = {"ゃ": "A", "ゅ": "U", "ょ": "O"}
_KATAKANA: Final = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}


def greek_in_latin(text: str) -> str:
    """Write Greek in Latin letters, in capitals; Latin letters stay, all else is left out."""
    plain = without_marks(text).replace("ς", "Σ")
    return latin(_GREEK_PARTS.sub(lambda found: _GREEK[found.group()], plain))


def kana_in_latin(text: str) -> str:
    """Write hiragana and katakana in Latin letters, in capitals; Latin letters stay, all else is left out."""
    parts: list[str] = []
    for char in unicodedata.normalize("NFKC", text).translate(_KATAKANA):
        if char in _SMALL_Y and parts and parts[-1].endswith("I"):
            begin = parts[-1][:-1]
            parts[-1] = begin + ("" if begin in ("SH", "CH", "J") else "Y") + _SMALL_Y[char]
        elif char in _KANA or char in _SMALL_Y:
            parts.append(_KANA.get(char) or f"Y{_SMALL_Y[char]}")
        else:
            parts.append(latin(char))
    return "".join(parts)
