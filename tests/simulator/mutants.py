"""Bugs that were planted: each takes one step wrongly, as real systems did, and must be found by the checkers.

Nothing in the product knows of them. Why each is wrong stands in the docstrings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pysync_web.core.conflict import AcceptLocal, AcceptRemote, Conflict
from pysync_web.core.exchange import ExchangeOptions, load_sync
from pysync_web.core.intake import apply_response
from pysync_web.core.inventory import Inventory
from pysync_web.core.meeting import Shown, take_in
from pysync_web.core.optimistic import Record, decode_record, encode_record
from pysync_web.core.outbox import Bounds, strike
from pysync_web.core.push import Guard
from pysync_web.core.replica import Write, WriteOptions, load_counters, size_of, write
from pysync_web.core.tending import Tended
from pysync_web.core.wire import SyncRequest, SyncResponse
from pysync_web.crdt import MARK, value
from pysync_web.errors import Rejected
from pysync_web.values import dumps, loads

from .storage import SimulatedStorage, run
from .subject import Subject


class Canary(Subject):
    """Forgets the last document of a transaction: whoever does not find this finds nothing."""

    def write(
        self, storage: SimulatedStorage, writes: Sequence[Write], now_ms: int, rng: Any, options: WriteOptions
    ) -> Any:
        return super().write(storage, writes[:-1], now_ms, rng, options)


class CursorBeforeApply(Subject):
    """Saves the cursor before the page: a crash in between makes a hole that is never filled."""

    def apply(
        self,
        storage: SimulatedStorage,
        request: SyncRequest,
        response: SyncResponse,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
    ) -> Any:
        async def move(tx: Any, to: int) -> None:
            sync = await load_sync(tx)
            sync.cursor = to
            tx.put("meta", ("sync",), sync.text())

        cursor = run(storage.read(load_sync)).cursor
        after = response.server_version.get("server", 0)
        if response.since != cursor or after <= cursor:
            return super().apply(storage, request, response, now_ms, rng, options)
        run(storage.write(lambda tx: move(tx, after)))

        async def rest(tx: Any) -> Any:
            await move(tx, cursor)
            return await apply_response(tx, request, response, now_ms, rng, options)

        return run(storage.write(rest))


class OutboxDeletedBeforeAck(Subject):
    """Takes changes out of the outbox when they are sent: an answer that is lost takes them along."""

    def build(self, storage: SimulatedStorage, rng: Any, options: ExchangeOptions) -> SyncRequest:
        request = super().build(storage, rng, options)
        sent = {change.op_id for change in request.changes}

        async def forget(tx: Any) -> None:
            counters = await load_counters(tx)
            for name in dict.fromkeys((change.collection, change.key) for change in request.changes):
                record = decode_record(await tx.get("docs", name))
                gone = [change for change in record.pending if change.op_id in sent]
                left = tuple(change for change in record.pending if change.op_id not in sent)
                state = Record(record.confirmed, tuple(gone)).state
                confirmed = record.confirmed._replace(state=state) if record.confirmed and state else None
                tx.put("docs", name, encode_record(Record(confirmed, left)))
                await strike(tx, counters, [(change.n, size_of(change)) for change in gone])
            tx.put("meta", ("counters",), counters.text())

        if sent:
            run(storage.write(forget))
        return request


class DocumentAndOutboxApart(Subject):
    """Writes the document in one transaction and the outbox in another: a crash in between, and it is never sent."""

    def write(
        self, storage: SimulatedStorage, writes: Sequence[Write], now_ms: int, rng: Any, options: WriteOptions
    ) -> Any:
        later = Later()

        async def first(tx: Any) -> Any:
            return await write(later.over(tx), writes, now_ms, rng, options)

        async def second(tx: Any) -> None:
            for space, key, text in later.writes:
                if text is None:
                    tx.delete(space, key)
                else:
                    tx.put(space, key, text)

        result = run(storage.write(first))
        run(storage.write(second))
        return result


class Later:
    """A transaction that keeps what goes to the outbox for another one."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, Any, str | None]] = []

    def over(self, tx: Any) -> Later:
        """Take a transaction for everything else."""
        self.get, self.get_many, self.scan, self._tx = tx.get, tx.get_many, tx.scan, tx
        return self

    def put(self, space: str, key: Any, text: str) -> None:
        """Store a text, now or later."""
        if space == "outbox":
            self.writes.append((space, key, text))
        else:
            self._tx.put(space, key, text)

    def delete(self, space: str, key: Any) -> None:
        """Remove a key, now or later."""
        if space == "outbox":
            self.writes.append((space, key, None))
        else:
            self._tx.delete(space, key)


