"""The sync manager over memory and a hub in the same process: what an application is promised, page or native."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()


class Cable:
    """A transport whose cable can be pulled, before a request goes out or before its answer comes back."""

    def __init__(self, hub: Hub) -> None:
        self.inner = ps.LocalTransport(hub)
        self.is_plugged = True
        self.loses_answers = False
        self.error: Exception | None = None
        self.sent = 0

    async def exchange(self, database: str, body: str) -> str:
        if not self.is_plugged:
            raise ps.Unreachable("the cable is out")
        if self.error is not None:
            raise self.error
        self.sent += 1
        answer = await self.inner.exchange(database, body)
        if self.loses_answers:
            raise ps.Unreachable("the answer was lost")
        return answer

    def pokes(self, database: str, collections: Collection[str] | None = None) -> AsyncIterator[int]:
        return self.inner.pokes(database, collections)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
async def hub() -> Hub:
    made = Hub(MemoryStorage.open(":memory:"))
    await made.open(random.SystemRandom())
    return made


@pytest.fixture
async def open_device(hub: Hub) -> AsyncIterator[Callable[..., Awaitable[tuple[ps.SyncManager, Cable]]]]:
    opened: list[ps.SyncManager] = []

    async def open_one(name: str | None = None, **options: object) -> tuple[ps.SyncManager, Cable]:
        cable = Cable(hub)
        place = name or f"device-{next(numbers)}"
        chosen = {"auto_sync": False, "engine": ps.StorageEngine.MEMORY, **options}
        opened.append(await ps.open(place, server=cable, **chosen))  # type: ignore[arg-type]
        return opened[-1], cable

    yield open_one
    for manager in opened:
        await manager.close()


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until a condition holds; the test's own deadline ends it."""
    while not await condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


async def test_a_document_is_there_at_once_and_after_opening_again(open_device):
    device, _ = await open_device("notebook")
    saved = await device.save_document("notes", "1", {"title": "milk"})
    assert saved["_key"] == "1" and saved["title"] == "milk"
    assert await device.get_document("notes", "1") == saved
    again, _ = await open_device("notebook")
    assert await again.get_document("notes", "1") == saved


async def test_saving_merges_the_fields_and_replacing_does_not(open_device):
    device, _ = await open_device()
    await device.save_document("notes", "1", {"a": 1, "b": {"c": 1}})
    merged = await device.save_document("notes", "1", {"b": {"d": 2}})
    assert (merged["a"], merged["b"]) == (1, {"d": 2})
    replaced = await device.save_document("notes", "1", {"z": 0}, replace=True)
    assert {name for name in replaced if not name.startswith("_")} == {"z"}


async def test_what_was_read_can_be_saved_again_and_changes_nothing(open_device):
    device, _ = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    read = await device.get_document("notes", "1")
    await device.sync_now()
    await device.save_document("notes", "1", read)
    assert (await device.status()).pending == 0


async def test_a_key_is_made_for_a_document_without_one_and_keys_sort_by_time(open_device):
    device, _ = await open_device()
    first = (await device.save_document("notes", None, {"a": 1}))["_key"]
    await asyncio.sleep(0.005)
    second = (await device.save_document("notes", None, {"a": 2}))["_key"]
    assert first < second and first[14] == "7"


async def test_a_query_makes_keys_as_a_save_does(open_device):
    device, _ = await open_device()
    (first,) = await device.query("INSERT {a: 1} INTO notes RETURN NEW._key")
    assert len(first) == 36 and first[14] == "7"
    made = itertools.count()
    device = await with_keys(lambda: f"mine{next(made)}")
    assert await device.query("FOR i IN 1..2 INSERT {i} INTO notes RETURN NEW._key") == ["mine0", "mine1"]
    await device.explain("INSERT {a: 1} INTO notes")
    (other,) = await device.query("UPSERT {b: 1} INSERT {b: 1} UPDATE {} IN notes RETURN NEW._key")
    assert other == "mine2"
    assert await device.query("INSERT {_key: 'own'} INTO notes RETURN NEW._key") == ["own"]
    await device.close()
    wrong = await with_keys(lambda: "")
    with pytest.raises(ps.SyncError, match="a key has 1 to 128 bytes"):
        await wrong.query("INSERT {a: 1} INTO notes")
    await wrong.close()


