"""The databases of a server: each has a storage of its own, opened when it is first asked for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.hub import Hub
from ..core.ports import Storage
from ..errors import Rejected
from ..storage import Durability, open_storage
from ..transport.pokes import Pokes
from ..values import check_database

SUFFIX = ".sqlite"
BUSY_TIMEOUT_S = 2.0
"""How long a request waits for another process to let go of a database; clients wait some 5 s for their answer."""


@dataclass(frozen=True, slots=True)
class _Database:
    storage: Storage
    hub: Hub


class Databases:
    """Opens databases by name: files in a folder, or memory if there is none."""

    def __init__(self, folder: Path | None, *, durability: Durability = "strict", most: int = 1000) -> None:
        self._folder = folder
        self._durability = durability
        self._most = most
        self._open: dict[str, asyncio.Task[_Database]] = {}
        self._readers: dict[str, set[Pokes]] = {}
        self._rng = random.SystemRandom()

    async def find(self, name: str) -> Hub | None:
        """Give a database that exists, or None."""
        check_database(name)
        exists = name in self._open or (self._folder is not None and self._path(self._folder, name).exists())
        return await self.open(name) if exists else None

    async def open(self, name: str) -> Hub:
        """Give a database; it is created if there is none of that name."""
        check_database(name)
        task = self._open.get(name)
        if task is None:
            task = self._open[name] = asyncio.create_task(self._begin(name))
        try:
            return (await asyncio.shield(task)).hub
        except Exception:
            if self._open.get(name) is task:
                del self._open[name]
            raise

    def watch(self, name: str, reader: Pokes) -> Callable[[], None]:
        """Poke a reader after each commit to a database, which need not exist yet; the result ends it."""
        self._readers.setdefault(name, set()).add(reader)

        def stop() -> None:
            readers = self._readers.get(name, set())
            readers.discard(reader)
            if not readers:
                self._readers.pop(name, None)

        return stop

    async def forget(self, name: str) -> None:
        """Close a database whose file was deleted or replaced; who asks for it next opens what is there then."""
        task = self._open.pop(name, None)
        if task is not None:
            await (await task).storage.close()

    async def close(self) -> None:
        """Close every storage, after the transactions that were begun."""
        tasks, self._open = list(self._open.values()), {}
        for task in tasks:
            await (await task).storage.close()

    async def _begin(self, name: str) -> _Database:
        storage = await self._open_storage(name)
        hub = Hub(storage)
        await hub.open(self._rng)
        hub.watch(lambda head: self._poke(name, head))
        return _Database(storage, hub)

    async def _open_storage(self, name: str) -> Storage:
        if self._folder is None:
            return await open_storage(":memory:", engine="memory")
        path = self._path(self._folder, name)
        if not path.exists():
            self._check_room(self._folder)
        return await open_storage(
            path, engine="sqlite", durability=self._durability, threaded=True, busy_timeout_s=BUSY_TIMEOUT_S
        )

    def _check_room(self, folder: Path) -> None:
        """Make the folder; refuse one database more than may be."""
        folder.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in folder.glob(f"*{SUFFIX}")) >= self._most:
            detail: dict[str, object] = {"limit": "databases", "maximum": self._most}
            message = f"This server takes no more than {self._most} databases."
            raise Rejected(message, status=409, code="too_many_databases", detail=detail)

    def _path(self, folder: Path, name: str) -> Path:
        """Give a database's file; names that differ in case differ on every file system."""
        return folder / ("".join(f"+{c.lower()}" if c.isupper() else c for c in name) + SUFFIX)

    def _poke(self, name: str, head: int) -> None:
        for reader in list(self._readers.get(name, ())):
            reader.poke(head)
