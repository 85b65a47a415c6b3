"""Queries and values that mean harm: each ends in rows or in a QueryError, soon, and in bounded memory."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from pysync_web import QueryError
from pysync_web.sdbql import QueryLimits, execute, format_query

from .soon import EACH, soon

LIMITS = QueryLimits(time_s=0.2)
DATA = json.dumps(
    {
        "users": [{"_key": str(key), "x": key, "s": "a" * 50} for key in range(300)],
        "links": [
            {"_key": str(key), "_from": f"users/{key}", "_to": f"users/{(key * 7 + 1) % 300}"} for key in range(300)
        ],
        "empty": [],
    }
)


def decide(query: str, binds: Any = None) -> Any:
    """Run a query; give its rows, or the error's message. Whatever comes out can be written as JSON."""
    with soon(1.5):
        try:
            rows = execute(query, json.loads(DATA), binds, limits=LIMITS)
        except QueryError as error:
            return error.message
    json.dumps(rows, allow_nan=False)
    return rows


NESTED = [
    *(
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{a:", "1", "}"),
        ("(RETURN ", "1", ")"),
        ("(FOR x IN [1] RETURN ", "x", ")"),
    ),
    *(("LENGTH(", "1", ")"), ("NOT ", "1", ""), ("- ", "1", ""), ("1 ? 2 : ", "1", ""), ("1 ? ", "1", ": 2")),
    *(("CASE WHEN true THEN ", "1", " END"), ('$"${', "1", '}"'), ("MAP([1], x -> ", "x", ")"), ("1 ** ", "1", "")),
    *(("ANY x IN [1] SATISFIES ", "true", ""), ("ANY x IN ", "[1]", ""), ("[1][* RETURN ", "1", "]")),
    *(("[1][", "0", "]"), ("[...", "[1]", "]"), ("SUM(", "1", ") OVER ()"), ("[1] |> MAP(x -> ", "x", ")")),
]


@pytest.mark.parametrize(("opening", "inner", "closing"), NESTED[::EACH])
@pytest.mark.parametrize("times", [20, 60, 64, 200, 2000])
def test_what_is_nested_in_itself(opening: str, inner: str, closing: str, times: int):
    query = f"RETURN {opening * times}{inner}{closing * times}"
    decide(query)
    with suppress(QueryError):
        format_query(query)


@pytest.mark.parametrize(
    "sign", ["(", "[", "{", ")", "'", "`", "\\", "$", "@", ".", "\n", " ", "-", "/*", '$"${', "a", "9"][::EACH]
)
@pytest.mark.parametrize("before", ["", "RETURN ", 'RETURN "', "FOR x IN "])
def test_64_kib_of_one_sign(sign: str, before: str):
    decide((before + sign * 65_536)[:65_536])


OPERATORS = [
    *(
        "+",
        "-",
        "*",
        "/",
        "%",
        "OR",
        "AND",
        "||",
        "??",
        "==",
        "<",
        "IN",
        "|",
        "&",
        "^",
        "<<",
        "..",
        "LIKE",
        "=~",
        "~=",
    ),
    ",",
]


@pytest.mark.parametrize("operator", OPERATORS[::EACH])
@pytest.mark.parametrize("value", ["1", "u.x", "[1]", "ABS(1)", "1 + 1"])
@pytest.mark.parametrize("times", [900, 60_000])
def test_chains_of_operators(operator: str, value: str, times: int):
    link = f"{value} {operator} "
    decide(f"FOR u IN users LIMIT 2 RETURN [{link * min(times, 65_000 // len(link))}1]")


@pytest.mark.parametrize("link", [".a", "?.a", "[0]", "[*]", "[*].a", "[** FILTER CURRENT]", " |> LENGTH()"])
@pytest.mark.parametrize("times", [900, 60_000])
def test_chains_of_accesses(link: str, times: int):
    decide(f"RETURN users{link * min(times, 65_000 // len(link))}")


