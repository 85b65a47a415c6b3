"""The language once more, without a thought for speed: each clause turns a stream of rows into another one.

A row is a dict of its variables; what is in sight besides them (variables around a subquery, and those that LET
made before there were rows) is the same for all rows. Rows come one at a time, so nothing happens beyond a LIMIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pysync_web import QueryError
from pysync_web.sdbql import nodes as n
from pysync_web.sdbql import parse
from pysync_web.sdbql.functions.registry import FunctionError

from . import changes, groups, windows
from . import values as v
from .expressions import Env, value
from .world import World

Rows = Iterator[Env]
PROBLEMS = (FunctionError, QueryError, ArithmeticError, ValueError, TypeError, LookupError, RecursionError)


def execute(query: str, data: dict[str, list[Any]], binds: dict[str, Any] | None = None) -> tuple[list[Any], Any]:
    """Run a query; give its rows and the data as they are then. Raises QueryError, and data are as they were."""
    tree = parse(query)
    world = World(data, binds or {})
    world.run = rows_of
    try:
        return rows_of(world, tree, {}), world.data
    except PROBLEMS as error:
        raise QueryError(f"{type(error).__name__}: {error}") from error


def rows_of(world: World, query: n.Query, outer: Env) -> list[Any]:
    """Run a query with some variables in sight."""
    sight = dict(outer)
    waiting = list(query.clauses)
    while waiting and isinstance(waiting[0], n.Let) and not windows.found_in(waiting[0]):
        for binding in waiting.pop(0).bindings:
            sight[binding.name] = value(world, binding.value, sight)
    rows: Rows = iter([{}])
    for place, clause in enumerate(waiting):
        behind = _return_behind(waiting[place:])
        if behind is not None or not isinstance(clause, n.Limit):
            rows = windows.added(world, behind or clause, rows, sight)
        rows = _step(world, clause, rows, sight, _names_of(waiting[:place]))
    results = [row["return"] for row in rows] if waiting and isinstance(waiting[-1], n.Return) else _run(rows)
    return v.distinct(results) if waiting and getattr(waiting[-1], "is_distinct", False) else results


def _run(rows: Rows) -> list[Any]:
    for _ in rows:
        pass
    return []


def _return_behind(clauses: list[n.Clause]) -> n.Clause | None:
    """Give the RETURN behind nothing but LIMITs: its window functions see the rows before these."""
    is_limited = isinstance(clauses[0], n.Limit)
    while isinstance(clauses[0], n.Limit):
        clauses = clauses[1:]
    return clauses[0] if is_limited and isinstance(clauses[0], n.Return) else None


def _names_of(clauses: list[Any]) -> list[str]:
    """Name the variables of rows that clauses have made."""
    names: list[str] = []
    for clause in clauses:
        match clause:
            case n.For(variable=name) | n.Join(variable=name):
                names.append(name)
            case n.Traverse(vertex=vertex, edge=edge) | n.ShortestPath(vertex=vertex, edge=edge):
                names += [vertex, *([edge] if edge else [])]
            case n.Let(bindings=bindings):
                names += [one.name for one in bindings]
            case n.Collect(groups=made, aggregates=more, into=into, count_into=count):
                names = [one.name for one in (*made, *more)] + [one for one in (into, count) if one]
            case n.Insert() | n.Update() | n.Remove() | n.Upsert():
                names += ["OLD", "NEW"]
    return names


def _step(world: World, clause: Any, rows: Rows, sight: Env, names: list[str]) -> Rows:
    match clause:
        case n.For():
            return _for(world, clause, rows, sight)
        case n.Traverse():
            return _traverse(world, clause, rows, sight)
        case n.ShortestPath():
            return _shortest_path(world, clause, rows, sight)
        case n.Join():
            return _join(world, clause, rows, sight, names)
        case n.Let():
            return _let(world, clause, rows, sight)
        case n.Filter(condition=condition):
            return (row for row in rows if value(world, condition, sight | row))
        case n.Sort():
            return _sort(world, clause, rows, sight)
        case n.Limit(offset=offset, count=count):
            begin = 0 if offset is None else v.amount(value(world, offset, sight))
            return islice(rows, begin, begin + v.amount(value(world, count, sight)))
        case n.Collect():
            return groups.collected(world, clause, rows, sight)
        case n.Insert() | n.Update() | n.Remove() | n.Upsert():
            return changes.changed(world, clause, rows, sight)
        case n.Return(value=wanted):
            return (row | {"return": value(world, wanted, sight | row)} for row in rows)
    raise QueryError(f"not offered: {clause}")


def _for(world: World, clause: n.For, rows: Rows, sight: Env) -> Rows:
    for row in rows:
        found = value(world, clause.source, sight | row)
        items = found if isinstance(found, list) else [] if found is None else [found]
        for item in items:
            yield row | {clause.variable: item}


def _let(world: World, clause: n.Let, rows: Rows, sight: Env) -> Rows:
    for row in rows:
        for binding in clause.bindings:
            row = row | {binding.name: value(world, binding.value, sight | row)}
        yield row


def _sort(world: World, clause: n.Sort, rows: Rows, sight: Env) -> Rows:
    keyed = [(row, [value(world, key.value, sight | row) for key in clause.keys]) for row in rows]
    keys = [(lambda pair, place=place: pair[1][place], key.is_descending) for place, key in enumerate(clause.keys)]
    yield from (row for row, _ in v.ordered(keyed, *keys))


def _join(world: World, clause: n.Join, rows: Rows, sight: Env, names: list[str]) -> Rows:
    documents = world.documents(_collection(world, clause.source))
    name, is_outer = clause.variable, clause.kind in ("right", "full")
    pairs = []
    for row in rows:
        inner = sight | row
        matches = [one for one in documents if value(world, clause.condition, inner | {name: one})]
        if clause.kind == "left" or (clause.kind == "inner" and matches):
            yield row | {name: matches}
        elif is_outer:
            pairs.append((row, matches))
    if clause.kind == "full":
        yield from (row | {name: matches} for row, matches in pairs)
    for document in documents if is_outer else ():
        mine = [row for row, matches in pairs if any(one is document for one in matches)]
        if clause.kind == "right":
            yield from (row | {name: document} for row in mine)
        if not mine:
            yield dict.fromkeys(names) | {name: document if clause.kind == "right" else [document]}


def _collection(world: World, node: n.Name | n.Bind) -> str:
    return str(world.binds[node.name] if isinstance(node, n.Bind) else node.name)


def _traverse(world: World, clause: n.Traverse, rows: Rows, sight: Env) -> Rows:
    edges = _collection(world, clause.edges)
    for row in rows:
        inner = sight | row
        least = 1 if clause.least is None else v.whole(value(world, clause.least, inner))
        most = least if clause.most is None else v.whole(value(world, clause.most, inner))
        start = world.vertex_id(value(world, clause.start, inner))
        level: list[tuple[str, Any]] = [] if start is None else [(start, None)]
        seen = {start}
        for depth in range(most + 1):
            for vertex, edge in level:
                if depth >= least and (document := world.vertex(vertex)) is not None:
                    yield row | {clause.vertex: document} | ({clause.edge: edge} if clause.edge else {})
            following: dict[str, Any] = {}
            for vertex, _ in level:
                for neighbour, edge in world.neighbours(vertex, clause.direction, edges):
                    if isinstance(neighbour, str) and neighbour not in seen:
                        following.setdefault(neighbour, edge)
            seen.update(following)
            level = list(following.items())


def _shortest_path(world: World, clause: n.ShortestPath, rows: Rows, sight: Env) -> Rows:
    edges = _collection(world, clause.edges)
    for row in rows:
        start, goal = (world.vertex_id(value(world, one, sight | row)) for one in (clause.start, clause.goal))
        if start is None or goal is None:
            continue
        ways: dict[str, list[tuple[str, Any]]] = {start: [(start, None)]}
        for vertex in ways_in_order(ways):
            for neighbour, edge in world.neighbours(vertex, clause.direction, edges):
                if isinstance(neighbour, str) and neighbour not in ways:
                    ways[neighbour] = [*ways[vertex], (neighbour, edge)]
        for vertex, edge in ways.get(goal, []):
            if (document := world.vertex(vertex)) is not None:
                yield row | {clause.vertex: document} | ({clause.edge: edge} if clause.edge else {})


def ways_in_order(ways: dict[str, Any]) -> Iterator[str]:
    """Give the vertices that are reached, also those that are added meanwhile."""
    done = 0
    while done < len(ways):
        yield list(ways)[done]
        done += 1
