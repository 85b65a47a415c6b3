"""A hub in the shadow of a backend that knows nothing of us: what it says is taken in, what it lacks is offered.

The bodies of transactions over the hub's storage. Beside each document of the hub lies its mirror, the document as
the backend has it; where both differ, or something was offered that may have arrived since, there is something to
push. What comes from the backend is compared with the mirror, never with the document: so a change made here
meanwhile is not taken for one that was undone there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ..causality import SERVER, tick
from ..deferred import dataclass
from ..errors import SchemaError
from ..values import JSON, dumps, loads, same
from .document import Body, Document, State, deleted, inserted
from .fields import MARK_TEXT, check_states, joining, without_others
from .hub_state import head_of, required_state
from .ledger import Entry, lost_fields, record_entry
from .mirror import Mirror, base_of, decode_mirror, difference, offered
from .outbox import Name
from .ports import Random, ReadTransaction, WriteTransaction
from .records import Accepted, Pulled, Refused, Sent, SyncRecord
from .requests import decide
from .wire import Change, Operation, SyncRequest, decode_losses, decode_stored

BACKEND: Final = "backend"
"""The replica's id under which the hub knows what the backend has changed."""

SCAN: Final = 500


@dataclass(slots=True)
class ShadowState:
    """Where we stand with the backend.

    ``since`` is its own token; up to ``pushed`` of the hub's sequence it has everything; ``generation`` changes
    whenever an answer of the backend that was asked for earlier would be out of date.
    """

    since: JSON = None
    pushed: int = 0
    generation: int = 0

    def text(self) -> str:
        """Give the text that stores the state."""
        return dumps({name: getattr(self, name) for name in self.__match_args__})


class Offer(NamedTuple):
    """Records to push, the sequence up to which was looked, and whether that is the end."""

    records: list[SyncRecord]
    at: int
    is_end: bool


async def load_state(tx: ReadTransaction) -> ShadowState:
    """Read where we stand."""
    text = await tx.get("hub", (BACKEND,))
    return ShadowState(**loads(text)) if text else ShadowState()


async def has_offers(tx: ReadTransaction) -> bool:
    """Tell whether the backend may lack something."""
    return (await load_state(tx)).pushed < await head_of(tx)


async def take_in(tx: WriteTransaction, page: Pulled, generation: int, now_ms: int, rng: Random) -> bool:
    """Take in what the backend has changed, with its token; tell whether that was still in time.

    A document that was changed on both sides merges by fields, the later change of a field stands (without a
    timestamp: the backend's); of an update and a delete the later one stands (without one: the update). What gives
    way is in the ledger. CRDT values of one kind are joined, whoever made them and whatever was written over.
    """
    state = await load_state(tx)
    if state.generation != generation:
        return False
    intake = _Intake(tx, (await required_state(tx)).clock, now_ms, rng)
    records = {record.name: record for record in page.records}
    if page.is_complete:
        for key, text in await tx.scan("mirrors"):
            name = (str(key[0]), str(key[1]))
            if name not in records and decode_mirror(text).body is not None:
                records[name] = SyncRecord(*name, "delete")
    for name, record in records.items():
        await intake.take(name, record)
    await intake.decide()
    if intake.has_news or page.since != state.since:
        state.generation += 1
        state.since = page.since
        tx.put("hub", (BACKEND,), state.text())
    return True


async def offer(tx: WriteTransaction, after: int, most: int, most_bytes: int) -> Offer:
    """Find what the backend lacks after a sequence, and write down that it is being sent.

    At most so many records with so many bytes, but at least one; in the order of their last changes.
    """
    state = await load_state(tx)
    at = max(after, state.pushed)
    is_clean = at == state.pushed
    before, size = state.pushed, 0
    records: list[SyncRecord] = []
    rows = await tx.scan("feed", after=(at,), limit=SCAN)
    for name, sequence, document, mirror in await _pairs(tx, rows):
        if same(document.body, mirror.body) and not mirror.offered:
            state.pushed = sequence if is_clean else state.pushed
        else:
            is_clean = False
            size += len(dumps(document.body))
            if records and (len(records) >= most or size > most_bytes):
                break
            records.append(_record(name, document, mirror))
            tx.put("mirrors", name, offered(mirror, document.body).text())
        at = sequence
    if state.pushed != before:
        tx.put("hub", (BACKEND,), state.text())
    is_end = len(rows) < SCAN and (not rows or at >= int(rows[-1][0][0]))
    return Offer(records, at, is_end)


