"""A store of one's own syncs: what was written through the wrapper, around it, and elsewhere, in every order."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage
from pysync_web.values import dumps, loads
from tests.unit.backend import Crash

numbers = itertools.count()
Opener = Callable[..., Awaitable[tuple[ps.LoggedStore, Any, ps.SyncManager]]]


async def new_hub() -> Hub:
    hub = Hub(MemoryStorage())
    await hub.open(random.SystemRandom())
    return hub


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    opened: list[ps.SyncManager] = []
    shared = await new_hub()

    async def open_one(
        store: Any = None,
        name: str = "",
        config: ps.SyncConfig | None = None,
        hub: Hub | None = None,
        **options: Any,
    ) -> tuple[ps.LoggedStore, Any, ps.SyncManager]:
        local = await ps.LocalStore.open(name or f"logged-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
        manager = ps.SyncManager(local, ps.LocalTransport(hub or shared), config or ps.SyncConfig(auto_sync=False))
        await manager.start()
        opened.append(manager)
        store = {} if store is None else store
        return manager.logged_store("notes", store, **options), store, manager

    yield open_one
    for manager in opened:
        await manager.close()


async def settle(*logged: ps.LoggedStore) -> None:
    for one in (*logged, *logged, *logged):
        result = await one.sync()
        assert result.success, result.errors


async def test_what_is_written_through_the_wrapper_comes_to_the_other_store(opener: Opener):
    one, mine, _ = await opener()
    two, theirs, _ = await opener()
    key = await one.put(None, {"a": 1})
    await one.put("k", {"b": {"c": 1}})
    assert mine == {key: {"a": 1}, "k": {"b": {"c": 1}}} and await one.get("k") == {"b": {"c": 1}}
    await settle(one, two)
    assert theirs == mine
    assert await two.delete("k") and not await two.delete("k")
    await settle(one, two)
    assert theirs == mine == {key: {"a": 1}}


async def test_the_stages_do_one_thing_each(opener: Opener):
    one, mine, first = await opener()
    two, theirs, second = await opener()
    await one.put("k", {"a": 1})
    await two.put("l", {"b": 1})
    assert (await one.receive()).success and (await first.status()).pending == 1
    assert (await one.share()).pushed == 1 and (await first.status()).pending == 0
    received = await two.receive()
    assert (received.pushed, received.pulled) == (0, 1)
    assert theirs == {"l": {"b": 1}}, "nothing is integrated yet"
    assert await two.integrate() == 1 and await two.integrate() == 0
    assert theirs == {"k": {"a": 1}, "l": {"b": 1}} and mine == {"k": {"a": 1}}
    await second.save_document("others", "x", {})
    assert (await two.share()).pushed == 1 and (await second.status()).pending == 1


async def test_what_was_changed_behind_the_wrapper_s_back_is_found_once(opener: Opener):
    one, mine, _ = await opener({"old": {"a": 0}})
    two, theirs, _ = await opener()
    await one.put("k", {"a": 1, "b": 1})
    await one.put("gone", {})
    mine["k"]["a"] = 2
    del mine["gone"]
    mine["new"] = {"n": 1}
    assert await one.scan() == 4
    assert await one.scan() == 0
    await settle(one, two)
    assert theirs == mine == {"old": {"a": 0}, "k": {"a": 2, "b": 1}, "new": {"n": 1}}


async def test_integrating_never_overwrites_what_was_changed_behind_the_back(opener: Opener):
    one, mine, _ = await opener()
    two, theirs, _ = await opener()
    await one.put("k", {"a": 1, "b": 1})
    await settle(one, two)
    await two.put("k", {"a": 1, "b": 2})
    await two.share()
    await one.receive()
    mine["k"] = {"a": 2, "b": 1}
    assert await one.integrate() == 1
    assert mine == {"k": {"a": 2, "b": 2}}
    await settle(one, two)
    assert mine == theirs == {"k": {"a": 2, "b": 2}}


async def test_putting_what_was_read_before_does_not_undo_what_came_meanwhile(opener: Opener):
    one, mine, _ = await opener()
    two, theirs, _ = await opener()
    await one.put("k", {"a": 1, "b": 1})
    await settle(one, two)
    await two.put("k", {"a": 2, "b": 1})
    await two.share()
    await one.receive()
    await one.put("k", {"a": 1, "b": 3})
    assert mine == {"k": {"a": 2, "b": 3}}
    await settle(one, two)
    assert theirs == mine


EDITS: dict[str, Callable[[ps.LoggedStore, str], Awaitable[Any]]] = {
    "create": lambda store, who: store.put("k", {who: 1, "both": who}),
    "modify": lambda store, who: store.put("old", {"base": 1, who: 1, "both": who}),
    "delete": lambda store, who: store.delete("old"),
    "recreate": lambda store, who: recreate(store, who),
}


async def recreate(store: ps.LoggedStore, who: str) -> None:
    await store.delete("old")
    await store.put("old", {"again": who})


@pytest.mark.parametrize("sends", list(itertools.permutations(["one", "two", "three"]))[:3])
@pytest.mark.parametrize("edits", list(itertools.product(EDITS, EDITS)))
async def test_two_logs_come_to_the_same_in_every_order(
    opener: Opener, edits: tuple[str, str], sends: tuple[str, ...]
):
    stores = {name: (await opener())[:2] for name in ("one", "two", "three")}
    logs = [stores[name][0] for name in ("one", "two", "three")]
    await logs[0].put("old", {"base": 1})
    await settle(*logs)
    await EDITS[edits[0]](stores["one"][0], "one")
    await EDITS[edits[1]](stores["two"][0], "two")
    for name in sends:
        assert (await stores[name][0].sync()).success
    await settle(*logs)
    contents = [stores[name][1] for name in ("one", "two", "three")]
    assert contents[0] == contents[1] == contents[2]
    if edits == ("create", "create"):
        assert contents[0]["k"]["one"] == contents[0]["k"]["two"] == 1
    if edits == ("modify", "modify"):
        assert contents[0]["old"] == {"base": 1, "one": 1, "two": 1, "both": "two"}
    if edits == ("delete", "delete"):
        assert contents[0] == {}


async def test_a_log_that_comes_late_and_twice_changes_nothing_that_is_newer(opener: Opener):
    one, mine, _ = await opener()
    two, theirs, _ = await opener()
    await one.put("k", {"a": 1})
    await settle(one, two)
    await one.put("k", {"a": "early"})
    await asyncio.sleep(0.002)
    await two.put("k", {"a": "later"})
    await settle(two)
    await settle(one, two)
    assert mine == theirs == {"k": {"a": "later"}}


async def test_a_reconciler_decides_whatever_was_changed_on_both_sides_and_nothing_else(opener: Opener):
    asked: list[ps.Conflict] = []

    def larger(conflict: ps.Conflict) -> Any:
        asked.append(conflict)
        assert conflict.local is not None and conflict.remote is not None and conflict.base == {"n": 1}
        return ps.Merge({"n": max(conflict.local["n"], conflict.remote["n"]), "merged": True})

    one, mine, first = await opener(reconciler=larger)
    two, theirs, _ = await opener(reconciler=larger)
    await one.put("k", {"n": 1})
    await settle(one, two)
    assert asked == []
    await one.put("k", {"n": 7})
    await two.put("k", {"n": 5})
    await settle(one, two)
    assert mine == theirs == {"k": {"n": 7, "merged": True}}
    assert len(asked) == 1
    one.close()
    assert not first._conflicts._hooks


async def test_what_others_changed_in_a_document_that_the_store_deletes_unseen_comes_back(opener: Opener):
    one, mine, _ = await opener()
    two, theirs, _ = await opener()
    for key in ("through", "around"):
        await one.put(key, {"a": 1})
    await settle(one, two)
    for key in ("through", "around"):
        await two.put(key, {"a": 2})
    await two.share()
    await one.receive()
    await one.delete("through")
    del mine["around"]
    await one.scan()
    await settle(one, two)
    assert mine == theirs == {"through": {"a": 2}, "around": {"a": 2}}


async def test_a_put_that_changes_nothing_is_not_written_or_logged(opener: Opener):
    writes = itertools.count()
    one, _, manager = await opener(Counting(lambda: next(writes)))
    await one.put("k", {"a": 1})
    await settle(one)
    before = next(writes)
    await one.put("k", {"a": 1})
    await settle(one)
    assert next(writes) == before + 1
    assert (await manager.status()).pending == 0


async def test_keys_are_made_by_the_key_factory(opener: Opener):
    made = itertools.count(1)
    config = ps.SyncConfig(auto_sync=False, key_factory=lambda: f"note-{next(made)}")
    one, _, manager = await opener(config=config)
    assert [await one.put(None, {}) for _ in range(2)] == ["note-1", "note-2"]
    assert (await manager.save_document("notes", None, {}))["_key"] == "note-3"
    wrong = ps.SyncConfig(auto_sync=False, key_factory=lambda: "")
    _, _, manager = await opener(config=wrong)
    with pytest.raises(ps.InvalidDocument):
        await manager.save_document("notes", None, {})


class Counting(MutableMapping[str, Any]):
    """A mapping that ends the program at one of its calls."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.held: dict[str, Any] = {}
        self.step = step

    def __getitem__(self, key: str) -> Any:
        return self.held[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.step()
        self.held[key] = value
        self.step()

    def __delitem__(self, key: str) -> None:
        self.step()
        del self.held[key]
        self.step()

    def __iter__(self) -> Any:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


async def test_a_crash_anywhere_is_gone_on_from_and_nothing_is_logged_twice(opener: Opener, monkeypatch: Any):
    for point in itertools.count():
        steps, ended = itertools.count(), False
        is_on = False

        def step() -> None:
            if is_on and next(steps) == point:  # noqa: B023
                raise Crash

        mine = Counting(step)
        name = f"crash-{next(numbers)}"
        hub = await new_hub()
        one, _, manager = await opener(mine, name=name, hub=hub)
        two, theirs, other = await opener(hub=hub)
        await one.put("a", {"v": 0, "w": 0})
        await one.put("b", {"v": 0})
        await settle(one, two)
        await two.put("a", {"v": 0, "w": 1})
        await two.delete("b")
        await two.put("c", {"v": 3})
        await two.share()
        mine.held["d"] = {"v": 4}
        write = MemoryStorage.write

        async def crashing(self: MemoryStorage, body: Any, *, relaxed: bool = False, go: Any = write) -> Any:
            step()
            result = await go(self, body, relaxed=relaxed)
            step()
            return result

        with monkeypatch.context() as patch:
            patch.setattr(MemoryStorage, "write", crashing)
            is_on = True
            try:
                await one.put("a", {"v": 1, "w": 0})
                await one.sync()
                ended = True
            except Crash:
                pass
            is_on = False
        again = manager.logged_store("notes", mine)
        await settle(again, two)
        assert mine.held == theirs, point
        assert {key: mine.held[key] for key in mine.held if key != "a"} == {"c": {"v": 3}, "d": {"v": 4}}
        assert mine.held["a"]["w"] == 1 and mine.held["a"]["v"] in ((1,) if ended else (0, 1))
        assert await manager.lost_changes() == await other.lost_changes() == []
        if ended:
            assert point > 20
            return


async def test_integrating_goes_in_batches_of_so_many_documents_and_bytes(opener: Opener, monkeypatch: Any):
    one, _, _ = await opener()
    two, theirs, _ = await opener(batch_size=4, batch_bytes=500)
    for i in range(9):
        await one.put(str(i), {"t": "x" * (400 if i in (1, 2) else 1)})
    await one.share()
    await two.receive()
    sizes: list[int] = []
    write = ps.LoggedStore._write_batch

    async def noted(self: ps.LoggedStore, wanted: Any) -> int:
        sizes.append(len(wanted))
        return await write(self, wanted)

    monkeypatch.setattr(ps.LoggedStore, "_write_batch", noted)
    assert await two.integrate() == 9 and len(theirs) == 9
    assert sizes == [2, 4, 3, 0]


class AsyncStore:
    """A key-value store whose every call waits, as one over a network or a file does."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.held.get(key)

    async def put(self, key: str, document: Any) -> None:
        await asyncio.sleep(0)
        self.held[key] = document

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.held.pop(key, None)

    async def keys(self) -> AsyncIterator[str]:
        for key in list(self.held):
            await asyncio.sleep(0)
            yield key


async def test_an_asynchronous_store_does_too(opener: Opener):
    one, mine, _ = await opener(AsyncStore())
    two, theirs, _ = await opener()
    await one.put("k", {"a": 1})
    mine.held["l"] = {"b": 1}
    await settle(one, two)
    assert theirs == mine.held == {"k": {"a": 1}, "l": {"b": 1}}


class ListedStore(AsyncStore):
    """A key-value store that gives its keys all at once."""

    async def keys(self) -> list[str]:  # type: ignore[override]
        return list(self.held)


async def test_a_store_may_give_its_keys_all_at_once(opener: Opener):
    one, mine, sync = await opener(ListedStore())
    mine.held["a"] = {"n": 1}
    assert await one.scan() == 1
    assert (await sync.get_document("notes", "a"))["n"] == 1


async def test_a_store_that_begins_empty_again_is_filled_and_deletes_nothing(opener: Opener):
    first, _, sync = await opener()
    await first.put("a", {"n": 1})
    await first.put("b", {"n": 2})
    await first.sync()
    for begin in ("sync", "integrate", "scan"):
        mine: dict[str, Any] = {}
        again = sync.logged_store("notes", mine)
        await getattr(again, begin)()
        await again.sync()
        assert mine == {"a": {"n": 1}, "b": {"n": 2}}
    await again.delete("a")
    del mine["b"]
    await again.sync()
    assert mine == {} and await sync.query_documents("notes") == []


async def test_what_a_store_holds_that_is_no_document_is_named(opener: Opener):
    one, _, _ = await opener({"k": {"a": float("nan")}})
    with pytest.raises(ps.InvalidDocument, match="'k'"):
        await one.scan()
    with pytest.raises(ps.InvalidDocument):
        await one.put("k", [])  # type: ignore[arg-type]


async def test_what_the_server_has_no_more_leaves_the_store_after_a_full_resync(opener: Opener):
    one, mine, manager = await opener()
    await one.put("k", {"a": 1})
    await settle(one)
    manager._client = ps.LocalTransport(await new_hub())
    await manager.store.storage.write(forget_epoch)
    assert (await manager.full_resync()).success
    assert await manager.get_document("notes", "k") is None
    assert mine == {"k": {"a": 1}}
    assert await one.integrate() == 1
    assert mine == {}


async def forget_epoch(tx: Any) -> None:
    """Let a device take another server for its own."""
    stored = loads(await tx.get("meta", ("sync",)))
    tx.put("meta", ("sync",), dumps({**stored, "epoch": None, "fence": None}))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_bytes": 0}])
async def test_batches_of_nothing_are_refused(opener: Opener, wrong: dict[str, int]):
    with pytest.raises(ps.InvalidDocument):
        await opener(**wrong)
