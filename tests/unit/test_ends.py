"""What ends, or is given up, ends for those who wait for it and for nobody else."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()
Opener = Callable[..., Awaitable[ps.SyncManager]]


class Gate(ps.LocalTransport):
    """A hub whose answers wait until it is open; counts the requests that began."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def exchange(self, database: str, body: str) -> str:
        self.asked += 1
        await self.open.wait()
        return await super().exchange(database, body)


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    opened: list[ps.SyncManager] = []

    async def open_one(**options: Any) -> tuple[ps.SyncManager, Gate]:
        hub = Hub(MemoryStorage())
        await hub.open(random.Random(1))
        gate = Gate(hub)
        manager = await ps.open(f"ends-{next(numbers)}", server=gate, engine=ps.StorageEngine.MEMORY, **options)
        opened.append(manager)
        return manager, gate

    yield open_one
    for manager in opened:
        await manager.close()


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so, which has no event."""
    while True:
        found = is_so()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(0.005)


async def leads(manager: ps.SyncManager) -> bool:
    return (await manager.status()).is_leader


async def has_nothing_pending(manager: ps.SyncManager) -> bool:
    return (await manager.status()).pending == 0


async def test_who_gives_up_waiting_for_a_sync_ends_neither_that_nor_background_sync(opener: Opener):
    manager, gate = await opener()
    await until(lambda: leads(manager))
    gate.open.clear()
    before = gate.asked
    await manager.save_document("items", "1", {"a": 1})
    await until(lambda: gate.asked > before)
    for call in (manager.sync_now, manager.sync_now, lambda: manager.sync_where(lambda *_: True)):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(), 0.02)
    gate.open.set()
    await until(lambda: has_nothing_pending(manager))
    await manager.save_document("items", "2", {"a": 2})
    await until(lambda: has_nothing_pending(manager))
    assert await leads(manager)


@pytest.mark.parametrize("end", ["stop", "close"])
async def test_a_sync_that_is_ended_is_a_failure_for_who_waits(opener: Opener, end: str):
    manager, gate = await opener(auto_sync=False)
    gate.open.clear()
    waiting = asyncio.ensure_future(manager.sync_now())
    await until(lambda: gate.asked)
    await getattr(manager, end)()
    result = await waiting
    assert not result.success and result.errors == ["it was stopped before it was through"]


async def test_a_device_that_goes_offline_in_the_middle_of_a_sync_sends_nothing_more(opener: Opener):
    manager, gate = await opener(auto_sync=False)
    await manager.save_document("items", "1", {"a": 1})
    gate.open.clear()
    waiting = asyncio.ensure_future(manager.sync_now())
    await until(lambda: gate.asked)
    manager.set_online(False)
    await manager.save_document("items", "2", {"a": 2})
    gate.open.set()
    result = await waiting
    assert (result.success, result.pushed, result.errors) == (False, 1, ["offline"]) and gate.asked == 1
    manager.set_online(True)
    assert (await manager.sync_now()).pushed == 1


async def test_who_waits_for_a_change_hears_that_the_store_was_closed(opener: Opener):
    manager, _ = await opener(auto_sync=False)
    await manager.save_document("items", "1", {"a": 1})
    (change,) = await manager.pending_changes()
    waiting = asyncio.ensure_future(manager.confirmed(change.change_id))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await manager.close()
    with pytest.raises(ps.StorageError):
        await waiting


async def test_a_transaction_that_is_over_or_not_begun_refuses_every_call(opener: Opener):
    manager, _ = await opener(auto_sync=False)
    async with manager.transaction() as over:
        await over.save_document("items", "1", {"a": 1})
    for transaction, why in ((over, "has ended"), (manager.transaction(), "has not begun")):
        for call in (
            transaction.get_document("items", "1"),
            transaction.save_document("items", "2", {"a": 2}),
            transaction.delete_document("items", "1"),
        ):
            with pytest.raises(ps.TransactionError, match=why):
                await call
    with pytest.raises(ps.TransactionError, match="begun before"):
        async with over:
            pass
    assert await manager.get_document("items", "1") and not await manager.get_document("items", "2")


async def test_a_sync_filter_may_have_bind_variables(opener: Opener):
    manager, _ = await opener(auto_sync=False)
    query = "FOR t IN tasks FILTER t.n > @n RETURN t"
    assert await manager.set_sync_filter(query, {"n": 17})
    (chosen,) = await manager.subscriptions()
    assert (chosen.collection, chosen.query, chosen.bind_vars) == ("tasks", query, {"n": 17})
