"""Changes that wait here and a document of the server that they had not seen: who stands, as a transaction body.

What a decision gives up is in the ledger by the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..causality import SERVER, advance, includes, tick, without_server
from .conflict import AcceptRemote, Conflict, Decision, Merge, Wait
from .document import ABSENT, Body, Document, inserted, lost, merge, news, united
from .exchange import MERGE_FIELDS, ExchangeOptions, Outcome, load_sync
from .fields import has_crdts
from .optimistic import (
    Pending,
    Record,
    Waiting,
    decode_record,
    made_on,
    rebased,
    version_of,
    view,
    with_changes,
)
from .outbox import Name
from .ports import Random, ReadTransaction, WriteTransaction
from .recorded import Deed, remembered
from .replica import conflict_event, load_counters, size_of
from .sides import (
    NOBODY,
    are_fields,
    changed_by,
    chosen_bodies,
    conflict_of,
    difference,
    is_in,
    is_told_of,
    laid_over,
    step_between,
    with_waiting,
)
from .wire import NO_DOCUMENT, Operation, Problem, Result
from .writing import Writing

_PURGED: Final = Problem(
    "purged", "the document was deleted so long ago that the server has forgotten it: restore makes it anew"
)


async def read_conflict(tx: ReadTransaction, name: Name) -> Conflict | None:
    """Describe the conflict of a document that waits for a decision, None where none does."""
    record = decode_record(await tx.get("docs", name))
    if record.waiting is None or record.confirmed is None:
        return None
    return conflict_of(name, record, record.confirmed, view(record, (await load_counters(tx)).replica))


async def settle_conflict(
    tx: WriteTransaction,
    conflict: Conflict,
    decision: Decision | None,
    now_ms: int,
    rng: Random,
    options: ExchangeOptions,
    *,
    by_hand: bool = False,
) -> Outcome | None:
    """Let a decision on a conflict that waits stand; None where it is not the same any more.

    A decision to wait is noted with its reason. One that was made ``by_hand`` is an edit of now.
    """
    name = (conflict.collection, conflict.key)
    found = await read_conflict(tx, name)
    if found is None or replace(found, reason="", clashes=()) != replace(conflict, reason="", clashes=()):
        return None
    counters, sync = await load_counters(tx), await load_sync(tx)
    resolving = Resolving(tx, counters, sync, now_ms, rng, options)
    await resolving.settle(conflict, decision, by_hand=by_hand)
    return resolving.outcome


class Resolving(Writing):
    """The server's documents under what waits here."""

    async def settle(self, conflict: Conflict, decision: Decision | None, *, by_hand: bool) -> None:
        """Let the decision of a conflict that waits stand, or note why it still waits."""
        name = (conflict.collection, conflict.key)
        record = self.stored[name] = self.records[name] = decode_record(await self.tx.get("docs", name))
        remote = record.confirmed or NOBODY
        if by_hand:
            self.latest = tick(self.counters.clock, self.now_ms)
            self.origin = "Local"
        if isinstance(decision, Wait):
            self._park(name, record, remote, decision)
        else:
            self._settle(name, record, remote, decision)
        await self._write()

    def _resolve(self, name: Name, remote: Document) -> None:
        """Put the server's version under pending changes that had not seen it."""
        record = self.records[name]
        if not remote.version.get(SERVER, 0):
            self._resolve_absent(name, record)
            return
        before, record = record, self._without_brought(name, record, remote)
        has_met = record is not before or any(change.contains is not None for change in record.pending)
        has_met = has_met and record.waiting is None and self._has_met(record, remote)
        if has_met:
            self.losses.hidden(name, record)
        if has_met or not record.pending:
            self.records[name] = self._on_known(record, remote)
            return
        local = view(record, self.counters.replica)
        if are_fields(record.pending) and local and remote.body is not None:
            known = record.base.body if record.base else None
            merging = Record(record.confirmed, self._without_deletes(record.pending), record.waiting)
            over = laid_over(remote, merging.pending)
            self.losses.fields(
                name, lost(remote.state, over.state, known), remote.op_id, over, changed_by(remote, record)
            )
            self.records[name] = rebased(merging, remote)
            return
        if record.waiting is None:
            self.losses.hidden(name, record)
        if local is None and remote.body is None:
            if any(change.contains is not None for change in record.pending):
                self.records[name] = self._on_tombstone(record, remote)
            else:
                self._drop(name, record, remote)
            return
        conflict = conflict_of(name, record, remote, local)
        decision = self.options.resolver(conflict)
        if isinstance(decision, Wait):
            self._park(name, record, remote, decision)
            return
        self.outcome.conflicts += record.waiting is None
        self._settle(name, record, remote, decision)

    def _without_brought(self, name: Name, record: Record, remote: Document) -> Record:
        """Take away the first changes that are in the server's document, as some device took them there before."""
        replica = self.counters.replica
        under, pending, count = record.base, record.pending, 0
        while count < len(pending) and is_told_of(pending[count], remote, replica):
            part = Record(record.base, pending[: count + 1])
            seen = Document(part.state or ABSENT, version_of(part, replica), pending[count].op_id)
            if not is_in(seen, remote):
                break
            under, count = seen, count + 1
        if not count:
            return record
        self.struck += [(change.n, size_of(change)) for change in pending[:count]]
        self.losses.hidden(name, Record(record.confirmed, pending[:count]))
        rest = tuple(
            change
            if change.base is None
            else change._replace(base=with_changes(change.base, pending[:count], replica))
            for change in pending[count:]
        )
        if record.waiting is None or not rest:
            return Record(under, rest)
        return Record(record.confirmed, rest, record.waiting._replace(base=under))

    def _has_met(self, record: Record, remote: Document) -> bool:
        """Tell whether all of a server's document had come from device to device before: nothing is to be decided."""
        return includes(version_of(record, self.counters.replica), without_server(remote.version))

    def _on_known(self, record: Record, remote: Document) -> Record:
        """Put pending changes on a server's document that they have met already.

        Those before the last one that came from a device had not seen that, so they are merged by their stamps, too.
        Where the server has a tombstone, only the whole document can come back.
        """
        pending = record.pending
        if pending and remote.body is None:
            return self._on_tombstone(record, remote)
        last = max((i for i, change in enumerate(pending) if change.contains is not None), default=-1)
        return Record(
            remote,
            tuple(
                self._as_shown(record, i)._replace(base=None) if i < last else change._replace(base=None)
                for i, change in enumerate(pending)
            ),
        )

    def _as_shown(self, record: Record, index: int) -> Pending:
        """Give a change of this replica's own as if it had come from a device: it is merged by its stamps."""
        change, replica = record.pending[index], self.counters.replica
        if change.contains is not None:
            return change
        version = advance(made_on(record, index, replica), replica, change.n)
        return change._replace(contains=without_server(version))

    def _on_tombstone(self, record: Record, remote: Document) -> Record:
        """Put pending changes that have met the server's tombstone on it, each in its place: the first is whole.

        A delete may be among them that had seen what some device is still to bring.
        """
        now, kept = remote.state, []
        for i, change in enumerate(record.pending):
            after = united(remote.state, Record(record.base, record.pending[: i + 1]).state or ABSENT)
            fresh = news(now, after)
            if fresh is None:
                self.struck.append((change.n, size_of(change)))
                continue
            operation, state = step_between(now, after, fresh)
            again = self._as_shown(record, i)._replace(op_id=self.rng.randbytes(16).hex(), merge=MERGE_FIELDS)
            contains = {**(again.contains or {}), self.counters.replica: change.n}
            again = again._replace(operation=operation, state=state, base=None, deeds=(), contains=contains)
            more = size_of(again) - size_of(change)
            self.counters.pending_bytes = max(0, self.counters.pending_bytes + more)
            kept.append(again)
            now = after
        return Record(remote, tuple(kept))

    def _without_deletes(self, pending: tuple[Pending, ...]) -> tuple[Pending, ...]:
        """Let a delete of what was made again empty the document: that can be merged, whoever came first."""
        if all(change.operation != "delete" for change in pending):
            return pending
        result: list[Pending] = []
        for change in pending:
            if change.operation != "update" and change.contains is None:
                op_id = self.rng.randbytes(16).hex()
                emptied = inserted({}, change.state.timestamp)
                state = emptied if change.operation == "delete" else change.state
                self._grow(size_of(change._replace(state=state)) - size_of(change))
                change = change._replace(op_id=op_id, operation="update", state=state)
            result.append(change)
        return tuple(result)

    def _park(self, name: Name, record: Record, remote: Document, wait: Wait) -> None:
        """Keep both sides until somebody decides; a reader goes on to see the local one."""
        self.outcome.conflicts += record.waiting is None
        waiting = Waiting(record.base, wait.reason, self.now_ms, wait.asks, wait.clashes)
        self.records[name] = with_waiting(rebased(record, remote), waiting)
        if wait.asks:
            self.outcome.asks.append(name)
        else:
            self._tell_conflict(name, "waiting")

    def _tell_conflict(self, name: Name, reason: str = "") -> None:
        self.outcome.events.append(conflict_event(name, self.records[name], self.counters.replica, reason))

    def _settle(self, name: Name, record: Record, remote: Document, decision: Decision | None) -> None:
        """Let a decision stand, and note in the ledger what it gives up."""
        if isinstance(decision, AcceptRemote):
            self.losses.change(name, "lost", record.state or ABSENT, record.pending, remote)
        bodies = chosen_bodies(decision, record, remote)
        given_up = decision.given_up if isinstance(decision, Merge) else None
        if bodies[-1] is remote.body:
            self._drop(name, record, remote)
        else:
            self._keep(name, record, remote, bodies, given_up)
            if isinstance(decision, Merge):
                self.losses.local_loser(name, record, self.records[name], given_up)
        self._tell_conflict(name)

    def _resolve_absent(self, name: Name, record: Record) -> None:
        """Keep what makes a document from nothing; changes of one that the server has not go to the ledger.

        So does what may have made a document that has been deleted since, if nobody knows that any more.
        """
        numbers = self._doubts_of(name)
        begin = max((i + 1 for i, change in enumerate(record.pending) if change.n in numbers), default=0)
        inserts = [i for i, change in enumerate(record.pending) if change.operation == "insert" and i >= begin]
        kept = record.pending[inserts[-1] :] if inserts else ()
        gone = record.pending[: len(record.pending) - len(kept)]
        if not kept and gone:
            is_purged = bool(numbers) or record.confirmed is not None
            kind, problem = ("purged", _PURGED) if is_purged else ("rejected", NO_DOCUMENT)
            self.outcome.conflicts += 1
            self.taken_back[name] = (kind, gone[-1].op_id)
            result = Result(gone[-1].op_id, "rejected", error=problem)
            self.losses.hidden(name, record)
            if record.is_shown or not is_purged:
                self.losses.change(name, kind, record.state or ABSENT, record.pending, None, result)
        self.struck += [(change.n, size_of(change)) for change in gone]
        self.records[name] = Record(None, tuple(change._replace(base=None) for change in kept))

    def _drop(self, name: Name, record: Record, remote: Document) -> None:
        self.struck += [(change.n, size_of(change)) for change in record.pending]
        self.records[name] = Record(remote)

    def _keep(
        self,
        name: Name,
        record: Record,
        remote: Document,
        bodies: Sequence[Body | None],
        given_up: tuple[Body, Body] | None = None,
    ) -> None:
        """Put the server's version under the pending changes, made anew so that each gives its body.

        Each keeps its place in the outbox, so none is seen before what caused it, and its time where that is later
        than the server's version.
        """
        kept: list[Pending] = []
        at = remote.timestamp
        now = remote.state
        deeds: tuple[Deed, ...] = ()
        for change, body in zip(record.pending, bodies, strict=True):
            at = max(change.state.timestamp, tick(at, 0), self.latest if change is record.pending[-1] else "")
            patch = difference(now, body, at)
            deeds = remembered(deeds, change.deeds)
            if patch is None:
                self.struck.append((change.n, size_of(change)))
                continue
            operation: Operation = "delete" if body is None else "insert" if now.body is None else "update"
            op_id = self.rng.randbytes(16).hex()
            again = change._replace(op_id=op_id, operation=operation, state=patch, base=None, deeds=())
            if change.contains is not None:
                again = again._replace(contains={**change.contains, self.counters.replica: change.n})
            if has_crdts(patch.body):
                again, deeds = again._replace(deeds=deeds, relays=True), ()
            self._grow(size_of(again) - size_of(change))
            kept.append(again)
            now = merge(now, patch)
        self.counters.clock = max(self.counters.clock, at)
        result = Record(remote, tuple(kept))
        if kept:
            self.losses.remote_loser(name, remote, result, record, given_up)
        self.records[name] = result