CLAUSES = [
    *("FOR x{0} IN [1]", "FOR x{0} IN [1, 2]", "FOR x{0} IN users", "FOR x{0} IN 1..1e9", "LET x{0} = {0}"),
    *("FILTER true", "SORT 1", "LIMIT 1", "COLLECT x{0} = 1", "COLLECT INTO x{0}", "COLLECT WITH COUNT INTO x{0}"),
    *("JOIN users AS x{0} ON true", "LEFT JOIN empty AS x{0} ON true", "RIGHT JOIN users AS x{0} ON x{0}.x == 1"),
    *("FULL JOIN empty AS x{0} ON true", 'FOR x{0} IN 1..1 ANY "users/1" links', "LET x{0} = (RETURN 1)"),
    *("LET x{0} = SUM(1) OVER (ORDER BY 1)", "INSERT {{}} INTO empty", 'UPDATE "1" WITH {{x{0}: 1}} IN users'),
]


@pytest.mark.parametrize("clause", CLAUSES[::EACH])
@pytest.mark.parametrize("times", [30, 299, 3000])
def test_many_clauses(clause: str, times: int):
    decide(" ".join([*(clause.format(number) for number in range(times)), "RETURN 1"]))


def test_thousands_of_conditions():
    decide(f"FOR u IN users {'FILTER u.x != 1 AND u.x >= 0 ' * 290}RETURN u")
    decide(f"FOR u IN users FILTER {'u.x >= 0 AND ' * 240}true RETURN u")
    decide(f"RETURN CASE 5 {'WHEN 1 + 0 THEN 2 ' * 3_000}END")


GROWING = ["CONCAT({0}, {0})", '$"${{{0}}}${{{0}}}"', "[...{0}, ...{0}]", "[{0}, {0}]"]
USES = [
    *(
        "a",
        "LENGTH(a)",
        "a == b",
        "a < b",
        "[a] == [[a, 1]]",
        "a IN [b]",
        "UNIQUE([a, b])",
        "SORTED([a, b])",
        "[a][**]",
    ),
    *(
        "FLATTEN(a, 100)",
        "JSON_STRINGIFY(a)",
        "TO_STRING(a)",
        "SUM(a)",
        "MAX([a, b])",
        "MERGE_DEEP({x: a}, {x: b})",
    ),
    *(
        "INTERSECTION(a, b)",
        "POSITION(a, b)",
        'LENGTH($"${a}")',
        "{[a]: 1}",
        "NULLIF(a, b)",
        "CASE a WHEN b THEN 1 END",
    ),
    *("(FOR x IN [a, b] SORT x RETURN 1)", "(FOR x IN [a, b] COLLECT y = x RETURN 1)", "COUNT_DISTINCT([a, b])"),
    *(
        "(FOR x IN [1, 2] RETURN SUM(x) OVER (PARTITION BY a ORDER BY b))",
        "(FOR x IN users FILTER x.s == a RETURN 1)",
    ),
    *("(INSERT {a} INTO empty)", "(UPSERT {x: a} INSERT {x: 1} UPDATE {x: 1} IN users)", "(RETURN DISTINCT a)"),
]


@pytest.mark.parametrize("use", USES[::EACH])
@pytest.mark.parametrize("step", GROWING)
def test_what_doubles_sixty_times(step: str, use: str):
    lets = []
    for name in "ab":
        start = '["x"]' if "[" in step else '"x"'
        lets.append(f"LET {name}0 = {start}")
        lets += [f"LET {name}{at + 1} = {step.format(f'{name}{at}')}" for at in range(60)]
        lets.append(f"LET {name} = {name}60")
    decide(" ".join([*lets, f"RETURN {use}"]))


