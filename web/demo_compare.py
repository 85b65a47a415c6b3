"""Two versions of one note, field by field, and the document that the choices between them make.

Plain functions without a page. A note that one side deleted has one field only: itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo_notes import NAMES, note_from

import pysync_web as ps
from pysync_web.core.three_way import merge_three

WHOLE = "note"
MINE, THEIRS, OWN = "mine", "theirs", "own"


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds on both sides and before; ``start`` is the side chosen to begin with, "" for none."""

    name: str
    base: Any
    mine: Any
    theirs: Any
    merged: Any
    start: str

    @property
    def differs(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.mine != self.theirs)

    @property
    def is_editable(self) -> bool:
        """Whether a third value may be written by hand."""
        return self.name not in ("done", WHOLE)


def compare(conflict: ps.Conflict) -> list[Field]:
    """Lay both sides of a conflict beside each other; what one side alone changed is chosen already."""
    base, mine, theirs = (_fields(conflict.key, side) for side in (conflict.base, conflict.local, conflict.remote))
    if mine is None or theirs is None:
        return [Field(WHOLE, base, mine, theirs, None, "")]
    merged = merge_three(base, mine, theirs)
    clashes = {clash.path.split("/")[1] for clash in merged.clashes}
    before = base or {}
    return [
        Field(
            name,
            before.get(name),
            mine[name],
            theirs[name],
            merged.body[name],
            "" if name in clashes else _start(merged.body[name], mine[name], theirs[name]),
        )
        for name in NAMES
    ]


def answer(
    conflict: ps.Conflict, chosen: Mapping[str, Any], edited: str
) -> ps.AcceptLocal | ps.AcceptRemote | dict:
    """Make what stands from the value chosen for each field, or for the note as a whole: one of the sides."""
    if WHOLE in chosen:
        is_mine = chosen[WHOLE] == _fields(conflict.key, conflict.local)
        return ps.AcceptLocal() if is_mine else ps.AcceptRemote()
    local, remote = conflict.local or {}, conflict.remote or {}
    return {**merge_three(conflict.base, local, remote).body, **chosen, "edited": edited}


def value_of(field: Field, side: str, own: Any) -> Any:
    """Give the value that a choice stands for."""
    return {MINE: field.mine, THEIRS: field.theirs, OWN: own}[side]


def authors(conflict: ps.Conflict) -> set[str]:
    """Name the replicas whose changes the other version has and the base has not."""
    base = conflict.base_version
    return {name for name, n in conflict.remote_version.items() if name != "server" and n > base.get(name, 0)}


def _fields(key: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    note = note_from(key, body)
    return {"title": note.title, "text": note.text, "tags": list(note.tags), "done": note.done}


def _start(merged: Any, mine: Any, theirs: Any) -> str:
    if merged == mine:
        return MINE
    return THEIRS if merged == theirs else OWN
