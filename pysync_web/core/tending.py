"""What a server does of its own accord: delete what has expired, forget what is old."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from ..causality import SERVER, advance
from ..causality import tick as next_timestamp
from .document import Document, deleted
from .expiry import take_due
from .hub_state import required_state
from .ports import Random, WriteTransaction
from .push import Push, Stored, body_of
from .retention import forget, note_commit
from .wire import SyncRequest

UPKEEP: Final = "upkeep"
"""The replica in whose name the server makes changes of its own: a version that lacks them has not seen them."""


class Tended(NamedTuple):
    """How many documents have expired, and how many deletes were forgotten; whether there are more.

    ``touched`` names the collections of what has expired.
    """

    expired: int = 0
    forgotten: int = 0
    has_more: bool = False
    touched: frozenset[str] = frozenset()


async def _bury(tx: WriteTransaction, names: Iterable[tuple[str, str]], now_ms: int, rng: Random) -> None:
    """Delete documents as a change of the server's own; a hub that was restored makes the same one again."""
    state = await required_state(tx)
    push = Push(tx, SyncRequest("", SERVER), state, now_ms, rng, None, 0)
    names = list(names)
    await push.read(names)
    for name in names:
        document = push.before[name].document
        if document is not None and document.body is not None:
            state.clock = next_timestamp(state.clock, now_ms)
            state.head += 1
            op_id = sha256(f"expired {document.op_id}".encode()).hexdigest()[:32]
            version = advance(document.version, UPKEEP, state.head, state.head)
            gone = Document(deleted(state.clock), version, op_id)
            push.after[name] = Stored(gone, state.head)
    if push.after:
        await push.write()
        note_commit(tx, state.clock, state.head, "", ())


async def expire(tx: WriteTransaction, now_ms: int, rng: Random) -> Tended:
    """Delete some of the documents that have expired."""
    names, has_more = await take_due(tx, body_of, now_ms)
    await _bury(tx, names, now_ms, rng)
    return Tended(len(names), 0, has_more, frozenset(name for name, _ in names))


async def forget_old(tx: WriteTransaction, before: str) -> Tended:
    """Forget some of what was deleted, or known by its op id, before a time."""
    state = await required_state(tx)
    found = await forget(tx, state.floor, state.forgotten, before)
    if found.at != state.forgotten:
        state.floor, state.forgotten = found.floor, found.at
        tx.put("hub", ("state",), state.text())
    return Tended(forgotten=found.deletes, has_more=found.has_more)
