"""The server's side of an exchange: one transaction that decides every change and answers from one snapshot.

Documents lie in storage as the texts that are sent, under (collection, key); the feed maps the sequence of a
document's last change to its name. So the feed is as long as there are documents, whatever their history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar

from ..causality import SERVER, advance, covers, follows, includes, join, timestamp, without_server
from ..causality import tick as next_timestamp
from ..errors import Rejected, SchemaError
from ..values import JSON, MAX_DOCUMENT_BYTES, dumps, loads, quoted
from .answers import Memory, answer, conflict_text, status_of
from .digest import digest
from .document import ABSENT, TOUCHED, Body, Document, State, changed, deleted, lost, merge, restamped, united
from .expiry import is_due, note_written, take_due
from .feed import enter
from .fields import MARK_TEXT, check_authors, check_states, has_crdts, is_author, latest, without_crdts
from .hub_state import HubState, begin_epoch, create_state, load_state, required_state
from .lookups import build_step, is_needed, load_fields, refresh
from .pages import Room, feed_page
from .ports import Random, ReadTransaction, Storage, WriteTransaction
from .recent import Commit, Moved
from .retention import forget, is_forgetting_due, note_commit, note_sequence
from .selection import Selection
from .wire import (
    MAX_TRANSACTION,
    NO_DOCUMENT,
    Answer,
    Change,
    Problem,
    Result,
    Subscription,
    SyncRequest,
    decode_losses,
    decode_stored,
    encode_losses,
    encode_result,
    encode_server_change,
)

T = TypeVar("T")

MAX_SKEW_MS: Final = 5 * 60 * 1000
"""How far in the future a change's timestamp may lie before the server gives it its own."""

_TAKEN: Final = ("applied", "merged")


class Tended(NamedTuple):
    """How many documents have expired, and how many deletes were forgotten; whether there are more.

    ``touched`` names the collections of what has expired.
    """

    expired: int = 0
    forgotten: int = 0
    has_more: bool = False
    touched: frozenset[str] = frozenset()


UPKEEP: Final = "upkeep"
"""The replica in whose name the server makes changes of its own: a version that lacks them has not seen them."""

Guard = Callable[[Change, "Document | None", "Document | None"], "Problem | None"]
"""Decides on a change, the document before it and after it, in the same transaction: a problem refuses it."""


Watcher = Callable[[int, Set[str]], None]
"""Hears of a commit: the sequence of its last change, and the names of the collections that it changed."""


