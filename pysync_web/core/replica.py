"""A replica's local side, as transaction bodies: documents, outbox entries, clock and counters change together.

Nothing here waits for anything but its transaction, and time and chance are arguments.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..causality import tick
from ..deferred import dataclass
from ..errors import FormatTooNew, InvalidDocument, SyncError
from ..values import JSON, canonical, dumps, loads
from .as_json import AsJson
from .digest import digest, digest_of_many
from .document import Body, Document, State, changed, deleted, inserted, merge
from .fields import MARK_TEXT, kept, refuse_states
from .limits import check_done, check_saved
from .optimistic import (
    EMPTY,
    Pending,
    Record,
    View,
    decode_record,
    document_of,
    documents_of,
    encode_record,
    new_record_text,
    view,
    view_of,
    view_text,
)
from .outbox import BLOCK_CHANGES, Appender, Bounds, Counters, Name, replica_of, strike
from .ports import Key, Random, ReadTransaction, WriteTransaction
from .recorded import Deed, Join, done, remembered, timed
from .wire import Operation

FORMAT = 1
"""The format of the records of a replica."""

ChangeType: TypeAlias = Literal[
    "LocalInsert",
    "LocalUpdate",
    "LocalDelete",
    "RemoteInsert",
    "RemoteUpdate",
    "RemoteDelete",
    "Conflict",
    "SyncComplete",
]


@dataclass(frozen=True, slots=True)
class Event(AsJson):
    """What happened to a document, or (``SyncComplete``) that a sync is through, with its counts.

    The manager tells its watchers once the transaction is durable. ``document`` is None where it was deleted.
    ``reason`` says why, where it was not an ordinary edit: "rejected", "quarantined", "expired" or "rolled_back" for
    a change that was taken back (``change_id``), "purged" for one of a document that was deleted so long ago that
    the server has forgotten it, "waiting" for a conflict that waits for a decision, "removed" for a document that is
    none of those asked for any more, and "evicted" for a copy that was dropped: others keep both.
    """

    change_type: ChangeType
    collection: str = ""
    key: str = ""
    document: dict[str, JSON] | None = None
    pushed_count: int = 0
    pulled_count: int = 0
    reason: str = ""
    change_id: str = ""


def change_event(name: Name, old: View | None, new: View | None, origin: str = "Remote") -> Event | None:
    """Say what happened to what a reader sees, None where that is nothing."""
    kind: Any = f"{origin}Delete" if new is None else f"{origin}Insert" if old is None else f"{origin}Update"
    if new is None:
        return Event(kind, *name) if old is not None else None
    if old is not None and old.timestamp == new.timestamp and old.body == new.body:
        return None
    return Event(kind, *name, new.document(name[1]))


def conflict_event(name: Name, record: Record, replica: str, reason: str = "") -> Event:
    """Say that a document was in conflict, or is, with what a reader sees of it."""
    seen = view(record, replica)
    return Event("Conflict", *name, seen.document(name[1]) if seen else None, reason=reason)


class Write(NamedTuple):
    """A document to save, with its canonical text, or (body None) to delete; or a deed to do to it."""

    collection: str
    key: str
    body: Body | None
    text: str = ""
    replace: bool = False
    deed: Deed | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """Documents of one collection to save: keys, bodies and canonical texts in the same order."""

    collection: str
    keys: Sequence[str]
    bodies: Sequence[Body]
    texts: Sequence[str]
    replace: bool = False
    wants_events: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class WriteOptions:
    """How local writes are made: what the server may merge, the outbox's bounds, all or nothing on the server.

    ``merges`` says what the server may merge in some collections; ``strategy`` is one for these writes alone, kept
    with them; a higher ``priority`` is sent earlier. What is done to CRDT values joins only a change after number
    ``opened_at``, the last one when this handle was opened: those before may wait in a copy of this storage too, and
    must stay the same in both. At most ``block`` of them are bound to travel together, but for a transaction.
    """

    merge: str | None = None
    bounds: Bounds = field(default_factory=Bounds)
    is_atomic: bool = False
    merges: Mapping[str, str | None] = field(default_factory=dict)
    strategy: str | None = None
    priority: int = 0
    opened_at: int = 0
    block: int = BLOCK_CHANGES

    def merge_in(self, collection: str) -> str | None:
        """Give what the server may merge in a collection."""
        return self.merges.get(collection, self.merge)


STUBS: Final = "evicted"
"""The space of copies that were dropped here alone: (collection, key) → the sequence of their version."""

LET_GO: Final = ("let_go",)
"""Where it lies in "meta" that a replica may have dropped documents in which it had counted."""

EMPTIED: Final = "this storage holds no replica: it was emptied under an open handle"


class LeaseLost(SyncError):
    """Another handle leads now; what this one was about to write was not written."""


async def open_replica(tx: WriteTransaction, rng: Random) -> tuple[str, bool]:
    """Give the replica's id, and whether it was made just now because the storage was empty."""
    text = await tx.get("meta", ("counters",))
    if text is not None:
        stored = loads(text)
        if stored["format"] > FORMAT:
            raise FormatTooNew(
                f"the records have format {stored['format']}, this pysync_web reads up to {FORMAT}: update it"
            )
        return str(stored["replica"]), False
    counters = Counters(replica=rng.randbytes(16).hex())
    tx.put("meta", ("counters",), counters.text())
    return counters.replica, True


