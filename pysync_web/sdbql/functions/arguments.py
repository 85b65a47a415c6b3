"""What functions expect of their arguments, and the words in which they refuse others.

Places count from 1, as people do. A number with no fraction counts as an integer, however it was written.
"""

from __future__ import annotations

from typing import Any

from .registry import FunctionError

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def kind_of(value: Any) -> str:
    """Name the kind of a value with its article, as in "a string"."""
    return _KINDS.get(type(value), "a lambda")


def wrong(place: int, expected: str, value: Any) -> FunctionError:
    """Make the error of an argument of a wrong kind, for the caller to raise."""
    return FunctionError(f"argument {place} must be {expected}, not {kind_of(value)}")


def a_text(value: Any, place: int = 1) -> str:
    """Give an argument that must be a string."""
    if type(value) is str:
        return value
    raise wrong(place, "a string", value)


def an_array(value: Any, place: int = 1) -> list[Any]:
    """Give an argument that must be an array."""
    if type(value) is list:
        return value
    raise wrong(place, "an array", value)


def an_object(value: Any, place: int = 1) -> dict[str, Any]:
    """Give an argument that must be an object."""
    if type(value) is dict:
        return value
    raise wrong(place, "an object", value)


def a_number(value: Any, place: int = 1) -> int | float:
    """Give an argument that must be a number."""
    if type(value) is int or type(value) is float:
        number: int | float = value
        return number
    raise wrong(place, "a number", value)


def a_real(value: Any, place: int = 1) -> float:
    """Give an argument that must be a number as a float, or refuse an integer beyond all floats."""
    try:
        return float(a_number(value, place))
    except OverflowError:
        raise FunctionError(f"argument {place} is too large a number") from None


def an_integer(value: Any, place: int) -> int:
    """Give an argument that must be a number without fraction."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is float:
        raise FunctionError(f"argument {place} must be an integer, not {value!r}")
    raise wrong(place, "an integer", value)
