"""Changes that wait: awaited, taken back, sent by priority, and moved aside where they can't go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.outbox import Run, by_priority, numbered
from tests.pairs import Table, both_have, lost, put, see, settle
from tests.unit.test_strategies import BASE, ENGINES, S


@pytest.fixture(params=ENGINES)
async def table(request: Any, tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(request.param, tmp_path)
    yield made
    await made.close()


async def ids(device: ps.SyncManager, key: str = "k") -> list[str]:
    return [change.change_id for change in await device.pending_changes(key=key)]


async def test_the_changes_of_a_document_are_found_behind_many_of_others(table):
    mine = await table.open("mine")
    for i in range(5):
        await put(mine, BASE, f"k{i}")
    assert [change.key for change in await mine.pending_changes(1, key="k4")] == ["k4"]
    assert [change.key for change in await mine.pending_changes(2)] == ["k0", "k1"]
    assert await mine.pending_changes(collection="another") == []


async def test_confirmed_returns_when_the_server_has_the_change_and_not_before(table):
    mine = await table.open("mine")
    await put(mine, BASE)
    (change,) = await ids(mine)
    waiter = asyncio.ensure_future(mine.confirmed(change))
    await asyncio.sleep(0.02)
    assert not waiter.done()
    await mine.sync_now()
    await waiter
    await mine.confirmed(change)


async def test_confirmed_follows_a_change_that_a_conflict_made_anew(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.LOCAL_WINS)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    waiter = asyncio.ensure_future(mine.confirmed(*await ids(mine)))
    await other.sync_now()
    await mine.sync_now()
    await waiter


async def test_confirmed_raises_where_a_change_lost_a_conflict(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.REMOTE_WINS)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    (change,) = await ids(mine)
    waiter = asyncio.ensure_future(mine.confirmed(change))
    await other.sync_now()
    await mine.sync_now()
    for waiting in (waiter, mine.confirmed(change)):
        with pytest.raises(ps.ChangeRejected, match="lost: another change of the same document stands"):
            await waiting


async def test_a_rollback_takes_back_a_change_with_what_depends_on_it(table):
    mine = await table.open("mine")
    await put(mine, BASE)
    await put(mine, BASE, "bound")
    await mine.sync_now()
    await put(mine, {"x": 1}, "free")
    await put(mine, {"title": "first"})
    async with mine.transaction() as t:
        await t.save_document("notes", "k", {"title": "second"})
        await t.save_document("notes", "bound", {"title": "second"})
    await put(mine, {"title": "third"}, "bound")
    heard: list[tuple[str, str, str]] = []
    mine.on_change(lambda one: heard.append((one.change_type, one.key, one.reason)))
    first = (await ids(mine))[0]
    waiter = asyncio.ensure_future(mine.confirmed((await ids(mine))[1]))
    await asyncio.sleep(0)
    taken = await mine.rollback(first)
    assert [one.key for one in taken] == ["k", "k", "bound", "bound"] and taken[0].change_id == first
    assert await see(mine) == await see(mine, "bound") == BASE and await see(mine, "free") == {"x": 1}
    assert sorted(heard) == [("LocalUpdate", "bound", "rolled_back"), ("LocalUpdate", "k", "rolled_back")]
    with pytest.raises(ps.ChangeRejected, match="rolled_back"):
        await waiter
    assert (await mine.status()).pending == 1 and (await mine.sync_now()).pushed == 1
    assert [entry.kind for entry in await mine.ledger.list()] == ["rolled_back"] * 4
    assert await mine.rollback(first) == []


async def test_a_rollback_of_an_insert_leaves_no_document_and_counts_right(table):
    mine = await table.open("mine")
    await put(mine, BASE)
    await mine.rollback(*await ids(mine))
    assert await see(mine) is None and await mine.list_collections() == []
    status = await mine.status()
    assert (status.pending, (await mine.sync_now()).pushed) == (0, 0)


async def test_what_was_sent_and_not_answered_is_not_taken_back(table):
    mine = await table.open("mine")
    await put(mine, BASE)
    table.cables["mine"].is_plugged = False
    await mine.sync_now()
    with pytest.raises(ps.ChangeInFlight):
        await mine.rollback(*await ids(mine))
    assert await see(mine) == BASE


async def test_rolling_back_the_local_side_of_a_conflict_ends_it(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.MANUAL)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    await mine.sync_now()
    assert len(await mine.conflicts()) == 1
    await mine.rollback(*await ids(mine))
    assert await mine.conflicts() == [] and await see(mine) == {"title": "theirs"}
    await settle(mine, other)


# Priority


def sent_keys(table: Table, name: str = "mine") -> list[str]:
    return [change["key"] for body in table.cables[name].requests for change in json.loads(body)["changes"]]


async def test_a_higher_priority_is_sent_first_and_equal_ones_in_their_order(table):
    mine = await table.open("mine", batch_size=1)
    for key, priority in (("a", 0), ("b", 0), ("c", 5), ("d", 9), ("e", 5), ("f", 0)):
        await put(mine, {"x": 1}, key, priority=priority)
    await mine.sync_now()
    assert sent_keys(table) == ["d", "c", "e", "a", "b", "f"]
    assert (await mine.status()).pending == 0


async def test_before_a_priority_go_the_earlier_changes_of_its_document(table):
    mine = await table.open("mine", batch_size=2)
    for key, priority in (("a", 0), ("b", 0), ("a", 5), ("c", 0)):
        await put(mine, {"x": len(await mine.pending_changes())}, key, priority=priority)
    await mine.sync_now()
    assert sent_keys(table) == ["a", "b", "a", "c"]


async def test_a_priority_survives_a_restart_and_a_block_is_not_mixed(table):
    mine = await table.open("mine")
    await put(mine, {"x": 1}, "a")
    await put(mine, {"x": 1}, "b", priority=1)
    await put(mine, {"x": 2}, "a")
    await mine.close()
    mine = await table.open("mine", batch_size=1)
    await mine.sync_now()
    assert sent_keys(table) == ["b", "a", "a"]


async def test_a_transaction_with_a_priority_goes_first_and_whole(table):
    mine = await table.open("mine", batch_size=1)
    await put(mine, {"x": 1}, "a")
    async with mine.transaction(priority=3) as t:
        await t.save_document("notes", "b", {"x": 1})
        await t.save_document("notes", "c", {"x": 1})
    await mine.sync_now()
    assert sent_keys(table) == ["b", "c", "a"]


@pytest.mark.parametrize("priority", [-1, 101, 1.5, True])
async def test_a_priority_out_of_range_is_refused(table, priority):
    mine = await table.open("mine")
    with pytest.raises(ps.InvalidDocument, match="from 0 to 100"):
        await put(mine, BASE, priority=priority)


def test_blocks_that_a_block_depends_on_go_before_it_in_their_order():
    a, b, c = ("n", "a"), ("n", "b"), ("n", "c")
    runs = [Run(1, 1, (a,), 1), Run(2, 2, (b,), 1), Run(3, 3, (a, c), 1), Run(5, 5, (c,), 1, 7)]
    assert [n for _, n in numbered(by_priority(runs))] == [1, 3, 4, 5, 2]


# What can't go on


async def test_a_change_that_waited_too_long_moves_to_the_ledger_and_blocks_nothing(table):
    mine = await table.open("mine")
    await put(mine, {"x": 1}, "old")
    (change,) = await ids(mine, "old")
    await asyncio.sleep(0.2)
    await mine.close()
    mine = await table.open("mine", max_age_s=0.15)
    heard: list[tuple[str, str, str]] = []
    mine.on_change(lambda one: heard.append((one.change_type, one.key, one.reason)))
    await put(mine, {"x": 2}, "new")
    result = await mine.sync_now()
    assert (result.pushed, sent_keys(table)) == (1, ["new"])
    assert ("LocalDelete", "old", "expired") in heard
    (entry,) = await mine.ledger.list(kind="expired")
    assert (entry.body, entry.code, entry.op_id) == ({"x": 1}, "too_old", change)
    await mine.ledger.restore(entry.id)
    assert (await mine.sync_now()).pushed == 1


async def test_a_change_that_the_server_can_not_read_is_left_out_and_at_last_quarantined(table):
    mine = await table.open("mine", max_retries=2)
    cable = table.cables["mine"]
    cable.refuses = lambda body: "poison" in body
    for i in range(20):
        await put(mine, {"x": i}, f"k{i}")
    await put(mine, {"x": "poison"}, "bad")
    await put(mine, {"x": "after"}, "bad", priority=1)
    await put(mine, {"x": 1}, "later")
    first = await mine.sync_now()
    assert (first.success, first.pushed) == (False, 21) and "can't be read" in first.errors[0]
    assert (await mine.status()).pending == 2 and await see(mine, "bad") == {"x": "after"}
    await mine.sync_now()
    assert await mine.ledger.list() == []
    await mine.sync_now()
    gone = {(entry.kind, entry.code, entry.body["x"]) for entry in await mine.ledger.list()}
    assert gone == {("quarantined", "refused", "poison"), ("quarantined", "dependent", "after")}
    assert await see(mine, "bad") is None
    assert (await mine.status()).pending == 0 and (await mine.sync_now()).success


async def test_a_server_that_refuses_everything_takes_nothing_from_the_outbox(table):
    mine = await table.open("mine", max_retries=0)
    table.cables["mine"].refuses = lambda body: True
    for i in range(30):
        await put(mine, {"x": i}, f"k{i}")
    for _ in range(4):
        assert not (await mine.sync_now()).success
    assert (await mine.status()).pending == 30 and await lost(mine) == []
    table.cables["mine"].refuses = lambda body: False
    assert (await mine.sync_now()).pushed == 30


async def test_bounds_come_as_presets(table):
    assert ps.Bounds.MOBILE.changes < ps.Bounds.DEFAULT.changes < ps.Bounds.DESKTOP.changes
    mine = await table.open("mine", outbox=ps.Bounds(changes=1))
    await put(mine, BASE)
    with pytest.raises(ps.OutboxFull):
        await put(mine, BASE, "k2")
