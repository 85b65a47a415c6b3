"""Clauses that work on rows which are there: LET, FILTER, SORT, LIMIT, COLLECT, window functions, RETURN."""

from __future__ import annotations

from typing import Any

from .. import nodes as n
from ..functions import FUNCTIONS
from ..places import did_you_mean
from . import windows
from .module import Code
from .pipeline import Pipeline, packed, target
from .scope import walk


def compile_let(p: Pipeline, clause: n.Let) -> None:
    """``LET name = value``; before all loops it runs once and its variable lasts as long as the query."""
    add_windows(p, clause)
    for binding in clause.bindings:
        p.at = binding.at
        step = p.c.step("let", binding.at, variable=binding.name)
        p.tick(step)
        code = p.bound(binding.value)
        if p.has_begun:
            name = p.variable(binding.name, code.kind)
            _keep_collection(p, binding.name, code)
            p.emit(f"{name} = ({code.text})")
        else:
            name = p.name("v")
            free = frozenset((name,))
            p.scope[binding.name] = Code(name, 0, code.kind, free, collection=code.collection)
            p.fixed.add(name)
            p.emit(f"{name} = ({code.text})")
            if not p.is_inner:
                p.c.lasting.add(name)
            p.before += p.lines
            p.lines = []
            p.c.names.add(binding.name)


def _keep_collection(p: Pipeline, name: str, code: Code) -> None:
    """Let ``_id`` be read through another name of a document."""
    if code.collection and code.text.isidentifier():
        old = p.scope[name]
        free = old.free | (code.free - {code.text})
        p.scope[name] = p.rows[name] = Code(old.text, 0, old.kind, free, collection=code.collection)


def compile_filter(p: Pipeline, clause: n.Filter, is_moved: bool) -> None:
    """``FILTER condition``."""
    add_windows(p, clause)
    step = p.c.step("filter", clause.at, is_moved=is_moved)
    p.tick(step)
    p.skip(f"not ({p.value(clause.condition).truth})")
    p.passed(step)


def compile_sort(p: Pipeline, clause: n.Sort, limit: n.Limit | None) -> None:
    """``SORT a, b DESC``, with a LIMIT right behind it only as far as that goes."""
    add_windows(p, clause)
    step = p.c.step("sort" if limit is None else "sort, the first few", clause.at)
    p.tick(step)
    live = p.live()
    columns = [f"({p.column(p.value(key.value))}, {key.is_descending})" for key in clause.keys]
    rows = p.gather(live)
    p.close()
    chosen = ""
    if limit is not None:
        offset, count = _amounts(p, limit)
        first, begin = p.name("n"), p.name("n")
        p.emit(f"{begin} = {offset}; {first} = {begin} + {count}")
        chosen = f", {first})[{begin}:"
    p.emit(f"_ = _ordered([{', '.join(columns)}]{chosen or ')'}{']' if chosen else ''}")
    place = p.name("i")
    p.reopen(place, "_", live, step)
    if live:
        p.emit(f"{target(live)} = {rows}[{place}]")


def _amounts(p: Pipeline, clause: n.Limit) -> tuple[str, str]:
    mark = p.c.module.mark(clause.at)
    texts = []
    for node in (clause.offset, clause.count):
        if node is None:
            texts.append("0")
            continue
        code = p.value(node)
        if code.free & {one for row in p.rows.values() for one in row.free}:
            raise p.c.error("LIMIT is the same for all rows: it can't depend on one", clause.at)
        texts.append(f"({mark}_amount({code.text}))")
    return texts[0], texts[1]


def compile_limit(p: Pipeline, clause: n.Limit) -> None:
    """``LIMIT offset, count``: nothing is read beyond."""
    step = p.c.step("limit", clause.at)
    p.tick(step)
    live = p.live()
    offset, count = _amounts(p, clause)
    rows = p.wrap(live)
    _amounts(p, clause)  # what the amounts need is needed behind the break
    p.reopen(target(live), f"_limited({rows}, {offset}, {count})", live, step)


