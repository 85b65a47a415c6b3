"""OxiGDAL's offline behaviours: the queue, trying again, merge strategies, optimistic updates, values by key."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from tests.seeds.bench import Bench, Clock, held, see, settle, synced, waiting

S = ps.ConflictStrategy


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until a condition holds; the test's own deadline ends it."""
    while not await condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


async def ids(device: ps.SyncManager, key: str = "k") -> list[str]:
    """Give the ids of what waits of a document."""
    return [change.change_id for change in await device.pending_changes(key=key)]


# The queue


async def test_what_is_written_offline_is_queued_and_goes_out_in_its_order(bench: Bench):
    device = await bench.device()
    for key in ("c", "a", "b"):
        await device.save_document("notes", key, {})
    await synced(device)
    assert bench.cables[device].keys == ["c", "a", "b"]


async def test_the_queue_survives_a_restart_in_its_order(lasting: Bench):
    device = await lasting.device("phone")
    for key in ("c", "a", "b"):
        await device.save_document("notes", key, {"of": key})
    before = await device.pending_changes()
    await device.close()
    again = await lasting.device("phone")
    assert await again.pending_changes() == before
    await synced(again)
    assert lasting.cables[again].keys == ["c", "a", "b"] and await waiting(again) == []


async def test_a_full_queue_refuses_a_write_as_a_whole_and_keeps_what_it_has(bench: Bench):
    device = await bench.device(outbox=ps.Bounds(changes=3))
    await device.save_documents("notes", {"a": {}, "b": {}})
    with pytest.raises(ps.OutboxFull, match="3 changes"):
        await device.save_documents("notes", {"c": {}, "d": {}})
    assert list(await held(device)) == ["a", "b"] and len(await waiting(device)) == 2
    await device.save_document("notes", "c", {})


async def test_a_full_queue_takes_writes_again_once_it_was_sent(bench: Bench):
    device = await bench.device(outbox=ps.Bounds(changes=1))
    await device.save_document("notes", "a", {})
    with pytest.raises(ps.OutboxFull):
        await device.save_document("notes", "b", {})
    await synced(device)
    await device.save_document("notes", "b", {})
    assert await waiting(device) == [("insert", "b")]


async def test_a_queue_is_bounded_in_bytes_too(bench: Bench):
    device = await bench.device(outbox=ps.Bounds(bytes=5000))
    await device.save_document("notes", "a", {"t": "x" * 3000})
    with pytest.raises(ps.OutboxFull, match="bytes"):
        await device.save_document("notes", "b", {"t": "x" * 3000})
    assert await see(device, "b") is None


async def test_many_writes_of_one_record_take_one_place(bench: Bench):
    device = await bench.device(outbox=ps.Bounds(changes=1))
    for n in range(100):
        await device.save_document("notes", "k", {"n": n})
    assert await waiting(device) == [("insert", "k")]
    await synced(device)
    assert [change["document"] for change in bench.cables[device].changes] == [{"n": 99}]


async def test_a_record_that_was_written_and_removed_again_before_a_sync_is_not_sent(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await device.delete_document("notes", "k")
    await synced(device)
    assert bench.cables[device].changes == [] and await waiting(device) == []


async def test_a_higher_priority_goes_out_first_and_equal_ones_in_their_order(bench: Bench):
    device = await bench.device()
    for key, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 9), ("e", 5)):
        await device.save_document("notes", key, {}, priority=priority)
    await synced(device)
    assert bench.cables[device].keys == ["d", "b", "e", "a", "c"]


async def test_a_priority_overtakes_no_earlier_change_of_its_own_record(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"n": 1})
    await one.save_document("notes", "other", {})
    await one.save_document("notes", "k", {"n": 2}, priority=9)
    await synced(one, two)
    assert await see(two) == {"n": 2}
    mine = [change for change in bench.cables[one].changes if change["key"] == "k"]
    assert [change["operation"] for change in mine] == ["insert", "update"]


