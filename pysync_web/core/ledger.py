"""The durable list of every change that did not come through: lost to a later one, or refused by the server.

Entries lie in the order in which they were made; writing one is part of the transaction that lost the value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from ..deferred import dataclass
from ..errors import InvalidDocument
from ..values import JSON, dumps, loads
from .arguments import check_count, check_seconds
from .as_json import AsJson, members_of
from .document import Body, Document, State
from .ports import Key, Random, ReadTransaction, WriteTransaction

Kind: TypeAlias = Literal["lost", "rejected", "quarantined", "expired", "rolled_back", "purged", "removed"]
"""Lost to another change, refused by the server, refused again and again as a message, too old, taken back, made to
a document that was deleted so long ago that the server has forgotten it, or to one that was removed from here."""


OTHER: Final = ("other_change", "another change of the same document stands, though this one has a later time")
"""Code and message of what was lost to a change that is not later: a strategy, or somebody, has decided so."""


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
        return {
            name: value for name in self.__match_args__ if (value := getattr(self, name)) or name not in _SELDOM
        }

    @classmethod
    def from_json(cls, value: dict[str, JSON]) -> Entry:
        """Read what :meth:`to_json` gave."""
        return cls(**members_of(cls, value))


_NEARLY: Final = 0.8
_SELDOM: Final = ("replica", "device", "numbers", "restored_ms")


def lost_fields(name: tuple[str, str], gone: State, op_id: str, after: Document, at_ms: int) -> Entry:
    """Describe fields whose values did not survive in a document, or a delete that did not."""
    return Entry(
        "lost",
        *name,
        "delete" if gone.body is None else "update",
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


async def read_entries(
    tx: ReadTransaction,
    *,
    limit: int = 100,
    after: str | None = None,
    wanted: Callable[[Entry], bool] | None = None,
    since_ms: int = 0,
) -> list[Entry]:
    """Read entries, the newest first; ``after`` is the id of the last one of the page before.

    ``wanted`` chooses among them; none that is older than ``since_ms`` is read.
    """
    start = None if after is None else key_of(after)
    found: list[Entry] = []
    while True:
        rows = await tx.scan("ledger", after=start, limit=max(limit, 16), reverse=True)
        for key, text in rows:
            if int(key[0]) < since_ms:
                return found
            entry = _decoded(key, text)
            if wanted is None or wanted(entry):
                found.append(entry)
                if len(found) == limit:
                    return found
        if len(rows) < max(limit, 16):
            return found
        start = rows[-1][0]


async def read_entry(tx: ReadTransaction, entry_id: str) -> Entry | None:
    """Read one entry by its id."""
    key = key_of(entry_id)
    text = await tx.get("ledger", key)
    return _decoded(key, text) if text is not None else None


def put_entry(tx: WriteTransaction, entry: Entry) -> None:
    """Write an entry in place of the one with its id."""
    tx.put("ledger", key_of(entry.id), dumps(replace(entry, id="").to_json()))


def key_of(entry_id: str) -> Key:
    """Give the key under which an entry lies."""
    at, _, token = entry_id.partition("-")
    if not at.isdecimal() or not token:
        raise InvalidDocument(f"{entry_id!r:.60} is not the id of a ledger entry")
    return (int(at), token)


def _decoded(key: Key, text: str) -> Entry:
    """Read an entry. Whether what stands is later or not, its times tell, so both are stored alike."""
    entry = Entry.from_json(loads(text) | {"id": f"{key[0]}-{key[1]}"})
    if entry.kind == "lost" and "" < entry.against_timestamp < entry.timestamp:
        return replace(entry, code=OTHER[0], message=OTHER[1])
    return entry


@dataclasses.dataclass(frozen=True, slots=True)
class LedgerBounds(AsJson):
    """How many entries are kept, and for how long.

    A warning comes at four fifths of either, and nothing goes sooner than ``notice_s`` after it.
    """

    entries: int = 10_000
    age_s: float = 180 * 86_400.0
    notice_s: float = 86_400.0

    def __post_init__(self) -> None:
        check_count("LedgerBounds.entries", self.entries)
        for name in ("age_s", "notice_s"):
            check_seconds(f"LedgerBounds.{name}", getattr(self, name), from_zero=True, is_endless=True)


class Trimmed(NamedTuple):
    """How many entries there are and how many went just now, and the warning that stands, "" of none."""

    entries: int
    gone: int = 0
    warning: str = ""


async def is_to_be_trimmed(tx: ReadTransaction, bounds: LedgerBounds, now_ms: int) -> bool:
    """Tell whether :func:`trim` would find something to say or to do."""
    rows = await tx.scan("ledger", limit=int(_NEARLY * bounds.entries) + 1)
    is_old = bool(rows) and now_ms - int(rows[0][0][0]) > _NEARLY * bounds.age_s * 1000
    return is_old or len(rows) > _NEARLY * bounds.entries or await tx.get("meta", ("ledger",)) is not None


async def trim(tx: WriteTransaction, bounds: LedgerBounds, now_ms: int) -> Trimmed:
    """Warn where the ledger is nearly full or old, and drop what is over its bounds once that was said in time."""
    keys = [key for key, _ in await tx.scan("ledger")]
    oldest_ms = int(keys[0][0]) if keys else now_ms
    text = await tx.get("meta", ("ledger",))
    if len(keys) <= _NEARLY * bounds.entries and now_ms - oldest_ms <= _NEARLY * bounds.age_s * 1000:
        if text is not None:
            tx.delete("meta", ("ledger",))
        return Trimmed(len(keys))
    warned_ms = now_ms if text is None else int(text)
    if text is None:
        tx.put("meta", ("ledger",), str(now_ms))
    gone = []
    if now_ms - warned_ms >= bounds.notice_s * 1000 and text is not None:
        oldest = now_ms - bounds.age_s * 1000
        over = len(keys) - bounds.entries
        gone = [key for i, key in enumerate(keys) if i < over or int(key[0]) < oldest]
    for key in gone:
        tx.delete("ledger", key)
    warning = (
        f"the ledger has {len(keys)} entries, the oldest {(now_ms - oldest_ms) // 86_400_000} days old; it keeps"
        f" {bounds.entries} for {bounds.age_s / 86_400:g} days: export what is to be kept"
    )
    return Trimmed(len(keys) - len(gone), len(gone), warning)
