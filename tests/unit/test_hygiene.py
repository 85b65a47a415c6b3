"""What an application does to keep its store small, over real storage."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.tending import Tended
from pysync_web.transport.local import now_ms
from tests.pairs import Table, own, put, see, settle
from tests.unit.backend import Backend

IN_PAGE = sys.platform == "emscripten"
ASKS_A_PERSON = IN_PAGE and "Firefox" in str(__import__("js").navigator.userAgent)
"""Whether the browser asks whoever sits before it whether a site's data may stay."""

ENGINES = [ps.StorageEngine.INDEXEDDB] if IN_PAGE else [ps.StorageEngine.SQLITE, ps.StorageEngine.MEMORY]
DAY_MS = 86_400_000


@pytest.fixture(params=ENGINES)
async def table(request: Any, tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(request.param, tmp_path)
    yield made
    await made.close()


async def tend(table: Table, *, days: float = 0.0) -> Tended:
    """Let the hub do its upkeep some days later."""
    later = now_ms() + round(days * DAY_MS)
    return await table.hub.tend(later, later - 90 * DAY_MS, random.SystemRandom())


async def alone(table: Table, name: str = "alone") -> ps.SyncManager:
    """Open a store without a server."""
    where = f"{name}-{table.number}" if table.engine is not ps.StorageEngine.SQLITE else str(table.folder / name)
    manager = ps.SyncManager(await ps.LocalStore.open(where, engine=table.engine))
    await manager.start()
    table.opened.append(manager)
    return manager


async def test_a_setting_syncs_is_listed_and_removed(table: Table):
    one, two = await table.open("one"), await table.open("two")
    await one.set_ttl("notes", "meta.at", 60)
    await one.set_ttl("logs", "at", 1.5)
    await settle(one, two)
    assert await two.list_ttl() == [ps.Ttl("logs", "at", 1.5), ps.Ttl("notes", "meta.at", 60)]
    assert ps.Ttl.from_json((await two.list_ttl())[0].to_json()) == ps.Ttl("logs", "at", 1.5)
    assert await two.list_collections() == []
    await two.set_ttl("logs", None)
    await settle(two, one)
    assert [one.collection for one in await one.list_ttl()] == ["notes"]


@pytest.mark.parametrize("strategy", [ps.ConflictStrategy.THREE_WAY_MERGE, ps.ConflictStrategy.MERGE_FIELDS])
async def test_two_settings_of_a_collection_are_not_joined(table: Table, strategy: ps.ConflictStrategy):
    one, two = [await table.open(name, conflict_strategy=strategy) for name in ("one", "two")]
    await one.set_ttl("notes", "at", 60)
    await settle(one, two)
    await one.set_ttl("notes", "at", 5)
    await two.set_ttl("notes", "due", 60)
    await settle(one, two)
    found = await one.list_ttl()
    assert found == await two.list_ttl()
    assert found in ([ps.Ttl("notes", "at", 5)], [ps.Ttl("notes", "due", 60)])


@pytest.mark.parametrize(
    ("collection", "field", "after_s"),
    [("_chunks", "at", 1), ("_ttl", "at", 1), ("notes", "", 1), ("notes", "a..b", 1), ("notes", 5, 1)]
    + [("notes", "at", after_s) for after_s in (-1, "1", None, float("inf"), float("nan"), True)],
)
async def test_a_setting_that_can_not_be_is_refused(table: Table, collection: str, field: Any, after_s: Any):
    device = await table.open()
    with pytest.raises(ps.InvalidDocument):
        await device.set_ttl(collection, field, after_s)
    assert await device.list_ttl() == []


async def test_the_server_lets_documents_expire_and_watchers_hear_of_it(table: Table):
    one, two = await table.open("one"), await table.open("two")
    await one.set_ttl("notes", "at", 60)
    await put(one, {"at": now_ms()})
    await put(one, {"n": 1}, key="stays")
    await settle(one, two)
    events: list[ps.Change] = []
    two.on_change(events.append)
    assert (await tend(table)).expired == 0
    assert (await tend(table, days=1)).expired == 1
    await settle(one, two)
    assert [(e.change_type, e.key) for e in events if e.key] == [("RemoteDelete", "k")]
    assert [await see(device) for device in (one, two)] == [None, None]
    assert await see(two, "stays") == {"n": 1}


async def test_a_store_without_a_server_lets_them_expire_itself(table: Table):
    device = await alone(table)
    await device.save_document("notes", "before", {"at": "2020-01-01T00:00:00Z"})
    await device.set_ttl("notes", "at", 60)
    await device.save_document("notes", "after", {"at": now_ms() - 61_000})
    await device.save_document("notes", "young", {"at": now_ms()})
    await device.save_document("notes", "moved", {"at": 0})
    await device.save_document("notes", "moved", {"at": now_ms()})
    events: list[ps.Change] = []
    device.on_change(events.append)
    assert await device._cleaner().expire() == 2
    assert [(e.change_type, e.key) for e in events] == [("LocalDelete", "before"), ("LocalDelete", "after")]
    assert sorted(key for key, _ in await device.query_documents("notes")) == ["moved", "young"]
    assert await device._cleaner().expire() == 0
    await device.set_ttl("notes", "at", 0)
    assert await device._cleaner().expire() == 2


async def test_what_expired_while_the_store_was_closed_goes_when_it_is_opened(table: Table):
    if table.engine is ps.StorageEngine.MEMORY:
        pytest.skip("it is gone when it is closed")
    device = await alone(table)
    await device.set_ttl("notes", "at", 0)
    await device.save_document("notes", "k", {"at": 0})
    await device.close()
    device = await alone(table)
    rows = device.live("FOR d IN notes RETURN d._key")
    while await anext(rows):
        pass
    assert await see(device) is None


async def test_with_a_backend_of_the_application_the_device_lets_them_expire(table: Table):
    backend = Backend()
    store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
    transport = ps.CallbackTransport(backend.push, backend.pull)
    async with ps.SyncManager(store, transport, ps.SyncConfig(auto_sync=False)) as device:
        await device.save_document("notes", "k", {"at": 0})
        assert (await device.sync_now()).success
        assert ("notes", "k") in backend.documents()
        await device.set_ttl("notes", "at", 0)
        assert await device._cleaner().expire() == 1
        assert (await device.sync_now()).success
        assert ("notes", "k") not in backend.documents()


async def test_evict_drops_what_a_query_gives_and_counts_it(table: Table):
    one, two = await table.open("one"), await table.open("two")
    for i in range(6):
        await put(one, {"n": i}, key=f"k{i}")
    await settle(one, two)
    await put(two, {"n": 5, "mine": True}, key="k5")
    events: list[ps.Change] = []
    two.on_change(events.append)
    query = "FOR d IN notes FILTER d.n >= @from RETURN d"
    assert await two.evict(query, {"from": 3}) == 2
    assert [(e.change_type, e.key, e.reason) for e in events] == [
        ("RemoteDelete", "k3", "evicted"),
        ("RemoteDelete", "k4", "evicted"),
    ]
    assert await two.evict(query, {"from": 3}) == 0
    assert (await two.statistics()).collections == {"notes": 4}
    assert await two.query("FOR d IN notes RETURN d.n") == [0, 1, 2, 5]
    await settle(two, one)
    assert len(await one.query_documents("notes")) == 6 and len(await two.query_documents("notes")) == 4
    assert (await two.full_resync()).success
    assert len(await two.query_documents("notes")) == 6
    assert await see(two, "k5") == {"n": 5, "mine": True}


@pytest.mark.parametrize(
    "query",
    [
        "FOR d IN notes RETURN d.n",
        "FOR d IN notes RETURN {_key: d._key}",
        "FOR d IN notes FOR e IN others RETURN d",
        "FOR d IN notes REMOVE d IN notes",
        "FOR d IN _bucket_files RETURN d",
        "FOR d IN [1] RETURN d",
        "FOR d IN",
    ],
)
async def test_evict_refuses_what_does_not_name_documents(table: Table, query: str):
    device = await table.open()
    await put(device, {"n": 1})
    assert (await device.sync_now()).success
    await device.bucket("files").write("f", b"1")
    await device.sync_now()
    with pytest.raises(ps.QueryError):
        await device.evict(query)
    assert await see(device) == {"n": 1}


async def test_a_conflict_that_waits_is_not_evicted(table: Table):
    one = await table.open("one")
    two = await table.open("two", conflict_strategy=ps.ConflictStrategy.MANUAL)
    await put(one, {"n": 1})
    await settle(one, two)
    await put(one, {"n": 2})
    await put(two, {"n": 3})
    await one.sync_now()
    await two.sync_now()
    assert len(await two.conflicts()) == 1
    assert await two.evict("FOR d IN notes RETURN d") == 0
    assert len(await two.conflicts()) == 1


async def test_compacting_drops_deletes_that_the_server_has_forgotten_and_no_others(table: Table):
    one, two = await table.open("one"), await table.open("two")
    for i in range(4):
        await put(one, {"n": "x" * 20_000}, key=f"k{i}")
    await settle(one, two)
    for i in range(3):
        await put(one, None, key=f"k{i}")
    await settle(one, two)
    assert (await two.compact()).dropped == 0
    assert (await tend(table, days=91)).forgotten == 3
    await put(one, {"n": 1}, key="more")
    await settle(one, two)
    result = await two.compact()
    assert result.dropped == 3 and result.after_bytes <= result.before_bytes
    assert (await two.compact()).dropped == 0
    await settle(two, one)
    assert [key for key, _ in await two.query_documents("notes")] == ["k3", "more"]
    assert ps.CompactResult.from_json(result.to_json()) == result


async def test_compacting_keeps_what_waits(table: Table):
    one = await table.open("one")
    await put(one, {"n": 1})
    await put(one, {"n": 2}, key="other")
    await one.sync_now()
    await put(one, None)
    await put(one, {"n": 3}, key="other")
    await one.compact()
    assert [change.operation for change in await one.pending_changes()] == ["delete", "update"]
    two = await table.open("two")
    await settle(one, two)
    assert await see(two) is None and await see(two, "other") == {"n": 3}


async def test_the_estimate_counts_what_is_there(table: Table):
    device = await table.open()
    for i in range(5):
        await put(device, {"n": i}, key=f"k{i}")
    await device.sync_now()
    await put(device, None, key="k0")
    await put(device, {"n": 9}, key="k1")
    found = await device.storage_estimate()
    assert (found.documents, found.pending, found.ledger) == (4, 2, 0)
    assert found.usage_bytes >= 0 and (found.quota_bytes is None or found.quota_bytes > found.usage_bytes)
    assert found.is_persisted is None or IN_PAGE
    (change, _) = await device.pending_changes()
    await device.rollback(change.change_id)
    assert (await device.storage_estimate()).ledger == 1
    assert ps.StorageEstimate.from_json(found.to_json()) == found
    if not ASKS_A_PERSON:
        assert await device.request_persistence() in (True, False)


async def test_the_estimate_grows_with_the_data(table: Table):
    if IN_PAGE:
        pytest.skip("a browser tells it later, and not exactly")
    device = await table.open()
    before = (await device.storage_estimate()).usage_bytes
    await put(device, {"texts": ["x" * 50_000] * 4})
    assert (await device.storage_estimate()).usage_bytes >= before + 200_000


async def test_who_comes_back_late_hears_of_it_in_words_and_loses_nothing(table: Table):
    one, two = await table.open("one"), await table.open("two")
    await put(one, {"n": 1})
    await put(one, {"n": 1}, key="stays")
    await settle(one, two)
    await put(one, None)
    await one.sync_now()
    await put(two, {"n": 1, "mine": 2})
    (change,) = await two.pending_changes()
    await put(two, {"n": 7}, key="new")
    assert (await tend(table, days=91)).forgotten == 1
    events: list[ps.Change] = []
    two.on_change(events.append)
    result = await two.sync_now()
    assert result.success
    (entry,) = await two.ledger.list(kind="purged")
    assert (entry.body, entry.op_id, entry.key) == ({"n": 1, "mine": 2}, change.change_id, "k")
    assert [(e.change_type, e.key, e.reason) for e in events if e.key == "k"] == [("RemoteDelete", "k", "purged")]
    with pytest.raises(ps.ChangeRejected, match="so long ago"):
        await two.confirmed(change.change_id)
    await settle(two, one)
    assert await see(one) is None and await see(one, "new") == {"n": 7}
    assert own(await two.ledger.restore(entry.id)) == {"n": 1, "mine": 2}
    await settle(two, one)
    assert await see(one) == {"n": 1, "mine": 2}
