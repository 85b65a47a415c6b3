"""Secondary indexes of a replica's documents: entries under ordered keys, written together with what they mirror.

They find every document that may have the values asked for, and now and then one that has not, because long texts
are cut: whoever asks looks at the documents themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ..deferred import dataclass
from ..errors import InvalidDocument
from ..values import JSON, dumps, loads, order_key
from .fields import shown as shown_body
from .optimistic import view_text
from .ports import Key, ReadTransaction, WriteTransaction
from .replica import load_replica

MAX_FIELDS: Final = 4
MAX_INDEXES: Final = 32
"""How many indexes a collection may have."""

TEXT_CHARS: Final = 64
"""How much of a text is in an entry."""

_SPACE: Final = "index"  # (collection, index name, value …, key) → null
_REVERSE: Final = "indexed"  # (collection, key) → the entries of a document
DEFINITIONS: Final = ("indexes",)
_ENTRY: Final = "null"
_LAST: Final = "\U0010ffff"
_STEP: Final = 256


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection over one or more fields, each a path as ``address.city``.

    ``is_unique`` refuses local writes that would give two documents of this replica the same values; documents that
    come from elsewhere are taken as they are, because they are there already.
    """

    name: str
    collection: str
    fields: tuple[str, ...]
    is_unique: bool = False

    def values_of(self, body: JSON) -> tuple[JSON, ...]:
        """Give a document's values in the fields; a field that is missing is null."""
        return tuple(value_at(body, field.split(".")) for field in self.fields)


Definitions = dict[str, list[Index]]
"""The indexes of each collection that has some."""


def value_at(body: JSON, path: Sequence[str]) -> JSON:
    """Give what lies at a path of names, or None."""
    for name in path:
        if type(body) is not dict:
            return None
        body = body.get(name)
    return body


def sort_text(value: JSON) -> str:
    """Give a text that sorts as the value does among all values, but for what :data:`TEXT_CHARS` cuts off."""
    match value:
        case None:
            return "0"
        case bool():
            return "2" if value else "1"
        case int() | float():
            return f"3{_number_text(value)}"
        case str():
            return f"4{value[:TEXT_CHARS]}"
        case list():
            return "5"
    return "6"


def _number_text(value: float) -> str:
    """Give the 16 hexadecimal digits of an IEEE 754 double, turned so that they sort as numbers do."""
    try:
        packed = struct.pack(">d", value or 0.0)
    except OverflowError:  # an integer of a query, larger than any in a document
        packed = struct.pack(">d", float("inf") if value > 0 else float("-inf"))
    (bits,) = struct.unpack(">Q", packed)
    return f"{bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 0x8000_0000_0000_0000):016x}"


async def load_indexes(tx: ReadTransaction) -> Definitions:
    """Read which indexes there are."""
    return decode_indexes(await tx.get("meta", DEFINITIONS))


def decode_indexes(text: str | None) -> Definitions:
    """Give the indexes that a text lists, which lies under :data:`DEFINITIONS` in ``meta``."""
    definitions: Definitions = {}
    for name, collection, fields, is_unique in loads(text) if text else ():
        definitions.setdefault(collection, []).append(Index(name, collection, tuple(fields), is_unique))
    return definitions


async def create_index(tx: WriteTransaction, index: Index) -> bool:
    """Make an index and fill it; say whether it is new. Raises :class:`InvalidDocument` where one can't be."""
    definitions = await load_indexes(tx)
    for other in definitions.get(index.collection, ()):
        if other == index:
            return False
        if other.name == index.name:
            raise InvalidDocument(f"index {index.name!r}: {index.collection!r} has another one of that name")
    if len(definitions.get(index.collection, ())) >= MAX_INDEXES:
        raise InvalidDocument(f"collection {index.collection!r} has {MAX_INDEXES} indexes, as many as may be")
    definitions.setdefault(index.collection, []).append(index)
    _put_definitions(tx, definitions)
    names = [key for key, _ in await tx.scan("docs", (index.collection,))]
    await _refresh(tx, definitions, names, await load_replica(tx), may_refuse=True)
    return True


async def drop_index(tx: WriteTransaction, collection: str, name: str) -> bool:
    """Remove an index with its entries; say whether there was one."""
    definitions = await load_indexes(tx)
    kept = [index for index in definitions.get(collection, ()) if index.name != name]
    if len(kept) == len(definitions.get(collection, ())):
        return False
    definitions[collection] = kept
    _put_definitions(tx, definitions)
    names = [key for key, _ in await tx.scan(_REVERSE, (collection,))]
    await _refresh(tx, definitions, names, await load_replica(tx), may_refuse=False)
    return True


