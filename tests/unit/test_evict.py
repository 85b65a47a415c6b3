"""Copies that a device drops to have room: both sides go on to agree, and nobody else hears of it."""

from __future__ import annotations

from random import Random

import pytest

from pysync_web.core.exchange import choose_collections
from pysync_web.core.rollback import roll_back
from pysync_web.core.shedding import evict
from pysync_web.values import loads
from tests.simulator.lab import Device, Lab
from tests.simulator.storage import run
from tests.unit.test_retention import agree


def two(n: int = 3, **options: bool) -> tuple[Lab, Device, Device]:
    """Give a lab with two devices that both have some documents."""
    lab = Lab()
    a, b = lab.replicas("a b", **options)
    for i in range(n):
        a.save(f"k{i}", {"n": i})
    lab.settle(a, b)
    return lab, a, b


def stubs(device: Device) -> dict[str, int]:
    """Give the sequences of what is evicted, by key."""
    return {str(key[1]): int(text) for key, text in device.storage.rows("evicted")}


def counted(device: Device) -> int:
    """Give how many documents a device counts."""
    return sum(loads(text)["count"] for _, text in device.storage.rows("collections"))


def sync(device: Device) -> None:
    """Sync, and see that both sides agree."""
    assert not any(outcome.has_diverged for outcome in device.sync())


def test_what_is_evicted_is_gone_here_and_nowhere_else():
    lab, a, b = two()
    (event,) = b.evict("k1")
    assert (event.change_type, event.key, event.document, event.reason) == ("RemoteDelete", "k1", None, "evicted")
    assert b.see("k1") is None and counted(b) == 2 and b.pending() == []
    sync(b)
    lab.settle(a, b)
    assert a.see("k1") == {"n": 1} == lab.body("k1") and b.see("k1") is None
    assert stubs(b) == {"k1": 2}


def test_it_comes_back_whole_when_it_changes_on_the_server():
    _lab, a, b = two()
    b.evict("k1", "k2")
    a.save("k1", {"m": 5})
    a.sync()
    sync(b)
    assert b.see("k1") == {"n": 1, "m": 5} and b.see("k2") is None
    assert stubs(b) == {"k2": 3} and counted(b) == 2
    sync(b)


def test_a_delete_of_it_ends_what_is_known_of_it():
    lab, a, b = two()
    b.evict("k1")
    a.delete("k1")
    a.sync()
    sync(b)
    assert stubs(b) == {} and counted(b) == 2
    lab.pass_days(100)
    lab.tend()
    assert sorted(agree(lab, a, b)) == ["k0", "k2"]


def test_nothing_goes_that_the_server_does_not_have():
    lab, _a, b = two()
    b.save("k0", {"mine": 1})
    b.save("new", {"n": 1})
    b.delete("k2")
    assert [event.key for event in b.evict("k0", "k1", "k2", "new", "never")] == ["k1"]
    assert b.see("k0") == {"n": 0, "mine": 1} and b.see("new") == {"n": 1}
    sync(b)
    assert lab.body("k0") == {"n": 0, "mine": 1} and lab.body("new") == {"n": 1} and lab.body("k2") is None


def test_a_version_that_was_not_looked_at_stays():
    _lab, a, b = two()
    old = {("notes", "k1"): {a.id: 1, "server": 1}}
    assert run(b.storage.write(lambda tx: evict(tx, old))) == []
    assert b.see("k1") == {"n": 1}


def test_everything_comes_back_with_a_full_pull_and_what_waits_is_kept():
    lab, a, b = two()
    b.evict("k0", "k1")
    b.save("k2", {"mine": 2})
    b.save("new", {"n": 1})
    lab.subject.begin_resync(b.storage, b.options)
    assert stubs(b) == {}
    sync(b)
    assert agree(lab, a, b) == {"k0": {"n": 0}, "k1": {"n": 1}, "k2": {"n": 2, "mine": 2}, "new": {"n": 1}}


