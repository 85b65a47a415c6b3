"""Every native backend keeps the storage's contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pysync_web.core.beside import Beside
from pysync_web.core.ports import Storage
from pysync_web.storage import open_storage
from tests.conformance.storage import CHECKS

pytestmark = pytest.mark.native

BACKENDS: dict[str, dict[str, Any]] = {
    "memory": {"engine": "memory"},
    "sqlite": {"engine": "sqlite"},
    "sqlite-relaxed": {"engine": "sqlite", "durability": "relaxed"},
    "beside": {"engine": "memory", "beside": "hub."},
    "beside-sqlite": {"engine": "sqlite", "beside": "hub."},
    "sqlite-threaded": {"engine": "sqlite", "threaded": True},
}


class Place:
    """A database of one backend, in a folder of the test's own."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        self.is_durable = options["engine"] != "memory"
        self._path = path
        self._options = dict(options)
        self._beside = self._options.pop("beside", None)
        self._handles: list[Storage] = []

    async def open(self) -> Storage:
        """Give another handle."""
        self._handles.append(await open_storage(self._path, **self._options))
        return self._handles[-1] if self._beside is None else Beside(self._handles[-1], self._beside)

    async def close(self) -> None:
        """Close all handles."""
        for handle in self._handles:
            await handle.close()


@pytest.fixture(params=BACKENDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty database of each backend."""
    made = Place(tmp_path / "database", BACKENDS[request.param])
    yield made
    await made.close()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
async def test_storage(check: Any, place: Place):
    await check(place)
