"""What an answer ends, on its way into the ledger by the transaction that takes it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .document import ABSENT, Body, Document, State, lost
from .ledger import Entry, lost_fields, record_entry
from .optimistic import Pending, Record
from .outbox import Name
from .ports import Random, WriteTransaction
from .sides import changed_by, given_up_part, laid_over
from .wire import Result


class Losses:
    """Writes entries; ``count`` is how many. ``device`` is this one's name where entries name anybody, else None."""

    def __init__(self, tx: WriteTransaction, replica: str, device: str | None, now_ms: int, rng: Random) -> None:
        self._tx = tx
        self._replica = replica
        self._device = device
        self._now_ms = now_ms
        self._rng = rng
        self.count = 0

    def hidden(self, name: Name, record: Record) -> None:
        """Note what of rebased changes later ones of others have hidden: no server will merge these any more."""
        for change in record.pending:
            if change.base is not None and record.confirmed is not None:
                over = laid_over(record.confirmed, (change,))
                gone = lost(change.state, over.state)
                self.fields(name, gone, change.op_id, record.confirmed, self._replica)

    def remote_loser(
        self,
        name: Name,
        remote: Document,
        record: Record,
        before: Record,
        given_up: tuple[Body, Body] | None = None,
    ) -> None:
        """Note what of a server's document a resolution gave up, which this replica had not seen before."""
        after = Document(record.state or ABSENT, {}, record.pending[-1].op_id)
        by = changed_by(remote, before)
        if remote.body is None:
            entry = Entry("lost", *name, "delete", None, remote.timestamp, remote.op_id, self._now_ms)
            self._record(replace(entry, against_op_id=after.op_id, against_timestamp=after.timestamp), by)
            return
        known = before.base.body if before.base else None
        gone = (
            lost(remote.state, after.state, known) if given_up is None else given_up_part(given_up[1], remote.state)
        )
        self.fields(name, gone, remote.op_id, after, by)

    def local_loser(self, name: Name, before: Record, after: Record, given_up: tuple[Body, Body] | None) -> None:
        """Note what of the local version a document that was made from both leaves out."""
        state, last = before.state or ABSENT, before.pending[-1]
        stands = Document(after.state or ABSENT, {}, after.pending[-1].op_id if after.pending else "")
        if state.body is None:
            if stands.body is not None:
                self.change(name, "lost", state, before.pending, stands)
            return
        known = before.base.body if before.base else None
        if given_up is None:
            gone = lost(state, stands.state, known)
        else:
            gone = given_up_part(given_up[0], state)
        self.fields(name, gone, last.op_id, stands, self._replica)

    def fields(self, name: Name, gone: State | None, op_id: str, after: Document, by: str) -> None:
        """Note fields that one change set, and that gave way to what stands now, if there are any."""
        if gone is not None:
            self._record(lost_fields(name, gone, op_id, after, self._now_ms), by)

    def _record(self, entry: Entry, by: str, numbers: Sequence[int] = ()) -> None:
        """Write an entry, with who made the change where entries name anybody."""
        if self._device is not None:
            device = self._device if by == self._replica else ""
            entry = replace(entry, replica=by, device=device, numbers=list(numbers))
        self.count += 1
        record_entry(self._tx, entry, self._rng)

    def change(
        self,
        name: Name,
        kind: Any,
        state: State,
        changes: Sequence[Pending],
        against: Document | None,
        result: Result | None = None,
    ) -> None:
        """Note what of a document ended with some changes, the last of which says what it was."""
        change = changes[-1]
        error = result.error if result else None
        entry = Entry(kind, *name, change.operation, state.body, change.state.timestamp, change.op_id, self._now_ms)
        if error is not None:
            entry = replace(entry, code=error.code, message=error.message)
        if against is not None:
            entry = replace(entry, against_op_id=against.op_id, against_timestamp=against.timestamp)
        self._record(entry, self._replica, [one.n for one in changes])
