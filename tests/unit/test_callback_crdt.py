"""CRDT values through a backend that stores documents and knows nothing of us: they are joined, whoever made them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from tests.unit.backend import Backend

numbers = itertools.count()
Opener = Callable[[Backend], Awaitable[ps.SyncManager]]


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    opened: list[ps.SyncManager] = []

    async def open_one(backend: Backend, **options: Any) -> ps.SyncManager:
        client = ps.CallbackTransport(backend.push, backend.pull, **options)
        place = f"callback-crdt-{next(numbers)}"
        opened.append(await ps.open(place, server=client, auto_sync=False, engine=ps.StorageEngine.MEMORY))
        return opened[-1]

    yield open_one
    for manager in opened:
        await manager.close()


async def synced(*devices: ps.SyncManager) -> None:
    for device in devices:
        result = await device.sync_now()
        assert result.success, result.errors
        assert await device.lost_changes() == []


async def test_two_devices_count_together(opener: Opener):
    backend = Backend()
    one, two = await opener(backend), await opener(backend)
    await one.crdt_increment("items", "k", "n")
    await synced(one, two)
    assert await two.crdt_value("items", "k", "n") == 1
    await one.crdt_increment("items", "k", "n", 10)
    await two.crdt_increment("items", "k", "n", 100)
    await synced(two, one, two)
    for device in (one, two):
        assert await device.crdt_value("items", "k", "n") == 111
    pushes = len(backend.pushes)
    await synced(one, two, one, two)
    assert len(backend.pushes) == pushes, "nothing goes to and fro"


async def test_what_was_begun_apart_and_written_over_at_the_backend_is_joined(opener: Opener):
    backend = Backend()
    one, two = await opener(backend), await opener(backend)
    await one.crdt_increment("items", "k", "n", 1)
    await one.crdt_set_add("items", "k", "in.s", "one")
    await synced(one)
    first = backend.rows["items", "k"][0]
    backend.rows.clear()
    await two.crdt_increment("items", "k", "n", 2)
    await two.crdt_set_add("items", "k", "in.s", "two")
    await synced(two)
    assert backend.rows["items", "k"][0] != first
    await synced(one, two)
    for device in (one, two):
        assert await device.crdt_value("items", "k", "n") == 3
        assert await device.crdt_value("items", "k", "in.s") == ["one", "two"]


async def test_registers_keep_their_times_so_both_agree_and_nothing_goes_to_and_fro(opener: Opener):
    backend = Backend()
    one, two = await opener(backend), await opener(backend)
    for i in range(3):
        await one.crdt_set("items", "k", "r", f"one {i}")
        await synced(one, two)
        await two.crdt_set("items", "k", "r", f"two {i}")
        await two.crdt_map_put("items", "k", "m", "x", i)
        await synced(two, one)
        assert await one.crdt_value("items", "k", "r") == f"two {i}"
        assert await one.crdt_value("items", "k", "m") == {"x": i}
    assert await one.crdt_state("items", "k", "r") == await two.crdt_state("items", "k", "r")
    assert await one.crdt_state("items", "k", "m") == await two.crdt_state("items", "k", "m")
    pushes = len(backend.pushes)
    await synced(one, two, one, two)
    assert len(backend.pushes) == pushes


async def test_a_device_whose_clock_is_far_behind_takes_a_register_as_it_is(opener: Opener):
    backend = Backend()
    one = await opener(backend)
    two = await opener(backend, clock=lambda: 1_000_000_000_000)
    await one.crdt_set("items", "k", "r", "later")
    await synced(one, two)
    assert await two.crdt_state("items", "k", "r") == await one.crdt_state("items", "k", "r")
    pushes = len(backend.pushes)
    await synced(two, one, two)
    assert len(backend.pushes) == pushes


async def test_a_counter_that_was_removed_begins_again_at_both(opener: Opener):
    backend = Backend()
    one, two = await opener(backend), await opener(backend)
    await one.crdt_increment("items", "k", "n", 5)
    await synced(one, two)
    await two.save_document("items", "k", {"x": 1}, replace=True)
    await synced(two, one)
    await one.crdt_increment("items", "k", "n", 1)
    await synced(one, two)
    await two.crdt_increment("items", "k", "n", 1)
    await synced(two, one)
    assert [await device.crdt_value("items", "k", "n") for device in (one, two)] == [2, 2]


async def test_what_the_backend_refuses_is_taken_back(opener: Opener):
    backend = Backend()
    one = await opener(backend)
    await one.crdt_increment("items", "k", "n", 1)
    await synced(one)
    backend.refuse = lambda record: True
    await one.crdt_increment("items", "k", "n", 10)
    await one.sync_now()
    assert [entry.code for entry in await one.lost_changes()] == ["nope"]
    assert await one.crdt_value("items", "k", "n") == 1
    backend.refuse = lambda record: False
    pushes = len(backend.pushes)
    await one.sync_now()
    assert len(backend.pushes) == pushes, "what was refused is not offered again"
    await one.crdt_increment("items", "k", "n", 100)
    two = await opener(backend)
    await one.sync_now()
    await synced(two)
    assert [await device.crdt_value("items", "k", "n") for device in (one, two)] == [101, 101]


async def test_what_only_looks_like_a_crdt_value_is_in_the_ledger_once_and_the_rest_comes(opener: Opener):
    backend = Backend()
    backend.edit("items", "bad", {"v": {"$crdt": "pn_counter", "counts": 5}})
    backend.edit("items", "good", {"v": 1})
    one = await opener(backend)
    await one.sync_now()
    assert [key for key, _ in await one.query_documents("items")] == ["good"]
    ((key, kind),) = [(entry.key, entry.kind) for entry in await one.lost_changes()]
    assert (key, kind) == ("bad", "rejected")
    backend.edit("items", "bad", {"v": {"$crdt": "pn_counter", "counts": 5}})
    await one.sync_now()
    assert len(await one.lost_changes()) == 1
    backend.edit("items", "bad", {"v": {"$crdt": "pn_counter", "counts": {"r": [5, 0]}}})
    await one.sync_now()
    assert await one.crdt_value("items", "bad", "v") == 5
