"""Parsing: what each form of the language becomes, and what it costs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.parser import parse
from tests.sdbql.soon import EACH, soon

from .trees import shape

A, B, C, X = n.Name("a"), n.Name("b"), n.Name("c"), n.Name("x")


def value(text: str) -> n.Expression:
    """Parse an expression alone."""
    (clause,) = parse(f"RETURN {text}").clauses
    assert isinstance(clause, n.Return)
    return clause.value


def clause(text: str) -> Any:
    """Parse a clause that stands before a RETURN."""
    return parse(f"{text} RETURN 1").clauses[0]


def binary(operator: str, left: n.Expression, right: n.Expression) -> n.Binary:
    return n.Binary(operator, left, right)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("null", n.Constant(None)),
        ("TRUE", n.Constant(True)),
        ("12345678901234567890123", n.Constant(12345678901234567890123)),
        ("-5", n.Constant(-5)),
        ("5.", n.Constant(5.0)),
        ("1e3", n.Constant(1000.0)),
        ("2.5E-1", n.Constant(0.25)),
        ("5 --3", n.Constant(5)),
        ("/* a * b */ 5 // c", n.Constant(5)),
        (r"'it\'s \u0041\n\q'", n.Constant("it's A\nq")),
        (r'"\ud83d\ude00"', n.Constant("😀")),
        ('"two\nlines"', n.Constant("two\nlines")),
        ("@a", n.Bind("a")),
        ("@@a", n.Bind("a", True)),
        ("`for`", n.Name("for")),
        ("count", n.Name("count")),
        ("order", n.Name("order")),
        ("größe", n.Name("größe")),
        ("- -5", n.Unary("-", n.Constant(-5))),
        ("-(5)", n.Unary("-", n.Constant(5))),
        ("!~a", None),
        ("+a", n.Unary("+", A)),
        ("! a", n.Unary("not", A)),
    ],
)
def test_values(text: str, tree: n.Expression | None):
    if tree is None:
        with pytest.raises(QueryError):
            value(text)
    else:
        assert shape(value(text)) == shape(tree)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", binary("+", A, binary("*", B, C))),
        ("a - b - c", binary("-", binary("-", A, B), C)),
        ("a && b || c", binary("||", binary("and", A, B), C)),
        ("a || b AND c", binary("||", A, binary("and", B, C))),
        ("a ?? b || c", binary("??", A, binary("||", B, C))),
        ("a OR b |> F()", n.Pipe(binary("or", A, B), n.Call("F", ()))),
        ("a || b |> F()", binary("||", A, n.Pipe(B, n.Call("F", ())))),
        ("a |> F", n.Pipe(A, n.Call("F", ()))),
        ("a | b ^ c", binary("|", A, binary("^", B, C))),
        ("a == b & c", binary("&", binary("==", A, B), C)),
        ("a == b..c", binary("==", A, binary("..", B, C))),
        ("a < b == c", binary("==", binary("<", A, B), C)),
        ("1..a+1", binary("..", n.Constant(1), binary("+", A, n.Constant(1)))),
        ("a << b + c", binary("<<", A, binary("+", B, C))),
        ("NOT a == b", binary("==", n.Unary("not", A), B)),
        ("NOT a IN b", binary("in", n.Unary("not", A), B)),
        ("a NOT IN b", binary("not in", A, B)),
        ("a not like b", binary("not like", A, B)),
        ("a NOT =~ b", binary("!~", A, B)),
        ("a ~= b", binary("~=", A, B)),
        ("-a * b", binary("*", n.Unary("-", A), B)),
        ("-a.b", n.Unary("-", n.Access(A, "b"))),
        ("-a ** b ** c", n.Unary("-", n.Call("POW", (A, n.Call("POW", (B, C)))))),
        ("a ? b : c ? a : b", n.Conditional(A, B, n.Conditional(C, A, B))),
        ("a?.b ? b : c", n.Conditional(n.Access(A, "b", True), B, C)),
        ("a ? [b] : c", n.Conditional(A, n.Array((B,)), C)),
    ],
)
def test_operators(text: str, tree: n.Expression):
    assert shape(value(text)) == shape(tree)


CURRENT_A = n.Access(n.Current(), "a")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a.Order.`x y`", n.Access(n.Access(A, "Order"), "x y")),
        ("a[0]['b']", n.Index(n.Index(A, n.Constant(0)), n.Constant("b"))),
        ("a?.b?.[c]", n.Index(n.Access(A, "b", True), C, True)),
        ("a.@b", n.Index(A, n.Bind("b"))),
        ("a[*]", n.Expansion(A)),
        ("a[**].a", n.Expansion(A, 2, rest=CURRENT_A)),
        ("b[*].a[*].c", n.Expansion(n.Expansion(B, rest=CURRENT_A), rest=n.Access(n.Current(), "c"))),
        ("b[*].a[0]", n.Index(n.Expansion(B, rest=CURRENT_A), n.Constant(0))),
        ("(b[*]).a", n.Access(n.Expansion(B), "a")),
        (
            "b[* FILTER CURRENT.a LIMIT 1, 2 RETURN current.a]",
            n.Expansion(B, 1, CURRENT_A, n.Constant(1), n.Constant(2), CURRENT_A),
        ),
        ("b[* RETURN {Current}]", n.Expansion(B, result=n.Object((n.Property("Current", n.Current()),)))),
        ("[{@a: b}]", n.Array((n.Object((n.Property(n.Bind("a"), B),)),))),
        ("current", n.Name("current")),
        ("{a, 'x y': 1, 2: b, [c]: 3, for: 4, ...b,}", None),
        ("[a, ...b,]", n.Array((A, n.Spread(B)))),
        ("$'a${b}$$${c}'", n.Template(("a", B, "$", C))),
        ('$"${$"${a}"}"', n.Template((n.Template((A,)),))),
        ("CASE WHEN a THEN b END", n.Case(None, ((A, B),), None)),
        ("CASE a WHEN b THEN c ELSE x END", n.Case(A, ((B, C),), X)),
        ("any x in a satisfies b", n.Quantifier("any", "x", A, B)),
        ("SOME x IN a", n.Quantifier("any", "x", A, None)),
        ("ALL x IN a SATISFIES b AND c", n.Quantifier("all", "x", A, binary("and", B, C))),
        ("any(a)", n.Call("ANY", (A,))),
        ("any", n.Name("any")),
        ("f(x -> x, (a, b) -> c)", n.Call("F", (n.Lambda(("x",), X), n.Lambda(("a", "b"), C)))),
        ("f((a), (b) + c)", n.Call("F", (A, binary("+", B, C)))),
        ("rank() over (partition by a order by b desc)", None),
        ("(RETURN 1)", n.Subquery(n.Query((n.Return(n.Constant(1)),)))),
        ("f(RETURN 1)", n.Call("F", (n.Subquery(n.Query((n.Return(n.Constant(1)),))),))),
        ("(REPLACE(a, b, c))", n.Call("REPLACE", (A, B, C))),
        ("(SORT(a) |> REVERSE())", n.Pipe(n.Call("SORT", (A,)), n.Call("REVERSE", ()))),
        ("(FILTER (a) RETURN b)", n.Subquery(n.Query((n.Filter(A), n.Return(B))))),
        ("LEFT(a, 1) + LIKE(b)", binary("+", n.Call("LEFT", (A, n.Constant(1))), n.Call("LIKE", (B,)))),
    ],
)
def test_what_values_are_made_of(text: str, tree: n.Expression | None):
    wanted = {
        "{": n.Object(
            (
                n.Property("a", A),
                n.Property("x y", n.Constant(1)),
                n.Property("2", B),
                n.Property(C, n.Constant(3)),
                n.Property("for", n.Constant(4)),
                n.Spread(B),
            )
        ),
        "r": n.Call("RANK", (), n.Over((A,), (n.SortKey(B, True),))),
    }
    assert shape(value(text)) == shape(tree or wanted[text[0]])


EDGES = n.Name("e")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("FOR x IN a", n.For("x", A)),
        ("FOR x IN a.b[*].c", n.For("x", n.Expansion(n.Access(A, "b"), rest=n.Access(n.Current(), "c")))),
        ("FOR x IN RANGE(1, a)", n.For("x", n.Call("RANGE", (n.Constant(1), A)))),
        ("FOR x IN a..b", n.For("x", binary("..", A, B))),
        ("FOR order IN orders", n.For("order", n.Name("orders"))),
        ("FOR x IN any", n.For("x", n.Name("any"))),
        ("FOR x IN ANY(a)", n.For("x", n.Call("ANY", (A,)))),
        ("FOR x IN outbound", n.For("x", n.Name("outbound"))),
        ("FOR x IN OUTBOUND a e", n.Traverse("x", None, None, None, "outbound", A, EDGES)),
        ("FOR x IN ANY a e", n.Traverse("x", None, None, None, "any", A, EDGES)),
        ("FOR x IN ANY (a) e", n.Traverse("x", None, None, None, "any", A, EDGES)),
        ("FOR x, b IN 2 INBOUND a e", n.Traverse("x", "b", n.Constant(2), n.Constant(2), "inbound", A, EDGES)),
        ("FOR x IN 1..@d ANY a @@e", None),
        ("FOR x, b IN SHORTEST_PATH a TO c INBOUND e", n.ShortestPath("x", "b", A, C, "inbound", EDGES)),
        ("FOR x IN ANY SHORTEST_PATH a TO c e", n.ShortestPath("x", None, A, C, "any", EDGES)),
        ("LET a = 1, b = 2", n.Let((n.Binding("a", n.Constant(1)), n.Binding("b", n.Constant(2))))),
        ("SORT a, b DESC, c ASC", n.Sort((n.SortKey(A), n.SortKey(B, True), n.SortKey(C)))),
        ("ORDER BY a", n.Sort((n.SortKey(A),))),
        ("SORT by.a", n.Sort((n.SortKey(n.Access(n.Name("by"), "a")),))),
        ("LIMIT 5", n.Limit(n.Constant(5))),
        ("LIMIT 5, 10", n.Limit(n.Constant(10), n.Constant(5))),
        ("JOIN b ON c", n.Join("inner", B, "b", C)),
        ("INNER JOIN b AS x ON c", n.Join("inner", B, "x", C)),
        ("LEFT OUTER JOIN b x ON c", n.Join("left", B, "x", C)),
        ("FULL JOIN @@b AS x ON c", n.Join("full", n.Bind("b", True), "x", C)),
        ("COLLECT WITH COUNT INTO count", n.Collect(count_into="count")),
        ("COLLECT a = b INTO c = x KEEP a, b", None),
        (
            "COLLECT INTO x WITH COUNT INTO n AGGREGATE c = COUNT(), s = sum(a.b)",
            n.Collect(
                (),
                (n.Aggregate("c", "COUNT", ()), n.Aggregate("s", "SUM", (n.Access(A, "b"),))),
                "x",
                count_into="n",
            ),
        ),
        ("WINDOW SLIDING (SIZE '5m')", n.StreamWindow("sliding", "5m")),
        ("INSERT {a: b IN c} IN x", None),
        ("INSERT a INTO @@x", n.Insert(A, n.Bind("x", True))),
        ("UPDATE a WITH b IN c", n.Update(A, B, C)),
        ("UPDATE a IN c", n.Update(A, None, C)),
        ("REPLACE a WITH b INTO c", n.Update(A, B, C, True)),
        ("REMOVE (a IN b) ? a : b IN c", n.Remove(n.Conditional(binary("in", A, B), A, B), C)),
        ("UPSERT a INSERT b UPDATE c IN x", n.Upsert(A, B, C, X)),
        ("UPSERT a INSERT b REPLACE c IN x", n.Upsert(A, B, C, X, True)),
    ],
)
def test_clauses(text: str, tree: n.Clause | None):
    wanted = {
        "F": n.Traverse("x", None, n.Constant(1), n.Bind("d"), "any", A, n.Bind("e", True)),
        "C": n.Collect((n.Binding("a", B),), (), "c", X, ("a", "b")),
        "I": n.Insert(n.Object((n.Property("a", binary("in", B, C)),)), X),
    }
    assert shape(clause(text)) == shape(tree or wanted[text[0]])


def test_return_distinct_is_told_from_a_variable_of_that_name():
    assert parse("RETURN DISTINCT a").clauses == (n.Return(A, True),)
    assert parse("RETURN distinct").clauses == (n.Return(n.Name("distinct")),)
    assert parse("RETURN distinct.a").clauses == (n.Return(n.Access(n.Name("distinct"), "a")),)


def test_clauses_may_come_in_any_order_and_often():
    query = parse("LET a = 1 LIMIT 1 SORT a LET b = 2 FOR x IN c LIMIT 2 SORT x SORT b FILTER a FILTER b RETURN x")
    assert [type(one).__name__ for one in query.clauses] == (
        ["Let", "Limit", "Sort", "Let", "For", "Limit", "Sort", "Sort", "Filter", "Filter", "Return"]
    )


def test_what_writes_needs_no_return():
    assert len(parse("FOR x IN a REMOVE x IN a").clauses) == 2
    assert len(parse("UPSERT a INSERT b UPDATE c IN x").clauses) == 1


def test_streams_and_views():
    assert parse("CREATE STREAM s AS FOR x IN a RETURN x").creates == ("stream", "s")
    assert parse("CREATE MATERIALIZED VIEW v AS RETURN 1").creates == ("view", "v")
    assert parse("REFRESH MATERIALIZED VIEW v") == n.Query((), ("refresh", "v"))


def test_nodes_know_their_places():
    text = "FOR x IN a\n  FILTER x.b + F(c) > 1\n  RETURN x"
    query = parse(text)
    assert query.text == text
    loop, condition, _ = query.clauses
    assert isinstance(loop, n.For) and isinstance(condition, n.Filter)
    assert text[loop.source.at] == "a"
    comparison = condition.condition
    assert isinstance(comparison, n.Binary) and text[comparison.at] == ">"
    addition = comparison.left
    assert isinstance(addition, n.Binary) and text[addition.at] == "+"
    assert text[addition.left.at] == "b" and text[addition.right.at] == "F"


def test_a_text_is_parsed_once():
    text = "FOR x IN users RETURN x.name"
    assert parse(text) is parse(text)


DEEP = {
    "parentheses": ("(", "1", ")"),
    "arrays": ("[", "1", "]"),
    "objects": ("{a: ", "1", "}"),
    "signs": ("- ", "x", ""),
    "negations": ("NOT ", "x", ""),
    "calls": ("F(", "1", ")"),
    "lambdas": ("F(x -> ", "1", ")"),
    "subqueries": ("(RETURN ", "1", ")"),
    "loops": ("(FOR x IN ", "y", " RETURN x)"),
    "sole arguments": ("F(FOR x IN ", "y", " RETURN x)"),
    "indexes": ("a[", "1", "]"),
    "expansions": ("a[* FILTER ", "1", "]"),
    "templates": ('$"${', "1", '}"'),
    "conditionals": ("a ? b : ", "1", ""),
    "other conditionals": ("a ? ", "1", " : b"),
    "powers": ("a ** ", "1", ""),
    "cases": ("CASE WHEN ", "1", " THEN 2 END"),
    "quantifiers": ("ANY x IN y SATISFIES ", "1", ""),
    "other quantifiers": ("ANY x IN ", "y", ""),
    "windows": ("F() OVER (PARTITION BY ", "1", ")"),
    "pipes": ("a |> F(", "1", ")"),
    "spreads": ("[...", "a", "]"),
    "operators": ("a OR b AND c == d + e * (", "1", ")"),
}


@pytest.mark.parametrize("form", DEEP)
def test_nesting_is_bounded(form: str):
    opening, core, closing = DEEP[form]
    parse(f"RETURN {opening * 8}{core}{closing * 8}")
    for depth in (70, 1_000, 5_000):
        with pytest.raises(QueryError, match=r"deeper than 64 levels|limit of 65536"):
            parse(f"RETURN {opening * depth}{core}{closing * depth}")


@pytest.mark.parametrize("form", DEEP)
def test_what_never_ends_is_refused(form: str):
    opening, _, _ = DEEP[form]
    with pytest.raises(QueryError):
        parse(f"RETURN {opening * (60_000 // len(opening))}")


def test_chains_are_long_but_bounded():
    for chain in (" + 1", ".a", "[0]", " |> F()", " AND b", "[*].a"):
        parse(f"RETURN a{chain * 240}")
        with pytest.raises(QueryError, match="in one chain"):
            parse(f"RETURN a{chain * 260}")


def test_a_query_has_a_greatest_length():
    with pytest.raises(QueryError, match="over the limit of 65536"):
        parse("RETURN 1" + " " * 70_000)
    with pytest.raises(QueryError, match="over the limit of 10"):
        parse("RETURN 1 + 1", max_length=10)


def test_a_stack_that_is_used_up_is_a_query_error():
    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        else:
            with pytest.raises(QueryError, match="stack"):
                parse("RETURN " + "(" * 5_000 + "1", max_depth=10_000)

    deeper(50)


@pytest.mark.parametrize(
    "piece",
    ["a ", "a,", "1+", "1.", "[1],", "{a:1},", "(", "[[", "-", '"', "'", "`", "\\", '"\\', '$"', '$"${', "/*", "/**/",
     "--\n", "$$", "@a ", "LET a = 1 ", "FOR x IN ANY(", "(FILTER(", "(REPLACE(a) ", "f((a,", "f((a),", "a.", "? ",
     "x -> ", "..", "1..", "NOT ", "a IN ", "{", "}", ")", "CASE WHEN ", "\U0001f600", "\x00"][::EACH],
)  # fmt: skip
def test_any_text_is_decided_fast(piece: str):
    for before in ("", "RETURN f(", '$"'):
        text = (before + piece * (65_536 // len(piece)))[:65_536]
        with soon(0.5), suppress(QueryError):
            parse(text)
