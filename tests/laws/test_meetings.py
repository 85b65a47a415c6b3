"""Laws of devices that meet in pairs, cut off anywhere, with and without a server: all come to show the same.

And every value that was ever written is still shown, or was replaced by somebody who had seen it, or is in a ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysync_web.core import meeting
from pysync_web.core.document import ABSENT, State, deleted, lost, merge, news, part, paths_of, united
from pysync_web.core.exchange import load_sync
from pysync_web.core.inventory import ROUNDS, Inventory, read_inventory
from pysync_web.core.meeting import Intake, decode_shown, encode_shown, show, take_in
from pysync_web.core.outbox import Bounds
from pysync_web.core.wire import encode_request
from pysync_web.values import decode, loads
from tests.laws.strategies import law, states
from tests.simulator.lab import Device, Lab
from tests.simulator.storage import run

KEYS = ("k1", "k2")
FIELDS = ("x", "y")
history = settings(max_examples=20 if sys.platform == "emscripten" else 300)

devices = st.integers(0, 2)
cuts = st.none() | st.integers(0, 2)
saves = st.tuples(st.just("save"), devices, st.sampled_from(KEYS), st.sets(st.sampled_from(FIELDS), min_size=1))
deletes = st.tuples(st.just("delete"), devices, st.sampled_from(KEYS))
meetings = st.tuples(st.just("meet"), st.permutations(range(3)), cuts, cuts)
syncs = st.tuples(st.just("sync"), devices)
serverless = st.lists(saves | deletes | meetings, max_size=24)
with_server = st.lists(saves | deletes | meetings | syncs, max_size=24)


class Table:
    """Three devices, and what was written on them."""

    def __init__(self, is_merging: bool = True) -> None:
        self.lab = Lab()
        self.devices = self.lab.replicas("a b c", merging=is_merging)
        self.written = 0
        self.replaced: set[int] = set()

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("save", who, key, fields):
                device = self.devices[who]
                seen = device.see(key) or {}
                self.replaced |= {seen[name] for name in fields if name in seen}
                body = {}
                for name in sorted(fields):
                    self.written += 1
                    body[name] = self.written
                device.save(key, body)
            case ("delete", who, key):
                device = self.devices[who]
                self.replaced |= set((device.see(key) or {}).values())
                device.delete(key)
            case ("meet", order, there, back):
                meet(self.devices[order[0]], self.devices[order[1]], there, back)
            case ("sync", who):
                self.devices[who].sync()

    def shown(self) -> list[dict[str, Any]]:
        return [{key: device.see(key) for key in KEYS} for device in self.devices]

    def settle(self) -> None:
        """Let all pairs meet until nothing is sent any more."""
        for _ in range(6):
            if not sum(meet(one, other) for one, other in combinations(self.devices, 2)):
                return
        raise AssertionError("they send and send")

    def check_nothing_is_lost(self) -> None:
        kept = {value for body in self.shown()[0].values() for value in (body or {}).values()}
        for device in self.devices:
            for body in device.lost():
                kept |= set((body or {}).values())
        assert set(range(1, self.written + 1)) - self.replaced <= kept


def inventory_of(device: Device) -> Inventory:
    found = Inventory()
    assert run(device.storage.read(lambda tx: read_inventory(tx, found, None, 1000, None))) is None
    return found


def wanted(one: Device, other: Device) -> tuple[list[Any], list[Any]]:
    """Compare two devices as a meeting does; name what each has to send."""
    both = [inventory_of(one), inventory_of(other)]
    said: list[list[Any]] = [[], []]
    for _ in range(ROUNDS):
        rows = [list(both[i].rows(said[i], said[1 - i])) for i in range(2)]
        for i in range(2):
            said[i].append(rows[i])
    return both[0].to_send(said[0][-1], said[1][-1]), both[1].to_send(said[1][-1], said[0][-1])


def hand_over(giver: Device, taker: Device, names: list[Any]) -> Intake:
    shown = run(giver.storage.write(lambda tx: show(tx, names, giver.lab.rng)))
    arrived = [decode_shown(decode(encode_shown(one)), "document") for one in shown]
    bounds = Bounds()
    return run(taker.storage.write(lambda tx: take_in(tx, arrived, taker.now_ms, taker.lab.rng, bounds)))


def meet(one: Device, other: Device, there: int | None = None, back: int | None = None) -> int:
    """Let two devices meet; after so many documents in a direction the channel breaks. Give how many were sent."""
    to_send = wanted(one, other)
    to_other, to_one = to_send[0][:there], to_send[1][:back]
    for name in to_other:
        hand_over(one, other, [name])
    if to_one:
        hand_over(other, one, to_one)
    return len(to_other) + len(to_one)


@history
@given(serverless)
def test_devices_that_only_meet_in_pairs_come_to_show_the_same_and_lose_nothing(steps: list[Any]):
    table = Table()
    for step in steps:
        table.do(step)
    table.settle()
    first, *others = table.shown()
    assert others == [first, first]
    table.check_nothing_is_lost()


@pytest.fixture(scope="module")
def folding_early() -> Iterator[None]:
    """Fold the changes of a document when there are three."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meeting, "MOST_PENDING", 2)
        patch.setattr(meeting, "KEPT_APART", 1)
        yield