CALLS = [
    *('REPEAT("x", 1e12)', "RANGE(1, 1e12)", "1..1e300", "LENGTH(1..1e9)", 'PAD_LEFT("a", 1e12)', "NANOID(1e9)"),
    *('REPEAT(REPEAT("x", 1e6), 1e6)', "SLEEP(1e12)", "RANDOM_INT(1e300, 1)", "SAMPLE(users, 1e12)"),
    *(
        'REDUCE(1..1e5, "a", (a, x) -> a + a)',
        "REDUCE(1..1e5, 1, (a, x) -> a + a)",
        "REDUCE(1..1e5, 3, (a, x) -> a * a)",
    ),
    *("REDUCE(1..1e6, [1], (a, x) -> [...a, ...a])", "REDUCE(1..1e5, [], (a, x) -> [a, a])"),
    *("REDUCE(1..1e5, [], (a, x) -> [...a, x])", "MAP(1..1000, x -> MAP(1..1000, y -> MAP(1..1000, z -> 1)))"),
    *(
        "9**9**9",
        "2**1023 * 2",
        "-9**9**9",
        " * ".join(["9999999999"] * 60),
        "1 << 1000000000",
        "1 << -1",
        "1e308 * 10",
    ),
    *(
        "POW(10.0, 400)",
        "EXP(710)",
        "ROUND(1.5, 1e9)",
        "ROUND(1e308, -1e9)",
        "10 % 1e-320",
        "10**300 / 3",
        "5 % 10**300",
    ),
    *(
        "[1, 2][10**300]",
        "users[-1e300]",
        "1..10**300",
        'SUBSTRING("abc", -1e300, 1e300)',
        "SLICE(1..10, -1e300, 1e300)",
    ),
    *(
        'JSON_PARSE(REPEAT("9", 100000))',
        'JSON_PARSE(REPEAT("[", 100000))',
        'JSON_PARSE("NaN")',
        'JSON_PARSE("1e999")',
    ),
    *('JSON_PARSE(CONCAT(REPEAT("[", 50000), REPEAT("]", 50000)))', 'TO_NUMBER("1e999")', 'TO_NUMBER("nan")'),
    *(
        'REPEAT("a", 30000) =~ "(a+)+$"',
        'CONCAT(REPEAT("a", 30000), "b") =~ "^(a|a)*$"',
        '"a" =~ "((a{999}){999}){999}"',
    ),
    *('REPEAT("a", 1000) =~ "(.*)(.*)(.*)(.*)(.*)(.*)x"', 'CONCAT(REPEAT("a", 9999), "b") =~ "(a?){999}a{999}$"'),
    *('REPEAT("a", 100000) LIKE "%a%a%a%a%a%a%a%a%b"', 'REPEAT("a", 100000) LIKE CONCAT(REPEAT("%_", 20000), "b")'),
    *('REGEX_REPLACE(REPEAT("a", 100000), "", "$0$0b")', 'REGEX_MATCHES(REPEAT("a", 100000), "a*?")'),
    *('LEVENSHTEIN(REPEAT("a", 99999), REPEAT("b", 99999))', 'SIMILARITY(REPEAT("a", 1e6), REPEAT("b", 1e6))'),
    *(
        "SORTED(1..1e6)",
        "UNIQUE(1..1e6)",
        "MEDIAN(1..1e6)",
        "MAP(1..1e4, x -> x IN 1..1e4)",
        "MINUS(1..1e5, 5..2e5)",
    ),
    *('DATE_ADD("9999-12-31", 1, "day")', 'DATE_ADD("0001-01-01", -1, "day")', 'DATE_ADD(0, 1e300, "year")'),
    *("DATE_ISO8601(1e300)", "DATE_ISO8601(-1e18)", 'DATE_FORMAT(0, REPEAT("%Y", 3e5))', 'DATE_FORMAT(0, "%")'),
    *(
        'DATE_FORMAT(0, "%c", "../../etc/passwd")',
        'DATE_TRUNC("9999-12-31T23:59:59Z", "week")',
        'DATE_TIMESTAMP("2024-02-30")',
    ),
    *(
        'DATE_FORMAT("9999-12-31T23:59:59Z", "%c", "Pacific/Kiritimati")',
        'DATE_ISOWEEK("0001-01-01")',
        "HUMAN_TIME(-1e300)",
    ),
    *('DATE_DIFF("0001-01-01", "9999-12-31", "f")', 'TIME_BUCKET(1, "0s")', 'DATE_ADD(0, 1, REPEAT("d", 1e5))'),
]


@pytest.mark.parametrize("call", CALLS[::EACH])
def test_calls_that_would_grow_or_take_long(call: str):
    decide(f"RETURN {call}")


