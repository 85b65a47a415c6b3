"""Storage in a page's IndexedDB: a log on disk, one record a commit, and the table that it makes, in memory.

Reads touch no IndexedDB. A write runs over the table, and is appended under the next number of the log: if another
tab has taken that number, the write runs again over what that tab wrote, inside the transaction that appends it.
Now and then the log is folded into sorted segments, so that opening reads no more than what is asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from ..core.ports import Key, ReadTransaction, Touched, Usage, WriteTransaction
from ..deferred import dataclass
from ..errors import QuotaExceeded, StorageError, StorageReset, TransactionError
from . import idb
from .idb import Conflict, Connection, Lost, Prompt
from .segments import (
    Fold,
    Manifest,
    decode_segment,
    decode_writes,
    encode_writes,
    fold,
    is_folded,
    join_writes,
    label,
    unlabel,
)
from .step import run
from .table import Cold, Segment, Table, TableReader, TableWriter, Writes, touched_by
from .tabs import Tabs
from .watchers import Watchers

T = TypeVar("T")

FOLD_CHARS: Final = 512 * 1024
FOLD_RECORDS: Final = 500
"""A log with more characters than this (and than half of the segments), or with more records, is folded."""

FOLD_AT_CLOSE: Final = 0.1
"""The share of these limits from which it is folded when a handle closes."""

FOLD_AFTER_S: Final = 0.25
FOLD_PUT_OFF: Final = 8
"""A log is folded so long after it got long; that is put off so often while there come more commits."""

REOPENINGS: Final = 5
REOPEN_AFTER_S: Final = 0.02
SETTLE_AFTER_S: Final = 0.03
PREFETCH_SEGMENTS: Final = 12


class _Job:
    """A write that waits, and what came of its body."""

    def __init__(self, body: Callable[[WriteTransaction], Coroutine[Any, Any, Any]], is_relaxed: bool) -> None:
        self.body = body
        self.is_relaxed = is_relaxed
        self.done = Prompt()
        self.is_alone = False  # together with others it was too large
        self.losses = 0  # how often the connection broke under it
        self.result: Any = None
        self.error: BaseException | None = None

    def finish(self, error: BaseException | None = None) -> None:
        self.done.finish(self.result, self.error or error)


class _Batch:
    """Jobs that share a commit, and what their bodies wrote together."""

    def __init__(self, jobs: list[_Job]) -> None:
        self.jobs = jobs
        self.writes: Writes = {}
        self.text = ""
        self.is_committed = False

    @property
    def is_relaxed(self) -> bool:
        return all(job.is_relaxed for job in self.jobs)

    def finish(self, error: BaseException | None = None) -> None:
        for job in self.jobs:
            job.finish(error)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of a log record until it is folded: whose it is, its size and the keys that it wrote."""

    source: str
    chars: int
    writes: Sequence[tuple[str, dict[Key, str | None]]]


