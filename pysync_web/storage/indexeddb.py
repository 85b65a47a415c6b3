"""Storage in a page's IndexedDB: a log on disk, one record a transaction, and the table that it makes, in memory.

Reads touch no IndexedDB. A write runs over the table and is appended as the next log record; if another tab was
faster, the record's number is taken, and the write runs again over what that tab wrote, inside the transaction that
appends it. Now and then the log is folded into sorted segments, so that opening reads only what is asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..core.ports import Key, ReadTransaction, Touched, WriteTransaction
from ..errors import StorageError, StorageReset, TransactionError
from . import idb
from .segments import INLINE_CHARS, Fold, Manifest, Segment, decode_writes, encode_writes, plan_fold
from .step import run
from .table import Table, TableReader, TableWriter, Writes, touched_by
from .tabs import Tabs
from .watchers import Watchers

T = TypeVar("T")

FOLD_CHARS: Final = 1024 * 1024
"""A log of more characters than this, and than half of the segments, is folded."""

FOLD_AT_CLOSE_CHARS: Final = 128 * 1024
PUT_CHARS: Final = 1024 * 1024
PREFETCH_AFTER_S: Final = 0.05


class _Cold(BaseException):
    """A body asked for records that are still on disk; it runs again when they are here."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.segments = segments