@pytest.mark.parametrize(
    "query",
    [
        "FOR a IN users FOR b IN users FOR c IN users FILTER a.x + b.x + c.x == -1 RETURN 1",
        "FOR a IN users FOR b IN users FOR c IN users RETURN [a, b, c]",
        "FOR a IN 1..1e15 FILTER false RETURN 1",
        "FOR a IN 1..1e15 COLLECT WITH COUNT INTO n RETURN n",
        "FOR a IN 1..1e15 SORT a RETURN 1",
        "FOR a IN 1..1e15 LIMIT 1e15, 1 RETURN 1",
        "FOR a IN 1..1e6 COLLECT x = a INTO g RETURN g",
        "FOR a IN users JOIN users AS b ON true JOIN users AS c ON a.s LIKE c.s RETURN c",
        "FOR a IN users RETURN (FOR c IN users RETURN (FOR e IN users FILTER e.x == a.x + c.x RETURN 1))",
        "FOR a IN 1..9999 RETURN MEDIAN(a) OVER (ORDER BY a)",
        "FOR a IN 1..9999 RETURN COLLECT_LIST(a) OVER (ORDER BY a)",
        'FOR v IN 0..1e9 ANY "users/1" links RETURN v',
        "FOR u IN users FOR v IN 1..300 ANY u links RETURN 1",
        "FOR a IN 1..1e5 INSERT {a} INTO empty",
        "FOR u IN users LIMIT 10**300, 10**300 RETURN 1",
        "FOR u IN users LIMIT -1 RETURN 1",
    ],
)
def test_queries_of_too_many_rows(query: str):
    decide(query)