async def settle(
    tx: WriteTransaction, sent: Sequence[Sent], ops: Mapping[Name, Sequence[str]], now_ms: int, rng: Random
) -> list[SyncRecord]:
    """Note what became of records that were offered; give those whose refusal came too late, as they changed again.

    A refused change is undone in the hub; the changes of a replica that made it (``ops``) will be told the reason.
    """
    clock = (await required_state(tx)).clock
    late: list[SyncRecord] = []
    undone: list[Change] = []
    for record, verdict in sent:
        mirror = decode_mirror(await tx.get("mirrors", record.name))
        if isinstance(verdict, Accepted):
            _put(tx, record.name, Mirror(record.document, verdict.version))
            continue
        document = await _document(tx, record.name)
        if document is None or _id(document, mirror) != record.id:
            late.append(record)
            continue
        undone += _undo(record.name, document, mirror, tick(max(clock, document.timestamp), now_ms))
        _put(tx, record.name, mirror._replace(offered=(), turn=0))
        _refuse(tx, record, verdict, ops.get(record.name, ()), now_ms, rng)
    await _decide(tx, undone, now_ms, rng)
    state = await load_state(tx)
    tx.put("hub", (BACKEND,), replace(state, generation=state.generation + 1).text())
    return late


async def refusals(tx: ReadTransaction, op_ids: Sequence[str]) -> dict[str, Refused]:
    """Give the reasons why changes were refused, by op id."""
    texts = await tx.get_many("refused", [(op_id,) for op_id in op_ids])
    return {op_id: Refused(op_id, **loads(text)) for op_id, text in zip(op_ids, texts, strict=True) if text}


class _Intake:
    """A page of the backend on its way into the hub."""

    def __init__(self, tx: WriteTransaction, clock: str, now_ms: int, rng: Random) -> None:
        self.tx = tx
        self.clock = clock
        self.now_ms = now_ms
        self.rng = rng
        self.has_news = False
        self.changes: list[Change] = []

    async def take(self, name: Name, record: SyncRecord) -> None:
        """Note what a record says that we do not know; an echo of our own push says nothing."""
        mirror = decode_mirror(await self.tx.get("mirrors", name))
        if not await self._is_sound(record):
            return
        base = base_of(mirror, record.document)
        is_ours = base is not mirror.body
        after = Mirror(record.document, record.version, () if is_ours else mirror.offered, mirror.turn)
        if mirror.offered:
            after = after._replace(turn=mirror.turn + 1)
        if after != mirror:
            _put(self.tx, name, after)
            self.has_news = True
        if difference(base, record.document, record.timestamp) is not None:
            current = await _document(self.tx, name)
            self.changes += self._changes(name, record, base, current)

    async def _is_sound(self, record: SyncRecord) -> bool:
        """Tell whether the CRDT values of a record are such; if not, the ledger says so once."""
        text = dumps(record.document)
        if MARK_TEXT not in text:
            return True
        try:
            check_states(record.document, "document")
        except SchemaError as error:
            mark = (sha256(dumps([*record.name, text]).encode()).hexdigest(),)
            if await self.tx.get("refused", mark) is None:
                why = Refused("", str(error), error.code)
                _refuse(self.tx, record, why, (), self.now_ms, self.rng)
                self.tx.put("refused", mark, dumps({"reason": why.reason, "code": why.code}))
            return False
        return True

    def _changes(self, name: Name, record: SyncRecord, base: Body | None, current: Document | None) -> list[Change]:
        """Give the change that the hub should make for a record that differs from what the backend had."""
        theirs, at = record.document, record.timestamp
        ours = current.body if current else None
        state = difference(base, theirs, at)
        assert state is not None
        state = self._joining(state, current)
        if current is None or same(ours, base):
            operation: Operation = "delete" if theirs is None else "insert" if ours is None else "update"
            return [_change(name, operation, state, current)]
        is_later = bool(at) and at > current.timestamp
        if theirs is None and ours is not None:
            if not is_later:
                self._note(name, "delete", None, at, current)
                return []
            self._note(name, "update", current, at, None)
            return [_change(name, "delete", state, current)]
        if theirs is not None and ours is None:
            if at and not is_later:
                self._note(name, "update", Document(inserted(theirs, at), {}), at, current)
                return []
            self._note(name, "delete", None, current.timestamp, None)
            return [_change(name, "insert", self._joining(inserted(theirs, at), current), current)]
        return [_change(name, "insert" if base is None else "update", state, None)]

    def _joining(self, state: State, current: Document | None) -> State:
        """Give what is to be changed, with CRDT values that join those that are here."""
        at = state.timestamp or tick(max(self.clock, current.timestamp if current else ""), self.now_ms)
        return joining(state, current.state if current else None, at)

    def _note(
        self, name: Name, operation: Operation, loser: Document | None, at: str, against: Document | None
    ) -> None:
        """Tell the ledger what of an update and a delete gave way."""
        body = loser.body if loser else None
        entry = Entry("lost", *name, operation, body, at, loser.op_id if loser else "", self.now_ms)
        if against is not None:
            entry = replace(entry, against_op_id=against.op_id, against_timestamp=against.timestamp)
        record_entry(self.tx, entry, self.rng)

    async def decide(self) -> None:
        """Let the hub decide the changes; tell the ledger what merging lost on either side."""
        results = await _decide(self.tx, self.changes, self.now_ms, self.rng)
        for change, result in zip(self.changes, results, strict=True):
            name = (change.collection, change.key)
            if result["status"] == "rejected":
                entry = Entry("rejected", *name, change.operation, change.state.body, "", "", self.now_ms)
                error = result["error"]
                entry = replace(entry, code=error["code"], message=error["message"])
                record_entry(self.tx, entry, self.rng)
            after = await _document(self.tx, name)
            mine, theirs = decode_losses(result)
            for gone, op_id in ((mine, result["op_id"]), (theirs and theirs.state, theirs and theirs.op_id)):
                if gone and after:
                    record_entry(self.tx, lost_fields(name, gone, op_id or "", after, self.now_ms), self.rng)


