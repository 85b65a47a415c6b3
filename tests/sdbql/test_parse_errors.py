"""What the parser says when it refuses: the message, and the place that it points at."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.errors import QueryError
from pysync_web.sdbql.lexer import KEYWORDS
from pysync_web.sdbql.parser import parse
from pysync_web.sdbql.places import nearest
from pysync_web.sdbql.printer import format_query

REFUSED = [
    ("", "Expected a clause such as FOR, LET or RETURN, but found the end of the query", 1, 1),
    ("FOR u IN users", "Expected another clause, RETURN at last, but found the end of the query", 1, 15),
    ("FOR u IN users\nFILTR u.a\nRETURN u", "but found FILTR. Did you mean FILTER?", 2, 1),
    ("FOR u IN users\n  FILTER u.a = 1\n  RETURN u", "but found =. Equality is written ==.", 2, 14),
    ("FOR u IN users WHERE u.a RETURN u", "Conditions are written FILTER.", 1, 16),
    ("SELECT * FROM users", "What to give is written last: RETURN.", 1, 1),
    ("FOR u IN users SORT u.a DSC RETURN u", "Did you mean DESC?", 1, 25),
    ("FOR IN users RETURN 1", "Expected the name of a variable, but found IN", 1, 5),
    ("FOR u OF users RETURN u", "Expected IN, but found OF", 1, 7),
    ("FOR filter IN users RETURN 1", "FILTER is a keyword: as a name it stands in backticks", 1, 5),
    ("LET return = 1 RETURN 1", "RETURN is a keyword: as a name it stands in backticks", 1, 5),
    ("RETURN", "Expected an expression, but found the end of the query", 1, 7),
    ("RETURN 1 RETURN 2", "Expected the end of the query, but found RETURN", 1, 10),
    ("RETURN 1 2", "Expected the end of the query, but found 2", 1, 10),
    ("RETURN 1;", "A query has no ; behind it", 1, 9),
    ("RETURN (1 + 2", "This ( is never closed", 1, 8),
    ("RETURN [1,\n [2, 3]", "This [ is never closed", 1, 8),
    ("RETURN {a: 1", "This { is never closed", 1, 8),
    ("RETURN LENGTH(a", "This ( is never closed", 1, 14),
    ("RETURN (1, 2)", "Expected ) to close the (, but found ,", 1, 10),
    ("RETURN [1 2]", "Expected , or ] to close the [, but found 2", 1, 11),
    ("RETURN {a 1}", "Expected :, but found 1", 1, 11),
    ("RETURN {1}", "Expected :, but found }", 1, 10),
    ("RETURN {...a, +}", "Expected the name of a member or }, but found +", 1, 15),
    ("RETURN 1)", "Expected the end of the query, but found )", 1, 9),
    ("RETURN 'abc", "This string is never closed", 1, 8),
    ('RETURN\n "abc', "This string is never closed", 2, 2),
    ("RETURN `abc", "This name in backticks is never closed", 1, 8),
    ("RETURN ``", "A name in backticks is empty", 1, 8),
    ("RETURN /* abc", "This comment is never closed", 1, 8),
    ('RETURN $"a ${b}', "This template is never closed", 1, 8),
    ('RETURN $"a ${b c}"', "Expected } to close the template's expression, but found c", 1, 16),
    ("RETURN a <> b", "Not equal is written !=", 1, 10),
    ("RETURN # b", "The character '#' means nothing here", 1, 8),
    ("RETURN @", "A name of letters, digits and _ must follow @", 1, 8),
    ("RETURN 0x1F", "A number can't go on with 'x1F'", 1, 9),
    ("RETURN .5", "Expected an expression, but found .", 1, 8),
    ("RETURN 1e999", "This number is too large", 1, 8),
    ("RETURN " + "9" * 101, "An integer of more than 100 digits", 1, 8),
    (r'RETURN "\ud800"', "half a character", 1, 8),
    ("RETURN '\ud800'", "Half a character", 1, 9),
    ("RETURN a.", "Expected the name of a field, but found the end of the query", 1, 10),
    ("RETURN a.5", "Expected the name of a field, but found 5", 1, 10),
    ("RETURN a[", "Expected an expression, but found the end of the query", 1, 10),
    ("RETURN x -> x", "A lambda can only be an argument of a function.", 1, 10),
    ("RETURN f(() -> 1)", "Expected a parameter of the lambda, but found )", 1, 11),
    ("RETURN a ? b", "Expected :, but found the end of the query", 1, 13),
    ("RETURN CASE a THEN b END", "Expected WHEN, but found THEN", 1, 15),
    ("RETURN CASE WHEN a THEN b", "Expected END, but found the end of the query", 1, 26),
    ("RETURN a |> 5", "Expected the name of a function, but found 5", 1, 13),
    ("RETURN (FOR x IN y)", "Expected another clause, RETURN at last, but found )", 1, 19),
    ("LET a 1 RETURN a", "Expected =, but found 1", 1, 7),
    ("FOR a, b IN c RETURN a", "because only a traversal has two variables", 1, 15),
    ("FOR a, b, p IN 1..2 OUTBOUND c d RETURN a", "paths have no variable", 1, 9),
    ("FOR a IN 1..2 OUTBOUND 'x' RETURN a", "Expected the collection of edges, but found RETURN", 1, 28),
    ("FOR a IN SHORTEST_PATH b c RETURN a", "Expected TO, but found c", 1, 26),
    ("FOR a IN 1..2 ANY 'x' GRAPH 'g' RETURN a", "Graphs have no names here", 1, 23),
    ("FOR a IN 1..2 ANY 'x' e, f RETURN a", "follows the edges of one collection", 1, 24),
    ("FOR a IN SHORTEST_PATH b TO c RETURN a", "Expected OUTBOUND, INBOUND or ANY, but found RETURN", 1, 31),
    ("FOR a IN b JOIN c RETURN a", "Expected ON, but found RETURN", 1, 19),
    ("FOR a IN b JOIN @@c ON d RETURN a", "Expected AS and the name of a variable", 1, 21),
    ("FOR a IN b COLLECT INTO g INTO h RETURN g", "A second INTO in one COLLECT", 1, 27),
    ("FOR a IN b COLLECT x = a KEEP a RETURN x", "KEEP follows INTO", 1, 26),
    ("FOR a IN b COLLECT AGGREGATE c = 5 RETURN c", "Expected an aggregate function", 1, 34),
    ("INSERT a", "Expected IN or INTO and the name of a collection", 1, 9),
    ("INSERT a INTO @b", "is written @@b", 1, 15),
    ("UPSERT a INSERT b IN c", "Expected UPDATE or REPLACE, but found IN", 1, 19),
    ("WINDOW ROLLING (SIZE '1m') RETURN 1", "Expected TUMBLING or SLIDING", 1, 8),
    ("WINDOW TUMBLING (SIZE 5) RETURN 1", "Expected a length of time in quotes", 1, 23),
    ("RETURN a[" + "*" * 70 + "]", "More than 64 stars", 1, 9),
    ("RETURN a[*]" + ".b" * 1_100, "More than 250 accesses in one chain", 1, 514),
    ("RETURN [filter]", "FILTER is a keyword: as a name it stands in backticks", 1, 9),
    ("CREATE TABLE t", "Expected STREAM or MATERIALIZED VIEW", 1, 8),
    ("REFRESH MATERIALIZED VIEW v RETURN 1", "Expected the end of the query, but found RETURN", 1, 29),
]


@pytest.mark.parametrize(("query", "message", "line", "column"), REFUSED)
def test_a_refusal_says_what_and_where(query: str, message: str, line: int, column: int):
    with pytest.raises(QueryError) as caught:
        parse(query)
    error = caught.value
    assert message in error.message
    assert (error.line, error.column) == (line, column), error


def test_the_text_of_an_error_shows_the_line_with_a_caret():
    with pytest.raises(QueryError) as caught:
        parse("FOR u IN users\n\tFILTR u.age > 5\n\tRETURN u")
    assert str(caught.value).splitlines()[1:] == ["  \tFILTR u.age > 5", "  \t^"]


def test_of_a_long_line_the_part_around_the_caret_is_shown():
    with pytest.raises(QueryError) as caught:
        parse(f"RETURN '{'a' * 5_000}' + ? + '{'b' * 5_000}'")
    shown = str(caught.value).splitlines()[1:]
    assert all(len(line) < 130 for line in shown)
    assert shown[0][shown[1].index("^")] == "?"


@pytest.mark.parametrize("query", [None, 5, b"RETURN 1", ["RETURN 1"]])
def test_only_a_text_is_a_query(query: object):
    with pytest.raises(QueryError, match="A query is a text"):
        parse(query)  # type: ignore[arg-type]


def test_an_error_without_a_place_has_no_line():
    error = QueryError("too many rows")
    assert (str(error), error.message, error.line, error.column) == ("too many rows", "too many rows", None, None)


def test_the_nearest_name_is_found_in_any_case():
    assert nearest("filtr", ["FILTER", "FOR"]) == "FILTER"
    assert nearest("qqq", ["FILTER", "FOR"]) is None
    assert nearest("x" * 1_000_000, ["x" * 1_000_000]) is None


PIECES = [
    *sorted(KEYWORDS),
    *("a", "users", "1", "1.5", "'s'", '"s"', "@b", "@@c", "`q`", "F(", "x ->", "$'", '$"${', "}", "\\", "\n", "é"),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        "?.",
        "..",
        "...",
        ",",
        ":",
        "?",
        "??",
        "|",
        "||",
        "|>",
        "&",
        "&&",
        "=",
        "==",
    ),
    *(
        "!=",
        "=~",
        "!~",
        "~=",
        "<",
        ">",
        "<=",
        ">=",
        "<<",
        ">>",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "!",
        "~",
        "->",
        "--",
        "/*",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join) | st.text(max_size=40))
def test_nothing_but_a_query_error_comes_out_of_garbage(text: str):
    parses_or_refuses(text)


QUERIES = [
    'FOR u IN users FILTER u.age >= @min AND u.name LIKE "A%" SORT u.age DESC, u.name LIMIT 5, 10 RETURN {u, n: 1}',
    "FOR u IN users LET o = (FOR x IN orders FILTER x.k == u._key RETURN x.t) RETURN $'${u.name}: ${SUM(o)} $$'",
    "FOR v, e IN 1..3 OUTBOUND 'a/b' edges COLLECT k = v.k INTO g = e.x KEEP v WITH COUNT INTO n RETURN DISTINCT k",
    "UPSERT {k: 1} INSERT {k: 1, ...@d} REPLACE OLD[* FILTER CURRENT > 1 RETURN CURRENT.x] IN c RETURN NEW?.[0]",
    "RETURN CASE a WHEN 1 THEN ANY x IN b SATISFIES x ?? c ELSE RANK() OVER (PARTITION BY d ORDER BY e) END",
    "FOR a IN b LEFT JOIN c AS d ON a.x == d.x || -d.y ** 2 RETURN [1, 2.5e3] |> MAP((x, i) -> x ? i : !x)",
]


def test_nothing_but_a_query_error_comes_out_of_queries_with_faults():
    chance = random.Random(1)
    for _ in range(2_000):
        text = chance.choice(QUERIES)
        for _ in range(chance.randint(1, 4)):
            begin = chance.randrange(len(text) + 1)
            end = begin + chance.choice([0, 0, 1, 1, 2, 5, 20])
            text = text[:begin] + chance.choice(["", "", " ", *PIECES]) + text[end:]
        parses_or_refuses(text)


def parses_or_refuses(text: str) -> None:
    """Check that a text gives a tree that can be printed, or an error with a place in it."""
    try:
        tree = parse(text)
    except QueryError as error:
        assert error.line is not None and error.column is not None
        assert 1 <= error.line <= text.count("\n") + 1
        assert error.message[0].isupper() and str(error)
    else:
        assert parse(format_query(tree)) == tree
