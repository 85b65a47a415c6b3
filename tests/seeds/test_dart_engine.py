"""The Dart sync engine's behaviours: a record's status, trying again, hooks, results, totals, tags, any backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from tests.seeds.bench import Bench, Clock, held, see, settle, synced, waiting

S = ps.ConflictStrategy


class Drawn:
    """A generator that always draws the same part of what is possible."""

    def __init__(self, part: float) -> None:
        self.part = part

    def random(self) -> float:
        return self.part

    def randbytes(self, n: int) -> bytes:
        return bytes(n)


# A record's status


async def test_a_new_record_waits_until_the_server_has_it(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"a": 1})
    assert await waiting(device) == [("insert", "k")]
    await synced(device)
    assert await waiting(device) == []


async def test_an_edit_of_a_synced_record_lets_it_wait_again(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"a": 1})
    await synced(device)
    await device.save_document("notes", "k", {"a": 2})
    assert await waiting(device) == [("update", "k")]


async def test_saving_a_synced_record_as_it_is_leaves_it_synced(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"a": 1})
    await synced(device)
    await device.save_document("notes", "k", {"a": 1})
    assert await waiting(device) == []


async def test_an_edit_made_during_a_push_is_not_taken_for_sent(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 1})
    bench.cables[one].meanwhile = lambda: one.save_document("notes", "k", {"a": 2})
    result = await one.sync_now()
    assert result.success and [change["operation"] for change in bench.cables[one].changes] == ["insert", "update"]
    await synced(two)
    assert await see(one) == await see(two) == {"a": 2} and await waiting(one) == []


async def test_an_edit_made_during_a_push_whose_answer_is_lost_is_not_lost_with_it(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 1})
    cable = bench.cables[one]
    cable.meanwhile = lambda: one.save_document("notes", "k", {"a": 2})
    cable.loses_answers = True
    assert not (await one.sync_now()).success
    assert await waiting(one) == [("insert", "k"), ("update", "k")]
    cable.loses_answers = False
    await synced(one, two)
    assert await see(two) == {"a": 2}


async def test_a_deletion_made_during_a_push_goes_out_too(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 1})
    bench.cables[one].meanwhile = lambda: one.delete_document("notes", "k")
    await synced(one, two)
    assert await see(one) is None and await see(two) is None


async def test_a_removed_record_waits_as_a_deletion_until_the_server_knows_of_it(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 1})
    await synced(one, two)
    await one.delete_document("notes", "k")
    assert await see(one) is None and await waiting(one) == [("delete", "k")]
    await synced(one, two)
    assert await waiting(one) == [] and await see(two) is None


async def test_a_record_from_elsewhere_never_waits_to_be_sent(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "k", {"a": 1})
    await synced(one, two)
    assert await waiting(two) == [] and (await synced(two))[0].pushed == 0


async def test_many_records_are_stored_at_once_and_counted(bench: Bench):
    device = await bench.device()
    await device.save_documents("notes", {str(i): {"i": i} for i in range(5)})
    await device.save_document("todos", "t", {})
    await synced(device)
    await device.save_document("notes", "0", {"i": -1})
    statistics = await device.statistics()
    assert (statistics.total, statistics.pending, statistics.collections) == (6, 1, {"notes": 5, "todos": 1})
    assert ps.Statistics.from_json(json.loads(json.dumps(statistics.to_json()))) == statistics


async def test_records_are_chosen_by_any_condition(bench: Bench):
    device = await bench.device()
    await device.save_documents("notes", {"a": {"n": 1}, "b": {"n": 5}, "c": {"n": 9}})
    assert await device.query("FOR d IN notes FILTER d.n > @n RETURN d._key", {"n": 3}) == ["b", "c"]


async def test_each_synced_edit_gives_a_record_a_higher_version(bench: Bench):
    device = await bench.device()
    versions = []
    for n in range(3):
        await device.save_document("notes", "k", {"n": n})
        await synced(device)
        versions.append((await device.get_document("notes", "k"))["_version"])
    replica = device.store.replica_id
    assert [version[replica] for version in versions] == sorted({version[replica] for version in versions})
    assert [version["server"] for version in versions] == sorted({version["server"] for version in versions})


# Trying again


def test_the_longest_wait_doubles_with_each_failure():
    policy = ps.RetryPolicy(base_s=1.0, cap_s=60.0)
    assert [policy.delay_s(attempt, Drawn(1.0)) for attempt in range(1, 6)] == [1, 2, 4, 8, 16]


def test_no_wait_is_longer_than_the_cap_however_often_it_failed():
    policy = ps.RetryPolicy(base_s=1.0, cap_s=60.0)
    assert [policy.delay_s(attempt, Drawn(1.0)) for attempt in (7, 100, 10_000)] == [60, 60, 60]


def test_a_wait_is_drawn_from_all_that_is_possible_so_that_devices_do_not_come_together():
    policy = ps.RetryPolicy(base_s=8.0, cap_s=60.0)
    assert [policy.delay_s(1, Drawn(part)) for part in (0.0, 0.25, 0.5)] == [0, 2, 4]


async def test_a_failed_push_keeps_the_record_and_the_next_one_sends_it(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"a": 1})
    bench.cables[device].is_plugged = False
    assert not (await device.sync_now()).success
    assert await waiting(device) == [("insert", "k")]
    bench.cables[device].is_plugged = True
    assert (await device.sync_now()).pushed == 1


async def test_a_result_says_how_often_it_was_tried_before_and_a_success_starts_anew(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {"a": 1})
    bench.cables[device].is_plugged = False
    assert [(await device.sync_now()).retried for _ in range(3)] == [0, 1, 2]
    bench.cables[device].is_plugged = True
    assert [result.retried for result in await synced(device, device)] == [3, 0]


async def test_no_record_is_given_up_after_the_last_attempt(bench: Bench):
    device = await bench.device(max_retries=2)
    await device.save_document("notes", "k", {"a": 1})
    bench.cables[device].is_plugged = False
    for _ in range(10):
        await device.sync_now()
    assert await waiting(device) == [("insert", "k")] and await device.lost_changes() == []
    bench.cables[device].is_plugged = True
    assert (await device.sync_now()).pushed == 1


async def test_after_the_last_attempt_the_waits_are_as_long_as_the_interval(bench: Bench):
    device = await bench.device(max_retries=1, sync_interval_s=500, retry=ps.RetryPolicy(base_s=0.1))
    bench.cables[device].is_plugged = False
    await device.sync_now()
    assert (await device.status()).next_retry_s < 1
    await device.sync_now()
    assert (await device.status()).next_retry_s > 400


async def test_what_waits_and_why_survives_a_restart(lasting: Bench):
    device = await lasting.device("phone", retry=ps.RetryPolicy(base_s=100.0))
    device._standing._rng = Drawn(0.5)
    await device.save_document("notes", "k", {"a": 1})
    lasting.cables[device].is_plugged = False
    await device.sync_now()
    await device.close()
    again = await lasting.device("phone")
    status = await again.status()
    assert (status.pending, status.last_error) == (1, "the cable is out") and 0 < status.next_retry_s <= 50
    assert (await again.sync_now()).retried == 1 and await waiting(again) == []


async def test_a_server_that_asks_for_time_gets_it(bench: Bench):
    device = await bench.device()
    bench.cables[device].error = ps.Unreachable("busy", retry_after_s=900)
    await device.sync_now()
    assert (await device.status()).next_retry_s > 800


async def test_one_record_that_is_refused_keeps_none_of_the_others_back(bench: Bench):
    bench.refuses = lambda body: body.get("n") == 2
    device = await bench.device()
    await device.save_documents("notes", {str(n): {"n": n} for n in range(5)})
    result = await device.sync_now()
    assert (result.pushed, result.rejected) == (4, 1) and await waiting(device) == []
    assert result.errors == ["rejected: notes/2: this may not be"]
    (entry,) = await device.lost_changes()
    assert (entry.key, entry.body, entry.message) == ("2", {"n": 2}, "this may not be")


# Hooks


async def test_a_hook_before_a_sync_sees_what_will_go_out_and_may_call_it_off(bench: Bench):
    device = await bench.device()
    await device.save_documents("notes", {"a": {}, "b": {}})
    seen: list[list[str]] = []
    device.on_before_sync(lambda pending: seen.append([change.key for change in pending]) or False)
    result = await device.sync_now()
    assert (result.success, result.pushed, result.errors) == (False, 0, ["cancelled by on_before_sync"])
    assert seen == [["a", "b"]] and bench.cables[device].requests == [] and len(await waiting(device)) == 2


async def test_a_hook_before_a_sync_that_says_nothing_or_yes_lets_it_go_on(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {})
    device.on_before_sync(lambda pending: None)

    async def yes(pending: Any) -> bool:
        await asyncio.sleep(0)
        return True

    device.on_before_sync(yes)
    assert (await device.sync_now()).pushed == 1


async def test_a_hook_after_a_sync_hears_the_result_that_the_caller_gets_of_a_failure_too(bench: Bench):
    device = await bench.device()
    heard: list[ps.SyncResult] = []
    device.on_after_sync(heard.append)
    await device.save_document("notes", "k", {})
    results = [await device.sync_now()]
    bench.cables[device].is_plugged = False
    results.append(await device.sync_now())
    assert heard == results and [result.success for result in heard] == [True, False]


async def test_a_hook_that_raises_is_reported_and_the_sync_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture):
    device = await bench.device()
    for hook in (device.on_before_sync, device.on_after_sync, device.on_change):
        hook(lambda *_: 1 // 0)
    device.on_progress(lambda done, total: 1 // 0)
    await device.save_document("notes", "k", {})
    assert (await device.sync_now()).pushed == 1
    for name in ("on_before_sync", "on_after_sync", "on_change", "on_progress"):
        assert name in caplog.text


async def test_a_hook_that_was_taken_out_is_not_called(bench: Bench):
    device = await bench.device()
    called: list[Any] = []
    stop = device.on_after_sync(called.append)
    await device.sync_now()
    stop()
    await device.sync_now()
    assert len(called) == 1


async def test_a_hook_on_conflicts_sees_both_versions_and_its_answer_stands_everywhere(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    await one.save_document("notes", "k", {"n": 1})
    await settle(one, two)
    seen: list[ps.Conflict] = []

    def add(conflict: ps.Conflict) -> Any:
        seen.append(conflict)
        return ps.Merge({"n": conflict.local["n"] + conflict.remote["n"]})

    two.on_conflict(add)
    await one.save_document("notes", "k", {"n": 10})
    await two.save_document("notes", "k", {"n": 200})
    await synced(one, two, one)
    assert (seen[0].local, seen[0].remote, seen[0].base) == ({"n": 200}, {"n": 10}, {"n": 1})
    assert await see(one) == await see(two) == {"n": 210}


async def test_progress_goes_up_to_its_total(bench: Bench):
    device = await bench.device(batch_size=100)
    await device.save_documents("notes", {f"{i:03}": {"i": i} for i in range(250)})
    heard: list[tuple[int, int]] = []
    device.on_progress(lambda done, total: heard.append((done, total)))
    await device.sync_now()
    assert len(heard) >= 3 and heard == sorted(heard) and heard[-1] == (250, 250)


async def test_two_calls_at_once_sync_one_after_the_other_and_send_nothing_twice(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {})
    assert not device.is_syncing
    first = asyncio.ensure_future(device.sync_now())
    second = asyncio.ensure_future(device.sync_now())
    await asyncio.sleep(0)
    assert device.is_syncing
    results = await asyncio.gather(first, second)
    assert [result.pushed for result in results] == [1, 0]
    assert not device.is_syncing and bench.cables[device].keys == ["k"]


# Results


async def test_a_result_counts_what_was_pushed_and_pulled_and_their_sum(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {}, "b": {}, "c": {}})
    await two.save_document("notes", "d", {})
    await synced(one)
    result = await two.sync_now()
    assert (result.success, result.pushed, result.pulled, result.total) == (True, 1, 3, 4)
    assert not result.has_errors


async def test_a_result_of_a_failure_says_why_and_raises_nothing(bench: Bench):
    device = await bench.device()
    bench.cables[device].error = ps.Unauthorized("the token has expired")
    result = await device.sync_now()
    assert (result.success, result.has_errors, result.errors) == (False, True, ["the token has expired"])


async def test_a_result_becomes_json_and_comes_back(bench: Bench):
    bench.refuses = lambda body: "bad" in body
    device = await bench.device()
    await device.save_documents("notes", {"a": {"bad": 1}, "b": {}})
    result = await device.sync_now()
    assert result.rejected == 1 and ps.SyncResult.from_json(json.loads(json.dumps(result.to_json()))) == result


async def test_a_sync_of_what_a_predicate_chooses_leaves_the_rest_waiting(bench: Bench):
    one, two = await bench.devices()
    await one.save_documents("notes", {"a": {"urgent": True}, "b": {"urgent": False}})
    result = await one.sync_where(lambda collection, key, document: document["urgent"])
    assert result.pushed == 1 and await waiting(one) == [("insert", "b")]
    await synced(two)
    assert list(await held(two)) == ["a"]


async def test_a_sync_of_what_a_predicate_chooses_pulls_everything(bench: Bench):
    one, two = await bench.devices()
    await two.save_document("notes", "theirs", {})
    await synced(two)
    await one.save_document("notes", "mine", {})
    assert (await one.sync_where(lambda *_: False)).pulled == 1
    assert list(await held(one)) == ["mine", "theirs"]


# Totals


async def test_totals_add_up_over_all_syncs(bench: Bench):
    one, two = await bench.devices()
    for n in range(3):
        await one.save_document("notes", f"one {n}", {})
        await two.save_document("notes", f"two {n}", {})
        await synced(one, two)
    totals = await two.metadata()
    assert (totals.total_pushes, totals.total_pulls, totals.total_conflicts) == (3, 3, 0)


async def test_totals_say_when_the_last_sync_was_and_how_long_it_took(bench: Bench):
    device = await bench.device()
    before = await device.metadata()
    assert (before.last_sync_at, before.last_duration_s) == (None, None)
    await device.save_document("notes", "k", {})
    await synced(device)
    after = await device.metadata()
    assert after.last_sync_at.endswith("Z") and after.last_duration_s >= 0


async def test_totals_survive_a_restart_and_become_json(lasting: Bench):
    device = await lasting.device("phone")
    await device.save_document("notes", "k", {})
    await synced(device)
    before = await device.metadata()
    await device.close()
    after = await (await lasting.device("phone")).metadata()
    assert after == before and after.total_pushes == 1
    assert ps.SyncMetadata.from_json(json.loads(json.dumps(after.to_json()))) == after


async def test_a_failed_sync_changes_no_totals(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "k", {})
    await synced(device)
    before = await device.metadata()
    await device.save_document("notes", "k", {"a": 1})
    bench.cables[device].is_plugged = False
    await device.sync_now()
    assert await device.metadata() == before


async def test_conflicts_are_counted(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
    for n, device in enumerate((one, two)):
        await device.save_document("notes", "k", {"n": n})
    results = await synced(one, two)
    assert [result.conflicts for result in results] == [0, 1]
    assert (await two.metadata()).total_conflicts == 1


async def test_the_later_change_wins_whoever_syncs_first(bench: Bench):
    for first in (0, 1):
        devices = await bench.devices(conflict_strategy=S.LAST_WRITE_WINS)
        key = f"k{first}"
        for n, device in enumerate(devices):
            await device.save_document("notes", key, {"n": n})
        await settle(devices[first], devices[1 - first])
        assert [await see(device, key) for device in devices] == [{"n": 1}] * 2


@pytest.mark.parametrize(
    ("strategy", "stands"),
    [(S.REMOTE_WINS, {"by": "first"}), (S.LOCAL_WINS, {"by": "second"})],
    ids=lambda x: str(x),
)
async def test_the_remote_or_the_local_version_always_wins_if_that_was_chosen(
    bench: Bench, strategy: Any, stands: Any
):
    one, two = await bench.devices(conflict_strategy=strategy)
    for is_later in (True, False):
        key = f"k{is_later}"
        for device, by in ((one, "first"), (two, "second")) if is_later else ((two, "second"), (one, "first")):
            await device.save_document("notes", key, {"by": by})
        await settle(one, two)
        assert await see(one, key) == await see(two, key) == stands


async def test_a_resolver_of_one_s_own_may_take_the_higher_version(bench: Bench):
    def higher(conflict: ps.Conflict) -> Any:
        is_remote = conflict.remote["version"] > conflict.local["version"]
        return ps.AcceptRemote() if is_remote else ps.AcceptLocal()

    one, two = await bench.devices(conflict_strategy=S.CUSTOM(higher))
    for device, number in ((one, 7), (two, 3)):
        await device.save_document("notes", "k", {"version": number})
    await settle(one, two)
    assert await see(one) == await see(two) == {"version": 7}
    assert [entry.body for entry in await two.lost_changes()] == [{"version": 3}]


async def test_a_resolver_that_raises_loses_nothing_and_says_why(bench: Bench):
    one, two = await bench.devices(conflict_strategy=S.CUSTOM(lambda conflict: 1 // 0))
    for n, device in enumerate((one, two)):
        await device.save_document("notes", "k", {"n": n})
    await synced(one, two)
    (conflict,) = await two.conflicts()
    assert (conflict.local, conflict.remote) == ({"n": 1}, {"n": 0}) and "ZeroDivisionError" in conflict.reason


# Tags and age


async def tagged(device: ps.SyncManager, tag: str) -> list[str]:
    """Name the records that have a tag."""
    return [key for _, key, _ in await device.query_by_tag(tag)]


async def test_records_are_found_by_their_tags_on_every_device(bench: Bench):
    one, two = await bench.devices()
    await one.save_document("notes", "a", {"n": 1}, tags={"user", "priority"})
    await one.save_document("notes", "b", {"n": 2}, tags={"user"})
    await settle(one, two)
    for device in (one, two):
        assert await tagged(device, "user") == ["a", "b"] and await tagged(device, "priority") == ["a"]


async def test_new_tags_replace_the_old_ones_and_let_the_record_wait(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "a", {"n": 1}, tags={"user", "priority"})
    await synced(device)
    await device.save_document("notes", "a", {}, tags={"user", "reviewed"})
    assert await tagged(device, "priority") == [] and await tagged(device, "reviewed") == ["a"]
    assert await waiting(device) == [("update", "a")] and (await device.get_document("notes", "a"))["n"] == 1


async def test_only_records_with_a_tag_are_pushed_if_that_is_asked_for(bench: Bench):
    device = await bench.device()
    await device.save_document("notes", "a", {}, tags={"priority"})
    await device.save_document("notes", "b", {}, tags={"later"})
    await device.save_document("notes", "c", {})
    await device.sync_where(lambda collection, key, document: "priority" in document.get("_tags", ()))
    assert bench.cables[device].keys == ["a"] and [key for _, key in await waiting(device)] == ["b", "c"]


async def test_data_are_stale_when_the_last_sync_is_too_long_ago(bench: Bench, clock: Clock):
    device = await bench.device()
    assert device.is_stale(60)
    await synced(device)
    assert not device.is_stale(60)
    clock.forward(61)
    assert device.is_stale(60)
    await synced(device)
    assert not device.is_stale(60)


# Any backend, by two functions


class Backend:
    """An API that knows nothing of this library: rows, and a number for each change."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.changed: dict[str, int] = {}
        self.offered: list[str] = []
        self.takes: Callable[[ps.SyncRecord], bool] = lambda record: True
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    def edit(self, key: str, row: Any) -> None:
        """Change a row as others do."""
        self.rows[key] = row
        self.changed[key] = max(self.changed.values(), default=0) + 1

    async def push(self, records: list[ps.SyncRecord]) -> list[str]:
        """Take records, and name those that were taken."""
        taken = [record for record in records if self.takes(record)]
        for record in taken:
            self.edit(record.key, record.document)
        self.offered += [record.key for record in records]
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return [record.id for record in taken]

    async def pull(self, since: int | None) -> ps.Pulled:
        """Give what changed after a number."""
        news = [key for key, number in self.changed.items() if number > (since or 0)]
        records = [
            ps.SyncRecord("notes", key, "delete" if self.rows[key] is None else "update", self.rows[key])
            for key in news
        ]
        return ps.Pulled(records, max(self.changed.values(), default=0))

    async def device(self, bench: Bench, name: str = "") -> ps.SyncManager:
        """Open a device that syncs with this backend."""
        return await bench.device(name, client=ps.CallbackTransport(self.push, self.pull))


