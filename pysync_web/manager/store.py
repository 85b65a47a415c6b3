"""A local database with the replica that lives in it."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from ..core.arguments import check_text
from ..core.ports import Storage, WriteTransaction
from ..core.replica import load_counters, open_replica
from ..errors import InvalidDocument
from ..storage import open_storage
from ..storage.witness import is_other_replica, remember_replica
from ..values import dumps, loads


class StorageEngine(Enum):
    """Where a local database lies."""

    SQLITE = "sqlite"
    INDEXEDDB = "indexeddb"
    MEMORY = "memory"


@dataclass(slots=True)
class LocalStore:
    """An open local database.

    ``replica_id`` is the identity, made with the storage; ``device_id`` the label that a user gave it, kept there.
    ``storage_reset`` is "wiped" where a database was here before and is gone; ``opened_at`` the number of the last
    change when it was opened.
    """

    storage: Storage
    name: str
    replica_id: str
    durability: str
    device_id: str = ""
    storage_reset: str | None = None
    opened_at: int = 0

    @classmethod
    async def open(
        cls,
        name: str,
        *,
        device_id: str | None = None,
        engine: StorageEngine | None = None,
        durability: Literal["strict", "relaxed"] = "strict",
        rng: Any = None,
    ) -> LocalStore:
        """Open or create a database: IndexedDB in a page; natively SQLite, where ``name`` is a path.

        ``durability`` "strict" waits until a write would survive a power cut; "relaxed" until it survives a crash
        of the program. Raises :class:`FormatTooNew`, :class:`DatabaseLocked`, :class:`CorruptData` and other
        :class:`StorageError`.
        """
        _check_choices(name, device_id, engine, durability)
        storage = await open_storage(name, engine=engine.value if engine else None, durability=durability)
        chance = rng or random.SystemRandom()
        try:
            replica, is_new = await storage.write(lambda tx: open_replica(tx, chance))
            reset = "wiped" if is_new and is_other_replica(name, replica) else None
            if is_new:
                remember_replica(name, replica)
            label = await storage.write(lambda tx: _label(tx, device_id))
            opened_at = (await storage.read(load_counters)).n
        except BaseException:
            await storage.close()
            raise
        return cls(storage, name, replica, durability, label, reset, opened_at)

    async def close(self) -> None:
        """Close the database; a second call does nothing."""
        await self.storage.close()


def _check_choices(name: object, device_id: object, engine: object, durability: object) -> None:
    """Raise :class:`InvalidDocument` for what no database can be opened with."""
    if not isinstance(name, str | os.PathLike):
        raise InvalidDocument(f"name is the name or the path of a database, not {name!r:.60}")
    if device_id is not None:
        check_text("device_id", device_id)
    if engine is not None and not isinstance(engine, StorageEngine):
        names = ", ".join(f"StorageEngine.{one.name}" for one in StorageEngine)
        raise InvalidDocument(f"engine is {names} or None, not {engine!r:.60}")
    if durability not in ("strict", "relaxed"):
        raise InvalidDocument(f"durability is 'strict' or 'relaxed', not {durability!r:.60}")


async def _label(tx: WriteTransaction, given: str | None) -> str:
    """Keep a device's label, or give the one that is kept."""
    text = await tx.get("meta", ("device",))
    known = str(loads(text)) if text else ""
    if given is not None and given != known:
        tx.put("meta", ("device",), dumps(given))
        return given
    return known
