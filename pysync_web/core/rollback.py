"""Taking back changes that were not sent: by hand, because they are too old, or because the server can't read them.

What depends on a change goes with it, and each goes to the ledger in the same transaction; nobody else has seen any.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from ..deferred import dataclass
from ..errors import ChangeInFlight
from ..values import loads
from .ledger import Entry, Kind, record_entry
from .optimistic import EMPTY, Pending, Record, decode_record, encode_record, view
from .outbox import Name, Run, all_runs, numbered, strike
from .ports import Random, ReadTransaction, WriteTransaction
from .replica import ChangeType, Event, Totals, load_counters, size_of
from .waiting import dependent_changes, held_changes, index_conflict


@dataclass(frozen=True, slots=True)
class Reason:
    """Why changes are taken back, and under which label the ledger names this replica."""

    kind: Kind
    code: str
    message: str
    device: str = ""


ROLLED_BACK = Reason("rolled_back", "rolled_back", "it was taken back before it was sent")
EXPIRED = Reason("expired", "too_old", "it waited too long to be sent")
QUARANTINED = Reason("quarantined", "refused", "the server refused every request with it")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A change that was taken back, of which document, and what became of that (None: nothing to be seen)."""

    name: Name
    change: Pending
    event: Event | None


async def in_flight(tx: ReadTransaction) -> set[int]:
    """Give the numbers of the changes that were sent and not answered: the server may have them."""
    text = await tx.get("meta", ("inflight",))
    return {entry[2] for entry in loads(text)["entries"]} if text else set()


async def find_change(tx: ReadTransaction, op_id: str) -> tuple[Name, int] | None:
    """Find a pending change by its id: its document and its number."""
    for name in dict.fromkeys(name for name, _ in numbered(await all_runs(tx))):
        for change in decode_record(await tx.get("docs", name)).pending:
            if change.op_id == op_id:
                return name, change.n
    return None


async def roll_back(
    tx: WriteTransaction, op_id: str, now_ms: int, rng: Random, reason: Reason = ROLLED_BACK
) -> list[TakenBack]:
    """Take back a change with what depends on it, the first one first; nothing where it does not wait any more.

    Raises :class:`ChangeInFlight` where one of them has been sent and may have arrived.
    """
    found = await find_change(tx, op_id)
    if found is None:
        return []
    runs = await all_runs(tx)
    numbers = await dependent_changes(tx, runs, [found])
    if numbers & await in_flight(tx):
        raise ChangeInFlight(f"change {op_id} or one that depends on it was sent; the answer is not here yet")
    return await _take_back(tx, runs, numbers, {found[1]}, now_ms, rng, reason)


async def expire(tx: WriteTransaction, before: str, now_ms: int, rng: Random, reason: Reason) -> list[TakenBack]:
    """Take back every change whose last edit was before a time; what is in flight or in conflict stays."""
    runs = await all_runs(tx)
    stays = await in_flight(tx) | await held_changes(tx, runs)
    old: list[tuple[Name, int]] = []
    for name, n in numbered(runs):
        record = decode_record(await tx.get("docs", name))
        old += [
            (name, n) for one in record.pending if one.n == n and one.state.timestamp < before and n not in stays
        ]
    numbers = await dependent_changes(tx, runs, old)
    if numbers & stays:
        return []
    return await _take_back(tx, runs, numbers, {n for _, n in old}, now_ms, rng, reason)


async def count_refusals(
    tx: WriteTransaction, refused: Set[int], most: int, now_ms: int, rng: Random, reason: Reason
) -> list[TakenBack]:
    """Note that the server refused requests with these changes alone; take back those with too many refusals."""
    runs = await all_runs(tx)
    found = [(name, n) for name, n in numbered(runs) if n in refused]
    too_many: list[tuple[Name, int]] = []
    for name, n in found:
        record = decode_record(await tx.get("docs", name))
        pending = tuple(one._replace(refusals=one.refusals + (one.n == n)) for one in record.pending)
        tx.put("docs", name, encode_record(Record(record.confirmed, pending, record.waiting)))
        too_many += [(name, n) for one in pending if one.n == n and one.refusals > most]
    numbers = await dependent_changes(tx, runs, too_many)
    return await _take_back(tx, runs, numbers, {n for _, n in too_many}, now_ms, rng, reason)


async def _take_back(
    tx: WriteTransaction,
    runs: Sequence[Run],
    numbers: Set[int],
    culprits: Set[int],
    now_ms: int,
    rng: Random,
    reason: Reason,
) -> list[TakenBack]:
    if not numbers:
        return []
    counters, totals = await load_counters(tx), Totals(tx)
    gone: list[TakenBack] = []
    for name in dict.fromkeys(name for name, n in numbered(runs) if n in numbers):
        before = decode_record(await tx.get("docs", name))
        taken = [change for change in before.pending if change.n in numbers]
        rest = tuple(change for change in before.pending if change.n not in numbers)
        after = Record(before.confirmed, rest, before.waiting if rest else None)
        event = _event(name, before, after, counters.replica, reason, taken[0])
        gone += [TakenBack(name, change, None if i else event) for i, change in enumerate(taken)]
        _put(tx, name, before, after)
        await totals.count(name[0], after.is_shown - before.is_shown)
        for change in taken:
            record_entry(tx, _entry(name, change, change.n in culprits, counters.replica, now_ms, reason), rng)
    await strike(tx, counters, [(one.change.n, size_of(one.change)) for one in gone])
    totals.write()
    tx.put("meta", ("counters",), counters.text())
    return sorted(gone, key=lambda one: one.change.n)


def _put(tx: WriteTransaction, name: Name, before: Record, after: Record) -> None:
    if after == EMPTY:
        tx.delete("docs", name)
    else:
        tx.put("docs", name, encode_record(after))
    index_conflict(tx, name, before, after)


def _entry(name: Name, change: Pending, is_culprit: bool, replica: str, now_ms: int, reason: Reason) -> Entry:
    message = reason.message if is_culprit else f"it depends on another change: {reason.message}"
    return Entry(
        reason.kind,
        *name,
        change.operation,
        change.state.body,
        change.state.timestamp,
        change.op_id,
        now_ms,
        code=reason.code if is_culprit else "dependent",
        message=message,
        replica=replica,
        device=reason.device,
        numbers=[change.n],
    )


def _event(
    name: Name, before: Record, after: Record, replica: str, reason: Reason, change: Pending
) -> Event | None:
    old, new = view(before, replica), view(after, replica)
    if (old and old.body) == (new and new.body):
        return None
    document = new.document(name[1]) if new else None
    if new is None:
        return Event("LocalDelete", *name, None, reason=reason.kind, change_id=change.op_id)
    kind: ChangeType = "LocalInsert" if old is None else "LocalUpdate"
    return Event(kind, *name, document, reason=reason.kind, change_id=change.op_id)
