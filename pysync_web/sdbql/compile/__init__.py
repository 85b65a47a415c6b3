"""From a tree to a Python function: each query is compiled once, for the types of its bind values, and run often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from ...deferred import dataclass
from .. import nodes as n
from ..limits import shallow
from ..source import Comparison, Condition, Request
from . import changes, clauses, equality, expressions, graph, sources, windows, writes
from .equality import NUMBERS, sort_key
from .metering import METERED
from .module import Code, Loaded, Module
from .nesting import MOST_WRAPS, looked_at, wraps
from .pipeline import Pipeline
from .plan import plan
from .scope import Compiler, Scope, walk

VOLATILE: Final = frozenset(
    (
        *("RANDOM", "RAND", "RANDOM_INT", "RAND_INT", "SAMPLE", "SLEEP"),
        *("UUID", "UUID_V4", "UUIDV4", "UUID_V7", "UUIDV7", "ULID", "NANOID", "ARGON2_HASH"),
    )
)
"""Functions that give another answer each time, so that a subquery with one runs for each row."""


def limited(rows: Iterable[Any], offset: int, count: int) -> Iterator[Any]:
    """Give some of the rows and read no more than those."""
    most = 2**62
    return islice(rows, min(offset, most), min(offset + count, most))


def tried(path: tuple[str, ...], operator: Comparison, value: Callable[[], Any]) -> tuple[Condition, ...]:
    """Give the condition whose value has to be worked out, or none where that fails: each document will tell."""
    try:
        return (Condition(path, operator, value()),)
    except Exception:
        return ()


def sorted_groups(groups: Iterable[list[Any]], width: int) -> list[list[Any]]:
    """Put groups in the order of the values that they are grouped by."""
    return sorted(groups, key=lambda group: [sort_key(value) for value in group[:width]])


_HELPERS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        **expressions.HELPERS,
        "_ONCE": (None,),
        "_shallow": shallow,
        "_ordered": equality.ordered,
        "_hash": equality.hashable,
        "_distinct": equality.distinct,
        "_groups": sorted_groups,
        "_limited": limited,
        "_window": windows.window,
        "_aggregate": windows.aggregate,
        "_Condition": Condition,
        "_Request": Request,
        "_tried": tried,
        "_traverse": graph.traverse,
        "_shortest_path": graph.shortest_path,
        "_vertex_id": graph.vertex_id,
        "_insert": writes.insert,
        "_update": writes.update,
        "_remove": writes.remove,
        "_target": writes.target,
        "_example": writes.example,
    }
)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled query.

    ``binds`` names the values that it takes, in their order. ``named`` are ``collections`` and those that functions
    read by a name in the query. ``makes_objects`` says that each row is an object of its own, which the query has
    made. ``loose_names`` are collections that might have been meant as variables.
    """

    query: n.Query
    loaded: Loaded
    main: str
    binds: tuple[str, ...]
    collections: Mapping[str, int]
    bind_collections: Mapping[str, int]
    named: frozenset[str]
    reads_unknown: bool
    names: frozenset[str]
    loose_names: frozenset[str]
    steps: tuple[dict[str, Any], ...]
    makes_objects: bool

    def __call__(self, run: Any) -> list[Any]:
        """Run it."""
        rows: list[Any] = self.loaded.names[self.main](run, *run.binds)
        return rows


def compile_query(
    query: n.Query, bind_kinds: Mapping[str, str], *, is_explained: bool = False, is_metered: bool = False
) -> Program:
    """Compile a query for bind values of some types; ``is_metered`` says that calls count what they are given."""
    module = Module({**_HELPERS, **METERED} if is_metered else _HELPERS)
    c = Compiler(query.text, module, bind_kinds, _subquery, is_explained, wraps(query) > MOST_WRAPS, is_metered)
    if query.creates is not None:
        what = {"stream": "streams", "view": "materialized views", "refresh": "materialized views"}[
            query.creates[0]
        ]
        raise c.error(f"{what} are not offered here", query.at)
    main, free, _ = _function(c, query, {}, is_inner=False)
    names = {code.text: name for name, code in c.binds.items()}
    return Program(
        query,
        module.load(),
        main,
        tuple(names[one] for one in free),
        c.collections,
        c.bind_collections,
        frozenset(c.functions_read.union(c.collections)),
        c.reads_unknown,
        frozenset(c.names),
        frozenset(c.loose_names),
        tuple(c.steps),
        c.makes_objects,
    )