async def _decide(
    tx: WriteTransaction, changes: Sequence[Change], now_ms: int, rng: Random
) -> list[dict[str, Any]]:
    """Make changes in the hub under the backend's name; give the verdicts."""
    if not changes:
        return []
    request = SyncRequest(BACKEND, BACKEND, changes=tuple(changes), limit=0)
    answer = await decide(tx, request, now_ms, rng, keeps_times=True)
    results: list[dict[str, Any]] = answer.head["results"]
    return results


def _change(name: Name, operation: Operation, state: State, seen: Document | None) -> Change:
    """Give a change made on a document that was seen, or (None) on none: then it merges with what is there.

    It may have CRDT values that devices made which this hub never hears: the backend passes them on.
    """
    base = seen.version if seen else {}
    whole = operation == "insert"
    return Change(*name, operation, state, whole, base_version=base, merge="fields", relays=True)


def _undo(name: Name, document: Document, mirror: Mirror, at: str) -> list[Change]:
    """Give the change that makes a document what the backend has; its CRDT values begin a life there at a time."""
    if mirror.body is None:
        return [_change(name, "delete", deleted(""), document)] if document.body is not None else []
    if document.body is None:
        return [_change(name, "insert", joining(inserted(mirror.body, ""), document.state, at), document)]
    old = without_others(document.body, mirror.body)
    state = difference(old, mirror.body, "" if old is document.body else at)
    return [_change(name, "update", state, document)] if state else []


def _refuse(
    tx: WriteTransaction, record: SyncRecord, why: Refused, ops: Sequence[str], now_ms: int, rng: Random
) -> None:
    """Keep a reason for the replica that made the change, or tell the ledger where nobody waits for a verdict."""
    for op_id in ops:
        tx.put("refused", (op_id,), dumps({"reason": why.reason, "code": why.code}))
    if not ops:
        body, at = record.document, record.timestamp
        entry = Entry("rejected", *record.name, record.operation, body, at, record.id, now_ms)
        record_entry(tx, replace(entry, code=why.code, message=why.reason), rng)


def _record(name: Name, document: Document, mirror: Mirror) -> SyncRecord:
    operation: Operation = "delete" if document.body is None else "insert" if mirror.body is None else "update"
    return SyncRecord(*name, operation, document.body, document.timestamp, mirror.version, _id(document, mirror))


def _id(document: Document, mirror: Mirror) -> str:
    """Name a content as it is offered: a backend that changed its mind since may not take it for an old story."""
    return f"{document.op_id}.{mirror.turn}" if mirror.turn else document.op_id


def _put(tx: WriteTransaction, name: Name, mirror: Mirror) -> None:
    if mirror.body is None and not mirror.offered:
        tx.delete("mirrors", name)
    else:
        tx.put("mirrors", name, mirror.text())


async def _document(tx: ReadTransaction, name: Name) -> Document | None:
    text = await tx.get("docs", name)
    return decode_stored(text) if text else None


async def _pairs(tx: ReadTransaction, rows: Sequence[tuple[Any, str]]) -> list[tuple[Name, int, Document, Mirror]]:
    """Give each document of a part of the feed with its sequence and its mirror."""
    names: list[Name] = [(name[0], name[1]) for name in (loads(text) for _, text in rows)]
    texts = await tx.get_many("docs", names)
    mirrors = await tx.get_many("mirrors", names)
    return [
        (name, document.version[SERVER], document, decode_mirror(mirror))
        for name, text, mirror in zip(names, texts, mirrors, strict=True)
        if text is not None and (document := decode_stored(text))
    ]
