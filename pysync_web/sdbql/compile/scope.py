"""What a compiler knows while it walks a query: variables in sight, values from outside, collections, the module.

A variable of the query is a numbered variable of the Python function that it is compiled into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any

from ...deferred import dataclass
from ...errors import QueryError
from .. import nodes as n
from .module import Code, Module

Scope = Mapping[str, Code]
"""The variables in sight, each with the code that reads it."""


@dataclass(slots=True)
class Compiler:
    """The state of one compilation. ``is_nesting`` says that what is made is to be looked at, how deep it is;
    ``is_metered`` that calls are counted by what they are given.
    """

    text: str
    module: Module
    bind_kinds: Mapping[str, str]
    subquery: Callable[[Compiler, n.Query, Scope], Code]
    is_explained: bool = False
    is_nesting: bool = False
    is_metered: bool = False
    binds: dict[str, Code] = field(default_factory=dict)
    collections: dict[str, int] = field(default_factory=dict)
    loose_names: set[str] = field(default_factory=set)
    bind_collections: dict[str, int] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)
    functions_read: set[str] = field(default_factory=set)
    reads_unknown: bool = False
    names: set[str] = field(default_factory=set)
    lasting: set[str] = field(default_factory=set)
    makes_objects: bool = False
    folds: int = 0
    windows: dict[int, Code] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def error(self, message: str, at: int) -> QueryError:
        """Make an error that points at a place of the query."""
        return QueryError(message[:1].upper() + message[1:], query=self.text, at=at)

    def bind(self, node: n.Bind) -> Code:
        """Give the code of a value from outside."""
        if node.name not in self.binds:
            if node.name not in self.bind_kinds:
                raise self.error(f"there is no value for {_written(node)}{self._known_binds(node)}", node.at)
            name = f"b{len(self.binds)}"
            kind = self.bind_kinds[node.name]
            self.binds[node.name] = Code(name, 0, kind, frozenset((name,)))
        return self.binds[node.name]

    def _known_binds(self, node: n.Bind) -> str:
        if node.is_collection and f"@{node.name}" in self.bind_kinds:
            return f"; it is given under the name {node.name}, without an @"
        known = ", ".join(f"@{name}" for name in sorted(self.bind_kinds)[:5])
        return f"; there is {known}" if known else ""

    def collection(self, node: n.Name | n.Bind) -> Code:
        """Give the code of a collection's name, and remember that the query needs that collection."""
        if isinstance(node, n.Bind):
            code = self.bind(node)
            self.bind_collections.setdefault(node.name, node.at)
            return code
        self.collections.setdefault(node.name, node.at)
        return Code(self.module.constant(node.name), 0, "str", constant=node.name)

    def step(self, kind: str, at: int, **details: Any) -> int:
        """Note a step of the plan and give its number."""
        self.steps.append({"step": kind, "at": at, **details})
        return len(self.steps) - 1


def _written(node: n.Bind) -> str:
    return f"{'@@' if node.is_collection else '@'}{node.name}"


def all_of(*codes: Code) -> frozenset[str]:
    """Give the variables that any of several codes needs."""
    return frozenset().union(*(code.free for code in codes))


def names_in(*nodes: Any) -> set[str]:
    """Give all names that occur below nodes, in whatever scope."""
    return {node.name for node in walk(*nodes) if isinstance(node, n.Name)}


def walk(*nodes: Any) -> Any:
    """Give all nodes below nodes, themselves too; the tree may be deeper than Python's stack."""
    stack: list[Any] = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(node)
        elif is_dataclass(node) and not isinstance(node, type):
            yield node
            stack.extend(getattr(node, one.name) for one in fields(node) if one.name not in ("at", "text"))