async def load_counters(tx: ReadTransaction) -> Counters:
    """Read what the replica counts."""
    text = await tx.get("meta", ("counters",))
    if text is None:
        raise SyncError(EMPTIED)
    return Counters(**loads(text))


async def take_lease(tx: WriteTransaction) -> int:
    """Become the leader: give the lease's number, which every transaction of the exchange checks."""
    counters = await load_counters(tx)
    counters.lease += 1
    tx.put("meta", ("counters",), counters.text())
    return counters.lease


async def read_document(tx: ReadTransaction, collection: str, key: str) -> dict[str, JSON] | None:
    """Read one document, with what is given to it."""
    text = await tx.get("docs", (collection, key))
    if text is None:
        return None
    return document_of(key, loads(text), await load_replica(tx) if '"p":[' in text else "")


async def read_some(tx: ReadTransaction, collection: str, keys: Sequence[str]) -> list[dict[str, JSON] | None]:
    """Read several documents as :func:`read_document` does."""
    texts = await tx.get_many("docs", [(collection, key) for key in keys])
    replica = await load_replica(tx)
    return [document_of(key, loads(text), replica) if text else None for key, text in zip(keys, texts, strict=True)]


async def load_replica(tx: ReadTransaction) -> str:
    """Read the replica's id alone."""
    text = await tx.get("meta", ("counters",))
    if text is None:
        raise SyncError(EMPTIED)
    return replica_of(text)


async def read_view(tx: ReadTransaction, collection: str, key: str) -> View | None:
    """Read one document."""
    text = await tx.get("docs", (collection, key))
    if text is None:
        return None
    return view_text(text, await load_replica(tx) if '"p":[' in text else "")


async def read_documents(
    tx: ReadTransaction, collection: str, *, limit: int | None = None, offset: int = 0
) -> list[tuple[str, dict[str, JSON]]]:
    """Read a collection's documents, with what is given to them, in the order of their keys."""
    replica = await load_replica(tx)
    found: list[tuple[str, dict[str, JSON]]] = []
    after: Key | None = None
    step = None if limit is None else limit + offset + 16
    while True:
        rows = await tx.scan("docs", (collection,), after=after, limit=step)
        found += documents_of(rows, replica)
        if step is None or len(rows) < step or len(found) >= offset + (limit or 0):
            return found[offset : None if limit is None else offset + limit]
        after = rows[-1][0]


async def count(tx: ReadTransaction, collection: str) -> int:
    """Count a collection's documents."""
    text = await tx.get("collections", (collection,))
    return int(loads(text)["count"]) if text else 0


async def collections(tx: ReadTransaction) -> list[str]:
    """Name the collections that have a document."""
    return [str(key[0]) for key, text in await tx.scan("collections") if loads(text)["count"]]


async def write(
    tx: WriteTransaction, writes: Sequence[Write], now_ms: int, rng: Random, options: WriteOptions
) -> list[tuple[Event | None, View | None]]:
    """Save and delete documents; give what happened and what is now seen, for each write in order.

    A write that changes nothing is no event (None) and makes no change to send.
    """
    size = sum(len(item.text) for item in writes)
    session = Writer(tx, await load_counters(tx), now_ms, rng, options, len(writes), size)
    texts = await tx.get_many("docs", [(item.collection, item.key) for item in writes])
    results = []
    for item, text in zip(writes, texts, strict=True):
        results.append(await session.apply(item, text))
    await session.finish()
    return results


