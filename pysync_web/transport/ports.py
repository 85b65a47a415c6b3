"""Message channels of a page: a BroadcastChannel, which all pages of its origin hear, ports, workers, WebSockets."""

from __future__ import annotations

import asyncio
from typing import Any

import js
from pyodide.ffi import create_proxy

from ..errors import InvalidDocument, SchemaError, Unreachable

_OPEN = 1


def channel_over(target: Any) -> PortChannel | WebSocketChannel:
    """Give the channel that fits; raise :class:`InvalidDocument` where none does."""
    if isinstance(target, str):
        return PortChannel(js.BroadcastChannel.new(target))
    if hasattr(target, "bufferedAmount") and hasattr(target, "readyState"):
        return WebSocketChannel(target)
    if hasattr(target, "postMessage"):
        return PortChannel(target)
    raise InvalidDocument(
        f"a channel of a page is over the name of a BroadcastChannel, a MessagePort, a worker or a WebSocket, "
        f"not over {target!r:.60}"
    )


class Heard:
    """What came and was not yet read."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._is_closed = False

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

    def _end(self) -> None:
        self._is_closed = True
        self._inbox.put_nowait(None)


class PortChannel(Heard):
    """A channel over anything in a page that has ``postMessage`` and ``onmessage``.

    It is heard from when it is made. That the other side is gone shows by its silence alone.
    """

    def __init__(self, port: Any) -> None:
        super().__init__()
        self._port = port
        self._on_message = create_proxy(lambda event: self._inbox.put_nowait(event.data))
        self._port.onmessage = self._on_message

    async def send(self, text: str) -> None:
        """Send a text; raise ``Unreachable`` once the channel was closed."""
        if self._is_closed:
            raise Unreachable("the channel is closed")
        self._port.postMessage(text)

    async def close(self) -> None:
        """Close the port, and hear from it no more; a second call does nothing."""
        if self._is_closed:
            return
        self._port.onmessage = None
        if hasattr(self._port, "close"):  # a worker has none
            self._port.close()
        self._on_message.destroy()
        self._end()


class WebSocketChannel(Heard):
    """A channel over a browser's WebSocket, heard from when it is made; what is sent before it is open waits."""

    def __init__(self, socket: Any) -> None:
        super().__init__()
        self._socket = socket
        self._ready = asyncio.Event()
        self._listeners = {
            "open": create_proxy(lambda event: self._ready.set()),
            "message": create_proxy(lambda event: self._inbox.put_nowait(event.data)),
            "close": create_proxy(lambda event: self._on_close()),
        }
        for name, listener in self._listeners.items():
            socket.addEventListener(name, listener)
        if socket.readyState == _OPEN:
            self._ready.set()
        elif socket.readyState > _OPEN:
            self._on_close()

    async def send(self, text: str) -> None:
        """Send a text; raise ``Unreachable`` where the connection is closed, broke, or never was."""
        await self._ready.wait()
        if self._is_closed:
            raise Unreachable("the channel is closed")
        self._socket.send(text)

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._socket.close()
        self._on_close()

    def _on_close(self) -> None:
        if self._is_closed:
            return
        for name, listener in self._listeners.items():
            self._socket.removeEventListener(name, listener)
            listener.destroy()
        self._ready.set()
        self._end()