# Windows


def add_windows(p: Pipeline, clause: n.Clause) -> None:
    """Make the columns of the window functions that a clause uses; they see all rows that reach it."""
    calls = [call for call in windows_in(clause) if id(call) not in p.c.windows]
    if not calls:
        return
    if not p.level:
        p.loop("_", "_ONCE", p.c.step("begin", clause.at))
    step = p.c.step("window", clause.at, functions=[call.name for call in calls])
    p.tick(step)
    columns = [_window_columns(p, call) for call in calls]
    live = p.live(inclusive=True)
    rows = p.gather(live)
    p.close()
    found = []
    for call, text in zip(calls, columns, strict=True):
        column = p.name("w")
        mark = p.c.module.mark(call.at, call.name)
        p.emit(f"{column} = ({mark}_window(run, {call.name!r}, len({rows}), {text}))")
        found.append(column)
    place = p.name("i")
    p.reopen(place, f"range(len({rows}))", live, step)
    if live:
        p.emit(f"{target(live)} = {rows}[{place}]")
    for call, column in zip(calls, found, strict=True):
        name = p.variable(f" {column}")
        p.emit(f"{name} = {column}[{place}]")
        p.c.windows[id(call)] = p.rows[f" {column}"]


def windows_in(clause: Any) -> list[n.Call]:
    """Find the window functions of a clause, but not those of subqueries and lambdas: these have other rows."""
    inner = [node for node in walk(clause) if isinstance(node, n.Subquery | n.Lambda)]
    hidden = {id(node) for node in walk(*inner)}
    return [
        one for one in walk(clause) if isinstance(one, n.Call) and one.over is not None and id(one) not in hidden
    ]


def _window_columns(p: Pipeline, call: n.Call) -> str:
    """Gather what a window function needs of each row, and give its arguments."""
    if not windows.is_window(call.name):
        known = [*windows.RANKS, *windows.OTHERS, *FUNCTIONS]
        raise p.c.error(f"there is no function {call.name}.{did_you_mean(call.name, known)}", call.at)
    over = call.over or n.Over()
    arguments = [p.column(p.value(one)) for one in call.arguments]
    partition = [p.column(p.value(one)) for one in over.partition]
    order = [f"({p.column(p.value(key.value))}, {key.is_descending})" for key in over.order]
    return f"[{', '.join(arguments)}], [{', '.join(partition)}], [{', '.join(order)}]"


# Groups


def compile_collect(p: Pipeline, clause: n.Collect) -> None:
    """``COLLECT``: one row for each group, in the order of what they are grouped by; without groups always one."""
    add_windows(p, clause)
    if not p.level:
        p.loop("_", "_ONCE", p.c.step("begin", clause.at))
    step = p.c.step("collect", clause.at, groups=[one.name for one in clause.groups])
    p.tick(step)
    keys = [p.bound(one.value) for one in clause.groups]
    slots = _Slots(p, len(keys))
    for aggregate in clause.aggregates:
        slots.aggregate(aggregate)
    if clause.into:
        slots.into(clause)
    if clause.count_into:
        slots.count(clause.count_into)
    group = p.name("g")
    if keys:
        _find_group(p, keys, slots, group)
    else:
        p.prepare(f"{group} = [{', '.join(slots.initial)}]")
    for line in slots.updates:
        p.emit(f"{group}{line}")
    p.close()
    p.forget_rows()
    groups = f"_groups({group}s.values(), {len(keys)})" if keys else f"({group},)"
    p.loop(group, groups, step)
    for place, one in enumerate(clause.groups):
        p.emit(f"{p.variable(one.name, keys[place].kind)} = {group}[{place}]")
    for name, text in slots.results:
        made = text.replace("GROUP", group)
        p.emit(f"{p.variable(name)} = {f'_shallow({made})' if p.c.is_nesting else made}")


