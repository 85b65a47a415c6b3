"""Changes that wait, one by one: awaited until the server has them, taken back, or moved aside when they can't go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..causality import timestamp
from ..core.ledger import Entry, read_entries
from ..core.optimistic import decode_record
from ..core.ports import ReadTransaction
from ..core.replica import Event
from ..core.rollback import (
    EXPIRED,
    QUARANTINED,
    ROLLED_BACK,
    Reason,
    TakenBack,
    count_refusals,
    expire,
    find_change,
    roll_back,
)
from ..errors import ChangeRejected, SyncError
from .hooks import log
from .indexed import IndexedStorage
from .results import PendingChange


class Optimism:
    """The pending changes of one manager; ``device`` is the label under which the ledger names it."""

    def __init__(
        self,
        storage: IndexedStorage,
        rng: Any,
        now_ms: Callable[[], int],
        device: str,
        tell: Callable[[list[Event]], None],
    ) -> None:
        self._storage = storage
        self._rng = rng
        self._now_ms = now_ms
        self._device = device
        self._tell = tell
        self._waiting: set[asyncio.Event] = set()

    async def roll_back(self, change_id: str) -> list[PendingChange]:
        """Take back a change with what depends on it."""
        taken = await self._storage.write(
            lambda tx: roll_back(tx, change_id, self._now_ms(), self._rng, self._named(ROLLED_BACK))
        )
        return self._told(taken)

    async def expire(self, max_age_s: float) -> None:
        """Move changes to the ledger that are older than that."""
        now_ms = self._now_ms()
        before = timestamp(max(0, now_ms - round(max_age_s * 1000)))
        taken = await self._storage.write(lambda tx: expire(tx, before, now_ms, self._rng, self._named(EXPIRED)))
        for change in self._told(taken):
            log.warning("a change of %s/%s was too old to be sent: see the ledger", change.collection, change.key)

    async def note_refusals(self, refused: frozenset[int], most: int) -> None:
        """Count that the server refused these changes, each alone; move those to the ledger that can't go on."""
        reason = self._named(QUARANTINED)
        taken = await self._storage.write(
            lambda tx: count_refusals(tx, refused, most, self._now_ms(), self._rng, reason)
        )
        for change in self._told(taken):
            log.warning("a change of %s/%s is refused each time: see the ledger", change.collection, change.key)

    async def confirmed(self, change_id: str, *, has_server: bool) -> None:
        """Wait until a change waits no longer; raise :class:`ChangeRejected` where it did not come through."""
        news = asyncio.Event()
        self._waiting.add(news)
        stop = self._storage.listen(lambda names: news.set())
        try:
            found = await self._storage.read(lambda tx: find_change(tx, change_id))
            while found is not None and await self._storage.read(lambda tx: _is_pending(tx, *found)):
                if not has_server:
                    raise SyncError("there is no server that could confirm it")
                await news.wait()
                news.clear()
        finally:
            stop()
            self._waiting.discard(news)
        entry = await self._storage.read(lambda tx: _ended(tx, change_id, found))
        if entry is not None:
            raise ChangeRejected(f"{entry.kind}: {entry.message}", code=entry.code, entry_id=entry.id)

    def wake(self) -> None:
        """Let everybody look again who waits for a change: the storage is closed, which they are told."""
        for news in self._waiting:
            news.set()

    def _named(self, reason: Reason) -> Reason:
        return Reason(reason.kind, reason.code, reason.message, self._device)

    def _told(self, taken: list[TakenBack]) -> list[PendingChange]:
        self._tell([one.event for one in taken if one.event])
        return [
            PendingChange(
                one.change.op_id, *one.name, one.change.operation, one.change.state.timestamp, "taken_back"
            )
            for one in taken
        ]


async def _is_pending(tx: ReadTransaction, name: tuple[str, str], n: int) -> bool:
    return any(change.n == n for change in decode_record(await tx.get("docs", name)).pending)


async def _ended(tx: ReadTransaction, change_id: str, found: tuple[tuple[str, str], int] | None) -> Entry | None:
    """Find the entry of the ledger with which a change ended, known by its number or by its id."""

    def wanted(entry: Entry) -> bool:
        if found is None:
            return entry.op_id == change_id and bool(entry.numbers)
        return (entry.collection, entry.key) == found[0] and found[1] in entry.numbers

    return next(iter(await read_entries(tx, limit=1, wanted=wanted)), None)
