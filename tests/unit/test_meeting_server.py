"""Devices that meet and also have a server: what came both ways is no conflict, and what gives way is in a ledger."""

from __future__ import annotations

from typing import Any

import pytest

from pysync_web.core.conflict import Wait
from pysync_web.core.wire import encode_request
from tests.laws.test_meetings import hand_over, meet
from tests.simulator.lab import Lab

NAME = ("notes", "k")
HOUR_MS = 3_600_000


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.mark.parametrize("merging", [False, True])
def test_a_change_that_a_device_brought_to_the_server_before_its_maker_is_no_conflict(lab: Lab, merging: bool):
    a, b = lab.replicas("a b", merging=merging)
    a.save("k", {"x": 1, "y": 1})
    hand_over(a, b, [NAME])
    b.save("k", {"x": 2})
    b.sync()
    assert sum(outcome.conflicts for outcome in a.sync()) == 0
    assert a.see("k") == b.see("k") == lab.body("k") == {"x": 2, "y": 1}
    assert a.ledger() == b.ledger() == []


def test_what_follows_a_change_that_a_device_brought_is_sent_alone(lab: Lab):
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1})
    hand_over(a, b, [NAME])
    b.sync()
    a.save("k", {"x": 2})
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == {"x": 2}
    assert a.ledger() == b.ledger() == []


def test_a_strategy_does_not_undo_what_was_made_over_a_change_that_a_device_brought(lab: Lab):
    a, b = lab.replicas("a b")
    a.resolver = b.resolver = lambda conflict: pytest.fail(f"there is no conflict: {conflict}")
    a.save("k", {"x": 1})
    hand_over(a, b, [NAME])
    b.save("k", {"x": 2})
    b.sync()
    a.sync()
    assert a.see("k") == {"x": 2}


def test_an_earlier_change_does_not_win_against_what_it_lost_to_in_a_meeting(lab: Lab):
    a, b = lab.replicas("a b")
    a.save("k", {"x": 1, "a": 1})
    b.save("k", {"x": 2, "b": 2})
    hand_over(b, a, [NAME])
    b.sync()
    lab.settle(a, b)
    assert a.see("k") == b.see("k") == lab.body("k") == {"x": 2, "a": 1, "b": 2}
    assert {"x": 1} in a.lost()


def test_a_change_of_a_clock_far_ahead_that_comes_by_two_ways_stays_before_what_follows_it(lab: Lab):
    a, b = lab.replicas("a b", skew_ms=HOUR_MS)
    a.save("k", {"x": 1})
    hand_over(a, b, [NAME])
    a.save("k", {"x": 2})
    a.sync()
    b.sync()
    assert lab.body("k") == b.see("k") == {"x": 2}


def test_what_a_waiting_conflict_hides_is_noted_when_it_comes_from_a_device_and_gives_way(lab: Lab):
    a, b = lab.replicas("a b")
    a.resolver = lambda conflict: Wait("by hand")
    b.save("k", {"x": 1})
    b.sync()
    a.save("k", {"x": 2})
    a.exchange()
    hand_over(b, a, [NAME])
    assert a.see("k") == {"x": 2}
    assert a.lost() == [{"x": 1}]


def test_a_delete_that_gives_way_at_the_server_is_in_the_ledger_of_who_brought_it(lab: Lab):
    a, b, c = lab.replicas("a b c", merging=True)
    a.save("k", {"x": 1, "y": 1})
    lab.settle(a, b, c)
    b.delete("k")
    hand_over(b, c, [NAME])
    a.save("k", {"y": 2})
    a.sync()
    c.sync()
    assert (lab.body("k") or {}).get("y") == 2
    assert [(entry.operation, entry.body) for entry in c.ledger()] == [("delete", None)]


def test_a_delete_stands_that_had_seen_what_comes_later_than_the_delete_on_the_server(lab: Lab):
    a, b, c = lab.replicas("a b c", merging=True)
    a.save("k", {"x": 1})
    lab.settle(a, b, c)
    c.delete("k")
    c.sync()
    b.save("k", {"x": 2})
    hand_over(b, a, [NAME])
    a.delete("k")
    lab.settle(a, b, c)
    assert lab.body("k") is a.see("k") is b.see("k") is None


def test_what_the_server_hid_before_it_was_shown_is_noted_although_a_device_was_faster(lab: Lab):
    a, b, c = lab.replicas("a b c", merging=True)
    a.save("k", {"x": 1})
    lab.settle(a, b, c)
    request = a.request()
    a.save("k", {"x": 2})
    c.save("k", {"x": 3})
    c.sync()
    a.take(request, lab.serve(encode_request(request)))
    assert a.see("k") == {"x": 3}
    meet(a, b)
    b.sync()
    a.sync()
    assert lab.body("k") == {"x": 3}
    assert a.lost() == [{"x": 2}]


def test_the_order_in_which_things_happened_is_kept_over_a_tombstone(lab: Lab):
    a, b = lab.replicas("a b", merging=True, push_limit=1)
    a.save("k", {"x": 1})
    lab.settle(a, b)
    b.delete("k")
    hand_over(b, a, [NAME])
    b.sync()
    a.save("k", {"x": 2})
    a.save("later", {"n": 1})
    numbers: list[Any] = [name[1] for name in a.pending()]
    assert numbers.index("later") == len(numbers) - 1
    lab.settle(a, b)
    assert b.see("k") == {"x": 2} and a.ledger() == b.ledger() == []
