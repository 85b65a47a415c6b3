"""Storex's behaviours: a log of every write, a log that all share, reconciling, batches, device to device."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from typing import Any

import pytest

import pysync_web as ps
from tests.seeds.bench import Bench, Cable, Clock, held, see, settle, synced, waiting

S = ps.ConflictStrategy
BOTH_ORDERS = [(0, 1), (1, 0)]


async def every_lost(*devices: ps.SyncManager) -> list[Any]:
    """Give the bodies in all ledgers."""
    return [entry.body for device in devices for entry in await device.lost_changes()]


# The log of a device


async def test_each_write_is_logged_with_what_it_did_when_and_to_which_record(bench: Bench):
    device = await bench.device()
    await device.save_documents("notes", {"b": {"n": 1}, "c": {"n": 1}})
    await synced(device)
    await device.save_document("notes", "a", {"n": 1})
    await device.save_document("notes", "b", {"n": 2})
    await device.delete_document("notes", "c")
    log = await device.pending_changes()
    assert [(one.operation, one.key) for one in log] == [("insert", "a"), ("update", "b"), ("delete", "c")]
    assert [one.timestamp for one in log] == sorted({one.timestamp for one in log})
    assert len({one.change_id for one in log}) == 3


async def test_a_record_and_its_entry_in_the_log_are_written_together_or_not_at_all(bench: Bench):
    device = await bench.device(outbox=ps.Bounds(changes=1))
    await device.save_document("notes", "a", {"n": 1})
    for write in (
        lambda: device.save_document("notes", "b", {}),
        lambda: device.save_documents("notes", {"b": {}, "c": {}}),
    ):
        with pytest.raises(ps.OutboxFull):
            await write()
    assert await held(device) == {"a": {"n": 1}} and await waiting(device) == [("insert", "a")]


async def test_a_batch_of_writes_is_logged_as_one_and_applied_as_one_elsewhere(bench: Bench):
    one, two = await bench.devices()
    async with one.transaction() as batch:
        await batch.save_document("notes", "a", {})
        await batch.save_document("todos", "b", {})
    await synced(one, two)
    first, second = bench.cables[one].changes
    assert first["transaction"] == second["transaction"]
    assert await two.list_collections() == ["notes", "todos"]


async def test_a_batch_that_fails_leaves_neither_records_nor_entries(bench: Bench):
    device = await bench.device()
    with pytest.raises(ps.InvalidDocument):
        async with device.transaction() as batch:
            await batch.save_document("notes", "a", {})
            await batch.save_document("notes", "b", {"n": float("nan")})
    assert await held(device) == {} and await waiting(device) == []


async def test_the_log_survives_a_restart(lasting: Bench):
    device = await lasting.device("shop")
    await device.save_documents("notes", {"a": {"n": 1}, "b": {"n": 2}})
    await synced(device)
    await device.delete_document("notes", "a")
    await device.save_document("notes", "b", {"n": 3})
    before = await device.pending_changes()
    await device.close()
    again = await lasting.device("shop")
    assert await again.pending_changes() == before != []


async def test_what_came_from_elsewhere_is_not_logged_as_a_write_of_this_device(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {"n": 1}, "b": {}})
    await synced(one, two)
    await one.save_document("notes", "a", {"n": 2})
    await one.delete_document("notes", "b")
    await synced(one, two)
    assert await held(two) == {"a": {"n": 2}} and await waiting(two) == []


async def test_made_keys_never_meet_those_of_another_device_and_sort_by_their_time(bench: Bench):
    devices = await bench.devices(3)
    keys = []
    for _ in range(30):
        keys += [(await device.save_document("notes", None, {}))["_key"] for device in devices]
    assert len(set(keys)) == 90 and keys == sorted(keys)
    await settle(*devices)
    assert [list(await held(device)) for device in devices] == [keys] * 3


# The log that all share


async def test_a_device_gets_only_what_it_has_not_had(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {}, "b": {}})
    await synced(one, two)
    await one.save_document("notes", "c", {})
    await synced(one)
    assert [result.pulled for result in await synced(two, two)] == [1, 0]


async def test_a_device_does_not_get_back_what_it_sent(bench: Bench):
    device = await bench.device()
    await device.save_documents("notes", {"a": {}, "b": {}})
    assert [(result.pushed, result.pulled) for result in await synced(device, device)] == [(2, 0), (0, 0)]


async def test_a_device_that_joins_late_gets_what_there_is_and_nothing_of_what_is_gone(bench: Bench):
    one = await bench.device()
    await one.save_documents("notes", {"a": {"n": 1}, "b": {}})
    await synced(one)
    await one.save_document("notes", "a", {"n": 2})
    await one.delete_document("notes", "b")
    await synced(one)
    late = await bench.device()
    heard: list[tuple[str, str]] = []
    late.on_change(lambda change: heard.append((change.change_type, change.key)))
    await synced(late)
    assert await held(late) == {"a": {"n": 2}} and ("RemoteInsert", "b") not in heard


async def test_entries_that_are_sent_twice_count_once(bench: Bench):
    one, two = await bench.devices()
    cable = bench.cables[one]
    await one.save_document("notes", "k", {"n": 1})
    cable.loses_answers = True
    for _ in range(3):
        assert not (await one.sync_now()).success
    cable.loses_answers = False
    await synced(one, two)
    assert len(cable.changes) == 4
    assert (await two.get_document("notes", "k"))["_version"] == {one.store.replica_id: 1, "server": 1}


async def test_each_device_has_an_id_of_its_own_whatever_its_label_is(bench: Bench):
    ids = {(await bench.device(f"shop-{n}")).store.replica_id for n in range(5)}
    assert len(ids) == 5


async def test_the_writes_of_many_devices_reach_all(bench: Bench):
    devices = await bench.devices(5)
    for n, device in enumerate(devices):
        await device.save_document("notes", f"of {n}", {"n": n})
        await device.save_document("notes", "of all", {f"f{n}": n})
    await settle(*devices)
    everything = {f"of {n}": {"n": n} for n in range(5)} | {"of all": {f"f{n}": n for n in range(5)}}
    assert [await held(device) for device in devices] == [everything] * 5


# Reconciling


async def modify(device: ps.SyncManager, who: str) -> None:
    await device.save_document("notes", "k", {who: 1, "both": who})


async def delete(device: ps.SyncManager, who: str) -> None:
    await device.delete_document("notes", "k")


async def recreate(device: ps.SyncManager, who: str) -> None:
    await device.delete_document("notes", "k")
    await device.save_document("notes", "k", {"again": who})


@pytest.mark.parametrize(
    ("early", "late", "stands"),
    [
        (modify, modify, {"base": 1, "early": 1, "late": 1, "both": "late"}),
        (modify, delete, None),
        (delete, modify, {"base": 1, "late": 1, "both": "late"}),
        (delete, delete, None),
        (modify, recreate, {"again": "late"}),
        (delete, recreate, {"again": "late"}),
        (recreate, delete, None),
        (recreate, recreate, {"again": "late"}),
        (recreate, modify, {"again": "early", "late": 1, "both": "late"}),
    ],
)
async def test_two_writes_at_the_same_time_come_to_the_same_whichever_arrives_first(
    bench: Bench, early: Any, late: Any, stands: Any
):
    outcomes = []
    for order in BOTH_ORDERS:
        bench.hub = bench.new_hub()
        devices = await bench.devices(3)
        await devices[0].save_document("notes", "k", {"base": 1})
        await settle(*devices)
        await early(devices[0], "early")
        await late(devices[1], "late")
        await synced(*(devices[i] for i in order))
        await settle(*devices)
        found = [await see(device) for device in devices]
        assert found[0] == found[1] == found[2]
        outcomes.append(found[0])
    assert outcomes == [stands, stands]


@pytest.mark.parametrize("order", BOTH_ORDERS)
async def test_a_record_made_twice_is_one_record_and_holds_up_no_sync(bench: Bench, order: tuple[int, int]):
    devices = await bench.devices()
    await devices[0].save_document("notes", "k", {"of one": 1, "both": "one"})
    await devices[1].save_document("notes", "k", {"of two": 2, "both": "two"})
    await settle(*(devices[i] for i in order))
    assert [await see(device) for device in devices] == [{"of one": 1, "of two": 2, "both": "two"}] * 2
    assert await every_lost(*devices) == [{"both": "one"}]
    await devices[0].save_document("notes", "k", {"both": "again"})
    await devices[0].save_document("notes", "other", {})
    await settle(*devices)
    assert (await see(devices[1]))["both"] == "again" and await see(devices[1], "other") == {}


async def test_a_record_that_was_made_alike_twice_is_no_loss(bench: Bench):
    devices = await bench.devices()
    for device in devices:
        await device.save_document("notes", "k", {"n": 1})
    await settle(*devices)
    assert [await see(device) for device in devices] == [{"n": 1}] * 2 and await every_lost(*devices) == []


async def test_a_record_made_again_after_its_deletion_has_nothing_of_its_earlier_life(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"old": 1})
    await settle(one, two)
    await two.delete_document("notes", "k")
    await settle(two, one)
    await one.save_document("notes", "k", {"new": 1})
    await settle(one, two)
    assert await see(one) == await see(two) == {"new": 1} and await every_lost(one, two) == []


async def test_a_record_made_and_deleted_and_made_again_before_any_sync_is_what_it_was_last(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"first": 1})
    await one.delete_document("notes", "k")
    await one.save_document("notes", "k", {"second": 1})
    await settle(one, two)
    assert await see(two) == {"second": 1}


async def test_of_two_writes_at_the_very_same_time_one_wins_whichever_arrives_first(bench: Bench, clock: Clock):
    clock.is_still = True
    for order in BOTH_ORDERS:
        bench.hub = bench.new_hub()
        devices = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
        for n, device in enumerate(devices):
            await device.save_document("notes", "k", {"by": n})
        log = [(await device.pending_changes())[0] for device in devices]
        assert log[0].timestamp == log[1].timestamp
        winner = 0 if log[0].change_id > log[1].change_id else 1
        await settle(*(devices[i] for i in order))
        assert [await see(device) for device in devices] == [{"by": winner}] * 2
        assert await every_lost(*devices) == [{"by": 1 - winner}]


async def test_fields_written_at_the_very_same_time_come_to_the_same_whichever_arrives_first(
    bench: Bench, clock: Clock
):
    clock.is_still = True
    outcomes = []
    for order in BOTH_ORDERS:
        bench.hub = bench.new_hub()
        devices = await bench.devices()
        for n, device in enumerate(devices):
            await device.save_document("notes", "k", {"both": n, f"of {n}": n})
        await settle(*(devices[i] for i in order))
        outcomes += [await see(device) for device in devices]
    assert outcomes[0] in [{"both": n, "of 0": 0, "of 1": 1} for n in (0, 1)] and outcomes == [outcomes[0]] * 4


async def test_writes_of_one_device_at_the_very_same_time_keep_their_order(bench: Bench, clock: Clock):
    clock.is_still = True
    one, two = await bench.devices()
    for n in range(10):
        await one.save_document("notes", "k", {"n": n})
        await synced(one)
    await one.delete_document("notes", "gone")
    await synced(two)
    assert await see(two) == {"n": 9}


async def test_an_entry_that_arrives_late_does_not_overwrite_what_is_newer(bench: Bench):
    one, two, offline = await bench.devices(3)
    await one.save_document("notes", "k", {"a": 0, "b": 0})
    await settle(one, two, offline)
    await offline.save_document("notes", "k", {"a": "old", "b": "old"})
    await one.save_document("notes", "k", {"a": "new"})
    await settle(one, two)
    await settle(offline, one, two)
    assert [await see(device) for device in (one, two, offline)] == [{"a": "new", "b": "old"}] * 3
    assert await every_lost(one, two, offline) == [{"a": "old"}]


async def test_an_edit_that_arrives_after_a_later_deletion_is_kept_in_the_ledger(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"n": 0})
    await settle(one, two)
    await one.save_document("notes", "k", {"n": "early"})
    await two.delete_document("notes", "k")
    await settle(two, one)
    assert await see(one) is None and await see(two) is None
    assert [body["n"] for body in await every_lost(one, two)] == ["early"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_entries_come_to_the_same_in_whatever_order_they_arrive(bench: Bench, order: tuple[int, ...]):
    await bench.hub.open(random.SystemRandom())
    edits = [{"a": "first", "b": "first"}, {"b": "second", "c": "second"}, {"c": "third"}]
    for i in order:
        change = {"collection": "notes", "key": "k", "operation": "update", "delta": edits[i], "merge": "fields"}
        change |= {"timestamp": f"2024-01-15T10:30:0{i}Z", "op_id": f"op-{i}", "n": 1, "base_version": {}}
        request = {"database": "default", "client_id": f"client-{i}", "changes": [change]}
        await Cable(bench.hub).exchange("default", json.dumps(request))
    device = await bench.device()
    await synced(device)
    assert await see(device) == {"a": "first", "b": "second", "c": "third"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_three_writes_at_the_same_time_converge_and_nothing_is_lost_without_a_note(
    bench: Bench, order: tuple[int, ...]
):
    devices = await bench.devices(3)
    await devices[0].save_document("notes", "k", {"base": 1})
    await settle(*devices)
    await devices[0].save_document("notes", "k", {"one": "one"})
    await devices[1].delete_document("notes", "k")
    await devices[2].save_document("notes", "k", {"three": "three"})
    await synced(*(devices[i] for i in order))
    await settle(*devices)
    found = [await see(device) for device in devices]
    assert found[0] == found[1] == found[2]
    kept = json.dumps([found[0], await every_lost(*devices)])
    assert "three" in found[0] and '"one"' in kept


async def test_a_device_whose_clock_is_a_day_ahead_does_not_win_for_a_day(bench: Bench, clock: Clock):
    one, two = await bench.devices()
    clock.forward(86_400)
    await one.save_document("notes", "k", {"n": "ahead"})
    clock.forward(-86_400)
    await synced(one)
    clock.forward(600)
    await two.save_document("notes", "k", {"n": "honest"})
    await settle(two, one)
    assert await see(one) == await see(two) == {"n": "honest"}
    await one.save_document("notes", "k", {"n": "again"})
    await settle(one, two)
    assert await see(two) == {"n": "again"}


# Batches


@pytest.mark.parametrize(("size", "batches"), [(100, [100, 100, 50]), (60, [60, 60, 60, 60, 10]), (250, [250])])
async def test_a_log_is_sent_in_batches_of_the_chosen_size(bench: Bench, size: int, batches: list[int]):
    one, two = await bench.devices(batch_size=size)
    await one.save_documents("notes", {f"{i:03}": {"i": i} for i in range(240)})
    for i in range(240, 250):
        await one.save_document("notes", f"{i:03}", {"i": i})
    await synced(one, two)
    sent = [len(request["changes"]) for request in bench.cables[one].requests]
    assert sent == batches and len(await held(two)) == 250


async def test_what_was_written_as_one_is_not_divided_by_a_batch(bench: Bench):
    one, two = await bench.devices(batch_size=7)
    await one.save_documents("notes", {f"before {i}": {} for i in range(10)})
    async with one.transaction() as batch:
        for i in range(20):
            await batch.save_document("notes", f"together {i:02}", {})
    await one.save_documents("notes", {f"then {i}": {} for i in range(10)})
    await synced(one, two)
    sent = [{change["key"].split()[0] for change in request["changes"]} for request in bench.cables[one].requests]
    assert sent == [{"before"}, {"before"}, {"together"}, {"then"}, {"then"}]
    assert [len(request["changes"]) for request in bench.cables[one].requests] == [7, 3, 20, 7, 3]


async def test_a_shared_log_is_read_in_batches_of_the_chosen_size(bench: Bench):
    one, two = await bench.device(), await bench.device(page_size=40)
    await one.save_documents("notes", {f"{i:03}": {"i": i} for i in range(100)})
    assert [result.pulled for result in await synced(one, two)] == [0, 100]
    assert [request["limit"] for request in bench.cables[two].requests] == [40, 40, 40]


async def test_a_batch_is_bounded_in_bytes_too(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {str(i): {"t": "x" * 60_000} for i in range(30)})
    await synced(one, two)
    bodies = bench.cables[one].bodies
    assert len(bodies) >= 3 and max(map(len, bodies)) < 700_000 and len(await held(two)) == 30


async def test_a_batch_that_is_too_large_for_the_server_is_sent_in_smaller_ones(bench: Bench):
    one, two = await bench.devices()
    cable = bench.cables[one]
    exchange = cable.exchange

    async def narrow(database: str, body: str) -> str:
        if len(json.loads(body)["changes"]) > 20:
            raise ps.Rejected("too large", status=413)
        return await exchange(database, body)

    cable.exchange = narrow
    await one.save_documents("notes", {f"{i:03}": {"i": i} for i in range(90)})
    await synced(one, two)
    assert len(await held(two)) == 90 and max(len(request["changes"]) for request in cable.requests) <= 20


async def test_a_sync_that_breaks_between_two_batches_goes_on_where_it_was(bench: Bench):
    one, two = await bench.devices(batch_size=100)
    cable = bench.cables[one]
    await one.save_documents("notes", {f"{i:03}": {"i": i} for i in range(300)})

    async def pull_the_cable() -> None:
        cable.is_plugged = False

    cable.meanwhile = pull_the_cable
    result = await one.sync_now()
    assert not result.success and len(await waiting(one)) == 200
    cable.is_plugged = True
    await synced(one, two)
    assert cable.keys == [f"{i:03}" for i in range(300)] and len(await held(two)) == 300


# A store of one's own


async def logged(bench: Bench, store: Any = None, **config: Any) -> tuple[ps.LoggedStore, Any, ps.SyncManager]:
    """Give a store that logs, what it writes to, and the device whose log it is."""
    store = {} if store is None else store
    device = await bench.device(**config)
    return device.logged_store("notes", store), store, device


async def settle_stores(*stores: ps.LoggedStore) -> None:
    """Sync all stores until they have the same."""
    for store in (*stores, *stores):
        assert (await store.sync()).success


async def test_writes_to_a_store_of_one_s_own_are_made_there_and_logged(bench: Bench):
    store, mine, device = await logged(bench)
    for key in ("a", "b"):
        await store.put(key, {"n": 1})
    await store.sync()
    await store.put("a", {"n": 2})
    await store.delete("b")
    key = await store.put(None, {"n": 3})
    assert mine == {"a": {"n": 2}, key: {"n": 3}}
    assert await waiting(device) == [("update", "a"), ("delete", "b"), ("insert", key)]


async def test_keys_are_made_as_the_application_says(bench: Bench):
    numbers = itertools.count(1)
    store, _, device = await logged(bench, key_factory=lambda: f"shop-7/{next(numbers)}")
    assert [await store.put(None, {}), await store.put(None, {})] == ["shop-7/1", "shop-7/2"]
    assert (await device.save_document("notes", None, {}))["_key"] == "shop-7/3"


async def test_a_write_that_the_log_refuses_is_not_made_in_the_store(bench: Bench):
    store, mine, _ = await logged(bench, outbox=ps.Bounds(changes=1))
    await store.put("a", {"n": 1})
    with pytest.raises(ps.OutboxFull):
        await store.put("b", {"n": 1})
    assert mine == {"a": {"n": 1}}


async def test_writes_that_went_around_the_log_are_found_once(bench: Bench):
    one, mine, device = await logged(bench)
    two, theirs, _ = await logged(bench)
    await one.put("k", {"a": 1})
    await settle_stores(one, two)
    mine["k"]["a"] = 2
    mine["new"] = {}
    assert [await one.scan(), await one.scan()] == [2, 0] and len(await waiting(device)) == 2
    await settle_stores(one, two)
    assert theirs == mine == {"k": {"a": 2}, "new": {}}


async def test_receiving_sharing_and_integrating_are_stages_that_may_be_run_apart(bench: Bench):
    one, _, first = await logged(bench)
    two, theirs, second = await logged(bench)
    await one.put("of one", {})
    await two.put("of two", {})
    await one.share()
    assert await waiting(first) == []
    await two.receive()
    assert list(theirs) == ["of two"] and await waiting(second) == [("insert", "of two")]
    assert await two.integrate() == 1 and sorted(theirs) == ["of one", "of two"]
    assert await two.integrate() == 0


async def test_what_is_integrated_is_not_logged_again(bench: Bench):
    one, _, _ = await logged(bench)
    two, theirs, device = await logged(bench)
    await one.put("k", {"n": 1})
    await settle_stores(one, two)
    assert theirs == {"k": {"n": 1}} and await two.scan() == 0 and await waiting(device) == []


async def test_integrating_keeps_what_was_written_to_the_store_meanwhile(bench: Bench):
    one, mine, _ = await logged(bench)
    two, theirs, _ = await logged(bench)
    await one.put("k", {"a": 0, "b": 0})
    await settle_stores(one, two)
    await two.put("k", {"a": 0, "b": 2})
    await two.share()
    await one.receive()
    mine["k"] = {"a": 1, "b": 0}
    await one.integrate()
    await settle_stores(one, two)
    assert mine == theirs == {"k": {"a": 1, "b": 2}}


async def test_a_reconciler_of_one_s_own_decides_what_both_sides_wrote(bench: Bench):
    asked: list[Any] = []

    def most(conflict: ps.Conflict) -> Any:
        asked.append((conflict.local, conflict.remote))
        return ps.Merge({"n": max(conflict.local["n"], conflict.remote["n"])})

    stores, contents = [], []
    for _ in range(2):
        contents.append({})
        stores.append((await bench.device()).logged_store("notes", contents[-1], reconciler=most))
    await stores[0].put("k", {"n": 1})
    await settle_stores(*stores)
    await stores[0].put("k", {"n": 9})
    await stores[1].put("k", {"n": 4})
    await settle_stores(*stores)
    assert contents == [{"k": {"n": 9}}] * 2 and asked == [({"n": 4}, {"n": 9})]


async def test_a_record_made_in_two_stores_is_one_record_and_holds_up_nothing(bench: Bench):
    one, mine, _ = await logged(bench)
    two, theirs, _ = await logged(bench)
    await one.put("k", {"of one": 1, "both": 1})
    await two.put("k", {"of two": 2, "both": 2})
    await settle_stores(one, two)
    assert mine == theirs == {"k": {"of one": 1, "of two": 2, "both": 2}}
    await two.delete("k")
    await settle_stores(two, one)
    assert mine == theirs == {}


# Device to device


class Wire:
    """One end of a channel, which notes what is said and may break or fall silent."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.said: list[str] = []
        self.chunks = 0
        self.breaks_after: int | None = None  # chunks of documents
        self.is_mute_after: int | None = None

    async def send(self, text: str) -> None:
        kind = json.loads(text)["type"]
        if kind == "documents" and self.chunks == self.breaks_after:
            await self.inner.close()
        if kind == "documents" and self.chunks == self.is_mute_after:
            self.is_mute_after = -1
        if self.is_mute_after == -1:
            return
        await self.inner.send(text)
        self.said.append(kind)
        self.chunks += kind == "documents"

    async def receive(self) -> str:
        text: str = await self.inner.receive()
        return text

    async def close(self) -> None:
        await self.inner.close()


