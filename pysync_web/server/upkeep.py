"""What a server does by itself: documents expire, what is older than the retention time is forgotten, files shrink.

Databases that are open have their turn every minute, all others once an hour, opened for that one after the other.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import Final

from ..clock import now_ms
from ..core.tending import Tended
from ..errors import SyncError
from .databases import Databases

EVERY_S: Final = 60.0
ALL_EVERY: Final = 60
"""Each so manieth turn is one of all databases; the first is one too."""

WORTH_IT: Final = 0.5
"""A file is written anew where at least this share of it is free."""

DAY_MS: Final = 86_400_000

logger = logging.getLogger("pysync_web.server")


class Upkeep:
    """The upkeep of a server's databases; deletes and op ids are kept for ``retention_days``."""

    def __init__(self, databases: Databases, retention_days: float) -> None:
        self._databases = databases
        self._retention_ms = round(retention_days * DAY_MS)
        self._rng = random.SystemRandom()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first turn comes at once."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End after the transaction that is under way; the next start goes on from there."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        turn = 0
        while True:
            await self.turn(is_for_all=turn % ALL_EVERY == 0)
            turn += 1
            await asyncio.sleep(EVERY_S)

    async def turn(self, *, is_for_all: bool) -> None:
        """Tend the open databases, or all; one that fails has its next turn like any other."""
        for name in self._databases.names(is_for_all=is_for_all):
            try:
                await self.tend(name)
            except SyncError as error:
                logger.warning("upkeep of %r: %s", name, error)
            except Exception:
                logger.exception("upkeep of %r", name)

    async def tend(self, name: str) -> Tended:
        """Let what has expired be deleted and what is old be forgotten, and give room back where that is worth it."""
        now = now_ms()
        async with self._databases.borrow(name) as hub:
            done = await hub.tend(now, now - self._retention_ms, self._rng)
            if done.forgotten:
                await hub.compact(share=WORTH_IT)
        return done

    async def compact(self, name: str) -> tuple[int, int]:
        """Tend a database and write its file anew in any case; give the bytes before and after."""
        async with self._databases.borrow(name) as hub:
            await self.tend(name)
            return await hub.compact()
