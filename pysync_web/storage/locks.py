"""Locks among processes, on files of their own; the operating system releases what a dead process held."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DatabaseLocked, StorageError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> bool:
        try:
            os.lseek(file, 0, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        with suppress(OSError):  # it was not held
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


_FIRST_WAIT_S = 0.0002
_LONGEST_WAIT_S = 0.02


class FileLock:
    """An exclusive lock that other handles, in this process or another, can hold in turn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{path} can't be opened: {error.strerror}") from error

    def acquire(self) -> bool:
        """Take the lock, or say that somebody else has it."""
        return _try_lock(self._file)

    def release(self) -> None:
        """Give the lock back."""
        _unlock(self._file)

    def take(self, timeout_s: float) -> None:
        """Take the lock; raise :class:`DatabaseLocked` when others hold it for longer than the timeout."""
        try:
            if not _try_lock(self._file):
                self._wait(timeout_s)
        except BaseException:
            _unlock(self._file)  # a signal may have come when it was already taken
            raise

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock, which is taken as :meth:`take` does."""
        self.take(timeout_s)
        try:
            yield
        finally:
            _unlock(self._file)

    def _wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        while time.monotonic() < deadline:
            time.sleep(wait_s)
            if _try_lock(self._file):
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        raise DatabaseLocked(f"{self.path}: another process held the database for more than {timeout_s} s")

    def close(self) -> None:
        """Close the file, and so give up the lock."""
        os.close(self._file)
