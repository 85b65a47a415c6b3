"""Documents that expire: what tells when, what finds them, and what becomes of edits made meanwhile."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from pysync_web.core.expiry import STEP, moment_of
from tests.simulator.lab import START_MS, Body, Device, Lab
from tests.unit.test_retention import agree

HOUR_S = 3600


def set_ttl(device: Device, field: str | None, after_s: float = HOUR_S, collection: str = "notes") -> None:
    """Set how the documents of a collection expire, or (None) that they don't."""
    body = None if field is None else {"expires": [field, after_s]}
    device.write((collection, body), collection="_ttl", replace=True)
    device.sync()


def entries(lab: Lab) -> list[Any]:
    """List the entries of what expires on the server: (moment in ms, key)."""
    return [key[1:] for key, _ in lab.server.rows("expiry")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2027-01-15T08:00:00Z", START_MS),
        ("2027-01-15T09:30:00.5+01:30", START_MS + 500),
        (START_MS, START_MS),
        (START_MS // 1000, START_MS),
        (START_MS / 1000 + 0.25, START_MS + 250),
        (0, 0),
        (-5, -5000),
        ("2027-01-15", None),
        ("2027-01-15T08:00:00", None),
        ("soon", None),
        (True, None),
        (None, None),
        ([START_MS], None),
        ({"at": START_MS}, None),
    ],
)
def test_a_moment_is_a_time_with_a_zone_or_a_number(value: Any, expected: int | None):
    assert moment_of({"a": {"at": value}}, "a.at") == expected
    assert moment_of({"a": value}, "a") == expected
    assert moment_of({"b": value}, "a") is None


def test_what_expires_is_deleted_for_everybody():
    lab = Lab()
    a, b = lab.replicas("a b")
    set_ttl(a, "at")
    a.save("old", {"at": lab.now_ms})
    a.save("young", {"at": lab.now_ms + 60_000})
    a.save("never", {"n": 1})
    lab.settle(a, b)
    lab.pass_days(HOUR_S / 86_400)
    assert lab.tend().expired == 1
    gone = lab.document("old")
    assert gone["operation"] == "delete" and gone["version_vector"] == {a.id: 2, "server": 5, "upkeep": 5}
    assert lab.tend().expired == 0
    seen = agree(lab, a, b)
    assert sorted(seen) == ["never", "young"]
    assert a.ledger() == b.ledger() == []


def test_an_edit_of_an_expired_document_is_an_update_against_a_delete():
    for merging in (False, True):
        lab = Lab()
        a, b = lab.replicas("a b", merging=merging)
        set_ttl(a, "at")
        a.save("early", {"at": START_MS, "n": 1})
        a.save("late", {"at": START_MS, "n": 1})
        lab.settle(a, b)
        b.save("early", {"n": 2})
        lab.pass_days(1)
        assert lab.tend().expired == 2
        b.save("late", {"n": 2})
        seen = agree(lab, a, b)
        assert [entry.body for entry in b.ledger()] == [{"at": START_MS, "n": 2}, None]
        assert "early" not in seen and seen["late"]["n"] == 2
        lab.tend()
        assert "late" not in agree(lab, a, b)


def test_a_later_moment_postpones_and_none_prevents():
    lab = Lab()
    (a,) = lab.replicas("a")
    set_ttl(a, "at")
    for key in ("a", "b", "c"):
        a.save(key, {"at": lab.now_ms})
    a.sync()
    assert lab.tend().expired == 0
    assert len(entries(lab)) == 3
    a.save("a", {"at": lab.now_ms + HOUR_S * 1000})
    a.save("b", {"at": "later"})
    a.delete("c")
    a.sync()
    assert [key for _, key in entries(lab)] == ["a"]
    lab.pass_days(1.5 * HOUR_S / 86_400)
    assert lab.tend().expired == 0
    lab.pass_days(HOUR_S / 86_400)
    assert lab.tend().expired == 1
    assert entries(lab) == []


def test_a_setting_holds_for_what_was_there_before_it_and_in_small_steps():
    lab = Lab()
    (a,) = lab.replicas("a")
    a.write(*[(f"k{i}", {"at": i}) for i in range(2 * STEP + 1)])
    a.write(("k", {"at": 1}), collection="others")
    a.sync()
    set_ttl(a, "at")
    sizes: list[int] = []

    def note() -> str:
        sizes.append(len({key for space, key, _ in lab.server.changes if space in ("docs", "moments")}))
        return ""

    lab.server.on_commit = note
    assert lab.tend().expired == 2 * STEP + 1
    assert max(sizes) <= 2 * STEP and len(sizes) >= 6
    assert lab.body("k", "others") == {"at": 1}


