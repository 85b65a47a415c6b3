"""Regular expressions and LIKE: what they match, what they refuse, and that no pattern takes long."""

from __future__ import annotations

import random
import re
from contextlib import suppress

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql.patterns import (
    PatternError,
    compile_pattern,
    levenshtein,
    levenshtein_within,
    like,
    regex_test,
)
from pysync_web.sdbql.patterns.automaton import automaton_of
from pysync_web.sdbql.patterns.cost import estimate, written
from pysync_web.sdbql.patterns.distance import _in_band
from pysync_web.sdbql.patterns.machine import assemble, search
from pysync_web.sdbql.patterns.syntax import parse_pattern
from tests.sdbql.soon import soon

HOSTILE = [
    ("(a+)+$", "a" * 50_000 + "b"),
    ("(a|aa)+$", "a" * 20_000 + "b"),
    ("(a|a)*b", "a" * 20_000),
    ("(.*)*x", "y" * 20_000),
    ("(.*a){12}", "a" * 5_000 + "b"),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 10_000),
    (r"(\w+\s*)+:", "word " * 5_000),
    ("a*a*a*a*a*a*a*a*b", "a" * 20_000),
    ("x*" * 400 + "y", "x" * 2_000),
    ("(x?){200}x{200}", "x" * 200),
    ("(?:a{0,500}){0,7}b", "a" * 5_000),
    (".*.*.*=.*", "a" * 30_000),
    ("(a*)*(a*)*(a*)*b", "a" * 10_000),
    (r"\p{L}+\d", "é" * 50_000),
    ("((a?){30}){30}$", "a" * 5_000 + "b"),
]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{L}" * 199,
        "".join(rf"\p{{{name}}}" for name in ("L", "Lu", "Ll", "Lo", "N", "P", "S", "Cn", "M", "Latin", "Han"))
        * 14,
        r"[^\p{L}\d]" * 99,
        "[a~~" * 50 + "b" + "]" * 50,
        "(" * 59 + "a" + ")" * 59,
        "(a|b|" * 30 + "c" + ")*" * 30,
        "a?" * 499,
        "(?i)[à-ÿ]{1000}",
        r"[\p{L}&&\p{Lu}]" * 60,
    ],
    ids=range(9),
)
def test_compiling_ends_soon(pattern: str):
    compile_pattern(r"\p{L}")
    with soon(2), suppress(PatternError):
        compile_pattern(pattern).test("some text")


def without_limit(steps: int) -> None:
    pass