async def save_many(
    tx: WriteTransaction,
    writes: Many,
    now_ms: int,
    rng: Random,
    options: WriteOptions,
) -> list[Event]:
    """Save many documents of one collection; give what happened, in order, if that is wanted."""
    session = Writer(
        tx, await load_counters(tx), now_ms, rng, options, len(writes.keys), sum(map(len, writes.texts))
    )
    names = [(writes.collection, key) for key in writes.keys]
    texts = await tx.get_many("docs", names)
    for key, body, text in zip(writes.keys, writes.bodies, writes.texts, strict=True):
        if MARK_TEXT in text:
            refuse_states(body, key)
    if all(writes.bodies) and len(set(names)) == len(names) and not any(texts):
        events = await session.insert_many(names, writes)
    else:
        events = []
        for (_, key), body, text, stored in zip(names, writes.bodies, writes.texts, texts, strict=True):
            event, _ = await session.apply(Write(writes.collection, key, body, text, writes.replace), stored)
            if event is not None:
                events.append(event)
    await session.finish()
    return events


class Writer:
    """The writes of one transaction over the counters they share."""

    def __init__(
        self,
        tx: WriteTransaction,
        counters: Counters,
        now_ms: int,
        rng: Random,
        options: WriteOptions,
        expected: int,
        size: int,
    ) -> None:
        self.tx = tx
        self.counters = counters
        self.options = options
        self._now_ms = now_ms
        self._appender = Appender(counters, options.bounds, options.priority, options.block)
        self._ids = rng.randbytes(16 * expected).hex()
        self._rng = rng
        self._used = 0
        self._at = counters.clock = tick(counters.clock, now_ms)
        self._written: dict[Name, str | None] = {}
        self._unit: int | None = None
        self._struck: list[tuple[int, int]] = []
        self.totals = Totals(tx)
        if options.is_atomic:
            self._appender.reserve(expected, size)
            self._unit = counters.n + 1

    async def apply(self, item: Write, text: str | None) -> tuple[Event | None, View | None]:
        """Apply one write to a stored record."""
        name = (item.collection, item.key)
        if name in self._written:
            text = self._written[name]
            self._at = self.counters.clock = tick(self.counters.clock, self._now_ms)
        if MARK_TEXT in item.text:
            refuse_states(item.body or {}, item.key)
        if text is None and item.body:
            return await self._insert_new(name, item)
        record = decode_record(text)
        state = record.state
        self._follow(state)
        before = view(record, self.counters.replica)
        author = await self._author(record) if item.deed else self.counters.replica
        known = before.body if before else None
        change = self._done(state, item.deed, author) if item.deed else self._change(known, item)
        if change is None:
            return None, before
        after = self._append(name, record, *change, relays=author != self.counters.replica)
        now = change[1] if state is None else merge(state, change[1])
        if now.body is not None:
            _check(item, text or "", change[1], state, now, after.pending[-1].state.body or {})
        self._put(name, after)
        seen = view_of(after, now, self.counters.replica)
        await self.totals.count(item.collection, (seen is not None) - (before is not None))
        kind: ChangeType = "LocalDelete" if seen is None else "LocalUpdate" if before else "LocalInsert"
        return Event(kind, *name, seen.document(item.key) if seen else None), seen

    async def insert_many(self, names: Sequence[Name], writes: Many) -> list[Event]:
        """Write documents that never were, in blocks: what :meth:`apply` does for each, without a step for each."""
        numbers = self._appender.add_many(names, writes.texts)
        put, at, ids, unit, strategy = self.tx.put, self._at, self._ids, self._unit, self.options.strategy
        merge_kind = self.options.merge_in(writes.collection)
        start = 0
        for name, text, n in zip(names, writes.texts, numbers, strict=True):
            put("docs", name, new_record_text(text, at, ids[start : start + 32], n, merge_kind, unit, strategy))
            start += 32
        await self.totals.count(writes.collection, len(names))
        if not writes.wants_events:
            return []
        replica = self.counters.replica
        return [
            Event("LocalInsert", *name, View(body, {replica: n}, at).document(name[1]))
            for name, body, n in zip(names, writes.bodies, numbers, strict=True)
        ]

    async def finish(self) -> None:
        """Put the outbox's entries, the collections' counts and the counters."""
        self._appender.write(self.tx)
        if self._struck:
            await strike(self.tx, self.counters, self._struck)
        self.totals.write()
        self.tx.put("meta", ("counters",), self.counters.text())

    async def _insert_new(self, name: Name, item: Write) -> tuple[Event, View | None]:
        """Write a document that never was: the usual case of a bulk load, so its record is spliced."""
        op_id = self._op_id()
        n = self._appender.add(name, len(item.text))
        merge_kind, strategy = self.options.merge_in(item.collection), self.options.strategy
        text = new_record_text(item.text, self._at, op_id, n, merge_kind, self._unit, strategy)
        self.tx.put("docs", name, text)
        self._written[name] = text
        await self.totals.count(item.collection, 1)
        seen = View(item.body or {}, {self.counters.replica: n}, self._at)
        return Event("LocalInsert", *name, seen.document(name[1])), seen

    def _follow(self, state: State | None) -> None:
        """Let the clock pass what a document shows: it may have come from a faster clock than the server's."""
        if state is not None and state.timestamp >= self._at:
            self._at = self.counters.clock = tick(state.timestamp, self._now_ms)

    def _change(self, body: Body | None, item: Write) -> tuple[Operation, State] | None:
        """Give what a write does to the body that is seen, None where that is nothing."""
        if item.body is None:
            return None if body is None else ("delete", deleted(self._at))
        if body is None:
            return "insert", inserted(item.body, self._at)
        given = kept(body, item.body, item.key)
        patch = changed(body, given if item.replace else {**body, **given}, self._at)
        return None if patch is None else ("update", patch)

    async def _author(self, record: Record) -> str:
        """Give the name under which CRDT values of a document are changed.

        Of a document that is not here, and may have been, it is not known what was done under the replica's own name.
        So it takes another one until the document has come.
        """
        replica = self.counters.replica
        if record.confirmed is not None or await self.tx.get("meta", LET_GO) is None:
            return replica
        return f"{replica}@{record.pending[0].n if record.pending else self.counters.n + 1}"

    def _done(self, state: State | None, deed: Deed, author: str) -> tuple[Operation, State, Deed] | None:
        """Give what a deed does to a CRDT value of a document, which begins with it where it is not there."""
        deed = deed._replace(operation=timed(deed.operation, self._at))
        patch = done(state, deed, author, self._at)
        is_there = state is not None and state.body is not None
        return None if patch is None else ("update" if is_there else "insert", patch, deed)

    def _append(
        self,
        name: Name,
        record: Record,
        operation: Operation,
        state: State,
        deed: Deed | None = None,
        *,
        relays: bool = False,
    ) -> Record:
        """Add a change behind the pending ones, or merge it into the last of them where that may still grow."""
        merge_kind = "fields" if deed else self.options.merge_in(name[0])
        deeds = (deed,) if deed else ()
        last = record.pending[-1] if record.pending else None
        is_shared = bool(last and (deeds or last.deeds) and last.n <= self.options.opened_at)
        if last and self._may_grow(last) and last.merge == merge_kind and not is_shared:
            return self._coalesced(record, last, operation, state, deeds, relays=relays)
        size = len(dumps(state.body))
        n = self._appender.add(name, size)
        op_id, unit, strategy = self._op_id(), self._unit, self.options.strategy
        relays |= _relays(deeds) or any(change.relays for change in record.pending)  # it has seen what they pass on
        pending = Pending(op_id, n, operation, state, merge_kind, None, unit, deeds, relays, strategy)
        return Record(record.confirmed, (*record.pending, pending), record.waiting)

    def _may_grow(self, last: Pending) -> bool:
        """Tell whether a change takes in another; one that was rebased has not seen what this one has."""
        is_open = self.counters.is_open(last.n) and last.unit == self._unit and last.base is None
        is_alike = last.strategy == self.options.strategy and self.counters.priority == self.options.priority
        return is_open and is_alike and last.operation != "delete" and last.contains is None

    def _coalesced(
        self,
        record: Record,
        last: Pending,
        operation: Operation,
        state: State,
        deeds: tuple[Deed, ...],
        *,
        relays: bool,
    ) -> Record:
        earlier = record.pending[:-1]
        if operation == "delete" and last.operation == "insert":
            self._struck.append((last.n, size_of(last)))
            return Record(record.confirmed, earlier, record.waiting if earlier else None)
        if operation == "delete":
            self._count_bytes(len("null") - size_of(last))
            gone = last._replace(operation="delete", state=state, deeds=())
            return Record(record.confirmed, (*earlier, gone), record.waiting)
        merged = merge(last.state, state)
        self._count_bytes(len(dumps(merged.body)) - size_of(last))
        relays |= last.relays or _relays(deeds)
        grown = last._replace(state=merged, deeds=remembered(last.deeds, deeds), relays=relays)
        return Record(record.confirmed, (*earlier, grown), record.waiting)

    def _count_bytes(self, more: int) -> None:
        self.counters.pending_bytes = max(0, self.counters.pending_bytes + more)
        self.counters.block_bytes = max(0, self.counters.block_bytes + more)

    def _put(self, name: Name, record: Record) -> None:
        if record == EMPTY:
            self.tx.delete("docs", name)
            self._written[name] = None
        else:
            text = self._written[name] = encode_record(record)
            self.tx.put("docs", name, text)

    def _op_id(self) -> str:
        start = 32 * self._used
        self._used += 1
        return self._ids[start : start + 32] or self._rng.randbytes(16).hex()