def _put_definitions(tx: WriteTransaction, definitions: Definitions) -> None:
    rows = [[one.name, one.collection, one.fields, one.is_unique] for some in definitions.values() for one in some]
    tx.put("meta", DEFINITIONS, dumps(rows))


async def refresh_written(tx: WriteTransaction, names: Collection[Key], *, may_refuse: bool) -> None:
    """Bring the indexes up to date with the documents that a transaction has written.

    ``may_refuse`` is for writes that are made here: they raise :class:`InvalidDocument` where they break a unique
    index, and must then leave no trace.
    """
    definitions = await load_indexes(tx)
    names = [name for name in names if name[0] in definitions]
    if names:
        await _refresh(tx, definitions, names, await load_replica(tx), may_refuse=may_refuse)


async def _refresh(
    tx: WriteTransaction, definitions: Definitions, names: Collection[Key], replica: str, *, may_refuse: bool
) -> None:
    """Bring the entries of documents up to date, all of them before any is compared with others."""
    wanted = list(names)
    shown: list[tuple[Key, JSON]] = []
    before = await tx.get_many(_REVERSE, wanted)
    stored = await tx.get_many("docs", wanted)
    for name, old, text in zip(wanted, before, stored, strict=True):
        seen = view_text(text, replica) if text else None
        entries = _entries(definitions.get(str(name[0]), ()), shown_body(seen.body)) if seen else []
        if (new := dumps(entries) if entries else None) == old:
            continue
        for entry in loads(old) if old else ():
            tx.delete(_SPACE, (name[0], *entry, name[1]))
        for entry in entries:
            tx.put(_SPACE, (name[0], *entry, name[1]), _ENTRY)
        if new is None:
            tx.delete(_REVERSE, name)
        else:
            tx.put(_REVERSE, name, new)
        if seen is not None:
            shown.append((name, shown_body(seen.body)))
    for name, body in shown if may_refuse else ():
        await _check_unique(tx, definitions.get(str(name[0]), ()), name, body, replica)


def _entries(indexes: Iterable[Index], body: JSON) -> list[list[str]]:
    return [[index.name, *map(sort_text, index.values_of(body))] for index in indexes]


async def _check_unique(
    tx: WriteTransaction, indexes: Iterable[Index], name: Key, body: JSON, replica: str
) -> None:
    """Raise :class:`InvalidDocument` where another document has the same values; one without any is let be."""
    for index in indexes:
        values = index.values_of(body)
        if not index.is_unique or all(value is None for value in values):
            continue
        prefix = (index.collection, index.name, *map(sort_text, values))
        for key, _ in await tx.scan(_SPACE, prefix):
            other = await tx.get("docs", (index.collection, key[-1])) if key[-1] != name[1] else None
            seen = view_text(other, replica) if other else None
            if seen is not None and order_key(list(index.values_of(shown_body(seen.body)))) == order_key(
                list(values)
            ):
                shown = ", ".join(f"{field} {dumps(v)[:60]}" for field, v in zip(index.fields, values, strict=True))
                raise InvalidDocument(
                    f"document {name[1]!r}: {shown} is taken by {key[-1]!r}, and index {index.name!r} of "
                    f"{index.collection!r} is unique"
                )


# Looking up


@dataclass(frozen=True, slots=True)
class Span:
    """Part of an index: equal values of its first fields, and bounds (``None``: open) of the next one."""

    index: Index
    equal: tuple[JSON, ...] = ()
    low: tuple[JSON] | None = None
    high: tuple[JSON] | None = None


async def look_up(tx: ReadTransaction, span: Span) -> list[str]:
    """Give the keys of the documents in a span, in the index's order."""
    index = span.index
    prefix = (index.collection, index.name, *map(sort_text, span.equal))
    after: Key | None = (*prefix, sort_text(span.low[0])) if span.low else None
    end = sort_text(span.high[0]) + _LAST if span.high else None
    found: list[str] = []
    while True:
        rows = await tx.scan(_SPACE, prefix, after=after, limit=None if end is None else _STEP)
        if end is None:
            return [str(key[-1]) for key, _ in rows]
        found += [str(key[-1]) for key, _ in rows if str(key[len(prefix)]) < end]
        if len(rows) < _STEP or str(rows[-1][0][len(prefix)]) >= end:
            return found
        after = rows[-1][0]
