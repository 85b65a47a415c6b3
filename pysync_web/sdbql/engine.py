"""Queries from text to rows: compiled forms are kept, errors get their place, rows are the caller's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..errors import QueryError, SyncError
from .ambient import Random, clock, elapsed_us, now_ms
from .binds import check_binds, check_names
from .compile import Program, bind_kind, compile_query
from .compile.finish import finished
from .compile.run import Run
from .functions.registry import FunctionError
from .limits import BUDGET, Budget, QueryLimits
from .nodes import Query
from .parser import parse
from .source import DataSource, Document, Lists

Data: TypeAlias = "Mapping[str, list[Document]] | DataSource"

_MOST_KEPT: Final = 256
_LONGEST_KEPT: Final = 4 * 1024
_NO_BINDS: Final[Mapping[str, Any]] = {}
_DEFAULT: Final = QueryLimits()
_programs: OrderedDict[tuple[Any, ...], Program] = OrderedDict()


def execute(
    query: str,
    data: Data,
    bind_vars: Mapping[str, Any] | None = None,
    *,
    limits: QueryLimits = _DEFAULT,
    now: Callable[[], int] = now_ms,
    rng: Random | None = None,
) -> list[Any]:
    """Run a query and give its rows, which are the caller's own.

    ``data`` maps names of collections to lists of documents, which a query that writes changes in place, or is a
    source. ``now`` gives the time in milliseconds since 1970. Raises :class:`QueryError`; a query that fails has
    written nothing.
    """
    return prepare(query, bind_vars, limits=limits).execute(data, now=now, rng=rng)


def prepare(query: str, bind_vars: Mapping[str, Any] | None = None, *, limits: QueryLimits = _DEFAULT) -> Prepared:
    """Compile a query for its bind values, or find that it is; raise :class:`QueryError` where that can't be done."""
    binds = _NO_BINDS if bind_vars is None else bind_vars
    return Prepared(_program(query, binds, limits, is_explained=False), binds, limits)


def prepare_tree(tree: Query, bind_vars: Mapping[str, Any], *, limits: QueryLimits = _DEFAULT) -> Prepared:
    """Compile a query that was made or changed by a program; nothing of it is kept."""
    check_names(bind_vars)
    kinds = {name: bind_kind(value) for name, value in bind_vars.items()}
    program = _compiled(tree.text, lambda: compile_query(tree, kinds, is_metered=limits.is_metered))
    return Prepared(program, bind_vars, limits)


class Prepared:
    """A query with its bind values, ready to run.

    ``named`` are the collections that stand in it or in its binds; it may come upon others where ``reads_unknown``.
    """

    __slots__ = ("_binds", "_limits", "_program", "named", "reads_unknown")

    def __init__(self, program: Program, binds: Mapping[str, Any], limits: QueryLimits) -> None:
        self._program = program
        self._binds = binds
        self._limits = limits
        self.named = program.named
        for name in program.bind_collections:
            self.named |= {binds[name]} if type(binds[name]) is str else frozenset()
        self.reads_unknown = program.reads_unknown

    def execute(
        self, data: Data, *, now: Callable[[], int] = now_ms, rng: Random | None = None, copies: bool = True
    ) -> list[Any]:
        """Run the query as :func:`execute` does; without ``copies`` rows may be the data's own, not to be changed."""
        run = _new_run(self._program, data, self._binds, self._limits, now, rng)
        return _run(self._program, run, copies=copies)


def explain(
    query: str,
    data: Data,
    bind_vars: Mapping[str, Any] | None = None,
    *,
    limits: QueryLimits = _DEFAULT,
    now: Callable[[], int] = now_ms,
    rng: Random | None = None,
) -> dict[str, Any]:
    """Run a query without storing what it writes, and tell what was done: the plan's steps with rows and times.

    ``steps`` are in the order in which they work, each with what it does, its place in the query, the rows that it
    gave and the microseconds that it took. Raises :class:`QueryError` as :func:`execute` does.
    """
    begin = clock()
    binds = _NO_BINDS if bind_vars is None else bind_vars
    program = _program(query, binds, limits, is_explained=True)
    prepared = Prepared(program, binds, limits)
    compiled_us = elapsed_us(begin)
    run = _new_run(program, data, binds, limits, now, rng)
    rows = _run(program, run, stores=False)
    return {
        "steps": [_step(query, run, number, step) for number, step in enumerate(program.steps)],
        "collections": [] if prepared.reads_unknown else sorted(prepared.named),
        "documents_scanned": run.budget.rows_scanned,
        "documents_returned": len(rows),
        "warnings": _warnings(run, program),
        "timing": {"total_us": elapsed_us(begin), "compile_us": compiled_us},
    }