def bind_kind(value: Any) -> str:
    """Name what a compiled query depends on in a bind value: its type."""
    return "num" if type(value) in NUMBERS else expressions.kind_of(value)


def _subquery(c: Compiler, query: n.Query, scope: Scope) -> Code:
    """Compile a subquery: a function of the variables around it that it uses, called once if these never change."""
    name, free, is_pure = _function(c, query, scope, is_inner=True)
    constant = {code.text for code in c.binds.values()} | c.lasting
    call = f"run.once({', '.join((name, *free))})"
    if not is_pure or not constant.issuperset(free):
        call = f"{name}({', '.join(('run', *free))})"
    code = Code(call, 1, "list", frozenset(free), is_pure=False)
    return looked_at(c.module, code, query.at) if c.is_nesting else code


def _function(c: Compiler, query: n.Query, outer: Scope, *, is_inner: bool) -> tuple[str, list[str], bool]:
    """Write the function of a query; give its name, its parameters, and whether it gives the same each time."""
    p = Pipeline(c, plan(query.clauses, set(outer)), dict(outer), is_inner)
    p.at = query.at
    is_skipped = False
    for place, planned in enumerate(p.planned):
        p.place = place
        p.at = planned.clause.at
        p.has_begun = p.has_begun or not isinstance(planned.clause, n.Let) or _has_window(planned.clause)
        following = p.planned[place + 1].clause if place + 1 < len(p.planned) else None
        if is_skipped:
            is_skipped = False
        else:
            is_skipped = _clause(p, planned.clause, following, planned.is_moved)
    p.close()
    last = query.clauses[-1] if query.clauses else None
    is_distinct = isinstance(last, n.Return) and last.is_distinct
    result = "_distinct(out)" if is_distinct else "out"
    lines = [" out = []; append = out.append", *p.before, *p.head, f" return {result}"]
    name = c.module.name("q")
    free = sorted(p.used - p.made - p.fixed)
    c.module.function(name, free, lines)
    return name, free, _gives_the_same(query)


def _clause(p: Pipeline, clause: n.Clause, following: n.Clause | None, is_moved: bool) -> bool:
    """Compile a clause; tell whether the one behind it is done with as well."""
    match clause:
        case n.For():
            sources.compile_for(p, clause)
        case n.Traverse():
            sources.compile_traverse(p, clause)
        case n.ShortestPath():
            sources.compile_shortest_path(p, clause)
        case n.Join():
            sources.compile_join(p, clause)
        case n.Let():
            clauses.compile_let(p, clause)
        case n.Filter():
            clauses.compile_filter(p, clause, is_moved)
        case n.Sort():
            limit = following if isinstance(following, n.Limit) and not _window_behind(p) else None
            clauses.compile_sort(p, clause, limit)
            return limit is not None
        case n.Limit():
            if (behind := _window_behind(p)) is not None:
                clauses.add_windows(p, behind)
            clauses.compile_limit(p, clause)
        case n.Collect():
            clauses.compile_collect(p, clause)
        case n.Insert() | n.Update() | n.Remove() | n.Upsert():
            changes.compile_change(p, clause)
        case n.Return():
            clauses.compile_return(p, clause)
        case _:
            raise p.c.error("windows of streams are not offered here", clause.at)
    return False


def _window_behind(p: Pipeline) -> n.Return | None:
    """Give the RETURN behind nothing but LIMITs if it has window functions: they work before the LIMITs do."""
    for one in p.planned[p.place + 1 :]:
        if isinstance(one.clause, n.Return):
            return one.clause if _has_window(one.clause) else None
        if not isinstance(one.clause, n.Limit):
            break
    return None


def _has_window(clause: n.Clause) -> bool:
    return bool(clauses.windows_in(clause))


def _gives_the_same(query: n.Query) -> bool:
    for node in walk(query):
        if isinstance(node, n.Call) and node.name in VOLATILE:
            return False
        if isinstance(node, n.Insert | n.Update | n.Remove | n.Upsert):
            return False
    return True


__all__ = ["Program", "bind_kind", "compile_query"]
