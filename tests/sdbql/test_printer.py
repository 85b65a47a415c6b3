"""Printing: what is printed parses to the same tree, and reads well."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given

from pysync_web.errors import QueryError
from pysync_web.sdbql.nodes import Binary, Constant, Expression, Name, Query, Return, Unary
from pysync_web.sdbql.parser import parse
from pysync_web.sdbql.printer import format_expression, format_query

from .trees import shape, whole_queries


@given(whole_queries)
def test_what_is_printed_parses_to_an_equal_tree(tree):
    text = format_query(tree)
    again = parse(text, max_depth=400)
    assert shape(again) == shape(tree), text
    assert format_query(again) == text


def test_clauses_have_a_line_each_and_stand_under_their_loop():
    text = "for u in users filter u.age>=18 and not u.gone sort by u.name desc limit 5,10 return {name:u.name}"
    wanted = """
        FOR u IN users
          FILTER u.age >= 18 AND NOT u.gone
          SORT u.name DESC
          LIMIT 5, 10
          RETURN {name: u.name}
    """
    assert format_query(text) == dedent(wanted).strip()


def test_what_is_longer_than_a_line_is_broken_up():
    text = """
        FOR u IN users
          LET orders = (
            FOR o IN orders
              FILTER o.customer == u._key AND o.total > 100 AND o.date >= @since
              SORT o.date DESC
              RETURN o.total
          )
          RETURN {
            name: CONCAT(u.first_name, " ", u.last_name),
            address: {street: u.address.street, city: u.address.city},
            total: SUM(orders)
          }
    """
    assert format_query(dedent(text)) == dedent(text).strip()


@pytest.mark.parametrize(
    "text",
    [
        "(a + b) * c - (d - e)",
        "a ?? b || c OR d AND e | f ^ g & h == i..j << k + l * -m",
        "(NOT a) IN b",
        "NOT (a IN b)",
        "NOT -a.b[0]",
        "- -5",
        "-(5)",
        "a - -b",
        "(5).a",
        "(-5)[0]",
        "(a[*].b).c",
        "a[*].b[*].c[0]",
        "a[* FILTER CURRENT.x > 1 LIMIT 1, 2 RETURN CURRENT.y].z",
        "(a |> F(1)) > 2",
        "a > 2 |> F(x -> x + 1, (y, z) -> y)",
        "a ? b : c ? d : e",
        "(a ? b : c) ? d : e",
        "(ANY x IN a SATISFIES x) AND b",
        "a?.b?.[c].`two words`.order",
        'CASE a WHEN 1 THEN "x" ELSE "y" END',
        '$"\\${a} ${b + $"${c}"} \\"quoted\\""',
        '{a, b: 1, "two words": 2, [c]: 3, ...d}',
        "[1, ...a, 2.0, 1e+30, true, null, @b, @@c]",
        "COUNT(FOR x IN y RETURN DISTINCT x)",
        "SUM(a) OVER (PARTITION BY b, c ORDER BY d DESC, e)",
        "`for`.`x y` + count",
        "[`FOR`(a), FILTER(a, x -> x), REPLACE(a, b, c)]",
        "(REPLACE a WITH {} IN c)",
    ],
)
def test_what_is_printed_well_is_printed_as_it_was(text: str):
    assert format_expression(expression(text)) == text


def test_all_cases_of_the_syntax_are_printed_and_parsed_again():
    for case in json.loads(Path(__file__).with_name("cases").joinpath("syntax.json").read_text("utf-8")):
        if "rows" in case:
            tree = parse(case["query"])
            assert shape(parse(format_query(tree))) == shape(tree), case["name"]


def test_a_tree_too_deep_for_the_stack_is_a_query_error():
    tree: Expression = Name("x")
    for _ in range(3_000):
        tree = Unary("not", tree)
    with pytest.raises(QueryError, match="stack"):
        format_query(Query((Return(tree),)))


def test_a_long_chain_is_printed_without_recursion():
    tree: Expression = Name("x")
    for number in range(240):
        tree = Binary("+", tree, Constant(number))
    text = format_query(Query((Return(tree),)))
    assert text.startswith("RETURN x + 0 + 1 +")
    assert format_query(parse(text)) == text


def expression(text: str) -> Expression:
    """Parse an expression alone."""
    (clause,) = parse(f"RETURN {text}").clauses
    assert isinstance(clause, Return)
    return clause.value
