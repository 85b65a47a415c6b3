"""How far apart two texts are: edits, and trigrams in common."""

from __future__ import annotations

from typing import Any, Final

from ..patterns import levenshtein, levenshtein_within
from ..words import alike
from .arguments import a_text, an_integer
from .registry import Context, FunctionError, function

MOST_CELLS: Final = 100_000_000
"""Most characters of one text times characters of the other: ten thousand each."""


@function("LEVENSHTEIN", least=2, most=2, needs_context=True)
def edit_distance(ctx: Context, first: Any, second: Any) -> int | None:
    """Count the characters to insert, delete or replace that make one text of the other; null has no distance."""
    if first is None or second is None:
        return None
    return levenshtein(*_bounded(ctx, a_text(first), a_text(second, 2)))


@function("FUZZY_MATCH", least=2, most=3, needs_context=True)
def is_near(ctx: Context, text: Any, pattern: Any, most: Any = 2) -> bool:
    """Tell whether a text is at most so many edits from another; null is near to nothing."""
    distance = an_integer(most, 3)
    if distance < 0:
        raise FunctionError("argument 3 must not be negative")
    if text is None or pattern is None:
        return False
    a, b = a_text(text), a_text(pattern, 2)
    if abs(len(a) - len(b)) > distance:
        return False
    return levenshtein_within(*_bounded(ctx, a, b), distance)


@function("SIMILARITY", least=2, most=2, needs_context=True)
def similarity(ctx: Context, first: Any, second: Any) -> float | None:
    """Tell how alike two texts are by their trigrams, from 0 to 1; null is like nothing."""
    if first is None or second is None:
        return None
    a, b = a_text(first), a_text(second, 2)
    ctx.spend(len(a) + len(b))
    return alike(a, b)


def _bounded(ctx: Context, a: str, b: str) -> tuple[str, str]:
    cells = len(a) * len(b)
    if cells > MOST_CELLS:
        raise FunctionError(f"texts of {len(a):,} and {len(b):,} characters are too long to compare")
    ctx.spend(len(a) + len(b) + cells // 64)
    return a, b