async def test_a_request_that_was_not_answered_goes_out_again_as_it_was(bench: Bench):
    one, two = await bench.devices()
    cable = bench.cables[one]
    await one.save_document("notes", "k", {"n": 1})
    cable.loses_answers = True
    await one.sync_now()
    await one.save_document("notes", "k", {"n": 2})
    cable.loses_answers = False
    await synced(one, two)
    first, again, *_ = cable.requests
    assert first["changes"] == again["changes"] and first["request_id"] == again["request_id"]
    assert await see(two) == {"n": 2}
    assert (await two.get_document("notes", "k"))["_version"][one.store.replica_id] == 2


async def test_the_status_tells_how_much_waits_and_for_how_long(bench: Bench, clock: Clock):
    device = await bench.device()
    await device.save_document("notes", "a", {})
    clock.forward(30)
    await device.save_document("notes", "b", {})
    status = await device.status()
    assert status.pending == 2 and 30 <= status.oldest_pending_age_s < 31
    await synced(device)
    status = await device.status()
    assert (status.pending, status.oldest_pending_age_s) == (0, None)


async def test_what_waited_too_long_leaves_the_queue_for_the_ledger_and_holds_up_nothing(
    bench: Bench, clock: Clock
):
    device = await bench.device(max_age_s=3600)
    await device.save_document("notes", "old", {"n": 1})
    clock.forward(3700)
    await device.save_document("notes", "new", {"n": 2})
    await synced(device)
    assert bench.cables[device].keys == ["new"] and await waiting(device) == []
    (entry,) = await device.ledger.list(kind="expired")
    assert (entry.key, entry.body) == ("old", {"n": 1})


async def test_what_the_server_refuses_goes_to_the_ledger_and_may_be_restored(bench: Bench):
    bench.refuses = lambda body: True
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await device.sync_now()
    assert await see(device) is None and await waiting(device) == []
    bench.refuses = lambda body: False
    (entry,) = await device.ledger.list(kind="rejected")
    await device.ledger.restore(entry.id)
    assert (await synced(device))[0].pushed == 1 and await see(device) == {"n": 1}


# Trying again


def test_every_wait_lies_between_nothing_and_the_longest_one_of_its_attempt():
    policy = ps.RetryPolicy(base_s=0.5, cap_s=20)
    rng = random.Random(7)
    for attempt in range(1, 12):
        waits = [policy.delay_s(attempt, rng) for _ in range(200)]
        longest = min(20, 0.5 * 2 ** (attempt - 1))
        assert 0 <= min(waits) < longest * 0.1 and longest * 0.9 < max(waits) <= longest


async def test_without_valid_credentials_nothing_is_tried_and_nothing_is_lost(bench: Bench):
    device = await bench.device()
    cable = bench.cables[device]
    cable.error = ps.Unauthorized("expired")
    await device.save_document("notes", "k", {})
    await device.sync_now()
    status = await device.status()
    assert (status.blocked_by, status.next_retry_s, status.pending) == ("unauthorized", None, 1)
    cable.error = None
    device.resume_sync()
    assert (await synced(device))[0].pushed == 1


async def test_what_fails_is_tried_again_by_itself_until_it_goes_well(bench: Bench):
    device = await bench.device(auto_sync=True, retry=ps.RetryPolicy(base_s=0.001, cap_s=0.01))
    await eventually(lambda: state(device, "idle"))
    bench.cables[device].is_plugged = False
    failures: list[ps.SyncResult] = []
    device.on_after_sync(lambda result: failures.append(result) if not result.success else None)
    await device.save_document("notes", "k", {})
    await eventually(lambda: reached(failures, 3))
    bench.cables[device].is_plugged = True
    await eventually(lambda: nothing_waits(device))


async def test_when_the_network_is_back_the_queue_is_sent_by_itself(bench: Bench):
    device = await bench.device(auto_sync=True)
    await eventually(lambda: state(device, "idle"))
    device.set_online(False)
    await device.save_document("notes", "k", {})
    assert bench.cables[device].keys == [] and (await device.status()).state == "offline"
    device.set_online(True)
    await eventually(lambda: nothing_waits(device))
    assert bench.cables[device].keys == ["k"]


async def state(device: ps.SyncManager, word: str) -> bool:
    return (await device.status()).state == word


