"""What a device holds of the server's documents: choosing parts, what comes and goes by it, and at what price."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.scope import Wish
from pysync_web.values import loads
from tests.pairs import Table, settle
from tests.simulator.lab import Lab

MINE = "doc.owner == @me"


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    """Give a hub with devices."""
    found = Table(ps.StorageEngine.MEMORY, tmp_path)
    yield found
    await found.close()


async def keys(device: ps.SyncManager, collection: str = "tasks") -> list[str]:
    """List the keys of what a device shows."""
    return [key for key, _ in await device.query_documents(collection)]


class Wire:
    """Counts what a device was sent."""

    def __init__(self, table: Table, name: str) -> None:
        self.answers: list[dict[str, Any]] = []
        cable = table.cables[name]
        exchange = cable.exchange

        async def listening(database: str, body: str) -> str:
            answer = await exchange(database, body)
            self.answers.append(loads(answer))
            return answer

        cable.exchange = listening  # type: ignore[method-assign]

    def sent(self) -> list[tuple[str, str]]:
        """Give the operation and the key of all documents sent since the last call."""
        rows = [(one["operation"], one["key"]) for answer in self.answers for one in answer["server_changes"]]
        self.answers.clear()
        return rows


async def filled(table: Table, count: int = 6, **config: Any) -> tuple[ps.SyncManager, ps.SyncManager, Wire]:
    """Give a device that has written tasks of ada and of bob in turn, and one that has not synced yet."""
    writer, reader = await table.open("writer"), await table.open("reader", **config)
    for i in range(count):
        await writer.save_document("tasks", f"t{i}", {"owner": ("ada", "bob")[i % 2], "n": i})
    await writer.save_document("notes", "n1", {"text": "for all"})
    await writer.sync_now()
    return writer, reader, Wire(table, "reader")


async def test_a_filter_brings_what_it_lets_through_and_leaves_other_collections_alone(table: Table) -> None:
    """A first sync of a part."""
    _, reader, wire = await filled(table)
    assert await reader.subscribe("tasks", MINE, {"me": "ada"})
    assert not await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    assert await keys(reader) == ["t0", "t2", "t4"]
    assert await keys(reader, "notes") == ["n1"]
    assert len(wire.sent()) == 4
    (chosen,) = await reader.subscriptions()
    assert chosen == ps.Subscribed("tasks", MINE, {"me": "ada"}, True, True)
    assert ps.Subscribed.from_json(chosen.to_json()) == chosen


async def test_what_leaves_a_filter_goes_here_alone_and_what_enters_comes_whole(table: Table) -> None:
    """An edit by somebody else, either way; the device is told which."""
    writer, reader, wire = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    wire.sent()
    events: list[ps.Change] = []
    reader.on_change(events.append)
    await writer.save_document("tasks", "t0", {"owner": "bob"})
    await writer.save_document("tasks", "t1", {"owner": "ada"})
    await writer.save_document("tasks", "t3", {"n": 33})
    await writer.sync_now()
    await reader.sync_now()
    assert wire.sent() == [("remove", "t0"), ("update", "t1")]
    assert await keys(reader) == ["t1", "t2", "t4"]
    told = [(event.change_type, event.key, event.reason) for event in events if event.key]
    assert told == [("RemoteDelete", "t0", "removed"), ("RemoteInsert", "t1", "")]
    assert (await writer.get_document("tasks", "t0") or {})["owner"] == "bob"
    assert await reader.ledger.list() == []


async def test_a_delete_of_what_a_device_never_had_is_no_news_to_it(table: Table) -> None:
    """Not even its key."""
    writer, reader, wire = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    wire.sent()
    await writer.delete_document("tasks", "t1")
    await writer.delete_document("tasks", "t2")
    await writer.sync_now()
    await reader.sync_now()
    assert wire.sent() == [("delete", "t2")]


async def test_a_wider_filter_fetches_what_was_left_out_and_a_narrower_one_removes(table: Table) -> None:
    """Nothing comes twice."""
    _, reader, wire = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    wire.sent()
    await reader.subscribe("tasks", "doc.n < 3")
    assert not (await reader.subscriptions())[0].is_ready
    await reader.sync_now()
    assert sorted(wire.sent()) == [("remove", "t4"), ("update", "t1")]
    assert await keys(reader) == ["t0", "t1", "t2"]
    await reader.subscribe("tasks")
    await reader.sync_now()
    assert sorted(wire.sent()) == [("update", "t3"), ("update", "t4"), ("update", "t5")]
    assert await reader.subscriptions() == []


async def test_a_change_that_was_not_sent_holds_its_document_and_is_in_the_ledger(table: Table) -> None:
    """It is sent all the same, and then the document goes."""
    writer, reader, _ = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    await reader.save_document("tasks", "t0", {"said": "offline"})
    await writer.save_document("tasks", "t0", {"owner": "bob"})
    await writer.sync_now()
    outcome = await reader.sync_now()
    assert outcome.success
    await settle(writer, reader)
    assert "t0" not in await keys(reader)
    found = await writer.get_document("tasks", "t0") or {}
    assert (found["owner"], found["said"]) == ("bob", "offline")


async def test_a_pending_change_is_noted_where_its_document_leaves_before_it_is_sent(table: Table) -> None:
    """The answer that removes is one without the change: another document's conflict holds that back."""
    writer, reader, _ = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    await writer.save_document("tasks", "t0", {"owner": "bob"})
    await writer.sync_now()
    await reader.save_document("tasks", "t0", {"said": "offline"})
    await reader.sync_where(lambda *_: False)
    assert "t0" in await keys(reader)
    (entry,) = await reader.ledger.list()
    assert (entry.kind, entry.code, entry.body) == (
        "removed",
        "document_removed",
        {"owner": "ada", "n": 0, "said": "offline"},
    )
    await settle(reader, writer)
    assert "t0" not in await keys(reader)
    assert (await writer.get_document("tasks", "t0") or {})["said"] == "offline"