def _check(item: Write, stored: str, patch: State, before: State | None, after: State, sent: Body) -> None:
    """Raise :class:`InvalidDocument` where a write makes of a document what the server would refuse."""
    place = f"document {item.key!r}"
    if item.deed is None:
        check_saved(place, len(item.text) + len(stored), before, after, sent)
    else:
        size = len(canonical(patch.body, place)) + len(stored)
        check_done(place, item.deed.path, patch, size, before, after, sent)


def _relays(deeds: Sequence[Deed]) -> bool:
    return any(isinstance(deed.operation, Join) for deed in deeds)


class Totals:
    """How many documents each touched collection shows, and the digest of its confirmed versions."""

    def __init__(self, tx: WriteTransaction) -> None:
        self._tx = tx
        self._records: dict[str, list[int]] = {}

    async def count(self, collection: str, more: int) -> None:
        """Count documents that appeared (or, negative, went)."""
        if more:
            (await self._record(collection))[0] += more

    async def confirm(self, name: Name, before: Document | None, after: Document | None) -> None:
        """Note that another version of a document is the confirmed one; deleted ones are in no digest."""
        await self.hold(name, _held_sequence(before), _held_sequence(after))

    async def hold(self, name: Name, old: int, new: int) -> None:
        """Note that a document is held here, or known and evicted, at another sequence than before, 0: it is not."""
        if old != new:
            record = await self._record(name[0])
            record[1] += (digest(*name, new) if new else 0) - (digest(*name, old) if old else 0)

    async def recount(self, collection: str) -> None:
        """Count a collection anew, and sum it up, whatever was noted of it."""
        record = self._records[collection] = [0, 0]
        for key, text in await self._tx.scan("docs", (collection,)):
            stored = decode_record(text)
            record[0] += stored.is_shown
            if stored.confirmed is not None and stored.confirmed.body is not None:
                record[1] += digest(collection, str(key[1]), stored.sequence)
        for key, text in await self._tx.scan(STUBS, (collection,)):
            record[1] += digest(collection, str(key[1]), int(text))

    async def confirm_many(self, names: Sequence[Name], before: Sequence[int], after: Sequence[int]) -> None:
        """Note that many documents are held at other sequences than before, 0: one is not, or was deleted."""
        changed: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for (collection, key), old, new in zip(names, before, after, strict=True):
            if old != new:
                changed[collection].append((key, old, new))
        for collection, rows in changed.items():
            record = await self._record(collection)
            record[1] += digest_of_many(collection, [(key, new) for key, _, new in rows])
            record[1] -= digest_of_many(collection, [(key, old) for key, old, _ in rows])

    def write(self) -> None:
        """Put what changed."""
        for collection, (documents, total) in self._records.items():
            text = dumps({"count": documents, "digest": f"{total % 2**64:016x}"})
            self._tx.put("collections", (collection,), text)

    async def _record(self, collection: str) -> list[int]:
        record = self._records.get(collection)
        if record is None:
            text = await self._tx.get("collections", (collection,))
            stored: dict[str, Any] = loads(text) if text else {"count": 0, "digest": "0"}
            record = self._records[collection] = [stored["count"], int(stored["digest"], 16)]
        return record


def _held_sequence(document: Document | None) -> int:
    return document.version.get("server", 0) if document and document.body is not None else 0


def size_of(change: Pending) -> int:
    """Give the bytes that a pending change counts for."""
    return len(dumps(change.state.body))


def checked_body(document: object, key: str) -> Body:
    """Give a user's document without the members that the library gives, or raise :class:`InvalidDocument`."""
    if type(document) is not dict:
        raise InvalidDocument(f"document {key!r}: a document is a dict, not {type(document).__name__}")
    if "_key" in document or "_version" in document or "_timestamp" in document:
        if document.get("_key", key) != key:
            raise InvalidDocument(f"document {key!r}: its _key is {document['_key']!r}")
        return {name: value for name, value in document.items() if name not in ("_key", "_version", "_timestamp")}
    return document
