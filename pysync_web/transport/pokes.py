"""A database's newest sequence, as one reader waits for it; pokes between two looks count as one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence, Set

from ..core.wire import Subscription


class Pokes:
    """Takes pokes from anywhere in the event loop and hands the last one to a single reader.

    ``collections`` are those that the reader wants to hear of; None means all. Of those of ``parts`` it wants to hear
    of what their filters let through; whoever pokes looks at that.
    """

    def __init__(self, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()) -> None:
        self.parts = tuple(parts)
        self.seen = 0
        """The sequence up to which the reader was told everything that it wants to hear of."""
        self._partial = frozenset(one.collection for one in parts)
        self._collections = None if collections is None else frozenset(collections) - self._partial
        self._head: int | None = None
        self._doubt = 0
        self._ended = False
        self._news = asyncio.Event()

    @property
    def is_doubtful(self) -> bool:
        """Whether something of which the reader wants a part has changed, and nobody has looked at it."""
        return self._doubt > self.seen

    def poke(self, head: int, touched: Set[str] | None = None) -> None:
        """Note a new head; one that is not the highest seen, or touched nothing that is wanted, is no news.

        ``touched`` None says that any collection may have changed.
        """
        if touched is None or self._wants_all_of(touched):
            self.tell(head, is_news=True)
        elif not self._partial.isdisjoint(touched):
            self._doubt = max(self._doubt, head)

    def tell(self, head: int, *, is_news: bool) -> None:
        """Note whether there is anything for the reader up to a head."""
        self.seen = max(self.seen, head)
        if is_news and (self._head is None or head > self._head):
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

    def _wants_all_of(self, touched: Set[str]) -> bool:
        if self._collections is None:
            return not touched <= self._partial
        return not self._collections.isdisjoint(touched)
