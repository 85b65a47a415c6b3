"""A replica's side of an exchange: what an answer does, and what it never does.

Tests whose docstring begins with *Found by* hold a bug that the simulator found.
"""

from __future__ import annotations

import json

import pytest

from pysync_web.causality import VersionVector, timestamp
from pysync_web.core.document import State
from pysync_web.core.wire import Change, Problem, SyncRequest, decode_response, encode_request
from tests.simulator.lab import Lab


def refuse_bad(change, before, after):
    """Refuse a document that says it is bad."""
    is_bad = after.body is not None and after.body.get("bad")
    return Problem("refused", "bad is refused") if is_bad else None


def test_an_edit_of_a_document_from_a_faster_clock_is_seen_at_once():
    """Found by the simulator: after a conflict the edit was stamped before what it changed, and nobody saw it."""
    lab = Lab()
    fast, slow = lab.replica("fast", skew_ms=240_000), lab.replica("slow")
    fast.save("k", {"a": 1})
    fast.sync()
    slow.save("k", {"a": 2})
    slow.sync()
    assert slow.see("k") == {"a": 1}
    slow.save("k", {"a": 3})
    assert slow.see("k") == {"a": 3}
    lab.settle(slow, fast)
    assert fast.see("k") == {"a": 3}


def test_what_a_merged_change_overwrote_unseen_is_in_its_ledger():
    """Found by the simulator: an earlier value that came first went without a trace."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1, "y": 1})
    lab.settle(a, b)
    a.save("k", {"x": 2})
    b.save("k", {"x": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 3, "y": 1}
    assert b.lost() == [{"x": 2}] and a.lost() == []


def test_what_a_merged_change_lost_is_in_its_ledger_once_even_if_it_is_overwritten_knowingly_before_the_answer():
    """Found by the simulator: the loss was told from the document as it is now, not as it was decided."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1})
    lab.settle(a, b)
    b.save("k", {"y": 2})
    b.sync()
    a.save("k", {"x": 3})
    request = a.request()
    lab.serve(encode_request(request))
    b.sync()
    b.save("k", {"x": 4})
    b.sync()
    a.take(request, lab.serve(encode_request(request)))
    assert a.see("k") == {"x": 4, "y": 2}
    assert a.lost() == []