class RestoreKeepsIdentity(Subject):
    """Lets a restored or cloned replica go on under its old id: its numbers then name two changes."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        text = storage.text("replicas", (request.client_id,))
        if text is not None:
            request = replace(request, fence=loads(text)["fence"])
        return super().serve(storage, request, now_ms, rng, guard)


def local_wins_ties(conflict: Conflict) -> Any:
    """Decide by time alone, and for whoever comes later where the times are equal."""
    return AcceptLocal() if conflict.local_timestamp >= conflict.remote_timestamp else AcceptRemote()


class LastWriteWinsTieByArrival(Subject):
    """Decides equal times by who arrives last: the same two changes may end in two ways."""

    resolver = staticmethod(local_wins_ties)


class ClockNotPersisted(Subject):
    """Starts its logical clock anew with each write: when the wall clock goes back, so do its timestamps."""

    def write(
        self, storage: SimulatedStorage, writes: Sequence[Write], now_ms: int, rng: Any, options: WriteOptions
    ) -> Any:
        async def body(tx: Any) -> Any:
            counters = await load_counters(tx)
            counters.clock = ""
            tx.put("meta", ("counters",), counters.text())
            return await write(tx, writes, now_ms, rng, options)

        return run(storage.write(body))


class AckByCount(Subject):
    """Takes as many changes out of the outbox as there are verdicts, whichever these are about."""

    def apply(
        self,
        storage: SimulatedStorage,
        request: SyncRequest,
        response: SyncResponse,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
    ) -> Any:
        ids = [str(change.op_id) for change in request.changes]
        results = tuple(result._replace(op_id=op_id) for result, op_id in zip(response.results, ids, strict=False))
        return super().apply(storage, request, replace(response, results=results), now_ms, rng, options)


class Blind:
    """A storage that finds nothing in some spaces."""

    def __init__(self, storage: SimulatedStorage, *spaces: str) -> None:
        self._storage = storage
        self._spaces = spaces

    async def read(self, body: Any) -> Any:
        """Run a body that does not see the spaces."""
        return await self._storage.read(lambda tx: body(BlindTransaction(tx, self._spaces)))

    async def write(self, body: Any, *, relaxed: bool = False) -> Any:
        """Run a body that does not see the spaces, but may write there."""
        return await self._storage.write(lambda tx: body(BlindTransaction(tx, self._spaces)))


class BlindTransaction:
    """A transaction that finds nothing in some spaces."""

    def __init__(self, tx: Any, spaces: tuple[str, ...]) -> None:
        self._tx = tx
        self._spaces = spaces
        self.scan, self.put, self.delete = tx.scan, tx.put, tx.delete

    async def get(self, space: str, key: Any) -> Any:
        """Read a text, or nothing."""
        return None if space in self._spaces else await self._tx.get(space, key)

    async def get_many(self, space: str, keys: Any) -> Any:
        """Read texts, or nothing."""
        return [None] * len(keys) if space in self._spaces else await self._tx.get_many(space, keys)


class FenceWithoutChangeIds(Subject):
    """Fences forked replicas, but does not know changes by their ids: after a fork they are applied again."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        blind: Any = Blind(storage, "ops")
        return super().serve(blind, request, now_ms, rng, guard)


class PushNotIdempotent(Subject):
    """Knows no request, no fence and no change: each retry is new."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        blind: Any = Blind(storage, "ops", "replicas")
        return super().serve(blind, request, now_ms, rng, guard)


class StateLostInJson(Subject):
    """Writes down what a CRDT value shows and reads that back: after a restart it is somebody's who begins anew."""

    def open(self, storage: SimulatedStorage, rng: Any) -> str:
        replica = super().open(storage, rng)

        async def forget(tx: Any) -> None:
            for key, text in await tx.scan("docs"):
                if '"$crdt":"pn_counter"' in text:
                    tx.put("docs", key, dumps(_from_values(loads(text), replica)))

        run(storage.write(forget))
        return replica


def _from_values(stored: Any, replica: str) -> Any:
    """Give JSON with each counter as one who counts its value at once."""
    if type(stored) is list:
        return [_from_values(value, replica) for value in stored]
    if type(stored) is not dict:
        return stored
    if stored.get(MARK) == "pn_counter":
        total = value(stored)
        return {MARK: "pn_counter", "counts": {replica: [total, 0]} if total else {}}
    return {name: _from_values(inner, replica) for name, inner in stored.items()}


class MeetingForgetsWhatItTook(Subject):
    """Takes what a device showed for a change of its own: it is sent as if nobody else had made or overwritten it."""

    def take_in(
        self, storage: SimulatedStorage, shown: Sequence[Shown], now_ms: int, rng: Any, bounds: Bounds
    ) -> Any:
        async def body(tx: Any) -> Any:
            intake = await take_in(tx, shown, now_ms, rng, bounds)
            for one in shown:
                record = decode_record(await tx.get("docs", one[:2]))
                pending = tuple(change._replace(contains=None) for change in record.pending)
                if pending != record.pending:
                    tx.put("docs", one[:2], encode_record(Record(record.confirmed, pending, record.waiting)))
            return intake

        return run(storage.write(body))


