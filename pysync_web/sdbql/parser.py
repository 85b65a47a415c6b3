"""Makes a query's text a tree, and keeps the trees of short queries, because the same texts come again and again.

Trees are immutable, so all who ask for the same text share one. Their left spines may be long: see
:mod:`pysync_web.sdbql.parsing.expressions`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from ..errors import QueryError
from .lexer import RESERVED, tokenize
from .limits import QueryLimits
from .nodes import Expression, Query
from .parsing.clauses import read_query, read_script
from .parsing.cursor import Cursor
from .parsing.expressions import BEGINS_QUERY, begins_call, expression

T = TypeVar("T")

LONGEST_KEPT: Final = 2 * 1024
MOST_KEPT: Final = 256
_DEFAULT: Final = QueryLimits()


def parse(query: str, *, max_length: int = _DEFAULT.query_chars, max_depth: int = _DEFAULT.depth) -> Query:
    """Give the tree of a query, or raise :class:`QueryError` that says what was expected where.

    ``max_length`` is in characters. ``max_depth`` bounds how deep brackets, operators of different strength,
    lambdas, subqueries and the like stand in one another; a chain of equal operators is no depth.
    """
    if not isinstance(query, str):
        raise QueryError(f"A query is a text, not {type(query).__name__}")
    if len(query) > max_length:
        raise QueryError(
            f"The query has {len(query)} characters, over the limit of {max_length} (limit: query_chars)"
        )
    return (_parse_and_keep if len(query) <= LONGEST_KEPT else _parse)(query, max_depth)


def parse_condition(
    text: str, *, max_length: int = _DEFAULT.query_chars, max_depth: int = _DEFAULT.depth
) -> Query | Expression:
    """Give the tree of a text that is either a query or an expression alone, as :func:`parse` does."""
    if not isinstance(text, str) or len(text) > max_length:
        return parse(text, max_length=max_length)  # which refuses it
    cursor = Cursor(text, tokenize(text), max_depth, read_query)
    if cursor.kind in BEGINS_QUERY & RESERVED and not begins_call(cursor):
        return _read(cursor, read_script)
    found = _read(cursor, expression)
    if cursor.kind != "end":
        cursor.refuse("the end of the expression")
    return found


def _parse(query: str, max_depth: int) -> Query:
    return _read(Cursor(query, tokenize(query), max_depth, read_query), read_script)


def _read(cursor: Cursor, read: Callable[[Cursor], T]) -> T:
    try:
        return read(cursor)
    except RecursionError:
        # The caller has used up the stack, or set a depth that Python does not have.
        raise QueryError(
            "Nested too deep for this program's stack", query=cursor.query, at=cursor.token.at
        ) from None


_parse_and_keep = lru_cache(MOST_KEPT)(_parse)
