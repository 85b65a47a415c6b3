"""Our side of the bench, inside the page: the workloads of plain.js, over the manager and its IndexedDB.

This file and documents.py are written into the page's own file system, and imported there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import documents
import js

import pysync_web as ps
from pysync_web.core.exchange import build_pull
from pysync_web.core.hub import Hub
from pysync_web.core.wire import encode_request
from pysync_web.storage.memory import MemoryStorage

COLLECTION = "people"

databases: dict[str, ps.SyncManager] = {}
database: ps.SyncManager  # the one that was opened last
given: dict[str, Any] = {}
more: dict[str, Any] = {}
keys: list[str] = []


def prepare() -> None:
    """Make the documents, for this side and for plain.js; Python's collector need not look at them again."""
    given.update(documents.make())
    more.update(documents.make(documents.SAVES, seed=3))
    keys.extend(documents.some_keys(given))
    js.benchDocuments = _handed_over([{"_key": key, **body} for key, body in given.items()])
    js.benchMore = _handed_over([{"_key": key, **body} for key, body in more.items()])
    js.benchKeys = _handed_over(keys)
    gc.collect()
    gc.freeze()


def _handed_over(value: Any) -> Any:
    return js.JSON.parse(json.dumps(value))


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Give the milliseconds that some work takes; what it gives is let go after that, as JavaScript's is."""
    gc.collect()
    began = js.performance.now()
    result = await work()
    taken = float(js.performance.now() - began)
    del result
    return taken


async def open(name: str, engine: str | None = None, **how: Any) -> None:
    """Open a database; the functions that name none use it."""
    global database
    chosen = ps.StorageEngine(engine) if engine else None
    database = databases[name] = await ps.open(name, engine=chosen, durability="relaxed", **how)


async def close() -> None:
    """Close the database."""
    await database.close()


async def bulk() -> float:
    """Save all documents at once."""
    return await timed(lambda: database.save_documents(COLLECTION, given))


async def reads() -> float:
    """Read some documents, one after the other."""

    async def work() -> None:
        for key in keys:
            assert await database.get_document(COLLECTION, key)

    return await timed(work)


async def saves() -> float:
    """Save more documents, one after the other."""

    async def work() -> None:
        for key, document in more.items():
            await database.save_document(COLLECTION, key, document)

    return await timed(work)


async def all() -> float:
    """Read all documents."""

    async def work() -> Any:
        found = await database.query_documents(COLLECTION)
        assert len(found) >= len(given)
        return found

    return await timed(work)


async def open_and_read(name: str, key: str) -> float:
    """Open a database and read one document of it."""

    async def work() -> None:
        await open(name)
        assert await database.get_document(COLLECTION, key)

    return await timed(work)


async def sync(name: str, changes: int) -> float:
    """Sync a database; so many changes must go or come."""
    result: list[ps.SyncResult] = []

    async def work() -> None:
        result.append(await databases[name].sync_now())

    taken = await timed(work)
    assert result[0].success and result[0].pushed + result[0].pulled == changes, result
    return taken


async def merges(is_whole: bool) -> float:
    """Take in 10,000 documents that another device changed, as a whole or in one field; without the hub's time."""
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    way, config = ps.LocalTransport(hub), ps.SyncConfig(auto_sync=False)
    writer = ps.SyncManager(
        await ps.LocalStore.open(f"writer {is_whole}", engine=ps.StorageEngine.MEMORY), way, config
    )
    store = await ps.LocalStore.open(f"merging {is_whole}", durability="relaxed")
    reader = ps.SyncManager(store, way, config)
    await writer.save_documents(COLLECTION, given)
    assert (await writer.sync_now()).success and (await reader.sync_now()).success
    anew = documents.make(seed=5).values()
    changes = anew if is_whole else [{"score": -1.0} for _ in given]
    await writer.save_documents(COLLECTION, dict(zip(given, changes, strict=True)))
    assert (await writer.sync_now()).success
    answers = await _answers(reader, way)
    js.benchAnswers = _handed_over(answers)
    taken = await timed(lambda: _take_in(reader, way, iter(answers)))
    await reader.close()
    await writer.close()
    return taken


async def _answers(reader: ps.SyncManager, way: ps.LocalTransport) -> list[str]:
    """Ask a hub for all that is new, page by page."""
    request = await reader.store.storage.read(lambda tx: build_pull(tx, reader._exchange_options(None)))
    pages = []
    has_more = True
    while has_more:
        pages.append(await way.exchange("default", encode_request(request)))
        answer = json.loads(pages[-1])
        request = replace(request, version_vector={"server": answer["server_version"]["server"]})
        has_more = answer["has_more"]
    return pages


async def _take_in(reader: ps.SyncManager, way: ps.LocalTransport, pages: Iterator[str]) -> None:
    """Sync with a server that has its answers ready."""

    async def exchange(database: str, text: str) -> str:
        await asyncio.sleep(0.001)  # as a page hears of an answer: not before it has done what it is at
        return next(pages)

    way.exchange = exchange
    result = await reader.sync_now()
    assert result.success and result.pulled == len(given), result


async def change(name: str, keys: list[str], fields: dict[str, Any]) -> None:
    """Change some fields of some documents of a database."""
    await databases[name].save_documents(COLLECTION, dict.fromkeys(keys, fields))
