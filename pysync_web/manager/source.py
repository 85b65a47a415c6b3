"""A replica's documents as a query finds them, inside one transaction of its storage.

Every read happens at once, because a storage's transactions never wait; so the engine needs to know of no storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from ..core import replica as local
from ..core.indexes import Definitions, Index, Span, load_indexes, look_up
from ..core.optimistic import documents_of
from ..core.ports import ReadTransaction
from ..sdbql.source import Condition, Document, Found, Request
from ..storage.step import run
from .indexed import read_stamp
from .shelf import Shelf

MOST_VALUES: Final = 100
"""Up to how many values of an ``IN`` are looked up in an index one by one."""

_BELOW: Final = ("<", "<=")
_ABOVE: Final = (">", ">=")


class StoredSource:
    """Reads documents through a transaction; ``named`` are the collections that the query names.

    A collection begins with its first document. So one that has none yet is empty and no error, unless its name is
    nearly that of another one.
    """

    def __init__(self, tx: ReadTransaction, shelf: Shelf, known: Iterable[str], named: Iterable[str]) -> None:
        self._tx = tx
        self._shelf = shelf
        self._replica = run(local.load_replica(tx))
        shelf.at(run(read_stamp(tx)), self._replica)
        self._indexes: Definitions = run(load_indexes(tx))
        rows = run(_scan(tx, "collections"))
        self._known = {*known, *self._indexes, *(str(key[0]) for key, _ in rows)}
        self._known |= {name for name in named if not get_close_matches(name, self._known, 1, 0.75)}

    def collections(self) -> Sequence[str]:
        """Name all collections."""
        return sorted(self._known)

    def scan(self, collection: str) -> list[Document]:
        """Give all documents of a collection, in the order of their keys."""
        return self._shelf.documents(self._tx, collection)

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        return run(local.read_document(self._tx, collection, key))

    def find(self, request: Request) -> Found | None:
        """Find documents by the index that fits best, or give None where none does."""
        best = max(
            (_Plan.of(index, request.conditions) for index in self._indexes.get(request.collection, ())),
            key=lambda plan: plan.worth,
            default=None,
        )
        if best is None or best.worth == 0:
            return None
        keys = [key for span in best.spans for key in run(look_up(self._tx, span))]
        return Found(self._some(request.collection, sorted(set(keys))), best.index.name)

    def _some(self, collection: str, keys: Sequence[str]) -> list[Document]:
        kept = self._shelf.some(collection, keys)
        if kept is not None:
            return kept
        names = [(collection, key) for key in keys]
        texts = run(_get_many(self._tx, names))
        rows = [(name, text) for name, text in zip(names, texts, strict=True) if text is not None]
        return [document for _, document in documents_of(rows, self._replica)]


class _Plan:
    """Which part of an index holds what meets some conditions; ``worth`` is 0 where that is all of it."""

    def __init__(self, index: Index, spans: list[Span], worth: int) -> None:
        self.index = index
        self.spans = spans
        self.worth = worth

    @classmethod
    def of(cls, index: Index, conditions: Sequence[Condition]) -> _Plan:
        """Plan for one index: equal values for its first fields, then bounds for the next one."""
        by_field: dict[str, list[Condition]] = {}
        for condition in conditions:
            if not any("." in name for name in condition.path):  # such a field has no name in an index
                by_field.setdefault(".".join(condition.path), []).append(condition)
        prefixes: list[tuple[Any, ...]] = [()]
        for depth, field in enumerate(index.fields):
            values = _values(by_field.get(field, ()))
            if values is None or len(prefixes) * len(values) > MOST_VALUES:
                low, high = _bounds(by_field.get(field, ()))
                is_bound = low is not None or high is not None
                return cls(index, [Span(index, prefix, low, high) for prefix in prefixes], 2 * depth + is_bound)
            prefixes = [(*prefix, value) for prefix in prefixes for value in values]
        return cls(index, [Span(index, prefix) for prefix in prefixes], 2 * len(index.fields) + index.is_unique)


def _values(conditions: Sequence[Condition]) -> Sequence[Any] | None:
    """Give the values that a field may have, or None where they can't be listed."""
    for condition in conditions:
        if condition.operator == "==":
            return [condition.value]
    for condition in conditions:
        if condition.operator == "in" and isinstance(condition.value, list):
            return condition.value
    return None


def _bounds(conditions: Sequence[Condition]) -> tuple[tuple[Any] | None, tuple[Any] | None]:
    """Give the lower and the upper bound of a field, one of each; the query looks at the others itself."""
    low = next(((one.value,) for one in conditions if one.operator in _ABOVE), None)
    high = next(((one.value,) for one in conditions if one.operator in _BELOW), None)
    return low, high


class Gathering(StoredSource):
    """A source that a query writes to: what it writes is gathered, and made when the query is through."""

    writes: Mapping[str, Mapping[str, Document | None]] = MappingProxyType({})

    def put(self, collection: str, key: str, document: Document) -> None:
        """Store a document."""
        self.apply({collection: {key: document}})

    def remove(self, collection: str, key: str) -> None:
        """Remove a document."""
        self.apply({collection: {key: None}})

    def apply(self, writes: Mapping[str, Mapping[str, Document | None]]) -> None:
        """Take all writes of the query."""
        self.writes = writes


async def _scan(tx: ReadTransaction, space: str) -> list[tuple[Any, str]]:
    return await tx.scan(space)


async def _get_many(tx: ReadTransaction, names: Sequence[tuple[str, str]]) -> list[str | None]:
    return await tx.get_many("docs", names)
