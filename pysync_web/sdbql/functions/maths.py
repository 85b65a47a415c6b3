"""Functions of numbers. An integer stays one where the result is exact: ``SQRT(16)`` is 4, ``POW(2, 3)`` is 8.

What is not a number that JSON can write, as the logarithm of 0 or ``EXP(1000)``, is an error in every function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .arguments import a_number, a_real, an_integer
from .registry import Context, FunctionError, function

Number = int | float

_MOST_BITS = 1023  # an integer of so many is within the floats
_EXACT = 2**53  # from here on floats have no fractions


@function("FLOOR", least=1, most=1)
def floor(value: Any) -> Number:
    """Give the largest integer that is not above a number."""
    return _whole(math.floor, a_number(value))


@function("CEIL", "CEILING", least=1, most=1)
def ceil(value: Any) -> Number:
    """Give the smallest integer that is not below a number."""
    return _whole(math.ceil, a_number(value))


@function("ROUND", least=1, most=2)
def rounded(value: Any, digits: Any = 0) -> Number:
    """Round to so many digits after the point (below 0: before it), a half away from zero."""
    return _scaled(_half_away, a_number(value), an_integer(digits, 2))


@function("TRUNC", "TRUNCATE", least=1, most=2)
def truncated(value: Any, digits: Any = 0) -> Number:
    """Cut a number after so many digits behind the point."""
    return _scaled(math.trunc, a_number(value), an_integer(digits, 2))


@function("ABS", least=1, most=1)
def absolute(value: Any) -> Number:
    """Give a number without its sign."""
    return abs(a_number(value))


@function("SIGN", least=1, most=1)
def sign(value: Any) -> int:
    """Give -1, 0 or 1."""
    number = a_number(value)
    return (number > 0) - (number < 0)


@function("SQRT", least=1, most=1)
def square_root(value: Any) -> Number:
    """Give the square root of a number that is not negative."""
    number = a_number(value)
    if number < 0:
        raise FunctionError("a negative number has no square root")
    if type(number) is int and math.isqrt(number) ** 2 == number:
        return math.isqrt(number)
    return math.sqrt(a_real(number))


@function("POW", "POWER", least=2, most=2)
def power(base: Any, exponent: Any) -> Number:
    """Raise a number to a power."""
    number, times = a_number(base), a_number(exponent, 2)
    if type(times) is float and times.is_integer() and abs(times) < _EXACT and type(number) is int:
        times = int(times)
    if type(number) is int and type(times) is int and times >= 0:
        if abs(number) > 1 and number.bit_length() * times > 2 * _MOST_BITS:
            raise FunctionError("the result is out of the range of numbers")
        return checked(number**times)
    return _computed(math.pow, a_real(number), a_real(times, 2))


@function("MOD", least=2, most=2)
def modulo(value: Any, divisor: Any) -> Number:
    """Give what is left of a division, with the sign of the first number."""
    number, by = a_number(value), a_number(divisor, 2)
    if by == 0:
        raise FunctionError("division by zero")
    if type(number) is int and type(by) is int:
        left = abs(number) % abs(by)
        return -left if number < 0 else left
    return _computed(math.fmod, a_real(number), a_real(by, 2))


@function("CLAMP", least=3, most=3)
def clamp(value: Any, least: Any, most: Any) -> Number:
    """Give a number, or the bound that it is beyond."""
    low, high = a_number(least, 2), a_number(most, 3)
    if low > high:
        raise FunctionError("argument 2 must not be above argument 3")
    return min(max(a_number(value), low), high)


@function("LOG", "LN", least=1, most=1)
def logarithm(value: Any) -> float:
    """Give the natural logarithm of a number above 0."""
    return _log(math.log, value)


@function("LOG10", least=1, most=1)
def logarithm_10(value: Any) -> float:
    """Give the logarithm to base 10 of a number above 0."""
    return _log(math.log10, value)


@function("LOG2", least=1, most=1)
def logarithm_2(value: Any) -> float:
    """Give the logarithm to base 2 of a number above 0."""
    return _log(math.log2, value)


@function("EXP", least=1, most=1)
def exponential(value: Any) -> float:
    """Give e to the power of a number."""
    return _computed(math.exp, a_real(value))


@function("SIN", least=1, most=1)
def sine(value: Any) -> float:
    """Give the sine of an angle in radians."""
    return _computed(math.sin, a_real(value))


@function("COS", least=1, most=1)
def cosine(value: Any) -> float:
    """Give the cosine of an angle in radians."""
    return _computed(math.cos, a_real(value))


@function("TAN", least=1, most=1)
def tangent(value: Any) -> float:
    """Give the tangent of an angle in radians."""
    return _computed(math.tan, a_real(value))


@function("ASIN", least=1, most=1)
def arc_sine(value: Any) -> float:
    """Give the angle in radians whose sine a number from -1 to 1 is."""
    return _computed(math.asin, _a_ratio(value))


@function("ACOS", least=1, most=1)
def arc_cosine(value: Any) -> float:
    """Give the angle in radians whose cosine a number from -1 to 1 is."""
    return _computed(math.acos, _a_ratio(value))


@function("ATAN", least=1, most=1)
def arc_tangent(value: Any) -> float:
    """Give the angle in radians whose tangent a number is."""
    return _computed(math.atan, a_real(value))


@function("ATAN2", least=2, most=2)
def arc_tangent_2(y: Any, x: Any) -> float:
    """Give the angle in radians of the point whose y and then x are given."""
    return _computed(math.atan2, a_real(y), a_real(x, 2))


@function("DEGREES", "DEG", least=1, most=1)
def degrees(value: Any) -> float:
    """Turn radians into degrees."""
    return _computed(math.degrees, a_real(value))


@function("RADIANS", "RAD", least=1, most=1)
def radians(value: Any) -> float:
    """Turn degrees into radians."""
    return _computed(math.radians, a_real(value))


@function("PI", least=0, most=0)
def pi() -> float:
    """Give π."""
    return math.pi


@function("E", least=0, most=0)
def e() -> float:
    """Give Euler's number."""
    return math.e


