"""Patterns that can't hang whoever gave them: regular expressions, LIKE, and texts that are nearly alike.

A regular expression goes to Python's ``re`` where its worst case is cheap for the text at hand, and otherwise to a
machine whose steps grow with the text only. Both find the same.
"""

from __future__ import annotations

from .distance import levenshtein, levenshtein_within
from .regex import Pattern, compile_pattern, regex_test
from .syntax import PatternError
from .wildcards import like

__all__ = [
    "Pattern",
    "PatternError",
    "compile_pattern",
    "levenshtein",
    "levenshtein_within",
    "like",
    "regex_test",
]
