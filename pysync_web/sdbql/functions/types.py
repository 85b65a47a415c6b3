"""What type a value has, and values turned into another type.

Every number has the type name "int", as on SoliDB's server; IS_INTEGER tells whole numbers from others.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .registry import FunctionError, function
from .writing import text_of

_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "int",
    str: "string",
    list: "array",
    dict: "object",
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,308}")
_REAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@function("IS_ARRAY", "IS_LIST", least=1, most=1)
def is_array(value: Any) -> bool:
    """Tell whether a value is an array."""
    return type(value) is list


@function("IS_BOOL", "IS_BOOLEAN", least=1, most=1)
def is_bool(value: Any) -> bool:
    """Tell whether a value is true or false."""
    return type(value) is bool


@function("IS_NUMBER", "IS_NUMERIC", least=1, most=1)
def is_number(value: Any) -> bool:
    """Tell whether a value is a number."""
    return type(value) is int or type(value) is float


@function("IS_INTEGER", "IS_INT", least=1, most=1)
def is_integer(value: Any) -> bool:
    """Tell whether a value is a number without fraction."""
    return type(value) is int or (type(value) is float and value.is_integer())


@function("IS_STRING", least=1, most=1)
def is_string(value: Any) -> bool:
    """Tell whether a value is a string."""
    return type(value) is str


@function("IS_NULL", least=1, most=1)
def is_null(value: Any) -> bool:
    """Tell whether a value is null."""
    return value is None


@function("IS_OBJECT", "IS_DOCUMENT", least=1, most=1)
def is_object(value: Any) -> bool:
    """Tell whether a value is an object."""
    return type(value) is dict


@function("IS_EMPTY", least=1, most=1)
def is_empty(value: Any) -> bool:
    """Tell whether a value is null, an empty string, an empty array or an empty object."""
    return value is None or (type(value) in (str, list, dict) and not value)


@function("TYPENAME", "TYPE_OF", "TYPEOF", least=1, most=1)
def typename(value: Any) -> str:
    """Name a value's type: null, bool, int (any number), string, array or object."""
    name = _NAMES.get(type(value))
    if name is None:
        raise FunctionError("a lambda is not a value")
    return name


@function("TO_BOOL", "TO_BOOLEAN", least=1, most=1)
def to_bool(value: Any) -> bool:
    """Tell whether a value counts as true: not null, 0, "", "0", "false", [] or {}."""
    return bool(value) and not (type(value) is str and value.lower() in ("false", "0"))


@function("TO_NUMBER", "TO_NUM", least=1, most=1)
def to_number(value: Any) -> int | float:
    """Give a number as it is, true as 1, a string's number, and 0 for anything else."""
    if type(value) is int or type(value) is float:
        number: int | float = value
        return number
    if type(value) is bool:
        return int(value)
    return _read(value.strip()) if type(value) is str else 0


@function("TO_STRING", "TO_STR", least=1, most=1)
def to_string(value: Any) -> str:
    """Give a string as it is, null as an empty one, and anything else as JSON."""
    return text_of(value)


@function("TO_ARRAY", "TO_LIST", least=1, most=1)
def to_array(value: Any) -> list[Any]:
    """Give an array as it is, null as an empty one, the values of an object, or an array of the value alone."""
    if value is None:
        return []
    if type(value) is list:
        return list(value)
    return list(value.values()) if type(value) is dict else [value]


def _read(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _REAL.fullmatch(text):
        return 0
    number = float(text)
    return number if number - number == 0 else 0
