"""The loop that syncs by itself: one leader among all tabs and processes, woken by changes, pokes and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..clock import monotonic_ms
from ..core.ports import Random, Storage, Transport
from ..core.replica import LeaseLost, take_lease
from ..core.retry import RetryPolicy
from ..core.schedule import Schedule
from ..core.scope import Asked
from ..errors import CorruptData, DatabaseLocked, QuotaExceeded, StorageError, SyncError
from .hooks import log

POKES_PAUSE_S = 1.0
POKES_RETRY = RetryPolicy(base_s=POKES_PAUSE_S, cap_s=60.0)
STEADY_S = 10.0
"""A stream of pokes that stood for so long did not fail; one that broke sooner did, though it was opened."""

STORAGE_PAUSE_S = 5.0
"""How long to wait where the storage has no room, or no turn for us, before it is asked again."""


class Background:
    """Waits to lead, then syncs whenever the schedule says so, until it is stopped."""

    def __init__(
        self,
        storage: Storage,
        transport: Transport,
        schedule: Schedule,
        database: str,
        asked: Asked,
        sync: Callable[[int], Awaitable[None]],
        rng: Random,
    ) -> None:
        self._storage = storage
        self._transport = transport
        self._schedule = schedule
        self._database = database
        self._asked = asked
        self._sync = sync
        self._rng = rng
        self._woken = asyncio.Event()
        self._lost = asyncio.Event()
        self._reached = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stream: asyncio.Task[None] | None = None
        self.lease: int | None = None
        self.has_stream = False
        """Whether a stream of pokes stands: transports end those that are silent for too long."""

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

    def ask(self, asked: Asked) -> None:
        """Be poked for other collections, or other parts of them, from now on."""
        if [one[1:4] for one in asked.subscriptions] != [one[1:4] for one in self._asked.subscriptions] or (
            asked.collections != self._asked.collections
        ):
            if self._stream is not None:
                self._stream.cancel()
            self.reached()
        self._asked = asked

    def wake(self) -> None:
        """Look at the schedule again, and whether there may be a stream of pokes."""
        self._woken.set()
        if self._stream is not None and not self._may_follow():
            self._stream.cancel()

    def reached(self) -> None:
        """Note that the server may be there again: the stream of pokes is opened without a further wait."""
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
            await self._until_it_may_lead()
            self._lost.clear()
            release = await self._storage.lead(self._on_lost)
            try:
                self.lease = await self._storage.write(take_lease)
                self.reached()
                while not self._lost.is_set() and not self._schedule.is_blocked:
                    await self._step(self.lease)
            except LeaseLost as error:
                log.info("%s", error)
            except (QuotaExceeded, DatabaseLocked) as error:
                log.warning("the background sync waits: %s", error)
                await asyncio.sleep(STORAGE_PAUSE_S)
            except CorruptData:
                log.exception("the background sync met a damaged record, and goes on")
                await asyncio.sleep(STORAGE_PAUSE_S)
            except StorageError:
                log.exception("the background sync stopped")
                return
            except Exception:
                log.exception("the background sync failed, and goes on")
                await asyncio.sleep(STORAGE_PAUSE_S)
            finally:
                self.lease = None
                self.wake()
                release()

    async def _until_it_may_lead(self) -> None:
        """Leave the lead to others, whose credentials may be good, while those of this handle are not."""
        while self._schedule.is_blocked:
            self._woken.clear()
            await self._woken.wait()

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

    def _may_follow(self) -> bool:
        return self.lease is not None and self._schedule.wait_ms(monotonic_ms()) is not None

    async def _follow_pokes(self) -> None:
        """Keep a stream of pokes open while leading and online; each one brings the next sync forward."""
        failures = 0
        while True:
            pause = POKES_PAUSE_S
            if self._may_follow():
                began = time.monotonic()
                self._stream = asyncio.ensure_future(self._read_pokes())
                try:
                    await asyncio.wait([self._stream])
                finally:
                    self.has_stream = False
                    self._stream.cancel()
                    await asyncio.gather(self._stream, return_exceptions=True)
                    self._stream = None
                failures = 1 if time.monotonic() - began >= STEADY_S else failures + 1
                pause = POKES_RETRY.delay_s(failures, self._rng)
            await self._pause(pause)

    async def _read_pokes(self) -> None:
        """Read one stream to its end."""
        try:
            parts = (self._asked.subscriptions,) if self._asked.subscriptions else ()
            async for head in self._transport.pokes(self._database, self._asked.collections, *parts):
                self.has_stream = True
                self._schedule.on_poke(monotonic_ms(), head)
                self.wake()
        except SyncError as error:
            log.debug("the stream of pokes broke: %s", error)
        except Exception:
            log.exception("the stream of pokes broke")

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the server may be there again."""
        self._reached.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._reached.wait()
