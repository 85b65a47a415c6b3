"""An answer on its way into storage, as a transaction body: verdicts, documents of others, conflicts, the cursor.

An answer that comes late or twice changes nothing. What a decision gives up is in the ledger by the same transaction.
"""

from __future__ import annotations

from ..causality import SERVER, follows, includes, join, without_server
from ..values import NoCollecting, dumps, loads
from .arrivals import look_up
from .delta import rebuilt, whole_size
from .document import ABSENT, Document, lost, merge
from .exchange import MERGE_FIELDS, ExchangeOptions, Outcome, checked_counters, load_sync, read_sync
from .fields import has_crdts
from .optimistic import EMPTY, Pending, Record, applied, decode_record
from .outbox import Appender, Bounds, Name
from .ports import Key, Random, WriteTransaction
from .replica import size_of
from .resolving import Resolving
from .scope import HELD, SCOPE, Asked, Scope, again, load_scope, settle
from .shedding import all_evicted, evicted, forget_stub
from .sides import NOBODY, waiting_without
from .wire import Operation, Problem, Result, ServerChange, SyncRequest, SyncResponse


async def apply_response(
    tx: WriteTransaction,
    request: SyncRequest,
    response: SyncResponse,
    now_ms: int,
    rng: Random,
    options: ExchangeOptions,
) -> Outcome:
    """Take in an answer: verdicts, then documents, then the cursor, in this one transaction."""
    counters = await checked_counters(tx, options)
    stored = await tx.get("meta", ("sync",))
    sync = read_sync(stored)
    inflight = await tx.get("meta", ("inflight",))
    is_current = request.request_id is None or (
        inflight is not None and loads(inflight)["request"] == request.request_id
    )
    if not is_current or request.client_id != counters.replica or request.fence != sync.fence:
        return Outcome(is_stale=True)
    intake = _Intake(tx, counters, sync, now_ms, rng, options)
    intake.synced = stored
    intake.scope = await load_scope(tx)
    with NoCollecting():
        if sync.epoch is not None and response.epoch != sync.epoch:
            await intake.change_epoch(response)
        else:
            await intake.take(request, response)
    return intake.outcome


async def drop_unasked(
    tx: WriteTransaction, now_ms: int, rng: Random, options: ExchangeOptions, limit: int = 500
) -> tuple[Outcome, bool]:
    """Let go of documents of collections that are not wanted any more; tell also whether there are more."""
    counters = await checked_counters(tx, options)
    intake = _Intake(tx, counters, await load_sync(tx), now_ms, rng, options)
    intake.scope = await load_scope(tx)
    return intake.outcome, await intake.drop_unasked(limit)


