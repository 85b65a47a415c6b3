"""Clauses that make rows: FOR over values and collections, traversals, and joins.

A collection is read through a key or an index where a condition right behind allows it; the condition itself stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...deferred import dataclass
from .. import nodes as n
from .module import Code
from .pipeline import Pipeline, packed, target
from .plan import conjuncts, is_safe, lookup_of, path_of
from .scope import names_in

Path = tuple[str, ...]


def compile_for(p: Pipeline, clause: n.For) -> None:
    """``FOR variable IN source``."""
    p.shorten()
    source = clause.source
    is_name = isinstance(source, n.Name) and source.name not in p.scope
    if is_name or (isinstance(source, n.Bind) and source.is_collection):
        _for_collection(p, clause.variable, p.use(p.c.collection(source)), clause)  # type: ignore[arg-type]
        return
    step = p.c.step("loop", clause.at, variable=clause.variable)
    p.tick(step)
    if isinstance(source, n.Binary) and source.operator == "..":
        first, last = p.value(source.left), p.value(source.right)
        rows = f"{p.c.module.mark(source.at)}_span({first.text}, {last.text})"
        p.loop(p.variable(clause.variable, "num"), f"run.rows({rows})", step)
        return
    code = p.bound(source)
    rows = code.text if code.kind == "list" else f"_items({code.text})"
    p.loop(p.variable(clause.variable), f"run.rows({rows})", step)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A condition that a source may answer, and the code of its value; ``is_sure`` if that can't fail."""

    path: Path
    operator: str
    value: Code
    is_sure: bool

    def text(self, p: Pipeline) -> str:
        """Give the code of a condition, or of none where its value can't be had."""
        path, operator, value = p.c.module.constant(self.path), repr(self.operator), self.value.text
        return (
            f"_Condition({path}, {operator}, {value})"
            if self.is_sure
            else f"*_tried({path}, {operator}, lambda: {value})"
        )


def _for_collection(p: Pipeline, variable: str, name: Code, clause: n.For) -> None:
    is_inner = p.is_inner or p.level > 0
    lookups = _lookups(p, variable)
    step = p.c.step("scan", clause.at, collection=_shown(name), variable=variable)
    p.tick(step)
    rows = _rows(p, name, lookups, is_inner, step, variable)
    p.loop(p.variable(variable, "dict", name), rows, step)


def _shown(name: Code) -> str:
    return name.constant if name.is_constant else f"@@{name.text}"


def _lookups(p: Pipeline, variable: str) -> list[_Lookup]:
    """Give the conditions on a variable that stand right behind its FOR."""
    known = set(p.scope) - {variable}
    found = []
    for one in p.planned[p.place + 1 :]:
        if not isinstance(one.clause, n.Filter):
            break
        lookup = lookup_of(one.clause.condition, variable, known)
        if lookup is not None:
            path, operator, wanted = lookup
            value = p.value(wanted)
            found.append(_Lookup(path, operator, value, value.is_constant or is_safe(wanted, known)))
    return found


def _rows(p: Pipeline, name: Code, lookups: list[_Lookup], is_inner: bool, step: int, variable: str) -> str:
    """Give the code that reads a collection in the way that suits the conditions."""
    plan = p.c.steps[step]
    equal = [one for one in lookups if one.operator == "==" and one.is_sure]
    by_key = next((one for one in equal if one.path == ("_key",)), None)
    if by_key is not None:
        plan["step"] = "key lookup"
        return f"run.by_key({step}, {name.text}, {by_key.value.text}, {is_inner})"
    if equal and is_inner:
        plan.update(step="hash lookup", path=".".join(equal[0].path))
        path = p.c.module.constant(equal[0].path)
        return f"run.matching({step}, {name.text}, {path}, {equal[0].value.text})"
    lookups = [one for one in lookups if one.path[0] != "_id"]  # which documents need not hold
    order, limit = _wanted_order(p, variable, len(lookups))
    if lookups or order:
        plan["conditions"] = [f"{'.'.join(one.path)} {one.operator}" for one in lookups]
        conditions = "".join(f"{one.text(p)}, " for one in lookups)
        request = f"_Request({name.text}, ({conditions}), {p.c.module.constant(order)}, {limit})"
        return f"run.search({step}, {request}, {is_inner})"
    return f"run.again({name.text})" if is_inner else f"run.scan({name.text})"


