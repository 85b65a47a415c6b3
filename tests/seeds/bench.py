"""A hub and devices in this process, over real storage and the real protocol, with a clock that tests can foresee."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pysync_web as ps
from pysync_web.core.document import Document
from pysync_web.core.hub import Hub
from pysync_web.core.wire import Change, Problem
from pysync_web.storage.memory import MemoryStorage

Body = dict[str, Any]

numbers = itertools.count()


class Clock:
    """The system's clock: a millisecond later each time that it is read, unless it stands still."""

    def __init__(self) -> None:
        self.ns = time.time_ns()
        self.is_still = False

    def __call__(self) -> int:
        """Give the time."""
        if not self.is_still:
            self.ns += 1_000_000
        return self.ns

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.ns += round(seconds * 1_000_000_000)


class Cable(ps.LocalTransport):
    """The way to the hub: it notes what is said, and breaks where a test wants it to."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.is_plugged = True
        self.loses_answers = False
        self.error: Exception | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.requests: list[Body] = []
        self.bodies: list[str] = []

    async def exchange(self, database: str, body: str) -> str:
        """Carry a request there and its answer back; ``meanwhile`` happens once, before the answer is here."""
        if not self.is_plugged:
            raise ps.Unreachable("the cable is out")
        if self.error is not None:
            raise self.error
        self.requests.append(json.loads(body))
        self.bodies.append(body)
        answer = await super().exchange(database, body)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        if self.loses_answers:
            raise ps.Unreachable("the answer was lost")
        return answer

    @property
    def changes(self) -> list[Body]:
        """All changes that went out, in their order."""
        return [change for request in self.requests for change in request["changes"]]

    @property
    def keys(self) -> list[str]:
        """The keys of all changes that went out."""
        return [change["key"] for change in self.changes]


class Bench:
    """One hub, and devices by name: the same name is the same database, also after it was closed."""

    def __init__(self, folder: Path, engine: ps.StorageEngine) -> None:
        self.number = next(numbers)
        self.folder = folder
        self.engine = engine
        self.refuses: Callable[[Body], bool] = lambda body: False
        self.hub = self.new_hub()
        self.opened: list[ps.SyncManager] = []
        self.cables: dict[ps.SyncManager, Cable] = {}

    def new_hub(self) -> Hub:
        """Give a server; one that refuses a document says that it may not be."""
        return Hub(MemoryStorage(), guard=self._guard)

    def _guard(self, change: Change, before: Document | None, after: Document | None) -> Problem | None:
        return Problem("forbidden", "this may not be") if self.refuses(change.state.body or {}) else None

    async def device(
        self, name: str = "", *, hub: Hub | None = None, client: Any = None, alone: bool = False, **config: Any
    ) -> ps.SyncManager:
        """Open a device; ``alone`` without any server, ``client`` with another way to one."""
        hub = hub or self.hub
        await hub.open(random.SystemRandom())
        name = name or f"device-{next(numbers)}"
        is_sqlite = self.engine is ps.StorageEngine.SQLITE
        where = str(self.folder / f"{name}.db") if is_sqlite else f"bench-{self.number}-{name}"
        store = await ps.LocalStore.open(where, device_id=name, engine=self.engine, durability="relaxed")
        cable = Cable(hub)
        settings = ps.SyncConfig(**{"auto_sync": False, **config})
        manager = ps.SyncManager(store, None if alone else client or cable, settings)
        await manager.start()
        self.opened.append(manager)
        self.cables[manager] = cable
        return manager

    async def devices(self, count: int = 2, **config: Any) -> list[ps.SyncManager]:
        """Open several devices."""
        return [await self.device(**config) for _ in range(count)]

    async def close(self) -> None:
        """Close every device."""
        for manager in self.opened:
            await manager.close()


async def synced(*devices: ps.SyncManager) -> list[ps.SyncResult]:
    """Sync each in turn, which has to go well."""
    results = []
    for device in devices:
        results.append(await device.sync_now())
        assert results[-1].success, results[-1].errors
    return results


async def settle(*devices: ps.SyncManager) -> None:
    """Sync all until none has news for the others: nothing may go back and forth after that."""
    await synced(*devices, *devices)
    for result in await synced(*devices):
        assert (result.pushed, result.pulled, result.conflicts) == (0, 0, 0), "something goes back and forth"


def own(document: Mapping[str, Any] | None) -> Body | None:
    """Give a document's own fields."""
    if document is None:
        return None
    return {name: value for name, value in document.items() if name not in ("_key", "_version", "_timestamp")}


async def see(device: ps.SyncManager, key: str = "k", collection: str = "notes") -> Body | None:
    """Read a document's own fields."""
    return own(await device.get_document(collection, key))


async def held(device: ps.SyncManager, collection: str = "notes") -> dict[str, Body | None]:
    """Read all documents' own fields."""
    return {key: own(document) for key, document in await device.query_documents(collection)}


async def waiting(device: ps.SyncManager) -> list[tuple[str, str]]:
    """Name what waits to be sent: (operation, key)."""
    return [(change.operation, change.key) for change in await device.pending_changes()]
