"""Streams of pokes as server-sent events: a hint that something changed, never what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse

from ..errors import Rejected
from ..transport.pokes import Pokes
from .databases import Databases

EVENTS: Final = "text/event-stream"
_BYE: Final = b"event: bye\ndata: {}\n\n"


class Streams:
    """The open streams of a server."""

    def __init__(self, databases: Databases, *, most: int, ping_s: float) -> None:
        self._databases = databases
        self._most = most
        self._ping_s = ping_s
        self._open: set[Pokes] = set()
        self._ended = False

    async def respond(self, name: str) -> StreamingResponse:
        """Answer with a stream of a database's pokes; it need not exist yet."""
        if len(self._open) >= self._most:
            detail: dict[str, object] = {"limit": "streams", "maximum": self._most}
            message = f"This server keeps no more than {self._most} streams."
            raise Rejected(message, status=429, code="too_many_streams", detail=detail)
        reader = Pokes()
        reader.poke(await self._head(name))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(name, reader), headers=headers, media_type=EVENTS)

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

    async def _events(self, name: str, reader: Pokes) -> AsyncIterator[bytes]:
        self._open.add(reader)
        stop = self._databases.watch(name, reader)
        if self._ended:
            reader.end()
        try:
            event = b""
            while event != _BYE:
                event = await self._next(reader)
                yield event
        finally:
            stop()
            self._open.discard(reader)

    async def _next(self, reader: Pokes) -> bytes:
        """Give the next event, or a comment when there was none for some time."""
        try:
            async with asyncio.timeout(self._ping_s):
                head = await reader.next()
        except TimeoutError:
            return b": ping\n\n"
        if head is None:
            return _BYE
        return b'event: poke\ndata: {"server":%d}\n\n' % head
