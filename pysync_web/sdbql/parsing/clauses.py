"""Reads clauses: each by a function of its own, in any order and any number of times, RETURN last.

A word that begins a clause or belongs to one is mostly free as a name elsewhere; where it is not clear which is
meant, the functions here look at the tokens that follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, cast

from ..lexer import KEYWORDS, RESERVED
from ..nodes import (
    Aggregate,
    Binary,
    Bind,
    Binding,
    Clause,
    Collect,
    Direction,
    Expression,
    Filter,
    For,
    Insert,
    Join,
    Let,
    Limit,
    Name,
    Query,
    Remove,
    Return,
    ShortestPath,
    Sort,
    StreamWindow,
    Traverse,
    Update,
    Upsert,
)
from .cursor import Cursor
from .expressions import BEGINS_CLAUSE, begins_call, begins_expression, expression, sort_keys

MOST_CLAUSES: Final = 300
_DIRECTIONS: Final = ("OUTBOUND", "INBOUND", "ANY")
_WRITES: Final = (Insert, Update, Remove, Upsert)


def read_script(c: Cursor) -> Query:
    """Read the whole text: a query, with CREATE … AS before it, or REFRESH alone."""
    creates = _creates(c)
    if creates is not None and creates[0] == "refresh":
        query = Query((), creates, text=c.query)
    else:
        found = read_query(c)
        query = Query(found.clauses, creates, text=c.query, at=found.at)
    if c.kind != "end":
        c.refuse("the end of the query")
    return query


def read_query(c: Cursor) -> Query:
    """Read the clauses of a query, up to its RETURN or to what is no clause."""
    c.enter()
    at = c.token.at
    clauses: list[Clause] = []
    while (read := _CLAUSES.get(c.kind)) is not None:
        if len(clauses) == MOST_CLAUSES:
            raise c.error(f"More than {MOST_CLAUSES} clauses in one query", c.token.at)
        clauses.append(read(c))
        if isinstance(clauses[-1], Return):
            break
    else:
        if c.kind not in ("end", ")") or not any(isinstance(clause, _WRITES) for clause in clauses):
            c.refuse("another clause, RETURN at last" if clauses else "a clause such as FOR, LET or RETURN")
    c.depth -= 1
    return Query(tuple(clauses), text=c.query, at=at)


def _creates(c: Cursor) -> tuple[Literal["stream", "view", "refresh"], str] | None:
    if c.skip("REFRESH"):
        _expect_view(c)
        return "refresh", c.name("the name of a view")
    if not c.skip("CREATE"):
        return None
    if c.skip("STREAM"):
        kind: Literal["stream", "view"] = "stream"
    elif c.kind == "MATERIALIZED":
        kind = "view"
        _expect_view(c)
    else:
        c.refuse("STREAM or MATERIALIZED VIEW")
    name = c.name(f"the name of a {kind}")
    c.expect("AS")
    return kind, name


def _expect_view(c: Cursor) -> None:
    c.expect("MATERIALIZED")
    c.expect("VIEW")


# FOR


def _for(c: Cursor) -> Clause:
    at = c.take().at
    variable = c.name("the name of a variable")
    edge = c.name("the name of a variable") if c.skip(",") else None
    if edge is not None and c.kind == ",":
        raise c.error("A traversal gives a vertex and an edge; paths have no variable", c.token.at)
    c.expect("IN")
    if _is_shortest_path(c, 0):
        return _shortest_path(c, variable, edge, None, at)
    if _is_direction(c):
        return _traverse(c, variable, edge, None, at)
    source = expression(c)
    if c.kind in _DIRECTIONS:
        return _traverse(c, variable, edge, source, at)
    if edge is not None:
        c.refuse("OUTBOUND, INBOUND or ANY, because only a traversal has two variables")
    return For(variable, source, at=at)


def _is_shortest_path(c: Cursor, steps: int) -> bool:
    if c.kind_after(steps) != "SHORTEST_PATH" or not begins_expression(c, steps + 1):
        return False
    return c.kind_after(steps + 1) != "(" or c.after_brackets(steps + 1) == "TO"


def _is_direction(c: Cursor) -> bool:
    """Say whether the next word is a traversal's direction, and not a variable, a call or a quantifier."""
    if c.kind not in _DIRECTIONS:
        return False
    following = c.kind_after()
    if following == "[" or not begins_expression(c, 1):
        return False
    if c.kind == "ANY" and following == "(":
        behind = c.after_brackets(1)
        return _is_name(behind) or behind == "binds"
    return not (c.kind == "ANY" and c.kind_after(2) == "IN")


