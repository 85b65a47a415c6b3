"""What of the server's documents this device holds: collections, and parts of them that a filter chooses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ..core.arguments import binds_of, listed
from ..core.exchange import choose_parts
from ..core.expiry import SETTINGS
from ..core.scope import Asked, Wish, load_scope
from ..core.selection import filter_of
from ..errors import InvalidDocument, QueryError
from ..values import JSON, canonical, check_collection
from .config import SyncConfig
from .indexed import IndexedStorage
from .results import Subscribed

Binds: TypeAlias = "Mapping[str, JSON] | None"
Filters: TypeAlias = "Iterable[tuple[str, str | None] | tuple[str, str | None, Binds]]"


class Selective:
    """Chooses, durably and at once; the next sync carries it out."""

    def __init__(self, storage: IndexedStorage, config: SyncConfig, *, can_filter: bool) -> None:
        self._storage = storage
        self._can_filter = can_filter
        self._names = tuple(sorted(config.collections)) or None

    async def subscribe(self, collection: str, query: str | None, bind_vars: Binds) -> bool:
        """Want of a collection what a filter lets through, None: all; tell whether that is another choice."""
        return await self._choose({self._checked(collection): self._wish(collection, query, bind_vars)})

    async def unsubscribe(self, collection: str) -> bool:
        """Want nothing of a collection."""
        return await self._choose({self._checked(collection): None})

    async def set_filters(self, filters: Filters | None) -> bool:
        """Want exactly these collections and parts, None: everything."""
        if filters is None:
            return await self._storage.write(lambda tx: choose_parts(tx, None, self._names))
        wishes: dict[str, Wish | None] = {}
        for collection, query, *rest in _parts(filters):
            if collection in wishes:
                raise InvalidDocument(f"collection {collection!r} stands twice in the list: it has one filter")
            wishes[self._checked(collection)] = self._wish(collection, query, rest[0] if rest else None)
        return await self._choose(wishes, is_exact=True)

    async def asked(self) -> Asked:
        """Give what the server is asked for."""
        scope = await self._storage.read(load_scope)
        return scope.asked(self._names) if scope else Asked(self._names)

    async def chosen(self) -> list[Subscribed]:
        """List what was chosen, and how far that has been carried out."""
        scope = await self._storage.read(load_scope)
        found = []
        for name, one in sorted(scope.choices.items()) if scope else ():
            if name == SETTINGS:
                continue
            query, binds = one.wish if one.wish else (None, {})
            is_ready = one.snapshot is None and not one.leaves
            found.append(Subscribed(name, query, dict(binds), one.wish is not None, is_ready))
        return found

    async def _choose(self, wishes: Mapping[str, Wish | None], *, is_exact: bool = False) -> bool:
        return await self._storage.write(lambda tx: choose_parts(tx, wishes, self._names, is_exact=is_exact))

    def _checked(self, collection: str) -> str:
        if self._names is not None and collection not in self._names:
            raise InvalidDocument(f"collection {collection!r} is none of those that this manager syncs")
        return check_collection(collection)

    def _wish(self, collection: str, query: str | None, bind_vars: Binds) -> Wish:
        binds: dict[str, Any] = binds_of(bind_vars)
        canonical(binds, "bind_vars")
        filter_of(collection, query, binds)
        if query is not None and not self._can_filter:
            raise InvalidDocument("the server can't filter what it can't read: values are encoded on their way")
        if query is None and binds:
            raise InvalidDocument("bind variables without a filter")
        return Wish(query, binds)


def _parts(filters: Filters) -> list[tuple[Any, ...]]:
    """List filters, each with its two or three parts."""
    if isinstance(filters, Mapping):
        raise InvalidDocument("filters: a list of (name, filter or None[, bind variables]) is due, not a mapping")
    found = listed("filters", filters, "(name, filter or None[, bind variables])")
    for one in found:
        if not isinstance(one, tuple | list) or len(one) not in (2, 3) or not isinstance(one[0], str):
            raise InvalidDocument(f"filters: each is (name, filter or None[, bind variables]), not {one!r:.60}")
    return found


def collection_of(query: str, bind_vars: Binds = None) -> str:
    """Name the collection of a whole query, ``FOR u IN users …``; raise :class:`QueryError` for another."""
    from ..sdbql import collections_of

    names = collections_of(query, bind_vars) or set()
    if len(names) != 1:
        raise QueryError("A filter is FOR … IN one collection FILTER … RETURN the document.", query=query, at=0)
    return names.pop()
