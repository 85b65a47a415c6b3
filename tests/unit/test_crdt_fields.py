"""CRDT values in documents: they meet on the server without a conflict, and every way there keeps them exact."""

from __future__ import annotations

import pytest

from pysync_web import crdt
from pysync_web.core.fields import FIRST_LIFE
from pysync_web.core.strategies import manual
from pysync_web.crdt import Add, Assign, Clear, Discard, Increment, Remove, Replace, Update
from pysync_web.errors import InvalidDocument, Rejected, SchemaError
from pysync_web.values import dumps
from tests.simulator.lab import Device, Lab

BOTH = pytest.mark.parametrize("merging", [False, True], ids=["last write wins", "merge fields"])


def pair(merging: bool = True) -> tuple[Lab, Device, Device]:
    """Give a lab and two replicas that know one document."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=merging)
    a.save("k", {"title": "one"})
    lab.settle(a, b)
    return lab, a, b


def count(device: Device, amount: int = 1, field: str = "n") -> None:
    device.do("k", field, "pn_counter", Increment(amount))


@BOTH
def test_counters_that_were_begun_apart_count_everything(merging):
    lab, a, b = pair(merging)
    count(a, 3)
    count(b, 4)
    count(b, -1)
    assert (a.see("k"), b.see("k")) == ({"title": "one", "n": 3}, {"title": "one", "n": 3})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "one", "n": 6}
    assert a.ledger() == b.ledger() == []


@BOTH
def test_a_counter_begins_a_document_that_is_not_there(merging):
    lab = Lab()
    a, b = lab.replicas("a b", merging=merging)
    count(a, 1)
    count(b, 2)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"n": 3}


@BOTH
def test_a_counter_beside_fields_in_conflict_counts_whoever_wins(merging):
    lab, a, b = pair(merging)
    a.save("k", {"title": "of a"})
    count(a, 1)
    b.save("k", {"title": "of b"})
    count(b, 2)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "of b", "n": 3}
    assert [entry.body for entry in (*a.ledger(), *b.ledger()) if entry.body.get("title") != "of a"] == []


@BOTH
def test_a_counter_of_the_side_that_loses_counts_too(merging):
    lab, a, b = pair(merging)
    b.save("k", {"title": "of b"})
    count(b, 2)
    a.save("k", {"title": "of a"})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "of a", "n": 2}


@BOTH
def test_every_kind_travels(merging):
    lab, a, b = pair(merging)
    a.do("k", "g", "g_counter", Increment(2))
    a.do("k", "deep.tags", "or_set", Add("x"))
    b.do("k", "deep.tags", "or_set", Add({"y": 1}))
    a.do("k", "name", "lww_register", Assign("first", ""))
    b.do("k", "name", "lww_register", Assign("second", ""))
    a.do("k", "both", "mv_register", Replace(1))
    b.do("k", "both", "mv_register", Replace(2))
    b.do("k", "all", "g_set", Add([1]))
    a.do("k", "map", "or_map", Update("hits", "pn_counter", Increment(1)))
    b.do("k", "map", "or_map", Update("hits", "pn_counter", Increment(1)))
    lab.settle(a, b)
    assert a.see("k") == b.see("k")
    assert a.see("k") == {
        "title": "one",
        "g": 2,
        "deep": {"tags": ["x", {"y": 1}]},
        "name": "second",
        "both": [1, 2],
        "all": [[1]],
        "map": {"hits": 2},
    }
    a.do("k", "deep.tags", "or_set", Remove("x"))
    b.do("k", "deep.tags", "or_set", Add("x"))
    b.do("k", "map", "or_map", Discard("hits"))
    a.do("k", "both", "mv_register", Clear())
    lab.settle(a, b)
    assert a.see("k") == b.see("k")
    assert (a.see("k")["deep"], a.see("k")["map"], a.see("k")["both"]) == ({"tags": ["x", {"y": 1}]}, {}, [])


def test_deltas_alone_are_sent_and_a_change_is_as_small_as_what_was_done():
    _, a, _ = pair()
    for n in range(200):
        a.do("k", "tags", "or_set", Add(n))
    a.sync()
    a.do("k", "tags", "or_set", Add("one more"))
    (change,) = a.request().changes
    assert crdt.value(change.state.body["tags"]) == ["one more"]
    assert len(dumps(change.state.body)) < 200


def test_removing_the_field_ends_what_it_had_seen_and_a_new_one_begins():
    lab, a, b = pair()
    count(a, 5)
    lab.settle(a, b)
    a.write(("k", {"title": "one"}), replace=True)
    count(a, 1)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "one", "n": 1}
    count(b, 1)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "one", "n": 2}


def test_what_was_counted_while_the_field_was_removed_is_in_the_ledger():
    lab, a, b = pair()
    count(a, 5)
    lab.settle(a, b)
    a.write(("k", {"title": "one"}), replace=True)
    count(b, 1)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "one"}
    assert any("n" in (entry.body or {}) for entry in (*a.ledger(), *b.ledger()))


@BOTH
def test_a_document_that_was_deleted_and_made_again_counts_from_nothing(merging):
    lab, a, b = pair(merging)
    count(a, 5)
    lab.settle(a, b)
    a.delete("k")
    lab.settle(a, b)
    count(b, 1)
    lab.settle(a, b)
    count(a, 1)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"n": 2}


@BOTH
def test_a_clone_and_its_original_count_exactly(merging):
    lab, a, b = pair(merging)
    count(a, 10)
    a.do("k", "tags", "or_set", Add("shared"))
    lab.settle(a, b)
    count(a, 1)  # waits in both
    clone = a.copy("clone")
    count(a, 2)
    a.do("k", "tags", "or_set", Add("of a"))
    count(clone, 4)
    clone.do("k", "tags", "or_set", Add("of the clone"))
    a.sync()
    lab.settle(clone, a, b)
    assert a.see("k") == b.see("k") == clone.see("k")
    assert a.see("k") == {"title": "one", "n": 17, "tags": ["of a", "of the clone", "shared"]}
    count(a)
    count(clone)
    lab.settle(a, clone, b)
    assert a.see("k")["n"] == b.see("k")["n"] == clone.see("k")["n"] == 19


def test_a_change_that_waits_in_blocks_is_counted_once_by_a_clone_whose_original_sent_it():
    lab, a, b = pair()
    count(a, 1)
    a.request()  # seals the block: what follows is another change
    count(a, 2)
    clone = a.copy("clone")
    count(clone, 4)
    a.sync()
    lab.settle(clone, a, b)
    assert a.see("k")["n"] == b.see("k")["n"] == clone.see("k")["n"] == 7


def test_what_waited_in_both_counts_once_if_the_clone_sends_it_first():
    """Found by the simulator: the original's later totals contained it, under another name than the clone's."""
    lab, a, b = pair()
    count(a, 1)
    clone = a.copy("clone")
    a.save("j", {"x": 1}, priority=1)
    a.push_limit = 1
    a.exchange()  # what is urgent alone
    count(a, 2)
    count(clone, 4)
    clone.sync()
    assert clone.id != a.id and lab.body("k")["n"]["counts"].keys().isdisjoint({a.id, clone.id})
    a.sync()
    count(a, 8)
    count(clone, 16)
    lab.settle(a, clone, b)
    assert a.see("k")["n"] == b.see("k")["n"] == clone.see("k")["n"] == 31
    assert a.ledger() == clone.ledger() == []


def test_what_has_no_effect_when_it_is_done_again_is_still_known_as_the_same_change():
    """Found by the simulator: what the clone made of it looked like another change, and was counted beside it."""
    lab, a, b = pair()
    count(a, 1)
    a.do("k", "tags", "or_set", Add("x"))
    a.do("k", "tags", "or_set", Remove("x"))
    clone = a.copy("clone")
    count(clone, 2)
    a.sync()
    lab.settle(clone, a, b)
    count(clone, 4)
    lab.settle(clone, a, b)
    assert a.see("k") == b.see("k") == clone.see("k") == {"title": "one", "n": 7, "tags": []}


def test_a_clone_that_removes_what_it_added_removes_nothing_of_its_original():
    lab, a, b = pair()
    clone = a.copy("clone")
    a.do("k", "tags", "or_set", Add("of a"))
    clone.do("k", "tags", "or_set", Add("of the clone"))
    clone.do("k", "tags", "or_set", Remove("of the clone"))
    lab.settle(a, clone, b)
    assert a.see("k") == b.see("k") == clone.see("k") == {"title": "one", "tags": ["of a"]}


def test_openings_without_a_server_add_no_names_to_a_counter():
    lab, a, b = pair()
    for _ in range(5):
        a = a.copy("opened again")
        count(a)
    lab.settle(a, b)
    assert b.see("k")["n"] == 5 and lab.body("k")["n"]["counts"].keys() == {a.id}


def test_a_conflict_that_waits_goes_on_to_wait_in_a_clone():
    lab = Lab()
    a, b = lab.replicas("a b", resolver=manual)
    a.save("k", {"title": "one"})
    lab.settle(a, b)
    b.save("k", {"title": "of b"})
    b.sync()
    a.save("k", {"title": "of a"})
    count(a, 1)
    a.exchange()
    clone = a.copy("clone")
    a.save("j", {"x": 1})
    a.exchange()
    with pytest.raises(Rejected):
        clone.exchange()
    lab.subject.fork(clone.storage, lab.rng, clone.options)
    clone.exchange()
    assert [conflict.key for conflict in lab.subject.waiting(clone.storage)] == ["k"]
    assert clone.id != a.id and clone.see("k") == {"title": "of a", "n": 1}


def test_a_document_is_saved_back_as_it_was_read():
    lab, a, b = pair()
    count(a, 5)
    a.do("k", "deep.tags", "or_set", Add("x"))
    a.save("k", {"title": "two", "n": 5, "deep": {"tags": ["x"], "more": 1}})
    lab.settle(a, b)
    count(b, 1)
    lab.settle(a, b)
    assert a.see("k") == {"title": "two", "n": 6, "deep": {"tags": ["x"], "more": 1}}


def test_a_value_in_place_of_a_crdt_value_is_refused_in_words():
    _, a, _ = pair()
    count(a, 5)
    with pytest.raises(InvalidDocument, match="'n' is a pn_counter: change it by the crdt_ calls"):
        a.save("k", {"n": 6})
    with pytest.raises(InvalidDocument, match="'title' is an ordinary value here, not a pn_counter"):
        count(a, 1, "title")
    with pytest.raises(InvalidDocument, match="'n' is a pn_counter here, not a or_set"):
        a.do("k", "n", "or_set", Add(1))
    with pytest.raises(InvalidDocument, match=r"'title' is no object, so there is no 'title\.n'"):
        count(a, 1, "title.n")
    with pytest.raises(InvalidDocument, match=r"the name '\$crdt' is taken"):
        a.save("k", {"list": [{"$crdt": 1}]})
    with pytest.raises(InvalidDocument, match="is not the name of a field"):
        count(a, 1, "a..b")


HOSTILE = {
    "a negative count": {"$crdt": "pn_counter", "counts": {"x": [-1, 0]}},
    "an unknown kind": {"$crdt": "counter"},
    "no kind": {"$crdt": 5},
    "a boolean": {"$crdt": "g_counter", "counts": {"x": True}},
    "a stray member": {"$crdt": "g_counter", "counts": {}, "more": 1},
}


@pytest.mark.parametrize("state", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("is_in_list", [False, True])
def test_a_state_that_is_none_is_refused_by_the_server(state, is_in_list):
    lab = Lab()
    value = [state] if is_in_list else state
    change = {"collection": "notes", "key": "k", "operation": "insert", "document": {"n": value}}
    with pytest.raises(SchemaError, match="n"):
        lab.serve(dumps({"client_id": "plain", "changes": [change]}))


def test_counting_for_another_replica_is_rejected_and_leaves_no_trace():
    lab, a, b = pair()
    count(a, 1)
    a.sync()
    delta = {"$crdt": "pn_counter", "counts": {a.id: [100, 0]}}
    change = {"collection": "notes", "key": "k", "operation": "update", "delta": {"n": delta}, "merge": "fields"}
    change |= {"timestamp": FIRST_LIFE, "stamps": {"/n": FIRST_LIFE}, "base_version": {}}
    answer = lab.serve(dumps({"client_id": "hostile", "changes": [change]}))
    assert '"not_own"' in answer
    lab.settle(b)
    assert b.see("k")["n"] == 1


def test_a_document_s_timestamp_moves_with_what_is_counted():
    lab, a, _ = pair()
    before = lab.document("k")["timestamp"]
    count(a, 1)
    a.sync()
    assert lab.document("k")["timestamp"] > before


@BOTH
def test_a_server_that_was_restored_is_given_back_every_count(merging):
    lab, a, b = pair(merging)
    count(a, 1)
    lab.settle(a, b)
    backup = lab.server.snapshot()
    count(b, 2)
    lab.settle(a, b)
    lab.server.restore(backup)
    lab.subject.new_epoch(lab.server, lab.rng)
    count(a, 4)
    lab.settle(a, b)
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"title": "one", "n": 7}
