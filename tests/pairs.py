"""Devices on one hub in the same process, over real storage: for tests of what becomes of two people's edits."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.core.push import Guard
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()
Body = dict[str, Any]
A_MOMENT_S = 0.003


class Cable(ps.LocalTransport):
    """A transport that keeps what was sent, may be unplugged, and may refuse requests unread."""

    is_plugged = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.requests: list[str] = []
        self.refuses: Any = lambda body: False

    async def exchange(self, database: str, body: str) -> str:
        """Send a request, if the cable is in."""
        if not self.is_plugged:
            raise ps.Unreachable("the cable is out")
        self.requests.append(body)
        if self.refuses(body):
            raise ps.Rejected("this can't be read", status=400)
        return await super().exchange(database, body)


@dataclass
class Table:
    """A hub, and devices that are opened by name; one name is one database, open it again after :meth:`close`."""

    engine: ps.StorageEngine
    folder: Path
    hub: Hub = field(default_factory=lambda: Hub(MemoryStorage.open(":memory:")))
    opened: list[ps.SyncManager] = field(default_factory=list)
    cables: dict[str, Cable] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(numbers))

    async def open(self, name: str = "one", *, guard: Guard | None = None, **config: Any) -> ps.SyncManager:
        """Open a device."""
        await self.hub.open(random.SystemRandom())
        if guard is not None:
            self.hub._guard = guard
        where = f"{name}-{self.number}" if self.engine is ps.StorageEngine.MEMORY else str(self.folder / name)
        store = await ps.LocalStore.open(where, device_id=f"{name}'s", engine=self.engine)
        self.cables[name] = Cable(self.hub)
        manager = ps.SyncManager(store, self.cables[name], ps.SyncConfig(**{"auto_sync": False, **config}))
        await manager.start()
        self.opened.append(manager)
        return manager

    async def close(self) -> None:
        """Close every device."""
        for manager in self.opened:
            await manager.close()


async def both_have(one: ps.SyncManager, two: ps.SyncManager, body: Body | None, key: str = "k") -> None:
    """Give two devices one document."""
    if body is not None:
        await one.save_document("notes", key, body)
    await settle(one, two)


async def settle(*devices: ps.SyncManager) -> None:
    """Sync all in turn, until none has news for the others; nothing goes back and forth after that."""
    for _ in range(2):
        for device in devices:
            await device.sync_now()
    for device in devices:
        result = await device.sync_now()
        assert (result.pushed, result.pulled, result.conflicts) == (0, 0, 0), "a conflict goes back and forth"


async def see(device: ps.SyncManager, key: str = "k") -> Body | None:
    """Read a document's own fields."""
    document = await device.get_document("notes", key)
    return own(document)


def own(document: Mapping[str, Any] | None) -> Body | None:
    """Give a document's own fields."""
    if document is None:
        return None
    return {name: value for name, value in document.items() if name not in ("_key", "_version", "_timestamp")}


async def put(device: ps.SyncManager, body: Body | None, key: str = "k", **how: Any) -> None:
    """Save a whole document, or delete it, a moment later than everything before."""
    await asyncio.sleep(A_MOMENT_S)
    if body is None:
        await device.delete_document("notes", key)
    else:
        await device.save_document("notes", key, body, replace=True, **how)


async def lost(device: ps.SyncManager) -> list[Body | None]:
    """List the bodies in a ledger, the oldest first."""
    return [entry.body for entry in reversed(await device.ledger.list())]
