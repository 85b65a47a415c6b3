"""Wrong arguments are refused where they come in, by an error of the library that names what is wrong."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.sdbql import QueryLimits

numbers = itertools.count()

Call = Callable[[ps.SyncManager], Any]


@pytest.fixture
async def sync() -> AsyncIterator[ps.SyncManager]:
    async with await ps.open(f"arguments-{next(numbers)}", engine=ps.StorageEngine.MEMORY) as manager:
        yield manager


async def refusal(call: Callable[[], Any]) -> str:
    """Give what the library's error says; a coroutine is awaited, an iterator asked for its first value."""
    with pytest.raises(ps.SyncError) as caught:
        result = call()
        if hasattr(result, "__anext__"):
            await anext(result)
        elif hasattr(result, "__await__"):
            await result
    return str(caught.value)


async def parts(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


OPENINGS: list[tuple[dict[str, Any], str]] = [
    ({"durability": "Strict"}, "durability is 'strict' or 'relaxed', not 'Strict'"),
    ({"durability": None}, "durability"),
    ({"collections": "samples"}, "collections: a list of names is due, not 'samples'"),
    ({"collections": None}, "collections"),
    ({"collections": ["a b"]}, "collection 'a b'"),
    ({"collections": [5]}, "collection 5"),
    ({"conflict_strategy": "manual"}, "LAST_WRITE_WINS.* MANUAL.*, ThreeWayMerge.* Custom.* not 'manual'"),
    ({"conflict_strategy": None}, "conflict_strategy .* not None"),
    ({"conflict_strategy": ps.Custom}, "conflict_strategy"),
    ({"database": 5}, "database 5"),
    ({"server": 5}, "server: a URL, or a transport .* not 5"),
    ({"server": ps.HttpClient}, "server"),
    ({"server": b"localhost"}, "server"),
    ({"sync_interval_s": "3"}, "sync_interval_s .* not '3'"),
    ({"sync_interval_s": None}, "sync_interval_s"),
    ({"sync_interval_s": -1}, "sync_interval_s"),
    ({"sync_interval_s": math.nan}, "sync_interval_s"),
    ({"sync_interval_s": math.inf}, "sync_interval_s"),
    ({"auto_sync": "no"}, "auto_sync is True or False, not 'no'"),
    ({"push_on_change": None}, "push_on_change"),
    ({"device_id": 5}, "device_id is a str, not 5"),
    ({"engine": "sqlite"}, "engine is StorageEngine.SQLITE.* not 'sqlite'"),
    ({"engine": 5}, "engine"),
]


@pytest.mark.parametrize(("options", "says"), OPENINGS, ids=lambda value: str(value)[:50])
async def test_a_wrong_opening_is_refused_and_leaves_nothing(options: dict[str, Any], says: str, caplog):
    before = asyncio.all_tasks()
    chosen = {"engine": ps.StorageEngine.MEMORY, **options}
    assert re.search(says, await refusal(lambda: ps.open("refused", **chosen)))
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == before
    assert not caplog.records


@pytest.mark.parametrize("name", [None, 5, b"x"])
async def test_a_name_is_a_name(name: Any):
    assert "name is the name" in await refusal(lambda: ps.open(name))


CLIENTS: list[tuple[dict[str, Any], str]] = [
    ({"timeout_s": "5"}, "timeout_s is a number of seconds over 0, not '5'"),
    ({"timeout_s": -1}, "timeout_s"),
    ({"timeout_s": 0}, "timeout_s"),
    ({"timeout_s": None}, "timeout_s"),
    ({"timeout_s": math.nan}, "timeout_s"),
    ({"token": 5}, "token"),
    ({"token": 0}, "token"),
    ({"token": b"secret"}, "token"),
    ({"token": "two words"}, "token"),
]


@pytest.mark.parametrize(("options", "says"), CLIENTS, ids=lambda value: str(value)[:50])
async def test_a_wrong_server_is_refused_and_leaves_nothing(options: dict[str, Any], says: str, caplog):
    before = asyncio.all_tasks()
    chosen = {"engine": ps.StorageEngine.MEMORY, "server": "localhost:1", **options}
    assert re.search(says, await refusal(lambda: ps.open("refused", **chosen)))
    assert asyncio.all_tasks() == before
    assert not caplog.records


async def test_a_client_that_was_made_for_a_database_that_cannot_be_opened_is_closed(monkeypatch):
    closed = []

    class Client:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr("pysync_web.manager.opening.HttpClient", Client)
    await refusal(lambda: ps.open("refused", server="localhost:1", engine="memory"))  # type: ignore[arg-type]
    assert len(closed) == 1


@pytest.mark.native
async def test_indexeddb_is_there_in_a_page_alone(tmp_path):
    opening = ps.open(str(tmp_path / "a.db"), engine=ps.StorageEngine.INDEXEDDB)
    with pytest.raises(ps.StorageError, match="IndexedDB is there in a page alone"):
        await opening


def config(**members: Any) -> Call:
    return lambda _: ps.SyncConfig(**members)


def written(value: Any) -> Call:
    return lambda _: ps.SyncConfig.from_json(value)


VALUES: list[tuple[Call, str]] = [
    (config(collections="x"), "SyncConfig.collections"),
    (config(collections=5), "SyncConfig.collections"),
    (config(collections=[""]), "collection ''"),
    (config(conflict_strategy="manual"), "SyncConfig.conflict_strategy"),
    (config(collection_strategies={"c": "manual"}), r"SyncConfig.collection_strategies\['c'\]"),
    (config(collection_strategies=5), "SyncConfig.collection_strategies"),
    (config(resolvers={"f": 5}), r"SyncConfig.resolvers\['f'\] is a function, not 5"),
    (config(resolvers={5: max}), "SyncConfig.resolvers"),
    (config(resolvers=[max]), "SyncConfig.resolvers"),
    (config(key_factory="x"), "SyncConfig.key_factory"),
    (config(retry=5), "SyncConfig.retry is a RetryPolicy, not 5"),
    (config(outbox=5), "SyncConfig.outbox is a Bounds, not 5"),
    (config(ledger=5), "SyncConfig.ledger is a LedgerBounds, not 5"),
    (config(batch_size=True), "SyncConfig.batch_size"),
    (config(max_age_s="1"), "SyncConfig.max_age_s"),
    (config(max_age_s=math.nan), "SyncConfig.max_age_s"),
    (config(resolver_timeout_s="1"), "SyncConfig.resolver_timeout_s"),
    (config(sync_interval_s="3"), "SyncConfig.sync_interval_s"),
    (lambda _: ps.Bounds(changes=-1), "Bounds.changes is an integer from 0 on, not -1"),
    (lambda _: ps.Bounds(changes=math.nan), "Bounds.changes"),
    (lambda _: ps.Bounds(bytes="x"), "Bounds.bytes"),
    (lambda _: ps.LedgerBounds(entries=-1), "LedgerBounds.entries"),
    (lambda _: ps.LedgerBounds(age_s=math.nan), "LedgerBounds.age_s"),
    (lambda _: ps.LedgerBounds(notice_s="x"), "LedgerBounds.notice_s"),
    (lambda _: ps.RetryPolicy(base_s=-1), "RetryPolicy.base_s"),
    (lambda _: ps.RetryPolicy(base_s="x"), "RetryPolicy.base_s"),
    (lambda _: ps.RetryPolicy(cap_s=math.nan), "RetryPolicy.cap_s"),
    (lambda _: ps.ThreeWayMerge("manual"), "ThreeWayMerge.* not 'manual'"),
    (lambda _: ps.Custom(5), "Custom.* not 5"),
    (config(query_limits=5), "SyncConfig.query_limits is a QueryLimits, not 5"),
    (lambda _: ps.CallbackTransport(5, max), "push is a function, not 5"),
    (lambda _: ps.CallbackTransport(max, None), "pull is a function, not None"),
    (lambda _: ps.EncodedTransport(5, max, max), "inner: a transport .* not 5"),
    (lambda _: ps.EncodedTransport(ps.LocalTransport(5), "x", max), "encode is a function, not 'x'"),
    (lambda s: ps.SyncManager(s.store, "localhost:6745"), "client: a transport"),
    (written(5), "SyncConfig.from_json reads a dict, not 5"),
    (written({"bath_size": 5}), "SyncConfig.from_json: 'bath_size' is none of its members"),
    (written({"key_factory": "x"}), "SyncConfig.from_json: key_factory has functions"),
    (written({"collections": "abc"}), "SyncConfig.collections: a list of names is due, not 'abc'"),
    (written({"conflict_strategy": "Newest"}), "SyncConfig.from_json: 'Newest' is not a valid ConflictStrategy"),
    (written({"conflict_strategy": 5}), "a strategy in SyncConfig.from_json is a str, not 5"),
    (written({"collection_strategies": []}), "SyncConfig.collection_strategies is a dict"),
    (written({"retry": {"base": 5}}), "RetryPolicy.from_json: 'base' is none"),
    (written({"ledger": None}), "LedgerBounds.from_json reads a dict, not None"),
    (written({"query_limits": {"rows": 5}}), "QueryLimits.from_json: 'rows' is none"),
    (lambda _: ps.SyncResult.from_json({}), "SyncResult.from_json: 'success' is missing"),
    (lambda _: ps.Entry.from_json({"kind": "lost"}), "Entry.from_json: 'collection' is missing"),
    (lambda _: ps.BucketEntry.from_json([]), "BucketEntry.from_json reads a dict"),
    (lambda _: ps.SyncRecord.from_json({"x": 1}), "SyncRecord.from_json: 'x' is none"),
]

CALLS: list[tuple[Call, str]] = [
    (lambda s: s.save_document("c", "k", {}, strategy="manual"), "strategy is .* MANUAL.*, .* not 'manual'"),
    (lambda s: s.save_documents("c", [{}], strategy="manual"), "strategy"),
    (lambda s: s.delete_document("c", "k", strategy=5), "strategy"),
    (lambda s: s.update_document("c", "k", lambda d: d, strategy=5), "strategy"),
    (lambda s: s.transaction(strategy="manual"), "strategy"),
    (lambda s: s.save_document("c", "k", {}, tags=5), "tags are a collection of texts, not 5"),
    (lambda s: s.save_document("c", "k", {}, tags="abc"), "tags"),
    (lambda s: s.save_documents("c", None), "documents: a list of documents is due, not None"),
    (lambda s: s.save_documents("c", 5), "documents"),
    (lambda s: s.save_documents("c", "abc"), "documents"),
    (lambda s: s.update_document("c", "k", 5), "change is a function, not 5"),
    (lambda s: s.get_documents("c", None), "keys: a list of keys is due, not None"),
    (lambda s: s.get_documents("c", "abc"), "keys"),
    (lambda s: s.list_documents("c", "a"), "limit is an integer from 0 on, not 'a'"),
    (lambda s: s.list_documents("c", 10**30), "limit"),
    (lambda s: s.list_documents("c", 1.5), "limit"),
    (lambda s: s.list_documents("c", -1), "limit"),
    (lambda s: s.list_documents("c", True), "limit"),
    (lambda s: s.list_documents("c", 1, "a"), "offset"),
    (lambda s: s.list_documents("c", 1, -1), "offset"),
    (lambda s: s.pending_changes("a"), "limit"),
    (lambda s: s.pending_changes(-1), "limit"),
    (lambda s: s.rollback(5), "change_id is a str, not 5"),
    (lambda s: s.confirmed(None), "change_id"),
    (lambda s: s.query("RETURN @x", [1]), r"Bind variables are a dict .* not \[1\]"),
    (lambda s: s.explain("RETURN 1", 5), "Bind variables"),
    (lambda s: s.live("RETURN 1", [1]), "Bind variables"),
    (lambda s: s.evict("FOR d IN c RETURN d", [1]), "Bind variables"),
    (lambda s: s.subscribe("c", "doc.a == @x", [1]), "Bind variables"),
    (lambda s: s.ledger.query("RETURN 1", [1]), "Bind variables"),
    (lambda s: s.create_index("c", None), "fields: a list of names is due, not None"),
    (lambda s: s.create_index("c", [5]), "an index's field .* not 5"),
    (lambda s: s.create_index("c", "a", name=5), "an index's name .* 5"),
    (lambda s: s.set_collection_sync_filters({"c": None}), "filters"),
    (lambda s: s.set_collection_sync_filters([("c",)]), r"filters: .* not \('c',\)"),
    (lambda s: s.set_collection_sync_filters([("c", None, {}, 1)]), "filters"),
    (lambda s: s.set_collection_sync_filters(["cd"]), "filters: .* not 'cd'"),
    (lambda s: s.set_collection_sync_filters([([], None)]), "filters"),
    (lambda s: s.set_collection_sync_filters("abc"), "filters"),
    (lambda s: s.set_collection_sync_filters(5), "filters"),
    (lambda s: s.set_delta_threshold("x"), "threshold is from 0 to 1, not 'x'"),
    (lambda s: s.set_delta_threshold(math.nan), "threshold"),
    (lambda s: s.enable_delta_sync("a b", False), "collection 'a b'"),
    (lambda s: s.ledger.restore(None), "entry_id is a str, not None"),
    (lambda s: s.ledger.list(kind="zz"), "kind is one of lost, rejected, .* not 'zz'"),
    (lambda s: s.ledger.list(limit="a"), "limit"),
    (lambda s: s.lost_changes(None), "limit"),
    (lambda s: s.lost_changes(-1), "limit"),
    (lambda s: s.lost_changes(after=5), "after is a str, not 5"),
    (lambda s: s.bucket(5), "a bucket's name is a str, not 5"),
    (lambda s: s.bucket("b").keys(5), "prefix"),
    (lambda s: s.bucket("b").read("k", timeout_s="a"), "timeout_s"),
    (lambda s: s.bucket("b").write("k", parts(b"a", "b")), "an async iterator of bytes, not of str"),
    (lambda s: s.bucket("b").write("k", parts(None)), "not of NoneType"),
    (lambda s: s.bucket("b").write("k", [b"a"]), "not list"),
    (lambda s: s.collect_chunks(grace_s="a"), "grace_s"),
    (lambda s: s.import_bundle(None), "a bundle is bytes, not NoneType"),
    (lambda s: s.import_bundle("x"), "a bundle is bytes, not str"),
    (lambda s: s.import_bundle(bytearray(b"x")), "a bundle is bytes, not bytearray"),
    (lambda s: s.sync_with(5), "channel: .* send, receive, close .* not 5"),
    (lambda s: s.sync_with(ps.channel_pair()[0], timeout_s="a"), "timeout_s"),
    (lambda s: s.sync_with(ps.channel_pair()[0], timeout_s=math.nan), "timeout_s"),
    (lambda s: s.sync_with(ps.channel_pair()[0], on_progress=5), "on_progress of sync_with"),
    (lambda s: s.sync_where(5), "predicate is a function, not 5"),
    (lambda s: s.send(5), r"a command is SyncNow\(\), .* not 5"),
    (lambda s: s.send(ps.SyncNow), "a command is"),
    (lambda s: s.on_change(5), "a callback of on_change is a function, not 5"),
    (lambda s: s.on_before_sync(5), "on_before_sync"),
    (lambda s: s.on_after_sync(None), "on_after_sync"),
    (lambda s: s.on_conflict("x"), "on_conflict"),
    (lambda s: s.on_progress(5), "on_progress"),
    (lambda s: s.save_document("notes", "a", {}, replace="yes"), "replace"),
    (lambda s: s.save_documents("notes", {"a": {}}, replace=1), "replace"),
    (lambda s: s.on_progress(5, with_size=True), "on_progress"),
    (lambda s: s.on_collection_change("c", 5), "on_collection_change"),
    (lambda s: s.set_online("x"), "is_online is True or False, not 'x'"),
    (lambda s: s.is_stale("x"), "age_s is a number of seconds from 0 on, not 'x'"),
    (lambda s: s.drop_index("c", 5), "an index's name is a str, not 5"),
    (lambda s: s.list_indexes(5), "collection 5"),
    (lambda s: s.logged_store("c", 5), "a store with the methods get, put, delete, keys is due, not 5"),
    (lambda s: s.logged_store("c", {}, batch_size=0), "batch_size is an integer from 1 on, not 0"),
    (lambda s: s.logged_store("c", {}, batch_bytes="x"), "batch_bytes"),
]


EVERY = [*VALUES, *CALLS]


@pytest.mark.parametrize(("call", "says"), EVERY, ids=[f"{i}-{one[1]}" for i, one in enumerate(EVERY)])
async def test_a_wrong_argument_is_refused(sync, call: Call, says: str):
    await sync.save_document("c", "there", {"a": 1})
    assert re.search(says, await refusal(lambda: call(sync)))
    assert await sync.get_document("c", "k") is None
    assert await sync.list_collections() == ["c"]


async def test_what_is_right_is_taken(sync):
    assert await sync.save_documents("c", iter([{"_key": "a"}, {"_key": "b"}])) == ["a", "b"]
    assert await sync.save_documents("c", {"d": {}}) == ["d"]
    assert [one["_key"] for one in await sync.get_documents("c", iter("ab"))] == ["a", "b"]
    assert len((await sync.list_documents("c", 2**63 - 1, 1))[0]) == 2
    assert await sync.list_documents("c", 0) == ([], 3)
    assert await sync.lost_changes(0) == []
    assert len(await sync.pending_changes(2**63 - 1)) == 3
    assert await sync.query("RETURN @x", {"x": 1}) == [1]
    assert await sync.create_index("c", ("a", "b")) == "a_b"
    assert await sync.set_collection_sync_filters([("c", None), ["d", "doc.a == @x", {"x": 1}]])
    assert (await sync.bucket("b").write("k", parts(b"a", bytearray(b"b"), memoryview(b"c")))).size == 3
    ps.SyncConfig(collections={"a", "b"}, resolver_timeout_s=math.inf, auto_sync=False, max_age_s=1)
    ps.LedgerBounds(entries=0, age_s=math.inf)


def test_settings_that_were_written_in_part_are_for_the_rest_as_by_default():
    assert ps.SyncConfig.from_json({}) == ps.SyncConfig()
    given = {"batch_size": 7, "collections": ["c"], "retry": {"base_s": 2.0}, "query_limits": {"rows_scanned": 9}}
    config = ps.SyncConfig.from_json(given | {"conflict_strategy": "larger_wins"})
    assert (config.batch_size, config.collections, config.retry) == (7, ("c",), ps.RetryPolicy(base_s=2.0))
    assert config.query_limits == QueryLimits(rows_scanned=9)
    assert config.conflict_strategy is ps.ConflictStrategy.LARGER_WINS and config.page_size == 1000


async def test_an_id_that_nothing_waits_under_is_confirmed_at_once(sync):
    await asyncio.wait_for(sync.confirmed("no such id"), 5)
