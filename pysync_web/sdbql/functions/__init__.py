"""The functions of queries: importing this registers all of them.

The registry comes first, because modules that functions are made of may look into it in their turn.
"""

from __future__ import annotations

from .registry import FUNCTIONS, Context, Function, FunctionError

# isort: split
from . import (
    arrays,
    control,
    dates,
    formats,
    fuzzy,
    geo,
    hashes,
    ids,
    json_texts,
    lambdas,
    maths,
    objects,
    phonetic,
    regexes,
    search,
    statistics,
    strings,
    types,
    vectors,
)

__all__ = [
    "FUNCTIONS",
    "Context",
    "Function",
    "FunctionError",
    "arrays",
    "control",
    "dates",
    "formats",
    "fuzzy",
    "geo",
    "hashes",
    "ids",
    "json_texts",
    "lambdas",
    "maths",
    "objects",
    "phonetic",
    "regexes",
    "search",
    "statistics",
    "strings",
    "types",
    "vectors",
]
