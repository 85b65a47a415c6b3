"""Documents of collections that queries read, kept parsed in memory: parsing them is most of a scan's cost.

What is kept is compared with the storage inside the query's own transaction, so it is never older than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ..core.indexes import Definitions, Index, decode_indexes, sort_text
from ..core.optimistic import documents_of
from ..core.outbox import replica_of
from ..core.ports import Key, ReadTransaction
from ..storage.step import run

MOST_CHARS: Final = 48 * 1024 * 1024
"""How many characters of text the kept documents have, all together; what is larger is read anew each time."""

Document = dict[str, Any]


class Shelf:
    """The documents of some collections as of a stamp, those used last behind, and the indexes.

    ``version`` is that of the storage at that moment where the storage tells, ``replica`` the id that it had.
    """

    def __init__(self) -> None:
        self.version: object = None
        self.replica = ""
        self.indexes: Definitions = {}
        self._stamp: Sequence[str | None] = ()
        self._definitions: str | None = None
        self._collections: dict[str, Kept] = {}

    def at(self, texts: Sequence[str | None]) -> None:
        """Go to the moment of a transaction: what was kept for another one is looked through again.

        ``texts`` are what lies under the keys of the stamp, and the indexes as they are stored.
        """
        *stamp, definitions = texts
        replica = replica_of(str(stamp[0]))
        if replica != self.replica:
            self._collections.clear()
            self.replica = replica
        if stamp != self._stamp:
            for kept in self._collections.values():
                kept.is_current = False
            self._stamp = stamp
        if definitions != self._definitions:
            self.indexes = decode_indexes(definitions)
            self._definitions = definitions

    def kept(self, tx: ReadTransaction, collection: str) -> Kept:
        """Give all documents of a collection as they are now."""
        kept = self._collections.pop(collection, None) or Kept()
        if not kept.is_current:
            kept.take(run(_rows(tx, collection)), self.replica)
        if kept.chars <= MOST_CHARS:
            self._collections[collection] = kept
            self._drop()
        return kept

    def current(self, collection: str) -> Kept | None:
        """Give a collection if it is kept as it is now."""
        kept = self._collections.get(collection)
        return kept if kept is not None and kept.is_current else None

    def _drop(self) -> None:
        """Forget what was used longest ago, until the rest is not too much."""
        total = sum(kept.chars for kept in self._collections.values())
        while total > MOST_CHARS:
            oldest = next(iter(self._collections))
            total -= self._collections.pop(oldest).chars


class Kept:
    """A collection's documents in the order of their keys; they are not the caller's to change."""

    __slots__ = ("_tables", "_texts", "chars", "documents", "is_current")

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.chars = 0
        self.is_current = False
        self._texts: dict[Key, tuple[str, Document | None]] = {}
        self._tables: dict[tuple[str, ...], dict[tuple[str, ...], list[Document]]] = {}

    def some(self, names: Iterable[Key]) -> list[Document]:
        """Give the documents of some keys."""
        found = (self._texts.get(name) for name in names)
        return [one[1] for one in found if one is not None and one[1] is not None]

    def matching(self, index: Index, values: Iterable[tuple[Any, ...]]) -> list[Document]:
        """Give the documents that may have one of these values in an index's fields, by a table made once.

        They are in the order of their keys.
        """
        table = self._tables.get(index.fields)
        if table is None:
            table = self._tables[index.fields] = {}
            for document in self.documents:
                table.setdefault(tuple(map(sort_text, index.values_of(document))), []).append(document)
        texts = {tuple(map(sort_text, one)) for one in values}
        if len(texts) == 1:
            return table.get(texts.pop(), [])
        found = [document for one in texts for document in table.get(one, ())]
        return sorted(found, key=lambda document: str(document["_key"]))

    def take(self, rows: Sequence[tuple[Key, str]], replica: str) -> None:
        """Take in the collection as it is now: only what has another text is parsed."""
        before = self._texts.get
        nothing = ("", None)
        fresh = [row for row in rows if before(row[0], nothing)[0] != row[1]]
        parsed = dict(documents_of(fresh, replica))
        after: dict[Key, tuple[str, Document | None]] = {}
        if len(fresh) == len(rows):
            after = {key: (text, parsed.get(str(key[1]))) for key, text in rows}
        else:
            changed = {key for key, _ in fresh}
            for key, text in rows:
                after[key] = (text, parsed.get(str(key[1]))) if key in changed else self._texts[key]
        self._texts = after
        self.chars = sum(len(text) for _, text in rows)
        self.documents = [document for _, document in after.values() if document is not None]
        self._tables.clear()
        self.is_current = True


async def _rows(tx: ReadTransaction, collection: str) -> list[tuple[Key, str]]:
    return await tx.scan("docs", (collection,))
