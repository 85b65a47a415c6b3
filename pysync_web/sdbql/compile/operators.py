"""What operators do with values, called by the code that queries are compiled to.

``run`` counts what grows; what a query can do wrong raises FunctionError, to which the engine adds the place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import patterns
from ..functions.registry import FunctionError
from ..functions.sizes import check_written
from .equality import CONTAINERS, NUMBERS, equal

if TYPE_CHECKING:
    from .run import Run

_MOST_BITS: Final = 1024  # what a float can still say, roughly: larger integers only serve to exhaust
_LARGE: Final = 1 << 64
_LONG: Final = 256


def type_name(value: Any) -> str:
    """Name the type of a value as a query's author knows it."""
    if value is None:
        return "null"
    if callable(value):
        return "a lambda"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def add(run: Run, a: Any, b: Any) -> Any:
    """``a + b``: numbers or texts."""
    kind, other = type(a), type(b)
    if kind is int and other is int:
        total = a + b
        return total if -_LARGE < total < _LARGE else _checked(total)
    if kind in NUMBERS and other in NUMBERS:
        return _checked(a + b)
    if kind is str and other is str:
        if len(a) + len(b) > _LONG:
            run.spend(len(a) + len(b))
        return a + b
    raise FunctionError(f"can't add {type_name(a)} and {type_name(b)}")


def subtract(a: Any, b: Any) -> Any:
    """``a - b``."""
    _need_numbers(a, b, "subtract")
    return _checked(a - b)


def multiply(a: Any, b: Any) -> Any:
    """``a * b``."""
    _need_numbers(a, b, "multiply")
    return _checked(a * b)


def divide(a: Any, b: Any) -> Any:
    """``a / b``: an integer where that is exact."""
    _need_numbers(a, b, "divide")
    if b == 0:
        raise FunctionError("division by zero")
    if type(a) is int and type(b) is int and a % b == 0:
        return a // b
    return _checked(a / b)


def remainder(a: Any, b: Any) -> Any:
    """``a % b``, with the sign of the dividend."""
    _need_numbers(a, b, "divide")
    if b == 0:
        raise FunctionError("division by zero")
    if type(a) is int and type(b) is int:
        return abs(a) % abs(b) if a >= 0 else -(-a % abs(b))
    return _checked(math.fmod(a, b))


def negate(a: Any) -> Any:
    """``-a``."""
    if type(a) not in NUMBERS:
        raise FunctionError(f"can't negate {type_name(a)}")
    return -a


def positive(a: Any) -> Any:
    """``+a``."""
    if type(a) not in NUMBERS:
        raise FunctionError(f"a sign before {type_name(a)}")
    return a


def _need_numbers(a: Any, b: Any, verb: str) -> None:
    if type(a) not in NUMBERS or type(b) not in NUMBERS:
        raise FunctionError(f"can't {verb} {type_name(a)} and {type_name(b)}")


def _checked(number: Any) -> Any:
    """Refuse what is no JSON number, and integers beyond all floats."""
    if type(number) is float:
        if number - number != 0:
            raise FunctionError("the result is out of the range of numbers")
    elif number.bit_length() > _MOST_BITS:
        raise FunctionError("the result is out of the range of numbers")
    return number


def bits(operator: str, a: Any, b: Any) -> int:
    """``& | ^ << >>`` of 64-bit integers; floats are truncated, shifts count modulo 64."""
    first, second = _integer(a), _integer(b)
    match operator:
        case "&":
            return first & second
        case "|":
            return first | second
        case "^":
            return first ^ second
        case "<<":
            return _signed(first << (second & 63))
        case _:
            return first >> (second & 63)


def invert(a: Any) -> int:
    """``~a``."""
    return ~_integer(a)


def _integer(value: Any) -> int:
    if type(value) not in NUMBERS:
        raise FunctionError(f"a bit operator needs numbers, not {type_name(value)}")
    return _signed(int(value))


def _signed(number: int) -> int:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    return number - (1 << 64) if number >> 63 else number


def whole(value: Any, what: str) -> int:
    """Give a number as an integer, its fraction cut off."""
    if type(value) not in NUMBERS:
        raise FunctionError(f"{what} must be a number, not {type_name(value)}")
    return int(value)


def span(a: Any, b: Any) -> range:
    """``a..b`` to loop over."""
    return range(whole(a, "the start of a range"), whole(b, "the end of a range") + 1)


def span_list(run: Run, a: Any, b: Any) -> list[int]:
    """``a..b`` as an array."""
    first, last = whole(a, "the start of a range"), whole(b, "the end of a range")
    run.spend(max(0, last - first + 1))
    return list(range(first, last + 1))


def member(value: Any, name: str) -> Any:
    """``value.name``."""
    return value.get(name) if type(value) is dict else None


