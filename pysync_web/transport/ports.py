"""Message channels of a page: a BroadcastChannel, which all pages of an origin hear, a MessagePort, or a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import js
from pyodide.ffi import create_proxy

from ..errors import SchemaError, Unreachable


class PortChannel:
    """A channel over anything in a page that has ``postMessage`` and ``onmessage``; a name makes a BroadcastChannel.

    It is heard from when it is made. That the other side is gone shows by its silence alone.
    """

    def __init__(self, target: Any) -> None:
        self._port: Any = js.BroadcastChannel.new(target) if isinstance(target, str) else target
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._is_closed = False
        self._on_message = create_proxy(lambda event: self._inbox.put_nowait(event.data))
        self._port.onmessage = self._on_message

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
        if self._is_closed:
            return
        self._is_closed = True
        self._port.onmessage = None
        if hasattr(self._port, "close"):  # a worker has none
            self._port.close()
        self._on_message.destroy()
        self._inbox.put_nowait(None)
