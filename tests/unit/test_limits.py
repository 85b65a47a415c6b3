"""What the server would refuse is refused when it is written: nothing that was accepted is lost for its size."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from pysync_web import crdt
from pysync_web.core.hub import Hub
from pysync_web.errors import InvalidDocument
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()
LONG = "y" * 65_000


@pytest.fixture
async def open_device() -> AsyncIterator[Callable[[], Awaitable[ps.SyncManager]]]:
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    opened: list[ps.SyncManager] = []

    async def open_one() -> ps.SyncManager:
        store = await ps.LocalStore.open(f"limits-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
        opened.append(ps.SyncManager(store, ps.LocalTransport(hub), ps.SyncConfig(auto_sync=False)))
        return opened[-1]

    yield open_one
    for device in opened:
        await device.close()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


async def arrives(device: ps.SyncManager) -> None:
    """Sync, and see that nothing was refused."""
    result = await device.sync_now()
    assert result.success and result.rejected == 0, result.errors
    assert (await device.status()).pending == 0
    assert await device.lost_changes() == []


async def test_saves_that_merge_to_more_than_a_document_may_be_are_refused(open_device):
    device = await open_device()
    for i in range(4):
        await device.save_document("c", "k", {f"f{i}": LONG})
    before = await device.get_document("c", "k")
    words = "document 'k': 325041 bytes, over the limit of 262144 bytes"
    with pytest.raises(InvalidDocument, match=words):
        await device.save_document("c", "k", {"f4": LONG})
    with pytest.raises(InvalidDocument, match=words):
        await device.save_documents("c", [{"_key": "other"}, {"_key": "k", "f4": LONG}])
    with pytest.raises(InvalidDocument, match=words):
        await device.update_document("c", "k", lambda document: {**(document or {}), "f4": LONG})
    with pytest.raises(InvalidDocument, match=words):
        async with device.transaction() as t:
            await t.save_document("c", "other", {"x": 1})
            await t.save_document("c", "k", {"f4": LONG})
    assert await device.get_document("c", "k") == before
    assert await device.get_document("c", "other") is None
    assert (await device.status()).pending == 1
    await arrives(device)


async def test_one_that_was_synced_does_not_grow_over_the_limit_either(open_device):
    device = await open_device()
    await device.save_document("c", "k", {f"f{i}": LONG for i in range(4)})
    await arrives(device)
    with pytest.raises(InvalidDocument, match="over the limit"):
        await device.save_document("c", "k", {"f4": LONG})
    await device.save_document("c", "k", {"f4": LONG}, replace=True)
    await arrives(device)


async def test_a_document_does_not_get_more_members_than_travel_at_once(open_device):
    device = await open_device()
    await device.save_document("c", "k", {f"a{i}": i for i in range(1000)})
    with pytest.raises(InvalidDocument, match="2000 members, over the limit of 1024"):
        await device.save_document("c", "k", {f"b{i}": i for i in range(1000)})
    await arrives(device)


async def test_crdt_values_do_not_grow_over_the_limit_of_a_document(open_device):
    device = await open_device()
    with pytest.raises(InvalidDocument, match=r"document 'k': \d+ bytes, over the limit of 262144 bytes"):
        for i in range(6):
            await device.crdt_set_add("c", "k", "s", LONG + str(i))
    assert len((await device.get_document("c", "k"))["s"]) == 4
    with pytest.raises(InvalidDocument, match="over the limit of 262144 bytes"):
        await device.save_document("c", "k", {"f": LONG})
    await arrives(device)


async def test_crdt_values_do_not_grow_over_the_limit_of_members(open_device):
    device = await open_device()
    await device.save_document("c", "k", {f"f{i}": i for i in range(1023)})
    await device.crdt_increment("c", "k", "counter")
    with pytest.raises(InvalidDocument, match="1025 members, over the limit of 1024"):
        await device.crdt_increment("c", "k", "other")
    await arrives(device)


@pytest.mark.parametrize("levels", range(54, 67))
async def test_what_is_nested_too_deep_is_refused_and_the_rest_arrives(open_device, levels):
    device, other = await open_device(), await open_device()
    field = ".".join(["a"] * levels)
    writes: dict[str, Callable[[], Awaitable[Any]]] = {
        "save": lambda: device.save_document("c", "save", {"f": nested(levels)}),
        "set": lambda: device.crdt_set("c", "set", "f", nested(levels)),
        "put": lambda: device.crdt_map_put("c", "put", "f", "x", nested(levels)),
        "add": lambda: device.crdt_set_add("c", "add", "f", nested(levels)),
        "count": lambda: device.crdt_increment("c", "count", field),
    }
    taken = set()
    for key, write in writes.items():
        try:
            await write()
            taken.add(key)
        except InvalidDocument as error:
            assert "nested deeper than 64 levels" in str(error)
            assert await device.get_document("c", key) is None
    assert len(taken) == len(writes) if levels < 56 else "put" not in taken or levels < 60
    assert ("save" in taken) == (levels < 64)
    await arrives(device)
    await other.sync_now()
    assert {key for key, _ in await other.query_documents("c")} == taken


async def test_a_field_of_too_many_or_too_long_names_is_refused(open_device):
    device = await open_device()
    with pytest.raises(InvalidDocument, match="nested deeper than 64 levels"):
        await device.crdt_increment("c", "k", "a." * 199 + "a")
    with pytest.raises(InvalidDocument, match="a member's name over the limit of 256 bytes"):
        await device.crdt_increment("c", "k", "a" * 257)
    with pytest.raises(InvalidDocument, match="lies too deep, or has too long names"):
        await device.crdt_increment("c", "k", ".".join(["/" * 256] * 40))
    assert await device.get_document("c", "k") is None


async def test_a_state_that_is_taken_in_must_fit_where_it_comes(open_device):
    device = await open_device()
    state = crdt.change(crdt.empty("g_set"), crdt.Add(nested(58)), "r")
    await device.crdt_merge("c", "k", "s", state)
    with pytest.raises(InvalidDocument, match="nested deeper than 64 levels"):
        await device.crdt_merge("c", "k", "a.a.a.a.a.a.a.a", state)
    await arrives(device)


@pytest.mark.parametrize("name", ["_key", "_version", "_timestamp", "_key.inner"])
async def test_what_the_library_gives_is_no_field_for_a_crdt_value(open_device, name):
    device = await open_device()
    with pytest.raises(InvalidDocument, match="is given by the library"):
        await device.crdt_increment("c", "k", name)
    with pytest.raises(InvalidDocument, match="is given by the library"):
        await device.crdt_set("c", "k", name, 1)
    assert await device.get_document("c", "k") is None
    await device.crdt_increment("c", "k", "inner._key")
