"""Conflicts that wait for a decision: where they are listed, and which changes are held with them.

A space of their own names their documents, so that whoever has none pays one look-up of an empty range.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from .optimistic import Record, decode_record
from .outbox import Name, Run, numbered
from .ports import ReadTransaction, WriteTransaction
from .wire import MAX_TRANSACTION


def index_conflict(tx: WriteTransaction, name: Name, before: Record, after: Record) -> None:
    """List a document whose conflict waits, with whether functions of the application are to be asked."""
    if after.waiting is not None:
        tx.put("conflicts", name, "true" if after.waiting.asks else "false")
    elif before.waiting is not None:
        tx.delete("conflicts", name)


async def waiting_names(tx: ReadTransaction, *, asks: bool = False) -> list[Name]:
    """Name the documents whose conflicts wait; ``asks``: those for which functions are to be asked."""
    rows = await tx.scan("conflicts")
    return [(str(key[0]), str(key[1])) for key, text in rows if text == "true" or not asks]


async def held_changes(tx: ReadTransaction, runs: Sequence[Run], more: Set[int] = frozenset()) -> set[int]:
    """Give the numbers of the changes that must wait for the decision of a conflict, or for one of ``more``."""
    begins = [(name, 0) for name in await waiting_names(tx)]
    if more:
        begins += [(name, n) for name, n in numbered(runs) if n in more]
    return await dependent_changes(tx, runs, begins)


async def dependent_changes(
    tx: ReadTransaction, runs: Sequence[Run], begins: Sequence[tuple[Name, int]]
) -> set[int]:
    """Give the numbers of what depends on some changes, and of themselves.

    That is what follows in their documents, the rest of their transactions, and what follows that.
    """
    entries = {n: name for name, n in numbered(runs)}
    held: set[int] = set()
    open_ends = list(begins)
    while open_ends:
        name, since = open_ends.pop()
        for change in decode_record(await tx.get("docs", name)).pending:
            if change.n < since or change.n in held:
                continue
            held.add(change.n)
            if change.unit is not None:
                unit = range(change.unit, change.unit + MAX_TRANSACTION)
                open_ends += await _of_unit(tx, change.unit, [(entries[n], n) for n in unit if n in entries])
    return held


async def _of_unit(tx: ReadTransaction, unit: int, entries: Sequence[tuple[Name, int]]) -> list[tuple[Name, int]]:
    """Give the entries that belong to a transaction."""
    found = []
    for name, n in entries:
        record = decode_record(await tx.get("docs", name))
        if any(change.n == n and change.unit == unit for change in record.pending):
            found.append((name, n))
    return found
