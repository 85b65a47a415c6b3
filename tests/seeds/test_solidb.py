"""SoliDB's offline behaviours: vectors, strategies, CRDT calls, deltas, control of the sync, the plain protocol."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import pysync_web as ps
from pysync_web import crdt
from pysync_web.causality import Ordering, compare
from tests.seeds.bench import Bench, held, own, see, settle, synced, waiting

S = ps.ConflictStrategy


async def version(device: ps.SyncManager, key: str = "k") -> dict[str, int]:
    """Give a document's version vector."""
    return (await device.get_document("notes", key))["_version"]


async def both_have(one: ps.SyncManager, two: ps.SyncManager, body: dict[str, Any]) -> None:
    """Give two devices one document."""
    await one.save_document("notes", "k", body)
    await settle(one, two)


# Version vectors


async def test_a_version_counts_the_changes_of_each_device_and_those_of_the_server(bench: Bench):
    one, two = await bench.devices()
    for n in range(2):
        await one.save_document("notes", "k", {"n": n})
        await synced(one)
    await synced(two)
    await two.save_document("notes", "k", {"m": 1})
    await synced(two, one)
    assert await version(one) == {one.store.replica_id: 2, two.store.replica_id: 1, "server": 3}


async def test_an_edit_after_another_has_a_version_that_follows_it_and_is_no_conflict(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await both_have(one, two, {"n": 0})
    before = await version(one)
    await two.save_document("notes", "k", {"n": 1})
    (result,) = await synced(two)
    await synced(one)
    assert compare(await version(one), before) is Ordering.AFTER
    assert result.conflicts == 0 and await one.lost_changes() == await two.lost_changes() == []


async def test_edits_that_had_not_seen_each_other_have_versions_of_which_neither_follows(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await both_have(one, two, {"n": 0})
    seen: list[ps.Conflict] = []
    two.on_conflict(seen.append)
    await one.save_document("notes", "k", {"n": 1})
    await two.save_document("notes", "k", {"n": 2})
    await synced(one, two)
    (conflict,) = seen
    assert compare(conflict.local_version, conflict.remote_version) is Ordering.CONCURRENT


async def test_what_a_conflict_comes_to_has_a_version_that_follows_both(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await both_have(one, two, {"n": 0})
    seen: list[ps.Conflict] = []
    two.on_conflict(seen.append)
    await one.save_document("notes", "k", {"n": 1})
    await two.save_document("notes", "k", {"n": 2})
    await settle(one, two)
    after = await version(one)
    assert after == await version(two)
    assert compare(after, seen[0].remote_version) is Ordering.AFTER
    assert after[two.store.replica_id] >= seen[0].local_version[two.store.replica_id]


async def test_a_version_survives_a_restart_and_goes_on_from_there(lasting: Bench):
    device = await lasting.device("phone")
    await device.save_document("notes", "k", {"n": 1})
    await synced(device)
    before = await version(device)
    await device.close()
    again = await lasting.device("phone")
    assert await version(again) == before
    await again.save_document("notes", "k", {"n": 2})
    await synced(again)
    assert compare(await version(again), before) is Ordering.AFTER


async def test_a_pull_brings_only_what_a_vector_does_not_have(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {}, "b": {}})
    await synced(one, two)
    await one.save_document("notes", "c", {})
    await synced(one)
    assert (await synced(two, two))[0].pulled == 1
    assert bench.cables[two].requests[-1]["version_vector"]["server"] == 3


async def test_a_timestamp_is_iso_8601_and_a_later_edit_has_a_later_one_whatever_the_clocks_say(
    bench: Bench, clock
):
    one, two = await bench.devices()
    clock.forward(120)
    await one.save_document("notes", "k", {"n": 1})
    await synced(one, two)
    first = (await two.get_document("notes", "k"))["_timestamp"]
    clock.forward(-100)
    await two.save_document("notes", "k", {"n": 2})
    second = (await two.get_document("notes", "k"))["_timestamp"]
    assert first < second and second.endswith("Z") and second[10] == "T"
    await synced(two, one)
    assert await see(one) == {"n": 2}


# Strategies


async def test_last_write_wins_takes_the_later_change_as_a_whole(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await both_have(one, two, {"a": 0, "b": 0})
    await two.save_document("notes", "k", {"b": "early"})
    await one.save_document("notes", "k", {"a": "late"})
    await settle(one, two)
    assert await see(one) == await see(two) == {"a": "late", "b": 0}
    assert [entry.body for entry in await two.lost_changes()] == [{"a": 0, "b": "early"}]


async def test_merge_fields_keeps_changes_of_different_fields_and_the_later_of_one(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.MERGE_FIELDS)
    await both_have(one, two, {"name": "Ann", "mail": "a@x", "deep": {"x": 0, "y": 0}})
    await one.save_document("notes", "k", {"name": "Anna", "mail": "1@x", "deep": {"x": 1, "y": 0}})
    await two.save_document("notes", "k", {"mail": "2@x", "deep": {"x": 0, "y": 2}})
    await settle(one, two)
    assert await see(one) == await see(two) == {"name": "Anna", "mail": "2@x", "deep": {"x": 1, "y": 2}}


async def test_what_loses_is_kept_with_who_it_lost_against(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.MERGE_FIELDS)
    await both_have(one, two, {"a": 0, "b": 0})
    await one.save_document("notes", "k", {"a": 1, "b": 1})
    await two.save_document("notes", "k", {"a": 2})
    await settle(two, one)
    (entry,) = await one.lost_changes()
    assert (entry.kind, entry.key, entry.body) == ("lost", "k", {"a": 1})
    assert entry.against_op_id and entry.timestamp < entry.against_timestamp


@pytest.mark.parametrize(
    ("answer", "is_mine_later", "stands"),
    [
        (ps.ConflictResolution.AcceptRemote, True, {"n": "theirs"}),
        (ps.ConflictResolution.AcceptLocal, False, {"n": "mine"}),
        (ps.ConflictResolution.Merge({"n": "ours"}), True, {"n": "ours"}),
    ],
    ids=["accept remote", "accept local", "merge"],
)
async def test_a_callback_decides_a_conflict_for_everybody(
    bench: Bench, answer: Any, is_mine_later: bool, stands: Any
):
    theirs, mine = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await both_have(theirs, mine, {"n": 0})
    mine.on_conflict(lambda conflict: answer)
    edits = [(theirs, "theirs"), (mine, "mine")]
    for device, n in edits if is_mine_later else reversed(edits):
        await device.save_document("notes", "k", {"n": n})
    await synced(theirs)
    (result,) = await synced(mine)
    await settle(theirs, mine)
    assert result.conflicts == 1 and await see(theirs) == await see(mine) == stands


async def test_watchers_hear_of_a_conflict(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    heard: list[ps.Change] = []
    two.on_change(heard.append)
    await two.save_document("notes", "k", {"n": 1})
    await one.save_document("notes", "k", {"n": 2})
    await synced(one, two)
    (told,) = [change for change in heard if change.change_type == "Conflict"]
    assert told.document == await two.get_document("notes", "k") and "_version" in told.document


async def test_first_write_wins_keeps_what_reached_the_server_first_and_notes_the_other(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.FIRST_WRITE_WINS)
    await both_have(one, two, {"n": 0})
    await two.save_document("notes", "k", {"n": "second there"})
    await one.save_document("notes", "k", {"n": "first there"})
    await settle(one, two)
    assert await see(one) == await see(two) == {"n": "first there"}
    assert [entry.body for entry in await two.lost_changes()] == [{"n": "second there"}]


async def test_a_resolver_of_one_s_own_gets_both_versions_and_their_base_and_makes_the_document(bench: Bench):
    def resolve(conflict: ps.Conflict) -> Any:
        return {"n": conflict.local["n"] + conflict.remote["n"] - conflict.base["n"]}

    one, two = await bench.devices(conflict_strategy=S.CUSTOM(resolve))
    await both_have(one, two, {"n": 100})
    await one.save_document("notes", "k", {"n": 101})
    await two.save_document("notes", "k", {"n": 110})
    await settle(one, two)
    assert await see(one) == await see(two) == {"n": 111}


async def test_fields_that_both_changed_may_be_marked_for_a_person_to_decide(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.THREE_WAY_MERGE)
    await both_have(one, two, {"a": 0, "b": 0, "c": 0})
    await one.save_document("notes", "k", {"a": 1, "c": 1})
    await two.save_document("notes", "k", {"a": 2, "b": 2})
    await synced(one, two)
    (conflict,) = await two.conflicts()
    assert conflict.clashes == ("/a",)


async def test_conflicts_are_listed_after_a_sync_with_all_three_versions_and_resolved_one_by_one(lasting: Bench):
    one, two = await lasting.device("one"), await lasting.device("two", conflict_strategy=S.MANUAL)
    await both_have(one, two, {"n": 0})
    await one.save_document("notes", "k", {"n": 1})
    await two.save_document("notes", "k", {"n": 2})
    await synced(one, two)
    await two.close()
    two = await lasting.device("two", conflict_strategy=S.MANUAL)
    (conflict,) = await two.conflicts()
    assert (conflict.collection, conflict.key) == ("notes", "k")
    assert (conflict.local, conflict.remote, conflict.base) == ({"n": 2}, {"n": 1}, {"n": 0})
    assert await two.resolve_conflict("notes", "k", {"n": 3})
    await settle(two, one)
    assert await see(one) == await see(two) == {"n": 3} and await two.conflicts() == []


async def test_a_collection_may_have_a_strategy_of_its_own(bench: Bench):
    strategies = {"collection_strategies": {"notes": S.FIRST_WRITE_WINS}, "conflict_strategy": S.LAST_WRITE_WINS}
    one, two = await bench.devices(**strategies)
    for device, n in ((one, 1), (two, 2)):
        await device.save_document("notes", "k", {"n": n})
        await device.save_document("todos", "k", {"n": n})
    await settle(one, two)
    assert (await see(one), await see(one, "k", "todos")) == ({"n": 1}, {"n": 2})


# CRDT calls


async def test_counters_of_all_devices_add_up(bench: Bench):
    devices = await bench.devices(3)
    for n, device in enumerate(devices, 1):
        await device.crdt_increment("users", "u", "logins", n)
    await devices[0].crdt_decrement("users", "u", "logins", 2)
    await settle(*devices)
    assert [await device.crdt_value("users", "u", "logins") for device in devices] == [4, 4, 4]


async def test_a_counter_never_loses_an_operation_to_a_lost_answer(bench: Bench):
    one, two = await bench.devices()
    cable = bench.cables[one]
    cable.loses_answers = True
    for _ in range(3):
        await one.crdt_increment("stock", "i", "n")
        await one.sync_now()
    cable.loses_answers = False
    await settle(one, two)
    assert await one.crdt_value("stock", "i", "n") == await two.crdt_value("stock", "i", "n") == 3


async def test_a_register_holds_what_was_set_last_whoever_syncs_last(bench: Bench):
    for order in ((0, 1), (1, 0)):
        devices = await bench.devices()
        key = f"u{order}"
        await devices[0].crdt_set("users", key, "seen", "monday")
        await devices[1].crdt_set("users", key, "seen", "tuesday")
        await settle(*(devices[i] for i in order))
        assert [await device.crdt_value("users", key, "seen") for device in devices] == ["tuesday"] * 2


async def test_a_set_that_only_grows_has_what_anybody_added_once(bench: Bench):
    one, two = await bench.devices()
    for device, tag in ((one, "red"), (two, "blue"), (two, "red")):
        await device.crdt_add_to_set("users", "u", "tags", tag)
    await settle(one, two)
    assert (
        await one.crdt_value("users", "u", "tags") == await two.crdt_value("users", "u", "tags") == ["blue", "red"]
    )


async def test_an_addition_wins_over_a_removal_at_the_same_time(bench: Bench):
    one, two = await bench.devices()
    await one.crdt_set_add("users", "u", "tags", "red")
    await settle(one, two)
    await one.crdt_set_remove("users", "u", "tags", "red")
    await two.crdt_set_add("users", "u", "tags", "red")
    await settle(one, two)
    assert await one.crdt_value("users", "u", "tags") == await two.crdt_value("users", "u", "tags") == ["red"]


async def test_a_removal_after_an_addition_that_was_seen_removes_it_everywhere(bench: Bench):
    one, two = await bench.devices()
    await one.crdt_set_add("users", "u", "tags", "red")
    await settle(one, two)
    await two.crdt_set_remove("users", "u", "tags", "red")
    await settle(one, two)
    assert await one.crdt_value("users", "u", "tags") == []


async def test_names_of_a_map_are_put_on_all_devices_and_the_later_value_of_one_stands(bench: Bench):
    one, two = await bench.devices()
    await one.crdt_map_put("users", "u", "prefs", "theme", "dark")
    await one.crdt_map_put("users", "u", "prefs", "size", 12)
    await two.crdt_map_put("users", "u", "prefs", "theme", "light")
    await settle(one, two)
    expected = {"theme": "light", "size": 12}
    assert await one.crdt_value("users", "u", "prefs") == await two.crdt_value("users", "u", "prefs") == expected


async def test_a_name_that_is_removed_from_a_map_stays_if_somebody_put_it_at_the_same_time(bench: Bench):
    one, two = await bench.devices()
    for name in ("theme", "size"):
        await one.crdt_map_put("users", "u", "prefs", name, 0)
    await settle(one, two)
    for name in ("theme", "size"):
        await one.crdt_map_remove("users", "u", "prefs", name)
    await two.crdt_map_put("users", "u", "prefs", "theme", 1)
    await settle(one, two)
    assert (
        await one.crdt_value("users", "u", "prefs") == await two.crdt_value("users", "u", "prefs") == {"theme": 1}
    )


async def test_a_register_of_many_values_keeps_what_was_set_at_the_same_time_until_somebody_decides(bench: Bench):
    one, two = await bench.devices()
    for device, value in ((one, "a"), (two, "b")):
        await device.crdt_change("notes", "k", "title", "mv_register", crdt.Replace(value))
    await settle(one, two)
    assert await one.crdt_value("notes", "k", "title") == ["a", "b"]
    await two.crdt_change("notes", "k", "title", "mv_register", crdt.Replace("c"))
    await settle(one, two)
    assert await one.crdt_value("notes", "k", "title") == ["c"]


@pytest.mark.parametrize("strategy", [S.LAST_WRITE_WINS, S.MERGE_FIELDS])
async def test_crdt_values_merge_in_a_document_whose_other_fields_are_in_conflict(bench: Bench, strategy: Any):
    one, two = await bench.devices(conflict_strategy=strategy)
    await both_have(one, two, {"title": ""})
    for n, device in enumerate((one, two), 1):
        await device.save_document("notes", "k", {"title": str(n)})
        await device.crdt_increment("notes", "k", "reads", n)
    await settle(one, two)
    assert await see(one) == await see(two) == {"title": "2", "reads": 3}


async def test_crdt_values_are_read_and_queried_as_plain_values_also_offline(bench: Bench):
    device = await bench.device(alone=True)
    await device.crdt_increment("users", "u", "logins", 3)
    await device.crdt_add_to_set("users", "u", "tags", "red")
    assert own(await device.get_document("users", "u")) == {"logins": 3, "tags": ["red"]}
    assert await device.query("FOR u IN users FILTER u.logins > 2 RETURN u.tags") == [["red"]]


# Deltas


async def test_only_the_fields_that_changed_travel(bench: Bench):
    device = await bench.device()
    await device.save_document(
        "notes", "k", {"a": "x" * 500, "b": "y" * 500, "n": 1, "deep": {"p": "z" * 500, "q": 1}}
    )
    await synced(device)
    await device.save_document("notes", "k", {"n": 2})
    await device.save_document("notes", "k", {"deep": {"p": "z" * 500, "q": 2}})
    await synced(device)
    first, second = bench.cables[device].changes
    assert len(first["document"]["a"]) == 500
    assert second["delta"] == {"n": 2, "deep": {"q": 2}} and "document" not in second
    assert len(bench.cables[device].bodies[-1]) < len(bench.cables[device].bodies[0]) / 2


async def test_a_delta_says_on_which_version_it_was_made(bench: Bench):
    one, two = await bench.devices()
    await both_have(one, two, {"a": 1})
    base = await version(two)
    await two.save_document("notes", "k", {"b": 1})
    await synced(two)
    assert bench.cables[two].changes[-1]["base_version"] == base


async def test_a_removed_field_travels_as_its_name(bench: Bench):
    one, two = await bench.devices()
    await both_have(one, two, {"a": "x" * 500, "b": 2, "c": {"d": 1, "e": 2}})
    await one.save_document("notes", "k", {"a": "x" * 500, "c": {"d": 1}}, replace=True)
    await synced(one, two)
    assert await see(two) == {"a": "x" * 500, "c": {"d": 1}}
    assert len(bench.cables[one].bodies[-1]) < 1000


async def test_many_edits_of_one_document_travel_as_one_delta(bench: Bench):
    one, two = await bench.devices()
    await both_have(one, two, {"n": 0, "a": 0})
    before = len(bench.cables[one].changes)
    for n in range(50):
        await one.save_document("notes", "k", {"n": n})
    await one.save_document("notes", "k", {"a": 1})
    await synced(one, two)
    (change,) = bench.cables[one].changes[before:]
    assert change["delta"] == {"n": 49, "a": 1} and await see(two) == {"n": 49, "a": 1}


async def test_a_delta_applies_to_a_document_that_others_changed_meanwhile(bench: Bench):
    one, two = await bench.devices()
    await both_have(one, two, {"a": 0, "b": 0, "c": 0})
    await one.save_document("notes", "k", {"a": 1})
    await synced(one)
    await two.save_document("notes", "k", {"b": 2})
    await settle(two, one)
    assert await see(one) == await see(two) == {"a": 1, "b": 2, "c": 0}


# Nothing is marked as sent that was not


async def test_a_sync_deletes_no_pending_change_that_the_server_did_not_get(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {"n": 1}, "b": {"n": 2}})
    await one.delete_document("notes", "b")
    bench.cables[one].is_plugged = False
    for _ in range(3):
        assert not (await one.sync_now()).success
    assert len(await waiting(one)) > 0
    bench.cables[one].is_plugged = True
    await synced(one, two)
    assert await waiting(one) == [] and await held(two) == {"a": {"n": 1}}


async def test_a_change_leaves_the_queue_only_when_the_server_has_it(bench: Bench):
    one, two = await bench.devices(batch_size=100)
    await one.save_documents("notes", {f"{i:03}": {"i": i} for i in range(250)})
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        there = (await bench.hub.status("nobody"))["pending_for_client"]
        seen.append((len(await waiting(one)), there))
        bench.cables[one].meanwhile = look

    bench.cables[one].meanwhile = look
    await synced(one, two)
    assert seen == [(250, 100), (150, 200), (50, 250)]
    assert await waiting(one) == [] and len(await held(two)) == 250


# Documents and control


async def test_documents_are_saved_read_updated_listed_and_deleted_without_a_server(bench: Bench):
    device = await bench.device(alone=True)
    saved = await device.save_document("users", None, {"name": "Bob"})
    assert own(await device.get_document("users", saved["_key"])) == {"name": "Bob"}
    await device.save_document("users", saved["_key"], {"mail": "b@x"})
    documents, total = await device.list_documents("users", 10, 0)
    assert total == 1 and own(documents[0]) == {"name": "Bob", "mail": "b@x"}
    assert await device.delete_document("users", saved["_key"])
    assert await device.query_documents("users") == [] and await device.get_document("users", saved["_key"]) is None


async def test_pages_of_a_list_have_the_total_of_all(bench: Bench):
    device = await bench.device(alone=True)
    await device.save_documents("users", {f"{i:02}": {"i": i} for i in range(25)})
    documents, total = await device.list_documents("users", limit=10, offset=20)
    assert total == 25 and [document["i"] for document in documents] == [20, 21, 22, 23, 24]


async def test_queries_run_offline_with_joins_groups_and_variables(bench: Bench):
    device = await bench.device(alone=True)
    await device.save_documents("users", {"u": {"name": "Ann", "age": 30}, "v": {"name": "Bob", "age": 15}})
    await device.save_documents("orders", {"1": {"by": "u"}, "2": {"by": "u"}, "3": {"by": "v"}})
    join = "FOR o IN orders FOR u IN users FILTER u._key == o.by && u.age >= @age RETURN [o._key, u.name]"
    assert await device.query(join, {"age": 18}) == [["1", "Ann"], ["2", "Ann"]]
    groups = await device.query("FOR o IN orders COLLECT by = o.by WITH COUNT INTO n RETURN {by, n}")
    assert groups == [{"by": "u", "n": 2}, {"by": "v", "n": 1}]


async def test_watchers_hear_what_happened_where_in_the_documented_words(bench: Bench):
    one, two = await bench.devices()
    heard: list[tuple[str, str]] = []
    users: list[str] = []
    two.on_change(lambda change: heard.append((change.change_type, change.key)))
    two.on_collection_change("users", lambda change: users.append(change.change_type))
    await two.save_document("notes", "n", {})
    await one.save_document("users", "u", {"a": 1})
    await synced(one, two)
    await two.save_document("users", "u", {"a": 2})
    await two.delete_document("users", "u")
    assert [one for one in heard if one[0] != "SyncComplete"] == [
        ("LocalInsert", "n"),
        ("RemoteInsert", "u"),
        ("LocalUpdate", "u"),
        ("LocalDelete", "u"),
    ]
    assert users == ["RemoteInsert", "LocalUpdate", "LocalDelete"]


async def test_the_end_of_a_sync_is_told_with_its_counts(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {}, "b": {}})
    await two.save_document("notes", "c", {})
    await synced(one)
    heard: list[Any] = []
    two.on_change(heard.append)
    await synced(two)
    last = heard[-1]
    assert (last.change_type, last.pushed_count, last.pulled_count) == ("SyncComplete", 1, 2)


async def test_commands_sync_switch_and_stop(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {})
    await device.send(ps.SetOnline(False))
    assert not device.is_online and (await device.send(ps.SyncNow())).errors == ["offline"]
    await device.send(ps.SetOnline(True))
    assert device.is_online and (await device.send(ps.SyncNow())).pushed == 1
    await device.send(ps.Stop())
    assert (await device.status()).state == "stopped"


async def test_a_document_of_a_collection_that_is_not_synced_is_refused_and_none_of_one_is_pulled(bench: Bench):
    everything, some = await bench.device(), await bench.device(collections=["users"])
    await everything.save_document("users", "u", {})
    await everything.save_document("notes", "n", {})
    await synced(everything, some)
    assert await some.list_collections() == ["users"]
    with pytest.raises(ps.InvalidDocument):
        await some.save_document("notes", "m", {})


async def test_a_full_resync_pulls_everything_again_and_keeps_what_waits(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {"n": 1}, "b": {"n": 2}})
    await synced(one, two)
    await two.save_document("notes", "c", {"n": 3})
    result = await two.full_resync()
    assert (result.success, result.pushed) == (True, 1) and len(await held(two)) == 3


# The plain protocol


async def plain(bench: Bench, **message: Any) -> dict[str, Any]:
    """Ask the server as any client of the documented protocol may."""
    await bench.hub.open(random.SystemRandom())
    request = {"database": "default", "client_id": "client-A", **message}
    return json.loads(await ps.LocalTransport(bench.hub).exchange("default", json.dumps(request)))


async def test_a_plain_client_pushes_and_gets_what_it_lacks_in_one_request(bench: Bench):
    device = await bench.device()
    await device.save_document("users", "u", {"name": "Bob"})
    await synced(device)
    change = {"collection": "users", "key": "v", "operation": "insert", "document": {"name": "Ann"}}
    answer = await plain(bench, version_vector={}, changes=[{**change, "timestamp": "2024-01-15T10:30:00Z"}])
    (news,) = [change for change in answer["server_changes"] if change["key"] == "u"]
    assert news["document"] == {"name": "Bob"} and answer["conflicts"] == []
    assert answer["server_version"]["server"] == 2
    await synced(device)
    assert own(await device.get_document("users", "v")) == {"name": "Ann"}


async def test_a_plain_client_s_delta_changes_only_its_fields(bench: Bench):
    device = await bench.device()
    await device.save_document("users", "u", {"name": "Bob", "mail": "b@x"})
    await synced(device)
    vector = (await plain(bench))["server_version"]
    change = {"collection": "users", "key": "u", "operation": "update", "delta": {"mail": "bob@x"}}
    await plain(bench, changes=[{**change, "base_version": vector}])
    await synced(device)
    assert own(await device.get_document("users", "u")) == {"name": "Bob", "mail": "bob@x"}


async def test_the_server_tells_what_it_has_for_a_client(bench: Bench):
    one, two = await bench.devices()
    await synced(two)
    await one.save_documents("users", {"a": {}, "b": {}})
    await synced(one)
    status = await bench.hub.status(two.store.replica_id)
    assert status["pending_for_client"] == 2 and status["collections_synced"] == ["users"]
    assert status["server_version"]["server"] == 2
