"""What handles on one SQLite file know of each other: what others wrote, and who leads.

Nobody is told by SQLite: a handle that watches looks at a counter a few times a second, and reads on when it moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..core.ports import Touched
from ..errors import StorageError, StorageReset
from .locks import FileLock
from .watchers import Watchers

_LOOK_S = 0.1
_TRY_S = 0.05


class Changes(Protocol):
    """What other handles write to a file."""

    def changes_of_others(self) -> list[Touched]:
        """Give what others wrote since the last call."""
        ...


class Neighbours:
    """The other handles on a file, as one handle sees them."""

    def __init__(self, path: Path, changes: Changes) -> None:
        self._changes = changes
        self._lead_path = Path(f"{path}.lock")
        self._leading: list[FileLock] = []
        self._watchers = Watchers()
        self._look: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_reset = False  # as far as watchers have been told

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back after others have committed."""
        if not self._watchers:
            self._changes.changes_of_others()  # what was before is no news
        stop = self._watchers.add(callback)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_now)
        return stop

    def _look_now(self) -> None:
        self._look = None
        if self._is_closed or not self._watchers:
            return
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_now)
        try:
            for touched in self._changes.changes_of_others():
                self._watchers.tell(touched)
            self._is_reset = False
        except StorageReset:
            if not self._is_reset:
                self._watchers.tell(None)  # who watches reads, and so hears why
            self._is_reset = True
        except StorageError:
            pass  # the next read or write says so to somebody who can act

    async def lead(self) -> Callable[[], None]:
        """Wait for the lock that makes a handle the leader; the result gives it up."""
        self._check_open()
        lock = FileLock(self._lead_path)
        try:
            while not lock.acquire():
                await asyncio.sleep(_TRY_S)
                self._check_open()
        except BaseException:
            lock.close()
            raise
        self._leading.append(lock)
        return lambda: self._give_up(lock)

    def _give_up(self, lock: FileLock) -> None:
        if lock in self._leading:
            self._leading.remove(lock)
            lock.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("the storage is closed")

    def close(self) -> None:
        """Lead and watch no more."""
        self._is_closed = True
        self._watchers.clear()
        for lock in list(self._leading):
            self._give_up(lock)
        if self._look is not None:
            self._look.cancel()
