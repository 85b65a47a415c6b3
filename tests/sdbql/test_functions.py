"""Functions called as the engine calls them: what they give, what they refuse, and that nothing else ever comes."""

from __future__ import annotations

import copy
import json
import math
import random
import re
from contextlib import suppress
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.errors import QueryError
from pysync_web.sdbql.functions import (
    FUNCTIONS,
    FunctionError,
    arrays,
    control,
    formats,
    json_texts,
    lambdas,
    maths,
    objects,
    sizes,
    statistics,
    strings,
    types,
)
from pysync_web.sdbql.limits import Budget, QueryLimits
from pysync_web.sdbql.source import Lists
from pysync_web.values import order_key

from .soon import EACH

CASES = Path(__file__).with_name("cases")
FILES = ("strings", "arrays", "statistics", "maths", "types", "objects", "lambdas")
MODULES = (arrays, control, formats, json_texts, lambdas, maths, objects, statistics, strings, types)
OURS = sorted(name for name, one in FUNCTIONS.items() if one.call.__module__ in {m.__name__ for m in MODULES})
SIMPLE = re.compile(r"RETURN ([A-Z_0-9]+)\((.*)\)", re.DOTALL)
COSTLY = {"ARGON2_HASH", "ARGON2_VERIFY"}

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 2**70, -(2**1020), 2.0, 1.5, -0.0, -2.5, 1.7e308, 5e-324),
    *("", "a", "%s", "a,b.c", "日本é", "\ud800", "2024-01-15T10:30:00Z", "[1]", "<x" * 50),
    *([], [1, 2.5, -3], ["b", "a", None], [None, True, [1, [2]], {"a": 1}], [[1, 2], [3]], [{"a": 1}, {"b": "x"}]),
    *({}, {"a": 1}, {"a": {"b": None}, "c": [True]}),
]


class Lent:
    """What a query lends to a function."""

    def __init__(self) -> None:
        self.rng = random.Random(7)
        self.source = Lists({"users": [{"_key": "1"}]})
        self.budget = Budget(QueryLimits())

    def now_ms(self) -> int:
        """Give one time."""
        return 1_700_000_000_000

    def spend(self, steps: int) -> None:
        """Count work."""
        self.budget.spend(steps)


def call(name: str, *arguments: Any) -> Any:
    """Call a function as the engine does."""
    one = FUNCTIONS[name]
    if not one.least <= len(arguments) <= (len(arguments) if one.most is None else one.most):
        raise FunctionError(f"{name} takes another number of arguments")
    return one.call(Lent(), *arguments) if one.needs_context else one.call(*arguments)


def cases() -> list[dict[str, Any]]:
    """Give all cases of functions."""
    return list(
        chain.from_iterable(json.loads(CASES.joinpath(f"{name}.json").read_text("utf-8")) for name in FILES)
    )


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal to a query, order of members and all."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    return bool(a == b)


def is_json(value: Any) -> bool:
    """Tell whether a value is made of what JSON has."""
    if type(value) is list:
        return all(map(is_json, value))
    if type(value) is dict:
        return all(type(name) is str and is_json(item) for name, item in value.items())
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in (type(None), bool, int, str)


def test_every_name_of_every_function_is_in_a_case():
    called = set(re.findall(r"([A-Z_0-9]+)\(", " ".join(case["query"] for case in cases())))
    assert set(OURS) <= called


@pytest.mark.parametrize("name", sorted({one.name for one in FUNCTIONS.values()} - COSTLY))
def test_odd_arguments_give_json_or_an_error(name: str):
    one = FUNCTIONS[name]
    rng = random.Random(name)
    most = one.least + 2 if one.most is None else one.most
    for count in range(one.least, min(most, 4) + 1):
        every = len(ODD) ** count
        combinations = (
            product(ODD, repeat=count)
            if every < 1000
            else ([rng.choice(ODD) for _ in range(count)] for _ in range(150))
        )
        for arguments in combinations:
            given = copy.deepcopy(list(arguments))
            try:
                result = call(name, *arguments)
            except (FunctionError, QueryError):
                continue
            assert is_json(result), (arguments, result)
            assert same(list(arguments), given), arguments


def deep(levels: int) -> list[Any]:
    """Make arrays inside one another."""
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value]
    return value


def bush(levels: int) -> list[Any]:
    """Make a value of 2^levels parts that takes no room."""
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize("name", sorted({one.name for one in FUNCTIONS.values()} - COSTLY)[::EACH])
def test_values_without_measure_end_in_no_time(name: str):
    one = FUNCTIONS[name]
    for huge in (deep(5000), bush(60), {"a": bush(60)}, [{"a": deep(5000)}]):
        for count in range(one.least, min(one.least + 1, one.least if one.most is None else one.most) + 1):
            for filler in ([1, 2], "a"):
                for place in range(count):
                    arguments = [filler] * count
                    arguments[place] = huge
                    with suppress(FunctionError, QueryError):
                        call(name, *arguments)


