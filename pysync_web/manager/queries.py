"""Queries over a replica's documents: asked once, explained, kept live, and helped by indexes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from ..core import indexes
from ..core import replica as local
from ..core.indexes import Definitions, Index
from ..core.ports import Key, ReadTransaction, WriteTransaction
from ..core.replica import Write, WriteOptions, checked_body
from ..errors import InvalidDocument, QueryError
from ..sdbql import QueryLimits, collections_of, explain, parse, prepare
from ..sdbql.places import did_you_mean
from ..sdbql.walk import is_writing
from ..values import JSON, canonical, check_collection, dumps
from .indexed import IndexedStorage
from .shelf import Shelf
from .source import Gathering, StoredSource

Binds = dict[str, JSON]
_GIVEN = ("_id", "_key", "_version", "_timestamp")


class Queries:
    """What a manager knows of queries. ``known`` are the collections that its settings name."""

    def __init__(
        self,
        storage: IndexedStorage,
        known: Iterable[str],
        now_ms: Callable[[], int],
        limits: QueryLimits | None,
        new_key: Callable[[], str],
        check: Callable[[str], str],
    ) -> None:
        self._storage = storage
        self._known = set(known)
        self._now_ms = now_ms
        self._rng = random.SystemRandom()
        self._chance = random.Random()
        self._limits = limits or QueryLimits()
        self._new_key = new_key
        self._check = check
        self._shelf = Shelf()
        self._live: set[LiveQuery] = set()

    def is_writing(self, query: str) -> bool:
        """Tell whether a query writes."""
        return _is_writing(query, self._limits.query_chars, self._limits.depth)

    def collections_of(self, query: str, binds: Binds) -> set[str] | None:
        """Name the collections that a query reads or writes, or give None where only running it could tell."""
        return collections_of(query, binds, limits=self._limits)

    async def read(self, query: str, binds: Binds) -> list[JSON]:
        """Run a query that only reads over one snapshot."""

        prepared = prepare(query, binds, limits=self._limits)

        async def body(tx: ReadTransaction) -> list[JSON]:
            source = StoredSource(tx, self._shelf, self._known, prepared)
            return prepared.execute(source, now=self._now_ms, rng=self._chance)

        return await self._storage.read(body)

    async def write(self, query: str, binds: Binds, options: WriteOptions) -> tuple[list[JSON], list[local.Event]]:
        """Run a query and make what it writes in one transaction, all or nothing; give rows and what happened."""

        prepared = prepare(query, binds, limits=self._limits)

        async def body(tx: WriteTransaction) -> tuple[list[JSON], list[local.Event]]:
            source = Gathering(tx, Shelf(), self._known, prepared)
            source.new_key = self._new_key
            rows = prepared.execute(source, now=self._now_ms, rng=self._chance)
            writes = _writes_of(source, self._check)
            results = await local.write(tx, writes, self._now_ms(), self._rng, options) if writes else []
            return rows, [event for event, _ in results if event]

        return await self._storage.write(body, is_local=True)

    async def explain(self, query: str, binds: Binds) -> dict[str, JSON]:
        """Tell how a query is answered; one that writes writes nothing."""

        prepared = prepare(query, binds, limits=self._limits)

        async def body(tx: ReadTransaction) -> dict[str, JSON]:
            source = Gathering(tx, self._shelf, self._known, prepared)
            found = explain(query, source, binds, limits=self._limits, now=self._now_ms, rng=self._chance)
            for name in sorted(prepared.named - self._known):
                hint = did_you_mean(name, self._known)
                found["warnings"].append(f"there is no document in a collection {name!r} yet.{hint}")
            return found

        return await self._storage.read(body)

    def live(self, query: str, binds: Binds) -> LiveQuery:
        """Keep a query live."""
        if self.is_writing(query):
            raise QueryError("A query that writes can't be live: it would write again after each change")
        live = LiveQuery(lambda: self.read(query, binds), self.collections_of(query, binds), self._live.discard)
        live.stop = self._storage.listen(live.hear)
        self._live.add(live)
        return live

    async def create_index(self, collection: str, fields: Sequence[str], name: str | None, is_unique: bool) -> str:
        """Make an index, or find that it is there; give its name."""
        for field in fields:
            _check_field(field)
        index = Index(
            name or "_".join(field.replace(".", "_") for field in fields), collection, tuple(fields), is_unique
        )
        _check_index(index)
        await self._storage.write(lambda tx: indexes.create_index(tx, index))
        return index.name

    async def drop_index(self, collection: str, name: str) -> bool:
        """Remove an index."""
        return await self._storage.write(lambda tx: indexes.drop_index(tx, collection, name))

    async def list_indexes(self) -> Definitions:
        """Give all indexes by collection."""
        return await self._storage.read(indexes.load_indexes)

    def close(self) -> None:
        """End every live query."""
        for live in list(self._live):
            live.close()


class LiveQuery:
    """The answers of a query: now, and again after each change that gave it another one.

    Iterate it (``async for rows in …``). Changes that come faster than they are taken are taken together. It ends
    with :meth:`close`, at the end of ``async with``, or with the manager.
    """

    def __init__(
        self,
        run: Callable[[], Any],
        collections: Collection[str] | None,
        on_close: Callable[[LiveQuery], None],
    ) -> None:
        self._run = run
        self._collections = collections
        self._on_close = on_close
        self._news = asyncio.Event()
        self._news.set()
        self._given = ""
        self._is_closed = False
        self.stop: Callable[[], None] = lambda: None

    def hear(self, names: Collection[Key] | None) -> None:
        """Note that documents have changed; None: any."""
        if names is None or self._collections is None or any(name[0] in self._collections for name in names):
            self._news.set()

    def __aiter__(self) -> LiveQuery:
        return self

    async def __anext__(self) -> list[JSON]:
        while True:
            await self._news.wait()
            if self._is_closed:
                raise StopAsyncIteration
            self._news.clear()
            try:
                rows: list[JSON] = await self._run()
            except BaseException:
                self._given = ""  # whoever heard of this hears the next answer, whatever it is
                raise
            if (text := dumps(rows)) != self._given:
                self._given = text
                return rows

    def close(self) -> None:
        """End: nothing comes after this."""
        self._is_closed = True
        self.stop()
        self._news.set()
        self._on_close(self)

    async def __aenter__(self) -> LiveQuery:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


@lru_cache(256)
def _is_writing(query: str, max_length: int, max_depth: int) -> bool:
    return is_writing(parse(query, max_length=max_length, max_depth=max_depth))


def _writes_of(source: Gathering, check: Callable[[str], str]) -> list[Write]:
    """Check what a query wrote as any document is checked."""
    writes = []
    for collection, documents in source.writes.items():
        check(collection)
        for key, document in documents.items():
            if document is None:
                writes.append(Write(collection, key, None))
            else:
                body = checked_body({n: v for n, v in document.items() if n != "_id"}, key)
                writes.append(Write(collection, key, body, canonical(body, f"document {key!r}"), replace=True))
    return writes


def _check_index(index: Index) -> None:
    check_collection(index.collection)
    if not 1 <= len(index.fields) <= indexes.MAX_FIELDS:
        raise InvalidDocument(f"an index has 1 to {indexes.MAX_FIELDS} fields, not {len(index.fields)}")
    if not isinstance(index.name, str) or not index.name.isprintable() or not 1 <= len(index.name) <= 200:
        raise InvalidDocument(f"an index's name has 1 to 200 printable characters: {index.name!r}")


def _check_field(field: object) -> None:
    if not isinstance(field, str) or not field or "" in field.split("."):
        raise InvalidDocument(f"an index's field is a name, or names with dots between them, not {field!r}")
    if field.split(".")[0] in _GIVEN:
        raise InvalidDocument(f"{field!r} is no field of what was saved, so there is no index over it")
