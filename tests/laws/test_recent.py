"""The feed that is kept in memory tells what the stored one does, whatever was read before and written since."""

from __future__ import annotations

import random

import pytest

from pysync_web.causality import SERVER, timestamp
from pysync_web.core import recent
from pysync_web.core.document import State
from pysync_web.core.hub import Hub
from pysync_web.core.hub_state import required_state
from pysync_web.core.recent import Feed, Recent
from pysync_web.core.wire import Change, SyncRequest
from pysync_web.storage.memory import MemoryStorage
from tests.simulator.storage import run

NOW_MS = 1_760_000_000_000


class World:
    """A database, what is kept of it, and a device that writes."""

    def __init__(self) -> None:
        self.storage = MemoryStorage.open(":memory:")
        self.rng = random.Random(1)
        self.hub = Hub(self.storage)
        run(self.hub.open(self.rng))
        self.recent = Recent()
        self.n = 0

    def write(self, keys: list[int]) -> None:
        changes = []
        for key in keys:
            self.n += 1
            state = State({"n": self.n}, timestamp(NOW_MS + self.n))
            changes.append(Change("notes", f"k{key}", "update", state, False, f"op{self.n}", self.n, {}, "fields"))
        head = run(self.hub.head())
        run(self.hub.exchange(SyncRequest("db", "writer", {SERVER: head}, tuple(changes)), NOW_MS, self.rng))
        assert run(self.hub.head()) == head + len(keys)

    def read(self, after: int, limit: int, every: int) -> None:
        async def body(tx):
            state = await required_state(tx)
            found = []
            for feed in (self.recent.feed(tx, state), Feed(tx, state.head)):
                entries = await feed.after(after, limit)
                found.append((entries, await feed.texts(entries[::every] if every else [])))
            return found

        kept, stored = run(self.storage.read(body))
        assert kept == stored


@pytest.mark.parametrize(("characters", "entries"), [(0, 99), (1000, 99), (1000, 15), (16_000_000, 10_000)])
def test_what_is_kept_of_the_feed_is_the_feed(characters, entries, monkeypatch):
    monkeypatch.setattr(recent, "MOST_CHARACTERS", characters)
    monkeypatch.setattr(recent, "MOST_ENTRIES", entries)
    for seed in range(10):
        rng = random.Random(seed)
        world = World()
        world.write(list(range(20)))
        for _ in range(50):
            if rng.random() < 0.1:
                world.write(rng.sample(range(30), rng.randint(1, 25)))
            else:
                world.read(rng.randrange(run(world.hub.head()) + 5), rng.randint(1, 12), rng.randint(0, 2))
            assert len(world.recent._run.entries) <= max(entries, 12)
