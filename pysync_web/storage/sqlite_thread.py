"""Storage in an SQLite file for a server: writes share a commit, and the event loop never waits for the disk.

One thread has the one connection that writes. Whatever waits when it comes round is one transaction, each body
in a savepoint of its own. Reads run at once in the caller's thread, on a connection that can't write.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread, get_ident
from typing import Any, Final, TypeVar

from ..core.ports import ReadTransaction, Touched, Usage, WriteTransaction
from ..errors import DatabaseLocked, StorageError, TransactionError
from .processes import Neighbours
from .sqlite import Body, DatabaseFile, Outcome

T = TypeVar("T")

_MOST_AT_ONCE: Final = 64


class ThreadedSqliteStorage:
    """A handle on a database file with a thread that writes."""

    def __init__(self, path: str | os.PathLike[str], *, is_relaxed: bool, busy_timeout_s: float) -> None:
        self._is_relaxed = is_relaxed
        self._is_closed = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        opened: Future[DatabaseFile] = Future()
        work = _work(path, busy_timeout_s, opened, self._jobs)
        # A loop of the thread's own, so that a body which awaits something foreign gets that far, and is told.
        self._thread = Thread(target=asyncio.run, args=(work,), name="pysync-write", daemon=True)
        self._thread.start()
        writer = opened.result()
        self._file = DatabaseFile(writer.path, busy_timeout_s=busy_timeout_s, writer=writer)
        self._neighbours = Neighbours(writer.path, self._file)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, durability: str = "strict", busy_timeout_s: float = 5.0
    ) -> ThreadedSqliteStorage:
        """Open a file, or make it."""
        return cls(path, is_relaxed=durability == "relaxed", busy_timeout_s=busy_timeout_s)

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over one snapshot of the file, at once."""
        self._check_caller()
        return self._file.read(body)

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body in the writing thread, and return when what it wrote is durable."""
        is_relaxed = relaxed or self._is_relaxed
        result: T = await self._done(body, is_relaxed, lambda file: file.write(body, relaxed=is_relaxed))
        return result

    async def usage(self) -> Usage:
        """Tell the size of the file with its log, and what the disk has room for."""
        self._check_caller()
        return self._file.usage()

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Write the file anew in the writing thread; writes wait meanwhile, reads go on."""
        result: tuple[int, int] = await self._done(None, True, lambda file: file.compact(share))
        return result

    async def _done(self, body: Body | None, is_relaxed: bool, alone: Callable[[DatabaseFile], Any]) -> Any:
        """Let the writing thread do something, and wait for it."""
        self._check_caller()
        loop = asyncio.get_running_loop()
        job = _Job(body, is_relaxed, alone, loop.create_future(), loop)
        self._jobs.put(job)
        return await job.done

    def _check_caller(self) -> None:
        if self._is_closed:
            raise StorageError("the storage is closed")
        if self._file.is_busy or get_ident() == self._thread.ident:
            raise TransactionError("a body may not begin another transaction")

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back when others have written, within some tenths of a second."""
        return self._neighbours.watch(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait until no other handle leads; nobody ever takes it away."""
        return await self._neighbours.lead()

    async def close(self) -> None:
        """Finish the writes that wait, and close the file; a second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._neighbours.close()
            self._file.close()
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)


@dataclass(frozen=True, slots=True)
class _Job:
    """A body that waits to be run, and whom to tell; without a body something else, which is done ``alone``."""

    body: Body | None
    is_relaxed: bool
    alone: Callable[[DatabaseFile], Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


async def _work(
    path: str | os.PathLike[str],
    busy_timeout_s: float,
    opened: Future[DatabaseFile],
    jobs: SimpleQueue[_Job | None],
) -> None:
    """Open the file, then write until there comes None. Runs in the thread, and never lets its loop run."""
    try:
        file = DatabaseFile(path, busy_timeout_s=busy_timeout_s)
    except BaseException as error:
        opened.set_exception(error)
        return
    opened.set_result(file)
    is_last = False
    while not is_last:
        waiting, is_last = _waiting(jobs)
        if waiting:
            _deliver(waiting, _run_together(file, waiting))
    file.close()


def _waiting(jobs: SimpleQueue[_Job | None]) -> tuple[list[_Job], bool]:
    """Wait for a job; give it and those behind it, and whether there will be no more."""
    found: list[_Job] = []
    job = jobs.get()
    while job is not None:
        found.append(job)
        if len(found) == _MOST_AT_ONCE:
            return found, False
        try:
            job = jobs.get_nowait()
        except Empty:
            return found, False
    return found, True


def _run_together(file: DatabaseFile, jobs: Sequence[_Job]) -> list[Outcome]:
    """Run all bodies in one commit; if that fails as a whole, each in its own."""
    bodies = [job.body for job in jobs if job.body is not None]
    if len(jobs) == len(bodies) > 1:
        try:
            return file.write_group(bodies, relaxed=all(job.is_relaxed for job in jobs))
        except DatabaseLocked as error:
            return [(None, error)] * len(jobs)  # they have waited long enough
        except Exception:
            pass  # below each body learns what is wrong
    return [_run_alone(file, job) for job in jobs]


def _run_alone(file: DatabaseFile, job: _Job) -> Outcome:
    try:
        return job.alone(file), None
    except BaseException as error:
        return None, error


def _deliver(jobs: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
    """Tell each event loop, once, what became of its jobs."""
    for loop in {job.loop for job in jobs}:
        own = [(job.done, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if job.loop is loop]
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, own)


def _resolve(outcomes: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for done, (result, error) in outcomes:
        if done.done():
            continue
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
