"""Every backend of a page keeps the storage's contract."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pysync_web.core.ports import Storage
from pysync_web.storage import idb, indexeddb, open_storage, segments
from tests.conformance.storage import CHECKS

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
    monkeypatch.setattr(indexeddb, "PREFETCH_AFTER_S", 0.02)
    monkeypatch.setattr(indexeddb, "PREFETCH_SEGMENTS", 1)
    monkeypatch.setattr(segments, "SEGMENT_CHARS", 300)
    monkeypatch.setattr(segments, "INLINE_CHARS", 30)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_storage(check: Any, place: Place):
    await check(place)