def _wanted_order(p: Pipeline, variable: str, lookups: int) -> tuple[tuple[tuple[Path, bool], ...], str]:
    """Give the order and the number of documents that the clauses behind want, if nothing is between."""
    place = p.place + 1
    while place < len(p.planned) and isinstance(p.planned[place].clause, n.Filter):
        place += 1
    filters = place - p.place - 1
    order: tuple[tuple[Path, bool], ...] = ()
    clause = p.planned[place].clause if place < len(p.planned) else None
    if isinstance(clause, n.Sort):
        order = tuple((path_of(key.value, variable), key.is_descending) for key in clause.keys)
        if not all(path for path, _ in order):
            return (), "None"
        place += 1
        clause = p.planned[place].clause if place < len(p.planned) else None
    if not isinstance(clause, n.Limit) or filters != lookups or p.level or not order:
        return order, "None"
    if not all(isinstance(one, n.Constant | n.Bind | None) for one in (clause.count, clause.offset)):
        return order, "None"
    offset = "0" if clause.offset is None else p.value(clause.offset).text
    mark = p.c.module.mark(clause.at)
    return order, f"{mark}_amount({offset}) + _amount({p.value(clause.count).text})"


def compile_traverse(p: Pipeline, clause: n.Traverse) -> None:
    """``FOR vertex, edge IN 1..2 OUTBOUND start edges``."""
    p.shorten()
    least = "1" if clause.least is None else p.value(clause.least).text
    most = least if clause.most is None else p.value(clause.most).text
    step = p.c.step("traverse", clause.at, variable=clause.vertex, direction=clause.direction)
    p.tick(step)
    start = _vertex(p, clause.start)
    edges = p.use(p.c.collection(clause.edges))
    p.c.reads_unknown = True
    mark = p.c.module.mark(clause.at)
    rows = f"{mark}_traverse(run, {start}, {least}, {most}, {clause.direction!r}, {edges.text})"
    _pairs(p, clause, rows, step)


def compile_shortest_path(p: Pipeline, clause: n.ShortestPath) -> None:
    """``FOR vertex, edge IN SHORTEST_PATH start TO goal OUTBOUND edges``."""
    p.shorten()
    step = p.c.step("shortest path", clause.at, variable=clause.vertex, direction=clause.direction)
    p.tick(step)
    start, goal = _vertex(p, clause.start), _vertex(p, clause.goal)
    edges = p.use(p.c.collection(clause.edges))
    p.c.reads_unknown = True
    mark = p.c.module.mark(clause.at)
    rows = f"{mark}_shortest_path(run, {start}, {goal}, {clause.direction!r}, {edges.text})"
    _pairs(p, clause, rows, step)


def _vertex(p: Pipeline, node: n.Expression) -> str:
    """Give the code of a vertex's ``_id``, which a document of a known collection need not hold itself."""
    code = p.value(node)
    if code.collection:
        return f"_id({code.text}, {code.collection})"
    return f"{p.c.module.mark(node.at)}_vertex_id(run, {code.text})"


def _pairs(p: Pipeline, clause: n.Traverse | n.ShortestPath, rows: str, step: int) -> None:
    vertex = p.variable(clause.vertex)
    edge = "_" if clause.edge is None else p.variable(clause.edge)
    p.loop(f"{vertex}, {edge}", f"({rows})", step)


# Joins


def compile_join(p: Pipeline, clause: n.Join) -> None:
    """``JOIN collection AS variable ON condition``.

    INNER and LEFT keep one row for each row before, its variable the array of the documents that match; INNER drops
    rows without any. RIGHT gives a row for each pair, its variable the document, and one with nulls for a document
    that matches no row. FULL is LEFT, and then a row with nulls and an array of one for each such document.
    """
    p.shorten()
    if not p.level:
        p.loop("_", "_ONCE", p.c.step("begin", clause.at))
    name = p.use(p.c.collection(clause.source))
    join = _matches(p, clause, name)
    p.c.steps[join.step]["join"] = clause.kind
    match clause.kind:
        case "inner":
            p.skip(f"not {join.matches}")
            p.passed(join.step)
        case "left":
            p.passed(join.step)
        case _:
            _outer_join(p, clause, name, join)
            return
    p.emit(f"{p.variable(clause.variable, 'list')} = {join.matches}")