class Hub:
    """A database that replicas sync with, over any storage."""

    def __init__(self, storage: Storage, *, guard: Guard | None = None) -> None:
        self._storage = storage
        self._guard = guard
        self._watchers: list[Watcher] = []
        self._memory = Memory()

    async def open(self, rng: Random) -> None:
        """Give a new storage its epoch; nothing happens to one that has it."""
        if await self._storage.read(load_state) is None:
            await self._storage.write(lambda tx: create_state(tx, rng))

    async def exchange(self, request: SyncRequest, now_ms: int, rng: Random) -> Answer:
        """Push and pull at once; raise :class:`Rejected` (409) for a forked replica or another epoch."""
        if any(one.snapshot for one in request.subscriptions):
            await self._build_lookups(request)
        if not request.changes:
            found = await self._storage.read(lambda tx: _pull(tx, request, now_ms, self._memory))
            if found is not None:
                return found

        async def body(tx: WriteTransaction) -> tuple[Answer, Memory]:
            draft = self._memory.draft()
            return await _exchange(tx, request, now_ms, rng, self._guard, draft), draft

        answer, draft = await self._storage.write(body)
        self._memory.adopt(draft)
        if answer.newest is not None:
            self._tell(answer.newest, _touched(request, answer))
        return answer

    async def tend(self, now_ms: int, before_ms: int, rng: Random) -> Tended:
        """Delete documents that have expired, and forget what was deleted or known before a time.

        Many small transactions, none where there is nothing to do; the next call goes on wherever one ended.
        """
        before = timestamp(before_ms)
        total = Tended()

        async def has_expired(tx: ReadTransaction) -> bool:
            return await is_due(tx, _body_of, now_ms)

        async def has_old(tx: ReadTransaction) -> bool:
            return await is_forgetting_due(tx, (await required_state(tx)).floor, before)

        for is_due_now, step in (
            (has_expired, lambda tx: _expire(tx, now_ms, rng)),
            (has_old, lambda tx: _forget(tx, before)),
        ):
            has_more = await self._storage.read(is_due_now)
            while has_more:
                done = await self._storage.write(step)
                self._tell(await self.head(), done.touched)
                total = Tended(total.expired + done.expired, total.forgotten + done.forgotten)
                has_more = done.has_more
        return total

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Let the storage give back what it does not need; give the bytes before and after."""
        return await self._storage.compact(share=share)

    async def _build_lookups(self, request: SyncRequest) -> None:
        """See that the filters of a first sync find their documents without reading their collections."""
        for part in Selection(request).snapshots:
            hint = part.filter.equality if part.filter else None
            if hint is None or part.subscription is None:
                continue
            name, path = part.subscription.collection, hint[0]
            if await self._storage.read(partial(is_needed, collection=name, path=path)):
                while await self._storage.write(partial(build_step, collection=name, path=path)):
                    pass

    async def has_news(self, parts: tuple[Subscription, ...], since: int) -> tuple[bool, int]:
        """Tell whether a replica that had everything at a sequence has to hear of anything in its parts since.

        Gives also the sequence up to which that was looked at.
        """
        nobody = SyncRequest("", "", {SERVER: since}, limit=1, settled=since)
        request = replace(nobody, collections=(), subscriptions=parts)

        async def body(tx: ReadTransaction) -> tuple[bool, int]:
            state = await required_state(tx)
            feed = self._memory.recent.feed(tx, state)
            page = await feed_page(feed, request, Selection(request), since, frozenset(), Room(1))
            return bool(page.texts) or page.has_more, state.head

        return await self._storage.read(body)

    async def head(self) -> int:
        """Give the sequence of the last change."""
        return await self._storage.read(head_of)

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call back after exchanges here have committed changes, with a head and the collections; the result ends it.

        Exchanges that were committed together are told one by one, not always in the order of their heads.
        """
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    def _tell(self, head: int, touched: Set[str]) -> None:
        for callback in list(self._watchers) if touched else ():
            callback(head, touched)

    async def status(self, client_id: str, since: int | None = None) -> dict[str, JSON]:
        """Tell what the server knows of a client, as ``GET /_api/sync/status`` answers it."""
        return await self._storage.read(lambda tx: status_of(tx, client_id, since))

    async def new_epoch(self, rng: Random) -> str:
        """Say that this storage was restored: every replica will offer again what the server may lack."""
        return await self._storage.write(lambda tx: begin_epoch(tx, rng))


async def decide(tx: WriteTransaction, request: SyncRequest, now_ms: int, rng: Random) -> Answer:
    """Decide a request in a transaction of the caller's own, as :meth:`Hub.exchange` does in one of its."""
    return await _exchange(tx, request, now_ms, rng, None, Memory())


def _touched(request: SyncRequest, answer: Answer) -> frozenset[str]:
    """Name the collections of the changes that were taken in; there is a verdict on each if there is one such."""
    results: Any = answer.head.get("results", ())
    pairs = zip(request.changes, results, strict=False)
    return frozenset(change.collection for change, result in pairs if result["status"] in ("applied", "merged"))


async def head_of(tx: ReadTransaction) -> int:
    """Give the sequence of the last change."""
    return (await required_state(tx)).head


