"""A database's newest sequence, as one reader waits for it; pokes between two looks count as one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Set


class Pokes:
    """Takes pokes from anywhere in the event loop and hands the last one to a single reader.

    ``collections`` are those that the reader wants to hear of; None means all.
    """

    def __init__(self, collections: Collection[str] | None = None) -> None:
        self._collections = None if collections is None else frozenset(collections)
        self._head: int | None = None
        self._ended = False
        self._news = asyncio.Event()

    def poke(self, head: int, touched: Set[str] | None = None) -> None:
        """Note a new head; one that is not the highest seen, or touched nothing that is wanted, is no news.

        ``touched`` None says that any collection may have changed.
        """
        if touched is not None and self._collections is not None and self._collections.isdisjoint(touched):
            return
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