@pytest.mark.parametrize(("pattern", "text"), HOSTILE, ids=[pattern[:30] for pattern, _ in HOSTILE])
def test_a_hostile_pattern_ends_soon(pattern: str, text: str):
    with soon(10):
        for work in (
            lambda: regex_test(text, pattern),
            lambda: compile_pattern(pattern).matches(text),
            lambda: compile_pattern(pattern).replace(text, "<$0>"),
        ):
            with suppress(QueryError, PatternError):
                work()


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a*", "baac", ["", "aa", ""]),
        ("", "ab", ["", "", ""]),
        ("a|ab", "abab", ["a", "a"]),
        ("ab|a", "aba", ["ab", "a"]),
        ("a+?", "aaa", ["a", "a", "a"]),
        ("a{2,3}", "aaaaa", ["aaa", "aa"]),
        ("a{2}?", "aaaa", ["aa", "aa"]),
        (r"\bfoo\b", "foo food foo", ["foo", "foo"]),
        (r"\Bo", "oo", ["o"]),
        ("(?i)HeLLo", "hello HELLO", ["hello", "HELLO"]),
        ("(?i:h)E", "hE HE he", ["hE", "HE"]),
        ("a(?i)b|c", "aB C", ["aB", "C"]),
        ("(?s)a.b", "a\nb", ["a\nb"]),
        ("a.b", "a\nb", []),
        ("(?m)^a$", "a\nb\na", ["a", "a"]),
        ("^a$", "a\na", []),
        ("a$", "a\n", []),
        (r"(?x) a b # and so on", "ab", ["ab"]),
        ("(?U)a+", "aa", ["a", "a"]),
        ("(?-u)\\w+", "é1", ["1"]),
        (r"[[:alpha:]]+", "ab1", ["ab"]),
        (r"[^[:digit:]]+", "ab1", ["ab"]),
        (r"[a-z&&[^aeiou]]+", "hello", ["h", "ll"]),
        (r"[a-z--[aeiou]]+", "hello", ["h", "ll"]),
        (r"[a-c~~b-d]+", "abcd", ["a", "d"]),
        (r"[]a]+", "a]b", ["a]"]),
        (r"[a\-z]+", "a-z", ["a-z"]),
        (r"[-a]+", "a-b", ["a-"]),
        (r"[a-]+", "a-b", ["a-"]),
        (r"\p{L}+", "añb1ж", ["añb", "ж"]),
        (r"\pN+", "a12", ["12"]),
        (r"\P{L}+", "a12", ["12"]),
        (r"\p{Greek}+", "abγδ", ["γδ"]),
        (r"\p{Uppercase}", "aBÉ", ["B", "É"]),
        (r"[\p{Lu}\d]+", "aB1", ["B1"]),
        (r"\x41\u0042\x{43}\u{44}", "ABCD", ["ABCD"]),
        (r"\.\*\[\\", ".*[\\", [".*[\\"]),
        (r"\d+(?:\.\d+)?", "1 2.5 x", ["1", "2.5"]),
        (r"(?P<a>x)(?<b>y)", "xy", ["xy"]),
        (r"a\z", "ba", ["a"]),
        (r"\Ab", "bb", ["b"]),
        ("(|a)*", "aa", ["", "", ""]),
        ("(a|b*)*", "abba", ["abba"]),
    ],
)
def test_both_ways_find_all_matches(pattern: str, text: str, matches: list[str]):
    compiled = compile_pattern(pattern)
    assert compiled.matches(text) == matches
    assert compiled.test(text) == bool(matches)
    assert found_by_machine(pattern, text) == matches


def found_by_machine(pattern: str, text: str) -> list[str]:
    program = assemble(parse_pattern(pattern))
    found, at, last = [], 0, -1
    while at <= len(text):
        spans = search(program, text, at, without_limit)
        if spans is None:
            break
        begin, end = spans[:2]
        if begin < end or begin != last:
            found.append(text[begin:end])
            last = end
        at = end if begin < end else end + 1
    return found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "without its )"),
        (")", "without its ("),
        ("[", "without its ]"),
        ("[a", "without its ]"),
        ("*a", "repeats nothing"),
        ("a|*", "repeats nothing"),
        ("a{2,1}", "larger number first"),
        ("a{x}", "no number of times"),
        ("a{1001}", "more than 1000 times"),
        ("a{", "is missing"),
        (r"(a)\1", "back-references"),
        ("(?=a)", "look-ahead"),
        ("(?!a)", "look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "look-behind"),
        ("(?P=a)", "not supported"),
        (r"\q", "no known escape"),
        (r"\p{Klingon}", "no known property"),
        ("[z-a]", "backwards"),
        ("[[:nothing:]]", "no known class"),
        ("a" * 1001, "limit is 1000"),
        ("(" * 70 + ")" * 70, "nested deeper"),
        ("(a{500}){500}", "repeats too much"),
        ("(?P<a>x)(?P<a>y)", "two groups"),
        ("\\", "too early"),
        (r"\x{110000}", "no number of a character"),
        ("(?q)", "not supported"),
    ],
)
def test_what_is_refused(pattern: str, why: str):
    with pytest.raises(PatternError, match=re.escape(why)):
        compile_pattern(pattern)
    assert regex_test("a", pattern) is False


