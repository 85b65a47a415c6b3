"""The functions that a query may call, by name: each module beside this one registers its own.

A function gets its arguments as JSON values, and callables where the query has lambdas. It never changes them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from ...deferred import dataclass
from ..source import DataSource


class FunctionError(Exception):
    """A function can't do what it was asked; the message says why, the engine adds function and place."""


class Context(Protocol):
    """What a running query lends to functions whose answer is not made of their arguments alone."""

    rng: random.Random
    source: DataSource

    def now_ms(self) -> int:
        """Give the time of the query in milliseconds since 1970: the same for all its rows."""
        ...

    def spend(self, steps: int) -> None:
        """Count work against the query's time limit: call it before anything whose cost is not bounded."""
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """A function under its first name; ``most`` is None for any number of arguments.

    ``call`` gets a :class:`Context` before the arguments if ``needs_context``. Any function without one gives the
    same answer to the same arguments, and may be called before the query runs.
    """

    name: str
    call: Callable[..., Any]
    least: int
    most: int | None
    needs_context: bool


FUNCTIONS: Final[dict[str, Function]] = {}
"""All functions under all their names, in capitals."""

F = TypeVar("F", bound=Callable[..., Any])


def function(*names: str, least: int, most: int | None, needs_context: bool = False) -> Callable[[F], F]:
    """Register a function under names, with the least and the most arguments that it takes."""

    def register(call: F) -> F:
        for name in names:
            assert name not in FUNCTIONS, f"{name} is registered twice"
            FUNCTIONS[name] = Function(names[0], call, least, most, needs_context)
        return call

    return register
