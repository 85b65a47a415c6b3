"""COLLECT: rows with equal values become one, in the order of those values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pysync_web import QueryError
from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.functions import FUNCTIONS

from . import values as v
from .expressions import Env, value
from .world import World


def collected(world: World, clause: n.Collect, rows: Iterator[Env], sight: Env) -> Iterator[Env]:
    """Give a row for each group; without anything to group by there is always one."""
    groups: list[tuple[list[Any], list[Env]]] = [] if clause.groups else [([], [])]
    for row in rows:
        key = [value(world, one.value, sight | row) for one in clause.groups]
        for other, members in groups:
            if v.compare(key, other) == 0:
                members.append(row)
                break
        else:
            groups.append((key, [row]))
    for key, members in v.ordered(groups, (lambda group: group[0], False)):
        made = {one.name: found for one, found in zip(clause.groups, key, strict=True)}
        for one in clause.aggregates:
            made[one.name] = _aggregated(world, one, members, sight)
        if clause.into:
            made[clause.into] = [_member(world, clause, row, sight) for row in members]
        if clause.count_into:
            made[clause.count_into] = len(members)
        yield made


def _aggregated(world: World, one: n.Aggregate, members: list[Env], sight: Env) -> Any:
    if one.function in ("COUNT", "LENGTH"):
        return len(members)
    return aggregate(world, one.function, [value(world, one.arguments[0], sight | row) for row in members])


def aggregate(world: World, name: str, values: list[Any]) -> Any:
    """Make one value of many."""
    match name:
        case "COUNT" | "LENGTH":
            return len(values)
        case "COLLECT_LIST" | "COLLECT" | "PUSH" | "LIST":
            return values
        case "UNIQUE" | "COLLECT_UNIQUE" | "COLLECT_SET":
            return v.distinct(values)
        case "COUNT_DISTINCT" | "COUNT_UNIQUE":
            return len(v.distinct(values))
    if name not in FUNCTIONS:
        raise QueryError(f"no aggregate {name}")
    function = FUNCTIONS[name]
    return function.call(world, values) if function.needs_context else function.call(values)


def _member(world: World, clause: n.Collect, row: Env, sight: Env) -> Any:
    if clause.projection is not None:
        return value(world, clause.projection, sight | row)
    inner = sight | row
    return {name: inner[name] for name in clause.keep or row if not name.startswith("window ")}
