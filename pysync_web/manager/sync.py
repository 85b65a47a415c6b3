"""The sync manager: what an application calls. Documents are saved here at once, and travel by themselves.

Reads and writes never wait for the network; everything that must survive lies in the store, nothing in this object.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace as with_values
from typing import TYPE_CHECKING, Any, Final

from ..clock import monotonic_ms, now_ms
from ..core import replica as local
from ..core.arguments import (
    LONGEST_S,
    binds_of,
    check_flag,
    check_function,
    check_limit,
    check_members,
    check_seconds,
    check_text,
    is_number,
    listed,
)
from ..core.conflict import Answer, Conflict, Resolver, Strategy
from ..core.exchange import ExchangeOptions, Outcome, begin_resync, choose_collections, keep_to_database, load_sync
from ..core.expiry import SETTINGS
from ..core.ledger import Entry
from ..core.optimistic import View
from ..core.ports import Channel, ReadTransaction, Touched, Transport, WriteTransaction
from ..core.replica import Event, Many, Write, WriteOptions, checked_body
from ..core.schedule import Schedule
from ..core.wire import DeltaWish
from ..errors import (
    DatabaseLocked,
    InvalidDocument,
    QuotaExceeded,
    Rejected,
    SyncError,
    TransactionError,
    Unauthorized,
    Unreachable,
)
from ..storage import request_persistence
from ..values import JSON, canonical, canonical_many, check_collection, check_key, check_keys
from .background import Background
from .choices import chosen, has_tag, tagged, write_options
from .chunks import BUCKET, CHUNKS, is_reserved, keeping, unused
from .commands import SetOnline, Stop, Subscribe, SyncCommand, SyncNow, Unsubscribe
from .config import SyncConfig
from .conflicts import Conflicts
from .crdts import CrdtFields, checked_amount
from .exchanger import Exchanger, Tally, exchange_around_refusals
from .hooks import Hooks, log
from .indexed import IndexedStorage, touched_documents
from .ledger import Ledger
from .optimism import Optimism
from .reports import read_events, read_pending, read_statistics, read_waiting
from .results import (
    CompactResult,
    DeltaStats,
    MeetingResult,
    PendingChange,
    State,
    Statistics,
    StorageEstimate,
    Subscribed,
    SyncMetadata,
    SyncResult,
    SyncStatus,
    Ttl,
)
from .selective import Filters, Selective, collection_of
from .standing import Standing
from .store import LocalStore
from .transaction import Transaction

if TYPE_CHECKING:
    from ..core.indexes import Index
    from ..crdt import Operation
    from .bucket import Bucket
    from .devices import Devices
    from .hygiene import Hygiene
    from .logged import KeyValueStore, LoggedStore
    from .meeting import Meeting
    from .queries import LiveQuery, Queries

Document = dict[str, JSON]
Predicate = Callable[[str, str, "Document | None"], bool]

TRANSPORT: Final = ("exchange", "pokes", "close")
"""The methods that a transport has."""


class SyncManager:
    """Documents in a local store, synced with a server.

    ``client`` is any :class:`Transport`, None for a store without a server. Every method may be called with no
    network; errors of the network never come out of document calls, they are in ``status()`` and ``SyncResult``.
    """

    def __init__(
        self, store: LocalStore, client: Transport | None = None, config: SyncConfig | None = None
    ) -> None:
        if client is not None:
            check_members("client: a transport", client, TRANSPORT)
        self.store = store
        self.config = config or SyncConfig()
        self._storage = IndexedStorage(store.storage)
        self._client = client
        if (attach := getattr(client, "attach", None)) is not None:
            attach(store.storage)
        self._rng: Any = random.SystemRandom()
        self._options = with_values(write_options(self.config), opened_at=store.opened_at)
        self._crdts = CrdtFields(self._write_one, self._view)
        self._schedule = Schedule(
            round(self.config.sync_interval_s * 1000), push_on_change=self.config.push_on_change
        )
        self._changes = Hooks("on_change")
        self._before = Hooks("on_before_sync")
        self._after = Hooks("on_after_sync")
        self._on_conflict = Hooks("on_conflict")
        self._progress = Hooks("on_progress")
        self._conflicts = Conflicts(
            self._storage,
            self._on_conflict,
            self.config,
            self._rng,
            now_ms,
            lambda: self._exchange_options(None),
            self._on_decided,
        )
        self.ledger = Ledger(
            self._storage, self.config.ledger, self._rng, now_ms, lambda: self._options, self._tell
        )
        self._optimism = Optimism(self._storage, self._rng, now_ms, store.device_id, self._tell)
        self._devices: Devices | None = None
        self._hygiene: Hygiene | None = None
        self._expiring: asyncio.Task[None] | None = None
        self._engine: Queries | None = None
        self._exchanging: asyncio.Task[SyncResult] | None = None
        self._background: Background | None = None
        self._undo: list[Callable[[], None]] = []
        self._standing = Standing(self._storage, self.config, self._schedule, self._rng)
        self._selective = Selective(self._storage, self.config, can_filter=getattr(client, "can_filter", True))
        self._whole: frozenset[str] = frozenset()
        self._threshold = 0.5
        self._delta_stats: DeltaStats | None = None
        self._wants_online = self._has_network = True
        self._is_closed = False

    # Opening

    async def start(self) -> None:
        """Begin to sync in the background, if there is a server and ``auto_sync`` is on; once is enough."""
        if self._background is not None or self._is_closed:
            return
        await self._storage.write(self._begin)
        self._undo.append(self._storage.watch(self._on_touched))
        await self._standing.load()
        await self.ledger.look()
        if self._client is None or hasattr(self._client, "attach"):  # no server of ours deletes what has expired
            self._expiring = asyncio.ensure_future(self._expire())
        if self._client is None:
            return
        watch_online = getattr(self._client, "watch_online", None)
        if watch_online is not None:
            self._undo.append(watch_online(self._on_network))
        self._background = Background(
            self._storage,
            self._client,
            self._schedule,
            self.config.database,
            await self._selective.asked(),
            self._sync_in_background,
            self._rng,
        )
        if self.config.auto_sync:
            self._background.start()

    async def _begin(self, tx: WriteTransaction) -> None:
        if self._client is not None:
            await keep_to_database(tx, self.config.database)
        await choose_collections(tx, tuple(self.config.collections) or None)

    async def stop(self) -> None:
        """End background sync; documents can still be read and saved."""
        if self._background is not None:
            await self._background.stop()
        for task in (self._exchanging, self._expiring):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop, and close the client and the store; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
        if self._devices is not None:
            await self._devices.close()
        await self.stop()
        for undo in self._undo:
            undo()
        if self._client is not None:
            await self._client.close()
        await self.store.close()
        self._optimism.wake()

    async def __aenter__(self) -> SyncManager:
        await self.start()
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self.close()

    # Documents

    async def save_document(
        self,
        collection: str,
        key: str | None,
        document: Document,
        *,
        replace: bool = False,
        strategy: Strategy | None = None,
        priority: int = 0,
        tags: Iterable[str] | None = None,
    ) -> Document:
        """Save a document and give it as it now is; durable on return.

        The fields given are set and the others stay, or (``replace``) go. ``key`` None makes a UUIDv7. Raises
        :class:`InvalidDocument`, :class:`OutboxFull`, :class:`QuotaExceeded` and other :class:`StorageError`.

        ``strategy`` decides the conflicts of this change, also after a restart. A ``priority`` of 1 to 100 sends it
        before changes with a lower one, which says that it depends on none of them but those of its document.
        ``tags`` replace the document's tags, which lie in its member ``_tags`` and sync with it.
        """
        write = self._write_of(collection, key, tagged(document, tags), replace)
        ((event, view),) = await self._write([write], chosen(self._options, self.config, strategy, priority))
        self._tell([event] if event else [])
        assert view is not None
        return view.document(write.key)

    async def save_documents(
        self,
        collection: str,
        documents: Mapping[str, Document] | Iterable[Document],
        *,
        replace: bool = False,
        strategy: Strategy | None = None,
        priority: int = 0,
    ) -> list[str]:
        """Save many documents in one local transaction, all or none, and give their keys.

        ``documents`` maps keys to documents, or lists documents whose ``_key`` may say their key. On the server each
        stands for itself; use :meth:`transaction` for changes that must appear together there too.
        ``strategy`` and ``priority`` are as for :meth:`save_document`.
        """
        options = chosen(self._options, self.config, strategy, priority)
        check_flag("replace", replace)
        self._collection(collection)
        if isinstance(documents, Mapping):
            keys, given = list(documents.keys()), list(documents.values())
        else:
            given = listed("documents", documents, "documents")
            keys = [_key_of(document) or self.new_key() for document in given]
        check_keys(keys)
        bodies = [checked_body(document, key) for key, document in zip(keys, given, strict=True)]
        many = Many(collection, keys, bodies, canonical_many(bodies, keys), replace, bool(self._changes))
        events = await self._storage.write(
            lambda tx: local.save_many(tx, many, now_ms(), self._rng, options), is_local=True
        )
        self._note_local_change()
        self._emit(events)
        return keys

    async def get_document(self, collection: str, key: str) -> Document | None:
        """Give a document with ``_key``, ``_version`` and ``_timestamp``, or None."""
        name = check_collection(collection), check_key(key)
        return await self._storage.read(lambda tx: local.read_document(tx, *name))

    async def get_documents(self, collection: str, keys: Iterable[str]) -> list[Document | None]:
        """Give several documents of one moment, None for each that is not there."""
        wanted = [check_key(key) for key in listed("keys", keys, "keys")]
        check_collection(collection)
        return await self._storage.read(lambda tx: local.read_some(tx, collection, wanted))

    async def delete_document(
        self, collection: str, key: str, *, strategy: Strategy | None = None, priority: int = 0
    ) -> bool:
        """Delete a document; tell whether it was there. ``strategy`` and ``priority`` are as for a save."""
        write = Write(self._collection(collection), check_key(key), None)
        ((event, _),) = await self._write([write], chosen(self._options, self.config, strategy, priority))
        self._tell([event] if event else [])
        return event is not None

    async def update_document(
        self,
        collection: str,
        key: str,
        change: Callable[[Document | None], Document | None],
        *,
        strategy: Strategy | None = None,
        priority: int = 0,
    ) -> Document | None:
        """Read, change and save a document in one transaction; ``change`` giving None deletes it.

        ``change`` is a plain function without effects: it may run again. No other tab or process can come between.
        ``strategy`` and ``priority`` are as for a save.
        """
        options = chosen(self._options, self.config, strategy, priority)
        return await self._update(collection, key, change, options)

    async def _update(
        self,
        collection: str,
        key: str,
        change: Callable[[Document | None], Document | None],
        options: WriteOptions,
    ) -> Document | None:
        self._collection(collection)
        check_key(key)
        check_function("change", change)

        async def body(tx: WriteTransaction) -> tuple[Event | None, View | None]:
            before = await local.read_view(tx, collection, key)
            after = change(before.document(key) if before else None)
            if after is None:
                write = Write(collection, key, None)
            else:
                write = self._write_of(collection, key, after, True)
            ((event, view),) = await local.write(tx, [write], now_ms(), self._rng, options)
            return event, view

        event, view = await self._storage.write(body, is_local=True)
        self._tell([event] if event else [])
        return view.document(key) if view else None

    async def list_documents(self, collection: str, limit: int = 50, offset: int = 0) -> tuple[list[Document], int]:
        """Give a page of documents in the order of their keys, and how many there are altogether."""
        check_collection(collection)
        most, first = check_limit("limit", limit), check_limit("offset", offset)

        async def body(tx: ReadTransaction) -> tuple[list[tuple[str, Document]], int]:
            page = await local.read_documents(tx, collection, limit=most, offset=first)
            return page, await local.count(tx, collection)

        rows, total = await self._storage.read(body)
        return [document for _, document in rows], total

    async def query_documents(self, collection: str) -> list[tuple[str, Document]]:
        """Give every document of a collection with its key, in the order of the keys."""
        check_collection(collection)
        return await self._storage.read(lambda tx: local.read_documents(tx, collection))

    async def query_by_tag(self, tag: str, collection: str | None = None) -> list[tuple[str, str, Document]]:
        """Give (collection, key, document) of every document that has a tag, of one collection or of all."""
        names = await self.list_collections() if collection is None else [check_collection(collection)]

        async def body(tx: ReadTransaction) -> list[tuple[str, str, Document]]:
            rows = [(name, *row) for name in names for row in await local.read_documents(tx, name)]
            return [row for row in rows if has_tag(row[2], tag)]

        return await self._storage.read(body)

    async def list_collections(self, *, include_reserved: bool = False) -> list[str]:
        """Name the collections that have a document, without those in which buckets and settings lie by default."""
        names = await self._storage.read(local.collections)
        return [name for name in names if include_reserved or not is_reserved(name)]

    def bucket(self, name: str) -> Bucket:
        """Give the bucket of binary values of that name; it need not have been there.

        Its documents lie in the reserved collections ``_bucket_NAME`` and ``_chunks``; where
        ``SyncConfig.collections`` names any, it has to name these.
        """
        from .bucket import Bucket

        check_text("a bucket's name", name)
        self._collection(CHUNKS)
        self._collection(BUCKET + name)
        return Bucket(name, self._storage, self.save_document, self.delete_document)

    def logged_store(
        self,
        collection: str,
        store: KeyValueStore | MutableMapping[str, Document],
        *,
        reconciler: Resolver | None = None,
        batch_size: int = 100,
        batch_bytes: int = 1024 * 1024,
    ) -> LoggedStore:
        """Let a store of the application's own, a dict or a :class:`KeyValueStore`, sync as a collection.

        ``reconciler`` decides on every document that was changed on both sides, as ``on_conflict`` does; without one
        the manager's strategy does. So many documents of so many bytes are written to the store between two notes of
        what was.
        """
        from .logged import LoggedStore, on_body, only_in

        options = with_values(self._options, merge=None) if reconciler else self._options
        logged = LoggedStore(
            self._collection(collection),
            store,
            storage=self._storage,
            update=lambda key, change: self._update(collection, key, on_body(change), options),
            exchange=lambda pushes: self.sync_where(lambda name, *_: pushes and name == collection),
            new_key=self.new_key,
            batch_size=batch_size,
            batch_bytes=batch_bytes,
        )
        if reconciler is not None:
            logged.close = self.on_conflict(only_in(collection, reconciler))
        return logged

    async def collect_chunks(self, *, grace_s: float = 86_400.0) -> int:
        """Delete the pieces of binary values that no entry refers to any more; give how many.

        Syncs first where there is a server, and does nothing if that fails: others may have written meanwhile. What
        was used within ``grace_s`` seconds stays.
        """
        if not is_number(grace_s, -LONGEST_S, LONGEST_S):
            raise InvalidDocument(f"grace_s is a number of seconds, not {grace_s!r:.60}")
        if self._client is not None and not (await self.sync_now()).success:
            return 0
        before_ms = now_ms() - round(grace_s * 1000)
        after: Any = None
        deleted: list[Event] = []

        async def body(tx: WriteTransaction) -> tuple[list[Event], Any]:
            names, last = await unused(tx, after, before_ms)
            writes = [Write(CHUNKS, name, None) for name in names]
            results = await local.write(tx, writes, now_ms(), self._rng, self._options) if writes else []
            return [event for event, _ in results if event], last

        while True:
            events, after = await self._storage.write(body, is_local=True)
            deleted += events
            if after is None:
                self._tell(deleted)
                return len(deleted)

    def transaction(self, *, strategy: Strategy | None = None, priority: int = 0) -> Transaction:
        """Begin changes that are made together, here and on the server: ``async with sync.transaction() as t``.

        ``strategy`` and ``priority`` are as for :meth:`save_document`, and hold for all of them.
        """
        options = with_values(chosen(self._options, self.config, strategy, priority), is_atomic=True)

        async def commit(writes: list[Write], seen: dict[tuple[str, str], View | None]) -> None:
            await self._commit(writes, seen, options)

        return Transaction(self._view, commit, self.new_key)

    def new_key(self) -> str:
        """Make a key: by ``SyncConfig.key_factory``, or a UUIDv7 (RFC 9562), so that later ones sort behind."""
        if self.config.key_factory is not None:
            return check_key(self.config.key_factory())
        bits = int.from_bytes(self._rng.randbytes(10), "big")
        value = now_ms() << 80 | 0x7 << 76 | (bits >> 68) << 64 | 0b10 << 62 | bits & (2**62 - 1)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # CRDT values

    async def crdt_increment(self, collection: str, key: str, field: str, amount: int = 1) -> int:
        """Add to a counter (``pn_counter``) in a document; give its value here. Counters never conflict.

        A field ``a.b`` lies deeper. The counter begins with 0, and where there is no document that begins too.
        Raises :class:`InvalidDocument` where something else is there.
        """
        return await self._crdts.increment(self._collection(collection), key, field, checked_amount(amount))

    async def crdt_decrement(self, collection: str, key: str, field: str, amount: int = 1) -> int:
        """Take away from a counter (``pn_counter``); give its value here."""
        return await self._crdts.increment(self._collection(collection), key, field, -checked_amount(amount))

    async def crdt_set(self, collection: str, key: str, field: str, value: JSON) -> None:
        """Set a register (``lww_register``): the latest assignment stands."""
        await self._crdts.assign(self._collection(collection), key, field, value)

    async def crdt_add_to_set(self, collection: str, key: str, field: str, element: JSON) -> None:
        """Add any JSON value to a set that only grows (``g_set``)."""
        await self._crdts.add(self._collection(collection), key, field, element, "g_set")

    async def crdt_set_add(self, collection: str, key: str, field: str, element: JSON) -> None:
        """Add any JSON value to a set (``or_set``); an addition wins over a removal at the same time."""
        await self._crdts.add(self._collection(collection), key, field, element, "or_set")

    async def crdt_set_remove(self, collection: str, key: str, field: str, element: JSON) -> None:
        """Take a value out of a set (``or_set``), as far as it was seen here."""
        await self._crdts.remove(self._collection(collection), key, field, element)

    async def crdt_map_put(self, collection: str, key: str, field: str, name: str, value: JSON) -> None:
        """Set a name of a map (``or_map``); :meth:`crdt_change` puts counters, sets and maps into one."""
        await self._crdts.put(self._collection(collection), key, field, name, value)

    async def crdt_map_remove(self, collection: str, key: str, field: str, name: str) -> None:
        """Take a name out of a map (``or_map``); what others put there at the same time stays."""
        await self._crdts.discard(self._collection(collection), key, field, name)

    async def crdt_change(self, collection: str, key: str, field: str, kind: str, operation: Operation) -> JSON:
        """Apply any operation of :mod:`pysync_web.crdt` to a value of any kind; give what it shows here."""
        return await self._crdts.change(self._collection(collection), key, field, kind, operation)

    async def crdt_value(self, collection: str, key: str, field: str) -> JSON:
        """Give what a CRDT value shows, as reading its document does; None where there is none."""
        return await self._crdts.value(collection, key, field)

    async def crdt_state(self, collection: str, key: str, field: str) -> dict[str, JSON] | None:
        """Give the whole state of a CRDT value, as JSON to be kept or carried elsewhere; None where there is none."""
        return await self._crdts.state(collection, key, field)

    async def crdt_merge(self, collection: str, key: str, field: str, state: JSON) -> JSON:
        """Take in a state that :meth:`crdt_state` gave, in any order and as often as it comes; give what shows.

        Raises :class:`SchemaError` that says what is wrong with a state that is none.
        """
        return await self._crdts.join(self._collection(collection), key, field, state)

    # Queries

    async def query(self, sdbql: str, bind_vars: Mapping[str, JSON] | None = None) -> list[JSON]:
        """Run a query and give its rows; one that writes does so in one transaction, as if documents were saved.

        Raises :class:`QueryError` with the place in the query, also past a limit of ``SyncConfig.query_limits``.
        """
        binds = binds_of(bind_vars)
        queries = self._queries()
        if not queries.is_writing(sdbql):
            return await queries.read(sdbql, binds)
        rows, events = await queries.write(sdbql, binds, self._options)
        self._tell(events)
        return rows

    async def explain(self, sdbql: str, bind_vars: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Run a query without making what it writes, and tell how: the steps, the indexes used, rows and times."""
        return await self._queries().explain(sdbql, binds_of(bind_vars))

    def live(self, sdbql: str, bind_vars: Mapping[str, JSON] | None = None) -> LiveQuery:
        """Keep a query live: ``async for rows in sync.live(…)`` gives its rows now and after each change of them."""
        return self._queries().live(sdbql, binds_of(bind_vars))

    async def create_index(
        self, collection: str, fields: str | Sequence[str], unique: bool = False, *, name: str | None = None
    ) -> str:
        """Make an index over one or more fields (``address.city`` lies deeper) and give its name; once is enough.

        Indexes are this replica's own and change with its documents. ``unique`` refuses local writes that would give
        two documents the same values, with :class:`InvalidDocument`; what comes from elsewhere is not refused.
        """
        given = [fields] if isinstance(fields, str) else listed("fields", fields)
        return await self._queries().create_index(collection, given, name, unique)

    async def drop_index(self, collection: str, name: str) -> bool:
        """Remove an index; tell whether there was one."""
        check_text("an index's name", name)
        return await self._queries().drop_index(collection, name)

    async def list_indexes(self, collection: str | None = None) -> list[Index]:
        """Give the indexes, of one collection or of all."""
        if collection is not None:
            check_collection(collection)
        definitions = await self._queries().list_indexes()
        return [one for col, some in definitions.items() if collection in (None, col) for one in some]

    def _queries(self) -> Queries:
        """Give the query engine, which is imported when it is first asked for: a page starts faster without."""
        if self._engine is None:
            from .queries import Queries

            limits = self.config.query_limits
            self._engine = Queries(
                self._storage, self.config.collections, now_ms, limits, self.new_key, self._collection
            )
        return self._engine

    # Sync

    async def sync_now(self) -> SyncResult:
        """Push and pull until both sides have everything; a failure is in the result, and is tried again later.

        A call during a sync waits for that one, and for one more where changes are left.
        """
        if (refusal := self._refusal()) is not None:
            return refusal
        await self._exchanged()
        if self._exchanging is None or self._exchanging.done():
            lease = self._background.lease if self._background else None
            self._exchanging = asyncio.ensure_future(self._sync(lease))
        return await _result_of(self._exchanging)

    async def sync_where(self, predicate: Callable[[str, str, Document | None], bool]) -> SyncResult:
        """Sync, but push only the documents for which ``predicate(collection, key, document)`` is true.

        ``document`` is None where the change deletes it. A transaction is pushed if all of its documents are chosen.
        """
        check_function("predicate", predicate)
        if inspect.iscoroutinefunction(predicate):
            raise InvalidDocument("predicate is a plain function: it is asked inside a transaction")
        if (refusal := self._refusal()) is not None:
            return refusal
        await self._exchanged()
        lease = self._background.lease if self._background else None
        self._exchanging = asyncio.ensure_future(self._sync(lease, predicate))
        return await _result_of(self._exchanging)

    async def _exchanged(self) -> None:
        """Wait until the sync that is under way has ended; it goes on where the one who waits is cancelled."""
        if self._exchanging is not None:
            await asyncio.wait([self._exchanging])

    def _refusal(self) -> SyncResult | None:
        """Give the result of a sync that can't begin."""
        if self._client is None:
            return SyncResult(False, errors=["there is no server"])
        if not self._schedule.is_online:
            return SyncResult(False, errors=["offline"])
        return None

    async def send(self, command: SyncCommand) -> SyncResult | None:
        """Carry out a command: ``SyncNow()``, ``Subscribe("samples", "done == false")``, ``Stop()``."""
        match command:
            case SyncNow():
                return await self.sync_now()
            case Subscribe(collection, query, bind_vars):
                await self.subscribe(collection, query, bind_vars)
            case Unsubscribe(collection):
                await self.unsubscribe(collection)
            case SetOnline(is_online):
                self.set_online(is_online)
            case Stop():
                await self.stop()
            case _:
                kinds = "SyncNow(), Subscribe(…), Unsubscribe(…), SetOnline(…) or Stop()"
                raise InvalidDocument(f"a command is {kinds}, not {command!r:.60}")
        return None

    def set_online(self, is_online: bool) -> None:
        """Say whether to go online; offline, nothing is sent until it is said again, whatever the browser says."""
        check_flag("is_online", is_online)
        self._wants_online = is_online
        self._set_online()

    def _on_network(self, is_there: bool) -> None:
        """The browser says that the network came or went."""
        self._has_network = is_there
        self._set_online()

    def _set_online(self) -> None:
        self._schedule.on_online(monotonic_ms(), self._wants_online and self._has_network)
        self._look_again()

    def pause_sync(self) -> None:
        """Stop syncing by itself until :meth:`resume_sync`; :meth:`sync_now` still works."""
        self._schedule.is_paused = True
        self._wake()

    def resume_sync(self) -> None:
        """End a pause, or a block once its cause is gone, and sync at once."""
        self._standing.resume()
        self._look_again()

    def set_token(self, token: str | None) -> None:
        """Use other credentials from now on, and sync at once."""
        set_token = getattr(self._client, "set_token", None)
        if set_token is None:
            raise SyncError("this client has no token to set")
        set_token(token)
        self.resume_sync()

    async def full_resync(self) -> SyncResult:
        """Pull everything again and drop what the server does not have; pending changes are kept and sent."""
        await self._storage.write(lambda tx: begin_resync(tx, self._exchange_options(None)))
        return await self.sync_now()

    # What this device holds

    async def subscribe(
        self, collection: str, filter: str | None = None, bind_vars: Mapping[str, JSON] | None = None
    ) -> bool:
        """Hold of a collection only what a filter lets through, None: all of it; tell whether that is news.

        ``filter`` is SDBQL over one document: ``doc.owner == @me``, or ``FOR t IN tasks FILTER … RETURN t``. Other
        collections stay as they are. The next sync brings what was left out, and removes, here alone, what is none
        of it. A change that has not been sent holds its document until it is. Raises :class:`QueryError`.
        """
        return await self._chose(await self._selective.subscribe(collection, filter, bind_vars))

    async def unsubscribe(self, collection: str) -> bool:
        """Hold nothing of a collection any more; what was not sent yet is sent first. Tells whether that is news."""
        return await self._chose(await self._selective.unsubscribe(collection))

    async def set_sync_filter(self, query: str, bind_vars: Mapping[str, JSON] | None = None) -> bool:
        """Hold of a query's collection only the documents that it gives: ``FOR t IN tasks FILTER … RETURN t``."""
        return await self.subscribe(collection_of(query, bind_vars), query, bind_vars)

    async def set_collection_sync_filters(self, filters: Filters | None) -> bool:
        """Hold exactly these collections, each (name, filter or None[, bind variables]); None: everything again."""
        return await self._chose(await self._selective.set_filters(filters))

    async def subscriptions(self) -> list[Subscribed]:
        """List the collections of which not simply everything is held."""
        return await self._selective.chosen()

    async def _chose(self, is_news: bool) -> bool:
        if is_news:
            if self._background is not None:
                self._background.ask(await self._selective.asked())
            self._schedule.on_poke(monotonic_ms(), 0)
            self._wake()
        return is_news

    # Deltas

    def enable_delta_sync(self, collection: str, is_enabled: bool = True) -> None:
        """Let the server send of a changed document only what has changed (as it does by itself), or all of it."""
        name = check_collection(collection)
        self._whole = self._whole - {name} if is_enabled else self._whole | {name}

    def set_delta_threshold(self, threshold: float) -> None:
        """Have a document sent whole where what has changed is more than this part of it, 0 to 1; 0.5 by itself."""
        if not is_number(threshold, 0, 1):
            raise InvalidDocument(f"a threshold is from 0 to 1, not {threshold!r:.60}")
        self._threshold = threshold

    def get_last_delta_stats(self) -> DeltaStats:
        """Tell what documents took on the wire in the last sync that had some as deltas, and would have whole."""
        return self._delta_stats or DeltaStats()

    # Keeping it small

    async def set_ttl(self, collection: str, field: str | None, expire_after_s: float = 0.0) -> None:
        """Let documents of a collection be deleted so many seconds after the moment in a field; None: no more.

        The field (``a.b`` lies deeper) holds an ISO 8601 time with a zone, or a number since 1970: seconds below
        10^11, else milliseconds. A document with anything else there stays. The setting is a document of the reserved
        collection ``_ttl`` and syncs; the server deletes, within a minute, and every device hears of it as of any
        delete. A store without a server of ours does it itself while it is open.
        """
        self._collection(SETTINGS)
        await self._cleaner().set_ttl(
            self._collection(collection), field, expire_after_s, self.save_document, self.delete_document
        )

    async def list_ttl(self) -> list[Ttl]:
        """List the settings of :meth:`set_ttl`, in the order of the collections."""
        return await self._cleaner().list_ttl()

    async def evict(self, sdbql: str, bind_vars: Mapping[str, JSON] | None = None) -> int:
        """Drop the local copies of the documents that a query gives, ``FOR d IN col FILTER … RETURN d``; count them.

        It is no delete: nobody else hears of it, watchers here do (``reason`` "evicted"). A document with changes
        that the server does not have, or with a conflict, stays. A copy comes again when the document changes on the
        server, with :meth:`full_resync`, or when it is saved here and synced.
        """
        return await self._cleaner().evict(sdbql, binds_of(bind_vars))

    async def compact(self) -> CompactResult:
        """Drop old deletes that the server has forgotten too, and give room back to the disk."""
        return await self._cleaner().compact()

    async def storage_estimate(self) -> StorageEstimate:
        """Tell how much room this store takes, how much there is, and what is in it."""
        return await self._cleaner().estimate()

    async def request_persistence(self) -> bool:
        """Ask the browser not to give this site's data up when the disk is full; tell whether it promises that."""
        return await request_persistence()

    async def _expire(self) -> None:
        await self._cleaner().run()

    def _cleaner(self) -> Hygiene:
        """Give what keeps the store small, which is imported when it is first asked for."""
        if self._hygiene is None:
            from .hygiene import Hygiene

            self._hygiene = Hygiene(
                self._storage, self._queries, self._rng, now_ms, lambda: self._options, self._tell, self._emit
            )
        return self._hygiene

    # Device to device

    def sync_with(
        self,
        channel: Channel,
        *,
        on_progress: Callable[[int, int], Any] | None = None,
        timeout_s: float = 30.0,
    ) -> Meeting:
        """Sync with another device over a message channel, both ways; both call this, in any order.

        Await what it gives for a :class:`MeetingResult`; it can be paused, resumed and cancelled. ``on_progress``
        hears (done, total) documents of both ways, first when both sides have said how many they will send. Who is
        silent for ``timeout_s`` is taken for gone. The channel stays open, unless what it carried made no sense.
        """
        return self._met().meet(channel, on_progress, timeout_s)

    async def export_bundle(self) -> bytes:
        """Give all documents as one file for :meth:`import_bundle` on other devices, sent by whatever way."""
        return await self._met().export_bundle()

    async def import_bundle(self, data: bytes) -> MeetingResult:
        """Take in another device's file as if both had met, all of it or nothing; again changes nothing.

        Raises :class:`SchemaError` for what is damaged or no bundle, :class:`FormatTooNew` for one of a later
        version.
        """
        return await self._met().import_bundle(data)

    def _met(self) -> Devices:
        """Give what meets other devices, which is imported when it is first asked for."""
        if self._devices is None:
            from .devices import Devices

            self._devices = Devices(self._storage, self._rng, self.config, self._on_met)
        return self._devices

    @property
    def is_syncing(self) -> bool:
        """Whether an exchange is under way."""
        return self._exchanging is not None and not self._exchanging.done()

    @property
    def is_online(self) -> bool:
        """Whether the network is thought to be there."""
        return self._schedule.is_online

    # State

    async def status(self) -> SyncStatus:
        """Tell where this manager stands."""
        waiting = await self._storage.read(read_waiting)
        if waiting.was_forked and self.store.storage_reset is None:
            self.store.storage_reset = "restored"
        since = waiting.since_ms
        standing = self._standing
        return SyncStatus(
            pending=waiting.pending,
            oldest_pending_age_s=None if since is None else max(0.0, (now_ms() - since) / 1000),
            last_sync=_iso(standing.last_sync_ms),
            last_error=standing.last_error,
            next_retry_s=standing.waits_s,
            blocked_by=standing.blocked_by,
            state=self._state(),
            durability=self.store.durability,
            storage_reset=self.store.storage_reset,
            is_leader=self._background is not None and self._background.lease is not None,
            is_live=self._background is not None and self._background.has_stream and standing.last_error is None,
            conflicts=waiting.conflicts,
            ledger_warning=self.ledger.warning or None,
        )

    def is_stale(self, age_s: float) -> bool:
        """Tell whether the last sync that went through is longer ago than that, or there was none."""
        check_seconds("age_s", age_s, from_zero=True, is_endless=True)
        last_sync_ms = self._standing.last_sync_ms
        return last_sync_ms is None or now_ms() - last_sync_ms > age_s * 1000

    async def metadata(self) -> SyncMetadata:
        """Give totals over the life of this database."""
        totals = (await self._storage.read(load_sync)).totals
        return SyncMetadata(
            last_sync_at=_iso(self._standing.last_sync_ms),
            last_duration_s=self._standing.last_duration_s,
            total_pushes=totals.get("pushed", 0),
            total_pulls=totals.get("pulled", 0),
            total_conflicts=totals.get("conflicts", 0),
        )

    async def statistics(self) -> Statistics:
        """Count documents and pending changes."""
        return await self._storage.read(read_statistics)

    async def pending_changes(
        self, limit: int = 1000, *, collection: str | None = None, key: str | None = None
    ) -> list[PendingChange]:
        """List the changes that the server has not acknowledged, the oldest first, all or those of some documents."""
        most = check_limit("limit", limit)
        return await self._storage.read(lambda tx: read_pending(tx, most, collection, key))

    async def rollback(self, change_id: str) -> list[PendingChange]:
        """Take back a change that waits, with later ones of its document and the rest of their transactions.

        Gives what was taken back, nothing where it does not wait any more; each goes to the ledger. Raises
        :class:`ChangeInFlight` where the server may have one of them already.
        """
        check_text("change_id", change_id)
        return await self._optimism.roll_back(change_id)

    async def confirmed(self, change_id: str) -> None:
        """Wait until the server has acknowledged a change of :meth:`pending_changes`.

        Raises :class:`ChangeRejected` where it was refused, lost a conflict, expired or was taken back, and
        :class:`SyncError` where there is no server to wait for.
        """
        check_text("change_id", change_id)
        await self._optimism.confirmed(change_id, has_server=self._client is not None)

    async def conflicts(self) -> list[Conflict]:
        """List the conflicts that wait for a decision, each with its reason."""
        return await self._conflicts.waiting()

    async def resolve_conflict(
        self, collection: str, key: str, answer: Answer, *, seen: Conflict | None = None
    ) -> bool:
        """Decide a conflict that waits; tell whether one did.

        ``answer`` is a document, None to delete it, ``AcceptLocal()`` or ``AcceptRemote()``; it becomes an ordinary
        edit after both sides. Raises :class:`ConflictUnresolved` where it is not the conflict that was ``seen``.
        """
        return await self._conflicts.resolve(collection, key, answer, seen)

    async def lost_changes(self, limit: int = 100, after: str | None = None) -> list[Entry]:
        """Read the ledger, the newest first: what :meth:`Ledger.list` gives without a filter."""
        return await self.ledger.list(limit=limit, after=after)

    # Events

    def on_change(self, callback: Callable[[Event], Any]) -> Callable[[], None]:
        """Call back after every change, local or from elsewhere, and every sync; the result takes that back."""
        return self._changes.add(callback)

    def on_collection_change(self, collection: str, callback: Callable[[Event], Any]) -> Callable[[], None]:
        """Call back after every change in one collection; the result takes that back."""
        check_collection(collection)
        check_function("a callback of on_collection_change", callback)
        return self._changes.add(lambda event: callback(event) if event.collection == collection else None)

    def on_before_sync(self, callback: Callable[[list[PendingChange]], Any]) -> Callable[[], None]:
        """Call back with the pending changes before each sync; an answer of False cancels it."""
        return self._before.add(callback)

    def on_after_sync(self, callback: Callable[[SyncResult], Any]) -> Callable[[], None]:
        """Call back with the result of each sync."""
        return self._after.add(callback)

    def on_conflict(self, callback: Callable[[Any], Any]) -> Callable[[], None]:
        """Ask a function, plain or a coroutine function, about each :class:`Conflict` that a strategy would decide.

        It answers with a :class:`ConflictResolution` or a document, or None to leave it to the strategy, as does one
        that raises or takes longer than ``SyncConfig.resolver_timeout_s``; it may be asked twice.
        """
        return self._on_conflict.add(callback)

    def on_progress(self, callback: Callable[..., Any], *, with_size: bool = False) -> Callable[[], None]:
        """Call back with (done, total) changes as a sync goes on; what is pulled counts once it has come.

        ``with_size`` adds, as a third argument, the characters of JSON that were exchanged so far.
        """
        check_function("a callback of on_progress", callback)
        return self._progress.add(callback if with_size else lambda done, total, _: callback(done, total))

    # What stands behind

    def _write_of(self, collection: str, key: str | None, document: Document, replace: bool) -> Write:
        key = self.new_key() if key is None else check_key(key)
        check_flag("replace", replace)
        body = checked_body(document, key)
        return Write(self._collection(collection), key, body, canonical(body, f"document {key!r}"), replace)

    def _collection(self, name: str) -> str:
        if self.config.collections and name not in self.config.collections:
            raise InvalidDocument(f"collection {name!r} is none of those that this manager syncs")
        return check_collection(name)

    async def _write(
        self, writes: list[Write], options: WriteOptions | None = None
    ) -> list[tuple[Event | None, View | None]]:
        chosen = options or self._options
        return await self._storage.write(
            lambda tx: local.write(tx, writes, now_ms(), self._rng, chosen), is_local=True
        )

    async def _write_one(self, write: Write) -> View | None:
        ((event, view),) = await self._write([write])
        self._tell([event] if event else [])
        return view

    async def _commit(
        self, writes: list[Write], seen: dict[tuple[str, str], View | None], options: WriteOptions
    ) -> None:
        for write in writes:
            self._collection(write.collection)

        async def body(tx: WriteTransaction) -> list[tuple[Event | None, View | None]]:
            for name, view in seen.items():
                if await local.read_view(tx, *name) != view:
                    raise TransactionError(f"{name[0]}/{name[1]} was changed meanwhile: read it again")
            return await local.write(tx, writes, now_ms(), self._rng, options)

        results = await self._storage.write(body, is_local=True)
        self._tell([event for event, _ in results if event])

    async def _view(self, collection: str, key: str) -> View | None:
        return await self._storage.read(lambda tx: local.read_view(tx, collection, key))

    def _tell(self, events: list[Event]) -> None:
        """Tell watchers of local changes, and the schedule that there is something to send."""
        if events:
            self._note_local_change()
            self._emit(events)

    def _on_decided(self, outcome: Outcome) -> None:
        """A conflict was decided, or waits on: tell watchers, and that there may be something to send."""
        self._note_local_change()
        self._emit(outcome.events)

    def _on_met(self, events: list[Event]) -> None:
        """Something came from another device: it waits for the server as a local change does."""
        self._note_local_change()
        self._emit(events)

    def _note_local_change(self) -> None:
        self._schedule.on_change(monotonic_ms())
        self._wake()

    def _emit(self, events: list[Event]) -> None:
        if self._changes:
            for event in events:
                self._changes.call(event)

    def _wake(self) -> None:
        if self._background is not None:
            self._background.wake()

    def _look_again(self) -> None:
        """Try at once what waits, the stream of pokes too."""
        if self._background is not None:
            self._background.wake()
            self._background.reached()

    def _on_touched(self, touched: Touched) -> None:
        """Another tab or process wrote: tell watchers of the documents, and look at the outbox."""
        if touched_documents(touched) == []:
            return
        self._schedule.on_change(monotonic_ms())
        self._wake()
        if self._changes:
            self._changes_of_others(touched)

    def _changes_of_others(self, touched: Touched) -> None:
        async def tell() -> None:
            self._emit(await self._storage.read(lambda tx: read_events(tx, touched)))

        task = asyncio.ensure_future(tell())
        task.add_done_callback(_report)

    def _exchange_options(self, lease: int | None, where: Predicate | None = None) -> ExchangeOptions:
        return ExchangeOptions(
            database=self.config.database,
            resolver=keeping(self._conflicts.resolve_at_once),
            collections=tuple(sorted(self.config.collections)) or None,
            push_limit=self.config.batch_size,
            page_limit=self.config.page_size,
            lease=lease,
            wants_events=bool(self._changes),
            where=where,
            device=self.store.device_id,
            delta=DeltaWish(self._threshold, tuple(sorted(self._whole))),
        )

    async def _sync_in_background(self, lease: int) -> None:
        if self.is_syncing:
            await self._exchanged()
            return
        self._exchanging = asyncio.ensure_future(self._sync(lease))
        await _result_of(self._exchanging)

    async def _sync(self, lease: int | None, where: Predicate | None = None) -> SyncResult:
        """Run one sync from hook to hook, and note how it ended."""
        assert self._client is not None
        tally = Tally(retried=self._standing.attempt)
        if self._before and False in await self._before.ask(await self.pending_changes()):
            self._schedule.on_success(monotonic_ms())
            return SyncResult(False, errors=["cancelled by on_before_sync"])
        exchanger = Exchanger(
            self._storage,
            self._client,
            self._rng,
            on_events=self._emit,
            on_round=self._on_round,
            ask=self._conflicts.ask,
            is_online=lambda: self.is_online,
        )
        began = time.monotonic()
        try:
            await self._conflicts.ask_about_rest()
            if self.config.max_age_s is not None:
                await self._optimism.expire(self.config.max_age_s)
            refused = await exchange_around_refusals(exchanger, self._exchange_options(lease, where), tally)
            if refused:
                await self._optimism.note_refusals(refused, self.config.max_retries)
            await self.ledger.look(is_new=tally.noted > 0)
        except (Unreachable, Rejected, Unauthorized, QuotaExceeded, DatabaseLocked) as error:
            tally.errors.append(str(error))
            await self._standing.note_failure(error)
        else:
            has_news = bool(tally.pushed or tally.pulled)
            was_blocked = self._schedule.is_blocked
            await self._standing.note_success(time.monotonic() - began, exchanger.looked_ms, has_news=has_news)
            if tally.retried or was_blocked:
                self._look_again()
        if tally.whole_bytes:
            self._delta_stats = DeltaStats(tally.delta_bytes, tally.whole_bytes)
        result = SyncResult(
            success=not tally.errors,
            pushed=tally.pushed,
            pulled=tally.pulled,
            conflicts=tally.conflicts,
            retried=tally.retried,
            rejected=tally.rejected,
            errors=tally.errors,
        )
        self._after.call(result)
        self._emit([Event("SyncComplete", pushed_count=result.pushed, pulled_count=result.pulled)])
        return result

    def _on_round(self, tally: Tally) -> None:
        done = tally.pushed + tally.pulled
        self._progress.call(done, done + tally.left, tally.transferred)

    def _state(self) -> State:
        if self._client is None:
            return "local"
        if self.is_syncing:
            return "syncing"
        if self._background is None or not self._background.is_running:
            return "stopped"
        if self._standing.blocked_by == "unauthorized":
            return "blocked"
        if not self._schedule.is_online:
            return "offline"
        if self._schedule.is_paused:
            return "paused"
        if self._background.lease is None:
            return "following"
        return "waiting" if self._standing.waits_s is not None else "idle"


def _key_of(document: object) -> str | None:
    return document.get("_key") if isinstance(document, dict) else None


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("watchers of other tabs' changes were not told", exc_info=task.exception())


async def _result_of(task: asyncio.Task[SyncResult]) -> SyncResult:
    """Wait for a sync that goes on where the one who waits is cancelled; one that was ended has failed."""
    await asyncio.wait([task])
    return SyncResult(False, errors=["it was stopped before it was through"]) if task.cancelled() else task.result()


def _iso(ms: int | None) -> str | None:
    return None if ms is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1000)) + "Z"
