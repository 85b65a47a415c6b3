"""A transport to a hub in the same process, through the same texts and the same refusals as over the network."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from ..clock import now_ms
from ..core.ports import Random
from ..core.wire import MAX_BODY_BYTES, Subscription, decode_request
from ..errors import SyncError, Unreachable
from .pokes import Pokes
from .problems import body_too_large, refusal_of

if TYPE_CHECKING:
    from ..core.hub import Hub


class LocalTransport:
    """Exchanges with an open :class:`~pysync_web.core.hub.Hub`, whatever the name of the database."""

    def __init__(self, hub: Hub, clock: Callable[[], int] = now_ms, rng: Random | None = None) -> None:
        self._hub = hub
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._streams: set[Pokes] = set()
        self._closed = False

    async def exchange(self, database: str, body: str) -> str:
        """Decode a request, let the hub decide, give the answer's text; raise as any transport does."""
        self._check_open()
        size = len(body.encode("utf-8"))
        if size > MAX_BODY_BYTES:
            raise body_too_large(size, MAX_BODY_BYTES).error()
        try:
            request = decode_request(body, database=database)
            return (await self._hub.exchange(request, self._clock(), self._rng)).text()
        except SyncError as error:
            raise refusal_of(error).error() from error

    async def pokes(
        self, database: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> AsyncIterator[int]:
        """Yield the hub's head at once and after each commit, of these collections; ends when this is closed.

        Of the collections of ``parts`` it tells everything: who is in the same process can look for itself.
        """
        self._check_open()
        names = [*(collections or ()), *(one.collection for one in parts)]
        stream = Pokes(None if collections is None else names)
        self._streams.add(stream)
        stop = self._hub.watch(stream.poke)
        try:
            stream.poke(await self._hub.head())
            while (head := await stream.next()) is not None:
                yield head
        finally:
            stop()
            self._streams.discard(stream)

    async def ping(self) -> float:
        """Give the seconds that reaching the hub takes."""
        self._check_open()
        begin = time.perf_counter()
        await self._hub.head()
        return time.perf_counter() - begin

    async def close(self) -> None:
        """End the streams and refuse further requests; the hub stays open."""
        self._closed = True
        for stream in self._streams:
            stream.end()

    def _check_open(self) -> None:
        if self._closed:
            raise Unreachable("this transport was closed")