def _is_name(kind: str) -> bool:
    return kind == "name" or (kind in KEYWORDS and kind not in RESERVED and kind not in BEGINS_CLAUSE)


def _direction(c: Cursor) -> Direction:
    if c.kind not in _DIRECTIONS:
        c.refuse("OUTBOUND, INBOUND or ANY")
    return cast(Direction, c.take().kind.lower())


def _traverse(c: Cursor, vertex: str, edge: str | None, depth: Expression | None, at: int) -> Clause:
    direction = _direction(c)
    if depth is None and _is_shortest_path(c, 0):
        return _shortest_path(c, vertex, edge, direction, at)
    start = expression(c)
    edges = _edges(c)
    least = most = depth
    if isinstance(depth, Binary) and depth.operator == "..":
        least, most = depth.left, depth.right
    return Traverse(vertex, edge, least, most, direction, start, edges, at=at)


def _shortest_path(c: Cursor, vertex: str, edge: str | None, direction: Direction | None, at: int) -> Clause:
    """Read ``SHORTEST_PATH start TO goal``, with the direction before it or after it."""
    c.index += 1
    start = expression(c)
    c.expect("TO")
    goal = expression(c)
    direction = direction or _direction(c)
    return ShortestPath(vertex, edge, start, goal, direction, _edges(c), at=at)


def _edges(c: Cursor) -> Name | Bind:
    if c.kind == "GRAPH" and begins_expression(c, 1):
        raise c.error("Graphs have no names here: write the name of the collection of edges", c.token.at)
    edges = _collection(c, "the collection of edges")
    if c.kind == ",":
        raise c.error("A traversal follows the edges of one collection", c.token.at)
    return edges


# Clauses that change the rows


def _let(c: Cursor) -> Clause:
    at = c.take().at
    return Let(_bindings(c), at=at)


def _bindings(c: Cursor) -> tuple[Binding, ...]:
    return c.listed(_binding)


def _binding(c: Cursor) -> Binding:
    at = c.token.at
    name = c.name("the name of a variable")
    c.expect("=")
    return Binding(name, expression(c), at=at)


def _filter(c: Cursor) -> Clause:
    at = c.take().at
    return Filter(expression(c), at=at)


def _sort(c: Cursor) -> Clause:
    at = c.take().at
    return Sort(sort_keys(c), at=at)


def _limit(c: Cursor) -> Clause:
    at = c.take().at
    count = expression(c)
    if c.skip(","):
        return Limit(expression(c), count, at=at)
    return Limit(count, at=at)


def _return(c: Cursor) -> Clause:
    at = c.take().at
    is_distinct = c.kind == "DISTINCT" and (begins_expression(c, 1) or begins_call(c, 1))
    if is_distinct:
        c.index += 1
    return Return(expression(c), is_distinct, at=at)


def _join(c: Cursor) -> Clause:
    at = c.token.at
    kind = "inner"
    if c.kind != "JOIN":
        kind = c.take().kind.lower()
        if kind != "inner":
            c.skip("OUTER")
    c.expect("JOIN")
    source = _collection(c, "the name of a collection")
    if c.skip("AS") or (c.kind != "ON" and _is_name(c.kind)):
        variable = c.name("the name of a variable")
    elif isinstance(source, Name):
        variable = source.name
    else:
        c.refuse("AS and the name of a variable")
    c.expect("ON")
    return Join(cast(Literal["inner", "left", "right", "full"], kind), source, variable, expression(c), at=at)


def _window(c: Cursor) -> Clause:
    at = c.take().at
    if c.kind not in ("TUMBLING", "SLIDING"):
        c.refuse("TUMBLING or SLIDING")
    kind = cast(Literal["tumbling", "sliding"], c.take().kind.lower())
    opening = c.expect("(")
    c.expect("SIZE")
    if c.kind != "string":
        c.refuse('a length of time in quotes, such as "5m"')
    size = c.take().text
    c.close(")", opening)
    return StreamWindow(kind, size, at=at)


# COLLECT


