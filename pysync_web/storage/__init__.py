"""Where records lie: in memory, in an SQLite file, or in a page's IndexedDB. All keep one contract, the port's.

A backend is imported when it is first opened, but in a page, where it is known which, at once: people wait less while
the page starts than when it opens their data.
"""

from __future__ import annotations

import os
import sys
from typing import Literal, TypeAlias

from ..core.ports import Storage
from ..errors import StorageError

if sys.platform == "emscripten":
    from . import indexeddb  # noqa: F401

__all__ = ["Durability", "Engine", "Storage", "open_storage", "request_persistence"]

Engine: TypeAlias = Literal["memory", "sqlite", "indexeddb"]
Durability: TypeAlias = Literal["strict", "relaxed"]


async def open_storage(
    name: str | os.PathLike[str],
    *,
    engine: Engine | None = None,
    durability: Durability = "strict",
    threaded: bool = False,
    busy_timeout_s: float = 5.0,
) -> Storage:
    """Open a database, or make it: in a page a name in IndexedDB, natively the path of an SQLite file.

    ``:memory:`` is a database in memory that nobody shares. With ``strict`` durability a write that has returned
    survives a power cut, with ``relaxed`` only a crash of the process or the browser. ``threaded`` (SQLite) runs
    writes in a thread, many in one commit, as a server wants; ``busy_timeout_s`` is how long to wait for other
    processes.
    """
    engine = engine or _default_engine(name)
    match engine:
        case "memory":
            from .memory import MemoryStorage

            return MemoryStorage.open(str(name))
        case "sqlite":
            if threaded:
                from .sqlite_thread import ThreadedSqliteStorage as SqliteStorage
            else:
                from .sqlite import SqliteStorage  # type: ignore[assignment]

            return SqliteStorage.open(name, durability=durability, busy_timeout_s=busy_timeout_s)
        case "indexeddb":
            if sys.platform != "emscripten":
                raise StorageError("IndexedDB is there in a page alone: natively choose memory or sqlite")
            from .indexeddb import IndexedDBStorage

            return await IndexedDBStorage.open(str(name), durability=durability)
    raise StorageError(f"{engine!r} is no storage engine: choose memory, sqlite or indexeddb")


async def request_persistence() -> bool:
    """Ask the browser to keep what this web site stores, and tell whether it does; natively files are kept anyway."""
    if sys.platform == "emscripten":
        from .idb import persist

        return await persist()
    return True


def _default_engine(name: str | os.PathLike[str]) -> Engine:
    if name == ":memory:":
        return "memory"
    return "indexeddb" if sys.platform == "emscripten" else "sqlite"
