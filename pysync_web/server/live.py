"""Streams of pokes as server-sent events: a hint that something changed, never what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..core.wire import Subscription
from ..errors import Rejected
from ..transport.pokes import Pokes
from .databases import Databases

EVENTS: Final = "text/event-stream"
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_BYE: Final = b"event: bye\ndata: {}\n\n"


class Streams:
    """The open streams of a server. ``on_poke`` is called for each poke that is sent."""

    def __init__(
        self, databases: Databases, *, most: int, ping_s: float, on_poke: Callable[[], None] = lambda: None
    ) -> None:
        self._databases = databases
        self._most = most
        self._ping_s = ping_s
        self._on_poke = on_poke
        self._open: set[Pokes] = set()
        self._ended = False

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._open)

    async def respond(
        self, name: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> StreamingResponse:
        """Answer with a stream of a database's pokes, which need not exist yet, of all collections or of some.

        Of the collections of ``parts`` only what their filters let through is news.

        The first event says the head, and after how many seconds of silence there is a sign of life.
        """
        if len(self._open) >= self._most:
            detail: dict[str, object] = {"limit": "streams", "maximum": self._most}
            message = f"This server keeps no more than {self._most} streams."
            raise Rejected(message, status=429, code="too_many_streams", detail=detail)
        reader = Pokes(collections, parts)
        self._open.add(reader)
        stop = self._databases.watch(name, reader)

        def leave() -> None:
            stop()
            self._open.discard(reader)

        try:
            reader.poke(await self._head(name))
        except BaseException:
            leave()
            raise
        if self._ended:
            reader.end()
        return _Response(self._events(reader), leave)

    async def _head(self, name: str) -> int:
        if not self._databases.exists(name):
            return 0
        async with self._databases.use(name) as hub:
            return await hub.head()

    def end(self) -> None:
        """Say goodbye on every stream, and at once on those still to come."""
        self._ended = True
        for reader in self._open:
            reader.end()

    async def _events(self, reader: Pokes) -> AsyncIterator[bytes]:
        more = b',"ping_s":%g' % self._ping_s
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    head = await reader.next()
            except TimeoutError:
                yield b": ping\n\n"
                continue
            if head is None:
                yield _BYE
                return
            self._on_poke()
            yield b'event: poke\ndata: {"server":%d%b}\n\n' % (head, more)
            more = b""


class _Response(StreamingResponse):
    """A stream that is left when it has been answered, however that ends."""

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None]) -> None:
        super().__init__(events, headers=_HEADERS, media_type=EVENTS)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()
