"""Filters against an oracle: after each batch of edits every device shows exactly what a fresh query gives."""

from __future__ import annotations

import random
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage
from tests.oracle.world import Device, documents_of, expected, open_device, view_of


async def settle(devices: list[Device]) -> None:
    """Sync all, until nobody has anything to send."""
    for _ in range(6):
        results = [await device.manager.sync_now() for device in devices]
        assert all(result.success for result in results), [result.errors for result in results]
        if not any(result.pushed or result.conflicts for result in results):
            return
    raise AssertionError("the devices don't come to rest")


def differences(view: Any, wanted: Any) -> list[Any]:
    """List what two views have differently."""
    names = [(name, key) for name in {*view, *wanted} for key in {*view.get(name, {}), *wanted.get(name, {})}]
    both = [(name, view.get(name[0], {}).get(name[1]), wanted.get(name[0], {}).get(name[1])) for name in names]
    return [row for row in both if row[1] != row[2]]


async def play(seed: int, *, batches: int = 12, edits: int = 40, devices: int = 8) -> int:
    """Play a world; give how many views were compared."""
    rng = random.Random(seed)
    storage = MemoryStorage.open(f"oracle-{seed}")
    hub = Hub(storage)
    await hub.open(rng)
    page = rng.choice((5, 50, 1000))
    tables: list[Any] = [ps.LocalTransport(hub) for _ in range(devices)]
    found = [await open_device(f"d{i}-{seed}", tables[i], None, page_size=page) for i in range(devices)]
    compared = 0
    for _ in range(batches):
        for _ in range(edits):
            device = rng.choice(found)
            await device.edit(rng, 60)
            if rng.random() < 0.1:
                await device.choose(rng)
            if rng.random() < 0.1:
                await device.manager.sync_now()
        await settle(found)
        truth = await documents_of(storage)
        for device in found:
            wanted = expected(truth, device.chosen, device.has_rest)
            view = await view_of(device.manager)
            assert view == wanted, (seed, device.name, device.chosen, device.has_rest, differences(view, wanted))
            compared += 1
    for device in found:
        await device.manager.close()
    return compared


@pytest.mark.parametrize("seed", range(20))
async def test_every_view_is_what_a_fresh_query_gives(seed: int) -> None:
    """Parts, exact lists, nothing, everything again; edits inside and outside of what a device holds."""
    assert await play(seed) == 12 * 8
