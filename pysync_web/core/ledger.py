"""The durable list of every change that did not come through: lost to a later one, or refused by the server.

Entries lie in the order in which they were made; writing one is part of the transaction that lost the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..values import JSON, dumps, loads
from .document import Body, Document, State
from .ports import Key, Random, ReadTransaction, WriteTransaction

Kind: TypeAlias = Literal["lost", "rejected", "quarantined", "expired", "rolled_back"]
"""Lost to another change, refused by the server, refused again and again as a message, too old, taken back."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that did not come through.

    ``body`` is what was lost: a whole document, the fields of an update, None for a delete. ``at_ms`` is when it was
    lost, ``timestamp`` when it was made; ``against_*`` tell what stands instead, ``code`` and ``message`` why.
    ``replica`` and ``device`` say who made the change, as far as that is known here; ``numbers`` are those of the
    changes that ended with it; ``restored_ms`` is when it was restored, 0 if it was not.
    """

    kind: Kind
    collection: str
    key: str
    operation: str
    body: Body | None
    timestamp: str
    op_id: str
    at_ms: int
    code: str = "newer_change"
    message: str = "a later change of the same document stands"
    against_op_id: str = ""
    against_timestamp: str = ""
    id: str = ""
    replica: str = ""
    device: str = ""
    numbers: list[int] = field(default_factory=list)
    restored_ms: int = 0

    def to_json(self) -> dict[str, JSON]:
        """Give the entry as JSON; who made it, and what is not usual, only where there is something to say."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) or name not in _SELDOM}

    @classmethod
    def from_json(cls, value: dict[str, JSON]) -> Entry:
        """Read what :meth:`to_json` gave."""
        return cls(**value)


_SELDOM: Final = ("replica", "device", "numbers", "restored_ms")


def lost_fields(name: tuple[str, str], gone: State, op_id: str, after: Document, at_ms: int) -> Entry:
    """Describe fields whose values did not survive in a document."""
    return Entry(
        "lost",
        *name,
        "update",
        gone.body,
        gone.timestamp,
        op_id,
        at_ms,
        against_op_id=after.op_id,
        against_timestamp=after.timestamp,
    )


def record_entry(tx: WriteTransaction, entry: Entry, rng: Random) -> None:
    """Add an entry to the ledger."""
    tx.put("ledger", (entry.at_ms, rng.randbytes(8).hex()), dumps(entry.to_json()))


async def read_entries(tx: ReadTransaction, *, limit: int = 100, after: str | None = None) -> list[Entry]:
    """Read entries, the newest first; ``after`` is the id of the last one of the page before."""
    start: Key | None = None
    if after is not None:
        at, _, token = after.partition("-")
        start = (int(at), token)
    rows = await tx.scan("ledger", after=start, limit=limit, reverse=True)
    return [Entry.from_json(loads(text) | {"id": f"{key[0]}-{key[1]}"}) for key, text in rows]