async def test_a_storage_is_a_copy_of_one_database_of_the_server(open_device):
    name = f"shared-{next(numbers)}"
    alice, _ = await open_device(name, database="alice")
    await alice.save_document("notes", "1", {"a": 1})
    await alice.close()
    with pytest.raises(ps.SyncError, match="a copy of the database 'alice', and would mix it into 'bob'"):
        await open_device(name, database="bob")
    again, _ = await open_device(name, database="alice")
    assert (await again.status()).pending == 1


@pytest.mark.parametrize(
    "query",
    [
        "FOR l IN logs_2026 RETURN l",
        "FOR l IN @@which RETURN l",
        "FOR n IN notes FOR l IN logs_2026 RETURN l",
        "FOR n IN notes JOIN logs_2026 ON n.a == logs_2026.a RETURN n.a",
        "FOR l IN FULLTEXT('logs_2026', 'text', 'word') RETURN l",
        "FOR v IN 1..2 OUTBOUND 'logs_2026/a' logs_2026 RETURN v",
        "FOR l IN logs_2026 REMOVE l IN logs_2026",
    ],
)
async def test_a_collection_without_a_document_yet_is_empty_whatever_others_are_called(open_device, query):
    device, _ = await open_device()
    await device.save_documents("logs_2025", {"a": {"a": 1}})
    await device.save_document("notes", "n", {"a": 1})
    binds = {"which": "logs_2026"} if "@@" in query else None
    assert await device.query(query, binds) == []
    (warning,) = [one for one in (await device.explain(query, binds))["warnings"] if "yet" in one]
    assert warning == "there is no document in a collection 'logs_2026' yet. Did you mean logs_2025?"
    await device.save_document("logs_2026", "b", {"a": 2})
    assert await device.query("FOR l IN logs_2026 RETURN l._key") == ["b"]


