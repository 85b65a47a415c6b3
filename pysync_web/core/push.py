"""The changes of one request, decided one after the other over the documents that they touch, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from ..causality import SERVER, advance, covers, follows, includes, join, timestamp, without_server
from ..causality import tick as next_timestamp
from ..values import dumps, loads, quoted
from .answers import conflict_text
from .digest import digest
from .document import ABSENT, TOUCHED, Body, Document, State, restamped, united
from .expiry import note_written
from .feed import enter
from .fields import MARK_TEXT, has_crdts, latest, without_crdts
from .hub_state import HubState
from .lookups import load_fields, refresh
from .ports import Random, WriteTransaction
from .recent import Moved
from .retention import note_sequence
from .verdicts import foreign, gave_way, must_change, outcome, overgrown, rejected, units, with_losses
from .wire import (
    NO_DOCUMENT,
    Change,
    Problem,
    Result,
    SyncRequest,
    decode_losses,
    decode_stored,
    encode_losses,
    encode_server_change,
)

MAX_SKEW_MS: Final = 5 * 60 * 1000
"""How far in the future a change's timestamp may lie before the server gives it its own."""

TAKEN: Final = ("applied", "merged")

Guard = Callable[[Change, Document | None, Document | None], Problem | None]
"""Decides on a change, the document before it and after it, in the same transaction: a problem refuses it."""


class Stored(NamedTuple):
    """A document of the server with its sequence; ``document`` None: nobody has written it."""

    document: Document | None
    sequence: int = 0

    @property
    def is_there(self) -> bool:
        """Whether there is a document that was not deleted."""
        return self.document is not None and self.document.body is not None


_NOTHING: Final = Stored(None)


def body_of(text: str) -> Body | None:
    """Give the body of a document of the server, None where it is deleted."""
    return decode_stored(text).body