LONG = "a" * 300_000


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("REPEAT", ["ab", 2**40]),
        ("REPEAT", ["", 2**40, "-"]),
        ("PAD_LEFT", ["a", 1e300]),
        ("RANGE", [1, 2**60]),
        ("RANGE", [0, 1, 1e-300]),
        ("RANGE", [-1.7e308, 1.7e308, 1]),
        ("REPLACE", [LONG, "a", "four"]),
        ("SUBSTITUTE", [LONG, {"a": "bbbb"}]),
        ("SUBSTITUTE", ["aa", {"a": ["x" * 600_000]}]),
        ("CONCAT", [LONG] * 4),
        ("CONCAT", [[LONG] * 4]),
        ("CONCAT_SEPARATOR", [LONG, [1, 2, 3, 4, 5]]),
        ("JOIN", [[LONG] * 1000]),
        ("TO_STRING", [[LONG] * 1000]),
        ("JSON_STRINGIFY", [{"a": [LONG] * 4}]),
        ("JSON_STRINGIFY_PRETTY", [json.loads("[" * 100 + ",".join("1" * 9000) + "]" * 100)]),
        ("HIGHLIGHT", [LONG, "a"]),
        ("HIGHLIGHT", [LONG, [chr(0x4E00 + place) for place in range(250)]]),
        ("HIGHLIGHT", [LONG, "a" * 5000 + "b"]),
        ("SANITIZE", ["<" * 300_000, "html"]),
        ("SANITIZE", ["<" * 300_000, ["html"] * 50]),
        ("APPEND", [[1] * 600_000, [2] * 600_000]),
        ("PUSH", [[1] * 1_000_000, 2]),
        ("FLATTEN", [[[1] * 600_000] * 2]),
        ("UNION", [[1] * 600_000, [2] * 600_000]),
        ("ZIP", [[1] * 400_000] * 3),
        ("KEYS", [[dict.fromkeys(map(str, range(2000)), 1)] * 100_000]),
        ("VALUES", [[dict.fromkeys(map(str, range(2000)), 1)] * 100_000]),
        ("MERGE", [[dict.fromkeys(map(str, range(2000)), 1)] * 100_000]),
        ("ENCODE_URI", ["日" * 300_000]),
        ("SPLIT", ["," * 1_000_001]),
        ("POW", [10, 10**9]),
        ("POW", [2**1000, 3]),
        ("SUM", [[2**1022, 2**1022, 2**1022]]),
        ("JSON_PARSE", ["[" * 1_000_000]),
        ("JSON_PARSE", ['{"a":' * 1_000_000]),
        ("JSON_PARSE", ["1" * 5000]),
        ("JSON_PARSE", ["[" * 200 + '"\\' * 200_000]),
    ],
)
def test_what_would_grow_without_measure_is_refused(name: str, arguments: list[Any]):
    with pytest.raises((FunctionError, QueryError)):
        call(name, *arguments)


def test_brackets_in_a_text_are_no_depth():
    assert call("JSON_PARSE", json.dumps(["[" * 1000, "\\", '"{'])) == ["[" * 1000, "\\", '"{']
    assert call("JSON_PARSE", "[" * 128 + "]" * 128) == json.loads("[" * 128 + "]" * 128)


@pytest.mark.parametrize("text", ["<" * 500_000, "<a" * 500_000, " a" * 500_000, "@a." * 300_000, '"\\' * 500_000])
def test_texts_of_one_pattern_take_no_longer_than_others(text: str):
    for name in ("SANITIZE", "IS_EMAIL", "IS_URL", "SLUGIFY", "TITLE_CASE", "DECODE_URI", "WORD_COUNT", "IS_UUID"):
        call(name, text)
    call("SANITIZE", text, ["strip_html", "email", "url", "alpha"])
    call("TRUNCATE_TEXT", text, len(text) - 1)


def test_sleeping_uses_up_what_a_query_may_do_and_takes_no_time():
    lent = Lent()
    assert FUNCTIONS["SLEEP"].call(lent, 6000) is True
    with pytest.raises(QueryError):
        FUNCTIONS["SLEEP"].call(lent, 6000)


def test_chance_comes_from_the_query():
    assert call("RANDOM") == random.Random(7).random()
    assert call("RANDOM_INT", 1, 6) == random.Random(7).randint(1, 6)
    lent = Lent()
    assert {FUNCTIONS["RAND_INT"].call(lent, 1, 3) for _ in range(100)} == {1, 2, 3}


def test_what_a_lambda_raises_passes_through():
    def fails(_: Any) -> Any:
        raise QueryError("inside")

    for name in ("FILTER", "MAP", "ALL", "ANY", "NONE", "FIND", "FIND_LAST"):
        with pytest.raises(QueryError, match="inside"):
            call(name, [1], fails)


