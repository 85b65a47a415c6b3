"""What the tabs of one browser tell each other about a database: that it changed, who leads, that the leader lives.

A Web Lock makes the leader and passes on when its tab is gone. A frozen tab keeps its lock, so a leader also says
that it lives, and one that has been silent is taken over; what it still writes, its lease refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import js
from pyodide.ffi import create_proxy, to_js

HEARTBEAT_S: Final = 3.0
SILENCE_S: Final = 15.0


class Tabs:
    """One handle's line to the others on the same database."""

    def __init__(self, name: str, on_commit: Callable[[int], None]) -> None:
        self._lock_name = f"pysync_web:{name}:lead"
        self._on_commit = on_commit
        self._channel = js.BroadcastChannel.new(f"pysync_web:{name}")
        self._listener = create_proxy(self._on_message)
        self._channel.onmessage = self._listener
        self._heard = asyncio.get_running_loop().time()
        self._beat: asyncio.TimerHandle | None = None
        self._releases: list[Callable[[], None]] = []

    def told(self, seq: int) -> None:
        """Say that log record ``seq`` is committed."""
        self._channel.postMessage(seq)

    def _on_message(self, event: Any) -> None:
        self._heard = asyncio.get_running_loop().time() if event.data == -1 else self._heard
        if event.data > 0:
            self._on_commit(event.data)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait for the lock, or take it from a leader that has been silent; the result gives it up."""
        if not hasattr(js.navigator, "locks"):
            return lambda: None
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        claim = _Claim(self._lock_name, lost)
        try:
            while not await claim.wait(HEARTBEAT_S):
                if loop.time() - self._heard > SILENCE_S:
                    claim.cancel()
                    claim = _Claim(self._lock_name, lost, steal=True)
        except BaseException:
            claim.cancel()
            raise
        self._say_alive()

        def release() -> None:
            if self._beat is not None:
                self._beat.cancel()
            claim.cancel()
            if release in self._releases:
                self._releases.remove(release)

        self._releases.append(release)
        return release

    def _say_alive(self) -> None:
        self._channel.postMessage(-1)
        self._beat = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._say_alive)

    def close(self) -> None:
        """Give leadership up and listen no more."""
        for release in list(self._releases):
            release()
        self._channel.onmessage = None
        self._channel.close()
        self._listener.destroy()


class _Claim:
    """A request for a Web Lock, held from when it is granted until it is cancelled or stolen."""

    def __init__(self, name: str, lost: Callable[[], None], *, steal: bool = False) -> None:
        self._granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holding = js.Promise.withResolvers()
        self._abort = js.AbortController.new()
        self._lost = lost
        self._is_over = False
        options: dict[str, Any] = {"steal": True} if steal else {"signal": self._abort.signal}
        self._proxies = [create_proxy(self._on_grant), create_proxy(self._on_end)]
        asked = js.navigator.locks.request(
            name, to_js(options, dict_converter=js.Object.fromEntries), self._proxies[0]
        )
        asked.then(self._proxies[1], self._proxies[1])

    def _on_grant(self, _: Any) -> Any:
        if not self._granted.done():
            self._granted.set_result(None)
        return self._holding.promise

    def _on_end(self, _: Any = None) -> None:
        was_held = self._granted.done() and not self._granted.cancelled()
        if was_held and not self._is_over:
            self._lost()
        for proxy in self._proxies:
            proxy.destroy()

    async def wait(self, seconds: float) -> bool:
        """Wait for the lock for so long; tell whether it is held."""
        await asyncio.wait([self._granted], timeout=seconds)
        return self._granted.done()

    def cancel(self) -> None:
        """Give the lock up, or the wait for it."""
        if not self._is_over:
            self._is_over = True
            if self._granted.done():
                self._holding.resolve(None)
            else:
                self._abort.abort()
                self._granted.cancel()