async def meet(one: ps.SyncManager, two: ps.SyncManager) -> tuple[ps.MeetingResult, ps.MeetingResult]:
    """Let two devices meet."""
    a, b = ps.channel_pair()
    return await asyncio.gather(one.sync_with(a), two.sync_with(b))


async def fill(device: ps.SyncManager, count: int) -> None:
    """Save documents of which each chunk has a few."""
    await device.save_documents("notes", {f"{i:03}": {"i": i, "t": "x" * 60_000} for i in range(count)})


async def turns(count: int = 50) -> None:
    """Let everything else that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_two_devices_without_a_server_have_everything_after_they_met(bench: Bench):
    one, two = await bench.devices(alone=True)
    await one.save_documents("notes", {"a": {"n": 1}, "b": {"n": 2}})
    await two.save_document("notes", "c", {"n": 3})
    for_one, for_two = await meet(one, two)
    assert (for_one.sent, for_one.received, for_two.sent, for_two.received) == (2, 1, 1, 2)
    assert await held(one) == await held(two) == {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}}


async def test_a_second_meeting_sends_only_what_was_written_since(bench: Bench):
    one, two = await bench.devices(alone=True)
    await one.save_documents("notes", {"a": {}, "b": {}})
    await meet(one, two)
    assert (await meet(one, two))[0] == ps.MeetingResult()
    await two.save_document("notes", "b", {"n": 1})
    result = (await meet(one, two))[0]
    assert (result.sent, result.received, result.changed) == (0, 1, 1)


async def test_edits_and_deletions_of_both_devices_merge_when_they_meet(bench: Bench):
    one, two = await bench.devices(alone=True)
    await one.save_documents("notes", {"k": {"a": 0, "b": 0}, "gone": {}})
    await meet(one, two)
    await one.save_document("notes", "k", {"a": 1})
    await two.save_document("notes", "k", {"b": 2})
    await two.delete_document("notes", "gone")
    await meet(one, two)
    assert await held(one) == await held(two) == {"k": {"a": 1, "b": 2}}


async def test_a_record_made_on_both_devices_is_one_after_they_met(bench: Bench):
    one, two = await bench.devices(alone=True)
    await one.save_document("notes", "k", {"of one": 1, "both": 1})
    await two.save_document("notes", "k", {"of two": 2, "both": 2})
    await meet(one, two)
    assert await see(one) == await see(two) == {"of one": 1, "of two": 2, "both": 2}
    assert await every_lost(one) == await every_lost(two) == [{"both": 1}]


async def test_writes_at_the_very_same_time_come_to_the_same_on_devices_that_meet(bench: Bench, clock: Clock):
    clock.is_still = True
    one, two, three = await bench.devices(3, alone=True)
    for n, device in enumerate((one, two, three)):
        await device.save_document("notes", "k", {"both": n})
    for pair in ((one, two), (two, three), (three, one), (one, two)):
        await meet(*pair)
    assert await see(one) == await see(two) == await see(three)


async def test_what_one_device_got_from_another_it_passes_on_to_a_third(bench: Bench):
    one, two, three = await bench.devices(3, alone=True)
    await one.save_document("notes", "k", {"n": 1})
    await meet(one, two)
    await meet(two, three)
    assert await see(three) == {"n": 1} and (await meet(one, three))[0] == ps.MeetingResult()


async def test_a_meeting_tells_how_far_it_is(bench: Bench):
    one, two = await bench.devices(alone=True)
    await fill(one, 20)
    heard: list[tuple[int, int]] = []
    a, b = ps.channel_pair()
    await asyncio.gather(
        one.sync_with(a), two.sync_with(b, on_progress=lambda done, total: heard.append((done, total)))
    )
    assert len(heard) > 2 and heard == sorted(heard) and heard[-1] == (20, 20)


async def test_a_device_that_stalls_ends_the_meeting_in_words_and_the_next_one_sends_the_rest(bench: Bench):
    one, two = await bench.devices(alone=True)
    await fill(one, 20)
    a, b = map(Wire, ps.channel_pair())
    a.is_mute_after = 2
    results = await asyncio.gather(
        one.sync_with(a, timeout_s=1.0), two.sync_with(b, timeout_s=1.0), return_exceptions=True
    )
    assert isinstance(results[1], ps.Unreachable) and "fell silent" in str(results[1])
    had = len(await held(two))
    assert 0 < had < 20
    assert (await meet(one, two))[0].sent == 20 - had and len(await held(two)) == 20


async def test_nobody_waits_for_ever_for_a_device_that_does_not_come(bench: Bench):
    device = await bench.device(alone=True)
    with pytest.raises(ps.Unreachable, match="no other device came"):
        await device.sync_with(ps.channel_pair()[0], timeout_s=0.05)


async def test_a_broken_connection_loses_nothing_and_the_next_one_goes_on(bench: Bench):
    one, two = await bench.devices(alone=True)
    await fill(one, 20)
    a, b = map(Wire, ps.channel_pair())
    a.breaks_after = 2
    results = await asyncio.gather(one.sync_with(a), two.sync_with(b), return_exceptions=True)
    assert all(isinstance(result, ps.Unreachable) for result in results)
    had = len(await held(two))
    assert 0 < had < 20 and (await meet(one, two))[0].sent == 20 - had


@pytest.mark.parametrize("who", [0, 1], ids=["who sends", "who receives"])
async def test_a_meeting_that_is_paused_sends_nothing_until_it_is_resumed(bench: Bench, who: int):
    one, two = await bench.devices(alone=True)
    await fill(one, 20)
    a, b = map(Wire, ps.channel_pair())
    meetings = [one.sync_with(a), two.sync_with(b)]
    meetings[who].pause()
    while not ("plan" in a.said and meetings[1 - who].is_paused):  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)
    await turns()
    assert a.chunks == 0 and await held(two) == {}
    meetings[who].resume()
    assert [(await meeting).is_complete for meeting in meetings] == [True, True] and len(await held(two)) == 20


@pytest.mark.parametrize("who", [0, 1], ids=["who sends", "who receives"])
async def test_a_meeting_that_is_cancelled_ends_on_both_sides_and_keeps_what_came(bench: Bench, who: int):
    one, two = await bench.devices(alone=True)
    await fill(one, 60)
    a, b = ps.channel_pair()
    meetings: list[Any] = []
    meetings.append(one.sync_with(a, on_progress=lambda done, total: done > 8 and meetings[who].cancel()))
    meetings.append(two.sync_with(b))
    results = await asyncio.gather(*meetings)
    assert [result.ended_by for result in results] == (["here", "there"] if who == 0 else ["there", "here"])
    had = len(await held(two))
    assert 8 < had < 60 and had == results[1].received
    assert (await meet(one, two))[0].sent == 60 - had


async def test_messages_between_devices_are_bounded_in_bytes(bench: Bench):
    one, two = await bench.devices(alone=True)
    await fill(one, 30)
    sizes: list[int] = []
    a, b = map(Wire, ps.channel_pair())
    send = a.inner.send

    async def weighed(text: str) -> None:
        sizes.append(len(text))
        await send(text)

    a.inner.send = weighed
    await asyncio.gather(one.sync_with(a), two.sync_with(b))
    assert a.chunks > 4 and max(sizes) < 500_000


async def test_what_a_device_got_from_another_reaches_the_server_once_by_either_way(bench: Bench):
    one, two, far = await bench.devices(3)
    await one.save_document("notes", "k", {"n": 1})
    await meet(one, two)
    await settle(two, one, far)
    assert await see(far) == {"n": 1} and (await far.get_document("notes", "k"))["_version"]["server"] == 1
    assert await every_lost(one, two, far) == []


async def test_devices_share_by_a_file_too_and_the_same_file_again_is_no_news(lasting: Bench):
    one, two = await lasting.device("one", alone=True), await lasting.device("two", alone=True)
    await one.save_documents("notes", {"a": {"n": 1}, "b": {}})
    file = await one.export_bundle()
    assert [(await two.import_bundle(file)).changed for _ in range(2)] == [2, 0]
    await two.close()
    assert await held(await lasting.device("two", alone=True)) == {"a": {"n": 1}, "b": {}}
