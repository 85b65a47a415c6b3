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
    p.reopen(target(before), rows, before, step)
    old, new = p.variable("OLD", "", collection), p.variable("NEW", "", collection)
    p.emit(f"{old} = {new} = None")
    _write(p, clause, collection, old, new)
    live = [pair for pair in p.live() if pair[0] not in ("OLD", "NEW")]
    live += [("OLD", p.rows["OLD"]), ("NEW", p.rows["NEW"])]
    done = p.gather(live)
    p.close()
    p.reopen(target(live), done, live, step)


def _write(p: Pipeline, clause: Change, collection: Code, old: str, new: str) -> None:
    mark = p.c.module.mark(clause.at)
    name = collection.text
    match clause:
        case n.Insert(document=document):
            p.emit(f"{new} = ({mark}_insert(run, {name}, {p.value(document).text}))")
        case n.Remove():
            p.emit(f"{old} = ({mark}_target(run, {name}, {p.value(clause.target).text}))")
            p.emit(f"{mark}_remove(run, {name}, {old})".replace("\n", f"\n{' ' * (p.level + 1)}"))
        case n.Update():
            changes = clause.target if clause.changes is None else clause.changes
            p.emit(f"{old} = ({mark}_target(run, {name}, {p.value(clause.target).text}))")
            text = p.value(changes).text
            p.emit(f"{new} = ({mark}_update(run, {name}, {old}, {text}, {clause.is_replace}))")
        case n.Upsert():
            p.emit(f"{old} = ({mark}_example(run, {name}, {p.value(clause.example).text}))")
            inserted, changed = p.value(clause.document).text, p.value(clause.changes).text
            updated = f"{mark}_update(run, {name}, {old}, {changed}, {clause.is_replace})"
            p.emit(f"{new} = ({mark}_insert(run, {name}, {inserted}) if {old} is None else {updated})")


__all__ = ["Change", "compile_change", "packed"]
