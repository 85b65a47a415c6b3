"""The code under test, as the simulator calls it: each method is one step that a crash may cut off before or after.

A mutant is a subclass that takes such a step wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pysync_web.core.conflict import Conflict, ConflictStrategy, Decision, Strategy, last_write_wins
from pysync_web.core.exchange import (
    ExchangeOptions,
    Outcome,
    begin_late_resync,
    begin_part_again,
    begin_resync,
    build_pull,
    build_push,
    choose_parts,
    fork,
    has_pending,
)
from pysync_web.core.hub import Hub
from pysync_web.core.intake import apply_response, drop_unasked
from pysync_web.core.inventory import Inventory, read_inventory
from pysync_web.core.ledger import Entry, read_entries
from pysync_web.core.meeting import Intake, Shown, show, take_in
from pysync_web.core.optimistic import View, decode_record
from pysync_web.core.outbox import Bounds, Name
from pysync_web.core.push import Guard
from pysync_web.core.replica import (
    Write,
    WriteOptions,
    open_replica,
    read_view,
    take_lease,
    write,
)
from pysync_web.core.resolving import read_conflict, settle_conflict
from pysync_web.core.scope import Wish, is_leaving
from pysync_web.core.shedding import drop_tombstones, evict
from pysync_web.core.strategies import decide
from pysync_web.core.tending import Tended
from pysync_web.core.waiting import waiting_names
from pysync_web.core.wire import SyncRequest, SyncResponse

from .storage import SimulatedStorage, run

MOST_DOCUMENTS = 1000


class Subject:
    """The core as it is."""

    resolver: Any = staticmethod(last_write_wins)

    def __init__(self) -> None:
        self._hub: tuple[SimulatedStorage, Guard | None, Hub] | None = None

    def open(self, storage: SimulatedStorage, rng: Any) -> str:
        """Open a replica; give its id."""
        return run(storage.write(lambda tx: open_replica(tx, rng)))[0]

    def lead(self, storage: SimulatedStorage) -> int:
        """Take the lease."""
        return run(storage.write(take_lease))

    def read(self, storage: SimulatedStorage, collection: str, key: str) -> View | None:
        """Read one document."""
        return run(storage.read(lambda tx: read_view(tx, collection, key)))

    def write(
        self, storage: SimulatedStorage, writes: Sequence[Write], now_ms: int, rng: Any, options: WriteOptions
    ) -> Any:
        """Save and delete documents."""
        return run(storage.write(lambda tx: write(tx, writes, now_ms, rng, options)))

    def build(self, storage: SimulatedStorage, rng: Any, options: ExchangeOptions) -> SyncRequest:
        """Build the next request: a read where nothing is to be pushed, as the manager does it."""

        async def idle(tx: Any) -> SyncRequest | None:
            return None if await has_pending(tx) else await build_pull(tx, options)

        request = run(storage.read(idle))
        return request or run(storage.write(lambda tx: build_push(tx, rng, options)))

    def apply(
        self,
        storage: SimulatedStorage,
        request: SyncRequest,
        response: SyncResponse,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
    ) -> Outcome:
        """Take in an answer."""
        return run(storage.write(lambda tx: apply_response(tx, request, response, now_ms, rng, options)))

    def has_pending(self, storage: SimulatedStorage) -> bool:
        """Tell whether something may be sent."""
        return run(storage.read(has_pending))

    def decide(self, strategy: Strategy, conflict: Conflict) -> Decision:
        """Decide a conflict by a strategy."""
        return decide(strategy, conflict)

    def waiting(self, storage: SimulatedStorage) -> list[Conflict]:
        """List the conflicts that wait."""
        names = run(storage.read(waiting_names))
        found = [run(storage.read(lambda tx, name=name: read_conflict(tx, name))) for name in names]
        return [conflict for conflict in found if conflict is not None]

    def settle(
        self,
        storage: SimulatedStorage,
        conflict: Conflict,
        decision: Decision,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
        by_hand: bool,
    ) -> Outcome | None:
        """Let a decision on a conflict that waits stand."""

        async def body(tx: Any) -> Outcome | None:
            return await settle_conflict(tx, conflict, decision, now_ms, rng, options, by_hand=by_hand)

        return run(storage.write(body))

    def entries(self, storage: SimulatedStorage) -> list[Entry]:
        """List the newest entries of the ledger."""
        return run(storage.read(read_entries))

    def fork(self, storage: SimulatedStorage, rng: Any, options: ExchangeOptions) -> None:
        """Become another replica."""
        run(storage.write(lambda tx: fork(tx, rng, options)))

    def begin_resync(self, storage: SimulatedStorage, options: ExchangeOptions) -> None:
        """Begin to pull everything again."""
        run(storage.write(lambda tx: begin_resync(tx, options)))

    def begin_late_resync(self, storage: SimulatedStorage, options: ExchangeOptions, *, is_doubtful: bool) -> None:
        """Begin to pull everything again because the server has forgotten too much."""
        run(storage.write(lambda tx: begin_late_resync(tx, options, is_doubtful=is_doubtful)))

    def begin_part_again(self, storage: SimulatedStorage, collection: str, options: ExchangeOptions) -> None:
        """Begin to fetch a part again."""
        run(storage.write(lambda tx: begin_part_again(tx, collection, options)))

    def choose(
        self,
        storage: SimulatedStorage,
        wishes: Mapping[str, Wish | None] | None,
        wanted: tuple[str, ...] | None,
        *,
        is_exact: bool,
    ) -> bool:
        """Choose what is wanted of the server's documents."""
        return run(storage.write(lambda tx: choose_parts(tx, wishes, wanted, is_exact=is_exact)))

    def is_leaving(self, storage: SimulatedStorage) -> bool:
        """Tell whether something is here that is not wanted any more."""
        return run(storage.read(is_leaving))

    def drop_unasked(
        self, storage: SimulatedStorage, now_ms: int, rng: Any, options: ExchangeOptions, limit: int
    ) -> bool:
        """Let go of some of that; tell whether there is more."""
        return run(storage.write(lambda tx: drop_unasked(tx, now_ms, rng, options, limit)))[1]

    def evict(self, storage: SimulatedStorage, names: Sequence[Name]) -> None:
        """Drop the copies of documents, as they are now."""
        found = {name: decode_record(storage.text("docs", name)).confirmed for name in names}
        versions = {name: one.version for name, one in found.items() if one is not None}
        run(storage.write(lambda tx: evict(tx, versions)))

    def drop_tombstones(self, storage: SimulatedStorage) -> None:
        """Drop the deletes that the server has forgotten."""
        run(storage.write(lambda tx: drop_tombstones(tx, None)))

    def poked(self, storage: SimulatedStorage, head: int) -> None:
        """Hear that the server has come to a sequence: it brings the next exchange forward, and does nothing else."""

    def inventory(self, storage: SimulatedStorage, wanted: frozenset[str] | None) -> Inventory:
        """Look what there is to compare with another device."""
        found = Inventory()
        run(storage.read(lambda tx: read_inventory(tx, found, None, MOST_DOCUMENTS, wanted)))
        return found

    def show(self, storage: SimulatedStorage, names: Sequence[Name], rng: Any) -> list[Shown]:
        """Give documents as another device is to see them."""
        return run(storage.write(lambda tx: show(tx, names, rng)))

    def take_in(
        self, storage: SimulatedStorage, shown: Sequence[Shown], now_ms: int, rng: Any, bounds: Bounds
    ) -> Intake:
        """Take documents of another device in."""
        return run(storage.write(lambda tx: take_in(tx, shown, now_ms, rng, bounds)))

    def open_server(self, storage: SimulatedStorage, rng: Any) -> None:
        """Open the server's database."""
        run(self._hub_of(storage).open(rng))

    def forget_memory(self) -> None:
        """Let the server's process end."""
        self._hub = None

    def serve(
        self, storage: SimulatedStorage, request: SyncRequest, now_ms: int, rng: Any, guard: Guard | None
    ) -> str:
        """Answer a request."""
        return run(self._hub_of(storage, guard).exchange(request, now_ms, rng)).text()

    def _hub_of(self, storage: SimulatedStorage, guard: Guard | None = None) -> Hub:
        """Give the server's process, with what it has in memory."""
        if self._hub is None or self._hub[0] is not storage or self._hub[1] is not guard:
            self._hub = (storage, guard, Hub(storage, guard=guard))
        return self._hub[2]

    def tend(self, storage: SimulatedStorage, now_ms: int, before_ms: int, rng: Any) -> Tended:
        """Let documents expire, and forget what is old."""
        return run(Hub(storage).tend(now_ms, before_ms, rng))

    def new_epoch(self, storage: SimulatedStorage, rng: Any) -> str:
        """Say that the server's storage was restored."""
        return run(Hub(storage).new_epoch(rng))


def strategy(name: str) -> ConflictStrategy:
    """Give a strategy by its value."""
    return ConflictStrategy(name)
