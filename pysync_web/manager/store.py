"""A local database with the replica that lives in it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from ..core.ports import Storage
from ..core.replica import open_replica
from ..storage import open_storage
from ..storage.witness import remember_replica, remembered_replica


class StorageEngine(Enum):
    """Where a local database lies."""

    SQLITE = "sqlite"
    INDEXEDDB = "indexeddb"
    MEMORY = "memory"


@dataclass(slots=True)
class LocalStore:
    """An open local database. ``storage_reset`` is "wiped" where a database was here before and is gone."""

    storage: Storage
    name: str
    replica_id: str
    durability: str
    storage_reset: str | None = None

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        engine: StorageEngine | None = None,
        durability: Literal["strict", "relaxed"] = "strict",
        rng: Any = None,
    ) -> LocalStore:
        """Open or create a database: IndexedDB in a page; natively SQLite, where ``name`` is a path.

        ``durability`` "strict" waits until a write would survive a power cut; "relaxed" until it survives a crash
        of the program. Raises :class:`FormatTooNew`, :class:`DatabaseLocked`, :class:`CorruptData` and other
        :class:`StorageError`.
        """
        storage = await open_storage(name, engine=engine.value if engine else None, durability=durability)
        chance = rng or random.SystemRandom()
        replica, is_new = await storage.write(lambda tx: open_replica(tx, chance))
        reset = "wiped" if is_new and remembered_replica(name) not in (None, replica) else None
        if is_new:
            remember_replica(name, replica)
        return cls(storage, name, replica, durability, reset)

    async def close(self) -> None:
        """Close the database; a second call does nothing."""
        await self.storage.close()
