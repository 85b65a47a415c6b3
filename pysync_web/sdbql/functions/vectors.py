"""Vectors: arrays of numbers, such as embeddings. Of two that differ in length the longer one's rest is left out."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import Any

from .arguments import an_array, wrong
from .registry import Context, FunctionError, function


@function("VECTOR_SIMILARITY", least=2, most=2, needs_context=True)
def vector_similarity(ctx: Context, first: Any, second: Any) -> float:
    """Give the cosine of the angle between two vectors, 0 if one has no direction."""
    return cosine(*_pair(ctx, first, second))


@function("VECTOR_DISTANCE", least=2, most=3, needs_context=True)
def vector_distance(ctx: Context, first: Any, second: Any, metric: Any = "euclidean") -> float:
    """Measure from one vector to another: ``euclidean``, ``cosine`` (1 - cosine) or ``dot``, the product itself."""
    a, b = _pair(ctx, first, second)
    match metric.lower() if type(metric) is str else metric:
        case "euclidean" | "l2" | None:
            return _finite(sqrt(sum((x - y) * (x - y) for x, y in zip(a, b, strict=False))))
        case "cosine":
            return 1.0 - cosine(a, b)
        case "dot" | "dot_product":
            return _finite(_dot(a, b))
        case str():
            raise FunctionError(f"{metric[:40]!r} is no metric; the metrics are euclidean, cosine and dot")
        case _:
            raise wrong(3, "a string", metric)


@function("VECTOR_NORMALIZE", least=1, most=1, needs_context=True)
def vector_normalize(ctx: Context, vector: Any) -> list[float]:
    """Give a vector of length 1 in the same direction, ``[]`` if it has none."""
    numbers = a_vector(vector, 1)
    ctx.spend(len(numbers))
    length = _finite(sqrt(_dot(numbers, numbers)))
    return [number / length for number in numbers] if length else []


def a_vector(value: Any, place: int) -> list[float]:
    """Give an argument that must be an array of numbers."""
    try:
        vector = [float(item) for item in an_array(value, place) if type(item) is int or type(item) is float]
    except OverflowError:
        raise FunctionError(f"argument {place} holds too large a number") from None
    if len(vector) < len(value):
        raise FunctionError(f"argument {place} must be an array of numbers only")
    return vector


def cosine(a: list[float], b: list[float]) -> float:
    """Give the cosine of the angle between two vectors, 0 if one has no direction."""
    length = min(len(a), len(b))
    a, b = a[:length], b[:length]
    squares = _dot(a, a), _dot(b, b)
    both = squares[0] * squares[1]
    # One root of both is exact where vectors point the same way; two can't overflow or vanish as soon.
    scale = sqrt(both) if both and isfinite(both) else sqrt(squares[0]) * sqrt(squares[1])
    return max(-1.0, min(1.0, _finite(_dot(a, b)) / _finite(scale))) if scale else 0.0


def _pair(ctx: Context, first: Any, second: Any) -> tuple[list[float], list[float]]:
    a, b = a_vector(first, 1), a_vector(second, 2)
    ctx.spend(len(a) + len(b))
    return a, b


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=False))


def _finite(number: float) -> float:
    if not isfinite(number):
        raise FunctionError("the numbers are too large")
    return number