async def _bury(tx: WriteTransaction, names: Iterable[tuple[str, str]], now_ms: int, rng: Random) -> None:
    """Delete documents as a change of the server's own; a hub that was restored makes the same one again."""
    state = await required_state(tx)
    push = _Push(tx, SyncRequest("", SERVER), state, now_ms, rng, None, 0)
    names = list(names)
    await push.read(names)
    for name in names:
        document = push.before[name].document
        if document is not None and document.body is not None:
            state.clock = next_timestamp(state.clock, now_ms)
            state.head += 1
            op_id = sha256(f"expired {document.op_id}".encode()).hexdigest()[:32]
            version = advance(document.version, UPKEEP, state.head, state.head)
            gone = Document(deleted(state.clock), version, op_id)
            push.after[name] = _Stored(gone, state.head)
    if push.after:
        await push._write()
        note_commit(tx, state.clock, state.head, "", ())


async def _expire(tx: WriteTransaction, now_ms: int, rng: Random) -> Tended:
    names, has_more = await take_due(tx, _body_of, now_ms)
    await _bury(tx, names, now_ms, rng)
    return Tended(len(names), 0, has_more, frozenset(name for name, _ in names))


async def _forget(tx: WriteTransaction, before: str) -> Tended:
    state = await required_state(tx)
    found = await forget(tx, state.floor, state.forgotten, before)
    if found.at != state.forgotten:
        state.floor, state.forgotten = found.floor, found.at
        tx.put("hub", ("state",), state.text())
    return Tended(forgotten=found.deletes, has_more=found.has_more)


def _body_of(text: str) -> Body | None:
    return decode_stored(text).body


class _Stored(NamedTuple):
    """A document of the server with its sequence; ``document`` None: nobody has written it."""

    document: Document | None
    sequence: int = 0

    @property
    def is_there(self) -> bool:
        """Whether there is a document that was not deleted."""
        return self.document is not None and self.document.body is not None


_NOTHING: Final = _Stored(None)


async def _pull(tx: ReadTransaction, request: SyncRequest, now_ms: int, memory: Memory) -> Answer | None:
    """Answer a request without changes from a read snapshot, or None where something must be written."""
    state = await required_state(tx)
    if _is_rolled_back(state, request):
        return None
    if request.epoch not in (None, state.epoch):
        return _epoch_answer(state, request)
    text = await tx.get("replicas", (request.client_id,))
    replica = loads(text) if text else None
    if replica and request.request_id is not None and request.request_id == replica["request"]:
        return None
    if _is_forked(state, request, replica):
        raise _forked([])
    _check_floor(state, request, replica, now_ms)
    fence = replica["fence"] if replica else None
    n = replica["n"] if replica else request.version_vector.get(request.client_id, 0)
    return await answer(tx, request, state, now_ms, fence=fence, n=n, memory=memory)


async def _exchange(
    tx: WriteTransaction, request: SyncRequest, now_ms: int, rng: Random, guard: Guard | None, memory: Memory
) -> Answer:
    state = await required_state(tx)
    if _is_rolled_back(state, request):
        await begin_epoch(tx, rng)
        state = await required_state(tx)
    if request.epoch not in (None, state.epoch):
        return _epoch_answer(state, request)
    text = await tx.get("replicas", (request.client_id,))
    replica = loads(text) if text else None
    if replica and request.request_id is not None and request.request_id == replica["request"]:
        return await _repeat(tx, request, state, now_ms, replica, memory)
    if _is_forked(state, request, replica) or await _is_copied(tx, request):
        raise _forked([op for op in _op_ids(request) if await tx.get("ops", (op,))])
    _check_floor(state, request, replica, now_ms)
    n = replica["n"] if replica else request.version_vector.get(request.client_id, 0)
    push = _Push(tx, request, state, now_ms, rng, guard, n)
    before = replace(state)
    await push.run()
    memory.commit = Commit(before, state, push.moved)
    fence = rng.randbytes(16).hex()
    results = [encode_result(result) for result in push.results]
    text_of_results = dumps(results)
    record = {"fence": fence, "request": request.request_id, "n": push.n}
    record |= {"cursor": request.since, "at": state.clock, "epoch": state.epoch}
    tx.put("replicas", (request.client_id,), f'{dumps(record)[:-1]},"results":{text_of_results}}}')
    op_ids = [result.op_id for result in push.results if result.status in _TAKEN]
    note_commit(tx, state.clock, state.head, request.client_id, op_ids)
    found = await answer(
        tx,
        _page_request(request, results),
        state,
        now_ms,
        fence=fence,
        n=push.n,
        memory=memory,
        results=results,
        extras=push.extras,
        conflicts=push.conflicts,
        skip=push.own,
    )
    return replace(found, results=text_of_results)