class _WarmTable(Table):
    """A table of which some segments may still be on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.cold: dict[int, Segment] = {}
        self.manifest = Manifest()
        self.fresh: dict[str, set[Key]] = defaultdict(set)  # written since the segments were

    def need(self, space: str, keys: Sequence[Key] | None) -> None:
        """Raise :class:`_Cold` unless the keys of a space, or (None) all of it, are here."""
        if keys is None:
            missing = [segment for segment in self.cold.values() if segment.space == space]
        else:
            missing = []
            fresh = self.fresh[space]
            for key in keys:
                segment = None if key in fresh else self.manifest.holding(space, key)
                if segment is not None and segment.id in self.cold and segment not in missing:
                    missing.append(segment)
        if missing:
            raise _Cold(missing)

    def warm(self, segment: Segment, records: Writes) -> None:
        """Take in a segment, under what was written since."""
        if self.cold.pop(segment.id, None) is not None:
            fresh = self.fresh[segment.space]
            for space, written in records.items():
                self[space].apply({key: text for key, text in written.items() if key not in fresh})

    def apply(self, writes: Writes) -> None:
        """Take over what a transaction wrote."""
        super().apply(writes)
        for space, written in writes.items():
            self.fresh[space].update(written)


class _ColdReader(TableReader):
    """A reader that first makes sure that what it reads is here."""

    __slots__ = ()
    _table: _WarmTable

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        self._table.need(space, (key,))
        return await super().get(space, key)

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        """Give one text or None for each key."""
        self._table.need(space, keys)
        return await super().get_many(space, keys)

    async def scan(self, space: str, prefix: Key = (), **how: Any) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        self._table.need(space, None)
        return await super().scan(space, prefix, **how)


class _ColdWriter(TableWriter):
    """A writer that first makes sure that what it reads is here."""

    __slots__ = ()
    _table: _WarmTable

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        self._table.need(space, (key,))
        return await super().get(space, key)

    async def get_many(self, space: str, keys: Any) -> list[str | None]:
        """Give one text or None for each key."""
        self._table.need(space, keys)
        return await super().get_many(space, keys)

    async def scan(self, space: str, prefix: Key = (), **how: Any) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        self._table.need(space, None)
        return await super().scan(space, prefix, **how)


@dataclass(slots=True)
class _Waiting:
    """A write that waits for its turn, and what came of it."""

    body: Callable[[WriteTransaction], Coroutine[Any, Any, Any]]
    is_relaxed: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class IndexedDBStorage:
    """A handle on a database of this origin."""

    def __init__(self, name: str, *, is_relaxed: bool) -> None:
        self.name = name
        self._is_relaxed = is_relaxed
        self._table = _WarmTable()
        self._last = 0  # the log record up to which the table is
        self._log_chars = 0
        self._identity = ""
        self._connection: idb.Connection | None = None
        self._gone: str | None = None
        self._waiting: list[_Waiting] = []
        self._batch: list[_Waiting] = []
        self._is_busy = False  # a commit is under way
        self._is_running = False  # a body is
        self._is_closed = False
        self._catching_up: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._watchers = Watchers()
        self._tabs = Tabs(name, self._on_commit_elsewhere)

    @classmethod
    async def open(cls, name: str, *, durability: str = "strict") -> IndexedDBStorage:
        """Open a database, or make it."""
        storage = cls(name, is_relaxed=durability == "relaxed")
        try:
            await storage._connect()
            await storage._load()
        except BaseException:
            storage._tabs.close()
            raise
        storage._later(storage._prefetch())
        return storage

    async def _connect(self) -> None:
        identity = f"{random.SystemRandom().getrandbits(128):032x}"
        self._gone = None
        self._connection = await idb.connect(self.name, identity, self._on_gone)

    def _on_gone(self, why: str) -> None:
        self._gone = why

    async def _load(self) -> None:
        """Build the table from the manifest and the log; segments stay on disk until they are asked for."""
        assert self._connection is not None
        text, generation, log, identity = await self._connection.load()
        manifest = Manifest.from_text(text) if text else Manifest(generation)
        table = _WarmTable()
        table.manifest = manifest
        table.cold = {segment.id: segment for segment in manifest.segments}
        for space, written in decode_writes(manifest.inline).items():
            table[space].apply(written)
        for record in log:
            table.apply(decode_writes(record))
        self._table, self._last = table, manifest.folded + len(log)
        self._log_chars = sum(map(len, log))
        self._identity = identity or ""

    # Reading

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over the table; it is as new as this tab has heard."""
        while True:
            self._check_usable()
            table = self._table
            transaction = _ColdReader(table) if table.cold else TableReader(table)
            self._is_running = True
            try:
                return run(body(transaction))
            except _Cold as cold:
                missing = cold.segments
            finally:
                self._is_running = False
                transaction.end()
            await self._warm(missing)

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StorageError("the storage is closed")
        if self._is_running:
            raise TransactionError("a body may not begin another transaction")
        if self._gone is not None and self._gone != "closed":
            raise StorageReset(f"the database {self.name!r} was {self._gone}: open it again")

    async def _warm(self, segments: Sequence[Segment]) -> None:
        """Bring segments into memory."""
        table = self._table
        connection = await self._usable()
        try:
            texts = await connection.segments([segment.id for segment in segments])
        except idb.Conflict:
            await self._load()
            return
        except idb.Lost:
            await self._reopen()
            return
        for segment, text in zip(segments, texts, strict=True):
            if table is self._table:
                table.warm(segment, decode_writes(text))

    async def _prefetch(self) -> None:
        """Bring everything into memory, a little at a time."""
        await asyncio.sleep(PREFETCH_AFTER_S)
        try:
            while self._table.cold and not self._is_closed and self._gone is None:
                await self._warm(list(self._table.cold.values())[:8])
                await asyncio.sleep(0)
        except StorageError:
            return  # who asks for what is missing will hear why

    # Writing

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and append what it wrote; writes that come during a commit go together into the next."""
        self._check_usable()
        waiting = _Waiting(body, relaxed or self._is_relaxed, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if not self._is_busy:
            self._commit_next()
        return await waiting.future  # type: ignore[no-any-return]

    def _commit_next(self) -> None:
        """Run the waiting bodies and append what they wrote."""
        self._batch, self._waiting = self._waiting, []
        self._is_busy = bool(self._batch)
        if not self._is_busy:
            self._idle.set()
            return
        self._idle.clear()
        try:
            writes = self._run_batch()
        except _Cold as cold:
            self._later(self._retry_after(self._warm(cold.segments)))
            return
        if not writes:
            self._settle()
            return
        self._append(writes)

    def _append(self, writes: Writes) -> None:
        if self._connection is None or self._gone is not None:
            self._later(self._retry_after(self._reopen()))
            return
        text = encode_writes(writes)
        try:
            self._connection.append(
                self._last + 1,
                text,
                self._table.manifest.generation,
                relaxed=all(waiting.is_relaxed for waiting in self._batch),
                done=lambda error: self._on_appended(error, writes, text),
            )
        except idb.Lost:
            self._later(self._retry_after(self._reopen()))
        except Exception as error:
            self._settle(StorageError(str(error)))

    def _run_batch(self) -> Writes:
        """Run the batch's bodies one after the other, each over what those before it wrote."""
        table = self._table
        written: Writes = defaultdict(dict)
        self._is_running = True
        try:
            for waiting in self._batch:
                writer = _ColdWriter if table.cold else TableWriter
                transaction = writer(table, written)
                writes = transaction.writes
                waiting.result = waiting.error = None
                try:
                    waiting.result = run(waiting.body(transaction))
                    table.check(writes)
                except _Cold:
                    raise
                except BaseException as error:
                    waiting.error = error
                    continue
                finally:
                    transaction.end()
                for space, changes in writes.items():
                    written[space].update(changes)
        finally:
            self._is_running = False
        return written

    def _on_appended(self, error: BaseException | None, writes: Writes, text: str) -> None:
        """The transaction is through: take the writes over, or do it again after what another tab wrote."""
        if error is None:
            self._last += 1
            self._log_chars += len(text)
            self._table.apply(writes)
            self._tabs.told(self._last)
            self._settle()
        elif isinstance(error, idb.Conflict):
            self._later(self._retry_after(self._catch_up_and_append()))
        else:
            self._settle(error)

    def _settle(self, error: BaseException | None = None) -> None:
        """Tell the batch how it went, and go on with those that came meanwhile."""
        batch, self._batch = self._batch, []
        for waiting in batch:
            if waiting.future.done():
                continue
            failure = waiting.error or error
            if failure is not None:
                waiting.future.set_exception(failure)
            else:
                waiting.future.set_result(waiting.result)
        self._fold_if_due()
        self._commit_next()

    async def _retry_after(self, work: Coroutine[Any, Any, bool | None]) -> None:
        """Do something that takes time, then run the batch again unless that has settled it."""
        try:
            if await work:
                return
        except idb.Lost:
            self._gone = self._gone or "closed"
        except StorageError as error:
            self._settle(error)
            return
        self._waiting = self._batch + self._waiting
        self._commit_next()

    async def _catch_up_and_append(self) -> bool:
        """Take in what others wrote and append the batch, in one transaction, so that it can't be outrun again."""
        await self._catch_up()
        if self._table.cold:
            await self._warm(list(self._table.cold.values()))
        connection = await self._usable()
        through: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        made: list[tuple[Writes, str]] = []

        def tail(records: Sequence[str]) -> str | None:
            self._take_in(records)
            writes = self._run_batch()
            if not writes:
                return None
            made.append((writes, encode_writes(writes)))
            return made[0][1]

        connection.append_after(self._last, tail, self._table.manifest.generation, done=through.set_result)
        error = await through
        if isinstance(error, idb.Conflict):
            return False
        if error is not None:
            self._settle(error)
            return True
        if made:
            self._on_appended(None, *made[0])
        else:
            self._settle()
        return True

    # Other tabs

    def _on_commit_elsewhere(self, seq: int) -> None:
        if seq > self._last and not self._is_closed and self._catching_up is None:
            self._catching_up = self._later(self._hear())

    async def _hear(self) -> None:
        """Catch up between commits of our own."""
        try:
            while not self._idle.is_set():
                await self._idle.wait()
            if not self._is_closed and self._gone is None:
                await self._catch_up()
        except StorageError:
            return
        finally:
            self._catching_up = None

    async def _catch_up(self) -> None:
        """Take in what other handles have appended, or load anew where that was folded away."""
        connection = await self._usable()
        before = self._last
        text, last, log = await connection.load_log(before)
        if self._last != before:
            return  # a commit of our own came between
        manifest = Manifest.from_text(text) if text else Manifest()
        is_other = manifest.generation != self._table.manifest.generation
        if manifest.folded > before or last - len(log) != before or (is_other and self._table.cold):
            await self._load()
            if self._last != before:
                self._watchers.tell(None)
            return
        self._table.manifest = manifest
        self._take_in(log)

    def _take_in(self, records: Sequence[str]) -> None:
        for record in records:
            writes = decode_writes(record)
            self._table.apply(writes)
            self._last += 1
            self._log_chars += len(record)
            if self._watchers:
                self._watchers.tell(touched_by(writes))

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back soon after another handle has written."""
        return self._watchers.add(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait to lead all tabs on this database."""
        self._check_usable()
        return await self._tabs.lead(lost)

    # Connection

    async def _usable(self) -> idb.Connection:
        if self._gone is not None:
            await self._reopen()
        assert self._connection is not None
        return self._connection

    async def _reopen(self) -> None:
        """Open again after the browser closed the connection; the database must still be the same one."""
        if self._gone != "closed" and self._gone is not None:
            self._check_usable()
        if self._connection is not None:
            self._connection.close()
        identity = self._identity
        await self._connect()
        await self._load()
        if self._identity != identity:
            self._gone = "deleted while it was open"
            raise StorageReset(f"the database {self.name!r} was {self._gone}: open it again")

    # Folding

    def _fold_if_due(self) -> None:
        if self._log_chars > max(FOLD_CHARS, self._table.manifest.chars // 2) and not self._table.cold:
            self._later(self._fold())

    async def _fold(self) -> None:
        """Fold the log into segments; every step leaves a whole database, and one that fails is left undone."""
        if self._is_closed or self._gone is not None or self._connection is None or self._table.cold:
            return
        table, connection, chars = self._table, self._connection, self._log_chars
        if chars < INLINE_CHARS:
            return
        self._log_chars = 0  # nobody begins another meanwhile
        fresh, table.fresh = table.fresh, defaultdict(set)
        fold = plan_fold(table.manifest, table, fresh, self._last)
        try:
            free: int | None = table.manifest.next_id
            for part in _by_size(fold.new):
                await connection.put_segments(free, part)
                free = None
            await self._finish_fold(connection, fold)
        except (StorageError, idb.Lost, idb.Conflict):
            for space, keys in fresh.items():
                table.fresh[space] |= keys

    async def _finish_fold(self, connection: idb.Connection, fold: Fold) -> None:
        """Switch to the new segments between two commits."""
        while self._is_busy:
            await self._idle.wait()
        self._is_busy = True
        self._idle.clear()
        try:
            made = fold.manifest
            await connection.finish_fold(made.text(), made.generation, made.folded, fold.gone)
            self._table.manifest = made
        finally:
            self._commit_next()

    async def close(self) -> None:
        """Wait for commits, fold a long log, and close; a second call does nothing."""
        if self._is_closed:
            return
        while self._is_busy or self._waiting:
            await self._idle.wait()
        if self._log_chars > FOLD_AT_CLOSE_CHARS:
            await self._fold()
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watchers.clear()
        self._tabs.close()
        if self._connection is not None:
            self._connection.close()

    def _later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _by_size(texts: dict[int, str]) -> list[dict[int, str]]:
    """Split segments into parts that one small transaction can take."""
    parts: list[dict[int, str]] = [{}]
    size = 0
    for number, text in texts.items():
        if size > PUT_CHARS:
            parts.append({})
            size = 0
        parts[-1][number] = text
        size += len(text)
    return parts
