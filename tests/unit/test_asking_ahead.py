"""A pull of many pages asks for the next one while it writes the last; what was asked in vain changes nothing."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Collection

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage

DOCUMENTS = {f"{n:05}": {"n": n} for n in range(350)}


class Line:
    """A transport that keeps what was sent, and does something before it sends the third request."""

    def __init__(self, hub: Hub) -> None:
        self.inner = ps.LocalTransport(hub)
        self.sent: list[str] = []
        self.before_third = lambda: None

    async def exchange(self, database: str, body: str) -> str:
        self.sent.append(body)
        if len(self.sent) == 3:
            self.before_third()
        await asyncio.sleep(0)
        return await self.inner.exchange(database, body)

    def pokes(self, database: str, collections: Collection[str] | None = None) -> AsyncIterator[int]:
        return self.inner.pokes(database, collections)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
async def hub() -> Hub:
    made = Hub(MemoryStorage.open(":memory:"))
    await made.open(random.SystemRandom())
    return made


async def device(hub: Hub) -> tuple[ps.SyncManager, Line]:
    line = Line(hub)
    store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
    manager = ps.SyncManager(store, line, ps.SyncConfig(page_size=100, auto_sync=False))
    await manager.start()
    return manager, line


async def filled(hub: Hub) -> ps.SyncManager:
    first, _ = await device(hub)
    await first.save_documents("notes", DOCUMENTS)
    assert (await first.sync_now()).success
    return first


async def test_each_page_is_asked_for_once(hub: Hub):
    await filled(hub)
    other, line = await device(hub)
    assert (await other.sync_now()).pulled == 350
    assert len(line.sent) == len(set(line.sent)) == 4


async def test_what_is_saved_between_two_pages_is_sent_and_nothing_is_lost(hub: Hub):
    first = await filled(hub)
    other, line = await device(hub)
    saving: list[asyncio.Task[object]] = []
    line.before_third = lambda: saving.append(asyncio.ensure_future(other.save_document("notes", "mine", {"a": 1})))
    result = await other.sync_now()
    await saving[0]
    assert (result.success, result.pulled, result.pushed) == (True, 350, 1)
    await first.sync_now()
    assert await first.get_document("notes", "mine")
    assert len(await other.query_documents("notes")) == 351


async def test_a_page_that_fails_is_asked_for_again_by_the_next_sync(hub: Hub):
    await filled(hub)
    other, line = await device(hub)

    def fail() -> None:
        raise ps.Unreachable("the cable is out")

    line.before_third = fail
    assert not (await other.sync_now()).success
    assert len(await other.query_documents("notes")) == 200
    assert (await other.sync_now()).success
    assert len(await other.query_documents("notes")) == 350


@pytest.mark.parametrize("fails", [False, True])
async def test_the_garbage_collector_rests_while_pages_come_and_never_after(hub: Hub, fails: bool):
    await filled(hub)
    other, line = await device(hub)
    rested = []

    def look() -> None:
        rested.append(not gc.isenabled())
        if fails:
            raise ps.Unreachable("the cable is out")

    line.before_third = look
    assert (await other.sync_now()).success is not fails
    assert rested == [True]
    assert gc.isenabled()
