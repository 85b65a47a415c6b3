"""A replica's documents as a query finds them, inside one transaction of its storage.

Every read happens at once, because a storage's transactions never wait; so the engine needs to know of no storage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ..core import replica as local
from ..core.indexes import DEFINITIONS, Index, Span, look_up
from ..core.optimistic import documents_of
from ..core.ports import Key, ReadTransaction
from ..deferred import dataclass
from ..errors import SyncError
from ..sdbql import Prepared
from ..sdbql.source import Condition, Document, Found, Request
from ..storage.step import run
from .indexed import STAMP
from .shelf import Shelf

MOST_VALUES: Final = 100
"""Up to how many values of an ``IN`` are looked up in an index one by one."""

_BELOW: Final = ("<", "<=")
_ABOVE: Final = (">", ">=")


class StoredSource:
    """Reads documents through a transaction, for one query.

    ``known`` are collections that have been seen before; it grows. A collection begins with its first document, so
    one that has none yet is empty and no error: the document may be on its way from another device.
    """

    is_open = True

    def __init__(self, tx: ReadTransaction, shelf: Shelf, known: set[str], query: Prepared) -> None:
        self._tx = tx
        self._shelf = shelf
        self._has_looked = False
        self._known = known
        if query.reads_unknown or not known.issuperset(query.named):
            known.update(str(key[0]) for key, _ in run(_scan(tx, "collections")))

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
        self._look()
        best = _best(self._shelf.indexes.get(request.collection, ()), request.conditions)
        return Found(self._found(request.collection, best), best.index.name) if best else None

    def _found(self, collection: str, plan: _Plan) -> list[Document]:
        """Give the documents of a plan: from what is kept in memory, else from the storage's own index."""
        if (kept := self._shelf.current(collection)) is not None:
            if plan.is_exact:
                return kept.matching(plan.index, [span.equal for span in plan.spans])
            return kept.some(self._names(collection, plan))
        names = self._names(collection, plan)
        texts = run(_get_many(self._tx, "docs", names))
        rows = [(name, text) for name, text in zip(names, texts, strict=True) if text is not None]
        return [document for _, document in documents_of(rows, self._shelf.replica)]

    def _names(self, collection: str, plan: _Plan) -> list[Key]:
        keys = {key for span in plan.spans for key in run(look_up(self._tx, span))}
        return [(collection, key) for key in sorted(keys)]

    def _look(self) -> None:
        """Bring the shelf to this transaction's moment, unless it is known to be there."""
        if self._has_looked:
            return
        self._has_looked = True
        version = getattr(self._tx, "version", None)
        if version is None or version != self._shelf.version:
            texts = run(_get_many(self._tx, "meta", (*STAMP, DEFINITIONS)))
            if texts[0] is None:
                raise SyncError(local.EMPTIED)
            self._shelf.at(texts)
            self._shelf.version = version


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which part of an index holds what meets some conditions; ``worth`` is 0 where that is all of it.

    ``is_exact`` says that each span is one value of each field.
    """

    index: Index
    spans: list[Span]
    worth: int
    is_exact: bool = False


def _best(indexes: Iterable[Index], conditions: Sequence[Condition]) -> _Plan | None:
    """Plan for the index that fits best, or give None where none does."""
    by_field: dict[str, list[Condition]] = {}
    for condition in conditions:
        field = ".".join(condition.path)
        if field.count(".") < len(condition.path):  # a name with a dot in it is no field of an index
            by_field.setdefault(field, []).append(condition)
    best = None
    for index in indexes:
        plan = _planned(index, by_field) if index.fields[0] in by_field else None
        if plan is not None and plan.worth > (best.worth if best else 0):
            best = plan
    return best


def _planned(index: Index, by_field: Mapping[str, Sequence[Condition]]) -> _Plan:
    """Plan for one index: equal values for its first fields, then bounds for the next one."""
    prefixes: list[tuple[Any, ...]] = [()]
    for depth, field in enumerate(index.fields):
        conditions = by_field.get(field, ())
        values = _values(conditions)
        if values is None or len(prefixes) * len(values) > MOST_VALUES:
            low, high = _bounds(conditions)
            is_bound = low is not None or high is not None
            return _Plan(index, [Span(index, prefix, low, high) for prefix in prefixes], 2 * depth + is_bound)
        prefixes = [(*prefix, value) for prefix in prefixes for value in values]
    return _Plan(index, [Span(index, one) for one in prefixes], 2 * len(index.fields) + index.is_unique, True)


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
    """A source that a query writes to: what it writes is gathered, and made when the query is through.

    ``new_key`` makes keys for documents without one; where it is None, the query makes its own.
    """

    new_key: Callable[[], str] | None = None
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


async def _get_many(tx: ReadTransaction, space: str, keys: Sequence[Key]) -> list[str | None]:
    return await tx.get_many(space, keys)
