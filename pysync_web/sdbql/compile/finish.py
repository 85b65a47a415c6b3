"""The rows of a query on their way out: counted against the limits, and copied, so that they are the caller's own.

A copy costs about what the count does, since both have to look at every value; hence they are one walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof
from typing import Any, Final

from ...errors import QueryError
from ..limits import Budget
from .equality import CONTAINERS

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
_LOOK: Final = 64


class _Meter:
    """Bytes that are still allowed."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int) -> None:
        self.left = self.limit = limit

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise QueryError(f"the result is larger than {self.limit:,} bytes (limit: bytes_returned)")


def finished(budget: Budget, rows: Sequence[Any]) -> list[Any]:
    """Copy the rows of a result; raise QueryError if they are too many or too large."""
    limits = budget.limits
    if len(rows) > limits.rows_returned:
        raise QueryError(f"the query gives more than {limits.rows_returned:,} rows (limit: rows_returned)")
    meter = _Meter(limits.bytes_returned)
    if _SCALARS.issuperset(map(type, rows)):
        meter.take(sum(map(getsizeof, rows)))
        return list(rows)
    result = []
    for begin in range(0, len(rows), _LOOK):
        budget.check_time()
        result += [_copied(row, meter) for row in rows[begin : begin + _LOOK]]
    return result


def copied(budget: Budget, value: Any) -> Any:
    """Copy a value that is to be stored."""
    return _copied(value, _Meter(budget.limits.bytes_returned))


def _copied(value: Any, meter: _Meter) -> Any:
    kind = type(value)
    if kind is dict:
        meter.take(64 + sum(map(getsizeof, value.values())))
        if CONTAINERS.isdisjoint(map(type, value.values())):
            return _plain(value.copy(), value.values())
        return {name: _copied(one, meter) if type(one) in CONTAINERS else one for name, one in value.items()}
    if kind is list:
        meter.take(64 + sum(map(getsizeof, value)))
        return [_copied(one, meter) for one in value]
    if kind not in _SCALARS:
        raise QueryError(f"a row holds {'a lambda' if callable(value) else kind.__name__}, which is not a JSON value")
    meter.take(getsizeof(value))
    return value


def _plain(copy: Any, values: Any) -> Any:
    """Return a copy whose values are scalars; what is none of JSON's is refused."""
    if not _SCALARS.issuperset(map(type, values)):
        raise QueryError("a row holds a value that is not JSON")
    return copy