def test_what_is_evicted_during_a_full_pull_agrees_in_the_end():
    lab, a, b = two(6)
    b.page_limit = 2
    lab.subject.begin_resync(b.storage, b.options)
    b.exchange()
    b.evict("k0", "k4")
    a.delete("k1")
    a.sync()
    sync(b)
    assert stubs(b) == {"k0": 1, "k4": 5} and counted(b) == 3
    sync(b)


def test_a_document_that_went_while_it_was_evicted_during_a_full_pull_is_forgotten():
    lab, a, b = two(4)
    b.page_limit = 1
    lab.pass_days(100)
    a.delete("k3")
    a.sync()
    lab.tend(days=0)
    lab.subject.begin_resync(b.storage, b.options)
    b.exchange()
    b.evict("k3")
    sync(b)
    assert stubs(b) == {} and counted(b) == 3


@pytest.mark.parametrize("merging", [False, True])
def test_saving_under_its_key_meets_the_servers_document(merging: bool):
    lab, a, b = two(merging=merging)
    b.evict("k1")
    b.save("k1", {"mine": 1})
    sync(b)
    assert stubs(b) == {}
    assert agree(lab, a, b)["k1"] == ({"n": 1, "mine": 1} if merging else {"mine": 1})


def test_taking_such_a_save_back_leaves_it_evicted():
    lab, _a, b = two()
    b.evict("k1")
    b.save("k1", {"mine": 1})
    (op_id,) = (change["i"] for _, text in b.storage.rows("docs") for change in loads(text).get("p", ()))
    run(b.storage.write(lambda tx: roll_back(tx, op_id, lab.now_ms, lab.rng)))
    assert b.see("k1") is None and stubs(b) == {"k1": 2} and counted(b) == 2
    sync(b)


def test_a_wider_choice_of_collections_does_not_bring_it_back():
    _lab, a, b = two()
    a.write(("k", {"n": 1}), collection="more")
    a.sync()
    b.evict("k1")
    run(b.storage.write(lambda tx: choose_collections(tx, ["notes", "more"])))
    sync(b)
    assert b.see("k1") is None and b.see("k", "more") == {"n": 1} and stubs(b) == {"k1": 2}


def test_a_restored_server_lacks_what_nobody_has_any_more_and_both_agree():
    lab, a, b = two()
    backup = lab.server.snapshot()
    a.save("late", {"n": 9})
    lab.settle(a, b)
    b.evict("late", "k0")
    lab.server.restore(backup)
    lab.subject.new_epoch(lab.server, lab.rng)
    sync(b)
    assert stubs(b) == {"k0": 1} and lab.body("late") is None
    sync(a)
    sync(b)
    assert b.see("late") == {"n": 9}


def test_who_comes_back_late_has_no_stubs():
    lab, a, b = two()
    b.evict("k0", "k1")
    a.delete("k1")
    a.sync()
    lab.pass_days(100)
    assert lab.tend().forgotten == 1
    assert agree(lab, a, b) == {"k0": {"n": 0}, "k2": {"n": 2}}
    assert stubs(b) == {}


@pytest.mark.parametrize("seed", range(20))
def test_both_sides_agree_whatever_is_evicted_when(seed: int):
    rng = Random(seed)
    lab = Lab(seed=seed)
    devices = [lab.replica(name, merging=seed % 2 == 0, page_limit=rng.randint(1, 4)) for name in "ab"]
    for step in range(80):
        device = rng.choice(devices)
        key = f"k{rng.randrange(6)}"
        match rng.randrange(7):
            case 0 | 1:
                device.save(key, {rng.choice("xy"): step})
            case 2:
                device.delete(key)
            case 3 | 4:
                device.evict(*{f"k{rng.randrange(6)}" for _ in range(3)})
            case 5:
                sync(device)
            case 6:
                device.exchange()
    for device in (*devices, *devices):
        sync(device)
    for device in devices:
        gone = stubs(device)
        for i in range(6):
            document = lab.document(f"k{i}") or {}
            if f"k{i}" in gone:
                assert document["version_vector"]["server"] == gone[f"k{i}"] and "document" in document
                assert device.see(f"k{i}") is None
            else:
                assert device.see(f"k{i}") == document.get("document")
        lab.subject.begin_resync(device.storage, device.options)
    agree(lab, *devices)