async def reached(heard: list[Any], count: int) -> bool:
    return len(heard) >= count


async def nothing_waits(device: ps.SyncManager) -> bool:
    return (await device.status()).pending == 0


# Merge strategies

BASE = {"name": "road", "lanes": 2, "tags": ["a"], "text": "one\ntwo\nthree\nfour"}


async def merged(
    bench: Bench, strategy: Any, mine: Any, theirs: Any, base: Any = BASE
) -> tuple[Any, ps.SyncManager]:
    """Give what both devices have after two edits at the same time, and the one that decided, whose edit is later."""
    other, device = await bench.device(), await bench.device(conflict_strategy=strategy)
    await other.save_document("notes", "k", base)
    await settle(other, device)
    for one, body in ((other, theirs), (device, mine)):
        await one.save_document("notes", "k", body, replace=True)
    await settle(other, device)
    assert await see(other) == await see(device)
    return await see(device), device


@pytest.mark.parametrize(
    ("strategy", "lanes"),
    [
        (S.LAST_WRITE_WINS, 8),
        (S.FIRST_WRITE_WINS, 444444),
        (S.LOCAL_WINS, 8),
        (S.REMOTE_WINS, 444444),
        (S.LARGER_WINS, 444444),
        (S.MERGE_FIELDS, 8),
        (S.CUSTOM(lambda conflict: {**conflict.base, "lanes": -1}), -1),
        (ps.ThreeWayMerge(S.REMOTE_WINS), 444444),
    ],
    ids=["last", "first", "local", "remote", "larger", "fields", "custom", "three ways, else remote"],
)
async def test_a_sync_decides_by_the_strategy_that_was_chosen(bench: Bench, strategy: Any, lanes: int):
    document, device = await merged(bench, strategy, {**BASE, "lanes": 8}, {**BASE, "lanes": 444444})
    assert document == {**BASE, "lanes": lanes}
    gone = {entry.body["lanes"] for entry in await device.ledger.list()}
    assert gone == {8, 444444} - {lanes}


async def test_a_three_way_merge_makes_what_each_side_did_and_loses_nothing(bench: Bench):
    mine = {"name": "street", "lanes": 2, "tags": ["a", "mine"], "text": "ONE\ntwo\nthree\nfour"}
    theirs = {"name": "road", "lanes": 4, "tags": ["theirs", "a"], "text": "one\ntwo\nthree\nFOUR"}
    document, device = await merged(bench, S.THREE_WAY_MERGE, mine, theirs)
    assert document == {
        "name": "street",
        "lanes": 4,
        "tags": ["theirs", "a", "mine"],
        "text": "ONE\ntwo\nthree\nFOUR",
    }
    assert await device.ledger.list() == [] and await device.conflicts() == []


async def test_a_three_way_merge_of_the_same_change_on_both_sides_is_that_change(bench: Bench):
    document, device = await merged(bench, S.THREE_WAY_MERGE, {"name": "street"}, {"name": "street"})
    assert document == {"name": "street"} and await device.ledger.list() == [] and await device.conflicts() == []


async def test_what_a_three_way_merge_can_not_decide_waits_with_both_sides_kept(bench: Bench):
    other, device = await bench.device(), await bench.device(conflict_strategy=S.THREE_WAY_MERGE)
    await other.save_document("notes", "k", BASE)
    await settle(other, device)
    await other.save_document("notes", "k", {"name": "theirs"})
    await device.save_document("notes", "k", {"name": "mine"})
    await synced(other, device)
    (conflict,) = await device.conflicts()
    assert (conflict.local["name"], conflict.remote["name"], conflict.clashes) == ("mine", "theirs", ("/name",))
    await device.resolve_conflict("notes", "k", ps.AcceptRemote())
    await settle(device, other)
    assert (await see(device))["name"] == "theirs"


async def test_edits_one_after_the_other_are_no_conflict_under_any_strategy(bench: Bench):
    asked: list[Any] = []
    for strategy in (*S, S.CUSTOM(asked.append)):
        one, two = await bench.devices(conflict_strategy=strategy)
        await settle(one, two)
        for n in range(3):
            for device in (one, two):
                await device.save_document("notes", "k", {"n": n})
                await settle(one, two)
        assert await two.conflicts() == await two.ledger.list() == await one.ledger.list() == asked == []