async def _repeat(
    tx: ReadTransaction,
    request: SyncRequest,
    state: HubState,
    now_ms: int,
    replica: dict[str, JSON],
    memory: Memory,
) -> Answer:
    """Answer a request that was decided before: the same verdicts, the documents as they are now."""
    results = replica["results"]
    statuses = {result["op_id"]: result["status"] for result in results}
    conflicts = []
    for change in request.changes:
        if statuses.get(str(change.op_id)) == "conflict":
            text = await tx.get("docs", (change.collection, change.key))
            conflicts.append(text or conflict_text(change, None))
    is_behind = _is_behind(state, request)
    found = await answer(
        tx,
        replace(request, limit=0) if is_behind else _page_request(request, results),
        state,
        now_ms,
        fence=replica["fence"],
        n=replica["n"],
        memory=memory,
        results=results,
        extras=[(change.collection, change.key) for change in request.changes if change.op_id in statuses],
        conflicts=conflicts,
    )
    if is_behind:  # what lies behind its cursor is not all there any more: it hears so when it asks for that
        found.head.update({"server_version": {SERVER: request.since}, "has_more": True})
    return found


def _page_request(request: SyncRequest, results: Sequence[JSON]) -> SyncRequest:
    """Ask for no page where a change has no verdict yet: it must not meet the documents of others undecided."""
    return request if len(results) == len(request.changes) else replace(request, limit=0)


def _op_ids(request: SyncRequest) -> Iterator[str]:
    return (change.op_id for change in request.changes if change.op_id is not None)


def _is_forked(state: HubState, request: SyncRequest, replica: dict[str, JSON] | None) -> bool:
    """Tell whether a replica's fence is not the last one given; a new epoch asks for none of an earlier one."""
    if not request.protocol or replica is None or request.fence == replica["fence"]:
        return False
    return request.fence is not None or replica.get("epoch") == state.epoch


async def _is_copied(tx: ReadTransaction, request: SyncRequest) -> bool:
    """Tell whether a copy of a replica has sent, under its own name, what the replica is about to count on from.

    Both contain it then, and what the replica does later would count it again.
    """
    for change in request.changes if request.protocol else ():
        if change.deeds and is_author(request.client_id, change.state):
            text = await tx.get("ops", (str(change.op_id),))
            if text is not None and loads(text).get("by", request.client_id) != request.client_id:
                return True
    return False


def _forked(known: list[str]) -> Rejected:
    return Rejected(
        "this replica's fence is not the last one given: it was restored or cloned, and takes a new id",
        status=409,
        code="replica_forked",
        detail={"known": known},
    )


def _is_behind(state: HubState, request: SyncRequest) -> bool:
    """Tell whether the server has forgotten deletes that a replica has not seen; one that begins needs none."""
    return 0 < max(request.since, request.began) < state.floor and request.since > 0


