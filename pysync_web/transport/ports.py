"""Message channels of a page: a BroadcastChannel, which all pages of an origin hear, a MessagePort, or a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import js
from pyodide.ffi import create_proxy

from ..errors import SchemaError, Unreachable


class PortChannel:
    """A channel over anything in a page that has ``postMessage`` and ``onmessage``; a name makes a BroadcastChannel.

    It is heard from when it is made. Only a port's own end is told by the browser, a page's disappearance by silence.
    """

    def __init__(self, target: Any) -> None:
        self._port: Any = js.BroadcastChannel.new(target) if isinstance(target, str) else target
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._is_closed = False
        self._on_message = create_proxy(lambda event: self._inbox.put_nowait(event.data))
        self._on_close = create_proxy(lambda _: self._end())
        self._port.onmessage = self._on_message
        self._port.onclose = self._on_close

    async def send(self, text: str) -> None:
        """Send a text; raise ``Unreachable`` once the channel was closed."""
        if self._is_closed:
            raise Unreachable("the channel is closed")
        self._port.postMessage(text)

    async def receive(self) -> str:
        """Wait for the next text; raise ``Unreachable`` once the channel was closed and all has been read."""
        if self._is_closed and self._inbox.empty():
            raise Unreachable("the channel is closed")
        data = await self._inbox.get()
        if data is None and self._is_closed:
            raise Unreachable("the channel is closed")
        if not isinstance(data, str):
            raise SchemaError("a text was due", place="message")
        return data

    async def close(self) -> None:
        """Close the port, and hear from it no more; a second call does nothing."""
        if self._port is None:
            return
        self._port.onmessage = self._port.onclose = None
        close = getattr(self._port, "close", None)
        if close is not None:
            self._port.close()
        self._end()
        self._port = None
        self._on_message.destroy()
        self._on_close.destroy()

    def _end(self) -> None:
        """Let who waits know that no more comes."""
        if not self._is_closed:
            self._is_closed = True
            self._inbox.put_nowait(None)
