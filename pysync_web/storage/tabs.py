"""What the tabs of one browser know of each other on a database: that it changed, who is there, who leads.

A Web Lock makes the leader and passes on when its tab is gone. A frozen tab keeps its locks, so whoever waits to lead
asks the leader now and then whether it lives, and takes over when no answer comes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import js
from pyodide.ffi import create_once_callable, create_proxy

from ..errors import StorageError
from .idb import Prompt

ASK_S: Final = 2.0
"""How often a tab that waits to lead asks for the leader; two questions without an answer are enough."""

_HELLO, _WHO_LEADS, _I_LEAD = "hello", "who leads?", "I lead"

_WAKING: Final = ("visibilitychange", "resume")


class Tabs:
    """One handle's line to the others on the same database.

    ``on_commit`` hears the number of a log record that another handle has committed, ``on_wake`` that this one may
    have missed some. Who has never heard of another tells nobody, and answers the first who says hello.
    """

    def __init__(self, name: str, on_commit: Callable[[int], None], on_wake: Callable[[], None]) -> None:
        self._name = f"pysync_web:{name}"
        self._own = f"{self._name}:tab:{os.urandom(8).hex()}"
        self._on_commit = on_commit
        self._on_wake = on_wake
        self._has_company = False
        self._last = 0  # the last record that this handle has committed
        self._locks = getattr(js.navigator, "locks", None)  # there are none on an insecure origin
        self._channel: Any = None
        self._document: Any = getattr(js, "document", None)  # a worker has none
        self._listener: Any = None
        self._here: _Lock | None = None
        self._claims: list[_Lock] = []
        self._unanswered = 0

    def enter(self) -> None:
        """Be there for the others, and listen to them; nothing happens the second time."""
        if self._channel is None:
            self._channel = js.BroadcastChannel.new(self._name)
            self._channel.onmessage = self._listener = create_proxy(self._on_message)
            self._channel.postMessage(_HELLO)
            if self._locks is not None:
                self._here = _Lock(self._locks, self._own)
            if self._document:
                self._waker = create_proxy(lambda _: self._wake())
                for event in _WAKING:
                    self._document.addEventListener(event, self._waker)

    async def know_us(self) -> None:
        """Wait until the others can see that this handle is here."""
        if self._here is not None:
            await self._here.granted

    async def is_alone(self) -> bool:
        """Say whether this is surely the only handle on the database."""
        if self._locks is None:
            return False
        state = await self._locks.query()
        names = [lock.name for lock in state.held]
        return self._own in names and not any(
            name != self._own and name.startswith(f"{self._name}:tab:") for name in names
        )

    def tell(self, seq: int) -> None:
        """Say that log record ``seq`` is committed, if there is anybody to hear it."""
        self._last = seq
        if self._has_company and self._channel is not None:
            self._channel.postMessage(seq)

    def _wake(self) -> None:
        """The page is seen again, or was frozen: messages may have been missed."""
        if self._document.visibilityState == "visible":
            self._on_wake()

    def _on_message(self, event: Any) -> None:
        said = event.data
        self._has_company = True
        if said == _HELLO:
            self._channel.postMessage(self._last)
        elif said == _WHO_LEADS:
            if any(claim.is_held for claim in self._claims):
                self._channel.postMessage(_I_LEAD)
        elif said == _I_LEAD:
            self._unanswered = 0
        else:
            self._on_commit(int(said))

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait for the lock, or take it from a leader that does not answer; the result gives it up."""
        if self._locks is None:
            return lambda: None  # each tab leads for itself: what it sends twice, the server takes once
        claim = self._claim(_Lock(self._locks, f"{self._name}:lead", lost))
        self._unanswered = 0
        try:
            while not await claim.wait(ASK_S):
                if self._unanswered >= 2:
                    self._give_up(claim)
                    claim = self._claim(_Lock(self._locks, f"{self._name}:lead", lost, steal=True))
                self._unanswered += 1
                self._channel.postMessage(_WHO_LEADS)
        except BaseException:
            self._give_up(claim)
            raise
        return lambda: self._give_up(claim)

    def _claim(self, lock: _Lock) -> _Lock:
        self._claims.append(lock)
        return lock

    def _give_up(self, claim: _Lock) -> None:
        if claim in self._claims:
            self._claims.remove(claim)
        claim.release()

    def close(self) -> None:
        """Give leadership up, refuse it to those who wait, and listen no more."""
        for claim in list(self._claims):
            self._give_up(claim)
        if self._here is not None:
            self._here.release()
        if self._channel is not None:
            self._channel.onmessage = None
            self._channel.close()
            self._listener.destroy()
            self._channel = None
            if self._document:
                for event in _WAKING:
                    self._document.removeEventListener(event, self._waker)
                self._waker.destroy()


class _Lock:
    """A Web Lock, from when it is asked for until it is released or stolen."""

    def __init__(
        self, locks: Any, name: str, lost: Callable[[], None] | None = None, *, steal: bool = False
    ) -> None:
        self.granted = Prompt()
        self.is_held = False
        self._is_over = False
        self._lost = lost
        self._until = js.Promise.withResolvers()
        options = js.Object.new()
        options.steal = steal
        asked = locks.request(name, options, create_once_callable(self._on_grant))
        if lost is not None:
            self._end = create_proxy(self._on_end)
            asked.then(self._end, self._end)

    def _on_grant(self, _: Any) -> Any:
        self.is_held = not self._is_over
        self.granted.finish()
        return self._until.promise

    def _on_end(self, _: Any = None) -> None:
        """The lock was released or stolen."""
        self._end.destroy()
        was_held, self.is_held = self.is_held, False
        if was_held and self._lost is not None:
            self._lost()

    async def wait(self, seconds: float) -> bool:
        """Wait for the lock for so long; say whether it is there."""
        await asyncio.wait([self.granted], timeout=seconds)
        return self.granted.done() and self.granted.result() is None

    def release(self) -> None:
        """Give the lock up, or the wait for it: then it is released as soon as it is granted."""
        if not self._is_over:
            self._is_over, self.is_held = True, False
            self.granted.finish(error=StorageError("the storage is closed"))
            self.granted.exception()  # nobody need have waited
            self._until.resolve(None)
