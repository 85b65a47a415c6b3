"""Functions of arrays. Values are compared as ``==`` compares them, and ordered as SORT orders them.

A function gives a new array: the one that it got may be part of a document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

from ...values import order_key
from ..compile.equality import distinct as _distinct
from ..compile.equality import equal, hashable
from . import sizes
from .arguments import a_number, an_array, an_integer, wrong
from .registry import Context, FunctionError, function

_NUMBERS = frozenset({int, float})
_TEXTS = frozenset({str})


@function("FIRST", least=1, most=1)
def first(array: Any) -> Any:
    """Give the first element, or null of an empty array."""
    return array[0] if an_array(array) else None


@function("LAST", least=1, most=1)
def last(array: Any) -> Any:
    """Give the last element, or null of an empty array."""
    return array[-1] if an_array(array) else None


@function("NTH", least=2, most=2)
def nth(array: Any, place: Any) -> Any:
    """Give the element at a place, from the end if it is below 0, or null where there is none."""
    at = an_integer(place, 2)
    return array[at] if -len(an_array(array)) <= at < len(array) else None


@function("SORTED", "SORT", least=1, most=1)
def ascending(array: Any) -> list[Any]:
    """Give the elements in the total order of values."""
    return in_order(an_array(array))


@function("SORTED_DESC", least=1, most=1)
def descending(array: Any) -> list[Any]:
    """Give the elements in the total order of values, the largest first."""
    return in_order(an_array(array), is_descending=True)


@function("SORTED_UNIQUE", least=1, most=1)
def sorted_unique(array: Any) -> list[Any]:
    """Give the elements in the total order of values, without repetitions."""
    return in_order(distinct(an_array(array)))


@function("UNIQUE", least=1, most=1)
def unique_elements(array: Any) -> list[Any]:
    """Give the elements without repetitions, each where it came first."""
    return distinct(an_array(array))


@function("COUNT_DISTINCT", "COUNT_UNIQUE", "UNIQUE_COUNT", least=1, most=1)
def count_distinct(array: Any) -> int:
    """Count the different elements of an array."""
    return len(distinct(an_array(array)))


@function("COUNT", least=1, most=1)
def count(value: Any) -> int:
    """Count the elements of an array; null counts 0, and anything else 1."""
    return len(value) if type(value) is list else int(value is not None)


@function("FLATTEN", least=1, most=2)
def flatten(array: Any, depth: Any = 1) -> list[Any]:
    """Put the elements of inner arrays in place of them, one level deep or so many."""
    items, levels = an_array(array), an_integer(depth, 2)
    sizes.check_shape(items)
    for _ in range(min(levels, sizes.MAX_DEPTH)):
        if list not in set(map(type, items)):
            break
        items = [item for part in items for item in (part if type(part) is list else (part,))]
        sizes.check_elements(len(items))
    return list(items)


@function("PUSH", least=2, most=None)
def push(array: Any, *values: Any) -> list[Any]:
    """Add values behind the last element."""
    sizes.check_elements(len(an_array(array)) + len(values))
    return [*array, *values]


@function("UNSHIFT", least=2, most=None)
def unshift(array: Any, *values: Any) -> list[Any]:
    """Add values before the first element."""
    sizes.check_elements(len(an_array(array)) + len(values))
    return [*values, *array]


@function("POP", least=1, most=1)
def pop(array: Any) -> list[Any]:
    """Give all elements but the last."""
    return an_array(array)[:-1]


@function("SHIFT", least=1, most=1)
def shift(array: Any) -> list[Any]:
    """Give all elements but the first."""
    return an_array(array)[1:]


@function("SLICE", least=2, most=3)
def cut(array: Any, start: Any, length: Any = None) -> list[Any]:
    """Give so many elements from a place on, or all; a start or a length below 0 counts from the end."""
    begin = an_integer(start, 2)
    if begin < 0:
        begin = max(0, begin + len(an_array(array)))
    if length is None:
        return an_array(array)[begin:]
    size = an_integer(length, 3)
    return an_array(array)[begin : begin + size if size >= 0 else max(begin, len(array) + size)]


@function("TAKE", least=2, most=2)
def take(array: Any, number: Any) -> list[Any]:
    """Give so many elements from the start."""
    return an_array(array)[: max(0, an_integer(number, 2))]


@function("DROP", "SKIP", least=2, most=2)
def drop(array: Any, number: Any) -> list[Any]:
    """Give all but so many elements from the start."""
    return an_array(array)[max(0, an_integer(number, 2)) :]


@function("CHUNK", least=2, most=2)
def chunk(array: Any, size: Any) -> list[list[Any]]:
    """Cut an array into arrays of a size; the last has what is left over."""
    step = an_integer(size, 2)
    if step < 1:
        raise FunctionError("argument 2 must be at least 1")
    return [array[at : at + step] for at in range(0, len(an_array(array)), min(step, sizes.MAX_ELEMENTS * 2))]


@function("APPEND", least=1, most=None)
def append(array: Any, *others: Any) -> list[Any]:
    """Join arrays; what is no array is added as an element."""
    parts = [an_array(array), *(other if type(other) is list else [other] for other in others)]
    sizes.check_elements(sum(map(len, parts)))
    return [item for part in parts for item in part]


@function("UNION", least=1, most=None)
def union(*arrays: Any) -> list[Any]:
    """Give the elements of all arrays without repetitions."""
    parts = [an_array(array, place) for place, array in enumerate(arrays, 1)]
    sizes.check_elements(sum(map(len, parts)))
    return distinct([item for part in parts for item in part])


@function("INTERSECTION", least=1, most=None)
def intersection(array: Any, *others: Any) -> list[Any]:
    """Give the elements of the first array that all others have too, in its order, repetitions too."""
    items = an_array(array)
    for place, other in enumerate(others, 2):
        known = _identities(an_array(other, place))
        items = _kept(items, known.__contains__)
    return list(items)


@function("MINUS", "DIFFERENCE", least=2, most=None)
def minus(array: Any, *others: Any) -> list[Any]:
    """Give the elements of the first array that none of the others has, in its order, repetitions too."""
    an_array(array)
    known = {key for place, other in enumerate(others, 2) for key in _identities(an_array(other, place))}
    return _kept(array, lambda key: key not in known)


@function("POSITION", "INDEX_OF", least=2, most=2)
def position(array: Any, value: Any) -> int:
    """Give the place of the first element that is equal to a value, or -1."""
    sizes.check_shape(an_array(array))
    return next((at for at, item in enumerate(array) if equal(item, value)), -1)


@function("CONTAINS_ARRAY", least=2, most=2)
def contains_array(array: Any, value: Any) -> bool:
    """Tell whether an array has an element that is equal to a value."""
    return position(array, value) >= 0


@function("REMOVE_VALUE", least=2, most=3)
def remove_value(array: Any, value: Any, most: Any = None) -> list[Any]:
    """Leave out the elements that are equal to a value, all or so many from the start."""
    sizes.check_shape(an_array(array))
    left = len(array) if most is None else an_integer(most, 3)
    kept = []
    for item in array:
        if left > 0 and equal(item, value):
            left -= 1
        else:
            kept.append(item)
    return kept


@function("RANGE", least=1, most=3, needs_context=True)
def numbers(context: Context, start: Any, end: Any = None, step: Any = 1) -> list[int | float]:
    """Give the numbers from a start to an end, both included; with one argument, from 0 to it."""
    if end is None:
        start, end = 0, start
    first, final, by = a_number(start, 1), a_number(end, 2), a_number(step, 3)
    if by == 0:
        raise FunctionError("argument 3 must not be 0")
    first, by = _exact(first), _exact(by)
    size = _steps(first, final, by) + 1
    sizes.check_elements(size)
    context.spend(size)
    return [first + at * by for at in range(size)]


@function("ZIP", least=1, most=None)
def tuples(*arrays: Any) -> list[list[Any]]:
    """Give arrays of the first elements, the second ones and so on, as many as the shortest array has."""
    shortest = min([len(an_array(array, place)) for place, array in enumerate(arrays, 1)])
    sizes.check_elements(shortest * (1 + len(arrays)))
    return list(map(list, zip(*[array[:shortest] for array in arrays], strict=True)))


@function("REVERSE", least=1, most=1)
def backwards(value: Any) -> str | list[Any]:
    """Give an array or a text from its end to its start."""
    if type(value) is list or type(value) is str:
        turned: str | list[Any] = value[::-1]
        return turned
    raise wrong(1, "an array or a string", value)


@function("COLLECT_LIST", least=1, most=1)
def collect_list(array: Any) -> list[Any]:
    """Give an array as it is: what the aggregate of this name makes of the values of a group."""
    return list(an_array(array))


def in_order(items: list[Any], is_descending: bool = False) -> list[Any]:
    """Sort values of any kinds; equal ones stay in the order in which they came."""
    kinds = set(map(type, items))
    if kinds <= _NUMBERS or kinds <= _TEXTS:
        return sorted(items, reverse=is_descending)
    sizes.check_shape(items)
    return sorted(items, key=order_key, reverse=is_descending)


def distinct(items: list[Any]) -> list[Any]:
    """Give values without repetitions, each where it came first."""
    sizes.check_shape(items)
    return _distinct(items)


def _identities(items: list[Any]) -> set[Hashable]:
    sizes.check_shape(items)
    return set(map(hashable, items))


def _kept(items: list[Any], is_wanted: Callable[[Hashable], bool]) -> list[Any]:
    sizes.check_shape(items)
    return [item for item in items if is_wanted(hashable(item))]


def _exact(number: int | float) -> int | float:
    is_whole = type(number) is float and number.is_integer() and abs(number) < 2**53
    return int(number) if is_whole else number


def _steps(first: int | float, final: int | float, by: int | float) -> int:
    """Count the steps from a number to the last one before or at another; -1 if the first is beyond already."""
    try:
        if type(first) is int and type(final) is int and type(by) is int:
            return max(-1, (final - first) // by)
        return max(-1, math.floor((final - first) / by))
    except (OverflowError, ValueError):
        raise FunctionError("the range is out of the range of numbers") from None
