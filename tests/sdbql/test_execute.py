"""The engine around the language: rows belong to the caller, sources are asked for what is needed, limits hold."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql import Document, Found, QueryLimits, Request, collections_of, execute, explain

PEOPLE: list[Document] = [{"_key": f"p{n}", "name": f"n{n % 7}", "age": n, "tags": [n]} for n in range(100)]
DEEP = "LET a0 = [1] " + " ".join(f"LET a{n + 1} = [a{n}, a{n}]" for n in range(40))


def people() -> dict[str, list[Document]]:
    return {"people": [{**one, "tags": [*one["tags"]]} for one in PEOPLE]}


@dataclass
class Asked:
    """A source that finds by age, and remembers what it was asked."""

    data: dict[str, list[Document]] = field(default_factory=people)
    requests: list[Request] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)

    def collections(self) -> Sequence[str]:
        return list(self.data)

    def scan(self, collection: str) -> Iterable[Document]:
        return iter(self.data[collection])

    def get(self, collection: str, key: str) -> Document | None:
        self.gets.append(key)
        return next((one for one in self.data[collection] if one["_key"] == key), None)

    def find(self, request: Request) -> Found | None:
        self.requests.append(request)
        if not request.conditions or request.conditions[0].path != ("age",):
            return None
        return Found([one for one in self.data[request.collection] if one["age"] > 90], "by_age")


def test_rows_are_the_callers_own():
    data = people()
    for query in ("FOR p IN people RETURN p", "FOR p IN people RETURN {tags: p.tags}", "RETURN people"):
        row = execute(query, data)[0]
        (row[0] if isinstance(row, list) else row)["tags"].append("mine")
    assert data == people()


def test_constants_and_binds_are_not_the_callers():
    binds = {"x": [1]}
    for query in ("RETURN {a: [1]}", "RETURN @x"):
        row = execute(query, {}, binds)[0]
        (row if isinstance(row, list) else row["a"]).append(2)
        assert str(execute(query, {}, binds)[0]).count("2") == 0


def test_what_is_written_is_not_the_callers():
    data: dict[str, list[Document]] = {"a": []}
    binds = {"x": [1]}
    execute("INSERT {_key: 'k', x: @x} INTO a", data, binds)
    binds["x"].append(2)
    assert data == {"a": [{"_key": "k", "x": [1]}]}


def test_a_query_that_fails_late_has_written_nothing():
    data = people()
    with pytest.raises(QueryError, match="already"):
        execute("FOR p IN people REMOVE p IN people INSERT {_key: 'n'} INTO people", data)
    assert data == people()


def test_a_scan_does_not_see_what_it_writes():
    data = people()
    execute("FOR p IN people INSERT {age: p.age} INTO people", data)
    assert len(data["people"]) == 200


def test_new_keys_come_from_time_and_chance_alone():
    rows = [
        execute("INSERT {} INTO a RETURN NEW._key", {"a": []}, now=lambda: 5, rng=random.Random(1)) for _ in "ab"
    ]
    assert rows[0] == rows[1]


def test_conditions_reach_the_source():
    source = Asked()
    rows = execute("FOR p IN people FILTER p.age > @a SORT p.name LIMIT 2 RETURN p.age", source, {"a": 95})
    assert rows == [98, 99]
    (request,) = source.requests
    assert request.conditions[0].value == 95
    assert (request.order, request.limit) == (((("name",), False),), 2)


def test_a_key_is_looked_up():
    source = Asked()
    assert execute("FOR k IN ['p3', 'p5', 'no'] FOR p IN people FILTER p._key == k RETURN p.age", source) == [3, 5]
    assert source.gets == ["p3", "p5", "no"]


def test_data_without_writing_refuses_to_be_written():
    with pytest.raises(QueryError, match="only be read"):
        execute("INSERT {} INTO people", Asked())


def test_a_plan_tells_of_indexes_and_of_conditions_that_were_moved():
    plan = explain("FOR p IN people FOR t IN p.tags FILTER p.age > 95 RETURN t", Asked())
    scan, condition, loop, _ = plan["steps"]
    assert (scan["step"], scan["index"], scan["rows"]) == ("scan", "by_age", 9)
    assert (condition["is_moved"], condition["rows"], loop["rows"]) == (True, 4, 4)


@pytest.mark.parametrize(
    ("condition", "ages"),
    [
        ("p.age > @least + 5", [96, 97, 98, 99]),
        ("p['age'] > 95", [96, 97, 98, 99]),
        ("@least + 5 < p.age", [96, 97, 98, 99]),
        ("p.age IN [@least, LENGTH('abc') * 30 + 1]", [91]),
        ("p.age > @least AND p.age < DATE_NOW()", [91, 92, 93, 94, 95, 96, 97, 98, 99]),
        ("p.age == (@least > 5 ? ABS(-@least) + 1 : 0)", [91]),
    ],
)
def test_a_value_that_is_worked_out_is_looked_up_too(condition: str, ages: list[int]):
    query, source = f"FOR p IN people FILTER {condition} RETURN p.age", Asked()
    assert execute(query, source, {"least": 90}) == ages
    assert source.requests[0].conditions, "no index was asked for"


@pytest.mark.parametrize("condition", ["p.age > RANDOM()", "p.age > LENGTH(p.tags)", "p.age > LENGTH(people)"])
def test_a_value_that_is_another_one_for_each_document_is_not_looked_up(condition: str):
    source = Asked()
    execute(f"FOR p IN people FILTER {condition} RETURN p.age", source)
    assert not source.requests


def test_a_value_that_can_t_be_worked_out_is_no_error_where_no_document_needs_it():
    query, none = "FOR p IN people FILTER p.age > 1 / @x RETURN p.age", Asked({"people": []})
    with pytest.raises(QueryError, match="Division by zero"):
        execute(query, Asked(), {"x": 0})
    assert execute(query, none, {"x": 0}) == [] and none.requests[0].conditions == ()


def test_a_plan_counts_each_row_of_a_clause_that_writes_once():
    data = {"a": [{"_key": "1"}, {"_key": "2"}, {"_key": "3"}]}
    plan = explain("FOR x IN a FILTER x._key > '1' UPDATE x WITH {n: 1} IN a RETURN NEW", data)
    assert [step["rows"] for step in plan["steps"]] == [3, 2, 2, 2]


def test_a_query_tells_which_collections_it_needs():
    assert collections_of("FOR a IN x FOR b IN @@c RETURN LENGTH(y)", {"c": "z"}) == {"x", "y", "z"}
    assert collections_of("INSERT {} INTO a") == {"a"}
    assert collections_of("RETURN DOCUMENT(@id)", {"id": "a/1"}) is None


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("FOR i IN 1..1e12 FILTER i < 0 RETURN i", "rows_scanned"),
        ("FOR i IN 1..300000 RETURN i", "rows_returned"),
        ("RETURN 1..1e12", "steps"),
        ("RETURN REDUCE(1..100, (a, x) -> a + a, 'ab')", "steps"),
        (DEEP + " RETURN a40", "parts"),
        ("LET a = 1..1000000 RETURN [a, a, a, a, a, a, a]", "bytes_returned"),
        (DEEP + " RETURN a40 == a39", "parts"),
        (DEEP + " FOR x IN [a40] SORT x RETURN 1", "parts"),
        (DEEP + " FOR x IN [a40] COLLECT y = x RETURN 1", "parts"),
        ("RETURN REDUCE(1..9, (a, x) -> a * a, 1e9)", "range of numbers"),
        ("RETURN REDUCE(1..99, (a, x) -> a * a, 10)", "range of numbers"),
        ("RETURN REDUCE(1..100000, (a, x) -> [a], 1)", "deep"),
    ],
)
def test_what_grows_is_stopped(query: str, limit: str):
    with pytest.raises(QueryError, match=limit):
        execute(query, {})


def test_time_is_limited():
    with pytest.raises(QueryError, match="time_s"):
        execute("FOR i IN 1..1000000 RETURN 1", {}, limits=QueryLimits(time_s=0.001))


@pytest.mark.parametrize(
    "query",
    [
        "RETURN " + "+".join(["x"] * 249) + " + 751",
        "RETURN " + " AND ".join(["x"] * 250) + " ? 1000 : 0",
        "RETURN [x]" + "[0]" * 250 + " ?? 1000",
        "RETURN " + "[" * 40 + "1000" + "]" * 40 + "[0]" * 40,
        "RETURN (" + "(FOR a IN [1] RETURN " * 20 + "1000" + ")" * 20 + ")" + "[0]" * 20,
        "RETURN CASE x " + " ".join(f"WHEN {n + 2} THEN {n}" for n in range(500)) + " ELSE 1000 END",
        "".join(f"FOR a{n} IN [x] " for n in range(60)) + "RETURN 999 + a0",
        "".join(f"FOR a{n} IN [x] LIMIT 1 SORT a{n} " for n in range(40)) + "RETURN 999 + a0 * a39",
    ],
)
def test_long_and_nested_queries_compile(query: str):
    assert execute("LET x = 1 " + query, {}) == [1000]


@pytest.mark.parametrize(
    ("query", "line", "column"),
    [
        ("FOR p IN people\nFILTER p.age > 0\nRETURN 1 / (p.age - 1)", 3, 10),
        ("LET a = 1\nRETURN UPPER(LOWER(nosuch))", 2, 20),
        ("FOR p IN people\n  SORT -p.name RETURN p", 2, 8),
        ("RETURN MAP([0],\n x -> 1 / x)", 2, 9),
    ],
)
def test_an_error_has_its_place(query: str, line: int, column: int):
    with pytest.raises(QueryError) as caught:
        execute(query, people())
    assert (caught.value.line, caught.value.column) == (line, column)


def test_nothing_of_a_value_becomes_syntax():
    for value in ("' OR 1 == 1", '"""', "\\", "\n", "#@1\n", "{}", "k1"):
        rows: list[Any] = execute("FOR p IN people FILTER p.name == @v RETURN p", people(), {"v": value})
        assert rows == []
        assert execute("RETURN {[@v]: @v}", {}, {"v": value}) == [{value: value}]