class InventorySkipsADocument(Subject):
    """Compares all documents but the last of each collection: what has changed there is never told."""

    def inventory(self, storage: SimulatedStorage, wanted: frozenset[str] | None) -> Inventory:
        found = super().inventory(storage, wanted)
        for marks in found.marks.values():
            marks.popitem()
        return found


class NoLedger(Later):
    """A transaction that writes nothing into the ledger."""

    def put(self, space: str, key: Any, text: str) -> None:
        """Store a text, if it is none of the ledger's."""
        if space != "ledger":
            self._tx.put(space, key, text)


class MeetingKeepsNoLedger(Subject):
    """Takes documents in without a word about what gives way to them."""

    def take_in(
        self, storage: SimulatedStorage, shown: Sequence[Shown], now_ms: int, rng: Any, bounds: Bounds
    ) -> Any:
        async def body(tx: Any) -> Any:
            return await take_in(NoLedger().over(tx), shown, now_ms, rng, bounds)

        return run(storage.write(body))


class FilterLeaveNotSignalled(Subject):
    """Sends what a filter lets through, and nothing of what has left it: that stays on the devices."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        answer = loads(super().serve(storage, request, now_ms, rng, guard))
        kept = [one for one in answer.get("server_changes", ()) if one["operation"] != "remove"]
        return dumps({**answer, "server_changes": kept})


class CompactionIgnoresOldCursor(Subject):
    """Forgets deletes and answers whoever has not heard of them as if nothing had been: the documents stay there."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        try:
            return super().serve(storage, request, now_ms, rng, guard)
        except Rejected as refusal:
            if refusal.code != "resync":
                raise
        answer = loads(super().serve(storage, replace(request, began=2**52), now_ms, rng, guard))
        return dumps({name: value for name, value in answer.items() if name != "began"})


class PokeTrustedAsData(Subject):
    """Takes the head in a poke for what it has: a poke that overtakes the data makes a hole that is never filled."""

    def poked(self, storage: SimulatedStorage, head: int) -> None:
        async def body(tx: Any) -> None:
            sync = await load_sync(tx)
            sync.cursor = max(sync.cursor, head)
            tx.put("meta", ("sync",), sync.text())

        run(storage.write(body))


class SnapshotWithoutHighWaterMark(Subject):
    """Begins the feed where a snapshot ends, not where it began: what changed while it came is never told."""

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        if request.changes or not any(one.snapshot and one.snapshot.after for one in request.subscriptions):
            return super().serve(storage, request, now_ms, rng, guard)
        head = run(self._hub_of(storage, guard).head())
        late = replace(request, version_vector={**request.version_vector, "server": head})
        answer = loads(super().serve(storage, late, now_ms, rng, guard))
        return dumps({**answer, "since": request.since})


class TtlWithoutTombstone(Subject):
    """Removes documents that have expired as if they had never been: no device hears of it."""

    def tend(self, storage: SimulatedStorage, now_ms: int, before_ms: int, rng: Any) -> Tended:
        before = {key: loads(text) for key, text in storage.rows("docs")}
        done = super().tend(storage, now_ms, before_ms, rng)

        async def body(tx: Any) -> None:
            for key, text in storage.rows("docs"):
                if before[key]["operation"] != "delete" and loads(text)["operation"] == "delete":
                    tx.delete("docs", key)
                    tx.delete("feed", (loads(text)["version_vector"]["server"],))

        run(storage.write(body))
        return done


MUTANTS: dict[str, type[Subject]] = {
    "canary": Canary,
    "cursor_before_apply": CursorBeforeApply,
    "outbox_deleted_before_ack": OutboxDeletedBeforeAck,
    "doc_and_outbox_separate_tx": DocumentAndOutboxApart,
    "restore_keeps_identity": RestoreKeepsIdentity,
    "lww_tie_by_arrival": LastWriteWinsTieByArrival,
    "hlc_not_persisted": ClockNotPersisted,
    "ack_by_count_not_id": AckByCount,
    "fence_but_no_op_id_dedup": FenceWithoutChangeIds,
    "push_not_idempotent": PushNotIdempotent,
    "crdt_state_lost_in_json": StateLostInJson,
    "meeting_forgets_what_it_took": MeetingForgetsWhatItTook,
    "meeting_keeps_no_ledger": MeetingKeepsNoLedger,
    "inventory_skips_a_document": InventorySkipsADocument,
    "filter_leave_not_signalled": FilterLeaveNotSignalled,
    "compaction_ignores_old_cursor": CompactionIgnoresOldCursor,
    "poke_trusted_as_data": PokeTrustedAsData,
    "snapshot_without_high_water_mark": SnapshotWithoutHighWaterMark,
    "ttl_without_tombstone": TtlWithoutTombstone,
}
