"""Whatever devices, a backend and its failures do, in whatever order: all come to the same, and nothing is lost."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import pysync_web as ps
from pysync_web.core.fields import shown
from tests.unit.backend import Backend

numbers = itertools.count()
KEYS = ("x", "y")
FAULTS = ("push begins", "within a push", "push ends", "pull begins", "pull ends")

devices = st.integers(0, 1)
keys = st.sampled_from(KEYS)
faults = st.none() | st.tuples(st.sampled_from(FAULTS), st.integers(0, 2))
syncs = st.tuples(st.just("sync"), devices, faults)
saves = st.tuples(st.just("save"), devices, keys)
edits = st.tuples(st.just("edit"), st.just(0), keys)
deletes = st.tuples(st.just("delete"), devices, keys)
counts = st.tuples(st.just("count"), devices, keys)
purges = st.tuples(st.just("purge"), st.just(0), keys)


class World:
    """Two devices and a backend; every write is a field of its own, so that none can hide another."""

    def __init__(self, checks_versions: bool) -> None:
        self.backend = Backend(page=2, checks_versions=checks_versions)
        self.devices: list[ps.SyncManager] = []
        self.written: dict[str, set[str]] = {key: set() for key in KEYS}
        self.counted = dict.fromkeys(KEYS, 0)
        self.fields = itertools.count()

    async def run(self, steps: list[Any]) -> None:
        for _ in range(2):
            client = ps.CallbackTransport(self.backend.push, self.backend.pull, batch_size=1)
            name = f"law-{next(numbers)}"
            store = await ps.LocalStore.open(name, engine=ps.StorageEngine.MEMORY)
            self.devices.append(ps.SyncManager(store, client, ps.SyncConfig(auto_sync=False)))
        for word, number, what in steps:
            await self.step(word, self.devices[number], what)
        for _ in range(2):
            for device in self.devices:
                result = await device.sync_now()
                assert result.success, result.errors

    async def step(self, word: str, device: ps.SyncManager, what: Any) -> None:
        match word:
            case "save":
                await device.save_document("items", what, self.field(what))
            case "edit":
                row = self.backend.rows.get(("items", what), (None, 0))[0]
                self.backend.edit("items", what, {**(row or {}), **self.field(what)})
            case "count":
                self.counted[what] += 1
                await device.crdt_increment("items", what, "n")
                await device.crdt_set_add("items", what, "s", self.counted[what])
            case "delete":
                await device.delete_document("items", what)
            case "purge" if ("items", what) in self.backend.rows:
                self.backend.edit("items", what, None)
            case "sync":
                await self.sync(device, what)

    def field(self, key: str) -> dict[str, int]:
        number = next(self.fields)
        self.written[key].add(f"f{number}")
        return {f"f{number}": number}

    async def sync(self, device: ps.SyncManager, fault: tuple[str, int] | None) -> None:
        left = itertools.count()

        def fail(where: str) -> None:
            if fault and where == fault[0] and next(left) >= fault[1]:
                raise ConnectionError(where)

        self.backend.fault = fail
        await device.sync_now()
        self.backend.fault = lambda where: None

    async def close(self) -> None:
        for device in self.devices:
            await device.close()

    async def held(self, device: ps.SyncManager) -> dict[str, dict[str, Any]]:
        rows = await device.query_documents("items")
        return {key: {name: row[name] for name in row if name[0] != "_"} for key, row in rows}

    def at_backend(self) -> dict[str, dict[str, Any]]:
        return {key: shown(document) for (_, key), document in self.backend.documents().items()}


@given(st.lists(syncs | saves | edits, max_size=25), st.booleans())
async def test_no_field_that_anybody_wrote_is_ever_lost(steps: list[Any], checks_versions: bool):
    world = World(checks_versions)
    try:
        await world.run(steps)
        held = world.at_backend()
        assert {key: set(held.get(key, ())) for key in KEYS} == world.written
        for device in world.devices:
            assert await world.held(device) == held
            assert await device.lost_changes() == []
    finally:
        await world.close()


@given(st.lists(syncs | saves | edits | counts, max_size=25), st.booleans())
async def test_everything_that_devices_count_is_counted_once(steps: list[Any], checks_versions: bool):
    world = World(checks_versions)
    try:
        await world.run(steps)
        pushes = len(world.backend.pushes)
        for device in (*world.devices, *world.devices):
            await device.sync_now()
            assert await device.lost_changes() == []
            for key, count in world.counted.items():
                assert (await device.crdt_value("items", key, "n") or 0) == count
                assert (await device.crdt_value("items", key, "s") or []) == list(range(1, count + 1))
        assert len(world.backend.pushes) == pushes, "nothing goes to and fro"
    finally:
        await world.close()


@given(st.lists(syncs | saves | edits | counts | deletes | purges, max_size=25), st.booleans())
@example([("save", 0, "x"), ("sync", 0, ("within a push", 0)), ("purge", 0, "x")], False)
@example([("save", 0, "x"), ("sync", 0, ("push ends", 0)), ("edit", 0, "x"), ("delete", 0, "x")], False)
async def test_with_deletes_too_all_come_to_the_same(steps: list[Any], checks_versions: bool):
    world = World(checks_versions)
    try:
        await world.run(steps)
        held = world.at_backend()
        for device in world.devices:
            assert await world.held(device) == held
        pushes = len(world.backend.pushes)
        for device in world.devices:
            assert (await device.sync_now()).pulled == 0
        assert len(world.backend.pushes) == pushes, "nothing goes to and fro"
    finally:
        await world.close()
