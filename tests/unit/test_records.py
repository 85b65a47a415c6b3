"""What goes with documents and settings: tags that sync and merge, staleness, totals, JSON both ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from tests.pairs import Table, both_have, put, settle
from tests.unit.test_strategies import BASE, ENGINES, S


@pytest.fixture(params=ENGINES)
async def table(request: Any, tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(request.param, tmp_path)
    yield made
    await made.close()


async def keys(device: ps.SyncManager, tag: str, collection: str | None = None) -> list[str]:
    return [f"{collection}/{key}" for collection, key, _ in await device.query_by_tag(tag, collection)]


async def test_tags_sync_merge_and_are_replaced_as_a_whole(table):
    one, two = await table.open("one"), await table.open("two")
    await one.save_document("notes", "k", BASE, tags={"priority", "red"})
    await one.save_document("todos", "t", BASE, tags=["priority"])
    await settle(one, two)
    assert await keys(two, "priority") == ["notes/k", "todos/t"]
    assert await keys(two, "priority", "todos") == ["todos/t"] and await keys(two, "none") == []
    await put(one, {**BASE, "x": 1}, tags={"priority", "red", "blue"})
    await put(two, {**BASE, "y": 1}, tags={"priority"})
    await settle(one, two)
    assert await keys(one, "blue") == await keys(two, "blue") == ["notes/k"]
    assert await keys(one, "red") == []
    await one.save_document("notes", "k", {"x": 2})
    assert await keys(one, "priority", "notes") == ["notes/k"]
    await one.save_document("notes", "k", {}, tags=[])
    assert await keys(one, "priority", "notes") == []


@pytest.mark.parametrize("tags", ["priority", [1], [""]])
async def test_what_is_no_collection_of_texts_is_no_tags(table, tags):
    one = await table.open("one")
    with pytest.raises(ps.InvalidDocument, match="tags"):
        await one.save_document("notes", "k", BASE, tags=tags)


async def test_a_manager_is_stale_until_a_sync_and_again_after_a_while_also_after_a_restart(table):
    one, two = await table.open("one"), await table.open("two")
    assert one.is_stale(3600)
    await both_have(one, two, BASE)
    await asyncio.sleep(0.01)
    assert not one.is_stale(3600) and one.is_stale(0.001)
    before = await one.metadata()
    assert before.total_pushes == 1 and before.last_sync_at
    await one.close()
    one = await table.open("one")
    after = await one.metadata()
    assert not one.is_stale(3600) and (after.total_pushes, after.last_sync_at is not None) == (1, True)


async def values(table: Table) -> list[Any]:
    one, two = await table.open("one"), await table.open("two", conflict_strategy=S.MANUAL)
    changes: list[Any] = []
    one.on_change(changes.append)
    await both_have(one, two, BASE)
    await put(one, {"title": "a"})
    await put(two, {"title": "b"})
    result = await one.sync_now()
    await two.sync_now()
    await two.save_document("notes", "other", BASE)
    pending = await two.pending_changes()
    await two.rollback(pending[-1].change_id)
    return [
        *(await two.ledger.list()),
        *(await two.conflicts()),
        *pending,
        *changes,
        result,
        await two.status(),
        await two.metadata(),
        await two.statistics(),
        ps.Bounds.MOBILE,
        ps.RetryPolicy(base_s=2),
        ps.LedgerBounds(entries=1),
        ps.SyncNow(),
        ps.SetOnline(False),
        ps.Stop(),
        ps.AcceptLocal(),
        ps.AcceptRemote(),
        ps.Merge({"a": 1}),
        ps.Merge(None, ({}, {})),
        ps.Wait("why", clashes=("/a",)),
        ps.SyncConfig(
            collections=("notes",),
            conflict_strategy=ps.ThreeWayMerge(S.LARGER_WINS),
            collection_strategies={"notes": S.CUSTOM("mine")},
            outbox=ps.Bounds.MOBILE,
            max_age_s=1.5,
        ),
    ]


async def test_every_public_value_becomes_json_and_comes_back(table):
    for value in await values(table):
        text = json.dumps(value.to_json())
        assert type(value).from_json(json.loads(text)) == value


def test_settings_with_a_bare_function_have_no_json():
    with pytest.raises(ps.InvalidDocument, match="restart"):
        ps.SyncConfig(conflict_strategy=S.CUSTOM(lambda conflict: None)).to_json()
