"""CRDT values through the manager: what an application calls, reads, queries, keeps and carries elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

import pysync_web as ps
from pysync_web import crdt
from pysync_web.core.hub import Hub
from pysync_web.errors import InvalidDocument, SchemaError
from pysync_web.storage.memory import MemoryStorage
from pysync_web.values import dumps, loads

numbers = itertools.count()
Opener: TypeAlias = Callable[..., Awaitable[ps.SyncManager]]


@pytest.fixture
async def open_device() -> AsyncIterator[Opener]:
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    opened: list[ps.SyncManager] = []

    async def open_one(name: str | None = None, **options: object) -> ps.SyncManager:
        place = name or f"crdt-{next(numbers)}"
        store = await ps.LocalStore.open(place, engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(auto_sync=False, **options)  # type: ignore[arg-type]
        opened.append(ps.SyncManager(store, ps.LocalTransport(hub), config))
        await opened[-1].start()
        return opened[-1]

    yield open_one
    for device in opened:
        await device.close()


async def synced(*devices: ps.SyncManager) -> None:
    for _ in range(2):
        for device in devices:
            assert (await device.sync_now()).success


async def test_every_call_changes_what_a_read_shows(open_device: Opener):
    db = await open_device()
    assert await db.crdt_increment("notes", "k", "visits.total", 5) == 5
    assert await db.crdt_decrement("notes", "k", "visits.total") == 4
    await db.crdt_set("notes", "k", "title", {"en": "one"})
    await db.crdt_add_to_set("notes", "k", "seen", "ann")
    for tag in ("b", "a", "b"):
        await db.crdt_set_add("notes", "k", "tags", tag)
    await db.crdt_set_remove("notes", "k", "tags", "b")
    await db.crdt_map_put("notes", "k", "map", "x", 1)
    await db.crdt_map_put("notes", "k", "map", "y", [2])
    await db.crdt_map_remove("notes", "k", "map", "x")
    assert await db.crdt_change("notes", "k", "both", "mv_register", crdt.Replace("v")) == ["v"]
    update = crdt.Update("hits", "g_counter", crdt.Increment(3))
    assert await db.crdt_change("notes", "k", "map", "or_map", update) == {"hits": 3, "y": [2]}
    document = await db.get_document("notes", "k")
    assert document is not None
    assert {name: value for name, value in document.items() if name[0] != "_"} == {
        "visits": {"total": 4},
        "title": {"en": "one"},
        "seen": ["ann"],
        "tags": ["a"],
        "map": {"hits": 3, "y": [2]},
        "both": ["v"],
    }
    assert await db.crdt_value("notes", "k", "visits.total") == 4
    assert await db.crdt_value("notes", "k", "nothing") is None
    assert await db.crdt_value("notes", "other", "n") is None


async def test_every_way_to_read_shows_values(open_device: Opener):
    db = await open_device()
    seen = []
    db.on_change(lambda event: seen.append(event.document["n"] if event.document else None))
    for n, key in enumerate("abc"):
        await db.crdt_increment("notes", key, "n", n)
    await db.save_document("notes", "a", {"n": 0})
    assert seen == [1, 2, 0] or seen == [0, 1, 2] or seen[-1] == 0
    assert [d["n"] for d in (await db.list_documents("notes"))[0]] == [0, 1, 2]
    assert [d["n"] for _, d in await db.query_documents("notes")] == [0, 1, 2]
    assert [d and d["n"] for d in await db.get_documents("notes", ["c", "x"])] == [2, None]
    await db.create_index("notes", "n")
    assert await db.query("FOR d IN notes FILTER d.n >= 1 RETURN [d._key, d.n]") == [["b", 1], ["c", 2]]
    assert await db.query("FOR d IN notes FILTER d.n == 2 RETURN d._key") == ["c"]
    await synced(db)
    assert await db.query("FOR d IN notes FILTER d.n == 2 RETURN d._key") == ["c"]
    await db.query("UPDATE 'c' WITH {title: 'x'} IN notes")
    await db.crdt_increment("notes", "c", "n")
    assert await db.query("FOR d IN notes FILTER d.title == 'x' RETURN d.n") == [3]
    with pytest.raises(InvalidDocument, match="'n' is a pn_counter"):
        await db.update_document("notes", "c", lambda d: {**(d or {}), "n": 9})


WAITING = (ps.ConflictStrategy.MANUAL, ps.ConflictStrategy.THREE_WAY_MERGE)


@pytest.mark.parametrize("strategy", [one for one in ps.ConflictStrategy if one not in WAITING])
async def test_devices_count_together_whatever_the_strategy(open_device: Opener, strategy: ps.ConflictStrategy):
    devices = [await open_device(conflict_strategy=strategy) for _ in range(3)]
    for n, device in enumerate(devices):
        await device.save_document("notes", "k", {"by": n})
        for _ in range(5):
            await device.crdt_increment("notes", "k", "n", n + 1)
        await device.crdt_set_add("notes", "k", "tags", n)
    await synced(*devices)
    for device in devices:
        document = await device.get_document("notes", "k")
        assert document is not None
        assert (document["n"], document["tags"]) == (30, [0, 1, 2])
        assert (await device.status()).pending == 0


@pytest.mark.parametrize("strategy", WAITING)
@pytest.mark.parametrize("choice", ["local", "remote", "merge"])
async def test_a_conflict_that_waits_shows_counters_added_up_and_counts_go_on(
    open_device: Opener, strategy: ps.ConflictStrategy, choice: str
):
    a, b = [await open_device(conflict_strategy=strategy) for _ in range(2)]
    await a.save_document("notes", "k", {"by": "nobody"})
    await synced(a, b)
    for n, device in enumerate((a, b), 1):
        await device.save_document("notes", "k", {"by": n})
        await device.crdt_increment("notes", "k", "n", n)
    await synced(a, b)
    (conflict,) = await b.conflicts()
    assert conflict.local is not None and conflict.remote is not None
    assert (conflict.local["n"], conflict.remote["n"]) == (3, 3)
    await b.crdt_increment("notes", "k", "n", 10)
    await a.crdt_increment("notes", "k", "n", 100)
    await synced(a, b)
    answer = {"local": ps.ConflictResolution.AcceptLocal, "remote": ps.ConflictResolution.AcceptRemote}
    await b.resolve_conflict("notes", "k", answer.get(choice, {"by": "both", "n": 3}))
    await synced(b, a)
    for device in (a, b):
        document = await device.get_document("notes", "k")
        assert document is not None
        assert (document["n"], document["by"]) == (113, {"local": 2, "remote": 1, "merge": "both"}[choice])
        assert await device.conflicts() == []
        assert (await device.status()).pending == 0


async def test_what_waits_is_one_change_and_a_restart_counts_on(open_device: Opener):
    db, other = await open_device("restarted"), await open_device()
    for _ in range(1000):
        await db.crdt_increment("notes", "k", "n")
    assert (await db.status()).pending == 1
    again = await open_device("restarted")
    await again.crdt_increment("notes", "k", "n")
    assert await again.crdt_value("notes", "k", "n") == 1001
    await synced(again, other)
    assert await other.crdt_value("notes", "k", "n") == 1001


async def test_a_state_travels_as_json_and_may_come_twice(open_device: Opener):
    db, other, third = [await open_device() for _ in range(3)]
    await db.crdt_increment("notes", "k", "n", 3)
    await other.crdt_increment("notes", "k", "n", 4)
    carried = loads(dumps(await db.crdt_state("notes", "k", "n")))
    assert [await other.crdt_merge("notes", "k", "n", carried) for _ in range(2)] == [7, 7]
    await synced(other, third, db)
    assert [await device.crdt_value("notes", "k", "n") for device in (db, other, third)] == [7, 7, 7]
    with pytest.raises(SchemaError, match="counts"):
        await db.crdt_merge("notes", "k", "n", {"$crdt": "g_counter", "counts": {"x": -1}})


async def test_amounts_and_fields_that_are_none_are_refused(open_device: Opener):
    db = await open_device()
    for amount in (-1, 1.5, True, "1"):
        with pytest.raises(InvalidDocument, match="an amount is an integer from 0 on"):
            await db.crdt_increment("notes", "k", "n", amount)  # type: ignore[arg-type]
    for field in ("", "a.", 5, "$crdt"):
        with pytest.raises(InvalidDocument, match="is not the name of a field"):
            await db.crdt_increment("notes", "k", field)  # type: ignore[arg-type]
    assert await db.get_document("notes", "k") is None


async def test_devices_that_only_meet_count_together_and_so_does_the_server_that_one_of_them_has(
    open_device: Opener,
):
    a, b, c = [await open_device() for _ in range(3)]
    for n, device in enumerate((a, b, c), 1):
        await device.crdt_increment("notes", "k", "n", n)
        await device.crdt_set_add("notes", "k", "tags", n)
    for one, other in ((a, b), (b, c), (a, c), (a, b), (b, c)):
        await met(one, other)
    await a.crdt_increment("notes", "k", "n", 10)
    await b.crdt_set_remove("notes", "k", "tags", 2)
    await c.save_document("notes", "k", {"title": "of c"})
    for one, other in ((a, b), (b, c), (a, c)):
        await met(one, other)
    wanted = {"n": 16, "tags": [1, 3], "title": "of c"}
    for device in (a, b, c):
        document = await device.get_document("notes", "k") or {}
        assert {name: value for name, value in document.items() if name[0] != "_"} == wanted
    await synced(c, a, b)
    d = await open_device()
    await synced(d)
    document = await d.get_document("notes", "k") or {}
    assert {name: value for name, value in document.items() if name[0] != "_"} == wanted
    for device in (a, b, c):
        assert (await device.status()).pending == 0 and await device.lost_changes() == []


async def met(one: ps.SyncManager, other: ps.SyncManager) -> None:
    first, second = ps.channel_pair()
    await asyncio.gather(one.sync_with(first), other.sync_with(second))
