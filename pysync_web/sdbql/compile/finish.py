"""The rows of a query on their way out: counted against the limits, and copied, so that they are the caller's own.

Most rows are scalars or objects of scalars; these are looked at many at a time, and only others are walked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, Final

from ...errors import QueryError
from ..limits import Budget, weigh

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
_OBJECTS: Final = {dict}
_CHUNK: Final = 64
_VALUE_BYTES: Final = 16
_DEEP: Final = 6


class _Meter:
    """Bytes that are still allowed: a value counts 16, a text its characters as well."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int) -> None:
        self.left = self.limit = limit

    def take(self, values: Collection[Any]) -> None:
        self.spend(_VALUE_BYTES * (1 + len(values)) + sum([len(one) for one in values if type(one) is str]))

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise QueryError(f"The result is larger than {self.limit:,} bytes (limit: bytes_returned)")


def finished(budget: Budget, rows: Sequence[Any], *, are_fresh: bool = False) -> list[Any]:
    """Copy the rows of a result; raise QueryError if they are too many or too large.

    ``are_fresh`` says that rows are objects which the query made: only what they hold may belong to others.
    """
    limits = budget.limits
    if len(rows) > limits.rows_returned:
        raise QueryError(f"The query gives more than {limits.rows_returned:,} rows (limit: rows_returned)")
    meter = _Meter(limits.bytes_returned)
    result: list[Any] = []
    for begin in range(0, len(rows), _CHUNK):
        budget.check_time()
        chunk = rows[begin : begin + _CHUNK]
        kinds = set(map(type, chunk))
        if _SCALARS.issuperset(kinds):
            meter.take(chunk)
            result += chunk
        elif kinds == _OBJECTS and (values := _scalars_in(chunk)) is not None:
            meter.take(values)
            result += chunk if are_fresh else map(dict.copy, chunk)
        else:
            result += [_copied(row, meter) for row in chunk]
    return result


def _scalars_in(rows: Sequence[dict[str, Any]]) -> list[Any] | None:
    """Give what all objects hold, or None where they hold more than scalars, as the first one mostly tells."""
    if not _SCALARS.issuperset(map(type, rows[0].values())):
        return None
    values = list(chain.from_iterable(map(dict.values, rows)))
    return values if _SCALARS.issuperset(map(type, values)) else None


def copied(budget: Budget, value: Any) -> Any:
    """Copy a value that is to be stored."""
    return _copied(value, _Meter(budget.limits.bytes_returned))


def _copied(value: Any, meter: _Meter, depth: int = 0) -> Any:
    kind = type(value)
    if depth == _DEEP:
        weigh(value)  # it may hold one part a billion times
    if kind is dict or kind is list:
        copy = value.copy()
        size = _VALUE_BYTES * (1 + len(value))
        for place, one in value.items() if kind is dict else enumerate(value):
            part = type(one)
            if part is str:
                size += len(one)
            elif part not in _SCALARS:
                copy[place] = _copied(one, meter, depth + 1)
        meter.spend(size)
        return copy
    if kind in _SCALARS:
        meter.take((value,))
        return value
    raise QueryError(f"A row holds {'a lambda' if callable(value) else kind.__name__}, which is not a JSON value")
