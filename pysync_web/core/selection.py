"""What a request asks for: whole collections, and of some only the documents that a filter lets through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..deferred import dataclass
from ..values import JSON, dumps
from .document import Body
from .fields import shown
from .wire import Had, Subscription, SyncRequest

if TYPE_CHECKING:
    from .filters import Filter

_MOST_KEPT: Final = 1000
_filters: OrderedDict[str, Filter] = OrderedDict()


def filter_of(collection: str, query: str | None, bind_vars: dict[str, JSON]) -> Filter | None:
    """Compile a filter, or find that it is; None is no filter. Raises :class:`QueryError` for what is none."""
    if query is None:
        return None
    name = dumps([collection, query, bind_vars])
    found = _filters.pop(name, None)
    if found is None:
        from .filters import compile_filter  # only who filters pays for the query engine

        found = compile_filter(collection, query, bind_vars)
    _filters[name] = found
    if len(_filters) > _MOST_KEPT:
        _filters.popitem(last=False)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """What a request wants of a collection: what ``filter`` lets through, None: all of it.

    While ``subscription`` is in its snapshot, the replica may still hold what ``had`` let through.
    """

    filter: Filter | None = None
    subscription: Subscription | None = None
    had: Filter | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every document is wanted."""
        return self.filter is None

    @property
    def is_in_snapshot(self) -> bool:
        """Whether the replica does not have everything up to its cursor yet."""
        return self.subscription is not None and self.subscription.snapshot is not None

    @property
    def has_had(self) -> Had | None:
        """What the replica held of the collection before its filter was changed."""
        snapshot = self.subscription.snapshot if self.subscription else None
        return snapshot.had if snapshot else None

    def wanted(self, documents: Sequence[tuple[str, Body | None]]) -> list[bool]:
        """Tell of documents, (key, body) each, whether they are asked for; deleted ones only as part of the whole."""
        return _matching(self.filter, documents, is_whole=True)

    def held(self, documents: Sequence[tuple[str, Body | None]]) -> list[bool]:
        """Tell of documents as they were at the replica's cursor whether it may have them."""
        now = _matching(self.filter, documents, is_whole=False)
        before = self.held_before(documents)
        return [a or b for a, b in zip(now, before, strict=True)]

    def held_before(self, documents: Sequence[tuple[str, Body | None]]) -> list[bool]:
        """Tell of documents whether the filter before this one let them through."""
        if self.has_had is None:
            return [False] * len(documents)
        return _matching(self.had, documents, is_whole=False)


class Selection:
    """The parts of all collections that a request asks for."""

    def __init__(self, request: SyncRequest) -> None:
        self._rest = request.collections
        self._parts: dict[str, Part | None] = dict.fromkeys(request.without)
        for one in request.subscriptions:
            had = one.snapshot.had if one.snapshot else None
            before = filter_of(one.collection, had.query, had.bind_vars) if had else None
            self._parts[one.collection] = Part(filter_of(one.collection, one.query, one.bind_vars), one, before)
        self.is_partial = bool(self._parts)
        self.snapshots = [part for part in self._parts.values() if part and part.is_in_snapshot]

    def part(self, collection: str) -> Part | None:
        """Give what is wanted of a collection, None for nothing."""
        if collection in self._parts:
            return self._parts[collection]
        return _ALL if self._rest is None or collection in self._rest else None

    @property
    def named(self) -> dict[str, Part | None]:
        """The collections of which not simply everything is wanted."""
        return self._parts

    def is_fresh(self, since: int) -> bool:
        """Tell whether the replica has nothing yet and takes it from snapshots alone: the feed begins at the head."""
        is_alone = self._rest == () and len(self.snapshots) == sum(
            part is not None for part in self._parts.values()
        )
        return since == 0 and is_alone


_ALL: Final = Part()


def _matching(chosen: Filter | None, documents: Sequence[tuple[str, Body | None]], *, is_whole: bool) -> list[bool]:
    if chosen is None:
        return [is_whole or body is not None for _, body in documents]
    there = [(key, shown(body)) for key, body in documents if body is not None]
    found = iter(chosen.matching(there) if there else ())
    return [body is not None and next(found) for _, body in documents]
