"""Where a query finds its documents: the port that storage, dicts and servers implement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from ..deferred import dataclass

Document: TypeAlias = "dict[str, Any]"
"""A document with its ``_key``. What a source gives out is not the query's to change."""


class DataSource(Protocol):
    """Documents to read. Where it has ``is_open``, and that is true, a collection that it does not name is empty."""

    def collections(self) -> Collection[str]:
        """Name all collections."""
        ...

    def scan(self, collection: str) -> Iterable[Document]:
        """Give all documents of a collection, in the order of their keys."""
        ...

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        ...


Comparison: TypeAlias = Literal["==", "<", "<=", ">", ">=", "in"]


class Condition(NamedTuple):
    """``document.a.b >= value``; for ``in`` the value is an array."""

    path: tuple[str, ...]
    operator: Comparison
    value: Any


class Request(NamedTuple):
    """The part of a collection that a query needs: documents that meet all conditions, in an order, the first few.

    ``order`` holds paths, each with whether it is descending. ``limit`` holds only for a source that meets all
    conditions exactly and gives the documents in the whole order; any other must ignore it.
    """

    collection: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[tuple[str, ...], bool], ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer to a request: at least the documents that meet the conditions, and how they were found.

    The query filters and sorts them again, so too many of them, in any order, are right as well. ``is_ordered`` says
    that they come in the order that was asked for.
    """

    documents: Iterable[Document]
    index: str | None = None
    is_ordered: bool = False


class SearchableSource(DataSource, Protocol):
    """Documents that can be found without reading all of them."""

    def find(self, request: Request) -> Found | None:
        """Give a part of a collection, or None where a scan is as good."""
        ...


class WritableSource(DataSource, Protocol):
    """Documents to read and write; what was written is seen at once.

    A source that has ``apply(writes)``, where ``writes`` maps collections to keys to documents or None, gets all the
    writes of a query in that one call instead. One that has ``new_key()`` makes the keys of documents without one.
    """

    def put(self, collection: str, key: str, document: Document) -> None:
        """Store a document under a key, in place of the one that is there."""
        ...

    def remove(self, collection: str, key: str) -> None:
        """Remove a document."""
        ...


def is_open(source: DataSource) -> bool:
    """Tell whether any collection may be asked for, and is empty until it has a document."""
    return bool(getattr(source, "is_open", False))


class Lists:
    """A plain mapping of collection names to lists of documents as a source; writing changes the lists."""

    def __init__(self, data: Mapping[str, list[Document]]) -> None:
        self._data = data

    def collections(self) -> Collection[str]:
        """Name all collections."""
        return list(self._data)

    def scan(self, collection: str) -> Iterable[Document]:
        """Give all documents of a collection, in the order of the list."""
        return self._data.get(collection, ())

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        return next((one for one in self._data.get(collection, ()) if one.get("_key") == key), None)

    def put(self, collection: str, key: str, document: Document) -> None:
        """Store a document under a key."""
        self.apply({collection: {key: document}})

    def remove(self, collection: str, key: str) -> None:
        """Remove a document."""
        self.apply({collection: {key: None}})

    def apply(self, writes: Mapping[str, Mapping[str, Document | None]]) -> None:
        """Store and remove many documents, each list in one go; new ones come last."""
        for collection, changes in writes.items():
            fresh = dict(changes)
            kept: list[Document] = []
            for document in self._data[collection]:
                key = document.get("_key")
                if not isinstance(key, str) or key not in changes:
                    kept.append(document)
                elif (changed := fresh.pop(key, None)) is not None:
                    kept.append(changed)
            kept.extend(document for document in fresh.values() if document is not None)
            self._data[collection][:] = kept
