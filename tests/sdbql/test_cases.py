"""All cases of queries, over plain lists: what each gives, or why it is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pysync_web.errors import QueryError
from pysync_web.sdbql import execute, explain, format_query, parse
from pysync_web.sdbql.compile.equality import equal

FOLDER = Path(__file__).with_name("cases")
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text("utf-8"))
]


@pytest.mark.parametrize("case", CASES)
def test_a_query_gives_what_its_case_says(case: dict[str, Any]):
    data = copy.deepcopy(case.get("data", {}))
    if "error" in case:
        with pytest.raises(QueryError) as caught:
            execute(case["query"], data, case.get("binds"))
        assert case["error"] in caught.value.message
        assert data == case.get("data", {}), "a query that fails has written nothing"
    else:
        assert equal(execute(case["query"], data, case.get("binds")), case["rows"])


@pytest.mark.parametrize("case", [case for case in CASES if "rows" in case.values[0]])
def test_explaining_and_printing_change_nothing(case: Any):
    data = copy.deepcopy(case.get("data", {}))
    plan = explain(case["query"], data, case.get("binds"))
    assert plan["documents_returned"] == len(case["rows"])
    assert json.loads(json.dumps(plan)) == plan
    assert data == case.get("data", {})
    assert equal(execute(format_query(parse(case["query"])), data, case.get("binds")), case["rows"])
