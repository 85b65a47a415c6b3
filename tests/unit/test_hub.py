"""The server's side of an exchange: verdicts, idempotence, fences, and answers from one snapshot."""

from __future__ import annotations

import json
from typing import Any

from pysync_web.core.wire import Problem
from tests.simulator.lab import Lab


def refuse_bad(change, before, after):
    """Refuse a document that says it is bad."""
    is_bad = after.body is not None and after.body.get("bad")
    return Problem("refused", "bad is refused") if is_bad else None


def ask(lab: Lab, *changes: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Send a request of our own protocol as a dict; give the answer as one."""
    request = {"protocol": 1, "client_id": "c", "changes": list(changes), **members}
    answer: dict[str, Any] = json.loads(lab.serve(json.dumps(request)))
    return answer


def change(key: str, n: int, body: dict[str, Any] | None, **members: Any) -> dict[str, Any]:
    """Give a change: an insert of a body, or a delete."""
    made = {"collection": "notes", "key": key, "n": n, "op_id": f"op-{key}-{n}", "base_version": {}}
    made |= {"operation": "delete"} if body is None else {"operation": "insert", "document": body}
    return {**made, "timestamp": "2027-01-15T08:00:00.000Z", **members}


def statuses(answer: dict[str, Any]) -> list[str]:
    """Give the verdicts of an answer."""
    return [result["status"] for result in answer["results"]]


def test_of_a_refused_transaction_what_is_known_stays_known():
    """Found by the simulator: what had been applied was called refused, and went to the ledger."""
    lab = Lab(guard=refuse_bad)
    first = ask(lab, change("one", 1, {"x": 1}, transaction=1))
    again = ask(
        lab,
        change("one", 1, {"x": 1}, transaction=1),
        change("two", 2, {"bad": True}, transaction=1),
        fence=first["fence"],
    )
    assert statuses(again) == ["duplicate", "rejected"]