def _check_floor(state: HubState, request: SyncRequest, replica: dict[str, JSON] | None, now_ms: int) -> None:
    """Refuse a replica for which the server has forgotten too much, before any of its changes is decided.

    Of one that never got an answer, and that the server does not know, no cursor tells how long it was away. So its
    first changes are refused where they are as old as what is forgotten, or its clock is so wrong that this can't be
    told: they may have been decided then.
    """
    latest = timestamp(now_ms + MAX_SKEW_MS)
    is_old = bool(request.protocol and state.floor and not request.since and replica is None) and any(
        not state.forgotten < change.state.timestamp <= latest for change in request.changes
    )
    if is_old or _is_behind(state, request):
        raise Rejected(
            "the server has forgotten deletes, or changes, that this replica has not heard of: it pulls everything"
            ' again, from version_vector {"server": 0} and with the "began" of each answer in the next request, and'
            " drops what does not come",
            status=410,
            code="resync",
            detail={"floor": state.floor, "known": replica is not None},
        )


def _is_rolled_back(state: HubState, request: SyncRequest) -> bool:
    """Tell whether a replica has seen more of this epoch than there is: the server's data were restored."""
    return bool(request.protocol) and request.epoch == state.epoch and request.since > state.head


def _epoch_answer(state: HubState, request: SyncRequest) -> Answer:
    """Tell a replica of an earlier epoch the new one, and up to where its own still holds: it asks again."""
    known_until = min(state.history.get(request.epoch or "", 0), state.head)
    head: dict[str, JSON] = {
        "epoch": state.epoch,
        "since": 0,
        "server_version": {SERVER: known_until},
        "timestamp": state.clock or timestamp(0),
        "has_more": True,
    }
    return Answer(head, [], [])