async def test_what_is_written_outside_of_the_own_filter_is_sent_and_goes(table: Table) -> None:
    """Also into a collection that is not held at all."""
    writer, reader, _ = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.unsubscribe("notes")
    await reader.sync_now()
    await reader.save_document("tasks", "new", {"owner": "bob"})
    await reader.save_document("notes", "n2", {"text": "out"})
    assert "new" in await keys(reader)
    await reader.sync_now()
    assert "new" not in await keys(reader) and await keys(reader, "notes") == []
    await writer.sync_now()
    assert "new" in await keys(writer) and await keys(writer, "notes") == ["n1", "n2"]


async def test_unsubscribing_drops_what_is_here_and_subscribing_brings_it_back(table: Table) -> None:
    """By command as well."""
    writer, reader, wire = await filled(table)
    await reader.sync_now()
    wire.sent()
    await reader.send(ps.Unsubscribe("tasks"))
    await reader.sync_now()
    assert await keys(reader) == [] and await keys(reader, "notes") == ["n1"]
    await writer.save_document("tasks", "t9", {"owner": "ada"})
    await writer.sync_now()
    await reader.sync_now()
    assert wire.sent() == []
    await reader.send(ps.Subscribe("tasks", "owner == 'ada'"))
    await reader.sync_now()
    assert await keys(reader) == ["t0", "t2", "t4", "t9"]


async def test_an_exact_list_holds_nothing_else_until_everything_is_wanted_again(table: Table) -> None:
    """set_collection_sync_filters, and the whole query of set_sync_filter."""
    _, reader, _ = await filled(table)
    await reader.sync_now()
    await reader.set_collection_sync_filters([("tasks", "FOR t IN tasks FILTER t.n > @n RETURN t", {"n": 3})])
    await reader.sync_now()
    assert await keys(reader) == ["t4", "t5"] and await keys(reader, "notes") == []
    await reader.set_sync_filter("FOR t IN tasks FILTER t.n == 0 RETURN t")
    await reader.sync_now()
    assert await keys(reader) == ["t0"]
    await reader.set_collection_sync_filters(None)
    await reader.sync_now()
    assert len(await keys(reader)) == 6 and await keys(reader, "notes") == ["n1"]


async def test_a_choice_survives_a_restart_and_goes_on_where_it_was(table: Table) -> None:
    """A snapshot in small pages, broken off after the second."""
    _, reader, wire = await filled(table, 20, page_size=2)
    await reader.set_collection_sync_filters([("tasks", "doc.n >= 0")])
    cable, seen = table.cables["reader"], 0

    def cut(_: str) -> bool:
        nonlocal seen
        seen += 1
        return seen > 3

    cable.refuses = cut
    await reader.sync_now()
    before = len(await keys(reader))
    assert 0 < before < 20
    cable.refuses = lambda _: False
    wire.sent()
    await reader.sync_now()
    assert len(await keys(reader)) == 20 and len(wire.sent()) == 20 - before