def _find_group(p: Pipeline, keys: list[Code], slots: _Slots, group: str) -> None:
    p.prepare(f"{group}s = {{}}; {group}get = {group}s.get")
    values = [p.name("v") for _ in keys]
    for value, key in zip(values, keys, strict=True):
        p.emit(f"{value} = ({key.text})")
    hashed = [f"({value} if type({value}) is str else _hash({value}))" for value in values]
    key_text = hashed[0] if len(hashed) == 1 else f"({', '.join(hashed)})"
    p.emit(f"{group} = {group}get({group}k := {key_text})")
    initial = ", ".join([*values, *slots.initial])
    p.emit(f"if {group} is None: {group} = {group}s[{group}k] = [{initial}]")


class _Slots:
    """The members of a group behind its keys: how they begin, what each row does to them, what comes of them."""

    def __init__(self, p: Pipeline, keys: int) -> None:
        self._p = p
        self._keys = keys
        self.initial: list[str] = []
        self.updates: list[str] = []
        self.results: list[tuple[str, str]] = []

    def count(self, name: str) -> None:
        """Count rows."""
        place = self._slot("0")
        self.updates.append(f"[{place}] += 1")
        self.results.append((name, f"GROUP[{place}]"))

    def gather(self, name: str, text: str, result: str = "{}") -> None:
        """Gather values."""
        place = self._slot("[]")
        self.updates.append(f"[{place}].append({text})")
        self.results.append((name, result.format(f"GROUP[{place}]")))

    def aggregate(self, one: n.Aggregate) -> None:
        """Gather values for an aggregate function."""
        function = one.function.upper()
        if function not in windows.AGGREGATES and function not in FUNCTIONS:
            known = [*windows.AGGREGATES, *FUNCTIONS]
            raise self._p.c.error(
                f"there is no aggregate function {function}.{did_you_mean(function, known)}", one.at
            )
        if function in ("COUNT", "LENGTH"):
            for argument in one.arguments:
                self._p.value(argument)
            self.count(one.name)
            return
        if not one.arguments:
            raise self._p.c.error(f"{function} needs an argument", one.at)
        more = "".join(f", {self._p.value(argument).text}" for argument in one.arguments[1:])
        mark = self._p.c.module.mark(one.at, function)
        self.gather(
            one.name, self._p.value(one.arguments[0]).text, f"({mark}_aggregate(run, {function!r}{more})({{}}))"
        )

    def into(self, clause: n.Collect) -> None:
        """Gather the rows themselves, or what is wanted of them."""
        assert clause.into is not None
        if clause.projection is not None:
            self.gather(clause.into, self._p.value(clause.projection).text)
            return
        members = []
        for name in clause.keep or [name for name in self._p.rows if name[0] != " "]:
            if name not in self._p.scope:
                raise self._p.c.error(f"there is no variable {name}.{did_you_mean(name, self._p.scope)}", clause.at)
            code = self._p.use(self._p.scope[name])
            members.append(f"{self._p.c.module.constant(name)}: {code.text}")
        self.gather(clause.into, f"{{{', '.join(members)}}}")

    def _slot(self, initial: str) -> int:
        self.initial.append(initial)
        return self._keys + len(self.initial) - 1


def compile_return(p: Pipeline, clause: n.Return) -> None:
    """``RETURN value``."""
    add_windows(p, clause)
    step = p.c.step("return", clause.at, is_distinct=clause.is_distinct)
    p.tick(step)
    code = p.value(clause.value)
    p.c.makes_objects = isinstance(clause.value, n.Object) and not code.is_constant
    p.emit(f"append({code.text})")
    p.passed(step)
    if p.loops:
        p.tick(p.loops[-1])


__all__ = [
    "add_windows",
    "compile_collect",
    "compile_filter",
    "compile_let",
    "compile_limit",
    "compile_return",
    "compile_sort",
    "packed",
    "windows_in",
]
