"""What simulated people and functions decide about conflicts, and restore: drawn from a generator of its own.

So worlds in which nobody chooses a strategy stay what they are, to the last byte.
"""

from __future__ import annotations

from random import Random
from typing import Any
from zlib import crc32

from pysync_web.core.conflict import AcceptLocal, AcceptRemote, Conflict, ConflictStrategy, Decision, Merge, Wait
from pysync_web.core.ledger import Entry
from pysync_web.core.strategies import encode_strategy
from pysync_web.values import dumps

from .profile import pick

CUSTOM = "custom/simulated"
STRATEGIES = (
    *(strategy.value for strategy in ConflictStrategy),
    CUSTOM,
    f"three_way_merge/{CUSTOM}",
    "three_way_merge/last_write_wins",
    "three_way_merge/local_wins",
)


def merge_kind(strategy: str) -> str | None:
    """Give what the server may merge under a strategy."""
    return "fields" if strategy == encode_strategy(ConflictStrategy.MERGE_FIELDS) else None


def resolve(conflict: Conflict) -> Decision:
    """Decide as a function of an application does: the same each time, and now and then not at all."""
    dice = crc32(dumps([conflict.local, conflict.remote, conflict.base]).encode()) % 8
    if dice == 0:
        return Wait("the function has no answer")
    if dice < 3 or conflict.local is None or conflict.remote is None:
        return AcceptRemote() if dice % 2 else AcceptLocal()
    return Merge({**conflict.remote, **conflict.local})


def by_hand(rng: Random, conflict: Conflict) -> Decision:
    """Decide as a person does. The model knows deletes by who made them, so nobody decides for one more."""
    if conflict.local is None or conflict.remote is None:
        return pick(rng, (AcceptLocal(), AcceptRemote()))
    return pick(rng, (AcceptLocal(), AcceptRemote(), Merge({**conflict.local, **conflict.remote})))


def restored(entry: Entry, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give the document after an entry was restored over it."""
    if entry.body is None or before is None:
        return entry.body
    return _over(before, entry.body)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        mine = result.get(name)
        result[name] = _over(mine, value) if type(value) is dict and type(mine) is dict else value
    return result
