"""What two devices have to send each other, found out by sums: of collections, of parts of them, then of documents.

Both sides do the same three steps with what both have said, so neither leads, and what is equal costs a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import field
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias

from ..causality import VersionVector, includes, without_server
from ..deferred import dataclass
from ..errors import SchemaError
from ..values import JSON, check_collection, check_key, dumps
from .document import State, merge
from .meeting import is_wanted
from .optimistic import decode_record, version_of
from .outbox import Name
from .ports import Key, ReadTransaction
from .replica import load_replica
from .wire import decode_vector

PER_BUCKET: Final = 8
MAX_BUCKETS: Final = 4096
MAX_COUNT: Final = 10_000_000
ROUNDS: Final = 3
"""Collections, then the buckets of those that differ, then the documents of the buckets that differ."""

_WIDTH: Final = 16
_MODULUS: Final = 2**64

Row: TypeAlias = "list[JSON]"


class Mark(NamedTuple):
    """A number that stands for a document's state, and its version."""

    number: int
    version: VersionVector


@dataclass(slots=True)
class Inventory:
    """The marks of a device's documents, by collection and key."""

    marks: dict[str, dict[str, Mark]] = field(default_factory=dict)

    def rows(self, before: Sequence[Sequence[Row]], theirs: Sequence[Sequence[Row]]) -> Iterable[Row]:
        """Give what to say in the next round, after what both have said in those before."""
        match len(before):
            case 0:
                return ([name, len(marks), _sum(marks.values())] for name, marks in sorted(self.marks.items()))
            case 1:
                differing = _differing_collections(before[0], theirs[0])
                return ([name, *_sums(self.marks.get(name, {}), count)] for name, count in differing.items())
            case _:
                return self._documents(_differing_buckets(before, theirs))

    def _documents(self, buckets: Mapping[str, tuple[int, Set[int]]]) -> Iterable[Row]:
        for name, (count, chosen) in buckets.items():
            for key, mark in self.marks.get(name, {}).items():
                if _bucket_of(key, count) in chosen:
                    yield [name, key, _text(mark.number), mark.version]

    def to_send(self, mine: Sequence[Row], theirs: Sequence[Row]) -> list[Name]:
        """Name the documents whose state the other side has not seen, in order, after the last round."""
        has: dict[Name, tuple[str, VersionVector]] = {(row[0], row[1]): (row[2], row[3]) for row in theirs}
        chosen = []
        for name, key, number, version in mine:
            other = has.get((name, key))
            if other is None or _is_news(number, version, *other):
                chosen.append((name, key))
        return sorted(chosen)


async def read_inventory(
    tx: ReadTransaction, inventory: Inventory, after: Key | None, limit: int, wanted: Set[str] | None
) -> Key | None:
    """Add some documents to an inventory; give where to go on, None at the end."""
    rows = await tx.scan("docs", after=after, limit=limit)
    replica = await load_replica(tx)
    for key, text in rows:
        collection, name = str(key[0]), str(key[1])
        record = decode_record(text)
        if is_wanted(collection, wanted) and record.state is not None:
            version = without_server(version_of(record, replica))
            marks = inventory.marks.setdefault(collection, {})
            marks[name] = Mark(_number(collection, name, record.state), version)
    return rows[-1][0] if len(rows) == limit else None


def checked_row(round_: int, value: JSON, place: str) -> Row:
    """Check a row that the other side said, or raise :class:`SchemaError`."""
    if type(value) is not list or len(value) < 2:
        raise SchemaError("a list was due", place=place)
    try:
        check_collection(value[0])
        if round_ == 2:
            check_key(value[1])
    except ValueError as error:
        raise SchemaError(str(error), place=place) from error
    match round_:
        case 0:
            is_right = len(value) == 3 and type(value[1]) is int and 0 <= value[1] <= MAX_COUNT
            is_right = is_right and _is_number(value[2])
        case 1:
            is_right = len(value) <= 1 + MAX_BUCKETS and all(map(_is_number, value[1:]))
        case _:
            is_right = len(value) == 4 and _is_number(value[2])
            decode_vector(value[-1], f"{place}.version")
    if not is_right:
        raise SchemaError("not what is said in this round", place=place)
    return value


def _is_news(number: str, version: VersionVector, other: str, other_version: VersionVector) -> bool:
    """Tell whether a state differs from another that does not come after it."""
    if number == other:
        return False
    return not includes(other_version, version) or includes(version, other_version)


def _differing_collections(mine: Sequence[Row], theirs: Sequence[Row]) -> dict[str, int]:
    """Give the collections that differ, each with the number of buckets in which to compare it."""
    here = {row[0]: row[1:] for row in mine}
    there = {row[0]: row[1:] for row in theirs}
    differing = {}
    for name in sorted({*here, *there}):
        one, other = here.get(name, [0, _text(0)]), there.get(name, [0, _text(0)])
        if one != other:
            most = max(one[0], other[0]) // PER_BUCKET
            differing[name] = min(MAX_BUCKETS, 1 << most.bit_length()) if min(one[0], other[0]) else 1
    return differing


def _differing_buckets(
    mine: Sequence[Sequence[Row]], theirs: Sequence[Sequence[Row]]
) -> dict[str, tuple[int, Set[int]]]:
    """Give of each collection that differs how many buckets there are, and which of them differ."""
    counts = _differing_collections(mine[0], theirs[0])
    there = {row[0]: row[1:] for row in theirs[1]}
    buckets: dict[str, tuple[int, Set[int]]] = {}
    for name, *sums in mine[1]:
        others = there.get(name)
        if others is None or len(others) != counts[name]:
            raise SchemaError(f"the other device did not compare the collection {name}", place="rows")
        differing = {i for i, (one, other) in enumerate(zip(sums, others, strict=True)) if one != other}
        buckets[name] = (counts[name], differing)
    return buckets


def _sums(marks: Mapping[str, Mark], count: int) -> list[str]:
    sums = [0] * count
    for key, mark in marks.items():
        sums[_bucket_of(key, count)] += mark.number
    return [_text(total) for total in sums]


def _sum(marks: Iterable[Mark]) -> str:
    return _text(sum(mark.number for mark in marks))


def _bucket_of(key: str, count: int) -> int:
    return int.from_bytes(sha256(key.encode()).digest()[:4], "big") % count if count > 1 else 0


def _number(collection: str, key: str, state: State) -> int:
    """Give a document's number: the same for the same registers, however they were merged."""
    plain = merge(state, state) if state.stamps else state
    text = dumps([collection, key, plain.body, plain.since, dict(plain.stamps)])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def _text(number: int) -> str:
    return f"{number % _MODULUS:0{_WIDTH}x}"


def _is_number(value: JSON) -> bool:
    return type(value) is str and len(value) == _WIDTH and set(value) <= set("0123456789abcdef")
