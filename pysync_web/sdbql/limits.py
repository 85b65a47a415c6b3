"""What a query may cost: limits that are settings, and the account that a running query keeps of them.

The defaults are what a page survives; a server that trusts whoever asks may give more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import chain, islice
from typing import Any, Final, TypeVar

from ..deferred import dataclass
from ..errors import QueryError
from .ambient import clock

T = TypeVar("T")

CHUNK: Final = 256  # rows between two looks at the clock
_LIGHT: Final = 64
_MOST_PARTS: Final = 1_000_000
_DEEPEST: Final = 256
_DEEPEST_MADE: Final = 128
_CONTAINERS: Final[frozenset[type]] = frozenset((list, dict))


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How large a query, its work and its answer may be; past one of them it is a QueryError that says which."""

    query_chars: int = 64 * 1024
    """The length of the query's text."""
    depth: int = 64
    """How deep brackets, subqueries and other expressions may be nested."""
    rows_scanned: int = 2_000_000
    """Documents and elements that all FORs and joins together may touch."""
    rows_returned: int = 200_000
    bytes_returned: int = 64 * 1024 * 1024
    steps: int = 20_000_000
    """Elements and characters that operators and functions may make, all together."""
    time_s: float = 10.0
    is_metered: bool = False
    """Whether functions and patterns count what they are given as well, for queries of people who are not trusted."""


class Budget:
    """What a running query has used of its limits."""

    __slots__ = ("_deadline", "_rows", "_steps", "_unchecked", "limits")

    def __init__(self, limits: QueryLimits) -> None:
        self.limits = limits
        self._rows = 0
        self._steps = 0
        self._unchecked = 0
        self._deadline = clock() + limits.time_s

    @property
    def rows_scanned(self) -> int:
        """How many rows were touched so far."""
        return self._rows

    def spend(self, steps: int) -> None:
        """Count work that is about to be done; raise QueryError where it would be too much."""
        self._steps += steps
        if self._steps > self.limits.steps:
            raise QueryError(
                f"the query makes more than {self.limits.steps:,} elements and characters (limit: steps)"
            )
        self._unchecked += steps + 16
        if self._unchecked > 4096:
            self.check_time()

    def touch(self, rows: int) -> None:
        """Count rows that are about to be read."""
        self._rows += rows
        if self._rows > self.limits.rows_scanned:
            raise QueryError(f"The query reads more than {self.limits.rows_scanned:,} rows (limit: rows_scanned)")
        self._unchecked += rows * 8 + 16
        if self._unchecked > 4096:
            self.check_time()

    def check_time(self) -> None:
        """Raise QueryError if the query has run for too long."""
        self._unchecked = 0
        if clock() > self._deadline:
            raise QueryError(f"The query runs for longer than {self.limits.time_s:g} s (limit: time_s)")

    def rows(self, items: Iterable[T]) -> Iterable[T]:
        """Give the same items, counted by the chunk: much cheaper than one by one."""
        if isinstance(items, (list, tuple)) and len(items) <= CHUNK:
            self.touch(len(items))
            return items
        return chain.from_iterable(self._chunks(items))

    def _chunks(self, items: Iterable[T]) -> Iterator[Sequence[T]]:
        if isinstance(items, list):
            for begin in range(0, len(items), CHUNK):
                chunk = items[begin : begin + CHUNK]
                self.touch(len(chunk))
                yield chunk
            return
        remaining = iter(items)
        while piece := list(islice(remaining, CHUNK)):
            self.touch(len(piece))
            yield piece


BUDGET: Final[ContextVar[Budget]] = ContextVar("BUDGET")
"""The account of the query that runs, for what compares and sorts values without knowing the run."""


def shallow(value: T) -> T:
    """Give a value back; raise QueryError where it is nested too deep to be built upon.

    What it holds many times over is looked at once a level.
    """
    if type(value) not in _CONTAINERS:
        return value
    level: list[Any] = [value]
    budget = BUDGET.get(None)
    for _ in range(_DEEPEST_MADE + 1):
        if not level:
            return value
        if budget is not None:
            budget.spend(sum(map(len, level)))
        parts = chain.from_iterable(node.values() if type(node) is dict else node for node in level)
        level = list({id(part): part for part in parts if type(part) in _CONTAINERS}.values())
    raise QueryError(f"A value is nested deeper than {_DEEPEST_MADE} levels")


def weigh(*values: object) -> None:
    """Count the parts of values that are about to be followed into their depth.

    A value may hold another many times over without taking room for it, so thirty steps can make a billion parts.
    """
    level: list[object] = [value for value in values if type(value) in _CONTAINERS]
    count = 0
    for _ in range(_DEEPEST):
        if not level:
            budget = BUDGET.get(None) if count > _LIGHT else None
            if budget is not None:
                budget.spend(count)
            return
        deeper: list[object] = []
        for node in level:
            children = list(node.values() if type(node) is dict else node)  # type: ignore[call-overload]
            count += len(children)
            if not _CONTAINERS.isdisjoint(map(type, children)):
                deeper += [child for child in children if type(child) in _CONTAINERS]
            if count > _MOST_PARTS:
                raise QueryError(f"A value has more than {_MOST_PARTS:,} parts")
        level = deeper
    raise QueryError(f"A value is nested deeper than {_DEEPEST} levels")
