"""A store of the application's own that syncs: writes through here are logged, writes around it are found.

The log is the manager's outbox, the other side of it the manager's documents. Beside them lies, for every key, what
the store holds as far as we know; so what changed in the store and what came from elsewhere are told apart whichever
happened first, and every step may be cut and repeated.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from ..core.arguments import check_count, check_members
from ..core.conflict import Resolver
from ..core.document import Body
from ..core.mirror import Mirror, base_of, decode_mirror, difference, offered, patched
from ..core.optimistic import decode_record
from ..core.ports import Key, ReadTransaction, WriteTransaction
from ..core.replica import checked_body
from ..values import canonical, check_key, dumps, same
from .indexed import IndexedStorage
from .results import SyncResult

SPACE = "logged"
"""The space of what the store holds, by (collection, key)."""

_PAGE = 200


class KeyValueStore(Protocol):
    """What a store of the application's own can do; a dict, or any mutable mapping, does too."""

    async def get(self, key: str) -> Body | None:
        """Give the document under a key, or None."""
        ...

    async def put(self, key: str, document: Body) -> None:
        """Store a document, in place of what was there."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a key; nothing happens if it is not there."""
        ...

    def keys(self) -> AsyncIterator[str] | Awaitable[Iterable[str]]:
        """Yield every key, or give them all."""
        ...


Update: TypeAlias = "Callable[[str, Callable[[Body | None], Body | None]], Awaitable[Body | None]]"
Sync: TypeAlias = Callable[[bool], Awaitable[SyncResult]]


