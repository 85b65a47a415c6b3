"""Sums, means and spreads of arrays. Values that are not numbers are passed over, and null stands for no array.

Sums of floats are rounded once, at the end, and so do not depend on the order of the documents.
"""

from __future__ import annotations

import math
from typing import Any

from ...values import order_key
from . import sizes
from .arguments import a_number, an_array
from .maths import checked
from .registry import FunctionError, function

Number = int | float

_NUMBERS = frozenset({int, float})
_INTEGERS = frozenset({int})


@function("SUM", least=1, most=1)
def total(array: Any) -> Number:
    """Add the numbers of an array; none make 0."""
    return _sum(_numbers(array))


@function("AVG", "AVERAGE", least=1, most=1)
def mean(array: Any) -> Number | None:
    """Give the mean of the numbers of an array, or null of none."""
    numbers = _numbers(array)
    return _ratio(_sum(numbers), len(numbers)) if numbers else None


@function("MIN", least=1, most=None)
def smallest(*values: Any) -> Any:
    """Give the value of an array, or of many arguments, that comes first in order, nulls apart; null of none."""
    items = values if len(values) > 1 else values[0]
    if type(items) is list and _NUMBERS.issuperset(map(type, items)):
        return min(items, default=None)
    return min(_comparable(items), key=order_key, default=None)


@function("MAX", least=1, most=None)
def largest(*values: Any) -> Any:
    """Give the value of an array, or of many arguments, that comes last in order, nulls apart; null of none."""
    items = values if len(values) > 1 else values[0]
    if type(items) is list and _NUMBERS.issuperset(map(type, items)):
        return max(items, default=None)
    return max(_comparable(items), key=order_key, default=None)


@function("MEDIAN", least=1, most=1)
def median(array: Any) -> Number | None:
    """Give the number in the middle, or the mean of the two there; null of none."""
    numbers = sorted(_numbers(array))
    if not numbers:
        return None
    middle = len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else _ratio(_sum(numbers[middle - 1 : middle + 1]), 2)


@function("PERCENTILE", least=2, most=3)
def percentile(array: Any, percent: Any, method: Any = "rank") -> Number | None:
    """Give the smallest number that so many percent of all are not above; null of none.

    With "interpolation" as method the result lies between two numbers in proportion. An array whose one element
    is an array, as ``[1..100]`` is, stands for the inner one.
    """
    if type(array) is list and len(array) == 1 and type(array[0]) is list:
        array = array[0]
    share = a_number(percent, 2)
    if not 0 <= share <= 100:
        raise FunctionError("argument 2 must be from 0 to 100")
    if method not in ("rank", "interpolation"):
        raise FunctionError('argument 3 must be "rank" or "interpolation"')
    numbers = sorted(_numbers(array))
    if not numbers:
        return None
    if method == "rank":
        return numbers[max(0, math.ceil(share * len(numbers) / 100) - 1)]
    at = share * (len(numbers) - 1) / 100
    below = math.floor(at)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] if at == below else _between(numbers[below], numbers[above], at - below)


@function("VARIANCE", "VAR_POP", "VARIANCE_POPULATION", least=1, most=1)
def variance(array: Any) -> Number | None:
    """Give the variance of the numbers of an array, taken for all there are; null below two."""
    return _variance(array, 0)


@function("VARIANCE_SAMPLE", "VAR_SAMP", least=1, most=1)
def variance_of_sample(array: Any) -> Number | None:
    """Give the variance that the numbers of an array, a sample, make likely; null below two."""
    return _variance(array, 1)


@function("STDDEV", "STDDEV_SAMP", "STDDEV_SAMPLE", least=1, most=1)
def deviation_of_sample(array: Any) -> Number | None:
    """Give the standard deviation that the numbers of an array, a sample, make likely; null below two."""
    return _root(_variance(array, 1))


@function("STDDEV_POP", "STDDEV_POPULATION", least=1, most=1)
def deviation(array: Any) -> Number | None:
    """Give the standard deviation of the numbers of an array, taken for all there are; null below two."""
    return _root(_variance(array, 0))


def _numbers(array: Any) -> list[Number]:
    if array is None:
        return []
    if _NUMBERS.issuperset(map(type, an_array(array))):
        numbers: list[Number] = array
        return numbers
    return [item for item in array if type(item) in _NUMBERS]


def _comparable(values: Any) -> list[Any]:
    """Give the values of an array, or of many arguments, that are not null."""
    given = list(values) if type(values) is tuple else [] if values is None else an_array(values)
    items = [value for value in given if value is not None]
    sizes.check_shape(items)
    return items


def _sum(numbers: list[Number]) -> Number:
    try:
        result = sum(numbers)
        return checked(result if type(result) is int else math.fsum(numbers))
    except (OverflowError, ValueError):
        raise FunctionError("the result is out of the range of numbers") from None


def _ratio(number: Number, by: int) -> Number:
    """Divide, and give an integer where that is exact."""
    try:
        return checked(number // by if type(number) is int and number % by == 0 else number / by)
    except OverflowError:
        raise FunctionError("the result is out of the range of numbers") from None


def _between(low: Number, high: Number, share: float) -> Number:
    try:
        return checked(low + (high - low) * share)
    except OverflowError:
        raise FunctionError("the result is out of the range of numbers") from None


def _variance(array: Any, fewer: int) -> Number | None:
    numbers = _numbers(array)
    count = len(numbers)
    if count < 2:
        return None
    if _INTEGERS.issuperset(map(type, numbers)):
        squares = count * sum([number * number for number in numbers]) - sum(numbers) ** 2
        return _ratio(squares, count * (count - fewer))
    try:
        middle = _sum(numbers) / count
        return checked(math.fsum([(number - middle) ** 2 for number in numbers]) / (count - fewer))
    except OverflowError:
        raise FunctionError("the result is out of the range of numbers") from None


def _root(number: Number | None) -> Number | None:
    if number is None:
        return None
    if type(number) is int and math.isqrt(number) ** 2 == number:
        return math.isqrt(number)
    return math.sqrt(number)
