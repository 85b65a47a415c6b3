"""What a query of the reference runs in: data, binds, time and chance; also what functions get as their context."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

from pysync_web.sdbql import Lists
from pysync_web.sdbql.functions.registry import FunctionError

NOW_MS = 1_700_000_000_000


class World:
    """The data of one run, a copy that the query may change."""

    def __init__(self, data: dict[str, list[Any]], binds: dict[str, Any]) -> None:
        self.data = copy.deepcopy(data)
        self.source = Lists(self.data)
        self.binds = binds
        self.rng = Random(1)
        self.run: Callable[..., list[Any]] = lambda *_: []
        self._kept: list[Any] = []
        self._origin = {id(document): name for name in self.data for document in self.data[name]}

    @classmethod
    def idle(cls) -> World:
        """Make a world of nothing."""
        return cls({}, {})

    def now_ms(self) -> int:
        """Give the time, always the same."""
        return NOW_MS

    def spend(self, steps: int) -> None:
        """Allow everything."""

    def documents(self, collection: str) -> list[Any]:
        """Give all documents of a collection."""
        return self.data[collection]

    def rows(self, query: Any, env: dict[str, Any]) -> list[Any]:
        """Run a subquery."""
        return self.run(self, query, env)

    def identity(self, document: Any) -> Any:
        """Give a document's ``_id``, which is made of collection and key where it holds none."""
        if document.get("_id") or id(document) not in self._origin:
            return document.get("_id")
        key = document.get("_key")
        return None if key is None else f"{self._origin[id(document)]}/{key}"

    def find(self, collection: str, key: Any) -> dict[str, Any] | None:
        """Give the document of a key."""
        return next((one for one in self.data[collection] if one.get("_key") == key), None)

    def write(self, collection: str, key: str, document: dict[str, Any] | None) -> None:
        """Put a document in place of the one of its key, or at the end, or remove that."""
        documents = self.data[collection]
        place = next((at for at, one in enumerate(documents) if one.get("_key") == key), None)
        if document is not None:
            self._kept.append(documents[place] if place is not None else None)  # so that no id comes twice
            self._origin[id(document)] = collection
            if place is None:
                documents.append(document)
            else:
                documents[place] = document
        elif place is not None:
            self._kept.append(documents.pop(place))

    def vertex(self, name: str) -> dict[str, Any] | None:
        """Give the document of an ``_id``, with it."""
        collection, _, key = name.partition("/")
        found = self.find(collection, key) if collection in self.data else None
        return None if found is None else {**found, "_id": found.get("_id", name)}

    def vertex_id(self, start: Any) -> str | None:
        """Give the ``_id`` of what a traversal starts from."""
        if start is None or (isinstance(start, str) and "/" in start):
            return start
        if isinstance(start, dict) and isinstance(found := self.identity(start), str):
            return found
        raise FunctionError("no vertex")

    def neighbours(self, vertex: str, direction: str, edges: str) -> list[tuple[str, Any]]:
        """Give where the edges of a vertex lead, with each edge."""
        ways = {"outbound": [("_from", "_to")], "inbound": [("_to", "_from")]}
        found = []
        for near, far in ways.get(direction, [("_from", "_to"), ("_to", "_from")]):
            found += [(edge[far], edge) for edge in self.data[edges] if edge.get(near) == vertex]
        return found
