"""What calls cost in a query of someone who is not trusted: each counts all that it is given before it works.

Without it a function takes as long as its arguments are large, and only what it makes is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

from ..functions.registry import FUNCTIONS
from ..limits import BUDGET
from . import operators
from .equality import contains

T = TypeVar("T")

PARTS_A_STEP: Final = 16
CHARACTERS_A_PART: Final = 4
TRIES_A_STEP: Final = 4096
_CONSTANT_TIME: Final = frozenset(
    FUNCTIONS[name].call
    for name in (
        *("LENGTH", "CHAR_LENGTH", "COUNT", "FIRST", "LAST", "NTH", "IF", "COALESCE", "TYPENAME"),
        *("IS_ARRAY", "IS_BOOL", "IS_NUMBER", "IS_INTEGER", "IS_STRING", "IS_NULL", "IS_OBJECT", "IS_EMPTY"),
    )
)


def metered(call: Callable[..., T]) -> Callable[..., T]:
    """Give a function that counts a step for each call, and one for each so many parts of its arguments."""
    is_light = call in _CONSTANT_TIME

    @wraps(call)
    def counted(*arguments: Any, **named: Any) -> T:
        budget = BUDGET.get(None)  # there is none where a constant is worked out, once
        if budget is not None:
            most = PARTS_A_STEP * (budget.limits.steps + 1)
            budget.spend(1 if is_light else 1 + parts_of(arguments, most) // PARTS_A_STEP)
        return call(*arguments, **named)

    return counted


def parts_of(values: tuple[Any, ...], most: int) -> int:
    """Count elements, members and characters in the depth of values; stop where they are more than ``most``."""
    count = 0
    waiting = list(values)
    while waiting and count <= most:
        value = waiting.pop()
        kind = type(value)
        if kind is str:
            count += len(value) // CHARACTERS_A_PART
        elif kind is list:
            count += len(value)
            waiting += value
        elif kind is dict:
            count += len(value)
            waiting += value.values()
    return count


def metered_like(value: Any, pattern: Any) -> bool:
    """Do what LIKE does; a pattern with ``_`` is tried at each place of the text."""
    budget = BUDGET.get(None)
    if budget is not None and type(value) is str and type(pattern) is str and "_" in pattern:
        budget.spend(len(value) * len(pattern) // TRIES_A_STEP)
    return operators.like(value, pattern)


METERED: Final[Mapping[str, Callable[..., Any]]] = {"_in": metered(contains), "_like": metered(metered_like)}
"""The operators that take as long as their operands are large, and count nothing by themselves."""
