"""How the syncs of a manager have gone, and when the next may be tried. A wait that was begun outlives a restart."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..clock import monotonic_ms, now_ms
from ..core.exchange import load_sync
from ..core.ports import ReadTransaction, Storage, WriteTransaction
from ..core.schedule import Schedule
from ..errors import QuotaExceeded, Rejected, StorageError, SyncError, Unauthorized, Unreachable
from ..values import JSON, dumps, loads
from .config import SyncConfig

_RETRY, _LAST = ("retry",), ("last",)


class Standing:
    """Notes how each sync ended, and tells the schedule."""

    def __init__(self, storage: Storage, config: SyncConfig, schedule: Schedule, rng: Any) -> None:
        self._storage = storage
        self._config = config
        self._schedule = schedule
        self._rng = rng
        self.attempt = 0
        """How many syncs have failed since the last one that did not."""
        self.last_error: str | None = None
        self.last_sync_ms: int | None = None
        self.last_duration_s: float | None = None
        self.blocked_by: str | None = None
        self._next_retry_ms: int | None = None  # on the clock that never jumps

    @property
    def waits_s(self) -> float | None:
        """How long it is until the next try, None where there is none to be waited for."""
        return None if self._next_retry_ms is None else max(0.0, (self._next_retry_ms - monotonic_ms()) / 1000)

    async def load(self) -> None:
        """Go on with a wait that was begun before a restart."""
        text, last = await self._storage.read(_read)
        if last is not None:
            stored = loads(last)
            self.last_sync_ms, self.last_duration_s = stored["at_ms"], stored["duration_s"]
        wait_ms = 0
        if text is not None:
            stored = loads(text)
            self.attempt = stored["attempt"]
            self.last_error = stored["error"]
            longest = round(self._config.retry.cap_s * 1000)
            wait_ms = min(max(0, stored["not_before_ms"] - now_ms()), longest)
            self._next_retry_ms = monotonic_ms() + wait_ms
        self._schedule.on_start(monotonic_ms(), monotonic_ms() + wait_ms)

    async def note_success(self, duration_s: float, looked_ms: int | None, *, has_news: bool) -> None:
        """Note a sync that went through; ``looked_ms`` is when the server was asked last."""
        self.last_error = self.blocked_by = self._next_retry_ms = None
        self.last_sync_ms = now_ms()
        self.last_duration_s = duration_s
        cursor = (await self._storage.read(load_sync)).cursor
        self._schedule.on_success(monotonic_ms(), cursor=cursor, looked_ms=looked_ms)
        if self.attempt or has_news:
            self.attempt = 0
            last: dict[str, JSON] = {"at_ms": self.last_sync_ms, "duration_s": duration_s}
            with suppress(QuotaExceeded):  # what it tells is for people
                await self._storage.write(lambda tx: _put_last(tx, last), relaxed=True)

    async def note_failure(self, error: SyncError) -> None:
        """Note a sync that failed, and decide whether to wait or to ask for help."""
        self.last_error = str(error)
        if isinstance(error, Unauthorized):
            self.blocked_by = "unauthorized"
            self._schedule.is_blocked = True
            return
        if isinstance(error, Rejected):
            self.blocked_by = "rejected"
        self.attempt += 1
        wish = error.retry_after_s if isinstance(error, Unreachable) else None
        if self.attempt > self._config.max_retries:
            wish = max(wish or 0.0, self._config.sync_interval_s)
        delay_ms = round(self._config.retry.delay_s(self.attempt, self._rng, at_least_s=wish) * 1000)
        now = monotonic_ms()
        self._next_retry_ms = now + delay_ms
        self._schedule.on_failure(now, delay_ms)
        record: dict[str, JSON] = {"attempt": self.attempt, "error": str(error)}
        record["not_before_ms"] = now_ms() + delay_ms
        with suppress(StorageError):  # where even this finds no room, a restart begins without the wait
            await self._storage.write(lambda tx: _put_retry(tx, record))

    def resume(self) -> None:
        """Forget what blocks, and let the next sync be at once."""
        self.blocked_by = None
        self._schedule.on_resume(monotonic_ms())


async def _read(tx: ReadTransaction) -> tuple[str | None, str | None]:
    return await tx.get("meta", _RETRY), await tx.get("meta", _LAST)


async def _put_retry(tx: WriteTransaction, record: dict[str, JSON]) -> None:
    tx.put("meta", _RETRY, dumps(record))


async def _put_last(tx: WriteTransaction, last: dict[str, JSON]) -> None:
    """Note when the last sync that brought something was, and that nothing waits to be tried again."""
    tx.put("meta", _LAST, dumps(last))
    if await tx.get("meta", _RETRY) is not None:
        tx.delete("meta", _RETRY)