def test_another_setting_takes_the_place_of_the_first_and_none_ends_it():
    lab = Lab()
    (a,) = lab.replicas("a")
    a.write(*[(f"k{i}", {"at": i, "then": lab.now_ms}) for i in range(STEP + 1)])
    set_ttl(a, "at", 10**10)
    lab.tend()
    assert len(entries(lab)) == STEP + 1
    set_ttl(a, "then", 10**10)
    a.save("k0", {"at": 5})
    a.sync()
    lab.tend()
    assert len(entries(lab)) == STEP + 1
    assert {moment for moment, _ in entries(lab)} == {START_MS}
    set_ttl(a, None)
    a.save("k1", {"then": 1})
    a.sync()
    lab.tend()
    assert entries(lab) == lab.server.rows("moments") == lab.server.rows("ttl") == []


def test_a_shorter_time_needs_no_new_entries():
    lab = Lab()
    (a,) = lab.replicas("a")
    a.save("k", {"at": lab.now_ms})
    set_ttl(a, "at", 10**9)
    assert lab.tend().expired == 0
    set_ttl(a, "at", 0)
    assert lab.tend().expired == 1


@pytest.mark.parametrize(
    "body", [{}, {"expires": [1, 1]}, {"expires": ["at"]}, {"expires": ["at", -1]}, {"expires": 1}]
)
def test_what_is_no_setting_lets_nothing_expire(body: Body):
    lab = Lab()
    (a,) = lab.replicas("a")
    a.save("k", {"at": 0})
    a.write(("notes", body), collection="_ttl")
    a.sync()
    assert lab.tend().expired == 0
    assert lab.server.rows("ttl") == []


def test_without_settings_upkeep_writes_nothing_and_neither_does_it_with_nothing_due():
    lab = Lab()
    (a,) = lab.replicas("a")
    a.save("k", {"at": lab.now_ms})
    a.sync()
    commits = lab.server.commits
    lab.tend()
    assert lab.server.commits == commits
    set_ttl(a, "at")
    lab.tend()
    commits = lab.server.commits
    lab.tend()
    assert lab.server.commits == commits


def test_an_expired_document_that_is_restored_by_another_hub_is_the_same_delete():
    """A server that was restored and one that was not make the same change, with the same op id."""
    lab = Lab()
    (a,) = lab.replicas("a")
    set_ttl(a, "at")
    a.save("k", {"at": lab.now_ms})
    a.sync()
    lab.pass_days(1)
    before = lab.server.snapshot()
    lab.tend()
    first = lab.document("k")["op_id"]
    lab.server.restore(before)
    lab.tend()
    assert lab.document("k")["op_id"] == first


@pytest.mark.parametrize("seed", range(10))
def test_the_entries_are_those_of_the_documents_whatever_happens(seed: int):
    rng = Random(seed)
    lab = Lab(seed=seed)
    devices = lab.replicas("a b", merging=True)
    field: str | None = None
    after_s = 0
    for _ in range(80):
        device = rng.choice(devices)
        key = f"k{rng.randrange(12)}"
        match rng.randrange(8):
            case 0:
                field, after_s = rng.choice([(None, 0), ("at", 100), ("at", 5000), ("then", 100)])
                lab.settle(*devices)
                set_ttl(device, field, after_s)
                lab.settle(*devices)
            case 1:
                device.delete(key)
            case 2:
                lab.now_ms += rng.randrange(200_000)
                lab.tend()
            case 3:
                device.sync()
            case _:
                moment = lab.now_ms - rng.randrange(300_000)
                device.save(key, {rng.choice(["at", "then"]): rng.choice([moment, "none", moment / 1000])})
    lab.settle(*devices)
    lab.tend()
    bodies = {key[1]: lab.body(key[1]) for key, _ in lab.server.rows("docs") if key[0] == "notes"}
    moments = [(moment_of(body, field), key) for key, body in bodies.items()]
    expected = sorted((moment, key) for moment, key in moments if moment is not None)
    assert entries(lab) == expected
    assert all(moment + after_s * 1000 > lab.now_ms for moment, _ in expected)
    agree(lab, *devices)
