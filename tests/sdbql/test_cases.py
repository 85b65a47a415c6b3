"""All cases of queries, over plain lists: what each gives, or why it is refused."""

from __future__ import annotations

import copy
import json

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql import execute, explain, format_query, parse
from pysync_web.sdbql.compile.equality import equal
from tests.sdbql.case_files import FILES, Case, Failures, cases_of


@pytest.mark.parametrize("file", FILES)
def test_queries_give_what_their_cases_say(file: str):
    with Failures() as failures:
        for case in cases_of(file):
            try:
                check_answer(case)
            except Exception as error:
                failures.note(case, error)


def check_answer(case: Case) -> None:
    """Compare a case's answer with what it says."""
    data = copy.deepcopy(case.get("data", {}))
    if "error" not in case:
        rows = execute(case["query"], data, case.get("binds"))
        assert equal(rows, case["rows"]), rows
        return
    with pytest.raises(QueryError) as caught:
        execute(case["query"], data, case.get("binds"))
    assert case["error"] in caught.value.message, caught.value.message
    assert data == case.get("data", {}), "a query that fails has written nothing"


@pytest.mark.parametrize("file", FILES)
def test_explaining_and_printing_change_nothing(file: str):
    with Failures() as failures:
        for case in cases_of(file):
            try:
                if "rows" in case:
                    check_plan(case)
            except Exception as error:
                failures.note(case, error)


def check_plan(case: Case) -> None:
    """Explain a case's query, print it, and run what was printed."""
    data = copy.deepcopy(case.get("data", {}))
    plan = explain(case["query"], data, case.get("binds"))
    assert plan["documents_returned"] == len(case["rows"])
    assert json.loads(json.dumps(plan)) == plan
    assert data == case.get("data", {})
    assert equal(execute(format_query(parse(case["query"])), data, case.get("binds")), case["rows"])
