"""Window functions: for each row a value made of the rows of its partition, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.functions.registry import FunctionError

from . import values as v
from .expressions import Env, value
from .groups import aggregate
from .world import World


def found_in(node: Any) -> list[n.Call]:
    """Find the window functions of a clause, but not those of its subqueries."""
    if isinstance(node, n.Subquery):
        return []
    if isinstance(node, tuple):
        return [call for one in node for call in found_in(one)]
    if not is_dataclass(node):
        return []
    mine = [node] if isinstance(node, n.Call) and node.over is not None else []
    return mine + [call for part in fields(node) for call in found_in(getattr(node, part.name))]


def added(world: World, clause: n.Clause, rows: Iterator[Env], sight: Env) -> Iterator[Env]:
    """Add to all rows the values of a clause's window functions, where they are not there yet."""
    calls = found_in(clause)
    return _added(world, calls, rows, sight) if calls else rows


def _added(world: World, calls: list[n.Call], rows: Iterator[Env], sight: Env) -> Iterator[Env]:
    gathered = list(rows)
    for call in calls:
        if gathered and f"window {id(call)}" in gathered[0]:
            continue
        column = _column(world, call, gathered, sight)
        gathered = [row | {f"window {id(call)}": found} for row, found in zip(gathered, column, strict=True)]
    yield from gathered


def _column(world: World, call: n.Call, rows: list[Env], sight: Env) -> list[Any]:
    assert call.over is not None
    over = call.over
    given = [
        (
            place,
            [value(world, one, sight | row) for one in call.arguments],
            [value(world, one, sight | row) for one in over.partition],
            [value(world, key.value, sight | row) for key in over.order],
        )
        for place, row in enumerate(rows)
    ]
    keys = [(lambda one, at=at: one[3][at], key.is_descending) for at, key in enumerate(over.order)]
    results: dict[int, Any] = {}
    for partition in v.distinct(one[2] for one in given):
        part = v.ordered([one for one in given if v.compare(one[2], partition) == 0], *keys)
        for at, one in enumerate(part):
            results[one[0]] = _value(world, call, part, at)
    return [results[place] for place in range(len(rows))]


def _value(world: World, call: n.Call, part: list[Any], at: int) -> Any:
    """Give a function's value for a row of a partition that is in order."""
    assert call.over is not None
    arguments = part[at][1]
    before = [one for one in part if v.compare(one[3], part[at][3]) != 0]
    before = before[: next((place for place, one in enumerate(part) if v.compare(one[3], part[at][3]) == 0), 0)]
    match call.name:
        case "ROW_NUMBER":
            return at + 1
        case "RANK":
            return len(before) + 1
        case "DENSE_RANK":
            return len(v.distinct(one[3] for one in before)) + 1
        case "NTILE":
            return _tile(v.whole(part[0][1][0]) if arguments else 0, len(part), at)
    if not arguments and call.name != "COUNT":
        raise FunctionError("an argument is needed")
    values = [one[1][0] if one[1] else 0 for one in part]
    match call.name:
        case "FIRST_VALUE":
            return values[0]
        case "LAST_VALUE":
            return values[-1]
        case "LAG" | "LEAD":
            steps = v.whole(arguments[1]) if len(arguments) > 1 else 1
            other = at + (steps if call.name == "LEAD" else -steps)
            default = arguments[2] if len(arguments) > 2 else None
            return values[other] if 0 <= other < len(values) else default
    return aggregate(world, call.name, values[: at + 1] if call.over.order else values)


def _tile(tiles: int, size: int, at: int) -> int:
    """Deal rows out to tiles, the first of which get one more where it does not come out even."""
    if tiles < 1:
        raise FunctionError("NTILE needs a number above 0")
    sizes = [size // tiles + (tile < size % tiles) for tile in range(tiles)]
    return next(tile + 1 for tile in range(tiles) if at < sum(sizes[: tile + 1]))
