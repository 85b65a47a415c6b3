"""Searches, sounds, hashes, identifiers and places, called as the engine calls them: odd arguments, costs, chance."""

from __future__ import annotations

import copy
import json
import random
import uuid
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql import passwords
from pysync_web.sdbql.functions import (
    FUNCTIONS,
    FunctionError,
    dates,
    fuzzy,
    geo,
    hashes,
    ids,
    phonetic,
    regexes,
    search,
    vectors,
)
from pysync_web.sdbql.source import Lists

MODULES = {one.__name__ for one in (dates, fuzzy, geo, hashes, ids, phonetic, regexes, search, vectors)}
NAMES = sorted(name for name, one in FUNCTIONS.items() if one.call.__module__ in MODULES)

ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        1.7e308,
        5e-324,
        "",
        "a",
        "日本é",
        "\ud800",
        "2024-01-15",
        "(a+)+$",
        "users/1",
    ),
    *("users", [], [1, 2.5], ["b", None], [[1, 2], [3, 4], [5, 6]], {}, {"a": 1}, {"lat": 1, "lon": 2}),
    *([{"_key": "1", "t": "x", "v": [1, 2]}], {"type": "Point", "coordinates": [1]}, {"type": "Polygon"}, "day"),
]
FEW: list[Any] = [None, 1, "a", "users", [1, 2], [[0, 0], [0, 1], [1, 1]], {"limit": -1}, 2**70, "\ud800"]


class Lent:
    """What a query lends to a function."""

    def __init__(self, most: int = 20_000_000) -> None:
        self.rng = random.Random(7)
        self.source = Lists({"users": [{"_key": "1", "_id": "users/1", "name": "Ann"}], "others": []})
        self.steps = 0
        self.most = most

    def now_ms(self) -> int:
        """Give one time."""
        return 1_700_000_000_000

    def spend(self, steps: int) -> None:
        """Count work."""
        self.steps += steps
        if self.steps > self.most:
            raise QueryError("too much work")


def call(name: str, *arguments: Any, ctx: Lent | None = None) -> Any:
    one = FUNCTIONS[name]
    return one.call(ctx or Lent(), *arguments) if one.needs_context else one.call(*arguments)


@pytest.mark.parametrize("name", NAMES)
def test_odd_arguments_end_in_json_or_in_an_error_and_stay_as_they_were(name: str):
    one = FUNCTIONS[name]
    for count in range(one.least, (one.most if one.most is not None else one.least + 1) + 1):
        values = ODD if count < 3 else FEW if count < 4 else FEW[:4] if count < 6 else FEW[1:4]
        for chosen in product(values, repeat=count):
            before = copy.deepcopy(chosen)
            with suppress(FunctionError, QueryError):
                json.dumps(call(name, *chosen), allow_nan=False)
            assert chosen == before


def test_identifiers_come_from_the_generator_and_the_time_that_the_query_has():
    for name in ("UUID", "UUIDV7", "ULID", "NANOID"):
        assert call(name) == call(name)
        ctx = Lent()
        assert len({call(name, ctx=ctx) for _ in range(100)}) == 100
    assert uuid.UUID(call("UUID")).version == 4
    seventh = uuid.UUID(call("UUIDV7"))
    assert seventh.version == 7 and seventh.variant == uuid.RFC_4122
    assert seventh.int >> 80 == 1_700_000_000_000


def test_a_sample_is_by_chance_and_never_holds_a_document_twice():
    documents = [{"_key": str(i)} for i in range(50)]
    ctx = Lent()
    first, second = (call("SAMPLE", documents, 10, ctx=ctx) for _ in range(2))
    assert first != second
    assert len({one["_key"] for one in first}) == 10


def test_what_scans_counts_its_work():
    documents = [{"_key": str(i), "text": "word " * 100} for i in range(1000)]
    for name, arguments in (
        ("FULLTEXT", (documents, "text", "ward")),
        ("HYBRID_SEARCH", (documents, "v", "text", [1], "ward")),
        ("COLLECTION_COUNT", (documents,)),
        ("SAMPLE", (documents, 3)),
        ("LEVENSHTEIN", ("ab" * 1000, "ba" * 1000)),
        ("BM25", ("word " * 1000, "word")),
        ("REGEX_MATCHES", ("ab" * 2500, "(a*|b|ab)*b")),  # RE2 is not asked about this one
    ):
        with pytest.raises(QueryError, match="too much work"):
            call(name, *arguments, ctx=Lent(most=900))


def test_a_search_by_words_finds_words_with_slips_and_ranks_the_exact_one_first():
    documents = [{"_key": "1", "t": "a trusty engine"}, {"_key": "2", "t": "The Engin"}, {"_key": "3", "t": "none"}]
    found = call("FULLTEXT", documents, "t", "engine")
    assert [one["doc"]["_key"] for one in found] == ["1", "2"]
    assert found[0]["score"] == 1 > found[1]["score"] > 0.5


def test_texts_too_long_to_compare_are_refused():
    with pytest.raises(FunctionError, match="too long to compare"):
        call("LEVENSHTEIN", "a" * 20_000, "b" * 20_000)
    with pytest.raises(FunctionError, match="no code"):
        call("METAPHONE", "a" * 2_000)


def test_passwords_with_the_library_or_with_advice():
    try:
        stored = call("ARGON2_HASH", "mypassword123")
    except FunctionError as error:
        assert "install the package argon2-cffi" in str(error)
        return
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert call("ARGON2_VERIFY", stored, "mypassword123") is True
    assert call("ARGON2_VERIFY", stored, "another") is False
    with pytest.raises(FunctionError):
        call("ARGON2_VERIFY", stored[:-20], "mypassword123")


@pytest.mark.parametrize(
    "stored", ["", "$2b$12$abc", "$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$AAAA", "$" * 100_000]
)
def test_hashes_that_would_take_all_memory_are_refused(stored: str):
    with pytest.raises(passwords.PasswordError):
        passwords.verify_password(stored, "x")
