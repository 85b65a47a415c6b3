"""What becomes of two changes of one document that had not seen each other: one documented outcome for each pair."""

from __future__ import annotations

import pytest

from pysync_web.core.conflict import AcceptLocal, AcceptRemote, Conflict, ConflictStrategy, Merge, last_write_wins
from tests.simulator.lab import Lab

BOTH = pytest.mark.parametrize("merging", [False, True], ids=["last write wins", "merge fields"])


def conflict(local: tuple[str, str], remote: tuple[str, str]) -> Conflict:
    """Give a conflict of two versions, each with its timestamp and op id."""
    return Conflict("notes", "k", {}, {}, None, {}, {}, {}, local[0], remote[0], local[1], remote[1])


def pair(merging: bool):
    """Give a lab and two replicas that have seen the same document."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=merging)
    a.save("k", {"x": 1, "y": 1})
    lab.settle(a, b)
    return lab, a, b


def test_the_later_change_stands_and_equal_times_are_decided_by_id_on_both_sides():
    assert last_write_wins(conflict(("2", "a"), ("1", "b"))) == AcceptLocal()
    assert last_write_wins(conflict(("1", "b"), ("2", "a"))) == AcceptRemote()
    assert last_write_wins(conflict(("1", "b"), ("1", "a"))) == AcceptLocal()
    assert last_write_wins(conflict(("1", "a"), ("1", "b"))) == AcceptRemote()


def test_a_strategy_tells_what_the_server_may_merge():
    assert ConflictStrategy.LAST_WRITE_WINS.merge is None
    assert ConflictStrategy.MERGE_FIELDS.merge == "fields"


@BOTH
def test_an_update_that_is_later_than_a_delete_keeps_the_document(merging):
    lab, a, b = pair(merging)
    a.delete("k")
    b.save("k", {"x": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 2, "y": 1}


@BOTH
def test_a_delete_that_is_later_than_an_update_removes_the_document_and_the_update_is_in_the_ledger(merging):
    lab, a, b = pair(merging)
    a.save("k", {"x": 2})
    b.delete("k")
    lab.settle(a, b)
    assert a.see("k") is b.see("k") is None
    assert b.lost() == [{"x": 2}]


@BOTH
def test_two_deletes_are_one_and_no_conflict(merging):
    lab, a, b = pair(merging)
    a.delete("k")
    b.delete("k")
    lab.settle(a, b)
    assert a.see("k") is b.see("k") is None
    assert a.ledger() == b.ledger() == []


def test_of_two_new_documents_the_later_stands_and_the_other_is_in_the_ledger():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    b.save("k", {"y": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"y": 2}
    assert b.lost() == [{"x": 1}]


def test_two_new_documents_become_one_where_fields_are_merged():
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 1})
    b.save("k", {"y": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 1, "y": 2}


def test_edits_of_different_fields_are_both_kept_where_fields_are_merged():
    lab, a, b = pair(True)
    a.save("k", {"x": 2})
    b.save("k", {"y": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 2, "y": 3}
    assert a.ledger() == b.ledger() == []


def test_a_resolver_may_make_another_document_from_both():
    lab = Lab()
    a = lab.replica("a")
    b = lab.replica("b", resolver=lambda c: Merge({**(c.remote or {}), **(c.local or {}), "both": True}))
    a.save("k", {"x": 1})
    b.save("k", {"y": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 1, "y": 2, "both": True}


@BOTH
def test_a_document_made_again_has_nothing_of_its_earlier_life(merging):
    lab, a, b = pair(merging)
    a.delete("k")
    a.save("k", {"z": 1})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"z": 1}
