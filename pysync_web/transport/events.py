"""Reads server-sent events from bytes as they come, in pieces of any size."""

from __future__ import annotations

from typing import Final

from ..deferred import dataclass
from ..errors import Unreachable

MAX_EVENT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name (``message`` if it has none) and its data."""

    name: str
    data: str


class EventReader:
    """Turns bytes into events; comments and fields that are not known are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, content: bytes) -> list[Event]:
        """Take the next bytes and give the events that they complete; raise ``Unreachable`` for an endless one."""
        lines = (self._rest + content).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        events = [event for line in lines if (event := self._line(line)) is not None]
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            raise Unreachable(f"an event of the stream is over {MAX_EVENT_BYTES} bytes")
        return events

    def _line(self, line: bytes) -> Event | None:
        """Take one line; an empty one ends an event."""
        if not line:
            return self._finish()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
            self._size += len(line)
        return None

    def _finish(self) -> Event | None:
        event = Event(self._name or "message", "\n".join(self._data)) if self._name or self._data else None
        self._name, self._data, self._size = "", [], 0
        return event
