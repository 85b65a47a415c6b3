"""Filters: what they say, what is refused with which words, and that one document can't harm another or take long."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import pytest

from pysync_web.core import filters
from pysync_web.core.filters import Filter, compile_filter
from pysync_web.errors import QueryError, SchemaError
from pysync_web.sdbql.functions import FUNCTIONS

Bodies = list[dict[str, Any]]


def matching(query: str | None, bodies: Bodies, **binds: Any) -> list[bool]:
    return compile_filter("samples", query, binds).matching([(f"k{at}", one) for at, one in enumerate(bodies)])


PEOPLE: Bodies = [
    {"owner": "ann", "status": "open", "tags": ["a", "b"], "n": 1},
    {"owner": "bob", "status": "open", "tags": ["b"], "n": 2},
    {"owner": "ann", "status": "done", "tags": [], "n": "three", "doc": 1},
    {},
]


@pytest.mark.parametrize(
    ("query", "binds", "expected"),
    [
        (None, {}, "1111"),
        ("doc.owner == @me AND status IN @states", {"me": "ann", "states": ["open"]}, "1000"),
        ("FOR u IN samples FILTER u.owner == @me RETURN u", {"me": "ann"}, "1010"),
        ("FOR u IN @@c FILTER u.owner == 'ann' FILTER u.n == 1 RETURN u", {"c": "samples"}, "1000"),
        ("FOR u IN samples LET a = u.n, b = a == 2 FILTER b RETURN u", {}, "0100"),
        ("ANY t IN tags SATISFIES t == 'b'", {}, "1100"),
        ("tags |> ANY(t -> t == 'a')", {}, "1000"),
        (
            "LENGTH((FOR t IN tags LET status = t, x = status FILTER x == 'b' SORT x LIMIT 9 RETURN x)) == 1",
            {},
            "1100",
        ),
        ("_key == 'k1' OR _id == 'samples/k3'", {}, "0101"),
        ("HAS(doc, 'doc') AND doc.doc == 1", {}, "0010"),
        ("tags[* FILTER CURRENT == 'a'] == ['a']", {}, "1000"),
        ("owner =~ @p AND owner LIKE 'b_b'", {"p": "^b"}, "0100"),
        ("{owner, n} == {owner: 'bob', n: 2}", {}, "0100"),
        ("`x.y` == null AND LEFT(owner, 1) == 'a'", {}, "1010"),
    ],
)
def test_which_documents_match(query: str, binds: dict[str, Any], expected: str):
    assert matching(query, PEOPLE, **binds) == [one == "1" for one in expected]


REFUSED = [
    ("FOR u IN other RETURN u", "no other collection", 10),
    ("FOR u IN samples SORT u.x RETURN u", "SORT can't stand here", 18),
    ("samples.done", "called samples is doc.samples", 1),
    ("x == 1 AND LENGTH(samples) > 1", "samples is the collection", 19),
    ("FOR u IN samples LIMIT 3 RETURN u", "LIMIT can't stand here", 18),
    ("FOR u IN samples COLLECT a = u.x RETURN a", "COLLECT can't stand here", 18),
    ("FOR u IN samples FOR t IN u.x RETURN u", "FOR can't stand here", 18),
    ("FOR u IN samples FOR t IN others RETURN u", "FOR can't stand here", 18),
    ("FOR u IN samples JOIN samples AS b ON b.x == u.x RETURN u", "JOIN can't stand here", 18),
    ("FOR u IN samples INSERT {} INTO samples", "INSERT can't stand here", 18),
    ("FOR u IN samples UPDATE u WITH {} IN samples RETURN u", "UPDATE can't stand here", 18),
    ("REMOVE 'a' IN samples", "begins with FOR", 1),
    ("LET a = 1 FOR u IN samples RETURN u", "begins with FOR", 1),
    ("FOR u IN samples RETURN u.x", "gives the document itself", 18),
    ("FOR u IN samples RETURN DISTINCT u", "gives the document itself", 18),
    ("FOR u IN samples LET u = 1 RETURN u", "is the document already", 22),
    ("FOR u IN samples FILTER status == 1 RETURN u", "a field is u.status", 25),
    ("FOR u IN samples FILTER LENGTH(samples) == 1 RETURN u", "no variable samples", 32),
    ("FOR u IN samples FILTER (FOR x IN others RETURN x) RETURN u", "no variable others", 35),
    ("LENGTH((FOR t IN tags COLLECT a = t RETURN a)) == 1", "COLLECT can't stand here", 23),
    ("FOR u IN [1] RETURN u", "nothing but its documents", 10),
    ("FOR u IN @@c RETURN u", "no value for @@c", 10),
    ("LENGTH(@@c) == 1", "no other collection", 8),
    ("x == @y", "no value for @y", 6),
    ("x == ", "Expected an expression", 6),
    ("", "Expected an expression", 1),
    ("x == 1 LIMIT 5", "Expected the end of the expression", 8),
    ("LENGHT(x)", "Did you mean LENGTH", 1),
    ("x < NOW()", "NOW depends on the time", 5),
    ("x |> HUMAN_TIME(y) == 'a'", "HUMAN_TIME depends on the time", 6),
    ("RAND() < 0.5", "RAND depends on chance", 1),
    ("DOCUMENT('a/b').x == 1", "DOCUMENT depends on other documents", 1),
    ("SUM(x) OVER () < 5", "depends on other documents", 1),
    ("ARGON2_VERIFY(a, b)", "costs more", 1),
    ("x =~ pattern", "a text or a bind variable", 6),
    ("x |> REGEX_MATCH(y)", "a text or a bind variable", 18),
    (f"x IN [{','.join(map(str, range(200)))}]", "at most 200 parts", 1),
    ("[" * 17 + "x" + "]" * 17, "at most 16 levels", 17),
    ("x" * 70_000, "over the limit", None),
]


@pytest.mark.parametrize(("query", "words", "column"), REFUSED, ids=[one[0][:50] for one in REFUSED])
def test_what_is_refused_says_why_and_where(query: str, words: str, column: int | None):
    with pytest.raises(QueryError) as caught:
        compile_filter("samples", query)
    assert words in caught.value.message
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("binds", "words"),
    [
        ({"a": 1, "b": 2}, "bind_vars.b"),
        ({"a": float("nan")}, "not JSON"),
        ({"a": (1,)}, "not JSON"),
        ({"a": ["x" * 60_000, "y" * 6_000]}, "65536 bytes"),
    ],
)
def test_bind_variables_are_json_and_used_and_few(binds: dict[str, Any], words: str):
    with pytest.raises(SchemaError, match=words):
        compile_filter("samples", "x == @a", binds)
    with pytest.raises(SchemaError, match="collection"):
        compile_filter("no collection", None)


def test_a_chain_is_as_long_as_the_parts_allow_and_is_no_depth():
    whole = " OR ".join(f"n == {n}" for n in range(36))
    assert matching(whole, PEOPLE) == [True, True, False, False]


@pytest.mark.native
def test_functions_of_the_world_are_refused_whatever_they_are_called():
    """Whatever looks at more of its context than the account is refused, functions to come as well."""
    for name, function in FUNCTIONS.items():
        if not function.needs_context or function.name in filters._OF_ARGUMENTS:
            continue
        with pytest.raises(QueryError, match=name):
            compile_filter("samples", f"{name}({', '.join(['x'] * function.least)}) == 1")
    for name in filters._OF_ARGUMENTS:
        source = ast.parse(textwrap.dedent(inspect.getsource(inspect.getmodule(FUNCTIONS[name].call))))
        own = next(
            one
            for one in source.body
            if isinstance(one, ast.FunctionDef) and one.name == FUNCTIONS[name].call.__name__
        )
        assert not {one.attr for one in ast.walk(own) if isinstance(one, ast.Attribute)} & {
            "rng",
            "source",
            "now_ms",
        }


def test_a_document_that_fails_does_not_match_and_leaves_the_others_alone():
    bodies: Bodies = [{"n": "x" if at % 7 == 3 else at} for at in range(600)]
    assert matching("n + 1 > 100", bodies) == [at % 7 != 3 and at >= 100 for at in range(600)]


def test_two_documents_of_one_key_are_two():
    wanted = compile_filter("samples", "x == 1")
    assert wanted.matching([("a", {"x": 1}), ("a", {"x": True}), ("a", {"x": 1.0})]) == [True, False, True]
    assert wanted.matching([]) == []


@pytest.mark.parametrize(
    "query",
    [
        "LENGTH(MAP(some, x -> SORTED(doc.some))) > 0",
        "NOT (ANY x IN some SATISFIES -1 IN doc.some)",
        "NOT (ANY x IN some SATISFIES text =~ 'b*c')",
        "NOT (ANY x IN some SATISFIES short =~ 'b*c')",
        "NOT (ANY x IN some SATISFIES doc.text LIKE '%b_a_a_a_a%a%')",
        "NOT (ANY x IN some SATISFIES LENGTH(REGEX_MATCHES(doc.text, 'a')) < 0)",
        "LENGTH((FOR x IN some FOR y IN doc.some RETURN 1)) >= 0",
        "SORTED(big) != 1 AND SORTED(big) != 2 AND SORTED(big) != 3 AND SORTED(big) != 4 AND SORTED(big) != 5",
        "REPEAT(text, 20) != ''",
    ],
)
def test_a_document_that_costs_too_much_does_not_match(query: str):
    """Both kinds of documents would match if there were no budget."""
    large = {"big": list(range(40_000)), "some": list(range(900)), "text": "a" * 1_000, "short": "a" * 100}
    small = {"big": [1], "some": [1], "text": "a", "short": "a"}
    wanted = compile_filter("samples", query)
    assert wanted.matching([("a", large), ("b", small), ("c", large), ("d", small)]) == [False, True, False, True]


def test_what_a_document_may_cost_does_not_depend_on_how_many_are_asked_about():
    body = {"tags": ["a" * 40] * 60}  # 60 calls of one step, and the 8 of each element
    wanted = compile_filter("samples", "LENGTH(tags |> MAP(t -> UPPER(t))) == 60")
    assert all(wanted.matching([(f"k{at}", body) for at in range(500)]))


HINTS: list[tuple[str, Any]] = [
    ("doc.owner == @me", (("owner",), "ann")),
    ("@me == a.b", (("a", "b"), "ann")),
    ("n > 1 AND (x == 2 AND @me == owner)", (("x",), 2)),
    ("FOR u IN samples LET y = u.z FILTER y == @me FILTER u.q == true RETURN u", (("q",), True)),
    ("owner == null AND n == -1.5", (("n",), -1.5)),
    ("owner == [1] AND a == b", None),
    ("owner == @me OR n == 1", None),
    ("NOT (n == 1)", None),
    ("n != 1 AND n >= 2", None),
    ("_key == 'a' AND _id == 'b' AND `a.b` == 1", None),
    ("owner[0] == 1 AND LOWER(owner) == 'ann'", None),
]


@pytest.mark.parametrize(("query", "hint"), HINTS)
def test_the_field_to_look_up(query: str, hint: Any):
    binds = {"me": "ann"} if "@me" in query else {}
    assert compile_filter("samples", query, binds).equality == hint


def test_a_filter_says_itself_again_and_is_known_by_it():
    first = compile_filter("samples", "doc.x==@a && doc.y", {"a": {"p": 1, "q": [2]}})
    again = compile_filter("samples", " x  == @a AND\n y /* too */", {"a": {"q": [2], "p": 1}})
    assert first == again and first.id == again.id and first.text == again.text
    assert first.text == "FOR doc IN samples\n  FILTER doc.x == @a AND doc.y\n  RETURN doc"
    assert compile_filter(first.collection, first.text, first.bind_vars) == first
    others = [
        compile_filter("other", "doc.x==@a && doc.y", {"a": {"p": 1, "q": [2]}}),
        compile_filter("samples", "doc.x==@a && doc.y", {"a": {"p": 1, "q": [2.0]}}),
        compile_filter("samples", "doc.x==@a && doc.z", {"a": {"p": 1, "q": [2]}}),
    ]
    assert len({first.id, *(one.id for one in others)}) == 4


def test_the_name_of_the_collection_as_a_bind_variable_is_put_into_the_text():
    wanted = compile_filter("samples", "FOR u IN @@c FILTER u.x == @x RETURN u", {"c": "samples", "x": 1})
    assert wanted.bind_vars == {"x": 1}
    assert wanted == compile_filter("samples", "FOR u IN samples FILTER u.x == @x RETURN u", {"x": 1})


def test_a_filter_keeps_values_of_its_own():
    binds: dict[str, Any] = {"a": ["x"]}
    wanted: Filter = compile_filter("samples", "x IN @a", binds)
    binds["a"].append("y")
    assert wanted.matching([("k", {"x": "y"})]) == [False]
