"""The databases of a server: each has a storage of its own, opened when it is asked for.

Those that nobody uses are closed, the longest unused first, once more than some dozens are open.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.hub import Hub
from ..core.ports import Storage
from ..errors import InvalidDocument, Rejected, StorageError, SyncError
from ..storage import Durability, open_storage
from ..transport.pokes import Pokes
from ..values import check_database, dumps

logger = logging.getLogger("pysync_web.server")

SUFFIX = ".sqlite"
BUSY_TIMEOUT_S = 2.0
"""How long a request waits for another process to let go of a database; clients wait some 5 s for their answer."""

MOST_OPEN = 64
"""How many databases stay open when nobody uses them: each holds files, a thread and its page cache."""


@dataclass(slots=True, eq=False)
class _Database:
    """A database that is open or being opened; ``users`` counts those who use it now."""

    opening: asyncio.Task[tuple[Storage, Hub]]
    users: int = 0

    async def close(self) -> None:
        storage, _ = await self.opening
        await storage.close()


class Databases:
    """Opens databases by name: files in a folder, or memory if there is none."""

    def __init__(self, folder: Path | None, *, durability: Durability = "strict", most: int = 1000) -> None:
        self._folder = folder
        self._durability = durability
        self._most = most
        self._open: dict[str, _Database] = {}  # the longest unused first
        self._readers: dict[str, set[Pokes]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._rng = random.SystemRandom()

    @property
    def open_count(self) -> int:
        """How many databases are open."""
        return len(self._open)

    def exists(self, name: str) -> bool:
        """Say whether there is a database of that name."""
        check_database(name)
        return name in self._open or (self._folder is not None and self._path(self._folder, name).exists())

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Hub]:
        """Lend a database, which stays open meanwhile; it is created if there is none of that name."""
        check_database(name)
        database = self._open.pop(name, None) or _Database(asyncio.create_task(self._begin(name)))
        self._open[name] = database
        database.users += 1
        try:
            yield (await asyncio.shield(database.opening))[1]
        except Exception:
            if database.opening.done() and database.opening.exception() and self._open.get(name) is database:
                del self._open[name]
            raise
        finally:
            database.users -= 1
            await self._close_unused()

    def names(self, *, is_for_all: bool) -> list[str]:
        """Name the databases that are open, or all there are."""
        names = set(self._open)
        if is_for_all and self._folder is not None:
            names |= self._kept(self._folder)
        return sorted(names)

    @asynccontextmanager
    async def borrow(self, name: str) -> AsyncIterator[Hub]:
        """Lend a database as :meth:`use` does, and leave it open or closed as it was."""
        was_open = name in self._open
        async with self.use(name) as hub:
            yield hub
        if not was_open and self._folder is not None and name in self._open and not self._open[name].users:
            await self.forget(name)

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
        database = self._open.pop(name, None)
        if database is not None:
            await database.close()

    async def close(self) -> None:
        """Close every storage, after the transactions that were begun."""
        for task in list(self._looking.values()):
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)
        databases, self._open = list(self._open.values()), {}
        for database in databases:
            await database.close()

    async def _close_unused(self) -> None:
        """Close what is too many; a database in memory would be lost."""
        if self._folder is None or len(self._open) <= MOST_OPEN:
            return
        unused = [name for name, database in self._open.items() if not database.users]
        for name in unused[: len(self._open) - MOST_OPEN]:
            with suppress(StorageError):  # who asked for another one need not hear of it
                await self.forget(name)

    async def _begin(self, name: str) -> tuple[Storage, Hub]:
        storage = await self._open_storage(name)
        hub = Hub(storage)
        try:
            await hub.open(self._rng)
        except BaseException:
            await storage.close()
            raise
        hub.watch(lambda head, touched: self._poke(name, head, touched))
        return storage, hub

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

    def _kept(self, folder: Path) -> set[str]:
        """Name the databases in a folder; a file that no name leads to, as a copy ``Old.sqlite``, holds none."""
        names = set()
        for path in folder.glob(f"*{SUFFIX}"):
            with suppress(InvalidDocument):
                name = check_database(_name_of(path))
                if self._path(folder, name).name == path.name:
                    names.add(name)
        return names

    def _path(self, folder: Path, name: str) -> Path:
        """Give a database's file; names that differ in case differ on every file system."""
        return folder / ("".join(f"+{c.lower()}" if c.isupper() else c for c in name) + SUFFIX)

    def _poke(self, name: str, head: int, touched: Set[str]) -> None:
        readers = list(self._readers.get(name, ()))
        for reader in readers:
            reader.poke(head, touched)
        if name not in self._looking and any(reader.is_doubtful for reader in readers):
            self._looking[name] = asyncio.create_task(self._look(name))

    async def _look(self, name: str) -> None:
        """Look whether what has changed is in the parts that readers want; the same parts are looked at once."""
        try:
            while doubtful := [one for one in self._readers.get(name, ()) if one.is_doubtful]:
                groups: dict[tuple[str, int], list[Pokes]] = {}
                for one in doubtful:
                    groups.setdefault((dumps([part[1:] for part in one.parts]), one.seen), []).append(one)
                async with self.use(name) as hub:
                    for (_, seen), readers in groups.items():
                        is_news, head = await hub.has_news(readers[0].parts, seen)
                        for reader in readers:
                            reader.tell(head, is_news=is_news)
                        await asyncio.sleep(0)
        except SyncError as error:  # then they are told to look for themselves
            logger.warning("what has changed in %r could not be looked at: %s", name, error)
            for one in self._readers.get(name, ()):
                one.poke(one.seen + 1)
        finally:
            del self._looking[name]


def _name_of(path: Path) -> str:
    """Give the name of the database in a file, whatever comes out for a file that is none."""
    first, *others = path.name.removesuffix(SUFFIX).split("+")
    return first + "".join(part[:1].upper() + part[1:] for part in others)
