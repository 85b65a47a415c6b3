"""What an application hangs in may raise, be cancelled or answer oddly: the sync goes on, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.manager import background
from pysync_web.transport.encoded import EncodedTransport
from pysync_web.transport.local import LocalTransport
from tests.devices import eventually
from tests.unit.test_logged import new_hub

MEMORY = ps.StorageEngine.MEMORY


async def opened(name: str, way: Any = None, **settings: Any) -> ps.SyncManager:
    """Open a device that syncs when it is told to, unless it is told otherwise."""
    config = ps.SyncConfig(**{"auto_sync": False, **settings})
    manager = ps.SyncManager(await ps.LocalStore.open(name, engine=MEMORY), way, config)
    await manager.start()
    return manager


class Locked:
    """Encodes nothing until it is unlocked."""

    is_open = False

    def encode(self, text: str, place: str) -> str:
        """Give the text, or raise."""
        if not self.is_open:
            raise KeyError("not unlocked yet")
        return text


async def test_background_sync_goes_on_once_values_can_be_encoded():
    lock = Locked()
    server = LocalTransport(await new_hub())
    way = EncodedTransport(server, lock.encode, lambda text, place: text)
    retry = ps.RetryPolicy(base_s=0.05, cap_s=0.05)
    sync = await opened("locked", way, auto_sync=True, sync_interval_s=0.2, retry=retry)
    await sync.save_document("notes", "a", {"n": 1})

    async def is_told() -> bool:
        return "not unlocked yet" in ((await sync.status()).last_error or "")

    await eventually(is_told)
    assert not (await sync.sync_now()).success
    lock.is_open = True

    async def is_sent() -> bool:
        return (await sync.status()).pending == 0

    await eventually(is_sent)
    await sync.save_document("notes", "b", {"n": 2})
    await eventually(is_sent)
    await sync.close()


async def test_background_sync_goes_on_once_a_damaged_record_is_mended(monkeypatch, caplog):
    monkeypatch.setattr(background, "STORAGE_PAUSE_S", 0.05)
    sync = await opened("damaged", LocalTransport(await new_hub()), auto_sync=True, sync_interval_s=0.2)
    sync.set_online(False)
    await sync.save_document("notes", "a", {"n": 1})
    storage, name = sync.store.storage, ("notes", "a")
    whole = await storage.read(lambda tx: tx.get("docs", name))

    async def put(text: str) -> None:
        async def body(tx: Any) -> None:
            tx.put("docs", name, text)

        await storage.write(body)

    async def is_told() -> bool:
        return "damaged record" in caplog.text

    async def is_sent() -> bool:
        return (await sync.status()).pending == 0

    await put('{"p":[{"b":{')
    sync.set_online(True)
    await eventually(is_told)
    await put(whole)
    await eventually(is_sent)
    await sync.close()


async def cancelled(*_: object) -> Any:
    """Await something that somebody else cancels."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    return await future


async def in_conflict(**settings: Any) -> tuple[ps.SyncManager, ps.SyncManager]:
    """Give two devices that have changed the same; the second one's functions are asked next."""
    server = await new_hub()
    one, two = await opened("one", LocalTransport(server)), await opened("two", LocalTransport(server), **settings)
    await one.save_document("notes", "a", {"n": 0})
    await one.sync_now()
    await two.sync_now()
    await one.save_document("notes", "a", {"n": 1})
    await two.save_document("notes", "a", {"n": 2})
    await one.sync_now()
    return one, two


async def test_a_resolver_that_is_cancelled_leaves_its_conflict_waiting_and_nothing_else():
    one, two = await in_conflict(conflict_strategy=ps.Custom("ask"), resolvers={"ask": cancelled})
    await two.save_document("notes", "b", {"n": 3})
    for _ in range(2):
        result = await two.sync_now()
        assert result.success, result.errors
    assert "cancelled" in (await two.conflicts())[0].reason
    await one.sync_now()
    assert await one.get_document("notes", "b")
    await asyncio.gather(one.close(), two.close())


