"""Storage in memory, for tests and for data that need not outlive the process.

Handles of one name share a database, as tabs of a browser do; it is gone with the last of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from ..core.ports import ReadTransaction, Touched, Usage, WriteTransaction
from ..errors import StorageError, TransactionError
from .step import run
from .table import Table, TableReader, TableWriter, Writes, touched_by
from .watchers import Watchers

T = TypeVar("T")

_databases: WeakValueDictionary[str, MemoryDatabase] = WeakValueDictionary()


class MemoryDatabase:
    """What handles on one database share."""

    def __init__(self) -> None:
        self.table = Table()
        self.handles: list[MemoryStorage] = []
        self.line: deque[_Claim] = deque()  # who leads, and who waits to
        self.is_busy = False


class MemoryStorage:
    """A handle on a database in memory. Its reads and writes never suspend."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self._database = database or MemoryDatabase()
        self._database.handles.append(self)
        self._watchers = Watchers()
        self._is_closed = False

    @classmethod
    def open(cls, name: str) -> MemoryStorage:
        """Open the database of that name; ``:memory:`` and an empty name are nobody else's."""
        if name in ("", ":memory:"):
            return cls()
        database = _databases.get(name)
        if database is None:
            database = _databases[name] = MemoryDatabase()
        return cls(database)

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over the table."""
        transaction = TableReader(self._database.table)
        return self._run(body, transaction)

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and take over what it wrote, all or nothing."""
        database = self._database
        transaction = TableWriter(database.table)
        writes = transaction.writes
        result = self._run(body, transaction)
        if writes:
            database.table.check(writes)
            database.table.apply(writes)
            if len(database.handles) > 1:
                self._tell_others(writes)
        return result

    def _run(self, body: Callable[[Any], Coroutine[Any, Any, T]], transaction: TableReader | TableWriter) -> T:
        database = self._database
        self._check_open()
        if database.is_busy:
            raise TransactionError("a body may not begin another transaction")
        database.is_busy = True
        try:
            return run(body(transaction))
        finally:
            database.is_busy = False
            transaction.end()

    def _tell_others(self, writes: Writes) -> None:
        watching = [one._watchers for one in self._database.handles if one is not self and one._watchers]
        if watching:
            touched = touched_by(writes)
            for watchers in watching:
                watchers.tell(touched)

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back soon after another handle has written; at once where no event loop runs."""
        return self._watchers.add(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait for one's turn to lead; nobody ever takes it away."""
        self._check_open()
        claim = _Claim(self, asyncio.get_running_loop().create_future())
        line = self._database.line
        line.append(claim)
        _let_first_lead(line)
        try:
            await claim.turn
        except asyncio.CancelledError:
            _leave(line, claim)
            raise
        return lambda: _leave(line, claim)

    async def usage(self) -> Usage:
        """Count the bytes of all texts."""
        self._check_open()
        spaces = self._database.table.values()
        return Usage(sum(len(text.encode()) for space in spaces for text in space.texts.values()))

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Do nothing: there is nothing but what is stored."""
        size = (await self.usage()).bytes
        return size, size

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("the storage is closed")

    async def close(self) -> None:
        """Leave the database; it lives on as long as another handle has it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._watchers.clear()
        self._database.handles.remove(self)
        for claim in [claim for claim in self._database.line if claim.handle is self]:
            claim.refuse()
            _leave(self._database.line, claim)


class _Claim:
    """A handle's place in the line of those who want to lead."""

    def __init__(self, handle: MemoryStorage, turn: asyncio.Future[None]) -> None:
        self.handle = handle
        self.turn = turn

    def refuse(self) -> None:
        if not self.turn.done():
            self.turn.set_exception(StorageError("the storage was closed"))


def _let_first_lead(line: deque[_Claim]) -> None:
    if line and not line[0].turn.done():
        line[0].turn.set_result(None)


def _leave(line: deque[_Claim], claim: _Claim) -> None:
    if claim in line:
        line.remove(claim)
        _let_first_lead(line)
