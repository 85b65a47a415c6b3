"""Message channels between two devices: a pair in memory, and any connection with ``send`` and ``recv`` coroutines.

A channel carries texts in order, or breaks; what to do then is for the two who meet over it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..core.arguments import check_members
from ..core.ports import Channel
from ..errors import SchemaError, SyncError, Unreachable


class MemoryChannel:
    """One end of a pair in memory; it takes any number of messages without waiting for their reader."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._other: MemoryChannel | None = None
        self._is_closed = False

    def connect(self, other: MemoryChannel) -> None:
        """Let what is sent here arrive there."""
        self._other = other

    async def send(self, text: str) -> None:
        """Send a text; raise ``Unreachable`` once either end was closed."""
        if self._is_closed or self._other is None:
            raise Unreachable("the channel is closed")
        self._other._inbox.put_nowait(text)

    async def receive(self) -> str:
        """Wait for the next text; raise ``Unreachable`` once either end was closed and all has been read."""
        if self._is_closed and self._inbox.empty():
            raise Unreachable("the channel is closed")
        text = await self._inbox.get()
        if text is None:
            raise Unreachable("the channel is closed")
        return text

    async def close(self) -> None:
        """Close both ends; a second call does nothing."""
        for end in (self, self._other):
            if end is not None and not end._is_closed:
                end._is_closed = True
                end._inbox.put_nowait(None)


def channel_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Give the two ends of a channel inside this process."""
    one, other = MemoryChannel(), MemoryChannel()
    one.connect(other)
    other.connect(one)
    return one, other


def page_channel(target: Any) -> Channel:
    """Give a channel of a page: over the BroadcastChannel of a name, a MessagePort, a worker, or its own WebSocket.

    Raises :class:`InvalidDocument` for anything else.
    """
    try:
        from .ports import channel_over
    except ImportError as error:
        raise SyncError("there are no BroadcastChannels and MessagePorts but in a page") from error
    return channel_over(target)


class Socket(Protocol):
    """What a WebSocket looks like to this library, as the package ``websockets`` has it on either side."""

    async def send(self, message: Any, /) -> None:
        """Send a text."""
        ...

    async def recv(self) -> Any:
        """Wait for a message."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class SocketChannel:
    """A channel over a WebSocket of the package ``websockets``, or one like it, that is open, on either side.

    Over a browser's own, in a page, :func:`page_channel` gives one. The socket has to take messages of a million
    characters, as ``websockets`` does unless it is told otherwise.
    """

    def __init__(self, socket: Socket) -> None:
        check_members("socket: an object", socket, ("send", "recv", "close"))
        self._socket = socket

    async def send(self, text: str) -> None:
        """Send a text; raise ``Unreachable`` where the connection is closed or broke."""
        try:
            await self._socket.send(text)
        except Exception as error:
            raise Unreachable(f"the connection broke: {error or type(error).__name__}") from error

    async def receive(self) -> str:
        """Wait for the next text; raise ``Unreachable`` where the connection is closed or broke."""
        try:
            message = await self._socket.recv()
        except Exception as error:
            raise Unreachable(f"the connection broke: {error or type(error).__name__}") from error
        if not isinstance(message, str):
            raise SchemaError(f"a text was due, not {type(message).__name__}", place="message")
        return message

    async def close(self) -> None:
        """Close the connection; a second call does nothing."""
        await self._socket.close()
