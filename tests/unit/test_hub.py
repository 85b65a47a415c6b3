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


def test_a_request_that_comes_again_gets_the_same_verdicts_and_does_nothing():
    lab = Lab()
    first = ask(lab, change("k", 1, {"x": 1}), request_id="r")
    before = lab.server.snapshot()
    again = ask(lab, change("k", 1, {"x": 1}), request_id="r")
    assert again["results"] == first["results"] and again["fence"] == first["fence"]
    assert lab.server.snapshot() == before


def test_a_change_that_comes_again_in_another_request_is_a_duplicate():
    lab = Lab()
    first = ask(lab, change("k", 1, {"x": 1}))
    assert statuses(ask(lab, change("k", 1, {"x": 1}), fence=first["fence"])) == ["duplicate"]


def test_an_id_with_other_content_is_refused_in_words():
    lab = Lab()
    first = ask(lab, change("k", 1, {"x": 1}))
    again = ask(lab, change("k", 1, {"x": 2}), fence=first["fence"])
    assert again["results"][0]["error"]["code"] == "op_id_reused"
    assert lab.body("k") == {"x": 1}


def test_a_change_from_the_future_gets_the_servers_time_and_is_sent_back():
    lab = Lab()
    answer = ask(lab, change("k", 1, {"x": 1}, timestamp="2099-01-01T00:00:00Z"))
    assert answer["server_changes"][0]["timestamp"] < "2028"


def test_an_idle_exchange_writes_nothing_on_either_side():
    lab = Lab()
    a = lab.replica()
    a.save("k", {"x": 1})
    a.sync()
    commits = (lab.server.commits, a.storage.commits)
    a.sync()
    assert (lab.server.commits, a.storage.commits) == commits


def test_a_plain_client_needs_neither_ids_nor_fences():
    lab = Lab()
    body = {"client_id": "plain", "changes": [{"collection": "notes", "key": "k", "operation": "insert"}]}
    body["changes"][0] |= {"document": {"x": 1}, "timestamp": "2027-01-15T08:00:00Z"}
    for _ in range(2):
        answer = json.loads(lab.serve(json.dumps(body)))
    assert lab.body("k") == {"x": 1} and len(answer["results"]) == 1


def test_a_replica_gets_the_collections_that_it_asks_for_and_its_cursor_passes_the_others():
    lab = Lab()
    a, b = lab.replica("a"), lab.replica("b", collections=("notes",))
    a.save("k", {"x": 1})
    a.save("k", {"x": 1}, collection="todos")
    lab.settle(a, b)
    assert b.see("k") == {"x": 1} and b.see("k", "todos") is None
    assert b.cursor == a.cursor == 2


def test_a_server_that_was_restored_gets_back_what_a_replica_still_has():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("old", {"x": 1})
    lab.settle(a, b)
    backup = lab.server.snapshot()
    a.save("new", {"x": 2})
    lab.settle(a, b)
    lab.server.restore(backup)
    lab.settle(a, b)
    assert lab.body("new") == {"x": 2}
    assert a.see("new") == b.see("new") == {"x": 2} and a.see("old") == b.see("old") == {"x": 1}
