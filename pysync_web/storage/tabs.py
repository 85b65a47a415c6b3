"""What the tabs of one browser know of each other on a database: that it changed, who is there, who leads.

A Web Lock makes the leader and passes on when its tab is gone. A frozen tab keeps its locks, so whoever waits to lead
asks the leader now and then whether it lives, and takes over when no answer comes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import js
from pyodide.ffi import JsException, create_proxy

from ..errors import StorageError

ASK_S: Final = 2.0
"""How often a tab that waits to lead asks for the leader; two questions without an answer are enough."""

_WHO_LEADS, _I_LEAD = "who leads?", "I lead"


class Tabs:
    """One handle's line to the others on the same database."""

    def __init__(self, name: str, on_commit: Callable[[int], None]) -> None:
        self._name = f"pysync_web:{name}"
        self._on_commit = on_commit
        self._channel = js.BroadcastChannel.new(self._name)
        self._listener = create_proxy(self._on_message)
        self._channel.onmessage = self._listener
        self._locks = getattr(js.navigator, "locks", None)  # there are none on an insecure origin
        self._own = f"{self._name}:tab:{secrets.token_hex(8)}"
        self._here = _Lock(self._locks, self._own) if self._locks else None
        self._claims: list[_Lock] = []
        self._unanswered = 0
        self._is_closed = False

    async def are_known(self) -> None:
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
        """Say that log record ``seq`` is committed."""
        if not self._is_closed:
            self._channel.postMessage(seq)

    def _on_message(self, event: Any) -> None:
        said = event.data
        if said == _WHO_LEADS:
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
        self._is_closed = True
        for claim in list(self._claims):
            self._give_up(claim)
        if self._here is not None:
            self._here.release()
        self._channel.onmessage = None
        self._channel.close()
        self._listener.destroy()


class _Lock:
    """A Web Lock, from when it is asked for until it is released or stolen."""

    def __init__(
        self, locks: Any, name: str, lost: Callable[[], None] | None = None, *, steal: bool = False
    ) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_held = False
        self._lost = lost
        self._is_over = False
        self._abort = js.AbortController.new()
        self._until = js.Promise.withResolvers()
        self._proxies = [create_proxy(self._on_grant), create_proxy(self._on_end)]
        options = js.Object.new()
        if steal:
            options.steal = True
        else:
            options.signal = self._abort.signal
        asked = locks.request(name, options, self._proxies[0])
        asked.then(self._proxies[1], self._proxies[1])

    def _on_grant(self, _: Any) -> Any:
        self.is_held = True
        if not self.granted.done():
            self.granted.set_result(None)
        return self._until.promise

    def _on_end(self, _: Any = None) -> None:
        """The lock was released, was refused, or was stolen."""
        was_held, self.is_held = self.is_held, False
        for proxy in self._proxies:
            proxy.destroy()
        if was_held and not self._is_over and self._lost is not None:
            self._is_over = True
            self._lost()

    async def wait(self, seconds: float) -> bool:
        """Wait for the lock for so long; say whether it is there."""
        await asyncio.wait([self.granted], timeout=seconds)
        if not self.granted.done():
            return False
        self.granted.result()
        return True

    def release(self) -> None:
        """Give the lock up, or the wait for it."""
        if self._is_over:
            return
        self._is_over = True
        if not self.granted.done():
            self.granted.set_exception(StorageError("the storage is closed"))
            self.granted.exception()  # nobody need have waited
        with suppress(JsException):
            self._abort.abort()
        self._until.resolve(None)