async def test_a_page_that_the_filter_empties_moves_the_cursor(table: Table) -> None:
    """In one exchange, whatever was changed."""
    writer, reader, wire = await filled(table, 30, page_size=5)
    await reader.subscribe("tasks", MINE, {"me": "nobody"})
    await reader.sync_now()
    await writer.save_documents("tasks", {f"t{i}": {"n": -i} for i in range(30)})
    await writer.sync_now()
    wire.sent()
    await reader.sync_now()
    assert len(wire.answers) == 1 and wire.sent() == []


@pytest.mark.parametrize(
    ("query", "binds", "says"),
    [
        ("FOR t IN other FILTER t.x RETURN t", {}, "other"),
        ("doc.owner ==", {}, "line 1"),
        ("doc.owner == @me", {}, "me"),
        ("doc.at > DATE_NOW()", {}, "time"),
        ("FOR t IN tasks SORT t.n RETURN t", {}, "SORT"),
    ],
)
async def test_a_filter_that_is_none_is_refused_at_once(table: Table, query: str, binds: Any, says: str) -> None:
    """Where it was asked for, and nothing is changed by it."""
    device = await table.open("one")
    with pytest.raises((ps.QueryError, ps.SchemaError), match=says):
        await device.subscribe("tasks", query, binds)
    assert await device.subscriptions() == []


async def test_a_part_that_is_not_the_servers_is_noticed_and_fetched_again(table: Table) -> None:
    """A document that was lost from this device's storage, behind everybody's back."""
    _, reader, _ = await filled(table)
    await reader.subscribe("tasks", MINE, {"me": "ada"})
    await reader.sync_now()
    storage = reader.store.storage

    async def lose(tx: Any) -> None:
        tx.delete("docs", ("tasks", "t2"))
        tx.put("collections", ("tasks",), '{"count":2,"digest":"0000000000000001"}')

    await storage.write(lose)
    result = await reader.sync_now()
    assert any("tasks" in error for error in result.errors)
    assert await keys(reader) == ["t0", "t2", "t4"]
    assert (await reader.sync_now()).success


# Deltas


async def test_only_what_has_changed_travels(table: Table) -> None:
    """Nested fields, removed ones, and both ways; the statistics say what that saves."""
    writer, reader = await table.open("writer"), await table.open("reader")
    body = {"text": "x" * 4000, "place": {"city": "rome", "zip": 1}, "old": True}
    await writer.save_document("tasks", "t", body)
    await settle(writer, reader)
    wire = Wire(table, "reader")
    await writer.save_document("tasks", "t", {**body, "place": {"city": "rome", "zip": 2}} | {"old": None})
    await writer.update_document("tasks", "t", lambda doc: {k: v for k, v in (doc or {}).items() if k != "old"})
    await writer.sync_now()
    await reader.sync_now()
    (change,) = wire.answers[0]["server_changes"]
    assert change["delta"] == {"place": {"zip": 2}} and change["removed"] == ["/old"]
    assert (await reader.get_document("tasks", "t") or {})["place"] == {"city": "rome", "zip": 2}
    for device in (writer, reader):
        stats = device.get_last_delta_stats()
        assert 0 < stats.delta_size < stats.full_size * 0.15, stats


async def test_deltas_can_be_turned_off_and_have_a_threshold(table: Table) -> None:
    """By collection, and for all."""
    writer, reader = await table.open("writer"), await table.open("reader")
    for name in ("a", "b"):
        await writer.save_document(name, "t", {"text": "x" * 1000, "n": 0, "half": "y" * 900})
    await settle(writer, reader)
    wire = Wire(table, "reader")
    reader.enable_delta_sync("a", False)
    for change, due in (({"n": 1}, {"a": False, "b": True}), ({"half": "z" * 1200}, {"a": False, "b": False})):
        for name in ("a", "b"):
            await writer.save_document(name, "t", change)
        await writer.sync_now()
        await reader.sync_now()
        assert {one["collection"]: "delta" in one for one in wire.answers.pop()["server_changes"]} == due
    reader.enable_delta_sync("a")
    reader.set_delta_threshold(0.9)
    await writer.save_document("a", "t", {"half": "w" * 1200})
    await writer.sync_now()
    await reader.sync_now()
    assert "delta" in wire.answers[-1]["server_changes"][0]
    with pytest.raises(ps.InvalidDocument, match="threshold"):
        reader.set_delta_threshold(2)


