"""What a manager does with other devices: it meets them over channels, and writes and reads files for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..clock import now_ms
from ..core.arguments import check_members, check_seconds
from ..core.bundle import decode_bundle, encode_bundle
from ..core.meeting import Intake, Shown, encode_shown, is_wanted, show, take_in
from ..core.ports import Channel, Storage, WriteTransaction
from ..core.replica import Event
from .config import SyncConfig
from .hooks import Hooks
from .meeting import Meeting
from .results import MeetingResult


class Devices:
    """The meetings of one manager."""

    def __init__(
        self, storage: Storage, rng: Any, config: SyncConfig, on_met: Callable[[list[Event]], None]
    ) -> None:
        self._storage = storage
        self._rng = rng
        self._config = config
        self._on_met = on_met
        self._meetings: set[Meeting] = set()

    def meet(self, channel: Channel, on_progress: Callable[[int, int], Any] | None, timeout_s: float) -> Meeting:
        """Begin a meeting."""
        check_members("channel: an object", channel, ("send", "receive", "close"))
        check_seconds("timeout_s", timeout_s, is_endless=True)
        progress = Hooks("on_progress of sync_with")
        if on_progress is not None:
            progress.add(on_progress)
        meeting = Meeting(
            channel,
            self._storage,
            self._rng,
            collections=self._config.collections,
            bounds=self._config.outbox,
            on_events=self._on_met,
            on_progress=progress,
            timeout_s=timeout_s,
        )
        self._meetings.add(meeting)
        meeting.task.add_done_callback(lambda _: self._meetings.discard(meeting))
        return meeting

    async def export_bundle(self) -> bytes:
        """Give all documents as the bytes of a file."""
        wanted = frozenset(self._config.collections) or None

        async def body(tx: WriteTransaction) -> list[Shown]:
            names = [(str(key[0]), str(key[1])) for key, _ in await tx.scan("docs")]
            return await show(tx, [name for name in names if is_wanted(name[0], wanted)], self._rng)

        return encode_bundle([encode_shown(shown) for shown in await self._storage.write(body)])

    async def import_bundle(self, data: bytes) -> MeetingResult:
        """Take in the bytes of a file, in one transaction."""
        wanted = frozenset(self._config.collections) or None
        shown = [one for one in decode_bundle(data) if is_wanted(one.collection, wanted)]

        async def body(tx: WriteTransaction) -> Intake:
            return await take_in(tx, shown, now_ms(), self._rng, self._config.outbox)

        intake = await self._storage.write(body)
        self._on_met(intake.events)
        return MeetingResult(
            received=intake.taken, changed=intake.changed, conflicts=intake.conflicts, ahead=intake.ahead
        )

    async def close(self) -> None:
        """Cancel what is under way."""
        meetings = list(self._meetings)
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*(meeting.task for meeting in meetings), return_exceptions=True)
