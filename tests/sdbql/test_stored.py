"""A manager answers as the engine does over plain lists: on every storage, with indexes and without."""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.errors import QueryError
from pysync_web.sdbql import QueryLimits, execute
from tests.sdbql.case_files import FILES, Case, Failures, cases_of

ENGINES = ["memory", "indexeddb"] if sys.platform == "emscripten" else ["memory", "sqlite"]
GIVEN = {"_version", "_timestamp", "_id"}

numbers = itertools.count()


def stored_cases(file: str) -> list[Case]:
    """Give a file's cases whose answer is in the data alone."""
    return [case for case in cases_of(file) if case.get("data") and "rows" in case]


def keyed(data: dict[str, Any]) -> dict[str, Any]:
    """Give each document a key, and order them by it, as a storage does."""
    made = {}
    for name, documents in data.items():
        rows = [{"_key": f"d{place:04}", **document} for place, document in enumerate(documents)]
        made[name] = sorted(rows, key=lambda row: row["_key"])
    return made


def bare(value: Any) -> Any:
    """Take away what a storage gives to its documents."""
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if name not in GIVEN}
    return [bare(one) for one in value] if isinstance(value, list) else value


async def opened(engine: str, folder: Path, data: dict[str, Any], *, with_indexes: bool) -> ps.SyncManager:
    """Open a new database with some data, and with an index on each of their fields."""
    path = f"stored-{next(numbers)}" if sys.platform == "emscripten" else str(folder / "db.sqlite")
    store = await ps.LocalStore.open(path, engine=ps.StorageEngine(engine), durability="relaxed")
    manager = ps.SyncManager(store, config=ps.SyncConfig(query_limits=None))
    for collection, documents in data.items():
        if documents:
            await manager.save_documents(collection, documents)
        if with_indexes:
            fields = sorted({name for document in documents for name in document} - {"_key", "_id"})
            for field in fields[:8]:
                await manager.create_index(collection, field)
            if len(fields) > 1:
                await manager.create_index(collection, fields[:2], name="pair")
    return manager


@pytest.mark.parametrize("with_indexes", [False, True], ids=["scanned", "indexed"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("file", [file for file in FILES if stored_cases(file)])
async def test_stored_documents_are_found_as_plain_ones_are(
    file: str, engine: str, with_indexes: bool, tmp_path: Path
):
    with Failures() as failures:
        for number, case in enumerate(stored_cases(file)):
            (folder := tmp_path / str(number)).mkdir()
            try:
                await check_stored(case, engine, with_indexes, folder)
            except Exception as error:
                failures.note(case, error)


async def check_stored(case: Case, engine: str, with_indexes: bool, folder: Path) -> None:
    """Compare the answer of a storage with that of plain lists."""
    data = keyed(case["data"])
    manager = await opened(engine, folder, data, with_indexes=with_indexes)
    async with manager:
        try:
            wanted = execute(case["query"], data, case.get("binds"))
        except ps.QueryError as error:
            with pytest.raises(ps.QueryError) as raised:
                await manager.query(case["query"], case.get("binds"))
            assert raised.value.args == error.args
            return
        assert bare(await manager.query(case["query"], case.get("binds"))) == bare(wanted)
        for collection, documents in data.items():
            found = [document for _, document in await manager.query_documents(collection)]
            assert sorted(map(key_of, bare(found))) == sorted(map(key_of, bare(documents)))


def key_of(document: dict[str, Any]) -> str:
    """Give a document as a text that can be sorted."""
    return json.dumps(document, sort_keys=True)


async def test_a_manager_takes_queries_as_large_as_its_limits_say(tmp_path: Path):
    manager = await opened("memory", tmp_path, {"a": [{"_key": "1"}]}, with_indexes=False)
    query = f"FOR d IN a FILTER {'(' * 70}d._key == '{' ' * 70_000}'{')' * 70} RETURN d"
    with pytest.raises(QueryError, match="limit: query_chars"):
        await manager.query(query)
    config = ps.SyncConfig(query_limits=QueryLimits(query_chars=100_000, depth=100))
    async with manager, ps.SyncManager(manager.store, config=config) as other:
        assert await other.query(query) == []
        assert await anext(other.live(query)) == []
        assert await other.evict(query) == 0
        assert await other.query(f"{query.removesuffix('RETURN d')} REMOVE d IN a") == []


async def test_a_collection_without_documents_is_empty_beside_a_traversal(tmp_path: Path):
    manager = await opened(ENGINES[0], tmp_path, {"links": [{"_key": "1", "_from": "a/1"}]}, with_indexes=False)
    async with manager:
        assert await manager.query("FOR x IN 1..2 OUTBOUND 'a/1' links FOR y IN nothing RETURN y") == []


@pytest.mark.parametrize("field", ["_id", "_key", "_version", "_timestamp.x"])
async def test_there_is_no_index_over_what_a_storage_adds(field: str, tmp_path: Path):
    async with await opened(ENGINES[0], tmp_path, {}, with_indexes=False) as manager:
        with pytest.raises(ps.InvalidDocument):
            await manager.create_index("users", field)


async def test_true_and_1_are_two_values_to_a_unique_index(tmp_path: Path):
    async with await opened(ENGINES[0], tmp_path, {}, with_indexes=False) as manager:
        await manager.create_index("users", "x", unique=True)
        await manager.save_documents("users", {"1": {"x": [1]}, "2": {"x": [True]}})
        with pytest.raises(ps.InvalidDocument):
            await manager.save_document("users", "3", {"x": [1.0]})


@pytest.mark.native  # in a page other handles are told of a commit, and soon
@pytest.mark.parametrize("is_kept", [False, True], ids=["by the index", "in memory"])
@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_a_look_up_sees_at_once_what_another_handle_has_committed(engine: str, is_kept: bool, tmp_path: Path):
    rng = random.Random(4)
    one = await opened(engine, tmp_path, {"users": [{"_key": "1", "x": 1}]}, with_indexes=True)
    async with one, await opened(engine, tmp_path, {}, with_indexes=False) as other:
        for _ in range(150):
            await change_something(rng.choice([one, other]), rng)
            if is_kept:
                await one.query("FOR u IN users FILTER u.x > 100 RETURN u")
            data = {"users": [document for _, document in await other.query_documents("users")]}
            for x in range(3):
                asked = "FOR u IN users FILTER u.x == @x RETURN u"
                assert bare(await one.query(asked, {"x": x})) == bare(execute(asked, data, {"x": x}))


async def change_something(manager: ps.SyncManager, rng: random.Random) -> None:
    """Write or delete a document, or make or drop an index."""
    key = str(rng.randrange(4))
    match rng.randrange(6):
        case 0:
            if await manager.get_document("users", key):
                await manager.delete_document("users", key)
        case 1:
            await manager.create_index("users", rng.choice(["x", "y"]))
        case 2:
            await manager.drop_index("users", rng.choice(["x", "y"]))
        case _:
            await manager.save_document("users", key, {"x": rng.randrange(3)})
