"""Where a query finds its documents: the port that storage, dicts and servers implement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Document: TypeAlias = "dict[str, Any]"
"""A document with its ``_key``. What a source gives out is not the query's to change."""


class DataSource(Protocol):
    """Documents to read."""

    def collections(self) -> Sequence[str]:
        """Name all collections."""
        ...

    def scan(self, collection: str) -> Iterable[Document]:
        """Give all documents of a collection, in the order of their keys."""
        ...

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        ...


class WritableSource(DataSource, Protocol):
    """Documents to read and write; what was written is seen at once."""

    def put(self, collection: str, key: str, document: Document) -> None:
        """Store a document under a key, in place of the one that is there."""
        ...

    def remove(self, collection: str, key: str) -> None:
        """Remove a document."""
        ...


class Lists:
    """A plain mapping of collection names to lists of documents as a source; writing changes the lists."""

    def __init__(self, data: Mapping[str, list[Document]]) -> None:
        self._data = data

    def collections(self) -> Sequence[str]:
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
        documents = self._data[collection]
        for place, one in enumerate(documents):
            if one.get("_key") == key:
                documents[place] = document
                return
        documents.append(document)

    def remove(self, collection: str, key: str) -> None:
        """Remove a document."""
        self._data[collection][:] = [one for one in self._data[collection] if one.get("_key") != key]
