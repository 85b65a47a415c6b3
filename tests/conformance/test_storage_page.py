"""Every backend of a page keeps the storage's contract."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pysync_web.core.ports import Storage
from pysync_web.storage import idb, open_storage
from tests.conformance.storage import CHECKS

pytestmark = pytest.mark.browser

BACKENDS: dict[str, dict[str, Any]] = {
    "memory": {"engine": "memory"},
    "indexeddb": {"engine": "indexeddb"},
    "indexeddb-relaxed": {"engine": "indexeddb", "durability": "relaxed"},
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
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """An empty database of each backend."""
    made = Place(BACKENDS[request.param])
    yield made
    await made.close()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_storage(check: Any, place: Place):
    await check(place)
