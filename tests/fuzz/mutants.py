"""Inputs by the thousand out of few: texts of the cases and of the corpus, cut, mixed, wrapped and repeated.

The same numbers give the same texts, so that a number is all that needs to be kept of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from pysync_web.sdbql.functions import FUNCTIONS
from pysync_web.sdbql.lexer import KEYWORDS

from .target import NAMES

CASES = Path(__file__).parent.parent / "sdbql" / "cases"
CORPUS = Path(__file__).with_name("corpus.txt")
LONGEST = 64 * 1024

_TOKEN = re.compile(r"\s+|\w+|\"[^\"\n]*\"|'[^'\n]*'|[-+*/%<>=!~?:.|&^]{2,3}|.", re.DOTALL)
_WRAPS = [
    "({})",
    "[{}]",
    "{{a: {}}}",
    "(RETURN {})",
    "-{}",
    "NOT {}",
    "{}[*]",
    '$"${{{}}}"',
    "x -> {}",
    "LENGTH({})",
]
_ODD = [
    "",
    " ",
    "0",
    "-1",
    "1e308",
    "9" * 30,
    '"',
    "'",
    "`",
    "${",
    "}",
    "\\",
    "\x00",
    "\ud800",
    "é",
    "😀",
    "\u2028",
]
_SIGNS = [
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ":",
        "?",
        "?.",
        "??",
        "||",
        "|>",
        "&&",
        "==",
        "!=",
        "<=",
        ">=",
        "<",
        ">",
    ),
    *("=~", "!~", "~=", "..", "...", "+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^", "~", "!", "->", "="),
    *("@", "@@"),
]


@cache
def words() -> list[str]:
    """Give what a mutation may put into a text."""
    return [*sorted(KEYWORDS), *(f"{name}(" for name in sorted(FUNCTIONS)), *NAMES, *_SIGNS, *_SIGNS, *_ODD]


@cache
def seeds() -> list[str]:
    """Give the texts to begin with: the cases' queries, each of some forms of a query, and the corpus."""
    cases = [case["query"] for path in sorted(CASES.glob("*.json")) for case in json.loads(path.read_text("utf-8"))]
    kept = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    return [*kept, *cases]


def mutants(first: int, count: int) -> Iterator[str]:
    """Give so many texts from a number on."""
    for number in range(first, first + count):
        yield mutant(number)


def mutant(number: int) -> str:
    """Give the text of a number: a seed with one to six changes; the first numbers are the seeds as they are."""
    texts = seeds()
    if number < len(texts):
        return texts[number]
    rng = Random(number)
    text = rng.choice(texts)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 5])):
        text = _changed(rng, text)[:LONGEST]
    return text


def _changed(rng: Random, text: str) -> str:
    tokens = _TOKEN.findall(text) or [""]
    at = rng.randrange(len(tokens))
    end = min(len(tokens), at + rng.choice([1, 1, 1, 2, 4, 8]))
    match rng.randrange(9):
        case 0:
            tokens[at:end] = []
        case 1:
            tokens[at:end] = tokens[at:end] * 2
        case 2:
            tokens[at] = rng.choice([one for one in words() if one[:1].isalnum() == tokens[at][:1].isalnum()])
        case 3:
            tokens.insert(at, f" {rng.choice(words())} ")
        case 4:
            other = _TOKEN.findall(rng.choice(seeds())) or [""]
            begin = rng.randrange(len(other))
            tokens[at:end] = other[begin : begin + rng.choice([1, 3, 10, 50])]
        case 5:
            where = rng.randrange(len(tokens))
            tokens[at], tokens[where] = tokens[where], tokens[at]
        case 6:
            tokens[at:end] = [rng.choice(_WRAPS).format("".join(tokens[at:end]))]
        case 7:
            place = rng.randrange(len(text) + 1)
            return text[:place] + rng.choice(_ODD) + text[place + rng.randrange(3) :]
        case _:
            times = rng.choice([2, 3, 20]) if rng.randrange(200) else rng.choice([300, 2_000, 30_000])
            tokens[at:end] = tokens[at:end] * times
    return "".join(tokens)
