"""What operators mean, said in the plainest way: one comparison from which equality, order and groups all follow.

It is slow on purpose: nothing here takes a short way that the engine takes, so that both can't be wrong alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any

from pysync_web.sdbql.functions.registry import FunctionError

RANKS = {type(None): 0, bool: 1, int: 2, float: 2, str: 3, list: 4, dict: 5}


def compare(a: Any, b: Any) -> int:
    """Give -1, 0 or 1: a before b, equal, behind it."""
    if RANKS[type(a)] != RANKS[type(b)]:
        return -1 if RANKS[type(a)] < RANKS[type(b)] else 1
    if isinstance(a, list):
        for one, other in zip(a, b, strict=False):
            if (found := compare(one, other)) != 0:
                return found
        return compare(len(a), len(b))
    if isinstance(a, dict):
        return compare([[name, a[name]] for name in sorted(a)], [[name, b[name]] for name in sorted(b)])
    if a is None or a == b:
        return 0
    return -1 if a < b else 1


def ordered(rows: Iterable[Any], *keys: tuple[Callable[[Any], Any], bool]) -> list[Any]:
    """Sort rows by keys (what gives the value, is_descending); equal rows stay as they are."""

    def both(a: Any, b: Any) -> int:
        for key, descending in keys:
            if (found := compare(key(a), key(b))) != 0:
                return -found if descending else found
        return 0

    return sorted(rows, key=cmp_to_key(both))


def distinct(values: Iterable[Any]) -> list[Any]:
    """Keep the first of equal values."""
    found: list[Any] = []
    for value in values:
        if all(compare(value, one) != 0 for one in found):
            found.append(value)
    return found


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; a boolean is none."""
    return type(value) in (int, float)


def need_numbers(*values: Any) -> None:
    """Refuse anything but numbers."""
    if not all(map(is_number, values)):
        raise FunctionError("numbers are needed")


def calculated(operator: str, a: Any, b: Any) -> Any:
    """Add, subtract, multiply, divide."""
    if operator == "+" and isinstance(a, str) and isinstance(b, str):
        return a + b
    need_numbers(a, b)
    if operator in "/%" and b == 0:
        raise FunctionError("division by zero")
    whole = isinstance(a, int) and isinstance(b, int)
    match operator:
        case "+":
            result = a + b
        case "-":
            result = a - b
        case "*":
            result = a * b
        case "/":
            result = a // b if whole and a % b == 0 else a / b
        case _:
            result = int(math.copysign(abs(a) % abs(b), a)) if whole else math.fmod(a, b)
    if isinstance(result, float) and not math.isfinite(result):
        raise FunctionError("out of range")
    if isinstance(result, int) and result.bit_length() > 1024:
        raise FunctionError("out of range")
    return result


def bits(operator: str, a: Any, b: Any) -> int:
    """Bit operators of 64-bit integers."""
    need_numbers(a, b)
    first, second = (wrapped(int(value)) for value in (a, b))
    match operator:
        case "&":
            return first & second
        case "|":
            return first | second
        case "^":
            return first ^ second
        case "<<":
            return wrapped(first << (second % 64))
    return first >> (second % 64)


def wrapped(number: int) -> int:
    """Give what is left of an integer in 64 bits with a sign."""
    return (number + 2**63) % 2**64 - 2**63


def within(value: Any, container: Any) -> bool:
    """``value IN container``."""
    if isinstance(container, list):
        return any(compare(value, one) == 0 for one in container)
    return isinstance(container, dict) and isinstance(value, str) and value in container


def like(text: Any, pattern: Any) -> bool:
    """``text LIKE pattern``, letter by letter."""
    text, pattern = (one if isinstance(one, str) else "" for one in (text, pattern))
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[begin:], pattern[1:]) for begin in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def at(value: Any, index: Any) -> Any:
    """``value[index]``."""
    if isinstance(index, str):
        if not isinstance(value, dict) or index in value:
            return value.get(index) if isinstance(value, dict) else None
        first, dot, rest = index.partition(".")
        return at(value.get(first), rest) if dot else None
    if isinstance(value, list) and is_number(index) and index == int(index):
        place = int(index) + (len(value) if index < 0 else 0)
        return value[place] if 0 <= place < len(value) else None
    return None


def shown(value: Any) -> str:
    """Give a value as a template shows it."""
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def whole(value: Any) -> int:
    """Give a number without its fraction."""
    need_numbers(value)
    return int(value)


def amount(value: Any) -> int:
    """Give what LIMIT was given."""
    need_numbers(value)
    if value != int(value) or value < 0:
        raise FunctionError("LIMIT needs a whole number that is not negative")
    return int(value)