class LoggedStore:
    """A store whose documents sync: what ``sync.logged_store(collection, store)`` gives.

    ``put`` and ``delete`` here write to the store and to the log; what was written to the store itself is found by
    :meth:`scan`. A store that had documents and is empty when this wrapper first looks at it, as a dict is when its
    program starts again, has lost them and deleted none: it is filled again. The stages of a sync may be run apart:
    :meth:`share` sends the log, :meth:`receive` fetches the others', :meth:`integrate` writes to the store what came;
    :meth:`sync` does all. Nobody else may write to a key while one of these is at it.
    """

    def __init__(
        self,
        collection: str,
        store: KeyValueStore | MutableMapping[str, Body],
        *,
        storage: IndexedStorage,
        update: Update,
        exchange: Sync,
        new_key: Callable[[], str],
        batch_size: int = 100,
        batch_bytes: int = 1024 * 1024,
    ) -> None:
        if not isinstance(store, MutableMapping):
            check_members("a dict, or a store", store, ("get", "put", "delete", "keys"))
        check_count("batch_size", batch_size, 1)
        check_count("batch_bytes", batch_bytes, 1)
        self.collection = collection
        self.close: Callable[[], None] = lambda: None
        self._store: KeyValueStore = _Mapping(store) if isinstance(store, MutableMapping) else store
        self._storage = storage
        self._update = update
        self._exchange = exchange
        self._new_key = new_key
        self._batch = (batch_size, batch_bytes)
        self._turn = asyncio.Lock()
        self._is_known = False

    async def get(self, key: str) -> Body | None:
        """Give the store's own document under a key, or None."""
        return await self._store.get(check_key(key))

    async def put(self, key: str | None, document: Body) -> str:
        """Put a document in place of the store's, and log the difference; give the key, made where it is None.

        What came from elsewhere and was not yet integrated stays, in the fields that this does not change.
        """
        key = self._new_key() if key is None else check_key(key)
        body = checked_body(document, key)
        canonical(body, f"document {key!r}")
        async with self._turn:
            await self._meet()
            seen = await self._log(key)
            await self._update(key, lambda current: patched(current, seen, body))
            await self._write([key])
        return key

    async def delete(self, key: str) -> bool:
        """Delete a document from the store, and log that; tell whether it was there.

        What others changed in it stays, if the store had not seen that yet: it comes back as they left it.
        """
        async with self._turn:
            await self._meet()
            seen = await self._log(check_key(key))
            await self._update(key, lambda current: _followed(current, seen, None))
            await self._write([key])
        return seen is not None

    async def scan(self) -> int:
        """Log what was changed in the store behind this wrapper's back; give how many documents that were."""
        async with self._turn:
            await self._meet()
            found = 0
            there = await self._keys()
            for key in there:
                found += await self._found(key)
            for key in await self._storage.read(partial(_held, collection=self.collection)):
                if key not in there:
                    found += await self._found(key)
            return found

    async def _meet(self) -> None:
        """See a store for the first time: what an empty one lacks was not deleted, it was never there."""
        if self._is_known:
            return
        held = await self._storage.read(partial(_held, collection=self.collection))
        if held and not await self._keys():
            await self._storage.write(lambda tx: _put(tx, self.collection, dict.fromkeys(held, Mirror())))
        self._is_known = True

    async def _keys(self) -> dict[str, None]:
        """Give every key of the store, in its order."""
        found: Any = self._store.keys()
        if inspect.isawaitable(found):
            found = await found
        keys = [key async for key in found] if hasattr(found, "__aiter__") else list(found)
        return dict.fromkeys(map(check_key, keys))

    async def share(self) -> SyncResult:
        """Send the log of this collection; what others wrote comes too, but not into the store."""
        return await self._exchange(True)

    async def receive(self) -> SyncResult:
        """Fetch what others wrote, send nothing; the store stays as it is."""
        return await self._exchange(False)

    async def integrate(self) -> int:
        """Write to the store what came from elsewhere, in batches; give how many documents that were.

        What was changed in the store meanwhile is logged first, and merges.
        """
        async with self._turn:
            await self._meet()
            written = 0
            after: Key | None = None
            while True:
                keys, after = await self._storage.read(partial(_differing, collection=self.collection, after=after))
                for key in keys:
                    await self._log(key)
                written += await self._write(keys)
                if after is None:
                    return written + await self._drop()

    async def sync(self) -> SyncResult:
        """Scan, share and receive, and integrate; the result is that of the exchange with the server."""
        await self.scan()
        result = await self.share()
        await self.integrate()
        return result

    # Into the log

    async def _found(self, key: str) -> bool:
        """Log a change of the store, if there is one."""
        before = await self._mirror(key)
        seen = await self._log(key, before)
        return difference(base_of(before, seen), seen, "1") is not None

    async def _log(self, key: str, mirror: Mirror | None = None) -> Body | None:
        """See what the store has under a key, log it where it is news, and give it."""
        mirror = mirror or await self._mirror(key)
        seen = await self._seen(key)
        base = base_of(mirror, seen)
        if difference(base, seen, "1") is not None:
            await self._update(key, lambda current: _followed(current, base, seen))
        if not same(seen, mirror.body) or mirror.offered:
            await self._storage.write(lambda tx: _put(tx, self.collection, {key: Mirror(seen)}))
        return seen

    async def _seen(self, key: str) -> Body | None:
        found = await self._store.get(key)
        if found is None:
            return None
        body = checked_body(found, key)
        canonical(body, f"document {key!r} of the store")
        return dict(body)

    # Into the store

    async def _write(self, keys: Sequence[str]) -> int:
        """Make the store's documents what ours are: note what will be written, write it, note that it is."""
        written = 0
        wanted, size = dict[str, Mirror](), 0
        for key in keys:
            mirror, body = await self._storage.read(partial(_pair, name=(self.collection, key)))
            if same(mirror.body, body):
                continue
            size += len(dumps(body))
            if wanted and (len(wanted) >= self._batch[0] or size > self._batch[1]):
                written += await self._write_batch(wanted)
                wanted, size = {}, len(dumps(body))
            wanted[key] = offered(mirror, body)
        return written + await self._write_batch(wanted)

    async def _write_batch(self, wanted: dict[str, Mirror]) -> int:
        if not wanted:
            return 0
        await self._storage.write(lambda tx: _put(tx, self.collection, wanted))
        for key, mirror in wanted.items():
            body = mirror.offered[-1]
            if body is None:
                await self._store.delete(key)
            else:
                await self._store.put(key, body)
        done = {key: Mirror(mirror.offered[-1]) for key, mirror in wanted.items()}
        await self._storage.write(lambda tx: _put(tx, self.collection, done))
        return len(wanted)

    async def _drop(self) -> int:
        """Delete from the store what this replica holds no more."""
        gone = await self._storage.read(partial(_dropped, collection=self.collection))
        for key in gone:
            await self._log(key)
        return await self._write(gone)

    async def _mirror(self, key: str) -> Mirror:
        return (await self._storage.read(partial(_pair, name=(self.collection, key))))[0]


