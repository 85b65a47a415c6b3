"""What a query takes from the world unless its caller gives it: the time, and chance.

Nothing else in the engine reads a clock or makes a generator of random numbers.
"""

from __future__ import annotations

from random import Random
from time import perf_counter, time

__all__ = ["Random", "clock", "elapsed_us", "now_ms"]


def now_ms() -> int:
    """Give the time in milliseconds since 1970."""
    return int(time() * 1000)


def clock() -> float:
    """Give seconds of which only differences mean something."""
    return perf_counter()


def elapsed_us(since: float) -> int:
    """Tell how many microseconds have passed since :func:`clock` gave a time."""
    return round((perf_counter() - since) * 1_000_000)
