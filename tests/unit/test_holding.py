"""Holding a part of the documents while faults happen: each case was a world of the simulator."""

from __future__ import annotations

import pytest

from pysync_web.core.conflict import AcceptRemote, Wait
from pysync_web.core.exchange import choose_parts
from pysync_web.core.scope import Wish
from pysync_web.core.wire import encode_request
from pysync_web.crdt import Increment
from tests.simulator.lab import Device, Lab
from tests.simulator.storage import Crash, run

DAY_MS = 86_400_000


def choose(device: Device, collection: str, wish: Wish | None) -> None:
    """Choose what is wanted of a collection."""
    run(device.storage.write(lambda tx: choose_parts(tx, {collection: wish}, None)))


def has_diverged(device: Device) -> bool:
    """Sync, and tell whether a part was another than the server's."""
    return any(outcome.diverged for outcome in device.sync())


def test_what_a_failed_commit_summed_up_is_forgotten():
    """The server's process lives on after a transaction that could not be written."""
    lab = Lab()
    a, b = lab.replicas("a b")
    choose(a, "notes", Wish("doc.a > 0"))
    a.sync()
    a.save("k", {"a": 1})
    lab.server.on_commit = lambda: "before"
    with pytest.raises(Crash):
        lab.serve(encode_request(a.request()))
    lab.server.on_commit = str
    b.save("other", {"a": 0})
    b.sync()
    assert not has_diverged(a)


def test_a_sum_from_before_forgotten_deletes_is_made_anew():
    """The feed no longer tells what was deleted since."""
    lab = Lab()
    a, b = lab.replicas("a b")
    choose(a, "notes", Wish("doc.a > 0"))
    b.save("k", {"a": 1})
    b.save("other", {"a": 1})
    lab.settle(a, b)
    b.delete("k")
    b.sync()
    lab.pass_days(100)
    assert lab.tend().forgotten == 1
    assert not has_diverged(a)
    assert (a.see("k"), a.see("other")) == (None, {"a": 1})


def test_a_snapshot_after_another_filter_ends_when_the_feed_has_told_what_left_both():
    """The pages are small, and the document that leaves has changed behind others."""
    lab = Lab()
    a, b = lab.replicas("a b", page_limit=1)
    b.save("k", {"a": 1})
    lab.settle(b, a)
    for key in "xyz":
        b.save(key, {"n": 1}, collection="todos")
    b.save("k", {"a": 2})
    b.sync()
    choose(a, "notes", Wish("doc.b != null"))
    assert not has_diverged(a)
    assert a.see("k") is None


def test_a_filter_that_is_chosen_during_a_full_pull_drops_nothing_that_it_lets_through():
    """Nobody knows then what the filter before it had let through until the cursor."""
    lab = Lab()
    a = lab.replica("a", page_limit=1)
    for key in "klm":
        a.save(key, {"a": 1})
    a.sync()
    lab.subject.begin_resync(a.storage, a.options)
    a.exchange()
    choose(a, "notes", Wish("doc.a > 0"))
    assert not has_diverged(a)
    assert [a.see(key) for key in "klm"] == [{"a": 1}] * 3


def test_what_a_waiting_conflict_held_goes_when_the_others_version_is_chosen():
    """No change is sent then whose answer would say that the document is none of those asked for."""
    lab = Lab()
    a = lab.replica("a", resolver=lambda conflict: Wait("somebody decides"))
    b = lab.replica("b")
    b.save("k", {"a": 1})
    lab.settle(b, a)
    a.save("k", {"a": 2})
    b.save("k", {"a": 3})
    b.sync()
    choose(a, "notes", None)
    while lab.subject.drop_unasked(a.storage, a.now_ms, lab.rng, a.options, 10):
        pass
    a.take(*(lambda request: (request, lab.serve(encode_request(request))))(a.request()))
    (conflict,) = lab.subject.waiting(a.storage)
    lab.subject.settle(a.storage, conflict, AcceptRemote(), a.now_ms, lab.rng, a.options, True)
    assert a.see("k") == {"a": 3}
    a.sync()
    assert a.see("k") is None
    assert lab.body("k") == {"a": 3}


def test_counts_in_a_document_that_was_evicted_add_up():
    """What is not here can't be counted on from, under the name that has counted there."""
    lab = Lab()
    a = lab.replica("a")
    a.do("k", "n", "pn_counter", Increment(5))
    a.sync()
    a.evict("k")
    a.do("k", "n", "pn_counter", Increment(1))
    a.do("k", "n", "pn_counter", Increment(1))
    assert a.see("k") == {"n": 2}
    a.sync()
    assert a.see("k") == {"n": 7}
    a.do("k", "n", "pn_counter", Increment(1))
    a.sync()
    assert a.see("k") == {"n": 8}


def test_a_first_push_from_a_clock_far_ahead_is_not_done_twice():
    """Its times do not tell that it is as old as what the server has forgotten."""
    lab = Lab()
    a, b = lab.replica("a", skew_ms=200 * DAY_MS), lab.replica("b")
    a.save("k", {"a": 1})
    lab.serve(encode_request(a.request()))
    b.sync()
    b.delete("k")
    b.sync()
    lab.pass_days(100)
    lab.tend()
    a.sync()
    assert lab.body("k") is None
