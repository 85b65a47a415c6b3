"""Values as text: the JSON of all that is no string, with members in the order in which they came."""

from __future__ import annotations

import json
from typing import Any

from .registry import FunctionError
from .sizes import check_text, check_written

_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_pretty = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, indent=2)


def json_text(value: Any, is_pretty: bool = False) -> str:
    """Give the JSON text of a value, compact or over many lines."""
    check_written(value, 2 if is_pretty else 0)
    try:
        text = (_pretty if is_pretty else _compact).encode(value)
    except (TypeError, ValueError, RecursionError):
        raise FunctionError("the value is no JSON") from None
    check_text(len(text))
    return text


def text_of(value: Any) -> str:
    """Give a string as it is, null as an empty one, and anything else as its JSON text."""
    kind = type(value)
    if kind is str:
        text: str = value
        return text
    if value is None:
        return ""
    if kind is int:
        return int_text(value)
    return json_text(value)


def int_text(number: int) -> str:
    """Give an integer's digits."""
    try:
        return str(number)
    except ValueError:
        raise FunctionError("an integer has too many digits") from None
