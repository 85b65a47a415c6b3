"""A replica's documents as a query finds them, inside one transaction of its storage.

Every read happens at once, because a storage's transactions never wait; so the engine needs to know of no storage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from ..core import replica as local
from ..core.indexes import DEFINITIONS, Index, Span, look_up
from ..core.optimistic import documents_of
from ..core.outbox import replica_of
from ..core.ports import Key, ReadTransaction
from ..sdbql.source import Condition, Document, Found, Request
from ..storage.step import run
from .indexed import STAMP
from .shelf import Shelf

MOST_VALUES: Final = 100
"""Up to how many values of an ``IN`` are looked up in an index one by one."""

_BELOW: Final = ("<", "<=")
_ABOVE: Final = (">", ">=")


class StoredSource:
    """Reads documents through a transaction; ``named`` are the collections that the query names.

    It may come upon others where ``reads_any``. ``known`` are those that have been seen before; it grows. A
    collection begins with its first document, so one that has none yet is empty and no error, unless its name is
    nearly that of another one.
    """

    def __init__(
        self, tx: ReadTransaction, shelf: Shelf, known: set[str], named: Collection[str], reads_any: bool
    ) -> None:
        self._tx = tx
        self._shelf = shelf
        self._has_looked = False
        self._replica = ""
        self._definitions: str | None = None
        self._known = known
        if reads_any or not known.issuperset(named):
            known.update(str(key[0]) for key, _ in run(_scan(tx, "collections")))
            self._known = known | {name for name in named if not get_close_matches(name, known, 1, 0.75)}

    def collections(self) -> Collection[str]:
        """Name all collections."""
        return self._known

    def scan(self, collection: str) -> list[Document]:
        """Give all documents of a collection, in the order of their keys."""
        self._look()
        return self._shelf.kept(self._tx, collection).documents

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        return run(local.read_document(self._tx, collection, key))

    def find(self, request: Request) -> Found | None:
        """Find documents by the index that fits best, or give None where none does."""
        if self._shelf.has(request.collection):
            self._look()
        else:
            self._definitions = run(_get(self._tx, "meta", DEFINITIONS))
        indexes = self._shelf.indexes(self._definitions)
        best = max(
            (_Plan.of(index, request.conditions) for index in indexes.get(request.collection, ())),
            key=lambda plan: plan.worth,
            default=None,
        )
        if best is None or best.worth == 0:
            return None
        return Found(self._found(request.collection, best), best.index.name)

    def _found(self, collection: str, plan: _Plan) -> list[Document]:
        """Give the documents of a plan: from what is kept in memory, else from the storage's own index."""
        if self._has_looked and (kept := self._shelf.current(collection)) is not None:
            if plan.is_exact:
                return kept.matching(plan.index, [span.equal for span in plan.spans])
            return kept.some(self._names(collection, plan))
        names = self._names(collection, plan)
        texts = run(_get_many(self._tx, "docs", names))
        rows = [(name, text) for name, text in zip(names, texts, strict=True) if text is not None]
        return [document for _, document in documents_of(rows, self._id(text for _, text in rows))]

    def _names(self, collection: str, plan: _Plan) -> list[Key]:
        keys = {key for span in plan.spans for key in run(look_up(self._tx, span))}
        return [(collection, key) for key in sorted(keys)]

    def _id(self, texts: Iterable[str]) -> str:
        """Give the replica's id if there is a record that needs it."""
        if not self._replica and any('"p":[' in text for text in texts):
            self._replica = run(local.load_replica(self._tx))
        return self._replica

    def _look(self) -> None:
        """Bring the shelf to this transaction's moment."""
        if not self._has_looked:
            counters, *others, self._definitions = run(_get_many(self._tx, "meta", (*STAMP, DEFINITIONS)))
            self._replica = replica_of(counters or "")
            self._shelf.at((counters, *others), self._replica)
            self._has_looked = True


class _Plan:
    """Which part of an index holds what meets some conditions; ``worth`` is 0 where that is all of it.

    ``is_exact`` says that each span is one value of each field.
    """

    def __init__(self, index: Index, spans: list[Span], worth: int) -> None:
        self.index = index
        self.spans = spans
        self.worth = worth
        self.is_exact = all(len(span.equal) == len(index.fields) for span in spans)

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


async def _get(tx: ReadTransaction, space: str, key: Key) -> str | None:
    return await tx.get(space, key)


async def _get_many(tx: ReadTransaction, space: str, keys: Sequence[Key]) -> list[str | None]:
    return await tx.get_many(space, keys)
