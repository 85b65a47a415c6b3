"""Every backend of a page keeps the storage's contract."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pysync_web.core.ports import Storage
from pysync_web.errors import CorruptData
from pysync_web.storage import idb, indexeddb, open_storage, segments
from tests.conformance.storage import CHECKS, put_all, scan

pytestmark = pytest.mark.browser

BACKENDS: dict[str, dict[str, Any]] = {
    "memory": {"engine": "memory"},
    "indexeddb": {"engine": "indexeddb"},
    "indexeddb-relaxed": {"engine": "indexeddb", "durability": "relaxed"},
    "indexeddb-folding": {"engine": "indexeddb", "durability": "relaxed"},
}
numbers = itertools.count(1)


class Place:
    """A database of one backend, with a name of the test's own."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.is_durable = options["engine"] != "memory"
        self._name = f"conformance-{next(numbers)}"
        self._options = options
        self._handles: list[Storage] = []

    async def open(self) -> Storage:
        """Give another handle."""
        self._handles.append(await open_storage(self._name, **self._options))
        return self._handles[-1]

    async def close(self) -> None:
        """Close all handles and delete the database."""
        for handle in self._handles:
            await handle.close()
        if self.is_durable:
            await idb.delete(self._name)


@pytest.fixture(params=BACKENDS)
async def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """An empty database of each backend."""
    if request.param == "indexeddb-folding":
        fold_all_the_time(monkeypatch)
    made = Place(BACKENDS[request.param])
    yield made
    await made.close()


def fold_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every few commits be folded, into tiny segments, which come into memory when they are asked for."""
    monkeypatch.setattr(indexeddb, "FOLD_RECORDS", 3)
    monkeypatch.setattr(indexeddb, "FOLD_AFTER_S", 0.0)
    monkeypatch.setattr(indexeddb, "FOLD_PUT_OFF", 0)
    monkeypatch.setattr(indexeddb, "SETTLE_AFTER_S", 0.02)
    monkeypatch.setattr(indexeddb, "PREFETCH_SEGMENTS", 1)
    monkeypatch.setattr(segments, "SEGMENT_CHARS", 300)
    monkeypatch.setattr(segments, "INLINE_CHARS", 30)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_storage(check: Any, place: Place):
    await check(place)


FIXTURE = Path(__file__).with_name("indexeddb_format_2.json")


async def test_a_database_of_format_2_is_brought_up_to_this_one():
    fixture = json.loads(FIXTURE.read_text("utf-8"))
    holds = {space: [(tuple(key), text) for key, text in rows] for space, rows in fixture["holds"].items()}
    await make_database("format-2", fixture["version"], fixture["stores"])
    for _ in range(2):
        storage = await open_storage("format-2", engine="indexeddb")
        assert {space: await scan(storage, space=space) for space in holds} == holds
        await put_all(storage, {("new",): "1"}, space="another")
        await storage.close()
    await idb.delete("format-2")


async def test_a_migration_that_fails_leaves_the_database_as_it_was():
    stores = json.loads(FIXTURE.read_text("utf-8"))["stores"]
    damaged = stores | {"log": [[2, "no record"]]}
    await make_database("damaged", 2, damaged)
    with pytest.raises(CorruptData, match="format 2"):
        await open_storage("damaged", engine="indexeddb")
    await idb.delete("damaged")
    await make_database("damaged", 2, stores)
    storage = await open_storage("damaged", engine="indexeddb")
    await storage.close()
    await idb.delete("damaged")


async def test_a_format_that_never_was_is_refused():
    await make_database("format-1", 1, {"records": []})
    with pytest.raises(CorruptData, match="format 1"):
        await open_storage("format-1", engine="indexeddb")
    await idb.delete("format-1")


async def make_database(name: str, version: int, stores: dict[str, Any]) -> None:
    """Make a database with stores of (key, value) pairs, as an older version left it."""
    import js
    from pyodide.ffi import create_once_callable

    loop = asyncio.get_running_loop()
    opened, written = loop.create_future(), loop.create_future()
    request = js.indexedDB.open(name, version)

    def fill(event: Any) -> None:
        for store, rows in stores.items():
            made = request.result.createObjectStore(store)
            for key, value in rows:
                made.put(value, key)
        request.transaction.oncomplete = create_once_callable(written.set_result)

    request.onupgradeneeded = create_once_callable(fill)
    request.onsuccess = create_once_callable(opened.set_result)
    await written
    await opened
    request.result.close()