class _Intake(Resolving):
    """One answer on its way into storage."""

    synced: str | None = None
    """What is stored of how far the replica is."""
    scope: Scope | None = None
    held: set[Name]
    """Documents that are here only as long as their changes have to be sent."""
    is_next = False
    """Whether the answer goes on where the replica is."""

    async def take(self, request: SyncRequest, response: SyncResponse) -> None:
        """Apply verdicts and, where the answer continues at the cursor, its page."""
        await self._drop_held()
        is_next = self.is_next = response.since == self.sync.cursor and _asks_for(request) == self._asked()
        if not (is_next and await self._take_together(request, response)):
            await self._take_each(request, response, is_next)
        if is_next:
            self.sync.cursor = max(self.sync.cursor, response.server_version.get(SERVER, 0))
            self.outcome.has_more = response.has_more
            if not response.has_more:
                self.sync.settled = self.sync.cursor
            self.sync.began = response.began
            if self.sync.cursor > request.since:
                self.sync.floor = response.floor
        self.sync.epoch = response.epoch
        if response.fence is not None:
            self.sync.fence = response.fence
        if request.request_id is not None:
            self.tx.delete("meta", ("inflight",))
        await self._finish(response, is_next)

    async def _take_together(self, request: SyncRequest, response: SyncResponse) -> bool:
        """Take in a page that meets nothing, if this is one."""
        if request.changes or not response.server_changes or self.sync.is_resync:
            return False
        if self.scope is not None and any(one.sweeps for one in self.scope.choices.values()):
            return False
        arrivals = await look_up(self.tx, response.server_changes)
        if arrivals is None:
            return False
        await arrivals.write(self.tx, self.totals)
        self.counters.clock = max(self.counters.clock, min(arrivals.latest, response.timestamp))
        self.outcome.pulled += len(arrivals.names)
        if self.options.wants_events:
            self.outcome.events += arrivals.events(self.counters.replica)
        return True

    async def _take_each(self, request: SyncRequest, response: SyncResponse, is_next: bool) -> None:
        """Take in verdicts, then documents one after the other."""
        await self._load(request, response)
        server_has = {(c.collection, c.key): c.document for c in response.server_changes}
        in_conflict = {(c.collection, c.key): c.document for c in response.conflicts}
        sent = {change.op_id: change for change in request.changes}
        for result in response.results:
            change = sent.get(result.op_id)
            if change is not None:
                name = (change.collection, change.key)
                self._verdict(name, result, server_has.get(name) or NOBODY, in_conflict.get(name))
        touched = {(change.collection, change.key) for change in request.changes}
        taken = {one.op_id for one in response.results if SERVER in one.version and one.status != "rejected"}
        named = server_has.keys() | {(c.collection, c.key) for c in request.changes if c.op_id in taken}
        for name in self.held & named:
            self.tx.delete(HELD, name)  # the answer says it again where it is so
        self.held -= named
        for incoming in response.server_changes:
            is_own = (incoming.collection, incoming.key) in touched
            if incoming.is_removed and (is_next or is_own):
                self._remove(incoming, is_own=is_own)
            elif is_next or is_own:
                self._incoming(incoming, response.timestamp)
        for name in sorted(self.held & touched):
            record = self.records[name]
            if not record.pending and record.confirmed is not None:
                self._let_go(name)
                self.tx.delete(HELD, name)

    async def _load(self, request: SyncRequest, response: SyncResponse) -> None:
        names = [(c.collection, c.key) for c in request.changes]
        names += [(c.collection, c.key) for c in (*response.server_changes, *response.conflicts)]
        names = list(dict.fromkeys(names))
        for name, text in zip(names, await self.tx.get_many("docs", names), strict=True):
            self.stored[name] = self.records[name] = decode_record(text)
        self.stubs = await evicted(self.tx, names)

    def _verdict(self, name: Name, result: Result, found: Document, conflicting: Document | None) -> None:
        record = self.records[name]
        index = next((i for i, c in enumerate(record.pending) if c.op_id == result.op_id), None)
        if index is None:
            return
        change = record.pending[index]
        rest = (*record.pending[:index], *record.pending[index + 1 :])
        waiting = waiting_without(record.waiting, change, result, rest)
        if result.status == "conflict":
            if conflicting is not None:
                self._resolve(name, conflicting)
            return
        if result.status == "rejected" and result.error is not None and result.error.code == "op_id_reused":
            self._rename(name, record, index)
            return
        self.struck.append((change.n, size_of(change)))
        self.outcome.pushed += result.status != "rejected"
        if result.status == "applied":
            self._mark_seen(name)
            after = self._acknowledged(record.confirmed, change, result)
            self.records[name] = Record(after, rest, waiting)
            if self.options.delta is not None and change.operation == "update" and after is not None:
                self.outcome.delta_bytes += size_of(change)
                self.outcome.whole_bytes += len(dumps(after.body))
            return
        # Known, and nobody else has changed the document: what is pending was made on exactly this.
        version = record.confirmed.version if record.confirmed else {}
        base = version if change.base is None else change.base
        is_same = result.status == "duplicate" and found.op_id == change.op_id
        is_same = is_same and follows(found.version, base, change.n)
        if is_same:
            self.records[name] = Record(found, rest, waiting)
        elif result.status == "rejected":
            self.records[name] = Record(record.confirmed, rest, waiting)
            self.taken_back[name] = ("rejected", change.op_id)
        else:
            # The server's document comes with this answer; what is pending was made on the change.
            under = record.confirmed or NOBODY
            version = join(under.version, change.contains or {})
            under = under._replace(state=merge(under.state, change.state), version=version)
            self.records[name] = Record(under if rest else record.confirmed, rest, waiting)
        if result.status == "rejected":
            self.outcome.rejected.append((name, result))
            self.losses.change(name, "rejected", change.state, [change], None, result)
        elif result.lost is not None:
            self.losses.fields(name, result.lost, change.op_id, found, self.counters.replica)
        elif result.status == "merged":
            self.losses.hidden(name, Record(record.confirmed, (change,)))
        if result.overwritten is not None:
            is_own = change.contains is None
            known = record.confirmed.body if record.confirmed and is_own else None
            was = result.overwritten.state
            gone = was if was.body is None else lost(was, ABSENT, known)
            stands = Document(change.state, {}, change.op_id)
            self.losses.fields(name, gone, result.overwritten.op_id, stands, "")

    def _rename(self, name: Name, record: Record, index: int) -> None:
        """Give a change another id: before this storage was restored, it was sent with other content."""
        again = record.pending[index]._replace(op_id=self.rng.randbytes(16).hex())
        pending = (*record.pending[:index], again, *record.pending[index + 1 :])
        self.records[name] = Record(record.confirmed, pending, record.waiting)

    def _acknowledged(self, confirmed: Document | None, change: Pending, result: Result) -> Document | None:
        """Give the document that the server has now: the confirmed one with the change.

        Or the change alone, where it made a document anew: that the confirmed one was deleted, the server has
        forgotten, so its version does not contain that.
        """
        if SERVER not in result.version or (confirmed and confirmed.version == result.version):
            return confirmed
        if confirmed and change.operation == "insert":
            confirmed = confirmed if includes(result.version, without_server(confirmed.version)) else None
        state = applied(confirmed.state if confirmed else None, change._replace(base=None))
        return Document(state, result.version, change.op_id)

    def _incoming(self, change: ServerChange, server_time: str) -> None:
        """Take in a document of the server, under whatever is pending."""
        name = (change.collection, change.key)
        self._mark_seen(name)
        self._settle_doubts(name, change.document)
        record = self.records[name]
        sequence = change.document.version.get(SERVER, 0)
        known = record.confirmed
        if name in self.stubs and self.stubs[name] >= sequence and not self.stored[name].pending:
            return
        if known and record.sequence > sequence and not self.sync.is_resync:
            return
        if change.delta is not None:
            if known and record.sequence >= sequence:
                return
            change = self._rebuilt(change, known)
        if known and known[:2] == change.document[:2]:
            return
        self.outcome.pulled += 1
        if record.pending and record.sequence != sequence:
            self._resolve(name, change.document)
        else:
            self.records[name] = Record(change.document, record.pending)
        self.counters.clock = max(self.counters.clock, min(change.document.timestamp, server_time))

    def _rebuilt(self, change: ServerChange, known: Document | None) -> ServerChange:
        whole = rebuilt(change, known)
        self.outcome.delta_bytes += len(dumps(change.delta))
        self.outcome.whole_bytes += whole_size(whole)
        return whole

    def _remove(self, change: ServerChange, *, is_own: bool) -> None:
        """Let a document go that is no longer among those asked for, unless changes of it have yet to be sent."""
        name = (change.collection, change.key)
        record = self.records[name]
        if record.confirmed is None and name in self.stubs:
            self.gone.append(name)
        if record.confirmed is None or record.sequence > change.document.version.get(SERVER, 0):
            return
        if not record.pending:
            self.outcome.pulled += not is_own
            self._let_go(name)
            return
        self.tx.put(HELD, name, "1")
        if not is_own:
            self._note_held(name, record)

    async def _drop_held(self) -> None:
        """Let those documents go that changes held here which were not sent in the end: taken back, or decided so."""
        self.held = {(str(key[0]), str(key[1])) for key, _ in await self.tx.scan(HELD)}
        for name in sorted(self.held):
            record = decode_record(await self.tx.get("docs", name))
            if not record.pending:
                self.tx.delete(HELD, name)
                if record.confirmed is not None:
                    self.stored[name] = record
                    self._let_go(name)
        await self._put_records()
        self.records.clear()

    def _let_go(self, name: Name) -> None:
        self.records[name] = EMPTY
        self.taken_back[name] = ("removed", "")

    def _note_held(self, name: Name, record: Record) -> None:
        """Note changes that keep a document here a little longer, so that they can be found when it is gone."""
        problem = Problem(
            "document_removed", "the document is none of those asked for any more; the change is sent"
        )
        result = Result(record.pending[-1].op_id, "rejected", error=problem)
        self.losses.change(name, "removed", record.state or ABSENT, record.pending, record.confirmed, result)

    def _mark_seen(self, name: Name) -> None:
        """Note that the server has a document, where what it is not known to have will be dropped.

        Not what a snapshot is still to come to, in an answer that moves no cursor: it may be gone until then.
        """
        choice = self.scope.choices.get(name[0]) if self.scope else None
        if choice is not None and choice.sweeps and choice.snapshot is not None and not self.is_next:
            is_seen = choice.snapshot.after is not None and name[1] <= choice.snapshot.after
        else:
            is_seen = choice is not None and choice.sweeps
        if is_seen or self.sync.is_resync:
            self.tx.put("seen", name, "1")

    def _asked(self) -> Asked:
        wanted = self.options.collections
        return self.scope.asked(wanted) if self.scope else Asked(wanted)

    async def _go_on(self, response: SyncResponse) -> None:
        """Note how far snapshots have come; what one that is through did not bring is dropped, where that is due."""
        scope = self.scope
        if scope is None:
            return
        before = scope.text()
        for collection, choice in scope.choices.items():
            after, is_done = response.snapshots.get(choice.id, (None, False))
            if choice.snapshot is not None and choice.id in response.snapshots:
                choice.snapshot = None if is_done else choice.snapshot._replace(after=after)
            if choice.sweeps and choice.snapshot is None and (is_done or not response.has_more):
                choice.sweeps = False
                if not self.sync.is_resync:  # whose end drops it all
                    await self._drop_unseen((collection,))
        settle(scope)
        if scope.text() != before:
            self.tx.put("meta", SCOPE, scope.text())

    async def drop_unasked(self, limit: int) -> bool:
        """Let documents go of collections that are not wanted any more, so many; tell whether there are more."""
        scope = self.scope
        leaving = [(name, one) for name, one in scope.choices.items() if one.leaves] if scope else []
        if scope is None or not leaving:
            return False
        collection, choice = leaving[0]
        start = None if choice.after is None else (collection, choice.after)
        rows = await self.tx.scan("docs", (collection,), after=start, limit=limit)
        for key, text in rows:
            name = (collection, str(key[1]))
            record = self.stored[name] = self.records[name] = decode_record(text)
            if record.pending and record.confirmed:
                self.tx.put(HELD, name, "1")
                self._note_held(name, record)
            elif not record.pending:
                self._let_go(name)
        for name, sequence in (await all_evicted(self.tx, (collection,))).items():
            await forget_stub(self.tx, self.totals, name, sequence)
        choice.leaves = len(rows) == limit
        choice.after = str(rows[-1][0][1]) if choice.leaves else None
        settle(scope)
        self.tx.put("meta", SCOPE, scope.text())
        await self._write()
        return choice.leaves or len(leaving) > 1

    def _settle_doubts(self, name: Name, remote: Document) -> None:
        """Take those changes for acknowledged of which it was not known, and which the server's document contains."""
        numbers = self._doubts_of(name)
        record = self.records[name]
        known = remote.version.get(self.counters.replica, 0)
        for change in [change for change in record.pending if change.n in numbers and change.n <= known]:
            rest = tuple(one for one in record.pending if one is not change)
            under = record.confirmed or NOBODY
            under = under._replace(state=applied(under.state, change))
            self.struck.append((change.n, size_of(change)))
            self.outcome.pushed += 1
            record = self.records[name] = Record(under if rest else record.confirmed, rest)

    async def change_epoch(self, response: SyncResponse) -> None:
        """Offer again what the server may have lost, and pull from where its history still agrees."""
        known_until = response.server_version.get(SERVER, 0)
        self.sync.epoch = response.epoch
        self.sync.fence = None
        self.sync.cursor = min(self.sync.cursor, known_until)
        self.sync.settled = min(self.sync.settled, known_until)
        self.tx.delete("meta", ("inflight",))
        self.counters.seal()
        appender = Appender(self.counters, Bounds(2**53, 2**53))
        for key, text in await self.tx.scan("docs"):
            name = (str(key[0]), str(key[1]))
            record = decode_record(text)
            if record.confirmed is not None and record.sequence > known_until:
                self.stored[name] = record
                self.records[name] = self._offered(appender, name, record, known_until)
        appender.write(self.tx)
        if self.scope is not None:
            for collection in [name for name, one in self.scope.choices.items() if one.snapshot]:
                again(self.scope, collection)
            self.tx.put("meta", SCOPE, self.scope.text())
        for name, sequence in (await all_evicted(self.tx)).items():
            if sequence > known_until:
                await forget_stub(self.tx, self.totals, name, sequence)
        self.outcome.epoch_changed = True
        self.outcome.has_more = True
        await self._finish(response, is_next=False)

    def _offered(self, appender: Appender, name: Name, record: Record, known_until: int) -> Record:
        """Turn a document into one change; what nobody changed since gets the same op id from every replica.

        It was made on what the server may have kept, as its version says.
        """
        state = record.state or ABSENT
        if record.waiting is not None and record.confirmed is not None:
            self.losses.remote_loser(name, record.confirmed, record, record)
        self.struck += [(change.n, size_of(change)) for change in record.pending]
        op_id = self.rng.randbytes(16).hex()
        if not record.pending and record.confirmed is not None:
            op_id = f"offer-{record.confirmed.op_id}"
        n = appender.add(name, len(dumps(state.body)))
        operation: Operation = "delete" if state.body is None else "insert"
        base = {**(record.confirmed.version if record.confirmed else {}), SERVER: known_until}
        offer = Pending(op_id, n, operation, state, MERGE_FIELDS, base, relays=has_crdts(state.body))
        return Record(None, (offer,))

    async def _finish(self, response: SyncResponse, is_next: bool) -> None:
        """Write what changed; nothing at all where nothing did."""
        await self._put_records()
        asked = self._asked()
        if is_next:
            await self._go_on(response)
        if self.sync.is_resync and is_next and not response.has_more:
            await self._end_resync()
        for word in ("pushed", "pulled", "conflicts"):
            if more := getattr(self.outcome, word):
                self.sync.totals = {**self.sync.totals, word: self.sync.totals.get(word, 0) + more}
        await self._write_counts()
        if (text := self.sync.text()) != self.synced:
            self.tx.put("meta", ("sync",), text)
        self.outcome.pending = self.counters.pending
        if is_next and response.digest is not None and not response.has_more:
            await self._compare(asked, response.digest, response.digests)

    async def _end_resync(self) -> None:
        """Drop what the full pull did not bring."""
        await self._drop_unseen(())
        for key, _ in await self.tx.scan("seen"):
            self.tx.delete("seen", key)
        self.sync.is_resync = self.sync.is_late = False
        self.sync.doubts = []

    async def _drop_unseen(self, prefix: Key) -> None:
        """Drop what the server was to send, of all collections or of one, and has not.

        It may still have it where a filter decided what it sends: then changes that wait hold the document.
        """
        seen = {key for key, _ in await self.tx.scan("seen", prefix)}
        self.records.clear()
        for key, text in await self.tx.scan("docs", prefix):
            record, name = decode_record(text), (str(key[0]), str(key[1]))
            has_doubts = bool(self._doubts_of(name))
            is_asked = has_doubts or (record.confirmed is not None and self._is_synced(name[0]))
            if key in seen or not is_asked:
                continue
            self.stored[name] = self.records[name] = record
            if record.pending and not has_doubts and self._is_part(name[0]):
                self.tx.put(HELD, name, "1")
                self._note_held(name, record)
            else:
                self._resolve_absent(name, record)
        await self._put_records()
        for name, sequence in (await all_evicted(self.tx, prefix)).items():
            if name not in seen and self._is_synced(name[0]):
                await forget_stub(self.tx, self.totals, name, sequence)
        for (collection, *_), _ in await self.tx.scan("collections", prefix):
            await self.totals.recount(str(collection))
        for key in seen:
            self.tx.delete("seen", key)

    def _is_part(self, collection: str) -> bool:
        choice = self.scope.choices.get(collection) if self.scope else None
        return choice is not None and (not self.sync.is_resync or bool(choice.wish and choice.wish.query))

    def _is_synced(self, collection: str) -> bool:
        wanted = self.options.collections
        return (wanted is None or collection in wanted) and (self.scope is None or self.scope.holds(collection))

    async def _compare(self, asked: Asked, total: str, parts: dict[str, str]) -> None:
        """Compare what is here with what the server says; a part only while no change keeps what has left it."""
        named = {*asked.without, *(one.collection for one in asked.subscriptions)}
        sums = {str(key[0]): int(loads(text)["digest"], 16) for key, text in await self.tx.scan("collections")}
        wanted = asked.collections
        here = sum(n for name, n in sums.items() if name not in named and (wanted is None or name in wanted))
        self.outcome.has_diverged = f"{here % 2**64:016x}" != total
        if not self.counters.pending:
            theirs = {name: int(text, 16) for name, text in parts.items() if name in named}
            self.outcome.diverged = sorted(name for name, n in theirs.items() if sums.get(name, 0) != n)


def _asks_for(request: SyncRequest) -> Asked:
    return Asked(request.collections, request.subscriptions, request.without)
