"""Walks a query's tree, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from .nodes import Insert, Query, Remove, Update, Upsert


def walk(node: Any) -> Iterator[Any]:
    """Give a node and all nodes below it; trees may be deeper than Python's stack."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting.extend(one)
        elif is_dataclass(one):
            yield one
            waiting.extend(getattr(one, part.name) for part in fields(one))


def is_writing(query: Query) -> bool:
    """Tell whether a query inserts, updates, replaces or removes documents."""
    return any(isinstance(node, Insert | Update | Remove | Upsert) for node in walk(query))
