"""What QUERIES.md says of the language is true: each example, each value, the limits, and the functions by name."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import random
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.sdbql import QueryLimits, execute
from pysync_web.sdbql.compile.calls import ONLY_OVER
from pysync_web.sdbql.functions import FUNCTIONS
from pysync_web.sdbql.lexer import RESERVED

TEXT = (Path(__file__).parents[2] / "pysync_web" / "QUERIES.md").read_text("utf-8")
DATA = re.search(r"<!-- data -->\n```json\n(.*?)```", TEXT, re.DOTALL)[1]
PROSE = re.sub(r"^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
FUNCTION_TABLES = PROSE.partition("\n## Functions\n")[2]
VALUE = re.compile(r"`([^`\n]+)` → (?:`([^`\n]+)`|(\*error\*))")
CALL = re.compile(r"([A-Z][A-Z0-9_]*)(?:\((.*)\))?")


def fences(language: str) -> list[str]:
    """Give the code of all fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """Give the text below a heading, up to the next one."""
    return TEXT.partition(f" {title}\n")[2].partition("\n#")[0]


def examples() -> list[Any]:
    """Read all examples: a query, the bind variables of a line before it, and what is behind the arrow."""
    found = []
    for fence in fences("sdbql"):
        query, binds = "", {}
        for line in fence.splitlines():
            if line.startswith("--@ "):
                binds = json.loads(line[4:])
                continue
            before, arrow, answer = line.partition("-->")
            query += f"{before.rstrip()}\n"
            if arrow:
                found.append(pytest.param(query.strip(), binds, answer.strip(), id=query.strip()))
                query, binds = "", {}
        assert not query.strip(), f"no answer is given to {query}"
    return found


def values() -> list[Any]:
    """Read all expressions in the text with the values that it tells of."""
    return [pytest.param(one[1], one[2], id=one[1]) for one in VALUE.finditer(PROSE.replace(r"\|", "|"))]


def answer_of(query: str, binds: dict[str, Any] | None = None) -> str:
    """Give the rows of a query over the page's data as JSON, or the message of its error."""
    try:
        return json.dumps(execute(query, json.loads(DATA), binds, now=lambda: 0, rng=random.Random(1)))
    except ps.QueryError as error:
        return error.message


@pytest.mark.parametrize(("query", "binds", "answer"), examples())
def test_an_example_has_the_answer_that_is_written_there(query: str, binds: dict[str, Any], answer: str):
    assert answer_of(query, binds) == (json.dumps(json.loads(answer)) if answer.startswith("[") else answer)


@pytest.mark.parametrize(("expression", "value"), values())
def test_an_expression_has_the_value_that_is_written_there(expression: str, value: str | None):
    found = answer_of(f"RETURN {expression}")
    assert found == json.dumps([json.loads(value)]) if value else not found.startswith("[")


@pytest.mark.parametrize("code", fences("python"))
async def test_python_prints_what_is_written_there(code: str):
    store = await ps.LocalStore.open("queries", engine=ps.StorageEngine.MEMORY)
    async with ps.SyncManager(store) as sync:
        for collection, documents in json.loads(DATA).items():
            await sync.save_documents(collection, documents)
        compiled = compile(code, "QUERIES.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            if (waiting := eval(compiled, {"ps": ps, "sync": sync})) is not None:
                await waiting
    comments = [line.rpartition("# ")[2] if "# " in line else line[1:] for line in code.splitlines() if "#" in line]
    assert [line.strip() for line in said.getvalue().splitlines()] == [one.strip() for one in comments]


def test_every_function_is_named_once_with_the_arguments_that_it_takes():
    named: dict[str, tuple[str, int, int | None]] = {}
    for row in re.findall(r"^\| (`[A-Z].*?) \| ", FUNCTION_TABLES, re.MULTILINE):
        calls = [CALL.fullmatch(one) for one in re.findall(r"`([^`]+)`", row)]
        assert calls and all(calls) and calls[0][2] is not None, row
        given = [one for one in calls[0][2].split(", ") if one]
        least = sum(not one.endswith("?") and one != "…" for one in given)
        for call in calls:
            assert call[1] not in named, f"{call[1]} is named twice"
            named[call[1]] = calls[0][1], least, None if "…" in given else len(given)
    known = {name: (one.name, one.least, one.most) for name, one in FUNCTIONS.items()}
    assert sorted(named) == sorted(known)
    for name, (_, least, most) in named.items():
        assert (name, least, most) == (name, *known[name][1:])
    families = [{(name, families[0]) for name, families in table.items()} for table in (named, known)]
    together = [{frozenset(n for n, f in one if f == first) for _, first in one} for one in families]
    assert together[0] == together[1], "the names of one function stand in one row"


def test_every_window_function_is_named():
    assert set(re.findall(r"`([A-Z_]+)\(", section("Window functions"))) >= ONLY_OVER


def test_the_limits_are_those_of_the_engine():
    table = TEXT.partition("<!-- limits -->")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE)
    assert dict(rows) == {one.name: str(one.default) for one in fields(QueryLimits)}


def test_the_reserved_words_are_those_of_the_lexer():
    words = section("Names, comments, bind variables").partition("These words are ")[2].partition(".")[0]
    assert set(re.findall(r"`([A-Z]+)`", words)) == RESERVED
