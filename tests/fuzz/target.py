"""What is asked of the query engine for any text at all: an answer that is JSON or a QueryError, and soon.

A text that parses is printed and parsed again, and run over a little data with small limits.
"""

from __future__ import annotations

import copy
import json
from random import Random
from time import process_time
from typing import Any

from pysync_web import QueryError
from pysync_web.sdbql import QueryLimits, execute, format_query, parse

MOST_S = 0.5
LIMITS = QueryLimits(rows_scanned=20_000, rows_returned=2_000, bytes_returned=1 << 20, steps=500_000, time_s=0.2)
NOW_MS = 1_700_000_000_000
BINDS: dict[str, Any] = {"a": 1, "b": "b", "c": [1, None, "b"], "d": {"x": {"y": 1}}, "e": "users", "value": True}
DATA: dict[str, list[dict[str, Any]]] = {
    "users": [
        {"_key": "1", "name": "Ann", "age": 41, "tags": ["x", "y"], "address": {"city": "Rome"}},
        {"_key": "2", "name": "Bob", "age": 7.5, "tags": [], "address": None, "active": True},
        {"_key": "3", "name": "", "age": None, "tags": [[1], {"x": 1}]},
    ],
    "orders": [{"_key": str(key), "user": str(key % 3), "total": key * 10} for key in range(5)],
    "links": [{"_key": str(key), "_from": f"users/{key}", "_to": f"users/{key % 3 + 1}"} for key in range(1, 4)],
}
NAMES = [
    *DATA,
    "u",
    "o",
    "x",
    "doc",
    "name",
    "age",
    "tags",
    "address",
    "city",
    "total",
    "user",
    "_key",
    "_id",
    "@a",
]


class Broken(Exception):
    """The engine has not kept what it promises."""


def decide(text: str, *, runs: bool = True) -> bool:
    """Parse, print and run a text; tell whether it is a query. Raises what must not happen."""
    begin = process_time()
    try:
        query = parse(text)
    except QueryError as error:
        _check_error(error, text)
        _check_time(begin, text)
        return False
    if runs:
        _check_printed(query)
        _run(text)
    _check_time(begin, text)
    return True


def _check_printed(query: Any) -> None:
    try:
        printed = format_query(query)
        again = parse(printed, max_length=1 << 20, max_depth=400)
    except QueryError as error:
        if "deep" in str(error):
            return
        raise Broken("what was printed can't be parsed") from error
    if again != query:
        raise Broken(f"what was printed is another query: {printed[:500]}")


def _run(text: str) -> None:
    data = copy.deepcopy(DATA)
    try:
        rows = execute(text, data, BINDS, limits=LIMITS, now=lambda: NOW_MS, rng=Random(1))
    except QueryError as error:
        _check_error(error, text)
        if data != DATA:
            raise Broken("a query that failed has written") from error
        return
    json.dumps([rows, data], allow_nan=False)


_FAULTS = (AssertionError, AttributeError, ImportError, LookupError, NameError, SyntaxError)
"""What is wrong with the engine, and not with the query, where it is the cause of an error."""


def _check_error(error: QueryError, text: str) -> None:
    if isinstance(error.__cause__, _FAULTS):
        raise Broken("a fault of the engine") from error
    lines = text.count("\n") + 1
    if error.line is not None and not 1 <= error.line <= lines:
        raise Broken(f"an error in line {error.line} of {lines}")


def _check_time(begin: float, text: str) -> None:
    took = process_time() - begin
    if took > MOST_S:
        raise Broken(f"{took:.2f} s for {len(text)} characters: {text[:200]!r}")
