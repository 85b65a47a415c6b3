"""Values from outside are checked before a query meets them: JSON and nothing else, of numbers that it can work with.

Types are exact, as in the values of documents: a tuple is no array, and NaN is no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from ..errors import QueryError

MOST_BITS: Final = 1024
_DEEPEST: Final = 128
_MOST_PARTS: Final = 2_000_000
_NAMES: Final = frozenset((str,))
_PLAIN: Final = frozenset((str, bool, type(None)))
_KINDS: Final = _PLAIN | {int, float, list, dict}


def check_names(binds: object) -> None:
    """Refuse what is no mapping of names to values."""
    is_mapping = type(binds) is dict or isinstance(binds, Mapping)
    if not is_mapping or not _NAMES.issuperset(map(type, binds)):  # type: ignore[call-overload]
        raise QueryError("Bind variables are a dict of names and values")


def check_binds(names: Iterable[str], values: Iterable[Any]) -> None:
    """Refuse values that are no JSON."""
    for name, value in zip(names, values, strict=True):
        if type(value) not in _PLAIN and (problem := _problem(value)):
            raise QueryError(f"The value of @{name[:60]} {problem}")


def _problem(value: Any) -> str:
    level = [value]
    count = 0
    for _ in range(_DEEPEST):
        kinds = set(map(type, level))
        if not _KINDS.issuperset(kinds):
            return f"holds {min(kind.__name__ for kind in kinds - _KINDS)}, which is not JSON"
        if float in kinds and not all(isfinite(one) for one in level if type(one) is float):
            return "holds a number that is not JSON"
        if int in kinds and any(one.bit_length() > MOST_BITS for one in level if type(one) is int):
            return "holds an integer that is too large"
        if kinds.isdisjoint((list, dict)):
            return ""
        if not all(type(name) is str for one in level if type(one) is dict for name in one):
            return "holds an object with a name that is no text"
        count += sum(len(one) for one in level if type(one) in (list, dict))
        if count > _MOST_PARTS:
            return f"has more than {_MOST_PARTS:,} parts"
        level = [part for one in level if type(one) in (list, dict) for part in _parts(one)]
    return f"is nested deeper than {_DEEPEST} levels"


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value
