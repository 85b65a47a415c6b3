"""Makes a query's text a tree, and keeps the trees of short queries, because the same texts come again and again.

Trees are immutable, so all who ask for the same text share one. Their left spines may be long: see
:mod:`pysync_web.sdbql.parsing.expressions`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..errors import QueryError
from .lexer import tokenize
from .limits import QueryLimits
from .nodes import Query
from .parsing.clauses import read_query, read_script
from .parsing.cursor import Cursor

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
        raise QueryError(f"The query has {len(query)} characters, over the limit of {max_length}")
    return (_parse_and_keep if len(query) <= LONGEST_KEPT else _parse)(query, max_depth)


def _parse(query: str, max_depth: int) -> Query:
    cursor = Cursor(query, tokenize(query), max_depth, read_query)
    try:
        return read_script(cursor)
    except RecursionError:
        # The caller has used up the stack, or set a depth that Python does not have.
        raise QueryError("Nested too deep for this program's stack", query=query, at=cursor.token.at) from None


_parse_and_keep = lru_cache(MOST_KEPT)(_parse)
