"""``LIKE``: ``%`` is any run of characters, ``_`` is one, all else is itself; the whole text has to match.

Each piece between two ``%`` is taken at its first place behind the one before, so nothing is ever tried twice but
the places of one piece.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ...errors import QueryError

MAX_STEPS: Final = 20_000_000


def like(text: str, pattern: str) -> bool:
    """Tell whether a whole text matches a pattern of LIKE."""
    pieces = _pieces(pattern)
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return len(text) == len(first) and _is_at(first, text, 0)
    end = len(text) - len(last)
    if end < len(first) or not _is_at(first, text, 0) or not _is_at(last, text, end):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        at = _find(piece, text, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


@lru_cache(maxsize=256)
def _pieces(pattern: str) -> tuple[str, ...]:
    first, *rest = pattern.split("%")
    if not rest:
        return (first,)
    return (first, *filter(None, rest[:-1]), rest[-1])


@lru_cache(maxsize=256)
def _expression(piece: str) -> re.Pattern[str]:
    return re.compile("".join("." if char == "_" else re.escape(char) for char in piece), re.DOTALL)


def _is_at(piece: str, text: str, at: int) -> bool:
    if "_" not in piece:
        return text.startswith(piece, at)
    return _expression(piece).match(text, at) is not None


def _find(piece: str, text: str, at: int, end: int) -> int:
    if "_" not in piece:
        return text.find(piece, at, end)
    if len(piece) * (end - at) > MAX_STEPS:
        raise QueryError("LIKE with so long a pattern takes too many steps on so long a text")
    found = _expression(piece).search(text, at, end)
    return -1 if found is None else found.start()