def test_a_lambda_may_be_any_argument():
    assert call("FILTER", lambda x: x > 1, [1, 2]) == [2]
    assert call("REDUCE", lambda a, b: a + b, [1, 2], 3) == 6
    assert call("REDUCE", [1, 2], lambda a, b: a + b) == 3
    with pytest.raises(FunctionError):
        call("FILTER", lambda x: x, lambda x: x)


def test_an_array_that_comes_back_is_a_new_one():
    array = [1, 2]
    for name in ("SORTED", "UNIQUE", "FLATTEN", "TO_ARRAY", "COLLECT_LIST", "INTERSECTION", "UNION", "APPEND"):
        assert call(name, array) is not array


def test_integers_stay_exact():
    big = 2**53 + 1
    assert call("SUM", [big, 2]) == big + 2
    assert call("AVG", [big, big]) == big
    assert call("ROUND", big, 3) == big
    assert call("ROUND", big, -1) == 9007199254740990
    assert call("SQRT", big**2) == big
    assert call("MOD", -big, 10) == -3
    assert call("MEDIAN", [big, big]) == big
    assert [type(call("FLOOR", value)) for value in (2.5, 2)] == [int, int]


def test_sums_of_floats_do_not_depend_on_order():
    values = [1e16, 1.0, -1e16, 0.1] * 50
    shuffled = random.Random(1).sample(values, len(values))
    assert call("SUM", values) == call("SUM", shuffled) == math.fsum(values)


def test_limits_of_size_are_themselves_allowed():
    assert len(call("REPEAT", "a", sizes.MAX_TEXT)) == sizes.MAX_TEXT
    assert len(call("RANGE", 1, sizes.MAX_ELEMENTS)) == sizes.MAX_ELEMENTS


SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, 2.0, -1.5]) | st.text(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
ARRAYS = st.lists(VALUES, max_size=8)


@given(ARRAYS)
def test_sorting_gives_the_total_order(array: list[Any]):
    result = call("SORTED", array)
    keys = list(map(order_key, result))
    assert keys == sorted(map(order_key, array))
    assert same(call("SORTED_UNIQUE", array), call("UNIQUE", result))


@given(ARRAYS, VALUES)
def test_what_is_in_an_array_is_said_alike_by_all_functions(array: list[Any], value: Any):
    is_in = call("POSITION", array, value) >= 0
    assert call("CONTAINS_ARRAY", array, value) is is_in
    assert (len(call("INTERSECTION", [value], array)) == 1) is is_in
    assert (len(call("MINUS", [value], array)) == 0) is is_in
    assert (len(call("REMOVE_VALUE", array, value)) < len(array)) is is_in
    assert (call("COUNT_DISTINCT", [*array, value]) == call("COUNT_DISTINCT", array)) is is_in


@given(ARRAYS, ARRAYS)
def test_an_array_is_what_another_has_and_what_it_has_not(a: list[Any], b: list[Any]):
    common, rest = call("INTERSECTION", a, b), call("MINUS", a, b)
    assert len(common) + len(rest) == len(a)
    assert same(call("UNION", a, b), call("UNIQUE", call("APPEND", a, b)))


@given(ARRAYS, st.integers(1, 5))
def test_what_is_cut_can_be_put_together(array: list[Any], size: int):
    assert same(call("FLATTEN", call("CHUNK", array, size)), array)
    assert same(call("APPEND", call("TAKE", array, size), call("DROP", array, size)), array)
    assert same(call("SLICE", array, 0, size), call("TAKE", array, size))


@given(VALUES)
def test_json_reads_what_it_wrote(value: Any):
    assert same(call("JSON_PARSE", call("JSON_STRINGIFY", value)), value)
    assert same(call("JSON_PARSE", call("JSON_STRINGIFY_PRETTY", value)), value)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_an_object_is_its_entries(value: dict[str, Any]):
    assert same(call("FROM_ENTRIES", call("ENTRIES", value)), value)
    assert same(call("ZIP_OBJECTS", call("KEYS", value), call("VALUES", value)), value)
    assert same(call("MERGE", call("KEEP", value, list(value)[:2]), call("UNSET", value, list(value)[:2])), value)


@given(st.text())
def test_addresses_are_read_as_they_were_written(text: str):
    assert call("DECODE_URI", call("ENCODE_URI", text)) == text


@given(st.lists(st.integers() | st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_means_and_spreads_lie_where_they_must(numbers: list[Any]):
    low, high = call("MIN", numbers), call("MAX", numbers)
    for name in ("AVG", "MEDIAN"):
        assert low - 1e-6 <= call(name, numbers) <= high + 1e-6
    assert low <= call("PERCENTILE", numbers, 50) <= high
    assert 0 <= call("VARIANCE", numbers) <= call("VARIANCE_SAMPLE", numbers)