def _collect(c: Cursor) -> Clause:
    at = c.take().at
    groups = _bindings(c) if c.kind_after() == "=" else ()
    aggregates: tuple[Aggregate, ...] = ()
    into = projection = count_into = None
    keep: tuple[str, ...] = ()
    seen: set[str] = set()
    while c.kind in ("INTO", "AGGREGATE", "WITH", "KEEP"):
        word = c.take()
        if word.kind in seen:
            raise c.error(f"A second {word.kind} in one COLLECT", word.at)
        if word.kind == "KEEP" and into is None:
            raise c.error("KEEP follows INTO, whose members it chooses", word.at)
        seen.add(word.kind)
        match word.kind:
            case "INTO":
                into, projection = _into(c)
            case "KEEP":
                keep = _names(c)
            case "AGGREGATE":
                aggregates = _aggregates(c)
            case _:
                c.expect("COUNT")
                c.expect("INTO")
                count_into = c.name("the name of a variable")
    return Collect(groups, aggregates, into, projection, keep, count_into, at=at)


def _into(c: Cursor) -> tuple[str, Expression | None]:
    name = c.name("the name of a variable")
    return name, expression(c) if c.skip("=") else None


def _names(c: Cursor) -> tuple[str, ...]:
    return c.listed(lambda c: c.name("the name of a variable"))


def _aggregates(c: Cursor) -> tuple[Aggregate, ...]:
    return c.listed(_aggregate)


def _aggregate(c: Cursor) -> Aggregate:
    at = c.token.at
    name = c.name("the name of a variable")
    c.expect("=")
    if not c.is_word():
        c.refuse("an aggregate function such as COUNT or SUM")
    function = c.take().text.upper()
    opening = c.expect("(")
    arguments: list[Expression] = []
    while c.kind != ")":
        arguments.append(expression(c))
        if not c.skip(","):
            break
    c.close(")", opening, ",")
    return Aggregate(name, function, tuple(arguments), at=at)


# Clauses that write


def _insert(c: Cursor) -> Clause:
    at = c.take().at
    document = _before_in(c)
    return Insert(document, _into_collection(c), at=at)


def _update(c: Cursor) -> Clause:
    word = c.take()
    target = _before_in(c)
    changes = _before_in(c) if c.skip("WITH") else None
    return Update(target, changes, _into_collection(c), word.kind == "REPLACE", at=word.at)


def _remove(c: Cursor) -> Clause:
    at = c.take().at
    target = _before_in(c)
    return Remove(target, _into_collection(c), at=at)


def _upsert(c: Cursor) -> Clause:
    at = c.take().at
    example = _before_in(c)
    c.expect("INSERT")
    document = _before_in(c)
    if c.kind not in ("UPDATE", "REPLACE"):
        c.refuse("UPDATE or REPLACE")
    is_replace = c.take().kind == "REPLACE"
    changes = _before_in(c)
    return Upsert(example, document, changes, _into_collection(c), is_replace, at=at)


def _before_in(c: Cursor) -> Expression:
    """Read an expression that ends before IN, which names the collection."""
    saved, c.no_in = c.no_in, True
    node = expression(c)
    c.no_in = saved
    return node


def _into_collection(c: Cursor) -> Name | Bind:
    if c.kind not in ("IN", "INTO"):
        c.refuse("IN or INTO and the name of a collection")
    c.index += 1
    return _collection(c, "the name of a collection")


def _collection(c: Cursor, what: str) -> Name | Bind:
    token = c.token
    if token.kind == "binds":
        c.index += 1
        return Bind(token.text, True, at=token.at)
    if token.kind == "bind":
        raise c.error(f"A bind variable that names a collection is written @@{token.text}", token.at)
    return Name(c.name(what), at=token.at)


_CLAUSES: Final[dict[str, Callable[[Cursor], Clause]]] = {
    "FOR": _for,
    "LET": _let,
    "FILTER": _filter,
    **dict.fromkeys(("SORT", "ORDER"), _sort),
    "LIMIT": _limit,
    "COLLECT": _collect,
    **dict.fromkeys(("JOIN", "INNER", "LEFT", "RIGHT", "FULL"), _join),
    "WINDOW": _window,
    "INSERT": _insert,
    **dict.fromkeys(("UPDATE", "REPLACE"), _update),
    "REMOVE": _remove,
    "UPSERT": _upsert,
    "RETURN": _return,
}