class _Mapping:
    """A mutable mapping as a store."""

    def __init__(self, mapping: MutableMapping[str, Body]) -> None:
        self._mapping = mapping

    async def get(self, key: str) -> Body | None:
        return self._mapping.get(key)

    async def put(self, key: str, document: Body) -> None:
        self._mapping[key] = document

    async def delete(self, key: str) -> None:
        self._mapping.pop(key, None)

    async def keys(self) -> AsyncIterator[str]:
        for key in list(self._mapping):
            yield key


def only_in(collection: str, reconciler: Resolver) -> Resolver:
    """Give a resolver that is asked about one collection only."""
    return lambda conflict: reconciler(conflict) if conflict.collection == collection else None


def on_body(change: Callable[[Body | None], Body | None]) -> Callable[[Body | None], Body | None]:
    """Give a change of a document as an application gets it from one of its own fields."""

    def changed(document: Body | None) -> Body | None:
        return change(None if document is None else checked_body(document, str(document["_key"])))

    return changed


def _followed(current: Body | None, base: Body | None, seen: Body | None) -> Body | None:
    """Give our document after a change of the store that had not seen it: of an update and a delete the update."""
    if seen is None:
        return None if current is None or same(current, base) else current
    return patched(current, base, seen)


async def _put(tx: WriteTransaction, collection: str, mirrors: dict[str, Mirror]) -> None:
    for key, mirror in mirrors.items():
        if mirror.body is None and not mirror.offered:
            tx.delete(SPACE, (collection, key))
        else:
            tx.put(SPACE, (collection, key), mirror.text())


async def _pair(tx: ReadTransaction, name: tuple[str, str]) -> tuple[Mirror, Body | None]:
    """Give what the store holds as far as we know, and what it should hold."""
    state = decode_record(await tx.get("docs", name)).state
    return decode_mirror(await tx.get(SPACE, name)), state.body if state else None


async def _held(tx: ReadTransaction, collection: str) -> list[str]:
    """Give the keys that the store has, as far as we know."""
    rows = await tx.scan(SPACE, (collection,))
    return [str(key[1]) for key, text in rows if decode_mirror(text).body is not None]


async def _dropped(tx: ReadTransaction, collection: str) -> list[str]:
    """Give the keys that the store has and this replica holds no more, not even as deleted."""
    keys = await _held(tx, collection)
    texts = await tx.get_many("docs", [(collection, key) for key in keys])
    return [key for key, text in zip(keys, texts, strict=True) if text is None]


async def _differing(tx: ReadTransaction, collection: str, after: Key | None) -> tuple[list[str], Key | None]:
    """Give keys of documents that the store does not hold as they are, of some behind a key, and the last of these.

    It is None at the end.
    """
    rows = await tx.scan("docs", (collection,), after=after, limit=_PAGE)
    mirrors = await tx.get_many(SPACE, [key for key, _ in rows])
    found = []
    for (key, text), mirror in zip(rows, mirrors, strict=True):
        state = decode_record(text).state
        known = decode_mirror(mirror)
        if known.offered or not same(known.body, state.body if state else None):
            found.append(str(key[1]))
    return found, rows[-1][0] if len(rows) == _PAGE else None
