"""What comes of one change on the server: the document after it, and why it may be refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import SchemaError
from ..values import MAX_DOCUMENT_BYTES, dumps
from .document import ABSENT, Document, State, changed, lost, merge
from .fields import check_authors, check_states
from .wire import MAX_TRANSACTION, Change, Problem, Result


def units(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Split changes into those that stand alone and those of one transaction."""
    unit: list[Change] = []
    for change in changes:
        bound = change.transaction is not None
        if unit and (not bound or change.transaction != unit[0].transaction or len(unit) >= MAX_TRANSACTION):
            yield unit
            unit = []
        unit.append(change)
        if not bound:
            yield unit
            unit = []
    if unit:
        yield unit


def outcome(change: Change, current: Document | None, is_covered: bool, *, is_plain: bool) -> State | None:
    """Give the document's state after a change, or None for a conflict that the client decides.

    ``current`` None: nobody wrote it. A delete meets a delete: nothing changes. An update that had not seen the
    delete, or a delete that had not seen the update, is a conflict; so is everything else that had not seen the
    current version, unless fields are to be merged.
    """
    before = current.state if current else ABSENT
    if change.operation == "delete":
        if before.body is None:
            return before
        return merge(before, change.state) if is_covered else None
    if before.body is None:
        if not is_covered or not (change.is_whole or is_plain):
            return None
        return merge(before, change.state)
    if is_covered and change.is_whole:
        patch = changed(before.body, change.state.body or {}, change.state.timestamp, change.state.stamps.get)
        return merge(before, patch) if patch else before
    if is_covered or change.merge == "fields":
        return merge(before, change.state)
    return None


def foreign(change: Change, current: Document | None, replica: str) -> Problem | None:
    """Refuse CRDT values with which a replica speaks for others, unless it says that it passes on what they did."""
    if change.relays:
        return None
    try:
        check_authors(change.state, replica, current.state if current else ABSENT, "document")
    except SchemaError as error:
        return Problem(error.code, str(error))
    return None


def overgrown(state: State, change: Change, *, has_crdts: bool) -> Problem | None:
    """Refuse a document, or CRDT values, that have grown over a limit by being merged or joined."""
    is_merged = state is not change.state and state.body is not None
    if is_merged and len(dumps(state.body)) > MAX_DOCUMENT_BYTES:
        return Problem("document_too_large", f"over the limit of {MAX_DOCUMENT_BYTES} bytes")
    if has_crdts:
        try:
            check_states(state.body, "document")
        except SchemaError as error:
            return Problem(error.code, str(error))
    return None


def with_losses(result: Result, change: Change, before: Document, after: State) -> Result:
    """Add to a merged change's verdict what of it, and what of the document that it met, gave way."""
    if result.status != "merged":
        return result
    gone = gave_way(before.state, after)
    overwritten = Document(gone, {}, before.op_id) if gone else None
    return result._replace(lost=gave_way(change.state, after), overwritten=overwritten)


def gave_way(state: State, after: State) -> State | None:
    """Give what of a state is not in what it became: some values, or a delete."""
    return state if state.body is None and after.body is not None else lost(state, after)


def must_change(result: Result) -> bool:
    """Tell whether a replica has to make a change anew: it is in conflict, or its id was used before."""
    is_reused = result.error is not None and result.error.code == "op_id_reused"
    return result.status == "conflict" or is_reused


def rejected(op_id: str, code: str, message: str) -> Result:
    """Give the verdict that refuses a change."""
    return Result(op_id, "rejected", error=Problem(code, message))
