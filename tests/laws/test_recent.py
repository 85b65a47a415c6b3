"""The feed that is kept in memory tells what the stored one does, whatever was read before and written since."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from pysync_web.causality import SERVER, timestamp
from pysync_web.core import recent
from pysync_web.core.document import State
from pysync_web.core.hub import Hub
from pysync_web.core.hub_state import required_state
from pysync_web.core.recent import Feed, Recent, Texts
from pysync_web.core.wire import Change, SyncRequest
from pysync_web.storage.memory import MemoryStorage
from pysync_web.storage.table import TableReader
from tests.simulator.storage import run

NOW_MS = 1_760_000_000_000


class World:
    """A database, what is kept of it, and a device that writes."""

    def __init__(self) -> None:
        self.storage = MemoryStorage.open(":memory:")
        self.rng = random.Random(1)
        self.hub = Hub(self.storage)
        run(self.hub.open(self.rng))
        self.n = 0

    @property
    def recent(self) -> Recent:
        return self.hub._memory.recent

    def write(self, keys: list[int], delete: int = 0) -> None:
        """Push changes of documents; the first ones delete theirs."""
        changes = []
        for place, key in enumerate(keys):
            self.n += 1
            at = timestamp(NOW_MS + self.n)
            state = State(None, at) if place < delete else State({"n": self.n, f"f{self.n % 7}": "x" * self.n}, at)
            operation = "delete" if place < delete else "update"
            changes.append(
                Change("notes", f"k{key}", operation, state, place < delete, f"op{self.n}", self.n, {}, "fields")
            )
        head = run(self.hub.head())
        request = SyncRequest("db", "writer", {SERVER: head}, tuple(changes))
        run(self.hub.exchange(request, NOW_MS + self.n, self.rng))
        assert run(self.hub.head()) > head or delete

    def forget(self) -> None:
        """Forget the deletes of a while ago."""
        run(self.hub.tend(NOW_MS + self.n, NOW_MS + self.n - 60, self.rng))

    def read(self, after: int, limit: int, every: int) -> None:
        """Read entries and some of their documents, from what is kept and from the database."""

        async def body(tx):
            state = await required_state(tx)
            found = []
            for feed in (self.recent.feed(tx, state), Feed(tx, state)):
                entries = await feed.after(max(after, state.floor), limit)
                found.append((entries, await feed.texts(entries[::every] if every else [])))
            return found

        kept, stored = run(self.storage.read(body))
        assert kept == stored


@pytest.mark.parametrize(
    ("characters", "entries"), [(0, 99), (1000, 99), (1000, 15), (16_000_000, 40), (16_000_000, 10_000)]
)
def test_what_is_kept_of_the_feed_is_the_feed(characters, entries, monkeypatch):
    monkeypatch.setattr(recent, "MOST_CHARACTERS", characters)
    monkeypatch.setattr(recent, "MOST_IN_ENTRIES", characters)
    monkeypatch.setattr(recent, "MOST_ENTRIES", entries)
    for seed in range(10):
        rng = random.Random(seed)
        world = World()
        world.write(list(range(20)))
        for _ in range(50):
            if rng.random() < 0.2:
                world.write(rng.choices(range(30), k=(size := rng.randint(1, 25))), rng.randint(0, size // 3))
            elif rng.random() < 0.1:
                world.forget()
            else:
                world.read(rng.randrange(run(world.hub.head()) + 5), rng.randint(1, 12), rng.randint(0, 2))
            for part in (world.recent._end, world.recent._run):
                assert len(part.entries) <= entries
                assert part.size == sum(one.size for one in part.entries) <= characters
            texts = world.recent._texts
            assert texts._characters == sum(map(len, texts._known.values())) <= characters


def test_a_read_that_a_commit_overtakes_sees_its_own_state():
    world = World()
    world.read(0, 1, 0)
    world.write(list(range(20)))
    world.write([3])
    before = TableReader(deepcopy(world.storage._database.table))
    state = run(required_state(before))
    kept, stored = world.recent.feed(before, state), Feed(before, state)
    run(kept.after(0, 8))
    world.write([5, 6])
    entries = run(kept.after(4, 30))
    assert entries == run(stored.after(4, 30))
    assert run(kept.texts(entries)) == run(stored.texts(entries))
    world.read(0, 30, 1)


def test_documents_are_kept_until_the_database_is_put_back():
    texts = Texts()
    texts.keep("a", {1: "one", 2: "two"})
    texts.keep("a", {2: "two", 3: "three"})
    assert texts.of("a", 3) == texts.of("a", 9) == {1: "one", 2: "two", 3: "three"}
    assert texts.of("a", 2) == {}
    texts.keep("a", {1: "another"})
    assert texts.of("b", 9) == {}


def test_a_database_that_was_put_back_in_place_is_read_anew():
    world = World()
    world.write(list(range(10)))
    backup = deepcopy(dict(world.storage._database.table))
    world.write([20, 21])
    world.read(0, 30, 1)
    world.storage._database.table.clear()
    world.storage._database.table.update(backup)
    world.write([30, 31, 32])
    world.read(0, 30, 1)


def test_what_was_not_committed_is_not_kept():
    world = World()
    world.write([1])

    class Full(Exception):
        pass

    async def write(body, **_):
        async def cut(tx):
            await body(tx)
            raise Full

        await MemoryStorage.write(world.storage, cut)

    world.storage.write = write
    with pytest.raises(Full):
        world.write([2])
    assert list(world.recent._texts._known) == [1]
