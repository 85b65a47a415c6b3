"""The outbox: in which order changes wait, what joins what, and how much may wait."""

from __future__ import annotations

import pytest

from pysync_web.core.outbox import BLOCK_CHANGES, Bounds, Counters
from pysync_web.errors import OutboxFull
from pysync_web.values import dumps, loads
from tests.simulator.lab import Lab


def counters(device):
    """Give what a replica counts."""
    return loads(device.storage.text("meta", ("counters",)))


def test_what_is_counted_reads_back_and_has_the_canonical_text():
    numbers = range(1, 9)
    made = Counters("ab" * 16, "2026-11-21T07:49:30.12300000Z", *numbers)
    assert Counters(**loads(made.text())) == made
    assert dumps(loads(made.text())) == made.text()


def test_changes_wait_in_the_order_in_which_they_were_made():
    a = Lab().replica()
    for key in ("b", "a", "c"):
        a.save(key, {"x": 1})
    assert [key for _, key, _ in a.pending()] == ["b", "a", "c"]


def test_edits_in_the_open_block_become_one_change():
    a = Lab().replica()
    a.save("k", {"x": 1})
    a.save("other", {"x": 1})
    a.save("k", {"x": 2})
    assert a.pending() == [("notes", "k", "insert"), ("notes", "other", "insert")]


def test_an_edit_during_an_exchange_stays_a_change_of_its_own():
    lab = Lab()
    a = lab.replica()
    a.save("k", {"x": 1})
    a.request()
    a.save("k", {"x": 2})
    assert [operation for _, _, operation in a.pending()] == ["insert", "update"]
    a.exchange()
    assert a.pending() == [("notes", "k", "update")] and a.see("k") == {"x": 2}


def test_a_document_that_was_made_and_deleted_before_it_was_sent_leaves_nothing():
    a = Lab().replica()
    a.save("k", {"x": 1})
    a.delete("k")
    assert a.pending() == [] and a.storage.text("docs", ("notes", "k")) is None
    assert counters(a)["pending"] == counters(a)["pending_bytes"] == 0


def test_a_block_ends_with_its_hundredth_change():
    a = Lab().replica()
    a.write(*((f"k{i}", {"x": i}) for i in range(BLOCK_CHANGES + 1)))
    assert [loads(text)["k"] for _, text in a.storage.rows("outbox")] == [1, BLOCK_CHANGES + 1]


def test_a_transaction_lies_in_one_block():
    a = Lab().replica()
    a.write(*((f"k{i}", {"x": i}) for i in range(BLOCK_CHANGES - 1)))
    a.write(("one", {"x": 1}), ("two", {"x": 1}), is_atomic=True)
    last = loads(a.storage.rows("outbox")[-1][1])
    assert [name[1] for name in last["d"]] == ["one", "two"]


@pytest.mark.parametrize("bounds", [Bounds(changes=2), Bounds(bytes=20)], ids=["changes", "bytes"])
def test_a_write_over_the_bounds_is_refused_as_a_whole(bounds):
    a = Lab().replica(bounds=bounds)
    a.save("k", {"x": 1})
    before = a.storage.snapshot()
    with pytest.raises(OutboxFull):
        a.write(("l", {"x": 1}), ("m", {"x": "a longer text"}))
    assert a.storage.snapshot() == before


def test_after_a_sync_there_is_room_again():
    lab = Lab()
    a = lab.replica(bounds=Bounds(changes=1))
    a.save("k", {"x": 1})
    a.sync()
    a.save("l", {"x": 1})
    assert len(a.pending()) == 1
