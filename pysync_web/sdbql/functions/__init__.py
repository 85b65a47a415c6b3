"""The functions of queries: importing this registers all of them.

Functions that belong together are a module; what a module can't do without is passed to it in a call.
"""

from __future__ import annotations

from . import arrays, control, formats, json_texts, lambdas, maths, objects, statistics, strings, types
from .registry import FUNCTIONS, Context, Function, FunctionError

__all__ = [
    "FUNCTIONS",
    "Context",
    "Function",
    "FunctionError",
    "arrays",
    "control",
    "formats",
    "json_texts",
    "lambdas",
    "maths",
    "objects",
    "statistics",
    "strings",
    "types",
]
