"""Choices, assertions and waiting. Arguments are values: all of them were computed, whichever is chosen.

IF takes anything for true but false and null, as SoliDB's server does; ``? :`` and FILTER go by truthiness.
"""

from __future__ import annotations

from typing import Any, Final

from ..compile.equality import equal
from . import sizes
from .arguments import a_number, a_text
from .registry import Context, FunctionError, function

STEPS_PER_MS: Final = 2000
"""What waiting a millisecond costs: the steps that a query may make by default take as long as it may run."""


@function("IF", least=2, most=3)
def choose(condition: Any, then: Any, other: Any = None) -> Any:
    """Give the second argument, or the third if the first is false or null."""
    return other if condition is None or condition is False else then


@function("NULLIF", least=2, most=2)
def null_if(value: Any, other: Any) -> Any:
    """Give null if two values are equal, else the first."""
    sizes.check_shape(value)
    sizes.check_shape(other)
    return None if equal(value, other) else value


@function("COALESCE", "NOT_NULL", "FIRST_NOT_NULL", least=1, most=None)
def coalesce(*values: Any) -> Any:
    """Give the first value that is not null, or null."""
    return next((value for value in values if value is not None), None)


@function("ASSERT", least=1, most=2)
def ensure(condition: Any, message: Any = "the assertion does not hold") -> bool:
    """Give true, or stop the query with a message if a condition does not hold."""
    if not condition:
        raise FunctionError(a_text(message, 2))
    return True


@function("SLEEP", least=1, most=1, needs_context=True)
def sleep(context: Context, milliseconds: Any) -> bool:
    """Take so many milliseconds off what the query may still do; nothing waits, as a page would stand still."""
    time = a_number(milliseconds)
    if time < 0:
        raise FunctionError("argument 1 must not be below 0")
    context.spend(int(time * STEPS_PER_MS) if time < 1e9 else int(1e9) * STEPS_PER_MS)
    return True