async def test_a_merge_may_take_its_time(bench: Bench):
    async def slowly(conflict: ps.Conflict) -> Any:
        await asyncio.sleep(0)
        return {"lanes": max(conflict.local["lanes"], conflict.remote["lanes"])}

    document, _ = await merged(bench, S.CUSTOM(slowly), {"lanes": 8}, {"lanes": 9})
    assert document == {"lanes": 9}


async def test_a_deletion_against_an_edit_is_decided_too_and_the_other_side_is_kept(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LOCAL_WINS)
    await one.save_document("notes", "k", {"n": 1})
    await settle(one, two)
    await one.save_document("notes", "k", {"n": 2})
    await two.delete_document("notes", "k")
    await settle(one, two)
    assert await see(one) is None and [entry.body for entry in await two.ledger.list()] == [{"n": 2}]


# Optimistic updates


async def test_a_write_is_read_at_once_whether_the_server_is_there_or_not(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    bench.cables[device].is_plugged = False
    await device.save_document("notes", "k", {"n": 2})
    assert await see(device) == {"n": 2}
    assert await device.query("FOR d IN notes RETURN d.n") == [2]


async def test_an_update_is_confirmed_when_the_server_has_it_and_not_before(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    waiter = asyncio.ensure_future(device.confirmed(*await ids(device)))
    bench.cables[device].is_plugged = False
    await device.sync_now()
    assert not waiter.done()
    bench.cables[device].is_plugged = True
    await synced(device)
    await waiter


async def test_a_rollback_shows_what_was_there_before_and_sends_nothing(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    sent = len(bench.cables[device].changes)
    await device.save_document("notes", "k", {"n": 2})
    (taken,) = await device.rollback(*await ids(device))
    assert (taken.key, taken.operation) == ("k", "update") and await see(device) == {"n": 1}
    await synced(device)
    assert len(bench.cables[device].changes) == sent


async def test_a_rollback_of_a_new_record_leaves_none(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await device.rollback(*await ids(device))
    assert await see(device) is None and await waiting(device) == [] and await device.list_collections() == []


async def test_a_rollback_of_a_deletion_brings_the_record_back(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    await device.delete_document("notes", "k")
    await device.rollback(*await ids(device))
    assert await see(device) == {"n": 1} and await waiting(device) == []


async def test_a_rollback_of_one_record_leaves_the_updates_of_others(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {"n": 1}, "b": {"n": 1}})
    await one.rollback(*await ids(one, "a"))
    await synced(one, two)
    assert await held(two) == {"b": {"n": 1}}


async def test_a_rollback_is_possible_after_a_restart(lasting: Bench):
    device = await lasting.device("phone")
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    await device.save_document("notes", "k", {"n": 2})
    (change,) = await ids(device)
    await device.close()
    again = await lasting.device("phone")
    await again.rollback(change)
    assert await see(again) == {"n": 1}
    (entry,) = await again.ledger.list(kind="rolled_back")
    assert entry.body == {"n": 2}


async def test_an_update_that_the_server_refuses_is_taken_back_and_who_waits_for_it_hears_why(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    bench.refuses = lambda body: body.get("n") == 2
    await device.save_document("notes", "k", {"n": 2})
    waiter = asyncio.ensure_future(device.confirmed(*await ids(device)))
    heard: list[tuple[str, Any]] = []
    device.on_change(lambda change: heard.append((change.reason, change.document and change.document["n"])))
    await device.sync_now()
    with pytest.raises(ps.ChangeRejected, match="this may not be"):
        await waiter
    assert await see(device) == {"n": 1} and ("rejected", 1) in heard


async def test_what_the_server_may_have_already_is_not_rolled_back(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"n": 1})
    bench.cables[device].loses_answers = True
    await device.sync_now()
    with pytest.raises(ps.ChangeInFlight):
        await device.rollback(*await ids(device))
    assert await see(device) == {"n": 1}


async def test_news_from_elsewhere_lie_under_an_update_that_waits(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 0, "b": 0})
    await settle(one, two)
    await two.save_document("notes", "k", {"b": 2})
    await one.save_document("notes", "k", {"a": 1})
    await synced(two)
    await one.sync_where(lambda *_: False)
    assert await see(one) == {"a": 1, "b": 2} and await waiting(one) == [("update", "k")]
    await one.rollback(*await ids(one))
    assert await see(one) == {"a": 0, "b": 2}


async def test_settings_become_json_and_come_back():
    settings = ps.SyncConfig(
        conflict_strategy=S.THREE_WAY_MERGE,
        outbox=ps.Bounds(changes=1000),
        retry=ps.RetryPolicy(base_s=2),
        max_retries=5,
    )
    assert ps.SyncConfig.from_json(json.loads(json.dumps(settings.to_json()))) == settings


# Binary values by key


EVERY_BYTE = bytes(range(256))


async def test_a_value_is_read_as_it_was_written_and_queued(bench: Bench):
    device = await bench.device()
    tiles = device.bucket("tiles")
    for key, value in (("a", b"value1"), ("all bytes", EVERY_BYTE), ("empty", b"")):
        await tiles.write(key, value)
        assert await tiles.read(key) == value
    assert (await device.status()).pending > 0


async def test_values_are_on_every_device_after_a_sync(bench: Bench):
    one, two = await bench.devices()
    await one.bucket("tiles").write("k", EVERY_BYTE * 10)
    await settle(one, two)
    assert await two.bucket("tiles").read("k") == EVERY_BYTE * 10 and await waiting(one) == []


async def test_a_value_that_is_written_again_replaces_the_one_before_everywhere(bench: Bench):
    one, two = await bench.devices()
    await one.bucket("tiles").write("k", b"before")
    await settle(one, two)
    await two.bucket("tiles").write("k", b"after")
    await settle(two, one)
    assert await one.bucket("tiles").read("k") == b"after"


async def test_a_key_without_a_value_says_so(bench: Bench):
    tiles = (await bench.device()).bucket("tiles")
    with pytest.raises(KeyError):
        await tiles.read("nothing")
    assert await tiles.info("nothing") is None and not await tiles.delete("nothing")


async def test_a_deleted_value_is_gone_everywhere(bench: Bench):
    one, two = await bench.devices()
    await one.bucket("tiles").write("a", b"1")
    await one.bucket("tiles").write("b", b"2")
    await settle(one, two)
    assert await two.bucket("tiles").delete("a")
    await settle(two, one)
    assert await one.bucket("tiles").keys() == ["b"]
    with pytest.raises(KeyError):
        await one.bucket("tiles").read("a")


async def test_keys_are_listed_in_their_order_also_by_what_they_begin_with(bench: Bench):
    device = await bench.device()
    tiles = device.bucket("tiles")
    for key in ("z12/b", "z12/a", "z13/a"):
        await tiles.write(key, b"")
    assert await tiles.keys() == ["z12/a", "z12/b", "z13/a"] and await tiles.keys("z12/") == ["z12/a", "z12/b"]
    assert await device.bucket("others").keys() == []


async def test_values_written_offline_survive_a_restart_and_are_sent_then(lasting: Bench):
    device = await lasting.device("phone")
    await device.bucket("tiles").write("k", EVERY_BYTE)
    await device.close()
    again, other = await lasting.device("phone"), await lasting.device("tablet")
    assert await again.bucket("tiles").read("k") == EVERY_BYTE
    await settle(again, other)
    assert await other.bucket("tiles").read("k") == EVERY_BYTE


async def test_a_large_value_travels_in_pieces_and_comes_whole(bench: Bench):
    one, two = await bench.devices()
    value = random.Random(5).randbytes(700_000)
    entry = await one.bucket("tiles").write("k", value)
    await settle(one, two)
    assert entry.size == 700_000 and entry.chunks > 1
    parts = [part async for part in two.bucket("tiles").open("k")]
    assert len(parts) == entry.chunks and b"".join(parts) == value