class Push:
    """The changes of one request, decided one after the other over a view of the documents they touch."""

    def __init__(
        self,
        tx: WriteTransaction,
        request: SyncRequest,
        state: HubState,
        now_ms: int,
        rng: Random,
        guard: Guard | None,
        last_n: int,
    ) -> None:
        self.tx = tx
        self.request = request
        self.state = state
        self.now_ms = now_ms
        self.rng = rng
        self.guard = guard
        self.latest = timestamp(now_ms + MAX_SKEW_MS)
        self.n = last_n
        self.decided: list[tuple[Change, Result]] = []
        self.conflicts: list[str] = []
        self.extras: list[tuple[str, str]] = []
        self.own: set[tuple[str, str]] = set()
        self.restamped: set[tuple[str, str]] = set()
        self.known: dict[tuple[str, str], Change] = {}
        self.before: dict[tuple[str, str], Stored] = {}
        self.after: dict[tuple[str, str], Stored] = {}
        self.staged: dict[tuple[str, str], Stored] = {}
        self.refused: set[tuple[str, str]] = set()
        self.moved: list[Moved] = []
        self.ops: dict[str, str | None] = {}
        self.texts = {id(body): text for body, text in request.texts}  # the request holds the bodies
        self.has_crdts = any(map(self._has_crdts, request.changes))
        self.keeps_times = False

    async def run(self) -> None:
        """Decide every change and write what they did."""
        self.state.clock = next_timestamp(self.state.clock, self.now_ms)
        head = self.state.head
        changes = [self._completed(change) for change in self.request.changes]
        await self._look_up(changes)
        if self._meet_nothing(changes):
            self._take_all(changes)
        else:
            for unit in units(changes):
                self._decide_unit(unit)
        if self.request.protocol and any(must_change(result) for _, result in self.decided):
            self._take_back(head)
        self._conclude()
        await self.write()

    @property
    def results(self) -> list[Result]:
        """The verdicts, in the order of the changes."""
        return [result for _, result in self.decided]

    def _take_back(self, head: int) -> None:
        """Let everything wait for the conflicts to be resolved: nobody may see an effect before its cause.

        A change that grew while it waited contains effects of changes behind it, so those before a conflict wait
        too. All conflicts are told at once, and the replica asks again when it has resolved them.
        """
        self.decided = [
            (change, result)
            for change, result in self.decided
            if result.status == "duplicate" or must_change(result)
        ]
        self.state.head = head
        self.after.clear()
        self.own.clear()
        self.restamped.clear()

    def _conclude(self) -> None:
        """Note which documents the answer needs, and which changes are known from now on."""
        for change, result in self.decided:
            name = (change.collection, change.key)
            if result.status in TAKEN:
                self.tx.put("ops", (result.op_id,), self._op_text(change, result))
            if result.status == "conflict":
                self.conflicts.append(conflict_text(change, self._seen(name).document))
            elif result.status in ("duplicate", "merged") or name in self.restamped:
                self.extras.append(name)

    def _op_text(self, change: Change, result: Result) -> str:
        """Give what is kept of a change that was taken, under its op id."""
        content = self._fingerprint(change)
        losses = encode_losses(result)
        if not losses and not change.deeds:
            return f'{{"content":"{content}"}}'
        by = {"by": self.request.client_id} if change.deeds else {}
        return dumps({"content": content, **losses, **by})

    def _completed(self, change: Change) -> Change:
        """Fill in what a plain client leaves out."""
        if change.op_id and change.n is not None and change.base_version is not None:
            self.n = max(self.n, change.n)
            return change
        op_id = change.op_id or self.rng.randbytes(16).hex()
        n = change.n if change.n is not None else self.n + 1
        self.n = max(self.n, n)
        base = self.request.version_vector if change.base_version is None else change.base_version
        return change._replace(op_id=op_id, n=n, base_version=base)

    def _meet_nothing(self, changes: Sequence[Change]) -> bool:
        """Tell whether all changes are whole new documents, and nothing could be said against one of them."""
        return (
            self.guard is None
            and not self.has_crdts
            and not any(self.ops.values())
            and len(self.before) == len(changes)
            and not any(stored.document for stored in self.before.values())
            and all(map(self._is_simple, changes))
        )

    def _is_simple(self, change: Change) -> bool:
        """Tell whether a change, where there is no document, is that document as it is."""
        is_new = change.is_whole and change.operation != "delete" and change.contains is None
        return is_new and "" < change.state.timestamp <= self.latest

    def _take_all(self, changes: Sequence[Change]) -> None:
        """Take changes that meet nothing as deciding them one by one does."""
        for head, change in enumerate(changes, self.state.head + 1):
            name, op_id = (change.collection, change.key), str(change.op_id)
            version = advance({}, self.request.client_id, int(change.n or 0), head)
            self.after[name] = Stored(Document(change.state, version, op_id), head)
            self.decided.append((change, Result(op_id, "applied", version)))
            self.state.clock = max(self.state.clock, change.state.timestamp)
        self.own.update(self.after)
        self.state.head += len(changes)

    def _decide_unit(self, unit: Sequence[Change]) -> None:
        head, clock = self.state.head, self.state.clock
        verdicts = [self._decide(change) for change in unit]
        if len(unit) > 1 and any(result.status == "rejected" for result in verdicts):
            self.state.head, self.state.clock = head, clock
            self.staged.clear()
            problem = Problem("transaction_rejected", "another change of the same transaction was rejected")
            stands = ("rejected", "duplicate")
            verdicts = [
                result if result.status in stands else Result(result.op_id, "rejected", error=problem)
                for result in verdicts
            ]
        for change, result in zip(unit, verdicts, strict=True):
            name = (change.collection, change.key)
            if result.status == "rejected" and not must_change(result):
                self.refused.add(name)
            if result.status == "applied" and name in self.staged and name not in self.restamped:
                self.own.add(name)
            elif name in self.staged:
                self.own.discard(name)
            self.decided.append((change, result))
        self.after.update(self.staged)
        self.staged.clear()

    def _seen(self, name: tuple[str, str]) -> Stored:
        return self.staged.get(name) or self.after.get(name) or self.before[name]

    async def _look_up(self, changes: Sequence[Change]) -> None:
        """Read the documents that are touched, and what is known of the changes."""
        await self.read(dict.fromkeys((change.collection, change.key) for change in changes))
        ids = [str(change.op_id) for change in changes]
        texts = await self.tx.get_many("ops", [(one,) for one in ids])
        self.ops.update(zip(ids, texts, strict=True))

    async def read(self, names: Iterable[tuple[str, str]]) -> None:
        """Read documents as they were before."""
        wanted = list(names)
        for name, text in zip(wanted, await self.tx.get_many("docs", wanted), strict=True):
            if text is None:
                self.before[name] = _NOTHING
            else:
                document = decode_stored(text)
                self.before[name] = Stored(document, document.version[SERVER])

    def _decide(self, change: Change) -> Result:
        name = (change.collection, change.key)
        op_id = str(change.op_id)
        current = self._seen(name).document
        known = self.ops[op_id]
        if known is not None:
            self.known[name] = change
            record = loads(known)
            if record["content"] != self._fingerprint(change):
                return rejected(op_id, "op_id_reused", "this op id was used for another change")
            return Result(op_id, "duplicate", current.version if current else {}, None, *decode_losses(record))
        if change.contains is not None:
            return self._unite(change, current)
        problem = foreign(change, current, self.request.client_id) if self.has_crdts else None
        if problem is not None:
            return Result(op_id, "rejected", current.version if current else {}, problem)
        is_covered = current is None or self._has_seen(change, current)
        if is_covered and self._changes_nothing(change, current):
            return Result(op_id, "rejected", current.version if current else {}, NO_DOCUMENT)
        change = self._timed(change, current if is_covered else None)
        state = outcome(change, current, is_covered, is_plain=not self.request.protocol)
        if state is None:
            return Result(op_id, "conflict", current.version if current else {})
        if is_covered or current is None:
            return self._stage(change, current, state, "applied")
        result = self._stage(change, current, state, "merged")
        if state == current.state and current.version.get(self.request.client_id, 0) >= (change.n or 0):
            return result  # a device brought it before; what has changed since was made by who had seen it
        return with_losses(result, change, current, state)

    def _unite(self, change: Change, current: Document | None) -> Result:
        """Take in what came from device to device: its stamps decide, so what is known already changes nothing.

        Only a part of a document, where there is none any more, is a conflict: half of it would come back. A time
        too far ahead can't be compared with those that the same changes were given when they came by another way.
        What had seen the other side and gives way to its stamps all the same is told, as in a meeting.
        """
        before = current.state if current else ABSENT
        if current is not None and includes(current.version, change.contains or {}):
            is_there = gave_way(change.state, before) is None and (change.state.body is None) == (
                before.body is None
            )
            if is_there or self._is_ahead(change):
                return Result(str(change.op_id), "merged", current.version)
        if before.body is None and change.operation == "update":
            version = current.version if current else {}
            if (change.collection, change.key) in self.refused:  # what would have made it whole
                return Result(str(change.op_id), "rejected", version, NO_DOCUMENT)
            return Result(str(change.op_id), "conflict", version)
        change = self._timed(change, None)
        after = united(before, change.state)
        result = self._stage(change, current, after, "merged")
        known, contained = without_server(current.version if current else {}), change.contains or {}
        if current is None:
            return result
        result = with_losses(result, change, current, after)
        is_later, is_earlier = includes(contained, known), includes(known, contained)
        if is_later and not is_earlier:
            return result._replace(overwritten=None)
        return result._replace(lost=None) if is_earlier and not is_later else result

    def _changes_nothing(self, change: Change, current: Document | None) -> bool:
        """Tell whether a change is a part of a document, where there is none: no resolution would make it whole."""
        is_part = change.operation == "update" and not change.is_whole and bool(self.request.protocol)
        return is_part and (current is None or current.body is None)

    def _has_seen(self, change: Change, current: Document) -> bool:
        """Tell whether a change was made on the current version, or right on one that was known by its id.

        The number of that one was given to it under another replica's id, if the replica had to fork since.
        """
        base = change.base_version or {}
        if covers(base, current.version):
            return True
        before = self.known.get((change.collection, change.key))
        return bool(before and current.op_id == before.op_id and follows(current.version, base, before.n or 0))

    def _timed(self, change: Change, base: Document | None) -> Change:
        """Give a change the server's time where its own can't stand.

        That is what lies too far ahead; all of it where it has none, or is not after what it was based on. The
        server's time is after that, and after what of the change stays.
        """
        made, limit, is_ahead = change.state.timestamp, self.latest, self._is_ahead(change)
        if made and not is_ahead:
            self.state.clock = max(self.state.clock, made)
            if base is None or made > base.timestamp:
                return change
        self.restamped.add((change.collection, change.key))
        before = [base.timestamp] if base else []
        if is_ahead:
            stamps = (change.state.since, *change.state.stamps.values(), latest(change.state.body))
            before += [stamp for stamp in stamps if stamp <= limit]
        self.state.clock = next_timestamp(max([self.state.clock, *before]), self.now_ms)
        state = restamped(change.state, self.state.clock, limit if is_ahead else "")
        return change._replace(state=state._replace(body=change.state.body) if self.keeps_times else state)

    def _is_ahead(self, change: Change) -> bool:
        within = latest(change.state.body) if self.has_crdts and not self.keeps_times else ""
        return max(change.state.timestamp, within) > self.latest

    def _stage(self, change: Change, current: Document | None, state: State, status: Any) -> Result:
        """Note the document's new state under the next number, unless nothing changes."""
        op_id, n = str(change.op_id), int(change.n or 0)
        if state == (current.state if current else ABSENT):
            return Result(op_id, status, current.version if current else {})
        version = current.version if current else {}
        if change.contains is None:
            version = advance(version, self.request.client_id, n, self.state.head + 1)
        else:
            joined = join(version, without_server(change.contains))
            if joined == version:  # it was known, but its stamps are others: nobody has seen that
                joined = advance(version, self.request.client_id, n)
            version = {**joined, SERVER: self.state.head + 1}
        document = Document(state, version, op_id)
        problem = self.guard(change, current, document) if self.guard else None
        problem = problem or overgrown(state, change, has_crdts=self.has_crdts)
        if problem is not None:
            return Result(op_id, "rejected", current.version if current else {}, problem)
        self.state.head += 1
        name = (change.collection, change.key)
        self.staged[name] = Stored(document, self.state.head)
        return Result(op_id, status, version)

    async def write(self) -> None:
        """Put the documents, the feed, the digests and the counters of this request."""
        digests: dict[str, dict[str, int]] = {}
        fields = await load_fields(self.tx)
        for name, stored in self.after.items():
            before, document = self.before[name], stored.document
            if document is None:
                continue
            text = encode_server_change(*name, document, self.texts.get(id(document.body)))
            collection = digests.get(name[0]) or await self._digest(digests, name[0])
            was_there, is_there = before.is_there, stored.is_there
            if was_there:
                collection["count"] -= 1
                collection["digest"] -= digest(*name, before.sequence)
            if is_there:
                collection["count"] += 1
                collection["digest"] += digest(*name, stored.sequence)
            entry = await enter(self.tx, name, before, document, stored.sequence, len(text))
            self.moved.append(Moved(entry, before.sequence, text))
            if fields:
                refresh(self.tx, fields, name, before.document.body if before.document else None, document.body)
            if not was_there or not is_there:
                note_sequence(
                    self.tx, name, None if was_there else before.sequence, None if is_there else stored.sequence
                )
            self.tx.put("docs", name, text)
        await note_written(self.tx, self.after.keys(), body_of)
        for collection_name, record in digests.items():
            record["digest"] %= 2**64
            text = dumps({"count": record["count"], "digest": f"{record['digest']:016x}"})
            self.tx.put("collections", (collection_name,), text)
        self.tx.put("hub", ("state",), self.state.text())

    def _has_crdts(self, change: Change) -> bool:
        text = self.texts.get(id(change.state.body))
        return (text is None or MARK_TEXT in text) and has_crdts(change.state.body)

    def _fingerprint(self, change: Change) -> str:
        """Tell one change's content from another's under the same op id.

        What was done to CRDT values counts, not what came of it: a replica that was cloned does it again, over what
        it has now and under other names.
        """
        state = (without_crdts(change.state) or ABSENT) if change.deeds else change.state
        stamps = dumps(sorted(path for path in state.stamps if path != TOUCHED)) if state.stamps else "[]"
        head = f'"{change.collection}",{quoted(change.key)},"{change.operation}"'
        body = self.texts.get(id(state.body)) or dumps(state.body)
        tail = f",{dumps(change.deeds)}" if change.deeds else ""
        return sha256(f"[{head},{body},{stamps}{tail}]".encode()).hexdigest()[:16]

    async def _digest(self, digests: dict[str, dict[str, int]], collection: str) -> dict[str, int]:
        """Read how many documents a collection has, and their digest."""
        text = await self.tx.get("collections", (collection,))
        stored: dict[str, Any] = loads(text) if text else {"count": 0, "digest": "0"}
        digests[collection] = {"count": stored["count"], "digest": int(stored["digest"], 16)}
        return digests[collection]