@pytest.mark.parametrize("event", ["on_conflict", "on_before_sync"])
async def test_a_callback_that_is_cancelled_is_one_that_raised(event: str):
    one, two = await in_conflict()
    getattr(two, event)(cancelled)
    assert (await two.sync_now()).success
    assert (await two.status()).pending == 0
    await asyncio.gather(one.close(), two.close())


async def test_a_backend_that_is_cancelled_fails_the_sync_and_no_more():
    async def pull(since: Any) -> Any:
        return await cancelled()

    sync = await opened("backend", ps.CallbackTransport(cancelled, pull))
    await sync.save_document("notes", "a", {"n": 1})
    result = await sync.sync_now()
    assert not result.success and "cancelled" in result.errors[0]
    await sync.close()


async def test_who_waits_for_a_sync_can_still_be_cancelled():
    class Slow(LocalTransport):
        async def exchange(self, database: str, body: str) -> str:
            await asyncio.sleep(60)
            return ""

    sync = await opened("slow", Slow(await new_hub()))
    waiting = asyncio.ensure_future(sync.sync_now())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(sync.close(), 5)


async def test_a_predicate_that_is_a_coroutine_function_is_refused():
    async def chosen(collection: str, key: str, document: Any) -> bool:
        return False

    sync = await opened("chosen", LocalTransport(await new_hub()))
    await sync.save_document("notes", "a", {"n": 1})
    with pytest.raises(ps.InvalidDocument, match="predicate is a plain function"):
        await sync.sync_where(chosen)
    assert (await sync.status()).pending == 1
    await sync.close()


async def test_nobody_waits_for_a_server_that_is_not_there():
    sync = await opened("alone")
    await sync.save_document("notes", "a", {"n": 1})
    (change,) = await sync.pending_changes()
    with pytest.raises(ps.SyncError, match="no server"):
        await asyncio.wait_for(sync.confirmed(change.change_id), 5)
    await sync.close()


# Documents


async def test_what_a_transaction_gives_may_be_changed_and_saved():
    sync = await opened("nested")
    await sync.save_document("notes", "a", {"list": [1], "in": {"n": 1}})
    async with sync.transaction() as t:
        found = await t.get_document("notes", "a")
        found["list"].append(2)
        found["in"]["n"] = 2
        await t.save_document("notes", "a", found)
        found["list"].append(3)
        assert (await t.get_document("notes", "a"))["list"] == [1, 2]
    assert (await sync.get_document("notes", "a"))["list"] == [1, 2]
    async with sync.transaction() as t:
        (await t.get_document("notes", "a"))["list"].append(4)  # and not saved
    await sync.close()


@pytest.mark.parametrize(
    "query",
    [
        "INSERT {_key: 'k', x: 1} INTO others",
        "UPSERT {_key: 'k'} INSERT {_key: 'k'} UPDATE {x: 1} IN others",
    ],
)
async def test_a_query_writes_to_no_collection_that_is_not_synced(query: str):
    sync = await opened(query, collections=("notes",))
    with pytest.raises(ps.InvalidDocument, match="'others' is none of those"):
        await sync.query(query)
    await sync.query("INSERT {_key: 'k', x: 1} INTO notes")
    await sync.close()


async def test_what_marks_a_crdt_value_goes_into_none():
    sync = await opened("marks")
    for change in (
        sync.crdt_set("notes", "a", "r", {"deep": [{"$crdt": "x"}]}),
        sync.crdt_set_add("notes", "a", "s", {"$crdt": "x"}),
        sync.crdt_map_put("notes", "a", "m", "$crdt", 1),
        sync.crdt_map_put("notes", "a", "m", "name", {"$crdt": 1}),
    ):
        with pytest.raises(ps.InvalidDocument, match="taken"):
            await change
    await sync.crdt_set("notes", "a", "r", "it costs $crdt")
    await sync.update_document("notes", "a", lambda document: {**document, "other": 1})
    await sync.close()


def test_settings_with_a_key_factory_become_json():
    config = ps.SyncConfig(key_factory=lambda: "k", batch_size=7)
    assert "key_factory" not in config.to_json()
    again = ps.SyncConfig.from_json(config.to_json(), key_factory=config.key_factory)
    assert again == config
