"""Equality, order and hashing of values as a query sees them: 1 is 1.0, true is not 1, any two values have an order.

Python agrees on texts and numbers, so those take the short way; ``True == 1`` is what the rest is about.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Final

from ...values import order_key
from ..limits import weigh

NUMBERS: Final = frozenset((int, float))
CONTAINERS: Final = frozenset((list, dict))
_TRUE: Final = ("true",)
_FALSE: Final = ("false",)


def equal(a: Any, b: Any) -> bool:
    """Tell whether two values are equal."""
    kind, other = type(a), type(b)
    if kind is other:
        if kind not in CONTAINERS:
            return bool(a == b)
        weigh(a)
        return a == b and _alike(a, b)
    return kind in NUMBERS and other in NUMBERS and bool(a == b)


def _alike(a: Any, b: Any) -> bool:
    """Tell whether two values that Python calls equal have booleans in the same places."""
    if type(a) is dict:
        return all(_alike(value, b[name]) for name, value in a.items()) if type(b) is dict else False
    if type(a) is list:
        return all(map(_alike, a, b))
    return (type(a) is bool) is (type(b) is bool)


def hashable(value: Any) -> Hashable:
    """Give a key that is equal for equal values, and only for those."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return _TRUE if value else _FALSE
    weigh(value)
    return _deep(value)


def _deep(value: Any) -> Hashable:
    if type(value) is list:
        return ("list", *[one if type(one) is str else _deep(one) for one in value])
    if type(value) is dict:
        return ("dict", frozenset([(name, _deep(member)) for name, member in value.items()]))
    if type(value) is bool:
        return _TRUE if value else _FALSE
    if value is None or type(value) in (str, int, float):
        return value  # type: ignore[no-any-return]
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def less(a: Any, b: Any) -> bool:
    """Tell whether a value comes before another in the total order."""
    kind, other = type(a), type(b)
    if (kind is other and kind is str) or (kind in NUMBERS and other in NUMBERS):
        return bool(a < b)
    return bool(sort_key(a) < sort_key(b))


def sort_key(value: Any) -> Any:
    """Give a key that Python sorts in the total order."""
    if type(value) in CONTAINERS:
        weigh(value)
    return order_key(value)


def less_or_equal(a: Any, b: Any) -> bool:
    """Tell whether a value does not come after another in the total order."""
    return not less(b, a)


def contains(values: Any, value: Any) -> bool:
    """Tell whether an array holds a value, or an object a name; anything else holds nothing."""
    if type(values) is list:
        kind = type(value)
        if kind is str or value is None:
            return bool(value in values)
        return any(equal(one, value) for one in values)
    return type(values) is dict and type(value) is str and value in values


def distinct(rows: Sequence[Any]) -> list[Any]:
    """Keep the first of values that are equal."""
    try:
        if set(map(type, rows)) <= {str, int, float}:
            return list(dict.fromkeys(rows))
    except TypeError:
        pass
    seen: dict[Hashable, Any] = {}
    for row in rows:
        seen.setdefault(hashable(row), row)
    return list(seen.values())


def sortable(column: list[Any]) -> list[Any]:
    """Turn the values of a column into keys that Python sorts in the total order."""
    kinds = set(map(type, column))
    if kinds <= NUMBERS or (len(kinds) == 1 and str in kinds):
        return column
    return list(map(sort_key, column))


def ordered(columns: Sequence[tuple[list[Any], bool]], first: int | None = None) -> Sequence[int]:
    """Give the positions of rows in the order of columns (values, is_descending), all of them or the first few.

    Equal rows stay in the order in which they came.
    """
    keyed = [(sortable(values), descending) for values, descending in columns]
    count = len(keyed[0][0])
    places: list[int] = list(range(count))
    if first is not None and first < count // 4:
        places = _candidates(keyed[0][0], keyed[0][1], first)
    for values, descending in reversed(keyed):
        places.sort(key=values.__getitem__, reverse=descending)
    return places if first is None else places[:first]


def _candidates(values: list[Any], descending: bool, first: int) -> list[int]:
    """Give the positions of the first values in order, and of those that are as good as the last of them."""
    if not first:
        return []
    if descending:
        last = nlargest(first, values)[-1]
        return [place for place, value in enumerate(values) if value >= last]
    last = nsmallest(first, values)[-1]
    return [place for place, value in enumerate(values) if value <= last]