class IndexedDBStorage:
    """A handle on a database of this origin."""

    def __init__(self, name: str, *, is_relaxed: bool) -> None:
        self.name = name
        self._is_relaxed = is_relaxed
        self._source = os.urandom(8).hex()
        self._connection: Connection | None = None
        self._gone: StorageError | None = None  # why this handle can be used no more
        self._table = Table()
        self._manifest = Manifest("")
        self._log: list[_Entry] = []  # what is not folded yet
        self._log_chars = 0
        self._last = 0  # the log record up to which the table is
        self._heard = 0  # the last that another tab has told of
        self._waiting: list[_Job] = []
        self._batch: _Batch | None = None  # being committed
        self._is_running = False  # a body is
        self._is_folding = False
        self._has_left_torn_log = False
        self._reopening: asyncio.Task[None] | None = None
        self._fold_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watchers = Watchers()
        self._tabs = Tabs(name, self._on_commit_elsewhere, self._on_wake)

    @classmethod
    async def open(cls, name: str, *, durability: str = "strict") -> IndexedDBStorage:
        """Open a database, or make it."""
        storage = cls(name, is_relaxed=durability == "relaxed")
        try:
            await storage._connect(Manifest(os.urandom(16).hex()).text())
            await storage._load()
        except BaseException:
            storage._release()
            raise
        storage._later(storage._settle_in())
        storage._fold_if_due()
        return storage

    async def _connect(self, manifest: str | None) -> None:
        connection = await idb.connect(self.name, manifest, self._on_gone, self._tabs.enter)
        await self._tabs.know_us()
        self._connection = connection

    def _on_gone(self, reason: StorageReset | None) -> None:
        """The connection is lost: for good if there is a reason; otherwise see what became of the database."""
        if reason is not None:
            self._give_up(reason)
        self._disconnect()
        if self._gone is None:
            self._later(self._reconnect())

    def _give_up(self, reason: StorageReset) -> None:
        """Use the database no more; who watches looks at it, and so hears why."""
        if self._gone is None:
            self._gone = reason
            self._watchers.tell(None)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _load(self) -> None:
        """Build the table from the manifest and the log; segments stay on disk until they are asked for."""
        text, records = await self._connected().load()
        manifest = Manifest.from_text(text or "")
        if self._manifest.identity not in ("", manifest.identity):
            reason = StorageReset(f"the database {self.name!r} was deleted while it was open: open it again")
            self._give_up(reason)
            raise reason
        self._manifest, self._table = manifest, manifest.table()
        self._log, self._log_chars = [], 0
        self._last = manifest.folded
        for record in records:
            if not is_folded(record):
                self._take_in(record)

    def _take_in(self, record: str) -> Writes:
        """Apply a log record to the table; give what it wrote."""
        source, text = unlabel(record)
        steps = list(decode_writes(text))
        writes: Writes = defaultdict(dict)
        for space, written in steps:
            self._table[space].apply(written)
            writes[space].update(written)
        self._note(source, len(record), steps)
        return writes

    def _note(self, source: str, chars: int, writes: Sequence[tuple[str, dict[Key, str | None]]]) -> None:
        """The log has one more record, and the table has it too."""
        self._log.append(_Entry(source, chars, writes))
        self._log_chars += chars
        self._last += 1

    # Reading

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over the table, which is as new as this tab has heard."""
        while True:
            self._check_usable()
            transaction = TableReader(self._table)
            self._is_running = True
            try:
                return run(body(transaction))
            except Cold as cold:
                missing = cold.segments
            finally:
                self._is_running = False
                transaction.end()
            await self._warm(missing)

    def _check_usable(self) -> None:
        if self._gone is not None:
            raise self._gone
        if self._is_running:
            raise TransactionError("a body may not begin another transaction")

    async def _warm(self, segments: Sequence[Segment]) -> None:
        """Bring segments into memory, or the table up to date where they were folded away."""
        table = self._table
        try:
            texts = await self._retried(lambda: self._connected().segments([one.id for one in segments]))
        except Conflict:
            await self._reload()
            return
        for segment, text in zip(segments, texts, strict=True):
            table[segment.space].warm(segment, decode_segment(text))

    async def _reload(self) -> None:
        """Build the table anew, because what it was built from is no longer there."""
        await self._retried(self._load)
        self._watchers.tell(None)

    async def _settle_in(self) -> None:
        """Do what need not be done before the first reading: at last bring everything into memory, bit by bit."""
        await asyncio.sleep(SETTLE_AFTER_S)
        self._leave_torn_log()
        while cold := self._table.cold():
            await self._warm(cold[:PREFETCH_SEGMENTS])
            await asyncio.sleep(0)

    def _leave_torn_log(self) -> None:
        if not self._has_left_torn_log:
            self._has_left_torn_log = True
            idb.leave_torn_log()

    # Writing

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and append what it wrote; writes that come during a commit go together into the next."""
        self._check_usable()
        job = _Job(body, relaxed or self._is_relaxed)
        self._waiting.append(job)
        if self._batch is None:
            self._commit_waiting()
        return await job.done  # type: ignore[no-any-return]

    def _commit_waiting(self) -> None:
        """Run the bodies that wait, and append what they wrote."""
        while self._waiting and self._batch is None:
            count = 1 if self._waiting[0].is_alone else len(self._waiting)
            batch = self._batch = _Batch(self._waiting[:count])
            del self._waiting[:count]
            failure: StorageError | None = None
            try:
                self._run(batch)
                if batch.text:
                    self._append(batch)
                    return
            except Cold as cold:
                self._again_after(self._warm(cold.segments))
                return
            except Lost as error:
                self._lose(batch, error)
                return
            except StorageError as error:
                failure = error
            self._batch = None
            batch.finish(failure)

    def _run(self, batch: _Batch) -> None:
        """Run the batch's bodies one after the other, each over what those before it wrote."""
        batch.writes = {}
        texts = []
        self._is_running = True
        try:
            for job in batch.jobs:
                transaction = TableWriter(self._table, batch.writes)
                writes = transaction.writes
                job.result = job.error = None
                try:
                    job.result = run(job.body(transaction))
                    text = encode_writes(writes)
                except Exception as error:
                    job.error = error
                    continue
                finally:
                    transaction.end()
                if text:
                    texts.append(text)
                    _merge(batch, writes)
        finally:
            self._is_running = False
        batch.text = label(self._source, join_writes(texts)) if texts else ""

    def _append(self, batch: _Batch) -> None:
        self._leave_torn_log()
        self._connected().append(
            self._last + 1, batch.text, relaxed=batch.is_relaxed, done=lambda error: self._on_end(batch, error)
        )

    def _on_end(self, batch: _Batch, error: BaseException | None) -> None:
        """The transaction is through: take over what was written, or do it again."""
        if error is None:
            self._finish(batch)
        elif isinstance(error, Conflict):
            self._append_after(batch)
        elif isinstance(error, Lost):
            self._lose(batch, error)
        elif isinstance(error, QuotaExceeded) and len(batch.jobs) > 1:
            for job in batch.jobs:
                job.is_alone = True
            self._again(batch)
        else:
            self._settle(batch, error)

    def _finish(self, batch: _Batch) -> None:
        """Take over what was committed, and begin the next commit before anybody goes on."""
        self._table.apply(batch.writes)
        self._note(self._source, len(batch.text), list(batch.writes.items()))
        self._settle(batch)
        self._tabs.tell(self._last)
        self._fold_if_due()

    def _settle(self, batch: _Batch, error: BaseException | None = None) -> None:
        self._batch = None
        self._commit_waiting()
        batch.finish(error)
        if self._heard > self._last and self._batch is None:
            self._later(self._catch_up())

    def _append_after(self, batch: _Batch) -> None:
        """Take in what others appended and run the batch again, inside one transaction: nobody can come between."""

        last = self._last

        def make(records: list[str]) -> str | None:
            self._take_in_tail(last, records)
            self._run(batch)
            return batch.text or None

        def done(error: BaseException | None) -> None:
            if isinstance(error, Cold):
                self._again_after(self._warm(error.segments))
            elif isinstance(error, Conflict):
                self._again_after(self._reload())
            elif error is None and not batch.text:
                self._settle(batch)
            else:
                self._on_end(batch, error)

        try:
            self._connected().append_after(last, make, relaxed=batch.is_relaxed, done=done)
        except Lost as error:
            self._lose(batch, error)

    def _lose(self, batch: _Batch, error: Lost) -> None:
        """The connection broke: do it again over a new one, but not for ever."""
        for job in batch.jobs:
            job.losses += 1
        if max(job.losses for job in batch.jobs) > REOPENINGS:
            self._settle(batch, StorageError(str(error)))
        else:
            self._again_after(self._reconnect())

    def _again_after(self, work: Coroutine[Any, Any, None]) -> None:
        self._later(self._repeat(work))

    async def _repeat(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes time, then run the batch again, or tell it why not."""
        batch = self._batch
        assert batch is not None
        try:
            await work
        except (StorageError, Lost) as error:
            self._settle(batch, StorageError(str(error)) if isinstance(error, Lost) else error)
            return
        if batch.is_committed:
            self._settle(batch)
        else:
            self._again(batch)

    def _again(self, batch: _Batch) -> None:
        """Put the batch's jobs back in front of those that wait."""
        self._waiting = batch.jobs + self._waiting
        self._batch = None
        self._commit_waiting()

    # Other tabs

    def _on_commit_elsewhere(self, seq: int) -> None:
        is_new = seq > self._heard
        self._heard = max(self._heard, seq)
        if is_new and seq > self._last and self._batch is None and self._connection is not None:
            self._later(self._catch_up())

    def _on_wake(self) -> None:
        if self._batch is None and self._connection is not None:
            self._later(self._catch_up())

    async def _catch_up(self) -> None:
        """Take in what other handles have appended."""
        before = self._last
        records = await self._retried(lambda: self._connected().load_log(before))
        try:
            self._take_in_tail(before, records)
        except Conflict:
            await self._reload()

    def _take_in_tail(self, last: int, records: Sequence[str]) -> None:
        """Apply the records after ``last``; raise :class:`Conflict` if some of them were folded already."""
        for record in records[self._last - last :]:  # the first may have come another way meanwhile
            if is_folded(record):
                raise Conflict("another handle has folded what this one has not read")
            writes = self._take_in(record)
            if self._watchers:
                self._watchers.tell(touched_by(writes))

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back soon after another handle has written."""
        return self._watchers.add(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait to lead all tabs on this database."""
        self._check_usable()
        return await self._tabs.lead(lost)

    # The connection

    def _connected(self) -> Connection:
        if self._connection is None:
            raise self._gone or Lost("the browser closed the database")
        return self._connection

    async def _retried(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something that needs the connection; if that is lost, once more over a new one."""
        try:
            return await work()
        except Lost:
            await self._reconnect()
            return await work()

    async def _reconnect(self) -> None:
        """Open the database again."""
        if self._reopening is None:
            self._reopening = asyncio.ensure_future(self._reopen())
        await asyncio.shield(self._reopening)

    async def _reopen(self) -> None:
        """Open the database, and again while it breaks at once, as one does that is being deleted."""
        try:
            for attempt in range(REOPENINGS):
                try:
                    await self._open_again()
                    return
                except Lost:
                    if attempt == REOPENINGS - 1:
                        raise
                    await asyncio.sleep(REOPEN_AFTER_S * 2**attempt)
        except StorageReset as error:
            self._give_up(error)
            raise
        finally:
            self._reopening = None

    async def _open_again(self) -> None:
        """Open the database, which must be the same one; see whether the batch under way had been committed."""
        if self._gone is not None:
            raise self._gone
        self._disconnect()
        before = self._last
        await self._connect(None)
        records = await self._connected().load_log(before)
        await self._load()
        is_own = [bool(record) and unlabel(record)[0] == self._source for record in records]
        if self._batch is not None and any(is_own):
            self._batch.is_committed = True
        if not all(is_own):
            self._watchers.tell(None)

    # Folding

    def _fold_if_due(self) -> None:
        if self._fold_timer is None and not self._is_folding and self._is_long(1.0):
            self._fold_soon(FOLD_PUT_OFF)

    def _fold_soon(self, put_off: int) -> None:
        """Fold in a moment without commits, as there is one after a bulk load, but do not wait for it for ever."""
        last = self._last

        def fold() -> None:
            if self._last != last and put_off:
                self._fold_soon(put_off - 1)
            else:
                self._later(self._fold())

        self._fold_timer = asyncio.get_running_loop().call_later(FOLD_AFTER_S, fold)

    def _is_long(self, share: float) -> bool:
        if len(self._log) > FOLD_RECORDS * share:
            return True
        is_worth_a_look = self._log_chars > FOLD_CHARS * share
        return is_worth_a_look and self._log_chars > self._manifest.chars // 2 * share

    async def _fold(self) -> None:
        """Fold the log into segments, in one transaction; where another handle is faster, take over what it did."""
        self._fold_timer = None
        if self._is_folding:
            return
        self._is_folding = True
        try:
            while cold := self._table.cold():
                await self._warm(cold)
            before, folded, count = self._manifest, self._last, len(self._log)
            touched: dict[str, set[Key]] = defaultdict(set)
            for entry in self._log:
                for space, written in entry.writes:
                    touched[space].update(written)
            result = Fold([], [], {}, {})
            for unfinished in fold(before, self._table, touched):
                result = unfinished
                await asyncio.sleep(0)
            await self._put(result, result.manifest(before, folded), count)
        except Conflict:
            await self._reload()
        finally:
            self._is_folding = False

    async def _put(self, result: Fold, manifest: Manifest, count: int) -> None:
        """Put the result in the place of the log's first records."""
        keep = not await self._tabs.is_alone()
        log = {
            number: label(entry.source, "")
            for number, entry in enumerate(self._log[:count], manifest.folded - count + 1)
        }
        connection = self._connected()
        await connection.fold(manifest.text(), manifest.generation, result.new, result.gone, log, keep)
        self._manifest = manifest
        self._log_chars -= sum(entry.chars for entry in self._log[:count])
        del self._log[:count]

    async def usage(self) -> Usage:
        """Ask the browser how much this origin takes, may take, and is sure to keep."""
        self._check_usable()
        return Usage(*await idb.usage())

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Fold the log, whatever its length; sizes are in characters."""
        self._check_usable()
        before = self._manifest.chars + self._log_chars
        if self._log and self._log_chars >= share * before:
            await self._retried(self._fold)
        return before, self._manifest.chars + self._log_chars

    # The end

    async def close(self) -> None:
        """Finish the writes that wait, fold a long log, and close; a second call does nothing."""
        if isinstance(self._gone, _Closed):
            return
        while self._batch is not None and self._gone is None:
            await asyncio.wait([job.done for job in self._batch.jobs])
        if self._gone is None and self._connection is not None and self._is_long(FOLD_AT_CLOSE):
            await asyncio.gather(self._fold(), return_exceptions=True)
        self._gone = _Closed("the storage is closed")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._release()

    def _release(self) -> None:
        self._watchers.clear()
        self._tabs.close()
        if self._fold_timer is not None:
            self._fold_timer.cancel()
        self._disconnect()

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StorageError | Lost | Conflict):
            raise error  # the others come again with the next read or write


class _Closed(StorageError):
    """The handle was closed."""


def _merge(batch: _Batch, writes: Writes) -> None:
    if not batch.writes:
        batch.writes = writes
        return
    for space, written in writes.items():
        batch.writes.setdefault(space, {}).update(written)
