"""A replica's side of the exchange, as transaction bodies: what it asks and sends, forking, starting over.

No transaction is held across the network: what is in flight is written down before it is sent, so a request that
is sent again is the same bytes. What is done with an answer is in ``intake.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from ..causality import SERVER
from ..deferred import dataclass
from ..errors import SyncError
from ..values import JSON, dumps, loads
from .conflict import Resolver
from .document import Body, merge
from .fields import without_crdts
from .optimistic import (
    Record,
    applied,
    as_change,
    decode_record,
    encode_record,
    view,
)
from .outbox import (
    Counters,
    Name,
    Run,
    all_runs,
    by_priority,
    first_blocks,
    numbered,
    whole_blocks,
    without,
)
from .ports import Random, ReadTransaction, WriteTransaction
from .recorded import done_again
from .replica import LET_GO, Event, LeaseLost, load_counters, size_of
from .scope import SCOPE, Asked, Wish, again, begin_again, choose, choose_everything, load_scope
from .shedding import forget_evicted
from .waiting import held_changes
from .wire import MAX_PAGE, PROTOCOL, Change, DeltaWish, Result, SyncRequest

MERGE_FIELDS: Final = "fields"
_SELDOM: Final = ("is_late", "doubts", "began", "floor")


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """What to ask for and how to decide: database, collections (None: all), sizes, strategy, and the lease held.

    ``where`` (collection, key, body as it is seen) chooses the documents whose changes are pushed; None: all.
    """

    database: str
    resolver: Resolver
    collections: tuple[str, ...] | None = None
    push_limit: int = 500
    page_limit: int = MAX_PAGE
    lease: int | None = None
    wants_events: bool = True
    where: Callable[[str, str, Body | None], bool] | None = None
    splits: bool = False
    """Whether a block may be sent in parts, because the server takes no whole one."""
    skip: frozenset[int] = frozenset()
    """The numbers of changes that are not sent now, nor what depends on them."""
    delta: DeltaWish | None = None
    """Whether documents may come as what has changed in them; None: they come whole."""
    device: str | None = None
    """The label under which ledger entries name this replica beside its id; None: they name nobody."""


@dataclasses.dataclass(slots=True)
class SyncState:
    """Where a replica stands with its server; ``cursor`` is the server's sequence up to which it has everything.

    At ``settled`` it had everything that there was. ``is_resync``: a full pull is under way, and what it does not
    bring will be dropped. ``is_late``: nothing is pushed until it is through, because the server has forgotten what
    it would need to judge that; ``doubts`` are then the changes (collection, key, number) that were sent and may have
    been decided. ``began`` is what the last answer said; ``floor`` the sequence up to which the server may have
    forgotten deletes.
    """

    cursor: int = 0
    epoch: str | None = None
    fence: str | None = None
    collections: list[str] | None = None
    is_resync: bool = False
    was_forked: bool = False
    settled: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    is_late: bool = False
    doubts: list[list[Any]] = field(default_factory=list)
    began: int = 0
    floor: int = 0

    def text(self) -> str:
        """Give the text that stores the state."""
        seldom = {name: value for name in _SELDOM if (value := getattr(self, name))}
        return dumps(
            seldom
            | {
                "cursor": self.cursor,
                "epoch": self.epoch,
                "fence": self.fence,
                "collections": self.collections,
                "is_resync": self.is_resync,
                "was_forked": self.was_forked,
                "settled": self.settled,
                "totals": self.totals,
            }
        )


@dataclass(slots=True)
class Outcome:
    """What an answer did. ``is_stale``: it answered another question, and nothing was taken in.

    ``diverged`` are collections of which only a part is wanted, and that is another one than the server's.
    """

    events: list[Event] = field(default_factory=list)
    pushed: int = 0
    pulled: int = 0
    conflicts: int = 0
    rejected: list[tuple[Name, Result]] = field(default_factory=list)
    pending: int = 0
    has_more: bool = False
    is_stale: bool = False
    has_diverged: bool = False
    diverged: list[str] = field(default_factory=list)
    epoch_changed: bool = False
    noted: int = 0
    delta_bytes: int = 0
    whole_bytes: int = 0
    asks: list[Name] = field(default_factory=list)
    """The documents whose conflicts wait for functions of the application; ``noted`` counts entries of the ledger."""


async def load_sync(tx: ReadTransaction) -> SyncState:
    """Read where the replica stands."""
    return read_sync(await tx.get("meta", ("sync",)))


def read_sync(text: str | None) -> SyncState:
    """Read the text that stores where the replica stands; None is a new one."""
    return SyncState(**loads(text)) if text else SyncState()


async def has_pending(tx: ReadTransaction, skip: frozenset[int] = frozenset()) -> bool:
    """Tell whether changes may be sent, or wait for the answer to a request that had some."""
    if (await load_sync(tx)).is_late:
        return False
    if await tx.get("meta", ("inflight",)) is not None:
        return True
    if not await tx.scan("outbox", limit=1):
        return False
    if not skip and not await tx.scan("conflicts", limit=1):
        return True
    runs = await all_runs(tx)
    return bool(numbered(without(runs, await held_changes(tx, runs, skip))))


async def build_pull(tx: ReadTransaction, options: ExchangeOptions) -> SyncRequest:
    """Build a request without changes; nothing need be written for it."""
    counters = await checked_counters(tx, options)
    sync = await load_sync(tx)
    return _request(counters, sync, await _asked(tx, options), options)


async def build_push(tx: WriteTransaction, rng: Random, options: ExchangeOptions) -> SyncRequest:
    """Build a request with the oldest changes and write down that they are in flight; again, the same request."""
    counters = await checked_counters(tx, options)
    sync = await load_sync(tx)
    asked = await _asked(tx, options)
    text = await tx.get("meta", ("inflight",))
    if text is not None:
        inflight = loads(text)
    else:
        entries, waiting = await _entries(tx, counters, options)
        if not entries:
            return _request(counters, sync, asked, options)
        # What the server knows already, or refuses, must not meet the documents of others as if it were pending.
        is_part = options.where is None and len(entries) < waiting
        inflight = {"request": rng.randbytes(16).hex(), "entries": entries, "cursor": sync.cursor}
        inflight["limit"] = 0 if is_part else options.page_limit
        counters.seal()
        tx.put("meta", ("inflight",), dumps(inflight))
        tx.put("meta", ("counters",), counters.text())
    names = [(collection, key) for collection, key, _ in inflight["entries"]]
    records = [decode_record(text) for text in await tx.get_many("docs", names)]
    changes = []
    for (collection, key, n), record in zip(inflight["entries"], records, strict=True):
        index = next((i for i, change in enumerate(record.pending) if change.n == n), None)
        if index is not None:
            changes.append(as_change((collection, key), record, index, counters.replica))
    return _request(counters, sync, asked, options, inflight, changes)


async def _runs(tx: ReadTransaction, counters: Counters, options: ExchangeOptions) -> tuple[list[Run], int]:
    """Give what may be pushed now, in the order of sending, and how many changes may be pushed altogether.

    What waits for a decision, and what depends on it, may not.
    """
    is_held = bool(options.skip) or bool(await tx.scan("conflicts", limit=1))
    if not is_held and not options.where and not counters.urgent:
        return await first_blocks(tx, options.push_limit), counters.pending
    runs = await all_runs(tx)
    if is_held:
        runs = without(runs, await held_changes(tx, runs, options.skip))
    total = len(numbered(runs))
    if counters.urgent:
        runs = by_priority(runs)
    return runs if options.where else whole_blocks(runs, options.push_limit), total


async def _entries(
    tx: ReadTransaction, counters: Counters, options: ExchangeOptions
) -> tuple[list[list[Any]], int]:
    """Choose what to push: the first whole blocks, or of everything what the application asked for.

    Give also how many changes may be pushed altogether.
    """
    runs, total = await _runs(tx, counters, options)
    chosen = numbered(runs)
    if options.where is None and not options.splits:
        return [[*name, n] for name, n in chosen], total
    wanted: list[tuple[int | None, list[Any]]] = []
    refused: set[int] = set()
    for name, n in chosen:
        record = decode_record(await tx.get("docs", name))
        unit = next((change.unit for change in record.pending if change.n == n), None)
        seen = view(record, counters.replica)
        if options.where is None or options.where(*name, seen.body if seen else None):
            wanted.append((unit, [*name, n]))
        elif unit is not None:
            refused.add(unit)
    kept = [(unit, entry) for unit, entry in wanted if unit is None or unit not in refused]
    end = options.push_limit
    while end < len(kept) and kept[end][0] is not None and kept[end][0] == kept[end - 1][0]:
        end += 1  # a transaction travels whole
    return [entry for _, entry in kept[:end]], total


def _request(
    counters: Counters,
    sync: SyncState,
    asked: Asked,
    options: ExchangeOptions,
    inflight: dict[str, JSON] | None = None,
    changes: Sequence[Change] = (),
) -> SyncRequest:
    return SyncRequest(
        database=options.database,
        client_id=counters.replica,
        version_vector={SERVER: sync.cursor},
        changes=tuple(changes),
        protocol=PROTOCOL,
        request_id=inflight["request"] if inflight else None,
        fence=sync.fence,
        epoch=sync.epoch,
        limit=inflight["limit"] if inflight else options.page_limit,
        collections=asked.collections,
        subscriptions=asked.subscriptions,
        without=asked.without,
        delta=options.delta,
        settled=min(sync.settled, sync.cursor),
        began=sync.began,
    )


async def _asked(tx: ReadTransaction, options: ExchangeOptions) -> Asked:
    scope = await load_scope(tx)
    return scope.asked(options.collections) if scope else Asked(options.collections)


async def checked_counters(tx: ReadTransaction, options: ExchangeOptions) -> Counters:
    """Read what the replica counts, or raise :class:`LeaseLost` where another handle leads now."""
    counters = await load_counters(tx)
    if options.lease is not None and counters.lease != options.lease:
        raise LeaseLost(f"lease {options.lease} is over: {counters.lease} is the one that holds")
    return counters


async def fork(tx: WriteTransaction, rng: Random, options: ExchangeOptions) -> None:
    """Become another replica: this storage was restored or cloned. The changes keep their op ids.

    What the original has already sent, the server knows by its op id and does not apply again.
    """
    counters = await checked_counters(tx, options)
    sync = await load_sync(tx)
    counters.replica = rng.randbytes(16).hex()
    counters.seal()
    await _do_again(tx, counters)
    sync.fence = None
    sync.was_forked = True
    tx.delete("meta", ("inflight",))
    tx.put("meta", ("counters",), counters.text())
    tx.put("meta", ("sync",), sync.text())


async def _do_again(tx: WriteTransaction, counters: Counters) -> None:
    """Let every change that waits speak of CRDT values under its own name: the twin goes on under the old one."""
    names = {name for run in await all_runs(tx) for name in run.names if name is not None}
    for name in sorted(names):
        record = decode_record(await tx.get("docs", name))
        if any(change.deeds for change in record.pending):
            again = _done_again(record)
            more = sum(map(size_of, again.pending)) - sum(map(size_of, record.pending))
            counters.pending_bytes = max(0, counters.pending_bytes + more)
            tx.put("docs", name, encode_record(again))


def _done_again(record: Record) -> Record:
    state = record.base.state if record.base else None
    pending = []
    for change in record.pending:
        if change.deeds:
            patch = done_again(state, change.deeds, change.op_id, change.state.timestamp)
            rest = without_crdts(change.state)
            change = change._replace(state=merge(rest, patch) if rest else patch, relays=True)
        state = applied(state, change)
        pending.append(change)
    return Record(record.confirmed, tuple(pending), record.waiting)


async def withdraw(tx: WriteTransaction, request: SyncRequest) -> None:
    """Let the changes of a request wait again that the server refused unread."""
    text = await tx.get("meta", ("inflight",))
    if text is not None and loads(text)["request"] == request.request_id:
        tx.delete("meta", ("inflight",))


async def is_overtaken(tx: ReadTransaction, request: SyncRequest) -> bool:
    """Tell whether another handle on this database has exchanged, or is about to, since a request was built.

    The fence of such a request may be refused although nobody restored or cloned anything.
    """
    text = await tx.get("meta", ("inflight",))
    in_flight = None if text is None else loads(text)["request"]
    return request.fence != (await load_sync(tx)).fence or in_flight not in (None, request.request_id)


async def keep_to_database(tx: WriteTransaction, name: str) -> None:
    """Note which database of a server this is a copy of; raise :class:`SyncError` where it is one of another.

    What waits here, and what the server does not have, would be sent there.
    """
    text = await tx.get("meta", ("database",))
    if text is None:
        tx.put("meta", ("database",), dumps(name))
    elif (kept := loads(text)) != name:
        raise SyncError(
            f"this storage holds a copy of the database {kept!r}, and would mix it into {name!r}: "
            "open another storage for that, or delete this one first"
        )


async def choose_collections(tx: WriteTransaction, names: Sequence[str] | None) -> None:
    """Set which collections are synced; where there are more than before, everything is pulled again."""
    sync = await load_sync(tx)
    wanted = None if names is None else sorted(names)
    if sync.collections != wanted:
        sync.collections = wanted
        sync.cursor = sync.settled = 0
        tx.put("meta", ("sync",), sync.text())


async def begin_resync(tx: WriteTransaction, options: ExchangeOptions) -> None:
    """Begin to pull everything again; what the server does not have any more is dropped at the end."""
    await checked_counters(tx, options)
    sync = await load_sync(tx)
    for key, _ in await tx.scan("seen"):
        tx.delete("seen", key)
    await forget_evicted(tx)
    tx.put("meta", LET_GO, "1")
    sync.cursor = sync.settled = sync.began = 0
    sync.is_resync = True
    tx.put("meta", ("sync",), sync.text())
    scope = await load_scope(tx)
    if scope is not None:
        begin_again(scope, options.collections)
        tx.put("meta", SCOPE, scope.text())


async def begin_late_resync(tx: WriteTransaction, options: ExchangeOptions, *, is_doubtful: bool) -> None:
    """Begin to pull everything again because the server has forgotten what this replica has not seen.

    ``is_doubtful``: what is in flight may have been decided, so long ago that the server does not know it any more.
    """
    await begin_resync(tx, options)
    sync = await load_sync(tx)
    text = await tx.get("meta", ("inflight",))
    if text is not None:
        sync.doubts += loads(text)["entries"] if is_doubtful else []
        tx.delete("meta", ("inflight",))
    sync.is_late = True
    tx.put("meta", ("sync",), sync.text())


async def begin_part_again(tx: WriteTransaction, collection: str, options: ExchangeOptions) -> None:
    """Begin to fetch one part anew, because it is not what the server has; what does not come is dropped."""
    await checked_counters(tx, options)
    scope = await load_scope(tx)
    if scope is not None and scope.holds(collection) and collection in scope.choices:
        for key, _ in await tx.scan("seen", (collection,)):
            tx.delete("seen", key)
        again(scope, collection)
        tx.put("meta", SCOPE, scope.text())


async def choose_parts(
    tx: WriteTransaction,
    wishes: Mapping[str, Wish | None] | None,
    collections: tuple[str, ...] | None,
    *,
    is_exact: bool = False,
) -> bool:
    """Choose what is wanted, as :func:`scope.choose` does; ``wishes`` None: everything. Tell whether that is news."""
    sync = await load_sync(tx)
    if wishes is not None:
        tx.put("meta", LET_GO, "1")
        return await choose(tx, wishes, sync.cursor, collections, is_exact=is_exact, is_resync=sync.is_resync)
    if await choose_everything(tx):
        sync.cursor = sync.settled = sync.began = 0
        tx.put("meta", ("sync",), sync.text())
        return True
    return False
