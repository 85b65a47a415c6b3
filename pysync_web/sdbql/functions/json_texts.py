"""Values written as JSON and read back. What is read obeys JSON to the letter: no NaN, no numbers beyond floats.

Depth is looked at before anything is parsed, because a parser that goes too deep can take the whole page with it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from . import sizes
from .arguments import a_text
from .maths import checked
from .registry import FunctionError, function
from .writing import json_text

_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@function("JSON_PARSE", "PARSE_JSON", least=1, most=1)
def json_parse(value: Any) -> Any:
    """Read a JSON text."""
    text = a_text(value)
    _check_depth(text)
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"at line {error.lineno}, column {error.colno}"
        raise FunctionError(f"the text is no JSON: {error.msg[0].lower()}{error.msg[1:]} {place}") from None
    except (ValueError, RecursionError):
        raise FunctionError("the text is no JSON") from None
    if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise FunctionError("the text is no JSON: half a character in a string")
    return value


@function("JSON_STRINGIFY", "TO_JSON", least=1, most=1)
def json_stringify(value: Any) -> str:
    """Write a value as compact JSON."""
    return json_text(value)


@function("JSON_STRINGIFY_PRETTY", least=1, most=1)
def json_stringify_pretty(value: Any) -> str:
    """Write a value as JSON over many lines, indented by two spaces."""
    return json_text(value, is_pretty=True)


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= sizes.MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        mark = token.group()[0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > sizes.MAX_DEPTH:
            raise FunctionError(f"the text is nested deeper than {sizes.MAX_DEPTH} levels, which is the limit")


def _integer(digits: str) -> int | float:
    if len(digits) > 310:
        raise FunctionError("a number is out of the range of numbers")
    return checked(int(digits))


def _real(digits: str) -> int | float:
    return checked(float(digits))


def _no_constant(name: str) -> Any:
    raise FunctionError(f"the text is no JSON: {name} is no number")
