"""A database's newest sequence, as one reader waits for it; pokes between two looks count as one."""

from __future__ import annotations

import asyncio


class Pokes:
    """Takes pokes from anywhere in the event loop and hands the last one to a single reader."""

    def __init__(self) -> None:
        self._head: int | None = None
        self._ended = False
        self._news = asyncio.Event()

    def poke(self, head: int) -> None:
        """Note a new head; one that is not the highest seen is no news."""
        if self._head is None or head > self._head:
            self._head = head
            self._news.set()

    def end(self) -> None:
        """Let the reader know that no more comes."""
        self._ended = True
        self._news.set()

    async def next(self) -> int | None:
        """Wait for the next head; None says that it has ended."""
        await self._news.wait()
        if self._ended:
            return None
        self._news.clear()
        return self._head
