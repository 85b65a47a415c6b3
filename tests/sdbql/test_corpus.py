"""Fifty thousand texts, made of the cases by mutation: whatever they are, they end in JSON or in a QueryError, soon.

All are parsed; printed and run is one in four. A page takes a sample.
"""

from __future__ import annotations

import sys

import pytest

from tests.fuzz.mutants import mutants, seeds
from tests.fuzz.target import decide

COUNT, PARTS = (500, 2) if sys.platform == "emscripten" else (50_000, 20)


@pytest.mark.parametrize("part", range(PARTS))
def test_any_text_ends_in_json_or_in_a_query_error(part: int):
    size = COUNT // PARTS
    queries = 0
    for number, text in enumerate(mutants(part * size, size)):
        queries += decide(text, runs=number % 4 == 0)
    assert queries > size // 20, "most mutants are no queries, but some must be"


def test_every_seed_is_decided():
    for text in seeds():
        decide(text)
