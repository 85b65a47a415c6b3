"""Keeping a store small: documents that expire, copies that are dropped, room that is given back and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..core import replica as local
from ..core.conflict import ConflictStrategy
from ..core.expiry import MOST_SECONDS, SETTINGS, Setting, is_due, read_settings, take_due
from ..core.optimistic import body_of_text
from ..core.ports import Key, ReadTransaction, WriteTransaction
from ..core.replica import Event, Write, WriteOptions
from ..core.shedding import STEP, drop_tombstones, evict
from ..errors import InvalidDocument, QueryError, StorageError
from ..values import JSON, check_collection, loads
from .chunks import is_reserved
from .hooks import log
from .indexed import IndexedStorage
from .results import CompactResult, StorageEstimate, Ttl

if TYPE_CHECKING:
    from .queries import Queries

EVERY_S: Final = 60.0
"""How often a store without a server looks for documents that have expired."""


class Hygiene:
    """The upkeep of one local database."""

    def __init__(
        self,
        storage: IndexedStorage,
        queries: Callable[[], Queries],
        rng: Any,
        now_ms: Callable[[], int],
        options: Callable[[], WriteOptions],
        tell: Callable[[list[Event]], None],
        emit: Callable[[list[Event]], None],
    ) -> None:
        self._storage = storage
        self._queries = queries
        self._rng = rng
        self._now_ms = now_ms
        self._options = options
        self._tell = tell
        self._emit = emit

    async def set_ttl(
        self,
        collection: str,
        field: str | None,
        expire_after_s: float,
        save: Callable[..., Awaitable[Any]],
        delete: Callable[..., Awaitable[bool]],
    ) -> None:
        """Save the setting of a collection, or remove it: where devices differ it is one of theirs, no mixture."""
        if is_reserved(check_collection(collection)):
            raise InvalidDocument(f"documents of {collection!r} don't expire: it is reserved")
        if field is None:
            await delete(SETTINGS, collection, strategy=ConflictStrategy.LAST_WRITE_WINS)
            return
        if not isinstance(field, str) or not field or "" in field.split("."):
            raise InvalidDocument(f"a field is a name, or names with dots between them, not {field!r}")
        if type(expire_after_s) not in (int, float) or not 0 <= expire_after_s <= MOST_SECONDS:
            raise InvalidDocument(f"expire_after_s is a number of seconds from 0 on, not {expire_after_s!r}")
        setting = Setting(field, round(expire_after_s * 1000))
        await save(SETTINGS, collection, setting.body(), replace=True, strategy=ConflictStrategy.LAST_WRITE_WINS)

    async def list_ttl(self) -> list[Ttl]:
        """List the settings in the order of the collections."""
        found = await self._storage.read(lambda tx: read_settings(tx, body_of_text))
        return [Ttl(name, one.field, one.after_ms / 1000) for name, one in sorted(found.items())]

    async def run(self) -> None:
        """Delete what has expired, now and every minute, until it is cancelled."""
        while True:
            try:
                await self.expire()
            except StorageError as error:
                log.warning("expired documents could not be deleted: %s", error)
            await asyncio.sleep(EVERY_S)

    async def expire(self) -> int:
        """Delete the documents that have expired, as anybody would; give how many."""
        now_ms = self._now_ms()
        count = 0

        async def body(tx: WriteTransaction) -> tuple[list[Event], int, bool]:
            names, has_more = await take_due(tx, body_of_text, now_ms)
            writes = [Write(*name, None) for name in names]
            results = await local.write(tx, writes, now_ms, self._rng, self._options()) if writes else []
            return [event for event, _ in results if event], len(names), has_more

        has_more = await self._storage.read(lambda tx: is_due(tx, body_of_text, now_ms))
        while has_more:
            events, expired, has_more = await self._storage.write(body, is_local=True)
            count += expired
            self._tell(events)
        return count

    async def compact(self) -> CompactResult:
        """Drop deletes that the server has forgotten too, and let the storage give back what it does not need."""
        dropped = 0
        after: Key | None = None
        while True:
            count, after = await self._storage.write(partial(drop_tombstones, after=after))
            dropped += count
            if after is None:
                return CompactResult(*await self._storage.compact(), dropped)

    async def evict(self, query: str, binds: Mapping[str, JSON]) -> int:
        """Drop the copies of what a query gives; give how many."""
        queries = self._queries()
        read = queries.collections_of(query, dict(binds))
        if queries.is_writing(query) or read is None or len(read) != 1:
            raise QueryError("What to evict is told by a query over one collection: FOR d IN col FILTER … RETURN d")
        (collection,) = read
        if is_reserved(collection):
            raise QueryError(f"{collection!r} is not evicted from: others would seem to be without use")
        rows = await queries.read(query, dict(binds))
        found = [(collection, *_key_and_version(row)) for row in rows]
        count = 0
        for start in range(0, len(found), STEP):
            versions = {(name, key): version for name, key, version in found[start : start + STEP]}
            events = await self._storage.write(partial(evict, versions=versions))
            self._emit(events)
            count += len(events)
        return count

    async def estimate(self) -> StorageEstimate:
        """Measure and count."""
        usage = await self._storage.usage()
        documents, pending, ledger = await self._storage.read(_counts)
        return StorageEstimate(usage.bytes, usage.quota, documents, pending, ledger, usage.is_persisted)


def _key_and_version(row: JSON) -> tuple[str, dict[str, int]]:
    if isinstance(row, dict) and isinstance(row.get("_key"), str) and isinstance(row.get("_version"), dict):
        return row["_key"], row["_version"]
    raise QueryError("What to evict is told by whole documents: FOR d IN col FILTER … RETURN d")


async def _counts(tx: ReadTransaction) -> Sequence[int]:
    documents = sum(int(loads(text)["count"]) for _, text in await tx.scan("collections"))
    return documents, (await local.load_counters(tx)).pending, len(await tx.scan("ledger"))
