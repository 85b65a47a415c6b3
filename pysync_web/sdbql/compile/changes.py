"""Clauses that write: all rows are gathered first, then all are written, then the query goes on with OLD and NEW.

So no clause ever reads a collection that is being written to.
"""

from __future__ import annotations

from .. import nodes as n
from .module import Code
from .pipeline import Pipeline, packed, target

Change = n.Insert | n.Update | n.Remove | n.Upsert


def compile_change(p: Pipeline, clause: Change) -> None:
    """``INSERT``, ``UPDATE``, ``REPLACE``, ``REMOVE`` and ``UPSERT``."""
    if not p.level:
        p.loop("_", "_ONCE", p.c.step("begin", clause.at))
    collection = p.use(p.c.collection(clause.collection))
    p.c.writes.add(collection.constant if collection.is_constant else collection.text)
    p.is_pure = False
    word = type(clause).__name__.lower()
    step = p.c.step("replace" if getattr(clause, "is_replace", False) and word == "update" else word, clause.at)
    p.tick(step)
    before = p.live(inclusive=True)
    rows = p.gather(before)
    p.close()
    p.reopen(target(before), rows, before, step, is_counted=False)
    _write(p, clause, collection)
    live = [pair for pair in p.live() if pair[0] not in ("OLD", "NEW")]
    live += [("OLD", p.rows["OLD"]), ("NEW", p.rows["NEW"])]
    done = p.gather(live)
    p.close()
    p.reopen(target(live), done, live, step)


def _write(p: Pipeline, clause: Change, collection: Code) -> None:
    """Do one row's work. What is stored or looked for may be of an earlier clause's OLD, changes of this one's."""
    mark = p.c.module.mark(clause.at)
    name = collection.text
    given = [p.value(one).text for one in _given(clause)]
    old, new = p.variable("OLD", "", collection), p.variable("NEW", "", collection)
    p.emit(f"{old} = {new} = None")
    match clause:
        case n.Insert():
            p.emit(f"{new} = ({mark}_insert(run, {name}, {given[0]}))")
        case n.Remove():
            p.emit(f"{old} = ({mark}_target(run, {name}, {given[0]}))")
            p.emit(f"{mark}_remove(run, {name}, {old})".replace("\n", f"\n{' ' * (p.level + 1)}"))
        case n.Update():
            p.emit(f"{old} = ({mark}_target(run, {name}, {given[0]}))")
            text = given[0] if clause.changes is None else p.value(clause.changes).text
            p.emit(f"{new} = ({mark}_update(run, {name}, {old}, {text}, {clause.is_replace}))")
        case n.Upsert():
            p.emit(f"{old} = ({mark}_example(run, {name}, {given[0]}))")
            updated = f"{mark}_update(run, {name}, {old}, {p.value(clause.changes).text}, {clause.is_replace})"
            p.emit(f"{new} = ({mark}_insert(run, {name}, {given[1]}) if {old} is None else {updated})")


def _given(clause: Change) -> list[n.Expression]:
    match clause:
        case n.Insert(document=document):
            return [document]
        case n.Upsert(example=example, document=document):
            return [example, document]
    return [clause.target]


__all__ = ["Change", "compile_change", "packed"]