async def test_two_functions_are_enough_to_sync_with_any_backend(bench: Bench):
    backend = Backend()
    backend.edit("there", {"n": 1})
    one, two = await backend.device(bench), await backend.device(bench)
    await one.save_document("notes", "here", {"n": 2})
    await synced(one, two)
    assert backend.rows == await held(one) == await held(two) == {"there": {"n": 1}, "here": {"n": 2}}
    await two.delete_document("notes", "there")
    backend.edit("here", {"n": 3})
    await synced(two, one)
    assert backend.rows == {"there": None, "here": {"n": 3}} and await held(one) == {"here": {"n": 3}}


async def test_only_records_that_the_push_function_names_count_as_sent(bench: Bench):
    backend = Backend()
    backend.takes = lambda record: record.key != "b"
    device = await backend.device(bench)
    await device.save_documents("notes", {"a": {}, "b": {}, "c": {}})
    result = await device.sync_now()
    assert not result.success and ("insert", "b") in await waiting(device) and "b" not in backend.rows
    backend.takes = lambda record: True
    await synced(device)
    assert await waiting(device) == [] and sorted(backend.rows) == ["a", "b", "c"]


async def test_a_push_function_that_raises_leaves_everything_waiting(bench: Bench):
    backend = Backend()

    async def broken(records: Any) -> Any:
        raise ConnectionError("no route to the office")

    device = await bench.device(client=ps.CallbackTransport(broken, backend.pull))
    await device.save_documents("notes", {"a": {}, "b": {}})
    result = await device.sync_now()
    assert "no route to the office" in result.errors[0] and len(await waiting(device)) == 2