@dataclass(frozen=True, slots=True)
class _Matches:
    """The code's variable that holds the documents which match the row at hand, and the step of the plan."""

    matches: str
    step: int


def _matches(p: Pipeline, clause: n.Join, name: Code) -> _Matches:
    """Write what finds the documents that match the row at hand."""
    document = p.name("v")
    code = Code(document, 0, "dict", frozenset((document,)) | name.free, collection=name.text)
    inner = {**p.scope, clause.variable: code}
    conditions = conjuncts(clause.condition)
    outer = set(p.scope) - {clause.variable}
    equal = next((pair for one in conditions if (pair := _sides(one, clause.variable, outer)) is not None), None)
    matches = p.name("m")
    if equal is None:
        step = p.c.step("loop join", clause.at, collection=_shown(name), variable=clause.variable)
        p.tick(step)
        p.emit(f"{matches} = run.again({name.text})")
    else:
        condition, mine, theirs = equal
        conditions.remove(condition)
        step = p.c.step("hash join", clause.at, collection=_shown(name), variable=clause.variable)
        p.tick(step)
        p.emit(
            f"{matches} = run.joined({_key_function(p, theirs, inner, document)}, {name.text}, {p.value(mine).text})"
        )
    if conditions or equal is None:
        tests = [p.value(one, inner) for one in conditions]
        p.used.discard(document)
        p.emit(
            f"{matches} = [{document} for {document} in {matches} if {' and '.join(f'({t.truth})' for t in tests)}]"
        )
    return _Matches(matches, step)


def _sides(
    condition: n.Expression, variable: str, outer: set[str]
) -> tuple[n.Expression, n.Expression, n.Expression] | None:
    """Take ``outer == joined`` apart: the condition, the side of the row, the side of the document."""
    if not isinstance(condition, n.Binary) or condition.operator != "==":
        return None
    for mine, theirs in ((condition.left, condition.right), (condition.right, condition.left)):
        if is_safe(mine, outer) and names_in(theirs) == {variable} and is_safe(theirs, {variable}):
            return condition, mine, theirs
    return None


def _key_function(p: Pipeline, node: n.Expression, scope: dict[str, Code], document: str) -> str:
    """Give a number for the table and the function that gives a document's key; binds are all that it closes over."""
    code = p.c.module.shallow(p.value(node, scope))
    p.used.discard(document)
    return f"{p.name('j')!r}, (lambda {document}: {code.text})"


def _outer_join(p: Pipeline, clause: n.Join, name: Code, join: _Matches) -> None:
    """RIGHT and FULL: what matched is remembered, and the rest comes behind."""
    live = [(one, replace(code, kind="")) for one, code in p.live() if one != clause.variable]  # it may become null
    found = p.name("d")
    variable = p.variable(clause.variable, "list" if clause.kind == "full" else "dict", name)
    nothing: list[tuple[str, Code]] = [(one, Code("None")) for one, _ in live]
    mine: list[tuple[str, Any]] = [*live, (clause.variable, p.scope[clause.variable])]
    p.used.discard(variable)
    p.prepare(f"{found} = {{}}")
    p.use_all(live)
    if clause.kind == "full":
        p.emit(f"{found}.update((id(_), _) for _ in {join.matches})")
        p.emit(f"yield {packed([*live, ('', Code(join.matches))])}")
    else:
        p.emit(f"for {variable} in {join.matches}: {found}.setdefault(id({variable}), []).append({packed(live)})")
    p.close()
    p.emit(f"for {variable} in run.again({name.text}):")
    p.level = 1
    if clause.kind == "full":
        p.emit(f"if id({variable}) not in {found}: yield {packed([*nothing, ('', Code(f'[{variable}]'))])}")
    else:
        p.emit(f"for {target(live)} in {found}.get(id({variable}), ({packed(nothing)},)):")
        p.level = 2
        p.emit(f"yield {packed(mine)}")
    _finish_outer(p, mine, join.step)


def _finish_outer(p: Pipeline, rows: list[tuple[str, Code]], step: int) -> None:
    """Turn what was written, which yields rows by itself, into a generator and go on with its rows."""
    p.close()
    generator, parameters = p.name("g"), sorted(p.used - p.made)
    p.c.module.function(generator, parameters, p.head)
    p.head, p.used, p.made = [], set(parameters), set()
    p.reopen(target(rows), f"{generator}({', '.join(('run', *parameters))})", rows, step)