def test_what_a_pull_hides_under_pending_changes_is_in_the_ledger():
    """Found by the simulator: the server called nothing overwritten, because it had been pulled before."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1})
    lab.settle(a, b)
    a.save("k", {"x": 2})
    pull = b.request()
    a.sync()
    answer = lab.serve(encode_request(pull))
    b.save("k", {"x": 3})
    b.take(pull, answer)
    assert b.see("k") == {"x": 3} and b.lost() == [{"x": 2}]
    lab.settle(b, a)
    assert a.see("k") == {"x": 3} and b.lost() == [{"x": 2}]


def test_a_delete_that_lost_to_a_later_update_is_in_the_ledger():
    """Found by the simulator: it had no value to be noted, so nothing was."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    lab.settle(a, b)
    a.delete("k")
    b.save("k", {"x": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 2}
    assert [(entry.operation, entry.body) for entry in b.ledger()] == [("delete", None)]


def test_a_value_that_was_replaced_knowingly_is_not_in_the_ledger():
    """Found by the simulator: the winner of a conflict noted what it had itself replaced."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1, "y": 1})
    lab.settle(a, b)
    a.save("k", {"y": 2})
    b.save("k", {"x": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 3, "y": 1}
    assert b.lost() == [{"y": 2}]


def test_a_delete_after_a_rebased_insert_hides_the_servers_document():
    """Found by the simulator: the delete took back the insert, and what others had made came forth."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1})
    pull = b.request()
    a.sync()
    answer = lab.serve(encode_request(pull))
    b.save("k", {"y": 2})
    b.take(pull, answer)
    assert b.see("k") == {"x": 1, "y": 2}
    b.delete("k")
    assert b.see("k") is None
    lab.settle(b, a)
    assert a.see("k") is None


def test_a_restamped_acknowledgement_is_no_conflict_with_later_edits():
    """Found by the simulator: the server's own time for our change looked like somebody else's change."""
    lab = Lab()
    a = lab.replica("a", skew_ms=3_600_000)
    a.save("k", {"x": 1})
    request = a.request()
    a.delete("k")
    outcome = a.take(request, lab.serve(encode_request(request)))
    assert (outcome.conflicts, a.ledger()) == (0, [])
    a.sync()
    assert lab.document("k")["operation"] == "delete"


def test_changes_of_a_refused_document_are_refused_with_it():
    """Found by the simulator: the update made half a document, over a tombstone of 1970."""
    lab = Lab(guard=refuse_bad)
    a = lab.replica()
    a.save("k", {"x": 1, "bad": True})
    a.request()
    a.save("k", {"x": 2, "bad": False})
    a.sync()
    assert a.see("k") is None and lab.body("k") is None
    assert [(entry.kind, entry.code) for entry in a.ledger()] == [
        ("rejected", "refused"),
        ("rejected", "no_document"),
    ]


@pytest.mark.parametrize("is_tombstone", [False, True])
@pytest.mark.parametrize("is_one_request", [False, True])
def test_changes_behind_a_refused_insert_are_refused_and_no_half_document_stays(is_tombstone, is_one_request):
    """Found by the simulator: in one request they were in conflict with nothing, so no refusal was ever told."""
    lab = Lab(guard=refuse_bad)
    a, b = lab.replicas("a b")
    if is_tombstone:
        a.save("k", {"x": 0})
        a.sync()
        a.delete("k")
    lab.settle(a, b)
    a.write(("k", {"x": 1, "bad": True}), ("j", {"y": 1}), is_atomic=True)
    if not is_one_request:
        a.request()
    a.write(("k", {"x": 2, "bad": False}), ("i", {"y": 2}), is_atomic=True)
    a.save("h", {"y": 3})
    lab.settle(a, b)
    assert [a.see(key) for key in "kjih"] == [b.see(key) for key in "kjih"] == [None, None, None, {"y": 3}]
    codes = {(entry.key, entry.code) for entry in a.ledger()}
    refused = {("k", "refused"), ("j", "transaction_rejected"), ("i", "transaction_rejected"), ("k", "no_document")}
    assert codes == refused


def test_what_a_device_brought_behind_a_refused_insert_is_refused_with_it():
    """Found by the simulator: it was in conflict with nothing, so the refusal was never told."""
    lab = Lab(guard=refuse_bad)
    hub = lab.replica("hub")
    hub.save("other", {"x": 0})
    hub.sync()
    at = [timestamp(lab.now_ms + i) for i in range(2)]
    versions: list[VersionVector] = [{"device": 1}, {"device": 1, "brings": 2}]
    changes = (
        Change(
            "notes", "k", "insert", State({"bad": True}, at[0]), True, "one", 1, {}, "fields", contains=versions[0]
        ),
        Change("notes", "k", "update", State({"x": 1}, at[1]), False, "two", 2, {}, "fields", contains=versions[1]),
    )
    request = SyncRequest("db", "brings", {}, changes, protocol=1, request_id="r")
    answer = decode_response(lab.serve(encode_request(request)))
    assert [(one.status, one.error and one.error.code) for one in answer.results] == [
        ("rejected", "refused"),
        ("rejected", "no_document"),
    ]


def test_a_delete_of_ones_own_refused_document_is_no_loss():
    """Found by the simulator: with an update in flight between them, none of the three was ever accounted for."""
    lab = Lab(guard=refuse_bad)
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 0})
    a.sync()
    a.delete("k")
    lab.settle(a, b)
    a.write(("k", {"x": 1, "bad": True}), ("j", {"y": 1}), is_atomic=True)
    a.write(("k", {"x": 2, "bad": False}), is_atomic=True)
    request = a.request()
    a.delete("k")
    a.take(request, lab.serve(encode_request(request)))
    b.save("k", {"x": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 3}
    assert {(entry.key, entry.code) for entry in a.ledger()} == {
        ("k", "refused"),
        ("j", "transaction_rejected"),
        ("k", "no_document"),
    }


def test_a_document_made_again_after_its_refusal_stands():
    lab = Lab(guard=refuse_bad)
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1, "bad": True})
    a.request()
    a.delete("k")
    a.save("k", {"x": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 3}


def test_a_delete_of_what_is_deleted_keeps_the_servers_tombstone():
    """Found by the simulator: replica and server had different stamps for the same version."""
    lab = Lab(guard=refuse_bad)
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    a.sync()
    a.delete("k")
    a.sync()
    a.save("k", {"bad": True})
    a.request()
    a.delete("k")
    lab.settle(a, b)
    assert a.storage.text("docs", ("notes", "k")) == b.storage.text("docs", ("notes", "k"))


def test_nobody_sees_an_effect_while_its_cause_is_in_conflict():
    """Found by the simulator: what came after a conflict in one push was applied before it was resolved."""
    lab = Lab()
    a, b, c = lab.replicas("a b c")
    a.save("list", {"x": 1})
    lab.settle(a, b, c)
    b.save("list", {"x": 2})
    b.sync()
    a.save("list", {"x": 3})
    a.save("note", {"see": "list"})
    a.exchange()
    c.sync()
    assert c.see("note") is None
    lab.settle(a, c)
    assert c.see("note") == {"see": "list"} and c.see("list") == {"x": 3}


def test_a_resolved_change_keeps_its_place_behind_what_caused_it():
    """Found by the simulator: one change in the place of two got ahead of what lay between them."""
    lab = Lab()
    a, b, c = lab.replicas("a b c", push_limit=1)
    a.save("k", {"x": 1})
    lab.settle(a, b, c)
    b.save("k", {"y": 1})
    b.sync()
    a.save("k", {"x": 2})
    a.request()
    a.save("cause", {"x": 3})
    a.request()
    a.save("k", {"effect": True})
    a.exchange()
    assert [key for _, key, _ in a.pending()] == ["k", "cause", "k"]
    a.sync()
    assert lab.body("k") == {"x": 2, "effect": True}


def test_nobody_sees_part_of_an_edit_that_joined_an_earlier_one_while_its_cause_is_in_conflict():
    """Found by the simulator: what came before a conflict was applied, though it contained what came after."""
    lab = Lab()
    a, b, c = lab.replicas("a b c")
    a.save("cause", {"x": 1})
    lab.settle(a, b, c)
    b.save("cause", {"x": 2})
    b.sync()
    a.save("k", {"x": 1})
    a.save("cause", {"x": 3})
    a.save("k", {"effect": True})
    assert a.pending() == [("notes", "k", "insert"), ("notes", "cause", "update")]
    a.exchange()
    c.sync()
    assert c.see("k") is None
    lab.settle(a, c)
    assert c.see("k") == {"x": 1, "effect": True} and c.see("cause") == {"x": 3}


def test_a_known_change_is_no_conflict_with_what_was_made_on_it():
    """Found by the simulator: a restored replica took its own earlier change for somebody else's."""
    lab = Lab()
    a = lab.replica("a")
    a.save("k", {"x": 1})
    a.request()
    twin = a.copy("twin")
    a.sync()
    a.save("other", {"x": 1})
    a.sync()
    twin.save("k", {"x": 2})
    outcomes = twin.sync()
    assert lab.body("k") == {"x": 2} and twin.ledger() == []
    assert sum(outcome.conflicts for outcome in outcomes) == 0


def test_a_known_change_that_others_built_on_is_a_conflict_with_what_was_made_beside_them():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    a.request()
    twin = a.copy("twin")
    lab.settle(a, b)
    b.save("k", {"x": 2})
    b.sync()
    a.save("other", {"x": 1})
    a.sync()
    twin.save("k", {"y": 3})
    twin.sync()
    assert lab.body("k") == {"x": 1, "y": 3} and twin.lost() == [{"x": 2}]


def test_changes_that_are_not_yet_sent_do_not_meet_the_documents_of_others():
    """Found by the simulator: what the server knew already was called lost, because its turn had not come."""
    lab = Lab()
    a = lab.replica("a", push_limit=1)
    a.save("k", {"x": 1})
    a.request()
    a.save("l", {"x": 1})
    a.request()
    twin = a.copy("twin")
    a.sync()
    a.save("l", {"x": 2})
    a.sync()
    twin.sync()
    assert twin.see("l") == {"x": 2} and twin.ledger() == []


def test_a_change_that_grew_after_a_restore_gets_another_id_and_comes_through():
    """Found by the simulator: the server knew its id with other content, and refused it."""
    lab = Lab()
    a = lab.replica("a")
    a.save("k", {"x": 1})
    twin = a.copy("twin")
    a.save("k", {"x": 2})
    a.sync()
    twin.save("k", {"x": 3})
    lab.settle(twin, a)
    assert a.see("k") == twin.see("k") == {"x": 3}
    assert twin.lost() == [{"x": 2}]


def test_what_later_fields_of_others_hid_is_in_the_ledger_when_the_document_goes():
    """Found by the simulator: the ledger had what was seen, without what had been hidden before."""
    lab = Lab()
    a, b = lab.replica("a", merging=True, skew_ms=60_000), lab.replica("b", merging=True)
    a.save("k", {"x": 1})
    pull = b.request()
    a.sync()
    answer = lab.serve(encode_request(pull))
    b.save("k", {"x": 2})
    b.take(pull, answer)
    assert b.see("k") == {"x": 1}
    a.delete("k")
    lab.settle(a, b)
    assert b.see("k") is None
    assert {"x": 2} in b.lost()


def test_a_conflict_leaves_the_count_of_waiting_bytes_right():
    """Found by the simulator: what a resolution changed was not written down, and bytes waited for ever."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    lab.settle(a, b)
    b.save("k", {"x": 2})
    b.sync()
    a.save("k", {"x": 3, "y": "a longer text"})
    a.exchange()
    assert len(a.pending()) == 1
    a.sync()
    counters = json.loads(a.storage.text("meta", ("counters",)) or "")
    assert (counters["pending"], counters["pending_bytes"]) == (0, 0)


def test_what_a_merge_lost_is_told_again_to_who_asks_again_after_a_restore():
    """Found by the simulator: the loss was told once, and that answer did not arrive."""
    lab = Lab()
    a, b = lab.replica("a", merging=True), lab.replica("b", merging=True, skew_ms=60_000)
    a.save("k", {"x": 1})
    lab.settle(a, b)
    a.save("k", {"x": 2})
    b.save("k", {"x": 3})
    b.sync()
    twin = a.copy("twin")
    lab.serve(encode_request(a.request()))
    twin.sync()
    assert twin.see("k") == {"x": 3} and twin.lost() == [{"x": 2}]


def test_a_document_made_again_after_a_refused_delete_is_the_same_here_and_there():
    """Found by the simulator: the server replaced the document, the replica added to it."""
    lab = Lab(guard=lambda change, before, after: Problem("no", "no") if after.body is None else None)
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1, "y": 1})
    lab.settle(a, b)
    a.delete("k")
    a.request()
    a.save("k", {"x": 2})
    a.exchange()
    assert a.see("k") == {"x": 2}
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 2}
    assert a.storage.text("docs", ("notes", "k")) == b.storage.text("docs", ("notes", "k"))


def test_only_what_lies_in_the_future_gets_the_servers_time():
    """Found by the simulator: with one field ahead of time all others became new, and hid what others had saved."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1, "y": 1})
    b.save("k", {"x": 2})
    a.skew_ms = 3_600_000
    a.save("k", {"y": 2})
    lab.settle(b, a, b)
    assert a.see("k") == b.see("k") == {"x": 2, "y": 2}


def test_a_delete_from_a_fast_clock_leaves_nothing_that_it_had_seen():
    """Found by the simulator: it got the server's time, before that of a field that was just not too far ahead."""
    lab = Lab()
    a, b = lab.replica("a", skew_ms=290_000), lab.replica("b", skew_ms=3_600_000)
    a.save("k", {"x": 1})
    a.skew_ms = 400_000
    a.save("k", {"y": 2})
    lab.settle(a, b)
    b.delete("k")
    lab.settle(b, a)
    assert a.see("k") is None and b.see("k") is None and lab.document("k")["operation"] == "delete"


def test_what_waits_for_a_conflict_does_not_meet_the_documents_of_others():
    """Found by the simulator: a clone's held change, known to the server by then, was called lost."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    lab.settle(a, b)
    b.save("k", {"x": 2})
    b.sync()
    a.save("k", {"x": 3})
    a.save("l", {"x": 1})
    twin = a.copy("twin")
    a.exchange()
    assert a.request().limit == 1000 and len(a.pending()) == 2
    a.sync()
    a.save("l", {"x": 2})
    a.sync()
    twin.sync()
    assert twin.see("l") == {"x": 2}
    assert {"x": 1} not in twin.lost()


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("comes_first", ["made again", "changed"])
def test_what_was_deleted_and_made_again_merges_by_field_whichever_comes_first(is_later, comes_first):
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    b.skew_ms = 1000 if is_later else -1000
    a.save("k", {"x": 1})
    lab.settle(a, b)
    a.delete("k")
    a.save("j", {"after": "the delete"})
    a.save("k", {"y": 2})
    a.save("k", {"z": 3})
    b.save("k", {"w": 4})
    lab.settle(*((a, b) if comes_first == "made again" else (b, a)))
    assert a.see("k") == b.see("k") == lab.body("k") == ({"y": 2, "z": 3} | ({"w": 4} if is_later else {}))
    assert a.lost() + b.lost() == ([] if is_later else [{"w": 4}])
    counters = json.loads(a.storage.text("meta", ("counters",)))
    assert (counters["pending"], counters["pending_bytes"]) == (0, 0)