def item(value: Any, index: Any) -> Any:
    """``value[index]``: an element, a member, or what a path such as ``"a.b"`` leads to."""
    kind = type(index)
    if kind is str:
        return _at_path(value, index)
    if type(value) is list and kind in NUMBERS and index == int(index):
        place = int(index)
        if -len(value) <= place < len(value):
            return value[place]
    return None


def _at_path(value: Any, path: str) -> Any:
    if type(value) is not dict:
        return None
    if path in value or "." not in path:
        return value.get(path)
    for name in path.split("."):
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def text(value: Any) -> str:
    """Give a value as a template shows it: whole floats without a fraction, arrays and objects as JSON."""
    if type(value) is str:
        return value
    if type(value) in CONTAINERS:
        check_written(value)
    return json.dumps(_shown(value), ensure_ascii=False, separators=(",", ":"))


def _shown(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if kind is list:
        return [_shown(one) for one in value]
    if kind is dict:
        return {name: _shown(one) for name, one in value.items()}
    if callable(value):
        raise FunctionError("a lambda is not a value")
    return value


def template(run: Run, parts: Sequence[Any]) -> str:
    """Join the parts of a template."""
    texts = [text(part) for part in parts]
    length = sum(map(len, texts))
    if length > _LONG:
        run.spend(length)
    return "".join(texts)


def spread_array(run: Run, value: Any) -> list[Any]:
    """Give the elements that ``...value`` puts into an array."""
    if value is None:
        return []
    if type(value) is not list:
        raise FunctionError(f"... in an array needs an array, not {type_name(value)}")
    run.spend(len(value))
    return value


def spread_object(run: Run, value: Any) -> dict[str, Any]:
    """Give the members that ``...value`` puts into an object."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise FunctionError(f"... in an object needs an object, not {type_name(value)}")
    run.spend(len(value))
    return value


def property_name(value: Any) -> str:
    """Give the name that a computed key stands for."""
    if type(value) in (list, dict):
        raise FunctionError(f"{type_name(value)} can't be the name of a member")
    return text(value)


def items(value: Any) -> Any:
    """Give what a FOR loops over: the elements of an array, nothing for null, else the value alone."""
    if type(value) is list:
        return value
    return () if value is None else (value,)


def elements(value: Any) -> list[Any]:
    """Give an array's elements, and none for anything else."""
    return value if type(value) is list else []


def expand(run: Run, value: Any, depth: int, is_bare: bool) -> list[Any]:
    """Give the elements that ``[*]`` works on; a bare one, and each further star, flattens a level."""
    found = elements(value)
    run.spend(len(found))
    for _ in range(depth - 1 + is_bare):
        if not any(type(one) is list for one in found):
            break
        flat: list[Any] = []
        for one in found:
            if type(one) is list:
                run.spend(len(one))
                flat.extend(one)
            else:
                flat.append(one)
        found = flat
    return found


def cut(found: list[Any], offset: Any, count: Any) -> list[Any]:
    """``LIMIT offset, count`` inside ``[* …]``."""
    begin = amount(offset)
    return found[begin : begin + amount(count)]


def amount(value: Any) -> int:
    """Give what LIMIT was given, as an integer that is not negative."""
    if type(value) not in NUMBERS or value != int(value):
        raise FunctionError(
            f"LIMIT needs a whole number, not {text(value) if type(value) in NUMBERS else type_name(value)}"
        )
    if value < 0:
        raise FunctionError("LIMIT can't be negative")
    return int(value)


def like(value: Any, pattern: Any) -> bool:
    """``value LIKE pattern``: % is any text, _ any character, the whole text must match; what is no text is ""."""
    return patterns.like(value if type(value) is str else "", pattern if type(pattern) is str else "")


def regex(run: Run, value: Any, pattern: Any, wanted: bool) -> bool:
    """``value =~ pattern`` and, if a match is not wanted, ``!~``; a pattern that is none gives false for both."""
    if type(value) is not str or type(pattern) is not str:
        return False
    try:
        return patterns.compile_pattern(pattern).test(value, run.spend) is wanted
    except patterns.PatternError:
        return False


def similar(run: Run, a: Any, b: Any) -> bool:
    """``a ~= b``: at most two edits lead from one text to the other."""
    if type(a) is not str or type(b) is not str:
        return False
    if abs(len(a) - len(b)) <= 2:
        run.spend(5 * len(a))
    return patterns.levenshtein_within(a, b, 2)


def choose(subject: Any, value: Any) -> bool:
    """Tell whether ``CASE subject WHEN value`` takes the branch."""
    return equal(subject, value)


def forbidden(value: Any) -> Any:
    """Refuse a lambda where a value is needed."""
    raise FunctionError(f"a lambda can only be an argument of a function, not {type_name(value)}")
