"""Window functions: a column of values, one for each row, from the rows of its partition in its order.

With ORDER BY an aggregate runs from the partition's first row to the row at hand; without, it is over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from ..functions import FUNCTIONS
from ..functions.registry import FunctionError
from .calls import counted
from .equality import distinct, equal, hashable, ordered
from .operators import add, whole
from .run import Run

Column = list[Any]
RANKS: Final = frozenset(("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE"))
OTHERS: Final = frozenset(("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"))


def is_window(name: str) -> bool:
    """Tell whether a function may have OVER: those made for it and all aggregates."""
    return name in RANKS or name in OTHERS or name in FUNCTIONS


def window(
    run: Run,
    name: str,
    size: int,
    arguments: Sequence[Column],
    partition: Sequence[Column],
    order: Sequence[tuple[Column, bool]],
) -> Column:
    """Give the column of a window function over so many rows."""
    result: Column = [None] * size
    places = ordered(order) if order else range(size)
    parts: dict[Hashable, list[int]] = {}
    for place in places:
        key = tuple(hashable(column[place]) for column in partition)
        parts.setdefault(key, []).append(place)
    for part in parts.values():
        run.spend(len(part))
        columns = [[column[place] for place in part] for column in arguments]
        peers = [tuple(hashable(column[place]) for column, _ in order) for place in part]
        for place, value in zip(part, _values(run, name, len(part), columns, peers, bool(order)), strict=True):
            result[place] = value
    return result


def _values(
    run: Run, name: str, size: int, columns: list[Column], peers: Sequence[Any], is_running: bool
) -> Sequence[Any]:
    """Give the values for one partition, whose rows are in order."""
    match name:
        case "ROW_NUMBER":
            return range(1, size + 1)
        case "RANK" | "DENSE_RANK":
            return _ranks(peers, name == "DENSE_RANK")
        case "NTILE":
            return _tiles(size, whole(columns[0][0], "the number of tiles") if columns else 0)
    if not columns and name != "COUNT":
        raise FunctionError(f"{name} OVER needs an argument")
    values = columns[0] if columns else [0] * size
    match name:
        case "FIRST_VALUE":
            return [values[0]] * size
        case "LAST_VALUE":
            return [values[-1]] * size
        case "LAG" | "LEAD":
            return _shifted(values, columns[1:], 1 if name == "LEAD" else -1)
    if not is_running:
        return [_aggregate(run, name)(values)] * size
    return _running(run, name, values)


def _ranks(peers: Sequence[Any], is_dense: bool) -> list[int]:
    ranks: list[int] = []
    for place, peer in enumerate(peers):
        if place and peer == peers[place - 1]:
            ranks.append(ranks[-1])
        else:
            ranks.append((ranks[-1] + 1 if ranks else 1) if is_dense else place + 1)
    return ranks


def _tiles(size: int, tiles: int) -> list[int]:
    if tiles < 1:
        raise FunctionError("NTILE needs a number above 0")
    small, larger = divmod(size, tiles)
    limit = larger * (small + 1)
    return [
        place // (small + 1) + 1 if place < limit else larger + (place - limit) // max(small, 1) + 1
        for place in range(size)
    ]


def _shifted(values: Column, more: list[Column], sign: int) -> Column:
    shifted = []
    for place in range(len(values)):
        offset = whole(more[0][place], "the offset") if more else 1
        other = place + sign * offset
        default = more[1][place] if len(more) > 1 else None
        shifted.append(values[other] if 0 <= other < len(values) else default)
    return shifted


def _running(run: Run, name: str, values: Column) -> Column:
    """Give an aggregate of all rows so far, for each row."""
    if name in ("COUNT", "LENGTH"):
        return list(range(1, len(values) + 1))
    if name in ("SUM", "AVG", "AVERAGE"):
        return _running_sum(run, values, name == "SUM")
    if name in ("MIN", "MAX"):
        best: Column = []
        for value in values:
            best.append(_aggregate(run, name)([best[-1], value] if best else [value]))
        return best
    run.spend(len(values) * len(values))
    return [_aggregate(run, name)(values[: place + 1]) for place in range(len(values))]


def _running_sum(run: Run, values: Column, is_sum: bool) -> Column:
    total, count = 0, 0
    result: Column = []
    for value in values:
        if type(value) in (int, float):
            total, count = add(run, total, value), count + 1
        if is_sum:
            result.append(total)
        else:
            result.append(None if not count else (total // count if _is_exact(total, count) else total / count))
    return result


def _is_exact(total: Any, count: int) -> bool:
    return type(total) is int and total % count == 0


def _aggregate(run: Run, name: str) -> Callable[[Column], Any]:
    return aggregate(run, name)


def aggregate(run: Run, name: str, *more: Any) -> Callable[[Column], Any]:
    """Give what makes one value of many: the function of that name over an array."""
    match name:
        case "COUNT" | "LENGTH":
            return len
        case "COLLECT_LIST" | "COLLECT" | "PUSH" | "LIST":
            return list
        case "UNIQUE" | "COLLECT_UNIQUE" | "COLLECT_SET":
            return distinct
        case "COUNT_DISTINCT" | "COUNT_UNIQUE":
            return lambda values: len(distinct(values))
    found = FUNCTIONS[name]
    count = 1 + len(more)
    if count < found.least or (found.most is not None and count > found.most):
        raise FunctionError(f"takes {counted(found.least, found.most)}, and no rows")
    if found.needs_context:
        return lambda values: found.call(run, values, *more)
    return lambda values: found.call(values, *more)


AGGREGATES: Final = frozenset(
    ("COUNT", "LENGTH", "COLLECT_LIST", "COLLECT", "PUSH", "LIST", "UNIQUE", "COLLECT_UNIQUE", "COLLECT_SET")
)

__all__ = ["AGGREGATES", "OTHERS", "RANKS", "aggregate", "equal", "is_window", "window"]