def collections_of(
    query: str, bind_vars: Mapping[str, Any] | None = None, *, limits: QueryLimits = _DEFAULT
) -> set[str] | None:
    """Name the collections that a query reads or writes, or give None where only running it could tell.

    Raises :class:`QueryError` if the query can't be parsed.
    """
    prepared = prepare(query, bind_vars, limits=limits)
    return None if prepared.reads_unknown else set(prepared.named)


def _program(query: str, binds: Mapping[str, Any], limits: QueryLimits, *, is_explained: bool) -> Program:
    check_names(binds)
    key = (query, limits.depth, limits.is_metered, is_explained, tuple(binds), tuple(map(type, binds.values())))
    try:
        program = _programs.pop(key)
    except KeyError:
        kinds = {name: bind_kind(value) for name, value in binds.items()}
        tree = parse(query, max_length=limits.query_chars, max_depth=limits.depth)
        program = _compiled(
            query, lambda: compile_query(tree, kinds, is_explained=is_explained, is_metered=limits.is_metered)
        )
    if len(query) <= _LONGEST_KEPT:
        _programs[key] = program
        if len(_programs) > _MOST_KEPT:
            _programs.popitem(last=False)
    return program


def _compiled(query: str, work: Callable[[], Program]) -> Program:
    try:
        return work()
    except QueryError:
        raise
    except Exception as error:  # whatever it is, the caller need not know more kinds of errors than one
        raise QueryError(f"The query can't be compiled: {error}", query=query, at=0) from error


def _new_run(
    program: Program,
    data: Data,
    binds: Mapping[str, Any],
    limits: QueryLimits,
    now: Callable[[], int],
    rng: Random | None,
) -> Run:
    source: DataSource = Lists(data) if isinstance(data, Mapping) else data
    values = [binds[name] for name in program.binds]
    check_binds(program.binds, values)
    return Run(source, values, Budget(limits), now, Random() if rng is None else rng)


def _run(program: Program, run: Run, *, stores: bool = True, copies: bool = True) -> list[Any]:
    """Run a program to its end; whatever goes wrong becomes a QueryError with a place."""
    token = BUDGET.set(run.budget)
    try:
        _check_collections(program, run)
        rows = program(run)
        if copies:
            rows = finished(run.budget, rows, are_fresh=program.makes_objects)
    except SyncError as error:
        if not isinstance(error, QueryError):
            raise
        if error.line is not None:
            raise
        raise _placed(program, error, error.message) from error
    except FunctionError as error:
        raise _placed(program, error, str(error), is_labelled=True) from error
    except RecursionError as error:
        raise _placed(program, error, "a value is nested too deep") from error
    except MemoryError as error:
        raise _placed(program, error, "there is not enough memory") from error
    except Exception as error:
        raise _placed(program, error, f"can't be worked out: {error}", is_labelled=True) from error
    finally:
        BUDGET.reset(token)
    if stores:
        run.data.store()
    return rows


def _placed(program: Program, error: BaseException, message: str, *, is_labelled: bool = False) -> QueryError:
    mark = program.loaded.mark(error.__traceback__)
    label = f"{mark.label}: " if is_labelled and mark and mark.label else ""
    whole = label + message if label else message[:1].upper() + message[1:]
    return QueryError(whole, query=program.query.text, at=None if mark is None else mark.at)


def _check_collections(program: Program, run: Run) -> None:
    if not program.bind_collections and run.known().issuperset(program.collections):
        return
    named = list(program.collections.items())
    named += [(run.binds[program.binds.index(name)], at) for name, at in program.bind_collections.items()]
    for name, at in named:
        try:
            run.check(name, program.names if name in program.loose_names else None)
        except QueryError as error:
            raise QueryError(error.message, query=program.query.text, at=at) from None


def _step(query: str, run: Run, number: int, step: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a step: what the plan says, and what came of it."""
    at = step["at"]
    begin = query.rfind("\n", 0, at) + 1
    shown = {name: value for name, value in step.items() if name != "at"}
    if number in run.used:
        shown["index"] = run.used[number]
    return {
        **shown,
        "line": query.count("\n", 0, begin) + 1,
        "column": at - begin + 1,
        "rows": run.counts.get(number, 0),
        "time_us": round(run.times.get(number, 0.0) * 1_000_000),
    }


def _warnings(run: Run, program: Program) -> list[str]:
    """Point at what is slow because nothing else was possible."""
    found = []
    for number, step in enumerate(program.steps):
        if step["step"] == "loop join":
            found.append(f"JOIN {step['collection']} compares every row with every document")
        if step["step"] == "scan" and step.get("conditions") and not run.used.get(number):
            found.append(f"no index serves {', '.join(step['conditions'])} of {step['collection']}")
    return found
