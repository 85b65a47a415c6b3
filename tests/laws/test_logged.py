"""Two stores of an application's own, their stages in any order: both come to the same, and nothing is lost."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()
KEYS = ("x", "y")
STAGES = ("scan", "share", "receive", "integrate", "sync")

stages = st.tuples(st.sampled_from(STAGES), st.integers(0, 1), st.just(""))
writes = st.tuples(st.sampled_from(("put", "around")), st.integers(0, 1), st.sampled_from(KEYS))
deletes = st.tuples(st.sampled_from(("delete", "drop")), st.integers(0, 1), st.sampled_from(KEYS))


class World:
    """Two devices, each with a dict; every write is a field of its own."""

    def __init__(self) -> None:
        self.stores: list[dict[str, Any]] = [{}, {}]
        self.logs: list[ps.LoggedStore] = []
        self.managers: list[ps.SyncManager] = []
        self.written: dict[str, set[str]] = {key: set() for key in KEYS}
        self.fields = itertools.count()

    async def run(self, steps: list[tuple[str, int, str]]) -> None:
        hub = Hub(MemoryStorage())
        await hub.open(random.SystemRandom())
        for held in self.stores:
            store = await ps.LocalStore.open(f"law-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
            manager = ps.SyncManager(store, ps.LocalTransport(hub), ps.SyncConfig(auto_sync=False))
            self.managers.append(manager)
            self.logs.append(manager.logged_store("notes", held))
        for word, number, key in steps:
            await self.step(word, self.logs[number], self.stores[number], key)
        for _ in range(3):
            for log in self.logs:
                assert (await log.sync()).success

    async def step(self, word: str, log: ps.LoggedStore, held: dict[str, Any], key: str) -> None:
        if word in STAGES:
            await getattr(log, word)()
        elif word == "delete":
            await log.delete(key)
        elif word == "drop":
            held.pop(key, None)
        else:
            name = f"f{next(self.fields)}"
            self.written[key].add(name)
            document = {**held.get(key, {}), name: 1}
            if word == "put":
                await log.put(key, document)
            else:
                held[key] = document

    async def close(self) -> None:
        for manager in self.managers:
            await manager.close()


@given(st.lists(stages | writes, max_size=25))
async def test_no_field_that_anybody_wrote_is_ever_lost(steps: list[tuple[str, int, str]]):
    world = World()
    try:
        await world.run(steps)
        assert world.stores[0] == world.stores[1]
        assert {key: set(world.stores[0].get(key, ())) for key in KEYS} == world.written
        assert [await manager.lost_changes() for manager in world.managers] == [[], []]
    finally:
        await world.close()


@given(st.lists(stages | writes | deletes, max_size=25))
async def test_with_deletes_too_both_come_to_the_same_and_stay_so(steps: list[tuple[str, int, str]]):
    world = World()
    try:
        await world.run(steps)
        assert world.stores[0] == world.stores[1]
        for log in world.logs:
            assert await log.scan() == 0
            result = await log.sync()
            assert (result.pushed, result.pulled) == (0, 0)
    finally:
        await world.close()
