"""The loop that syncs by itself: one leader among all tabs and processes, woken by changes, pokes and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..core.ports import Storage, Transport
from ..core.replica import LeaseLost, take_lease
from ..core.schedule import Schedule
from ..errors import DatabaseLocked, QuotaExceeded, StorageError, SyncError
from .hooks import log

POKES_PAUSE_S = 1.0
POKES_LONGEST_PAUSE_S = 60.0
STORAGE_PAUSE_S = 5.0
"""How long to wait where the storage has no room, or no turn for us, before it is asked again."""


def monotonic_ms() -> int:
    """The clock of schedules: it never jumps."""
    return time.monotonic_ns() // 1_000_000


class Background:
    """Waits to lead, then syncs whenever the schedule says so, until it is stopped."""

    def __init__(
        self,
        storage: Storage,
        transport: Transport,
        schedule: Schedule,
        database: str,
        sync: Callable[[int], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._transport = transport
        self._schedule = schedule
        self._database = database
        self._sync = sync
        self._woken = asyncio.Event()
        self._lost = asyncio.Event()
        self._reached = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.lease: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return bool(self._tasks)

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if not self._tasks:
            self._tasks = [
                asyncio.ensure_future(self._run()),
                asyncio.ensure_future(self._follow_pokes()),
            ]

    def wake(self) -> None:
        """Look at the schedule again."""
        self._woken.set()

    def reached(self) -> None:
        """Note that the server answers again: the stream of pokes is opened without a further wait."""
        self._reached.set()

    async def stop(self) -> None:
        """End the loop and give leadership up; what was in flight is safe to repeat."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.lease = None

    async def _run(self) -> None:
        while True:
            self._lost.clear()
            release = await self._storage.lead(self._on_lost)
            try:
                self.lease = await self._storage.write(take_lease)
                while not self._lost.is_set():
                    await self._step(self.lease)
            except LeaseLost as error:
                log.info("%s", error)
            except (QuotaExceeded, DatabaseLocked) as error:
                log.warning("the background sync waits: %s", error)
                await asyncio.sleep(STORAGE_PAUSE_S)
            except StorageError:
                log.exception("the background sync stopped")
                return
            finally:
                self.lease = None
                release()

    def _on_lost(self) -> None:
        self._lost.set()
        self._woken.set()

    async def _step(self, lease: int) -> None:
        """Sync if it is time, else sleep until it may be."""
        wait = self._schedule.wait_ms(monotonic_ms())
        if wait == 0:
            await self._sync(lease)
            return
        self._woken.clear()
        if self._lost.is_set():
            return
        try:
            async with asyncio.timeout(None if wait is None else wait / 1000):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _follow_pokes(self) -> None:
        """Keep a stream of pokes open while leading and online; each one brings the next sync forward."""
        pause = POKES_PAUSE_S
        while True:
            if self.lease is not None and self._schedule.wait_ms(monotonic_ms()) is not None:
                try:
                    async for head in self._transport.pokes(self._database):
                        pause = POKES_PAUSE_S
                        self._schedule.on_poke(monotonic_ms(), head)
                        self.wake()
                        if self.lease is None or not self._schedule.is_online:
                            break
                except SyncError as error:
                    log.debug("the stream of pokes broke: %s", error)
                pause = min(pause * 2, POKES_LONGEST_PAUSE_S)
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the server answers again."""
        self._reached.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reached.wait()
