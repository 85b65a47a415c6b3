"""The ledger: everything that did not come through, with who, when and why; found, exported and restored."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.ledger import record_entry, trim
from pysync_web.core.wire import Problem
from tests.pairs import Table, both_have, lost, put, see, settle
from tests.unit.test_strategies import BASE, ENGINES, S

HOUR_MS = 3_600_000


@pytest.fixture(params=ENGINES)
async def table(request: Any, tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(request.param, tmp_path)
    yield made
    await made.close()


async def loser(table: Table, **config: Any) -> tuple[ps.SyncManager, ps.SyncManager]:
    """Give a device that lost an edit, and the one that won."""
    other = await table.open("other")
    mine = await table.open("mine", **config)
    await both_have(other, mine, {**BASE, "o": {"x": 1, "y": 1}})
    await put(mine, {"title": "mine", "n": 1, "o": {"x": "mine", "y": 1}})
    await put(other, {"title": "theirs", "n": 1, "o": {"x": "theirs", "y": 2}})
    await other.sync_now()
    await settle(mine, other)
    return mine, other


async def test_under_merge_fields_exactly_the_fields_that_lost_are_in_it_with_who_when_and_why(table):
    mine, _ = await loser(table)
    (entry,) = await mine.ledger.list()
    assert entry.body == {"title": "mine", "o": {"x": "mine"}}
    assert (entry.kind, entry.collection, entry.key, entry.operation) == ("lost", "notes", "k", "update")
    assert (entry.replica, entry.device) == (mine.store.replica_id, "mine's")
    assert entry.code == "newer_change" and entry.message and entry.against_op_id
    assert entry.timestamp < entry.against_timestamp
    assert await mine.lost_changes() == [entry]


@pytest.mark.parametrize("strategy", [S.FIRST_WRITE_WINS, S.REMOTE_WINS, S.LARGER_WINS, S.LAST_WRITE_WINS])
async def test_an_entry_says_a_later_change_stands_only_where_one_does(table, strategy):
    other = await table.open("other", conflict_strategy=strategy)
    mine = await table.open("mine", conflict_strategy=strategy)
    await both_have(other, mine, BASE)
    await put(other, {"title": "the longer one"})
    await other.sync_now()
    await asyncio.sleep(0.005)
    await put(mine, {"title": "mine"})
    await settle(mine, other)
    (entry,) = await mine.ledger.list()
    is_later = entry.timestamp > entry.against_timestamp
    assert is_later == (strategy is not S.LAST_WRITE_WINS)
    assert entry.code == ("other_change" if is_later else "newer_change")
    assert entry.message.startswith("another change" if is_later else "a later change")
    assert await mine.ledger.query("FOR e IN ledger RETURN e.code") == [entry.code]
    assert [json.loads(line)["code"] async for line in mine.ledger.export()] == [entry.code]


async def test_what_the_other_side_lost_names_the_other_replica(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.LOCAL_WINS)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    await settle(mine, other)
    (entry,) = await mine.ledger.list()
    assert (entry.body, entry.replica, entry.device) == ({"title": "theirs"}, other.store.replica_id, "")


async def test_an_entry_survives_a_restart_and_comes_back_from_json(table):
    mine, _ = await loser(table)
    (entry,) = await mine.ledger.list()
    await mine.close()
    mine = await table.open("mine")
    assert await mine.ledger.list() == [entry]
    assert ps.Entry.from_json(json.loads(json.dumps(entry.to_json()))) == entry


async def test_restoring_sets_the_lost_fields_again_and_nothing_else(table):
    mine, other = await loser(table)
    (entry,) = await mine.ledger.list()
    document = await mine.ledger.restore(entry.id)
    assert document is not None and document["title"] == "mine"
    await settle(mine, other)
    assert await see(other) == {"title": "mine", "n": 1, "o": {"x": "mine", "y": 2}}
    assert [one.restored_ms > 0 for one in await mine.ledger.list()] == [True]
    with pytest.raises(ps.InvalidDocument, match="no entry"):
        await mine.ledger.restore("1-ab")


async def test_restoring_a_whole_document_or_a_delete(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.REMOTE_WINS)
    await both_have(other, mine, BASE)
    await both_have(other, mine, BASE, "gone")
    await put(other, {"more": 1})
    await put(mine, {"title": "mine"})
    await put(other, {"title": "theirs"}, "gone")
    await put(mine, None, "gone")
    await other.sync_now()
    await settle(mine, other)
    for entry in await mine.ledger.list():
        await mine.ledger.restore(entry.id, replace=True)
    await settle(mine, other)
    assert (await see(other), await see(other, "gone")) == ({"title": "mine"}, None)


async def test_an_edit_to_a_document_that_is_gone_is_restored_as_a_document(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.FIRST_WRITE_WINS)
    await both_have(other, mine, BASE)
    await put(other, None)
    await put(mine, {"title": "mine", "n": 1})
    await other.sync_now()
    await settle(mine, other)
    (entry,) = await mine.ledger.list()
    assert entry.against_op_id and entry.body == {"title": "mine", "n": 1}
    await mine.ledger.restore(entry.id)
    await settle(mine, other)
    assert await see(other) == {"title": "mine", "n": 1}


async def test_entries_are_found_by_document_kind_and_time_and_page_by_page(table):
    mine, other = await loser(table)
    await both_have(other, mine, BASE, "k2")
    await put(mine, {"title": "mine", "n": 1}, "k2")
    await put(other, {"title": "theirs", "n": 1}, "k2")
    await other.sync_now()
    await settle(mine, other)
    newest, oldest = await mine.ledger.list()
    assert (newest.key, oldest.key) == ("k2", "k")
    assert await mine.ledger.list("notes", "k") == [oldest] and await mine.ledger.list("todos") == []
    assert await mine.ledger.list(kind="rejected") == [] and len(await mine.ledger.list(kind="lost")) == 2
    assert await mine.ledger.list(limit=1) == [newest]
    assert await mine.ledger.list(limit=1, after=newest.id) == [oldest]
    assert await mine.ledger.list(since="2999-01-01T00:00:00Z") == []
    assert len(await mine.ledger.list(since="2020-01-01T00:00:00Z")) == 2


async def test_the_ledger_is_queried_with_sdbql_and_not_written_by_it(table):
    mine, _ = await loser(table)
    query = "FOR e IN ledger FILTER e.kind == @kind RETURN {key: e.key, title: e.body.title, by: e.device}"
    assert await mine.ledger.query(query, {"kind": "lost"}) == [{"key": "k", "title": "mine", "by": "mine's"}]
    with pytest.raises(ps.QueryError, match="not written"):
        await mine.ledger.query("FOR e IN ledger REMOVE e IN ledger")


async def test_the_export_is_one_line_of_json_for_each_entry(table):
    mine, _ = await loser(table)
    lines = [line async for line in mine.ledger.export()]
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert [ps.Entry.from_json(json.loads(line)) for line in lines] == await mine.ledger.list()


async def test_a_refused_change_is_in_it_and_a_watcher_hears_that_it_was_taken_back(table):
    def guard(change: Any, before: Any, after: Any) -> Problem | None:
        return Problem("forbidden", "not this") if (change.state.body or {}).get("bad") else None

    mine = await table.open("mine", guard=guard)
    await put(mine, BASE)
    await mine.sync_now()
    heard: list[tuple[str, str, bool]] = []
    await put(mine, {**BASE, "bad": 1})
    (change,) = await mine.pending_changes()
    mine.on_change(lambda one: heard.append((one.change_type, one.reason, one.change_id == change.change_id)))
    waiter = asyncio.ensure_future(mine.confirmed(change.change_id))
    await mine.sync_now()
    with pytest.raises(ps.ChangeRejected, match="not this") as caught:
        await waiter
    assert await see(mine) == BASE
    assert ("RemoteUpdate", "rejected", True) in heard
    (entry,) = await mine.ledger.list(kind="rejected")
    assert (entry.id, entry.code, entry.device) == (caught.value.entry_id, "forbidden", "mine's")


async def test_the_entry_is_written_in_the_transaction_that_loses_the_value(table, monkeypatch):
    """Whatever storage the loss is cut off in, the value is in the document or in the ledger."""
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.REMOTE_WINS)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    inner = mine._storage._storage
    write = inner.write
    seen: list[tuple[Any, list[Any]]] = []

    async def watched(body: Any, **how: Any) -> Any:
        result = await write(body, **how)
        seen.append((await see(mine), await lost(mine)))
        return result

    monkeypatch.setattr(type(inner), "write", lambda self, body, **how: watched(body, **how))
    await mine.sync_now()
    assert seen and all(document == {"title": "mine"} or {"title": "mine"} in gone for document, gone in seen)


# Bounds


async def fill(storage: Any, count: int, at_ms: int) -> None:
    async def body(tx: Any) -> None:
        for i in range(count):
            entry = ps.Entry("lost", "notes", f"k{i}", "update", {"n": i}, "", "", at_ms + i)
            record_entry(tx, entry, random.SystemRandom())

    await storage.write(body)


@pytest.mark.parametrize(("count", "age_h"), [(12, 0), (3, 30)], ids=["too many", "too old"])
async def test_nothing_goes_before_a_warning_had_its_time(table, count, age_h):
    mine = await table.open("mine")
    storage, now_ms = mine.store.storage, 1_800_000_000_000
    bounds = ps.LedgerBounds(entries=10, age_s=24 * 3600, notice_s=3600)
    await fill(storage, count, now_ms - age_h * HOUR_MS)

    async def look(after_ms: int) -> Any:
        return await storage.write(lambda tx: trim(tx, bounds, now_ms + after_ms))

    first, soon = await look(0), await look(HOUR_MS - 1)
    assert first.warning and (first.gone, soon.gone, soon.entries) == (0, 0, count)
    late = await look(HOUR_MS)
    assert late.gone == (2 if count == 12 else 3)


async def test_a_full_ledger_warns_in_the_log_and_in_the_status(table, caplog):
    mine = await table.open("mine")
    await fill(mine.store.storage, 9, 1_800_000_000_000)
    await mine.close()
    mine = await table.open("mine", ledger=ps.LedgerBounds(entries=10, age_s=1e9))
    assert "the ledger has 9 entries" in caplog.text
    assert "the ledger has 9 entries" in str((await mine.status()).ledger_warning)
    assert len(await mine.ledger.list()) == 9