@function("RANDOM", "RAND", least=0, most=0, needs_context=True)
def random_number(context: Context) -> float:
    """Give a number from 0 up to but not including 1 by chance."""
    return context.rng.random()


@function("RANDOM_INT", "RAND_INT", least=2, most=2, needs_context=True)
def random_integer(context: Context, least: Any, most: Any) -> int:
    """Give an integer by chance, both bounds included."""
    low, high = an_integer(least, 1), an_integer(most, 2)
    if low > high:
        raise FunctionError("argument 1 must not be above argument 2")
    return context.rng.randint(low, high)


def checked(number: Number) -> Number:
    """Give a number back, or refuse one that is not JSON or an integer beyond all floats."""
    is_fine = number.bit_length() <= _MOST_BITS if isinstance(number, int) else math.isfinite(number)
    if not is_fine:
        raise FunctionError("the result is out of the range of numbers")
    return number


def _whole(step: Callable[[float], int], number: Number) -> Number:
    return number if type(number) is int or abs(number) >= _EXACT else step(number)


def _half_away(number: float) -> int:
    size = abs(number)
    below = math.floor(size)
    nearest = below + (size - below >= 0.5)
    return nearest if number >= 0 else -nearest


def _scaled(step: Callable[[float], int], number: Number, digits: int) -> Number:
    """Take a step on a number whose point is moved to the right by digits, and move it back."""
    if type(number) is int:
        return number if digits >= 0 else _scaled_integer(step, number, -digits)
    if digits > 308 or abs(number) >= _EXACT:
        return number if digits >= 0 else _scaled_integer(step, int(number), -digits)
    if digits <= 0:
        return _scaled_integer(step, number, -digits)
    moved = number * 10.0**digits
    return number if abs(moved) >= _EXACT else step(moved) / 10.0**digits


def _scaled_integer(step: Callable[[float], int], number: Number, zeros: int) -> int:
    if zeros > 400:
        return 0
    if type(number) is float:
        return step(number / 10.0 ** min(zeros, 308)) * int(10**zeros)  # below 2^53, so 0 from 17 zeros on
    tens: int = 10**zeros
    quotient, left = divmod(abs(number), tens)
    quotient += step is _half_away and 2 * left >= tens
    checked(quotient * tens)
    return int(quotient) * tens * (1 if number >= 0 else -1)


def _log(compute: Callable[[Any], float], value: Any) -> float:
    number = a_number(value)
    if number <= 0:
        raise FunctionError("the logarithm of a number that is not above 0")
    return compute(number)


def _a_ratio(value: Any) -> float:
    number = a_real(value)
    if not -1 <= number <= 1:
        raise FunctionError("argument 1 must be from -1 to 1")
    return number


def _computed(compute: Callable[..., float], *numbers: float) -> float:
    try:
        result = compute(*numbers)
    except (ArithmeticError, ValueError):
        raise FunctionError("the result is out of the range of numbers") from None
    if not math.isfinite(result):
        raise FunctionError("the result is out of the range of numbers")
    return result