async def test_a_delta_for_another_version_is_never_applied(table: Table) -> None:
    """The documents are asked for whole instead."""
    writer, reader = await table.open("writer"), await table.open("reader")
    await writer.save_document("tasks", "t", {"text": "x" * 1000, "n": 0})
    await settle(writer, reader)

    async def other(tx: Any) -> None:
        text = await tx.get("docs", ("tasks", "t"))
        tx.put("docs", ("tasks", "t"), text.replace('"server":1', '"server":0'))

    await reader.store.storage.write(other)
    await writer.save_document("tasks", "t", {"n": 1})
    await writer.sync_now()
    wire = Wire(table, "reader")
    await reader.sync_now()
    forms = ["delta" in one for answer in wire.answers for one in answer["server_changes"]]
    assert forms[:2] == [True, False]
    assert (await reader.get_document("tasks", "t") or {})["n"] == 1


async def test_a_sync_tells_how_much_was_exchanged(table: Table) -> None:
    """Documents and characters."""
    _, reader, _ = await filled(table)
    told: list[tuple[int, ...]] = []
    reader.on_progress(lambda done, total: told.append((done, total)))
    reader.on_progress(lambda *counts: told.append(counts), with_size=True)
    await reader.sync_now()
    assert told[0] == (7, 7) and told[1][:2] == (7, 7) and told[1][2] > 500


# The server's work


async def test_a_filter_on_a_field_does_not_read_the_collection(table: Table) -> None:
    """Nor do later syncs read more than what has changed."""
    writer, reader = await table.open("writer"), await table.open("reader")
    await writer.save_documents("tasks", {f"t{i:04}": {"owner": f"o{i % 100}", "n": i} for i in range(1000)})
    await writer.sync_now()
    await reader.set_collection_sync_filters([("tasks", MINE, {"me": "o7"})])
    await reader.sync_now()
    assert len(await keys(reader)) == 10
    storage: Any = table.hub._storage
    read, count = storage.read, 0

    async def counted(body: Any) -> Any:
        async def inner(tx: Any) -> Any:
            return await body(Counting(tx))

        return await read(inner)

    class Counting:
        def __init__(self, tx: Any) -> None:
            self.tx = tx

        def __getattr__(self, name: str) -> Any:
            async def call(*args: Any, **options: Any) -> Any:
                nonlocal count
                found = await getattr(self.tx, name)(*args, **options)
                count += len(found) if isinstance(found, list) else 1
                return found

            return call

    storage.read = counted
    other = await table.open("other")
    await other.set_collection_sync_filters([("tasks", MINE, {"me": "o8"})])
    await other.sync_now()
    assert len(await keys(other)) == 10 and count < 100
    count = 0
    await reader.sync_now()
    assert count < 20


def test_who_changes_their_mind_while_it_is_not_known_what_is_here_keeps_nothing_else():
    """Everything is here; it is pulled again for one filter when another one is chosen."""
    lab = Lab()
    a, b = lab.replicas("a b", page_limit=2)
    for i in range(6):
        a.save(f"k{i}", {"n": i})
    lab.settle(a, b)
    for wishes in ({"notes": Wish("doc.n < 5")}, None, {"notes": Wish("doc.n < 4")}):
        lab.subject.choose(b.storage, wishes, None, is_exact=False)
    b.exchange()
    lab.subject.choose(b.storage, {"notes": Wish("doc.n < 1")}, None, is_exact=False)
    assert not any(outcome.diverged for outcome in b.sync())
    assert [key for key, _ in b.storage.rows("docs")] == [("notes", "k0")]


async def test_another_tab_hears_why_a_document_went(table: Table):
    first, second = await table.open("shared"), await table.open("shared")
    for key, owner in (("1", "ada"), ("2", "bob"), ("3", "ada")):
        await first.save_document("tasks", key, {"owner": owner})
    await first.sync_now()
    heard: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

    async def hears(*events: tuple[str, str, str]) -> None:
        assert {await heard.get() for _ in events} == set(events)

    await asyncio.sleep(0)
    second.on_change(lambda event: heard.put_nowait((event.change_type, event.key, event.reason)))
    await first.subscribe("tasks", MINE, {"me": "ada"})
    await first.sync_now()
    await hears(("RemoteDelete", "2", "removed"))
    await first.evict("FOR d IN tasks FILTER d._key == '1' RETURN d")
    await hears(("RemoteDelete", "1", "evicted"))
    await first.delete_document("tasks", "3")
    await hears(("LocalDelete", "3", ""))
    await first.save_document("tasks", "4", {"owner": "ada"})
    await hears(("LocalUpdate", "4", ""))
    await first.delete_document("tasks", "4")
    await hears(("LocalDelete", "4", ""))
