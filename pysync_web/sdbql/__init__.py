"""SDBQL, the query language: the same engine answers in a page, in a native program and on the server.

What a query may do is bounded by :class:`QueryLimits`; whatever is wrong with it is a :class:`QueryError`.
"""

from __future__ import annotations

from ..errors import QueryError
from .engine import Prepared, collections_of, execute, explain, prepare
from .limits import QueryLimits
from .parser import parse
from .printer import format_query
from .source import Condition, DataSource, Document, Found, Lists, Request, SearchableSource, WritableSource

__all__ = [
    "Condition",
    "DataSource",
    "Document",
    "Found",
    "Lists",
    "Prepared",
    "QueryError",
    "QueryLimits",
    "Request",
    "SearchableSource",
    "WritableSource",
    "collections_of",
    "execute",
    "explain",
    "format_query",
    "parse",
    "prepare",
]
