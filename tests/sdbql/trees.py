"""Draws whole trees of queries, of all that the grammar can say; what they mean does not matter."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.lexer import KEYWORDS

WORDS = [
    *("u", "doc", "users", "naïve", "_x1", "two words", "1st", "a`b", "back\\slash", "ß", "-- x", "}"),
    *sorted(KEYWORDS),
    *sorted(word.lower() for word in KEYWORDS),
]
FUNCTIONS = [*("LENGTH", "MIN", "SUM", "MY FN", "POW"), *sorted(KEYWORDS)]
BINARY = [
    *("and", "or", "||", "??", "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "=~", "!~", "~=", "in", "not in"),
    *("like", "not like", "..", "<<", ">>", "+", "-", "*", "/", "%"),
]

names = st.sampled_from(WORDS)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "'", "\\", "${x}", "$$", "$", "`", "\n", "\\u0041", "--", "/*", "😀"]
)
numbers = st.integers(-(10**40), 10**40) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
binds = st.sampled_from(["a", "1", "for", "value_2"])
collections = st.builds(n.Name, names) | st.builds(n.Bind, binds, st.just(True))
leaves = st.one_of(
    st.builds(n.Constant, st.none() | st.booleans() | numbers | texts),
    st.builds(n.Name, names),
    st.builds(n.Bind, binds, st.booleans()),
)


def tuples(strategy: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw tuples."""
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


def merged(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Join neighbouring texts of a template, and leave out empty ones, as reading them does."""
    result: list[Any] = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        elif part != "":
            result.append(part)
    return tuple(result)


@st.composite
def expansions(draw: Any, inner: st.SearchStrategy[Any]) -> n.Expansion:
    """Draw an expansion; CURRENT occurs only in it."""
    over_current = inner | st.just(n.Current()) | st.builds(n.Access, st.just(n.Current()), names)
    count = draw(st.none() | over_current)
    rest: Any = None
    for name in draw(st.lists(names, max_size=2)):
        rest = n.Access(rest or n.Current(), name, draw(st.booleans()))
    return n.Expansion(
        draw(inner),
        draw(st.integers(1, 3)),
        draw(st.none() | over_current),
        draw(st.none() | over_current) if count else None,
        count,
        draw(st.none() | over_current),
        rest,
    )


def calls(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[n.Call]:
    """Draw calls, with lambdas and windows."""
    lambdas = st.builds(n.Lambda, tuples(names, 1), inner)
    overs = st.builds(n.Over, tuples(inner), tuples(sort_keys(inner), 0, 2))
    return st.builds(n.Call, st.sampled_from(FUNCTIONS), tuples(inner | lambdas), st.none() | overs)


def sort_keys(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[n.SortKey]:
    """Draw keys of an order."""
    return st.builds(n.SortKey, inner, st.booleans())


def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw expressions made of smaller ones."""
    spreads = st.builds(n.Spread, inner)
    properties = st.builds(n.Property, names | texts | inner, inner) | names.map(lambda x: n.Property(x, n.Name(x)))
    return st.one_of(
        st.builds(n.Template, tuples(texts | inner).map(merged)),
        st.builds(n.Access, inner, names, st.booleans()),
        st.builds(n.Index, inner, inner, st.booleans()),
        expansions(inner),
        st.builds(n.Unary, st.sampled_from(["not", "-", "+", "~"]), inner),
        st.builds(n.Binary, st.sampled_from(BINARY), inner, inner),
        st.builds(n.Conditional, inner, inner, inner),
        st.builds(n.Case, st.none() | inner, tuples(st.tuples(inner, inner), 1), st.none() | inner),
        calls(inner),
        st.builds(n.Pipe, inner, calls(inner)),
        st.builds(n.Quantifier, st.sampled_from(["any", "all", "none"]), names, inner, st.none() | inner),
        st.builds(n.Array, tuples(inner | spreads)),
        st.builds(n.Object, tuples(properties | spreads)),
        st.builds(n.Subquery, queries(inner)),
    )


@st.composite
def collects(draw: Any, inner: st.SearchStrategy[Any]) -> n.Collect:
    """Draw a COLLECT, whose KEEP has an INTO."""
    into = draw(st.none() | names)
    return n.Collect(
        draw(tuples(bindings(inner))),
        draw(tuples(st.builds(n.Aggregate, names, st.sampled_from(FUNCTIONS), tuples(inner)))),
        into,
        draw(st.none() | inner) if into else None,
        draw(tuples(names)) if into else (),
        draw(st.none() | names),
    )


@st.composite
def traversals(draw: Any, inner: st.SearchStrategy[Any]) -> n.Traverse:
    """Draw a traversal with both depths or none."""
    least, most = draw(st.none() | inner), draw(inner)
    if least is None:
        most = None
    direction = draw(st.sampled_from(["outbound", "inbound", "any"]))
    return n.Traverse(draw(names), draw(st.none() | names), least, most, direction, draw(inner), draw(collections))


def bindings(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[n.Binding]:
    """Draw ``name = value``."""
    return st.builds(n.Binding, names, inner)


def writes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw clauses that write."""
    return st.one_of(
        st.builds(n.Insert, inner, collections),
        st.builds(n.Update, inner, st.none() | inner, collections, st.booleans()),
        st.builds(n.Remove, inner, collections),
        st.builds(n.Upsert, inner, inner, inner, collections, st.booleans()),
    )


def clauses(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw all clauses but RETURN."""
    directions = st.sampled_from(["outbound", "inbound", "any"])
    named = st.builds(n.Join, st.sampled_from(["inner", "left", "right", "full"]), collections, names, inner)
    return st.one_of(
        st.builds(n.For, names, inner),
        traversals(inner),
        st.builds(n.ShortestPath, names, st.none() | names, inner, inner, directions, collections),
        st.builds(n.Let, tuples(bindings(inner), 1)),
        st.builds(n.Filter, inner),
        named,
        collects(inner),
        st.builds(n.Sort, tuples(sort_keys(inner), 1)),
        st.builds(n.Limit, inner, st.none() | inner),
        st.builds(n.StreamWindow, st.sampled_from(["tumbling", "sliding"]), texts),
        writes(inner),
    )


@st.composite
def queries(draw: Any, inner: st.SearchStrategy[Any], creates: st.SearchStrategy[Any] | None = None) -> n.Query:
    """Draw a query that gives or writes something."""
    found = list(draw(st.lists(clauses(inner), max_size=3)))
    if not any(isinstance(one, n.Insert | n.Update | n.Remove | n.Upsert) for one in found) or draw(st.booleans()):
        found.append(draw(st.builds(n.Return, inner, st.booleans())))
    return n.Query(tuple(found), None if creates is None else draw(creates))


expressions = st.recursive(leaves, wider, max_leaves=8)
whole_queries = queries(expressions, st.none() | st.tuples(st.sampled_from(["stream", "view"]), names)) | st.builds(
    n.Query, st.just(()), st.tuples(st.just("refresh"), names)
)


def shape(node: Any) -> Any:
    """Give a tree without its places, that tells 1 from 1.0 and from true."""
    if dataclasses.is_dataclass(node):
        members = [(one.name, shape(getattr(node, one.name))) for one in dataclasses.fields(node) if one.compare]
        return type(node).__name__, members
    if isinstance(node, tuple):
        return [shape(part) for part in node]
    return type(node).__name__, repr(node)
