"""The data of a running query: the source, and over it what the query has written but not yet stored.

Nothing reaches the source before the query has come to its end, so a query that fails leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ...errors import QueryError
from ..source import DataSource, Document, Found, Lists, Request, is_open

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Pending:
    """A source with writes on top; itself a source for functions that read."""

    def __init__(self, source: DataSource) -> None:
        self.source = source
        self.is_open = is_open(source)
        self._find = getattr(source, "find", None)
        self._writes: dict[str, dict[str, Document | None]] = {}
        self._keys: dict[str, dict[str, Document]] = {}

    def collections(self) -> Collection[str]:
        """Name all collections."""
        return self.source.collections()

    def scan(self, collection: str) -> Iterable[Document]:
        """Give all documents, those that were written at their places and new ones last."""
        if collection in self._writes:
            return self._merged(collection, self._writes[collection])
        return self.source.scan(collection)

    def _merged(self, collection: str, writes: dict[str, Document | None]) -> Iterator[Document]:
        fresh = dict(writes)
        for document in self.source.scan(collection):
            key = document.get("_key")
            if key in writes:
                fresh.pop(key, None)
                written = writes[key]
                if written is not None:
                    yield written
            else:
                yield document
        yield from (document for document in fresh.values() if document is not None)

    def get(self, collection: str, key: str) -> Document | None:
        """Give one document, or None."""
        writes = self._writes.get(collection)
        if writes is not None and key in writes:
            return writes[key]
        if not isinstance(self.source, Lists):
            return self.source.get(collection, key)
        if collection not in self._keys:  # a list has no way to a key; it does not change before the query ends
            documents = list(self.source.scan(collection))[::-1]
            self._keys[collection] = {one["_key"]: one for one in documents if isinstance(one.get("_key"), str)}
        return self._keys[collection].get(key)

    def find(self, request: Request) -> Found | None:
        """Ask the source for a part of a collection; None means that it must be scanned."""
        if self._find is None or request.collection in self._writes:
            return None
        found: Found | None = self._find(request)
        return found

    def write(self, collection: str, key: str, document: Document | None) -> None:
        """Note a document, or its removal."""
        if not hasattr(self.source, "put"):
            raise QueryError("This data can only be read")
        self._writes.setdefault(collection, {})[key] = document

    def store(self) -> None:
        """Hand all writes to the source."""
        if not self._writes:
            return
        apply: Any = getattr(self.source, "apply", None)
        if apply is not None:
            apply(self._writes)
            return
        target: Any = self.source
        for collection, writes in self._writes.items():
            for key, document in writes.items():
                if document is None:
                    target.remove(collection, key)
                else:
                    target.put(collection, key, document)


def new_key(now_ms: int, bits: int) -> str:
    """Make a key of 26 letters and digits that sorts by time: 48 bits of milliseconds, 80 of chance."""
    number = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | bits
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
