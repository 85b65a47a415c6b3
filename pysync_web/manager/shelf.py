"""Documents of collections that queries read, kept parsed in memory: parsing them is most of a scan's cost.

What is kept is compared with the storage inside the query's own transaction, so it is never older than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..core.optimistic import documents_of
from ..core.ports import Key, ReadTransaction
from ..storage.step import run

MOST_DOCUMENTS: Final = 50_000
"""How many documents are kept, of all collections together; larger collections are read anew each time."""

Document = dict[str, Any]


class Shelf:
    """The documents of some collections as of a stamp, those used last behind."""

    def __init__(self) -> None:
        self._stamp: Sequence[str | None] = ()
        self._replica = ""
        self._collections: dict[str, _Kept] = {}

    def at(self, stamp: Sequence[str | None], replica: str) -> None:
        """Go to the moment of a transaction: what was kept for another one is looked through again."""
        if replica != self._replica:
            self._collections.clear()
            self._replica = replica
        if stamp != self._stamp:
            for kept in self._collections.values():
                kept.is_current = False
            self._stamp = stamp

    def documents(self, tx: ReadTransaction, collection: str) -> list[Document]:
        """Give all documents of a collection in the order of their keys; they are not the caller's to change."""
        kept = self._collections.pop(collection, None) or _Kept()
        if not kept.is_current:
            kept.take(run(_rows(tx, collection)), self._replica)
        if len(kept.documents) <= MOST_DOCUMENTS:
            self._collections[collection] = kept
            self._drop()
        return kept.documents

    def some(self, collection: str, keys: Sequence[str]) -> list[Document] | None:
        """Give the documents of these keys, or None where the collection is not kept."""
        kept = self._collections.get(collection)
        if kept is None or not kept.is_current:
            return None
        found = (kept.texts.get((collection, key), ("", None))[1] for key in keys)
        return [document for document in found if document is not None]

    def _drop(self) -> None:
        """Forget what was used longest ago, until the rest is not too much."""
        total = sum(len(kept.texts) for kept in self._collections.values())
        while total > MOST_DOCUMENTS:
            oldest = next(iter(self._collections))
            total -= len(self._collections.pop(oldest).texts)


class _Kept:
    """A collection's documents, each with the text that it was made of."""

    __slots__ = ("documents", "is_current", "texts")

    def __init__(self) -> None:
        self.texts: dict[Key, tuple[str, Document | None]] = {}
        self.documents: list[Document] = []
        self.is_current = False

    def take(self, rows: Sequence[tuple[Key, str]], replica: str) -> None:
        """Take in the collection as it is now: only what has another text is parsed."""
        before = self.texts.get
        nothing = ("", None)
        fresh = [row for row in rows if before(row[0], nothing)[0] != row[1]]
        parsed = dict(documents_of(fresh, replica))
        after: dict[Key, tuple[str, Document | None]] = {}
        if len(fresh) == len(rows):
            after = {key: (text, parsed.get(str(key[1]))) for key, text in rows}
        else:
            changed = {key for key, _ in fresh}
            for key, text in rows:
                after[key] = (text, parsed.get(str(key[1]))) if key in changed else self.texts[key]
        self.texts = after
        self.documents = [document for _, document in after.values() if document is not None]
        self.is_current = True


async def _rows(tx: ReadTransaction, collection: str) -> list[tuple[Key, str]]:
    return await tx.scan("docs", (collection,))
