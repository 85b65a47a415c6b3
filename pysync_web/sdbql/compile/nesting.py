"""How deep a query may nest values: Python frees what is nested thousands deep by recursion, which can end a page's.

Each array, object, subquery and call of a query adds some levels, once for a value, so a query with few of them needs
no more. In one with many, what calls, subqueries and variables give is looked at when it is made; between two of them
only brackets nest, and of these the parser counts the depth. REDUCE alone repeats itself: it looks by itself.
"""

from __future__ import annotations

from typing import Any, Final

from .. import nodes as n
from .module import Code, Module
from .scope import walk

MOST_WRAPS: Final = 128
"""Levels that a query may add to a value without any of its values being looked at."""

_BETWEEN: Final = 64  # levels that REDUCE may add between two looks
_OF_ONE: Final = 3  # levels that a function or COLLECT may put around a value


def wraps(*nodes: Any) -> int:
    """Give how many levels the expressions below nodes may add to a value."""
    count = 0
    for node in walk(*nodes):
        if isinstance(node, n.Array | n.Object | n.Subquery | n.Expansion):
            count += 1
        elif isinstance(node, n.Call | n.Collect | n.Aggregate):
            count += _OF_ONE
    return count


def steps_of_reduce(call: n.Call) -> int:
    """Give how many steps REDUCE may make between two looks at its result."""
    return max(1, _BETWEEN // max(1, wraps(*call.arguments)))


def looked_at(module: Module, code: Code, at: int) -> Code:
    """Give code that refuses its value where that is nested too deep."""
    text = f"{module.mark(at)}_shallow({code.text})"
    return Code(text, code.depth + 1, code.kind, code.free, is_pure=code.is_pure, collection=code.collection)
