"""When to sync next, as a pure state machine: events go in with the time, the next due time comes out.

All times are milliseconds of one clock that the caller owns.
"""

from __future__ import annotations

from dataclasses import dataclass

DEBOUNCE_MS = 50
"""The first save of a burst is sent at once; those that follow within this time are sent together."""


@dataclass(slots=True)
class Schedule:
    """Due after a local change, a poke, the interval, or a retry; never while offline, paused or blocked."""

    interval_ms: int
    push_on_change: bool = True
    is_online: bool = True
    is_paused: bool = False
    is_blocked: bool = False
    _due_ms: int | None = None
    _not_before_ms: int = 0
    _poked: int = 0
    _changed_ms: int | None = None
    _send_ms: int = -DEBOUNCE_MS

    def on_start(self, now_ms: int, not_before_ms: int = 0) -> None:
        """Begin: sync at once, or when a wait that was begun before a restart is over."""
        self._not_before_ms = not_before_ms
        self._due_ms = now_ms

    def on_change(self, now_ms: int) -> None:
        """Note a local change."""
        if not self.push_on_change:
            return
        self._changed_ms = now_ms
        if self._send_ms <= now_ms:
            self._send_ms = max(now_ms, self._send_ms + DEBOUNCE_MS)
        self._bring_forward(self._send_ms)

    def on_poke(self, now_ms: int, head: int) -> None:
        """Note that the server may have something new, up to a sequence."""
        self._poked = max(self._poked, head)
        self._bring_forward(now_ms)

    def on_online(self, now_ms: int, is_online: bool) -> None:
        """Note that the network came or went; when it comes, waits are over."""
        if is_online and not self.is_online:
            self._not_before_ms = 0
            self._due_ms = now_ms
        self.is_online = is_online

    def on_resume(self, now_ms: int) -> None:
        """End a pause or a block (new credentials): sync at once."""
        self.is_paused = self.is_blocked = False
        self._not_before_ms = 0
        self._due_ms = now_ms

    def on_success(self, now_ms: int, *, cursor: int | None = None, looked_ms: int | None = None) -> None:
        """Note a sync that went through, up to a cursor, and looked for changes last at ``looked_ms``.

        A poke or a change that it did not see makes the next one due. Whatever blocked is over.
        """
        self.is_blocked = False
        self._not_before_ms = 0
        has_missed = cursor is not None and self._poked > cursor
        self._due_ms = now_ms if has_missed else now_ms + self.interval_ms
        if looked_ms is not None and self._changed_ms is not None and self._changed_ms >= looked_ms:
            self._bring_forward(self._send_ms)
        if cursor is not None:
            self._poked = 0  # a server that began anew counts from below

    def on_failure(self, now_ms: int, delay_ms: int) -> None:
        """Note a sync that failed and may be tried again after a delay."""
        self._not_before_ms = now_ms + delay_ms
        self._due_ms = self._not_before_ms

    def wait_ms(self, now_ms: int) -> int | None:
        """Give the time until a sync is due, 0 for now, or None where only an event can make one due."""
        if not self.is_online or self.is_paused or self.is_blocked or self._due_ms is None:
            return None
        return max(0, max(self._due_ms, self._not_before_ms) - now_ms)

    def _bring_forward(self, due_ms: int) -> None:
        if self._due_ms is None or due_ms < self._due_ms:
            self._due_ms = due_ms
