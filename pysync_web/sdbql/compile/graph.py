"""Traversals over documents with ``_from`` and ``_to``, breadth first: each vertex once, on a shortest way.

Vertices are found by their ``_id`` in any collection, and always carry it; edges to nowhere are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, TypeAlias

from ..functions.registry import FunctionError
from ..source import Document
from .operators import type_name, whole
from .run import Run

Step: TypeAlias = "tuple[Document, Document | None]"


def vertex_id(run: Run, start: Any) -> str | None:
    """Give the ``_id`` of what a traversal starts from: a text, or a document of any collection; null stays null."""
    if start is None or (isinstance(start, str) and "/" in start):
        return start
    if isinstance(start, dict):
        found = start.get("_id")
        if isinstance(found, str):
            return found
        key = start.get("_key")
        for collection in run.data.collections() if isinstance(key, str) else ():
            if run.data.get(collection, str(key)) == start:
                return f"{collection}/{key}"
    if isinstance(start, str):
        raise FunctionError(f"{start!r} is no vertex: one is named 'collection/key'")
    raise FunctionError(f"a vertex is a document or its _id, not {type_name(start)}")


def traverse(run: Run, start: Any, least: Any, most: Any, direction: str, edges: str) -> Iterator[Step]:
    """Give the vertices from a depth to a depth, each with the edge that leads there."""
    first, last = whole(least, "the least depth"), whole(most, "the greatest depth")
    origin = vertex_id(run, start)
    if origin is None:
        return
    found = _vertex(run, origin)
    if first <= 0 and found is not None:
        yield found, None
    seen = {origin}
    level = [origin]
    for depth in range(1, last + 1):
        following = []
        for vertex in level:
            for neighbour, edge in _neighbours(run, vertex, direction, edges):
                if neighbour in seen:
                    continue
                seen.add(neighbour)
                following.append(neighbour)
                if depth >= first and (found := _vertex(run, neighbour)) is not None:
                    yield found, edge
        if not following:
            return
        level = following


def shortest_path(run: Run, start: Any, goal: Any, direction: str, edges: str) -> list[Step]:
    """Give the vertices on a shortest way with the edges that lead to them, nothing if there is no way."""
    origin, wanted = vertex_id(run, start), vertex_id(run, goal)
    if origin is None or wanted is None:
        return []
    came: dict[str, tuple[str, Document] | None] = {origin: None}
    waiting = deque((origin,))
    while waiting and wanted not in came:
        vertex = waiting.popleft()
        for neighbour, edge in _neighbours(run, vertex, direction, edges):
            if neighbour not in came:
                came[neighbour] = (vertex, edge)
                waiting.append(neighbour)
    if wanted not in came:
        return []
    return _way_back(run, came, wanted)


def _way_back(run: Run, came: dict[str, tuple[str, Document] | None], wanted: str) -> list[Step]:
    steps: list[Step] = []
    vertex: str | None = wanted
    while vertex is not None:
        before = came[vertex]
        document = _vertex(run, vertex)
        if document is not None:
            steps.append((document, before[1] if before else None))
        vertex = before[0] if before else None
    return steps[::-1]


def _vertex(run: Run, name: str) -> Document | None:
    collection, _, key = name.partition("/")
    document = run.data.get(collection, key) if collection in run.known() else None
    if document is None or "_id" in document:
        return document
    return {**document, "_id": name}


def _neighbours(run: Run, vertex: str, direction: str, edges: str) -> Iterator[tuple[str, Document]]:
    ways = {"outbound": ("_from",), "inbound": ("_to",), "any": ("_from", "_to")}[direction]
    for side in ways:
        other = "_to" if side == "_from" else "_from"
        for edge in run.matching(-1, edges, (side,), vertex):
            neighbour = edge.get(other)
            if isinstance(neighbour, str):
                yield neighbour, edge
