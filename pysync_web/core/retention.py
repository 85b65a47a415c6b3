"""What a hub forgets once it is older than its retention time: deletes, op ids of changes, replicas that are silent.

Each commit leaves a line in a journal, in the order of the server's clock: up to which sequence it came, whose it
was, and the op ids in it. What is forgotten goes with its line, in small transactions. ``floor`` is the sequence up
to which a hub may have forgotten: a replica that has not seen everything until there has to pull all of it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..values import dumps, loads
from .outbox import Name
from .ports import ReadTransaction, WriteTransaction

STEP: Final = 500
"""How many deletes, or op ids, one transaction forgets."""

_JOURNAL: Final = "journal"  # (clock) → [head, client id, op id …]
_GRAVES: Final = "graves"  # (sequence) → the name of a document that was deleted with it


class Forgotten(NamedTuple):
    """What one step did: the floor, the time of the last line that went, how many deletes, whether there is more."""

    floor: int
    at: str
    deletes: int = 0
    has_more: bool = False


def note_commit(tx: WriteTransaction, clock: str, head: int, client_id: str, op_ids: Sequence[str]) -> None:
    """Leave a line in the journal."""
    tx.put(_JOURNAL, (clock,), dumps([head, client_id, *op_ids]))


def note_sequence(tx: WriteTransaction, name: Name, before: int | None, after: int | None) -> None:
    """Note that a document was deleted with the sequence ``after``, and is no longer deleted with ``before``."""
    if before:
        tx.delete(_GRAVES, (before,))
    if after:
        tx.put(_GRAVES, (after,), dumps(list(name)))


async def is_forgetting_due(tx: ReadTransaction, floor: int, before: str) -> bool:
    """Tell whether :func:`forget` would find anything."""
    lines = await tx.scan(_JOURNAL, limit=1)
    graves = await tx.scan(_GRAVES, limit=1)
    return bool(lines and str(lines[0][0][0]) < before) or bool(graves and int(graves[0][0][0]) <= floor)


async def forget(tx: WriteTransaction, floor: int, at: str, before: str) -> Forgotten:
    """Do one step: forget what was noted before a time of the server's clock.

    The floor rises with the first op id that goes, the deletes up to it follow, in this step and in later ones.
    """
    lines = [row for row in await tx.scan(_JOURNAL, limit=STEP) if str(row[0][0]) < before]
    count = 0
    for key, text in lines:
        if count >= STEP:
            break
        head, client_id, *op_ids = loads(text)
        count += 1 + len(op_ids)
        for op_id in op_ids:
            tx.delete("ops", (op_id,))
        await _forget_replica(tx, client_id, before)
        tx.delete(_JOURNAL, key)
        floor, at = max(floor, head), str(key[0])
    graves = [row for row in await tx.scan(_GRAVES, limit=STEP) if int(row[0][0]) <= floor]
    for key, text in graves:
        collection, name = loads(text)
        tx.delete(_GRAVES, key)
        tx.delete("feed", key)
        tx.delete("docs", (collection, name))
    return Forgotten(floor, at, len(graves), count >= STEP or len(graves) == STEP)


async def _forget_replica(tx: WriteTransaction, client_id: str, before: str) -> None:
    """Forget a replica whose last changes came before a time; if it comes back, it is as if it were new."""
    text = await tx.get("replicas", (client_id,)) if client_id else None
    if text is not None and loads(text)["at"] < before:
        tx.delete("replicas", (client_id,))