async def with_keys(key_factory: Callable[[], str]) -> ps.SyncManager:
    store = await ps.LocalStore.open(f"device-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
    return ps.SyncManager(store, None, ps.SyncConfig(key_factory=key_factory))


async def test_documents_travel_to_the_server_and_to_another_device_and_back(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    await one.save_document("notes", "1", {"title": "milk"})
    assert (await one.sync_now()).pushed == 1
    assert (await two.sync_now()).pulled == 1
    await two.save_document("notes", "1", {"done": True})
    await two.sync_now()
    await one.sync_now()
    found = await one.get_document("notes", "1")
    assert found == await two.get_document("notes", "1")
    assert (found["title"], found["done"]) == ("milk", True)


async def test_two_people_who_change_different_fields_both_win(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    await one.save_document("notes", "1", {"a": 0, "b": 0})
    await one.sync_now()
    await two.sync_now()
    await one.save_document("notes", "1", {"a": 1})
    await two.save_document("notes", "1", {"b": 2})
    for device in (one, two, one):
        assert (await device.sync_now()).success
    for device in (one, two):
        found = await device.get_document("notes", "1")
        assert (found["a"], found["b"]) == (1, 2)


async def test_what_loses_against_a_later_write_is_in_the_ledger(open_device):
    strategy = ps.ConflictStrategy.LAST_WRITE_WINS
    one, _ = await open_device(conflict_strategy=strategy)
    two, _ = await open_device(conflict_strategy=strategy)
    await one.save_document("notes", "1", {"a": "early"})
    await asyncio.sleep(0.005)
    await two.save_document("notes", "1", {"a": "late"})
    await two.sync_now()
    result = await one.sync_now()
    assert result.conflicts == 1
    assert (await one.get_document("notes", "1"))["a"] == "late"
    (entry,) = await one.lost_changes()
    assert entry.body == {"a": "early"} and entry.kind == "lost"


async def test_a_hook_decides_a_conflict_and_everybody_gets_its_answer(open_device):
    strategy = ps.ConflictStrategy.LAST_WRITE_WINS
    one, _ = await open_device(conflict_strategy=strategy)
    two, _ = await open_device(conflict_strategy=strategy)
    await one.save_document("notes", "1", {"n": 1})
    await two.save_document("notes", "1", {"n": 2})
    await one.sync_now()
    two.on_conflict(lambda c: ps.ConflictResolution.Merge({"n": c.local["n"] + c.remote["n"]}))
    await two.sync_now()
    await one.sync_now()
    assert (await one.get_document("notes", "1"))["n"] == (await two.get_document("notes", "1"))["n"] == 3


async def test_a_conflict_hook_that_raises_leaves_it_to_the_strategy(open_device, caplog):
    strategy = ps.ConflictStrategy.LAST_WRITE_WINS
    one, _ = await open_device(conflict_strategy=strategy)
    two, _ = await open_device(conflict_strategy=strategy)
    await one.save_document("notes", "1", {"n": 1})
    await asyncio.sleep(0.005)
    await two.save_document("notes", "1", {"n": 2})
    await one.sync_now()
    two.on_conflict(lambda conflict: 1 // 0)
    assert (await two.sync_now()).success
    assert (await two.get_document("notes", "1"))["n"] == 2
    assert "on_conflict" in caplog.text


async def test_without_a_network_everything_is_kept_and_the_status_says_so(open_device):
    device, cable = await open_device()
    cable.is_plugged = False
    await device.save_document("notes", "1", {"a": 1})
    result = await device.sync_now()
    assert not result.success and result.errors == ["the cable is out"]
    status = await device.status()
    assert status.pending == 1 and status.last_error == "the cable is out" and status.next_retry_s is not None
    cable.is_plugged = True
    assert (await device.sync_now()).pushed == 1
    status = await device.status()
    assert (status.pending, status.last_error, status.next_retry_s) == (0, None, None)


async def test_an_answer_that_is_lost_changes_nothing_twice(open_device):
    (one, cable), (two, _) = await open_device(), await open_device()
    cable.loses_answers = True
    await one.save_document("notes", "1", {"a": 1})
    assert not (await one.sync_now()).success
    await one.save_document("notes", "1", {"b": 2})
    cable.loses_answers = False
    assert (await one.sync_now()).success
    await two.sync_now()
    found = await two.get_document("notes", "1")
    assert (found["a"], found["b"]) == (1, 2)
    assert found["_version"]["server"] == 2
    assert await two.get_document("notes", "1") == await one.get_document("notes", "1")


async def test_an_expired_token_blocks_sync_and_keeps_every_change(open_device):
    device, cable = await open_device()
    cable.error = ps.Unauthorized("the token has expired")
    await device.save_document("notes", "1", {"a": 1})
    await device.sync_now()
    status = await device.status()
    assert status.blocked_by == "unauthorized" and status.pending == 1
    cable.error = None
    assert (await device.sync_now()).pushed == 1
    assert (await device.status()).blocked_by is None


async def test_a_handle_without_a_good_token_leaves_the_lead_to_one_that_has_it(open_device):
    name = f"shared-{next(numbers)}"
    one, cable = await open_device(name, auto_sync=True)
    await eventually(lambda: is_idle(one))
    two, other = await open_device(name, auto_sync=True)
    await eventually(lambda: is_in(two, "following"))
    cable.error = other.error = ps.Unauthorized("the token has expired")
    await one.save_document("notes", "1", {"a": 1})
    await eventually(lambda: is_in(one, "blocked"))
    await eventually(lambda: is_in(two, "blocked"))  # it has tried, so it can say what is wrong
    other.error = None
    two.resume_sync()
    await eventually(lambda: is_idle(two))
    await two.save_document("notes", "2", {"a": 1})
    await eventually(lambda: is_idle(two))
    assert (await one.status()).state == "blocked" and (await two.status()).is_leader
    cable.error = None
    assert (await one.sync_now()).success
    await eventually(lambda: is_in(one, "following"))
    await two.close()
    await eventually(lambda: is_idle(one))


async def is_in(device: ps.SyncManager, state: str) -> bool:
    """Tell whether a device is in a state."""
    return (await device.status()).state == state


async def is_idle(device: ps.SyncManager) -> bool:
    """Tell whether a device leads and has sent everything."""
    status = await device.status()
    return status.state == "idle" and status.pending == 0


async def test_a_change_that_the_server_refuses_goes_to_the_ledger_and_the_rest_goes_on(open_device, hub):
    def no_secrets(change, before, after):
        if "secret" in (change.state.body or {}):
            return ps.core.wire.Problem("forbidden", "secrets stay at home")
        return None

    hub._guard = no_secrets
    device, _ = await open_device()
    await device.save_document("notes", "1", {"secret": 1})
    await device.save_document("notes", "2", {"fine": 1})
    result = await device.sync_now()
    assert (result.pushed, result.rejected) == (1, 1) and "secrets stay at home" in result.errors[0]
    assert await device.get_document("notes", "1") is None
    (entry,) = await device.lost_changes()
    assert (entry.kind, entry.code, entry.body) == ("rejected", "forbidden", {"secret": 1})
    assert (await device.status()).pending == 0


async def test_a_deleted_document_is_gone_everywhere_and_starts_clean_when_made_again(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    await one.save_document("notes", "1", {"old": 1})
    await one.sync_now()
    await two.sync_now()
    assert await two.delete_document("notes", "1") is True
    assert await two.delete_document("notes", "1") is False
    await two.sync_now()
    await one.sync_now()
    assert await one.get_document("notes", "1") is None
    await one.save_document("notes", "1", {"new": 1})
    await one.sync_now()
    await two.sync_now()
    found = await two.get_document("notes", "1")
    assert {name for name in found if not name.startswith("_")} == {"new"}


async def test_a_transaction_appears_as_one_and_an_exception_leaves_no_trace(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    async with one.transaction() as t:
        await t.save_document("accounts", "a", {"balance": 10})
        await t.save_document("accounts", "b", {"balance": 0})
        assert (await t.get_document("accounts", "a"))["balance"] == 10
    with pytest.raises(RuntimeError, match="no"):
        async with one.transaction() as t:
            await t.save_document("accounts", "a", {"balance": 0})
            raise RuntimeError("no")
    assert (await one.get_document("accounts", "a"))["balance"] == 10
    await one.sync_now()
    await two.sync_now()
    assert [d["balance"] for d in (await two.list_documents("accounts"))[0]] == [10, 0]


async def test_a_transaction_notices_that_what_it_read_has_changed(open_device):
    device, _ = await open_device()
    await device.save_document("accounts", "a", {"balance": 10})
    with pytest.raises(ps.TransactionError, match="changed meanwhile"):
        async with device.transaction() as t:
            before = await t.get_document("accounts", "a")
            await device.save_document("accounts", "a", {"balance": 5})
            await t.save_document("accounts", "a", {"balance": before["balance"] - 1})
    assert (await device.get_document("accounts", "a"))["balance"] == 5


async def test_updates_by_function_from_two_handles_lose_nothing(open_device):
    (one, _), (two, _) = await open_device("shared"), await open_device("shared")

    async def count(device: ps.SyncManager) -> None:
        for _ in range(50):
            await device.update_document("c", "n", lambda d: {"n": (d or {"n": 0})["n"] + 1})

    await asyncio.gather(count(one), count(two))
    assert (await one.get_document("c", "n"))["n"] == 100


async def test_many_documents_are_saved_all_or_none(open_device):
    device, _ = await open_device()
    keys = await device.save_documents("notes", [{"_key": "a", "n": 1}, {"n": 2}])
    assert keys[0] == "a" and len(keys) == 2
    with pytest.raises(ps.InvalidDocument, match=r"'y'.*\.n"):
        await device.save_documents("notes", {"x": {"n": 1}, "y": {"n": float("nan")}})
    assert await device.get_document("notes", "x") is None
    docs, total = await device.list_documents("notes", limit=1)
    assert total == 2 and len(docs) == 1
    assert [d and d["n"] for d in await device.get_documents("notes", [keys[1], "none"])] == [2, None]
    assert await device.list_collections() == ["notes"]


async def test_a_bulk_load_pushes_in_batches_and_arrives_whole(open_device):
    (one, cable), (two, _) = await open_device(), await open_device()
    await one.save_documents("bulk", {f"k{i:04}": {"i": i} for i in range(1234)})
    assert (await one.sync_now()).pushed == 1234
    assert 3 <= cable.sent <= 4
    assert (await two.sync_now()).pulled == 1234
    rows = await two.query_documents("bulk")
    assert [document["i"] for _, document in rows] == list(range(1234))
    assert (await two.statistics()).collections == {"bulk": 1234}


async def test_watchers_hear_of_local_and_remote_changes_in_words(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    heard: list[tuple[str, str]] = []
    two.on_change(lambda change: heard.append((change.change_type, change.key)))
    only: list[str] = []
    stop = two.on_collection_change("notes", lambda change: only.append(change.change_type))
    await two.save_document("other", "o", {"a": 1})
    await one.save_document("notes", "1", {"a": 1})
    await one.sync_now()
    await two.sync_now()
    await one.save_document("notes", "1", {"a": 2})
    await one.sync_now()
    await two.sync_now()
    stop()
    await one.delete_document("notes", "1")
    await one.sync_now()
    await two.sync_now()
    assert [what for what in heard if what[0] != "SyncComplete"] == [
        ("LocalInsert", "o"),
        ("RemoteInsert", "1"),
        ("RemoteUpdate", "1"),
        ("RemoteDelete", "1"),
    ]
    assert only == ["RemoteInsert", "RemoteUpdate"]


async def test_a_watcher_that_raises_is_reported_and_breaks_nothing(open_device, caplog):
    device, _ = await open_device()
    device.on_change(lambda change: 1 // 0)
    await device.save_document("notes", "1", {"a": 1})
    assert "on_change" in caplog.text
    assert await device.get_document("notes", "1") is not None


async def test_a_hook_before_sync_may_cancel_it_and_one_after_hears_the_result(open_device):
    device, cable = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    results: list[ps.SyncResult] = []
    device.on_after_sync(results.append)
    stop = device.on_before_sync(lambda pending: len(pending) != 1)
    assert not (await device.sync_now()).success
    assert cable.sent == 0
    stop()
    assert (await device.sync_now()).success
    assert results[-1].pushed == 1


async def test_background_sync_carries_changes_both_ways_by_itself(open_device):
    one, _ = await open_device(auto_sync=True)
    two, _ = await open_device(auto_sync=True)
    await one.save_document("notes", "1", {"a": 1})
    await eventually(lambda: two.get_document("notes", "1"))
    await two.save_document("notes", "2", {"b": 1})
    await eventually(lambda: one.get_document("notes", "2"))
    assert (await one.status()).is_leader


async def test_offline_and_paused_nothing_is_sent_until_it_is_over(open_device):
    device, cable = await open_device(auto_sync=True)
    await eventually(lambda: _is(device, "idle"))
    device.set_online(False)
    await device.save_document("notes", "1", {"a": 1})
    sent = cable.sent
    await asyncio.sleep(0.15)
    assert cable.sent == sent and (await device.status()).state == "offline"
    assert (await device.sync_now()).errors == ["offline"] and cable.sent == sent
    device.set_online(True)
    await eventually(lambda: _has_sent_all(device))
    device.pause_sync()
    await device.save_document("notes", "2", {"a": 1})
    await asyncio.sleep(0.15)
    assert (await device.status()).state == "paused" and (await device.status()).pending == 1
    device.resume_sync()
    await eventually(lambda: _has_sent_all(device))


async def test_only_one_handle_on_a_database_leads_and_the_other_takes_over(open_device):
    one, _ = await open_device("tabs", auto_sync=True)
    await eventually(lambda: _leads(one))
    two, _ = await open_device("tabs", auto_sync=True)
    await asyncio.sleep(0.05)
    assert (await two.status()).state == "following"
    await one.close()
    await eventually(lambda: _leads(two))


async def test_changes_of_another_handle_are_seen_and_told(open_device):
    one, _ = await open_device("tabs2")
    two, _ = await open_device("tabs2")
    heard: list[str] = []
    two.on_change(lambda change: heard.append(f"{change.change_type} {change.key}"))
    await one.save_document("notes", "1", {"a": 1})
    await eventually(lambda: _true(heard))
    assert heard == ["LocalUpdate 1"]
    assert (await two.get_document("notes", "1"))["a"] == 1


async def test_a_waiting_retry_survives_opening_again(open_device):
    device, cable = await open_device("retrying")
    cable.is_plugged = False
    await device.save_document("notes", "1", {"a": 1})
    await device.sync_now()
    await device.close()
    again, _ = await open_device("retrying")
    assert (await again.status()).last_error == "the cable is out"


async def test_pending_changes_are_listed_with_their_ids(open_device):
    device, cable = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    cable.is_plugged = False
    await device.sync_now()
    await device.save_document("notes", "1", {"a": 2})
    changes = await device.pending_changes()
    assert [(c.key, c.operation, c.state) for c in changes] == [
        ("1", "insert", "in_flight"),
        ("1", "update", "waiting"),
    ]
    assert len({c.change_id for c in changes}) == 2


async def test_a_full_resync_drops_what_the_server_has_not_and_keeps_what_is_pending(open_device, hub):
    device, _ = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    await device.sync_now()
    await device.save_document("notes", "2", {"b": 1})
    result = await device.full_resync()
    assert result.success
    assert [key for key, _ in await device.query_documents("notes")] == ["1", "2"]
    assert (await device.status()).pending == 0


async def test_an_idle_sync_is_one_request_and_writes_nothing(open_device, hub):
    device, cable = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    await device.sync_now()
    sent, here, there = cable.sent, await dump(device.store.storage), await dump(hub._storage)
    assert (await device.sync_now()).success
    assert cable.sent == sent + 1
    assert (await dump(device.store.storage), await dump(hub._storage)) == (here, there)


async def dump(storage: MemoryStorage) -> list[object]:
    """Give everything that lies in a storage."""
    spaces = ("meta", "docs", "outbox", "collections", "ledger", "seen", "hub", "feed", "ops", "replicas")

    async def body(tx):
        return [(space, await tx.scan(space)) for space in spaces]

    return await storage.read(body)


@pytest.mark.parametrize(
    ("collection", "key", "document", "words"),
    [
        ("notes", 7, {"a": 1}, "a key is a str"),
        ("notes", "", {"a": 1}, "1 to 128 bytes"),
        ("notes", "k" * 129, {"a": 1}, "1 to 128 bytes"),
        ("no-tes", "1", {"a": 1}, "collection 'no-tes'"),
        ("notes", "1", [1], "a document is a dict"),
        ("notes", "1", {1: 2}, "a member's name is a str"),
        ("notes", "1", {"a": {"b": [1, {2}]}}, r"a\.b\[1\]: set is not JSON"),
        ("notes", "1", {"a": float("inf")}, "inf is not JSON"),
        ("notes", "1", {"a": 2**53}, "integer outside"),
        ("notes", "1", {"a": "x\0"}, "NUL"),
        ("notes", "1", {"a": "\ud800"}, "lone surrogate"),
        ("notes", "1", {str(i): "x" * 60_000 for i in range(5)}, "over the limit of 262144 bytes"),
        ("notes", "1", {"_key": "2"}, "its _key is '2'"),
    ],
)
async def test_what_can_not_be_stored_is_refused_in_words_and_nothing_is_lost(
    open_device, collection, key, document, words
):
    device, _ = await open_device()
    await device.save_document("notes", "1", {"kept": True})
    with pytest.raises(ps.InvalidDocument, match=words):
        await device.save_document(collection, key, document)
    assert (await device.get_document("notes", "1"))["kept"] is True
    assert (await device.status()).pending == 1


async def test_depth_has_a_limit_that_is_told(open_device):
    device, _ = await open_device()
    nested: object = 1
    for _ in range(63):
        nested = {"n": nested}
    await device.save_document("notes", "deep", {"n": nested})
    with pytest.raises(ps.InvalidDocument, match="deeper than 64"):
        await device.save_document("notes", "deeper", {"n": {"n": nested}})


async def test_a_collection_that_is_not_synced_is_refused(open_device):
    device, _ = await open_device(collections=["notes"])
    with pytest.raises(ps.InvalidDocument, match="none of those"):
        await device.save_document("other", "1", {"a": 1})


async def test_a_full_outbox_refuses_the_write_as_a_whole(hub):
    store = await ps.LocalStore.open(f"device-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
    config = ps.SyncConfig(outbox=ps.Bounds(changes=2), auto_sync=False)
    async with ps.SyncManager(store, ps.LocalTransport(hub), config) as device:
        await device.save_document("notes", "1", {"a": 1})
        with pytest.raises(ps.OutboxFull, match="the limits are 2 changes"):
            await device.save_documents("notes", {"2": {}, "3": {"a": 1}})
        assert await device.get_document("notes", "2") is None
        await device.sync_now()
        await device.save_documents("notes", {"2": {}, "3": {"a": 1}})
        assert (await device.get_document("notes", "2")) is not None


async def _is(device: ps.SyncManager, state: str) -> bool:
    return (await device.status()).state == state


async def _leads(device: ps.SyncManager) -> bool:
    return (await device.status()).is_leader


async def _has_sent_all(device: ps.SyncManager) -> bool:
    return (await device.status()).pending == 0


async def _true(value: object) -> bool:
    return bool(value)


async def test_a_sync_with_a_predicate_pushes_only_what_it_chooses(open_device):
    (one, _), (two, _) = await open_device(), await open_device()
    await one.save_document("notes", "a", {"urgent": True})
    await one.save_document("notes", "b", {"urgent": False})
    async with one.transaction() as t:
        await t.save_document("notes", "c", {"urgent": True})
        await t.save_document("notes", "d", {"urgent": False})
    result = await one.sync_where(lambda collection, key, document: document["urgent"])
    assert (result.success, result.pushed) == (True, 1)
    await two.sync_now()
    assert [key for key, _ in await two.query_documents("notes")] == ["a"]
    assert (await one.sync_now()).pushed == 3


async def test_commands_do_what_the_methods_do(open_device):
    device, _ = await open_device()
    await device.save_document("notes", "1", {"a": 1})
    assert (await device.send(ps.SyncNow())).pushed == 1
    await device.send(ps.SetOnline(False))
    assert device.is_online is False
    await device.send(ps.Stop())


async def test_the_composition_written_out_keeps_label_and_totals(hub):
    name = f"device-{next(numbers)}"
    for _ in range(2):
        store = await ps.LocalStore.open(name, device_id="tablet-3", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(
            sync_interval_s=30, batch_size=100, max_retries=5, auto_sync=True, collections=["samples"]
        )
        sync = ps.SyncManager(store, ps.LocalTransport(hub), config)
        async with sync:
            await sync.save_document("samples", None, {"depth_m": 3.5})
            await sync.sync_now()
            keep = await ps.LocalStore.open(name, engine=ps.StorageEngine.MEMORY)
    assert keep.device_id == "tablet-3"
    again = ps.SyncManager(keep)
    await again.start()
    metadata = await again.metadata()
    assert metadata.total_pushes == 2 and metadata.last_sync_at is not None
    assert ps.SyncMetadata.from_json(metadata.to_json()) == metadata
    await again.close()


async def test_progress_tells_what_is_done_and_what_is_left(open_device):
    device, _ = await open_device()
    await device.save_documents("notes", {f"{i}": {"i": i} for i in range(700)})
    seen: list[tuple[int, int]] = []
    device.on_progress(lambda done, total: seen.append((done, total)))
    await device.sync_now()
    assert seen == [(500, 700), (700, 700)]


async def test_large_documents_are_pushed_a_few_at_a_time(open_device):
    device, cable = await open_device()
    await device.save_documents("notes", {f"{i}": {"a": "x" * 60_000, "b": "y" * 60_000} for i in range(20)})
    assert (await device.sync_now()).pushed == 20
    assert 4 <= cable.sent <= 10


async def test_a_transaction_has_limits_that_are_told(open_device):
    device, _ = await open_device()
    with pytest.raises(ps.InvalidDocument, match="at most 100 writes"):
        async with device.transaction() as t:
            for i in range(101):
                await t.save_document("notes", f"{i}", {"i": i})
    with pytest.raises(ps.InvalidDocument, match="524288 bytes"):
        async with device.transaction() as t:
            for i in range(10):
                await t.save_document("notes", f"{i}", {"a": "x" * 60_000})
    assert await device.list_collections() == []