class _Push:
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
        self.before: dict[tuple[str, str], _Stored] = {}
        self.after: dict[tuple[str, str], _Stored] = {}
        self.staged: dict[tuple[str, str], _Stored] = {}
        self.refused: set[tuple[str, str]] = set()
        self.moved: list[Moved] = []
        self.ops: dict[str, str | None] = {}
        self.texts = {id(body): text for body, text in request.texts}  # the request holds the bodies
        self.has_crdts = any(map(self._has_crdts, request.changes))

    async def run(self) -> None:
        """Decide every change and write what they did."""
        self.state.clock = next_timestamp(self.state.clock, self.now_ms)
        head = self.state.head
        changes = [self._completed(change) for change in self.request.changes]
        await self._look_up(changes)
        if self._meet_nothing(changes):
            self._take_all(changes)
        else:
            for unit in _units(changes):
                self._decide_unit(unit)
        if self.request.protocol and any(_must_change(result) for _, result in self.decided):
            self._take_back(head)
        self._conclude()
        await self._write()

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
            if result.status == "duplicate" or _must_change(result)
        ]
        self.state.head = head
        self.after.clear()
        self.own.clear()
        self.restamped.clear()

    def _conclude(self) -> None:
        """Note which documents the answer needs, and which changes are known from now on."""
        for change, result in self.decided:
            name = (change.collection, change.key)
            if result.status in _TAKEN:
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
            self.after[name] = _Stored(Document(change.state, version, op_id), head)
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
            if result.status == "rejected" and not _must_change(result):
                self.refused.add(name)
            if result.status == "applied" and name in self.staged and name not in self.restamped:
                self.own.add(name)
            elif name in self.staged:
                self.own.discard(name)
            self.decided.append((change, result))
        self.after.update(self.staged)
        self.staged.clear()

    def _seen(self, name: tuple[str, str]) -> _Stored:
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
                self.before[name] = _Stored(document, document.version[SERVER])

    def _decide(self, change: Change) -> Result:
        name = (change.collection, change.key)
        op_id = str(change.op_id)
        current = self._seen(name).document
        known = self.ops[op_id]
        if known is not None:
            self.known[name] = change
            record = loads(known)
            if record["content"] != self._fingerprint(change):
                return _rejected(op_id, "op_id_reused", "this op id was used for another change")
            return Result(op_id, "duplicate", current.version if current else {}, None, *decode_losses(record))
        if change.contains is not None:
            return self._unite(change, current)
        problem = _foreign(change, current, self.request.client_id) if self.has_crdts else None
        if problem is not None:
            return Result(op_id, "rejected", current.version if current else {}, problem)
        is_covered = current is None or self._has_seen(change, current)
        if is_covered and self._changes_nothing(change, current):
            return Result(op_id, "rejected", current.version if current else {}, NO_DOCUMENT)
        change = self._timed(change, current if is_covered else None)
        state = _outcome(change, current, is_covered, is_plain=not self.request.protocol)
        if state is None:
            return Result(op_id, "conflict", current.version if current else {})
        if is_covered or current is None:
            return self._stage(change, current, state, "applied")
        result = self._stage(change, current, state, "merged")
        if state == current.state and current.version.get(self.request.client_id, 0) >= (change.n or 0):
            return result  # a device brought it before; what has changed since was made by who had seen it
        return _with_losses(result, change, current, state)

    def _unite(self, change: Change, current: Document | None) -> Result:
        """Take in what came from device to device: its stamps decide, so what is known already changes nothing.

        Only a part of a document, where there is none any more, is a conflict: half of it would come back. A time
        too far ahead can't be compared with those that the same changes were given when they came by another way.
        What had seen the other side and gives way to its stamps all the same is told, as in a meeting.
        """
        before = current.state if current else ABSENT
        if current is not None and includes(current.version, change.contains or {}):
            is_there = _gave_way(change.state, before) is None and (change.state.body is None) == (
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
        result = _with_losses(result, change, current, after)
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
        return change._replace(state=restamped(change.state, self.state.clock, limit if is_ahead else ""))

    def _is_ahead(self, change: Change) -> bool:
        made = max(change.state.timestamp, latest(change.state.body) if self.has_crdts else "")
        return made > self.latest

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
        problem = problem or _overgrown(state, change, has_crdts=self.has_crdts)
        if problem is not None:
            return Result(op_id, "rejected", current.version if current else {}, problem)
        self.state.head += 1
        name = (change.collection, change.key)
        self.staged[name] = _Stored(document, self.state.head)
        return Result(op_id, status, version)

    async def _write(self) -> None:
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
        await note_written(self.tx, self.after.keys(), _body_of)
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


def _units(changes: Sequence[Change]) -> Iterator[list[Change]]:
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


def _outcome(change: Change, current: Document | None, is_covered: bool, *, is_plain: bool) -> State | None:
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


def _foreign(change: Change, current: Document | None, replica: str) -> Problem | None:
    """Refuse CRDT values with which a replica speaks for others, unless it says that it passes on what they did."""
    if change.relays:
        return None
    try:
        check_authors(change.state, replica, current.state if current else ABSENT, "document")
    except SchemaError as error:
        return Problem(error.code, str(error))
    return None


def _overgrown(state: State, change: Change, *, has_crdts: bool) -> Problem | None:
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


def _with_losses(result: Result, change: Change, before: Document, after: State) -> Result:
    """Add to a merged change's verdict what of it, and what of the document that it met, gave way."""
    if result.status != "merged":
        return result
    gone = _gave_way(before.state, after)
    overwritten = Document(gone, {}, before.op_id) if gone else None
    return result._replace(lost=_gave_way(change.state, after), overwritten=overwritten)


def _gave_way(state: State, after: State) -> State | None:
    """Give what of a state is not in what it became: some values, or a delete."""
    return state if state.body is None and after.body is not None else lost(state, after)


def _must_change(result: Result) -> bool:
    """Tell whether a replica has to make a change anew: it is in conflict, or its id was used before."""
    is_reused = result.error is not None and result.error.code == "op_id_reused"
    return result.status == "conflict" or is_reused


def _rejected(op_id: str, code: str, message: str) -> Result:
    return Result(op_id, "rejected", error=Problem(code, message))
