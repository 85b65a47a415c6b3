"""The two sides of a conflict: a server's document, and what pending changes make here.

All of it is worked out from what is given; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..causality import SERVER, includes, without_server
from .conflict import AcceptRemote, Conflict, Decision, Merge
from .document import ABSENT, Body, Document, State, changed, deleted, inserted, life_of, lost, merge, news, united
from .exchange import MERGE_FIELDS
from .fields import FIRST_LIFE, joined, shown, unshown
from .optimistic import Pending, Record, View, Waiting, applied
from .outbox import Name
from .wire import Operation, Result

NOBODY: Final = Document(ABSENT, {})
"""The document that a server has where it has none."""


def is_told_of(change: Pending, remote: Document, replica: str) -> bool:
    """Tell whether a server's version says that it contains a pending change."""
    return includes(remote.version, {replica: change.n} if change.contains is None else change.contains)


def is_in(seen: Document, remote: Document) -> bool:
    """Tell whether a server's document comes after one here, by its version and by what is in it.

    Its stamps tell, or all values are there: the server may have given them other times.
    """
    if not includes(remote.version, without_server(seen.version)):
        return False
    if news(remote.state, united(remote.state, seen.state)) is None:
        return True
    return (seen.body is None) == (remote.body is None) and lost(seen.state, remote.state) is None


def bodies_after(record: Record) -> list[Body | None]:
    """Give the body after each pending change."""
    bodies: list[Body | None] = []
    state = record.base.state if record.base else None
    for change in record.pending:
        state = applied(state, change)
        bodies.append(state.body)
    return bodies


def laid_over(remote: Document, pending: Sequence[Pending]) -> Document:
    """Give the server's document with pending changes on top."""
    state = remote.state
    for change in pending:
        state = merge(state, change.state)
    return Document(state, remote.version, remote.op_id)


def are_fields(pending: Sequence[Pending]) -> bool:
    """Tell whether changes can be merged by fields: each delete is one of what was made again right after it."""
    following = (*pending[1:], None)
    return all(
        one.merge == MERGE_FIELDS
        and (
            one.operation != "delete"
            or (one.contains is None and after is not None and after.operation == "insert")
        )
        for one, after in zip(pending, following, strict=True)
    )


def difference(old: State, new: Body | None, at: str) -> State | None:
    """Give the change, made at a time, that turns a state's body into another one; None where that is nothing."""
    if new is None:
        return None if old.body is None else deleted(at)
    if old.body is None:
        return inserted(new, at)
    return changed(old.body, new, at, lambda place: life_of(old, place, FIRST_LIFE))


def step_between(here: State, after: State, fresh: State | None) -> tuple[Operation, State]:
    """Give what turns one state into another: only what is new, where nothing else is needed to understand it."""
    if after.body is None:
        return "delete", after
    if here.body is None or fresh is None or "" in fresh.stamps:
        return "insert", after
    return "update", fresh


def conflict_of(name: Name, record: Record, remote: Document, local: View | None) -> Conflict:
    """Describe the conflict of a record's pending changes with a version of the server.

    CRDT values are shown joined on both sides: they are never in conflict.
    """
    base, waiting = record.base, record.waiting
    before = base.body if base else None
    return Conflict(
        collection=name[0],
        key=name[1],
        local=shown(joined(local.body if local else None, remote.body, before)),
        remote=shown(joined(remote.body, local.body if local else None, before)),
        base=shown(before),
        local_version=local.version if local else {},
        remote_version=remote.version,
        base_version=base.version if base else {},
        local_timestamp=record.pending[-1].state.timestamp,
        remote_timestamp=remote.timestamp,
        local_op_id=record.pending[-1].op_id,
        remote_op_id=remote.op_id,
        strategy=record.pending[-1].strategy or "",
        reason=waiting.reason if waiting else "",
        clashes=waiting.clashes if waiting else (),
    )


def with_waiting(record: Record, waiting: Waiting | None) -> Record:
    """Give a record whose conflict waits, or (None) waits no longer."""
    return Record(record.confirmed, record.pending, waiting)


def waiting_without(
    waiting: Waiting | None, change: Pending, result: Result, rest: Sequence[Pending]
) -> Waiting | None:
    """Give what waits of a conflict after a verdict on one of its changes: one that was taken is under the others."""
    if waiting is None or not rest:
        return None
    if result.status == "rejected":
        return waiting
    base = waiting.base or NOBODY
    return waiting._replace(base=base._replace(state=applied(waiting.base and base.state, change)))


def changed_by(remote: Document, record: Record) -> str:
    """Name the replica whose changes make a version differ from the last one that was seen, "" of several."""
    before = record.base.version if record.base else {}
    found = [one for one, n in remote.version.items() if one != SERVER and n > before.get(one, 0)]
    return found[0] if len(found) == 1 else ""


def given_up_part(part: Body, state: State) -> State | None:
    """Give what of a state a decision gave up, as its function said; None where that is nothing."""
    return State(part, state.timestamp) if part else None


def chosen_bodies(decision: Decision | None, record: Record, remote: Document) -> list[Body | None]:
    """Give the body that each pending change is to make, with the CRDT values of both sides in each."""
    base = record.base.body if record.base else None
    local = [joined(body, remote.body, base) for body in bodies_after(record)]
    match decision:
        case Merge(document):
            return [*local[:-1], unshown(document, joined(remote.body, local[-1], base))]
        case AcceptRemote():
            return [*[remote.body] * (len(local) - 1), joined(remote.body, bodies_after(record)[-1], base)]
        case _:
            return local