@pytest.mark.parametrize(
    ("pattern", "text", "replacement", "result"),
    [
        ("the (.*) fox", "the quick brown fox", "a $1 dog", "a quick brown dog"),
        (r"(?P<y>\d+)-(\d+)", "10-20", "${2}/$y", "20/10"),
        ("b", "abc", "$$", "a$c"),
        ("(b)", "abc", "$1x", "ac"),
        ("(b)", "abc", "${1}x", "abxc"),
        ("b", "abc", "$7", "ac"),
        ("", "ab", "-", "-a-b-"),
        ("(a)|(b)", "ab", "[$1|$2]", "[a|][|b]"),
        ("x", "abc", "y", "abc"),
        ("b", "abc", "$", "a$c"),
    ],
)
def test_replacing(pattern: str, text: str, replacement: str, result: str):
    assert compile_pattern(pattern).replace(text, replacement) == result


def random_pattern(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["a", "b", "c", ".", "[ab]", "[^a]", r"\b", "^", "$", r"\w"])
    match rng.randrange(6):
        case 0 | 1:
            return random_pattern(rng, depth - 1) + random_pattern(rng, depth - 1)
        case 2:
            return f"({random_pattern(rng, depth - 1)}|{random_pattern(rng, depth - 1)})"
        case 3:
            repeat = rng.choice(["*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??", "{0,2}?"])
            return f"(?:{random_pattern(rng, depth - 1)}){repeat}"
        case 4:
            return f"({random_pattern(rng, depth - 1)})"
        case _:
            return random_pattern(rng, depth - 1)


def test_the_machine_finds_what_re_finds():
    rng = random.Random(7)
    for _ in range(3000):
        pattern = random_pattern(rng, rng.randrange(4))
        text = "".join(rng.choices("abc\n ", k=rng.randrange(8)))
        tree = parse_pattern(pattern)
        ours = search(assemble(tree), text, 0, without_limit)
        theirs = re.compile(written(tree.root)).search(text)
        assert (ours and ours[:2]) == (theirs and theirs.span()), (pattern, text)
        automaton = automaton_of(assemble(tree))
        if automaton is not None:
            assert automaton.test(text, without_limit) == (theirs is not None), (pattern, text)
            assert automaton.test(text, without_limit) == (theirs is not None), (pattern, text)


def test_an_automaton_forgets_its_states_before_they_are_too_many():
    automaton = automaton_of(assemble(parse_pattern("a[ab]{14}c")))
    assert automaton is not None
    rng = random.Random(1)
    text = "".join(rng.choices("ab", k=30_000))
    assert not automaton.test(text, without_limit)
    assert len(automaton.states) <= 1_001
    assert automaton.test(text + "a" * 15 + "c", without_limit)
    assert not automaton.test(text, without_limit)


def test_a_yes_or_no_is_quick_even_where_a_match_would_not_be():
    with soon(3):
        assert not regex_test("a" * 65_536, "a*a*a*a*a*a*a*a*b")
        assert not regex_test("ab" * 32_768, "[ab]{500}c")
        assert not regex_test("a" * 65_536 + "b", "(.*a){12}$")


def test_a_pattern_that_may_take_exponential_time_is_not_given_to_re():
    assert estimate(parse_pattern("(a+)+b")).steps(30) > 1e9
    assert estimate(parse_pattern("^[a-z]+@[a-z]+$")).steps(30) < 1e5


ATOMS = [
    *("a", "b", "c", "A", " ", "1", ".", "^", "$", r"\b", r"\B", r"\A", r"\z", "é", r"\p{L}"),
    *(r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "[a-c]", "[^a]", r"[^\d]", r"[\w.]", "[[:alpha:]]", "[a&&b]"),
    *("(?i:ab)", "(?s:.)", "(?m:^a$)", "(?:(a|))*?", "(?P<n>a)", "(?x: a)"),
]
TIMES = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{0}"]