NAMES = [
    *(
        "__class__",
        "__builtins__",
        "run",
        "out",
        "append",
        "_",
        "_N",
        "_eq",
        "_ONCE",
        "k1",
        "v1",
        "q1",
        "t1",
        "r1a",
    ),
    *(
        "b0",
        "GROUP",
        "CURRENT",
        "OLD",
        "NEW",
        "None",
        "True",
        "exec",
        "lambda",
        "out.append",
        "x;y",
        "x\ny",
        '"',
        "😀",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_code_itself_are_names_like_others(name: str):
    query = """
        LET `§` = 1
        FOR u IN users
          FILTER u.`§` == null AND `§` == 1
          LIMIT 2
          COLLECT `§x` = u.`§`, `§y` = `§` INTO `§g` = {`§`}
          RETURN [`§x`, `§y`, `§g`[*].`§`, MAP([2], `§` -> `§`), {[@n]: `§`}, users[0].`__class__`]
    """
    assert decide(query.replace("§", name), {"n": name}) == [[None, 1, [1, 1], [2], {name: 1}, None]]
    assert "There is no collection" in decide(f"FOR x IN `{name}` RETURN x")


def deep() -> list[Any]:
    """Give an array in an array in an array …"""
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    return value


def endless() -> list[Any]:
    """Give an array that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def heavy() -> list[Any]:
    """Give an array that holds another one 2**40 times."""
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]
    return value


ODD = {
    "not a number": float("nan"),
    "infinity": [float("-inf")],
    "a tuple": (1, 2),
    "a set": {1},
    "an object": object(),
    "a function": len,
    "bytes": b"x",
    "a decimal": Decimal(1),
    "a complex number": 1j,
    "a large integer": 7**40_000,
    "names that are no texts": {1: 2},
    "a tuple inside": {"a": [(1,)]},
    "a deep array": deep(),
    "an endless array": endless(),
    "a heavy array": heavy(),
}
ASKED = [
    *(
        "RETURN @v",
        "RETURN @v == @v",
        "FOR x IN @v RETURN x",
        "FOR u IN users FILTER u.x == @v RETURN 1",
        'RETURN $"${@v}"',
    ),
    *("RETURN @v + 1", "FOR x IN [@v] SORT x RETURN x", "FOR x IN [@v] COLLECT y = x RETURN y", "RETURN {[@v]: 1}"),
    *(
        "RETURN MAP([1], @v)",
        "INSERT {a: @v} INTO empty",
        "FOR x IN @@v RETURN x",
        "FOR u IN users LIMIT @v RETURN 1",
    ),
    *(
        "RETURN JSON_STRINGIFY(@v)",
        "RETURN users[@v]",
        "FOR x IN 1..@v LIMIT 1 RETURN x",
        "RETURN @v IN [1]",
        "RETURN ABS(@v)",
    ),
]


@pytest.mark.parametrize("query", ASKED[::EACH])
@pytest.mark.parametrize("kind", ODD)
def test_binds_that_are_no_json_are_refused(kind: str, query: str):
    assert isinstance(decide(query, {"v": ODD[kind]}), str)


@pytest.mark.parametrize("binds", [[1], "abc", {1: 2}, 5])
def test_binds_that_are_no_names_and_values_are_refused(binds: Any):
    assert decide("RETURN 1", binds) == "Bind variables are a dict of names and values"


def test_binds_are_values_and_never_syntax():
    text = '" RETURN 1 //'
    assert decide("RETURN [@v, users[0][@v], {[@v]: @v}]", {"v": text}) == [[text, None, {text: text}]]


BRACKETS = ("[" * 40, "]" * 40)


def chain(link: str, count: int, between: str = " ") -> str:
    """Write so many links, of which each makes a variable of the one before."""
    return between.join(link.format(before=f"a{number}", made=f"a{number + 1}") for number in range(count))


NESTING = {
    "LET": f"LET a0 = [1] {chain('LET {made} = [{before}]', 290)} RETURN LENGTH(a290)",
    "a long LET": f"LET a0 = [1], {chain('{made} = [{before}]', 2_500, ', ')} RETURN LENGTH(a2500)",
    "LET of a row": f"FOR a0 IN 1..2 LET {chain('{made} = {{x: {before}}}', 2_000, ', ')} RETURN LENGTH(a2000)",
    "LET of a subquery": f"LET a0 = 1, {chain('{made} = (RETURN {before})', 1_500, ', ')} RETURN LENGTH(a1500)",
    "FOR": f"FOR a0 IN [1] {chain('FOR {made} IN [[{before}]]', 290)} RETURN LENGTH(a290)",
    "COLLECT": f"FOR a0 IN [1] {chain('COLLECT {made} = [{before}]', 290)} RETURN LENGTH(a290)",
    "COLLECT INTO": "FOR a0 IN [1] " + "COLLECT INTO g " * 290 + "RETURN LENGTH(g)",
    "AGGREGATE": f"FOR a0 IN [1] {chain('COLLECT AGGREGATE {made} = PUSH({before})', 290)} RETURN LENGTH(a290)",
    "CHUNK": f"LET a0 = [1], {chain('{made} = CHUNK({before}, 1)', 1_000, ', ')} RETURN LENGTH(a1000)",
    "a pipe": "RETURN LENGTH(1" + f" |> TO_ARRAY() |> MAP(e -> {BRACKETS[0]}e{BRACKETS[1]})" * 100 + ")",
    "an expansion": "RETURN LENGTH([1]" + f"[* RETURN {BRACKETS[0]}CURRENT{BRACKETS[1]}]" * 100 + ")",
    "calls in calls": "RETURN LENGTH(" + "MAP(" * 50 + "[1]" + ", e -> [[[[[[[[[e]]]]]]]]])" * 50 + ")",
    "REDUCE": f"RETURN LENGTH(REDUCE(1..100, 1, (a, x) -> {BRACKETS[0]}a{BRACKETS[1]}))",
    "REDUCE in REDUCE": "RETURN LENGTH(REDUCE(1..60, 1, (a, x) -> REDUCE(1..60, a, (b, y) -> [b])))",
    "REDUCE with a condition": f"RETURN LENGTH(REDUCE(1..99, 1, (a, x) -> x < 60 ? a : {BRACKETS[0]}a{BRACKETS[1]}))",
    "REDUCE by a function": "RETURN LENGTH(REDUCE(1..1000, [1], (a, x) -> PUSH([], a)))",
    "JSON_PARSE": "RETURN LENGTH(JSON_PARSE(CONCAT(REPEAT('[', 5000), REPEAT(']', 5000))))",
    "UPDATE": "FOR i IN 1..1000 UPDATE '1' WITH {name: DOCUMENT('users/1')} IN users RETURN 1",
}


@pytest.mark.parametrize("how", NESTING)
def test_no_way_leads_to_a_value_that_is_nested_without_end(how: str):
    limits = QueryLimits(depth=128)
    with pytest.raises(QueryError, match="deep"):
        execute(NESTING[how], {"users": [{"_key": "1", "name": "Ann"}]}, limits=limits)


def test_a_long_query_may_call_as_many_functions_as_it_has():
    steps = chain("{made} = PUSH(SLICE({before}, -3), '{before}')", 500, ", ")
    assert execute(f"LET a0 = [], {steps} RETURN a500", {}) == [["a496", "a497", "a498", "a499"]]


def test_what_is_nested_too_deep_is_refused_where_that_is():
    query = "LET a0 = [1]\n" + chain("LET {made} = [{before}]", 200, "\n") + "\nRETURN LENGTH(a200)"
    with pytest.raises(QueryError) as raised:
        execute(query, {})
    assert raised.value.line == 129
