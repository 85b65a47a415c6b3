"""What a manager tells of its store, as transaction bodies: what waits, how much there is, what others did."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..causality import parse_timestamp
from ..core.exchange import load_sync
from ..core.optimistic import EMPTY, decode_record, view_of
from ..core.outbox import all_runs, oldest
from ..core.ports import ReadTransaction, Touched
from ..core.replica import Event, load_counters, load_replica
from ..core.rollback import in_flight
from ..core.shedding import reasons_of_absence
from ..core.waiting import held_changes, waiting_names
from ..values import loads
from .indexed import touched_documents
from .results import PendingChange, Statistics


class Waiting(NamedTuple):
    """How many changes wait, and since when (a timestamp's milliseconds); how many conflicts; of a restored copy."""

    pending: int
    since_ms: int | None
    conflicts: int
    was_forked: bool


async def read_waiting(tx: ReadTransaction) -> Waiting:
    """Count what waits."""
    pending = (await load_counters(tx)).pending
    since = None
    name = await oldest(tx) if pending else None
    if name is not None:
        record = decode_record(await tx.get("docs", name))
        if record.pending:
            since = parse_timestamp(record.pending[0].state.since)[0]
    return Waiting(pending, since, len(await waiting_names(tx)), (await load_sync(tx)).was_forked)


async def read_statistics(tx: ReadTransaction) -> Statistics:
    """Count documents, in all and by collection, and pending changes."""
    counts = {str(key[0]): int(loads(text)["count"]) for key, text in await tx.scan("collections")}
    pending = (await load_counters(tx)).pending
    return Statistics(sum(counts.values()), pending, {name: count for name, count in counts.items() if count})


async def read_pending(
    tx: ReadTransaction, limit: int, collection: str | None = None, key: str | None = None
) -> list[PendingChange]:
    """List the changes that wait, the oldest first, all or those of a collection or a key."""
    sent = await in_flight(tx)
    held = await held_changes(tx, await all_runs(tx)) if await waiting_names(tx) else set()
    found = []
    is_whole = collection is None and key is None
    for _, run in await tx.scan("outbox", limit=limit if is_whole else None):
        for name in dict.fromkeys((name[0], name[1]) for name in loads(run)["d"] if name):
            if collection not in (None, name[0]) or key not in (None, name[1]):
                continue
            record = decode_record(await tx.get("docs", name))
            found += [(change, name) for change in record.pending]
    unique = {change.op_id: (change, name) for change, name in found}
    return [
        PendingChange(
            change.op_id,
            *name,
            change.operation,
            change.state.timestamp,
            "in_flight" if change.n in sent else "held" if change.n in held else "waiting",
        )
        for change, name in sorted(unique.values(), key=lambda pair: pair[0].n)[:limit]
    ]


async def read_events(tx: ReadTransaction, touched: Touched) -> list[Event]:
    """Say what another handle did to documents; None asks for all that there are."""
    keys = touched_documents(touched)
    texts = dict(await tx.scan("docs") if keys is None else zip(keys, await tx.get_many("docs", keys), strict=True))
    records = {(str(key[0]), str(key[1])): decode_record(text) for key, text in texts.items()}
    absent = [name for name, record in records.items() if record is EMPTY]
    by_others = all(space != "outbox" for space, _ in touched or ())
    reasons = await reasons_of_absence(tx, absent, by_others=by_others)
    replica = await load_replica(tx) if any(record.pending for record in records.values()) else ""
    events = []
    for name, record in records.items():
        seen = view_of(record, record.state, replica)
        is_remote = name in reasons or (record.confirmed and not record.pending)
        kind: Any = f"{'Remote' if is_remote else 'Local'}{'Update' if seen else 'Delete'}"
        events.append(Event(kind, *name, seen.document(name[1]) if seen else None, reason=reasons.get(name, "")))
    return events