def some_pattern(rng: random.Random, depth: int) -> str:
    """Make up a pattern."""
    kind = rng.randrange(7) if depth else 0
    match kind:
        case 0 | 1:
            return rng.choice(ATOMS)
        case 2 | 3:
            return "".join(some_pattern(rng, depth - 1) for _ in range(rng.randrange(1, 4)))
        case 4:
            return f"({some_pattern(rng, depth - 1)}|{rng.choice(['', some_pattern(rng, depth - 1)])})"
        case _:
            return f"(?:{some_pattern(rng, depth - 1)}){rng.choice(TIMES)}"


@pytest.mark.native
def test_what_re2_finds_is_what_our_machine_finds():
    pytest.importorskip("re2")
    rng = random.Random(3)
    compared = 0
    while compared < 3_000:
        try:
            pattern = compile_pattern(some_pattern(rng, 4))
        except PatternError:
            continue
        if pattern.quick is None:
            continue
        text = "".join(rng.choices("aabbcA1 _.\nx\r\t", k=rng.randrange(14)))
        at = rng.randrange(len(text) + 1)
        found = pattern.quick.search(text, at)
        assert (found and pattern._spans_of(found)) == search(pattern.program, text, at, without_limit), (
            pattern.source
        )
        compared += 1


@pytest.mark.native
def test_what_re2_takes_otherwise_is_not_given_to_it():
    pytest.importorskip("re2")
    assert compile_pattern("((?:(?:(a|))*?)+|x)").quick is None
    assert compile_pattern(r"\ba").quick is None
    assert compile_pattern("(a+)+b").quick is not None


@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [
        ("Widget", "Wid%", True),
        ("widget", "Wid%", False),
        ("cat", "ca_", True),
        ("ca", "ca_", False),
        ("", "", True),
        ("", "%", True),
        ("", "_", False),
        ("abcabc", "%bc", True),
        ("abc", "%b%", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("ab", "a%b%b", False),
        ("axbyb", "a%_y%b", True),
        ("aaa", "%a_a%", True),
        ("aa", "%a_a%", False),
        ("a", "%%", True),
        ("ab", "ab%ab", False),
        ("été", "_t_", True),
    ],
)
def test_like(text: str, pattern: str, matches: bool):
    assert like(text, pattern) is matches


def test_like_agrees_with_re():
    rng = random.Random(3)
    for _ in range(3000):
        text = "".join(rng.choices("ab", k=rng.randrange(9)))
        pattern = "".join(rng.choices("ab%_", k=rng.randrange(7)))
        expression = "".join({"%": ".*", "_": "."}.get(char, char) for char in pattern)
        assert like(text, pattern) == bool(re.fullmatch(expression, text)), (text, pattern)


def test_like_with_many_runs_is_quick():
    with soon(2):
        assert not like("a" * 50_000, "%a" * 2_000 + "b")
        assert not like("a" * 50_000, "%a_" * 300 + "%b%")


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def test_bits_and_band_give_the_distance():
    rng = random.Random(5)
    for _ in range(2000):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(9))) for _ in range(2))
        distance = slow_distance(a, b)
        assert levenshtein(a, b) == distance
        for most in range(5):
            assert levenshtein_within(a, b, most) == (distance <= most), (a, b, most)
            if abs(len(a) - len(b)) <= most:
                assert _in_band(a, b, most) == (distance <= most), (a, b, most)


def test_distances_of_long_texts_are_quick():
    with soon(5):
        assert levenshtein("ab" * 5_000, "ba" * 5_000) == 2
        assert not levenshtein_within("ab" * 30_000, "ba" * 29_999 + "xy", 2)
        assert levenshtein_within("ab" * 30_000, "ba" * 30_000, 2)


@pytest.mark.parametrize("pattern", ["^(a|a)*$", "^[a[a]]*$", r"^(\w|a|[^!])*$", "(?:a|[a-z])+b$", "(?i)^(a|A)*$"])
def test_a_set_whose_parts_hold_the_same_character_is_one_way(pattern: str):
    assert not regex_test("a" * 5_000 + "!", pattern)
