"""What a replica's transaction has changed of its documents, put down at its end with all that is counted of them."""

from __future__ import annotations

from dataclasses import replace

from .exchange import ExchangeOptions, Outcome, SyncState
from .losses import Losses
from .optimistic import EMPTY, Record, encode_record, view
from .outbox import Counters, Name, strike
from .ports import Random, WriteTransaction
from .replica import Totals, change_event
from .shedding import forget_stub
from .waiting import index_conflict


class Writing:
    """Documents as they were stored and as they are now, what is to be told of them, and what is counted."""

    def __init__(
        self,
        tx: WriteTransaction,
        counters: Counters,
        sync: SyncState,
        now_ms: int,
        rng: Random,
        options: ExchangeOptions,
    ) -> None:
        self.tx = tx
        self.counters = counters
        self.counted = counters.text()
        self.sync = sync
        self.now_ms = now_ms
        self.rng = rng
        self.options = options
        self.outcome = Outcome()
        self.losses = Losses(tx, counters.replica, options.device, now_ms, rng)
        self.totals = Totals(tx)
        self.struck: list[tuple[int, int]] = []
        self.records: dict[Name, Record] = {}
        self.stored: dict[Name, Record] = {}
        self.latest = ""
        self.origin = "Remote"
        self.taken_back: dict[Name, tuple[str, str]] = {}
        self.stubs: dict[Name, int] = {}
        self.gone: list[Name] = []

    def _doubts_of(self, name: Name) -> set[int]:
        return {n for *place, n in self.sync.doubts if tuple(place) == name}

    def _grow(self, more: int) -> None:
        self.counters.pending_bytes = max(0, self.counters.pending_bytes + more)

    async def _write(self) -> None:
        """Write the documents, and what is counted."""
        await self._put_records()
        await self._write_counts()

    async def _write_counts(self) -> None:
        """Write what is counted, where it is not as it was."""
        self.outcome.noted = self.losses.count
        if self.struck:
            await strike(self.tx, self.counters, self.struck)
        self.totals.write()
        if (text := self.counters.text()) != self.counted:
            self.tx.put("meta", ("counters",), text)

    async def _put_records(self) -> None:
        for name in self.gone:
            if name in self.stubs:
                await forget_stub(self.tx, self.totals, name, self.stubs.pop(name))
        for name, record in self.records.items():
            stored = self.stored[name]
            if record is stored:
                continue
            if record == EMPTY:
                self.tx.delete("docs", name)
            else:
                self.tx.put("docs", name, encode_record(record))
            index_conflict(self.tx, name, stored, record)
            if record.confirmed is not None and name in self.stubs:
                await forget_stub(self.tx, self.totals, name, self.stubs.pop(name))
            await self.totals.confirm(name, stored.confirmed, record.confirmed)
            await self.totals.count(name[0], record.is_shown - stored.is_shown)
            if self.options.wants_events:
                replica = self.counters.replica
                event = change_event(name, view(stored, replica), view(record, replica), self.origin)
                if event and name in self.taken_back:
                    reason, op_id = self.taken_back[name]
                    event = replace(event, reason=reason, change_id=op_id)
                self.outcome.events += [event] if event else []
