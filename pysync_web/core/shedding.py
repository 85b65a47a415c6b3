"""What a replica lets go of to have room: copies that the server has too, and deletes that it has forgotten itself.

Of a copy that was evicted a stub stays, the sequence of its version, so that both sides still agree about what they
know; it goes when the document comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..causality import VersionVector
from ..values import loads
from .optimistic import decode_record, is_deleted_text
from .outbox import Name
from .ports import Key, ReadTransaction, WriteTransaction
from .replica import LET_GO, STUBS, Event, Totals
from .scope import load_scope

STEP: Final = 500


async def evict(tx: WriteTransaction, versions: Mapping[Name, VersionVector]) -> list[Event]:
    """Drop the copies of documents that are still at these versions, and all of whose changes the server has."""
    totals = Totals(tx)
    events = []
    for name, text in zip(versions, await tx.get_many("docs", list(versions)), strict=True):
        record = decode_record(text)
        confirmed = record.confirmed
        if confirmed is None or confirmed.body is None or record.pending or confirmed.version != versions[name]:
            continue
        tx.delete("docs", name)
        tx.put(STUBS, name, str(record.sequence))
        tx.put("meta", LET_GO, "1")
        await totals.count(name[0], -1)
        events.append(Event("RemoteDelete", *name, reason="evicted"))
    totals.write()
    return events


async def evicted(tx: ReadTransaction, names: list[Name]) -> dict[Name, int]:
    """Give the sequences of those documents that are evicted."""
    texts = await tx.get_many(STUBS, names)
    return {name: int(text) for name, text in zip(names, texts, strict=True) if text is not None}


async def reasons_of_absence(tx: ReadTransaction, names: list[Name], *, by_others: bool) -> dict[Name, str]:
    """Say why documents are not stored here, "evicted" or "removed"; those that were deleted are left out.

    ``by_others`` says that no change of this replica came or went when they did: such a change, taken back, also
    leaves nothing stored.
    """
    found = dict.fromkeys(await evicted(tx, names), "evicted")
    scope = await load_scope(tx) if by_others else None
    if scope is not None:
        found = {name: "removed" for name in names if scope.is_partial(name[0])} | found
    return found


async def forget_stub(tx: WriteTransaction, totals: Totals, name: Name, sequence: int) -> None:
    """Remove the stub of a document, which has come again or is gone."""
    tx.delete(STUBS, name)
    await totals.hold(name, sequence, 0)


async def all_evicted(tx: ReadTransaction, prefix: Key = ()) -> dict[Name, int]:
    """Give the sequences of all documents that are evicted, or of those of one collection."""
    return {(str(key[0]), str(key[1])): int(text) for key, text in await tx.scan(STUBS, prefix)}


async def forget_evicted(tx: WriteTransaction) -> None:
    """Remove all stubs: everything will come again."""
    totals = Totals(tx)
    for name, sequence in (await all_evicted(tx)).items():
        await forget_stub(tx, totals, name, sequence)
    totals.write()


async def drop_tombstones(tx: WriteTransaction, after: Key | None) -> tuple[int, Key | None]:
    """Look at some documents behind a key, and drop what is known only to be deleted where the server forgot it too.

    Give how many went, and where to go on, None at the end. A delete that the server knows may yet be needed: for
    another device that has the document still, or for a server that is restored from a time before it.
    """
    text = await tx.get("meta", ("sync",))
    floor = loads(text).get("floor", 0) if text else 0
    rows = await tx.scan("docs", after=after, limit=STEP)
    old = [key for key, text in rows if is_deleted_text(text) and decode_record(text).sequence <= floor]
    for key in old:
        tx.delete("docs", key)
    return len(old), rows[-1][0] if len(rows) == STEP else None
