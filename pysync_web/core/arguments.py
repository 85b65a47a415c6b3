"""Checks of what an application hands over: a wrong argument is refused where it comes in, with its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Final

from ..errors import InvalidDocument, QueryError
from ..values import JSON, check_collection

LONGEST_S: Final = 1e12
"""More seconds than anybody waits."""

_MOST: Final = 2**63 - 1
_ALL: Final = 2**30
"""How many of anything are as good as all of them; twice as many still fit wherever numbers have 32 bits."""


def is_count(value: object, low: int = 0, high: int = _MOST) -> bool:
    """Tell whether a value is an integer between two others."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float, high: float) -> bool:
    """Tell whether a value is a number between two others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def check_count(place: str, value: object, low: int = 0) -> None:
    """Raise :class:`InvalidDocument` where a value is no integer from ``low`` on."""
    if not is_count(value, low):
        raise InvalidDocument(f"{place} is an integer from {low} on, not {value!r:.60}")


def check_limit(place: str, value: int) -> int:
    """Return a limit or an offset, or as much as there can be at most."""
    check_count(place, value)
    return min(value, _ALL)


def check_seconds(place: str, value: object, *, from_zero: bool = False, is_endless: bool = False) -> None:
    """Raise :class:`InvalidDocument` where a value is no time in seconds; ``is_endless``: infinity is one."""
    fits = is_number(value, 0, LONGEST_S) or (is_endless and value == inf)
    if not fits or (value == 0 and not from_zero):
        first = "from 0 on" if from_zero else "over 0"
        raise InvalidDocument(f"{place} is a number of seconds {first}, not {value!r:.60}")


def check_text(place: str, value: object) -> None:
    """Raise :class:`InvalidDocument` where a value is no text."""
    if not isinstance(value, str):
        raise InvalidDocument(f"{place} is a str, not {value!r:.60}")


def check_flag(place: str, value: object) -> None:
    """Raise :class:`InvalidDocument` where a value is neither True nor False."""
    if type(value) is not bool:
        raise InvalidDocument(f"{place} is True or False, not {value!r:.60}")


def check_function(place: str, value: object) -> None:
    """Raise :class:`InvalidDocument` where a value can't be called."""
    if not callable(value):
        raise InvalidDocument(f"{place} is a function, not {value!r:.60}")


def check_members(place: str, value: object, names: tuple[str, ...]) -> None:
    """Raise :class:`InvalidDocument` where a value is no object with methods of these names."""
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in names):
        raise InvalidDocument(f"{place} with the methods {', '.join(names)} is due, not {value!r:.60}")


def listed(place: str, value: Any, what: str = "names") -> list[Any]:
    """List what a collection has, which a text is not; raise :class:`InvalidDocument` for what is none."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidDocument(f"{place}: a list of {what} is due, not {value!r:.60}")
    return list(value)


def check_collections(place: str, value: Any) -> tuple[str, ...]:
    """Return names of collections as a tuple."""
    return tuple(check_collection(name) for name in listed(place, value))


def binds_of(value: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """Give bind variables as a dict of its own; raise :class:`QueryError` for what maps nothing."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise QueryError(f"Bind variables are a dict of names and values, not {value!r:.60}")
    return dict(value)