async def test_a_pull_function_that_raises_fails_the_sync_and_loses_nothing(bench: Bench):
    backend = Backend()

    def broken(since: Any) -> Any:
        raise TimeoutError

    device = await bench.device(client=ps.CallbackTransport(backend.push, broken))
    await device.save_document("notes", "k", {"n": 1})
    assert not (await device.sync_now()).success
    assert await see(device) == {"n": 1} and await waiting(device) == [("insert", "k")]


async def test_an_edit_made_while_the_push_function_works_is_pushed_next(bench: Bench):
    backend = Backend()
    device = await backend.device(bench)
    await device.save_document("notes", "k", {"n": 1})
    backend.meanwhile = lambda: device.save_document("notes", "k", {"n": 2})
    await synced(device, device)
    assert backend.rows == {"k": {"n": 2}} and await see(device) == {"n": 2} and await waiting(device) == []


async def test_what_was_pushed_and_is_pulled_again_is_no_news(bench: Bench):
    backend = Backend()
    device = await backend.device(bench)
    await device.save_documents("notes", {"a": {}, "b": {}})
    results = await synced(device, device, device)
    assert [(result.pushed, result.pulled) for result in results] == [(2, 0), (0, 0), (0, 0)]
    assert backend.offered == ["a", "b"]


async def test_changes_of_different_fields_here_and_at_the_backend_are_both_kept(bench: Bench):
    backend = Backend()
    backend.edit("k", {"a": 0, "b": 0})
    device = await backend.device(bench)
    await synced(device)
    await device.save_document("notes", "k", {"a": 1})
    backend.edit("k", {"a": 0, "b": 2})
    await synced(device, device)
    assert await see(device) == backend.rows["k"] == {"a": 1, "b": 2}


async def test_a_predicate_chooses_what_the_push_function_gets(bench: Bench):
    backend = Backend()
    device = await backend.device(bench)
    await device.save_documents("notes", {"a": {"urgent": True}, "b": {"urgent": False}})
    result = await device.sync_where(lambda collection, key, document: document["urgent"])
    assert result.pushed == 1 and backend.offered == ["a"] and await waiting(device) == [("insert", "b")]


async def test_where_a_sync_with_a_backend_stands_survives_a_restart(lasting: Bench):
    backend = Backend()
    backend.edit("old", {"n": 1})
    device = await backend.device(lasting, "phone")
    await device.save_document("notes", "k", {"n": 2})
    await synced(device)
    await device.close()
    again = await backend.device(lasting, "phone")
    backend.edit("new", {"n": 3})
    (result,) = await synced(again)
    assert (result.pushed, result.pulled) == (0, 1) and backend.offered == ["k"]


def test_a_record_becomes_json_and_comes_back():
    record = ps.SyncRecord("notes", "k", "update", {"n": 1}, "2024-01-15T10:30:00Z", "v7", "id")
    assert ps.SyncRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
