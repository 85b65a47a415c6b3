"""Whole queries, drawn at random: compiled they give what the plain evaluator gives, or both fail."""

from __future__ import annotations

import copy
import json
import re
import sys
from random import Random

from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pysync_web import QueryError
from pysync_web.sdbql import execute

from .meaningful import Problem, problem
from .reference import run as reference
from .reference.world import NOW_MS

EXAMPLES = 20 if sys.platform == "emscripten" else 200
EACH = 5  # queries of an example
MAY_SPARE_WORK = re.compile(r"\b(FILTER|LIMIT|JOIN)\b")
"""What lets the engine do less than was asked for, and so not meet with an error."""


def compiled(given: Problem) -> str | None:
    """Give a query's rows and what has become of the data as a text, or None if it fails."""
    own = copy.deepcopy(given.data)
    try:
        rows = execute(given.query, own, given.binds, now=lambda: NOW_MS, rng=Random(1))
    except QueryError:
        assert own == given.data, "a query that fails has written nothing"
        return None
    return json.dumps([rows, own], allow_nan=False)


def plain(given: Problem) -> str | None:
    """Give the same of the reference."""
    try:
        return json.dumps(reference.execute(given.query, given.data, given.binds), allow_nan=False)
    except QueryError:
        return None


def check(given: Problem) -> None:
    """Compare both."""
    wanted, found = plain(given), compiled(given)
    if wanted is None and found is not None and MAY_SPARE_WORK.search(given.query):
        return
    assert found == wanted, given


@settings(max_examples=EXAMPLES)
@drawn(st.randoms(use_true_random=True))
def test_a_query_gives_the_rows_of_the_plain_evaluator(rng: Random):
    for _ in range(EACH):
        check(problem(rng))


@settings(max_examples=EXAMPLES)
@drawn(st.randoms(use_true_random=True))
def test_a_query_that_writes_leaves_the_data_of_the_plain_evaluator(rng: Random):
    for _ in range(EACH):
        check(problem(rng, writes=True, most=3))
