"""How large a function's result may grow: the limits, and the checks that run before anything is built.

A value may hold one part many times over without taking room for it, so what follows all parts of a value is
preceded by :func:`check_shape`: a lambda can make a value of a billion parts out of thirty arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .registry import FunctionError

MAX_TEXT = 1 << 20
"""The most characters of a text that a function makes."""

MAX_ELEMENTS = 1_000_000
"""The most elements of an array that a function makes, and the most parts of a value that it follows."""

MAX_DEPTH = 128
"""How deep a value may be nested where a function follows it into its depth."""

_CONTAINERS = frozenset({list, dict})


def check_text(length: int) -> None:
    """Refuse to make a text of so many characters."""
    if length > MAX_TEXT:
        raise FunctionError(f"the result would have more than {MAX_TEXT} characters, which is the limit")


def check_elements(count: int) -> None:
    """Refuse to make an array of so many elements."""
    if count > MAX_ELEMENTS:
        raise FunctionError(f"the result would have more than {MAX_ELEMENTS} elements, which is the limit")


def join(parts: Sequence[str], between: str = "") -> str:
    """Join texts, if the result is not too long."""
    check_text(sum(map(len, parts)) + len(between) * max(0, len(parts) - 1))
    return between.join(parts)


def check_shape(value: Any) -> None:
    """Refuse a value that is nested too deep or has too many parts, all repetitions counted."""
    if type(value) not in _CONTAINERS or (len(value) <= MAX_ELEMENTS and _is_flat(value)):
        return
    level = [value]
    count = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return
        count += sum(map(len, level))
        if count > MAX_ELEMENTS:
            raise FunctionError(f"a value has more than {MAX_ELEMENTS} parts, which is the limit")
        level = [child for node in level for child in _children(node) if type(child) in _CONTAINERS]
    if level:
        raise FunctionError(f"a value is nested deeper than {MAX_DEPTH} levels, which is the limit")


def check_written(value: Any, indent: int = 0) -> None:
    """Refuse a value whose JSON text would be too long, or that :func:`check_shape` refuses."""
    check_shape(value)
    length = spaces = 0
    level = [value]
    while level:
        deeper: list[Any] = []
        for node in level:
            kind = type(node)
            if kind is str:
                length += len(node)
            elif kind is list:
                deeper.extend(node)
            elif kind is dict:
                length += sum(map(len, node))
                deeper.extend(node.values())
        length += len(level) * (1 + spaces)
        check_text(length)
        level = deeper
        spaces += indent


def _is_flat(value: Any) -> bool:
    return _CONTAINERS.isdisjoint(map(type, _children(value)))


def _children(node: Any) -> Iterable[Any]:
    return node if type(node) is list else node.values()