@history
@given(steps=with_server)
@pytest.mark.usefixtures("folding_early")
def test_devices_whose_changes_were_folded_come_to_show_the_same(steps: list[Any]):
    table = Table()
    for step in steps:
        table.do(step)
    table.settle()
    for device in table.devices:
        waiting = [name[1] for name in device.pending()]
        knows_server = run(device.storage.read(load_sync)).epoch is not None
        assert knows_server or max(map(waiting.count, KEYS)) <= 4
    table.lab.settle(*table.devices)
    first, *others = table.shown()
    assert others == [first, first]
    assert {key: table.lab.body(key) for key in KEYS} == first
    assert not any(device.pending() for device in table.devices)
    table.check_nothing_is_lost()


@history
@given(with_server, st.booleans())
def test_devices_that_also_have_a_server_come_to_show_the_same_and_lose_nothing(steps: list[Any], is_merging: bool):
    table = Table(is_merging)
    for step in steps:
        table.do(step)
    table.settle()
    table.lab.settle(*table.devices)
    first, *others = table.shown()
    assert others == [first, first]
    assert {key: table.lab.body(key) for key in KEYS} == first
    assert not any(device.pending() for device in table.devices)
    table.check_nothing_is_lost()


@history
@given(with_server)
def test_what_came_by_two_ways_takes_no_further_number_of_the_server(steps: list[Any]):
    table = Table()
    for step in steps:
        table.do(step)
    table.settle()
    table.devices[0].sync()
    before = {key: table.lab.document(key) for key in KEYS}
    if any(device.lost() for device in table.devices):
        return  # a conflict is decided anew where it meets the server
    for device in table.devices[1:]:
        device.sync()
    assert {key: table.lab.document(key) for key in KEYS} == before


@law
@given(states(), states())
def test_two_states_are_united_alike_from_both_sides_and_again(a: State, b: State):
    both = united(a, b)
    assert both == united(b, a)
    assert united(both, a) == united(both, b) == united(both, both) == both


@law
@given(states(), states())
def test_a_delete_takes_all_of_a_document_or_nothing(a: State, b: State):
    there = a if a.body is not None else b
    gone = deleted(b.timestamp or a.timestamp)
    both = united(there, gone)
    assert both.body is None or lost(there, both) is None


@law
@given(states(), states())
def test_what_is_new_in_a_state_makes_the_rest_of_it(a: State, b: State):
    both = merge(a, b)
    fresh = news(a, both)
    assert merge(a, fresh if fresh is not None else ABSENT) == both
    assert news(both, both) is None


@law
@given(states(), states())
def test_a_part_has_just_the_registers_that_were_asked_for(a: State, b: State):
    both = merge(a, b)
    paths = set(paths_of(both)[::2])
    found = part(both, paths)
    assert set(paths_of(found) if found else ()) == paths
    assert merge(both, found if found is not None else ABSENT) == both


def test_a_replica_passes_the_numbers_that_a_copy_of_it_has_given():
    table = Table()
    a, b, _ = table.devices
    a.save("k1", {"x": 1})
    copy = a.copy("copy", merging=True)
    for value in range(5):
        copy.save("k2", {"x": value})
        hand_over(copy, b, [("notes", "k2")])
    meet(b, a)
    a.save("k1", {"y": 2})
    meet(a, b)
    numbers = [change["n"] for key in KEYS for change in loads(a.storage.text("docs", ("notes", key)))["p"]]
    assert numbers[-1] == 8 or max(numbers) > 6, "six were given by the copy"
    assert sorted(set(numbers)) == sorted(numbers)
    a.sync()
    assert (table.lab.body("k1"), table.lab.body("k2")) == ({"x": 1, "y": 2}, {"x": 4})


def test_a_value_that_won_against_what_came_is_noted_when_it_loses_in_its_turn():
    table = Table()
    a, b, _ = table.devices
    a.save("k1", {"x": 1})
    b.save("k1", {"x": 2, "y": 2})
    meet(a, b, back=0)
    a.save("k1", {"x": 3})
    meet(a, b)
    assert b.lost() == [{"x": 1}, {"x": 2}]


def test_an_answer_of_the_server_that_was_overtaken_by_a_meeting_is_no_conflict():
    table = Table(is_merging=False)
    a, b, _ = table.devices
    a.save("k1", {"x": 1})
    a.sync()
    request = b.request()
    answer = table.lab.serve(encode_request(request))
    meet(a, b)
    b.save("k1", {"y": 2})
    assert b.take(request, answer).conflicts == 0
    table.lab.settle(a, b)
    assert a.see("k1") == b.see("k1") == {"x": 1, "y": 2}
    assert a.ledger() == b.ledger() == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_document_that_outlives_a_delete_is_the_same_whatever_the_order(order: tuple[int, ...]):
    table = Table()
    a, b, c = table.devices
    a.save("k1", {"x": 1, "y": 2, "z": 5})
    meet(a, b)
    meet(a, c)
    a.delete("k1")
    c.save("k1", {"x": 3})
    b.save("k1", {"y": 4})
    pairs = [(a, b), (b, c), (a, c)]
    for i in order:
        meet(*pairs[i])
    table.settle()
    assert [device.see("k1") for device in table.devices] == [{"x": 3, "y": 4, "z": 5}] * 3, "not half of it"
