"""Two managers meet over a channel: what each has afterwards, and what happens when something goes wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.core.talk import MAX_MESSAGE_CHARS
from pysync_web.errors import SchemaError, SyncError, Unreachable
from pysync_web.storage.memory import MemoryStorage
from tests.devices import body_of, held_by

NAMES = (f"meeting-{n}" for n in itertools.count())
Opening = Callable[..., Awaitable[ps.SyncManager]]


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.native)])
async def opening(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens databases of one kind."""
    opened: list[ps.SyncManager] = []

    async def open_one(**options: Any) -> ps.SyncManager:
        name = next(NAMES)
        where = name if request.param == "memory" else str(tmp_path / f"{name}.db")
        engine = ps.StorageEngine.MEMORY if request.param == "memory" else None
        opened.append(await ps.open(where, engine=engine, durability="relaxed", **options))
        return opened[-1]

    yield open_one
    for manager in opened:
        await manager.close()


@pytest.fixture
async def two(opening: Opening) -> tuple[ps.SyncManager, ps.SyncManager]:
    """Two devices without a server."""
    return await opening(), await opening()


class Wire:
    """One end of a channel in memory that notes what is sent, and breaks, loses or holds as a test says."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.sent: list[dict[str, Any]] = []
        self.breaks_at: int | None = None  # so many messages were sent
        self.mute_at: int | None = None  # so many chunks of documents were sent
        self.is_closed = False

    async def send(self, text: str) -> None:
        if len(self.sent) == self.breaks_at:
            await self.inner.close()
        if len(self.said("documents")) == self.mute_at:
            return
        await self.inner.send(text)
        self.sent.append(json.loads(text))

    async def receive(self) -> str:
        text: str = await self.inner.receive()
        return text

    async def close(self) -> None:
        self.is_closed = True
        await self.inner.close()

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == kind]


def wires() -> tuple[Wire, Wire]:
    """Two ends of a channel."""
    one, other = ps.channel_pair()
    return Wire(one), Wire(other)


async def meet(one: ps.SyncManager, other: ps.SyncManager) -> tuple[ps.MeetingResult, ps.MeetingResult, Wire, Wire]:
    """Let two devices meet, and give what came of it and what was said."""
    ends = wires()
    results = await asyncio.gather(one.sync_with(ends[0]), other.sync_with(ends[1]))
    return (*results, *ends)


async def bodies(device: ps.SyncManager) -> dict[str, Any]:
    """Give the bodies of all documents."""
    return {name: body_of(document) for name, document in (await held_by(device)).items()}


async def fill(device: ps.SyncManager, count: int, start: int = 0, size: int = 10) -> None:
    """Save documents of about so many characters."""
    await device.save_documents(
        "notes", {f"k{i:05}": {"n": i, "text": "x" * size} for i in range(start, start + count)}
    )


async def test_both_have_everything_afterwards_and_a_second_meeting_sends_nothing(two: Any):
    a, b = two
    await fill(a, 40)
    await b.save_document("notes", "other", {"from": "b"})
    await a.delete_document("notes", "k00003")
    for_a, for_b, _, _ = await meet(a, b)
    assert (for_a.sent, for_a.received, for_b.sent, for_b.received) == (39, 1, 1, 39)
    assert await bodies(a) == await bodies(b) and len(await bodies(b)) == 40
    assert await held_by(a) == await held_by(b), "versions and times too"
    again, back, wire, _ = await meet(a, b)
    assert again == back == ps.MeetingResult()
    assert not wire.said("documents") and again.is_complete
    assert ps.MeetingResult.from_json(json.loads(json.dumps(for_a.to_json()))) == for_a


async def test_what_is_said_is_in_proportion_to_what_differs(two: Any):
    a, b = two
    await fill(a, 2000)
    await meet(a, b)
    await a.save_document("notes", "k00100", {"n": -1})
    await b.delete_document("notes", "k01900")
    for_a, for_b, one, other = await meet(a, b)
    assert (for_a.sent, for_b.sent) == (1, 1)
    said = len(json.dumps(one.sent)) + len(json.dumps(other.sent))
    assert said < 50_000, "2,000 documents have some 200,000 characters"
    assert await bodies(a) == await bodies(b) and len(await bodies(a)) == 1999


async def test_each_side_says_how_many_before_it_sends_and_progress_counts_to_the_end(two: Any):
    a, b = two
    await fill(a, 30)
    await fill(b, 12, start=100)
    heard: list[tuple[int, int]] = []
    one, other = wires()
    await asyncio.gather(
        a.sync_with(one, on_progress=lambda done, total: heard.append((done, total))),
        b.sync_with(other, on_progress=lambda done, total: 1 / 0),  # breaks nothing
    )
    assert heard[0][1] == 42 and heard[-1] == (42, 42) and heard == sorted(heard)
    kinds = [message["type"] for message in one.sent]
    assert kinds.index("plan") < kinds.index("documents")
    assert (one.said("plan")[0]["documents"], other.said("plan")[0]["documents"]) == (30, 12)


async def test_fields_merge_and_what_loses_is_in_the_ledger_of_both(two: Any):
    a, b = two
    await a.save_document("notes", "k", {"x": 0, "y": 0, "z": 0})
    await meet(a, b)
    await a.save_document("notes", "k", {"x": "a", "y": "a"})
    await asyncio.sleep(0.01)
    await b.save_document("notes", "k", {"y": "b", "z": "b"})
    heard: list[ps.Change] = []
    a.on_change(heard.append)
    for_a, for_b, _, _ = await meet(a, b)
    assert await bodies(a) == await bodies(b) == {"notes/k": {"x": "a", "y": "b", "z": "b"}}
    assert (for_a.conflicts, for_b.conflicts) == (1, 1)
    (told,) = [change for change in heard if change.change_type == "Conflict"]
    assert told.document == await a.get_document("notes", "k")
    for device in two:
        (entry,) = await device.lost_changes()
        assert (entry.body, entry.operation) == ({"y": "a"}, "update"), "and not what was known to who replaced it"
        assert entry.op_id and entry.against_op_id and entry.timestamp < entry.against_timestamp


@pytest.mark.parametrize("is_deleted_last", [True, False])
async def test_of_a_delete_and_an_edit_the_later_stands_whole_and_the_other_is_in_the_ledger(
    two: Any, is_deleted_last: bool
):
    a, b = two
    await a.save_document("notes", "k", {"x": 0, "y": 0})
    await meet(a, b)
    edit = b.save_document("notes", "k", {"y": 1})
    delete = a.delete_document("notes", "k")
    for work in (edit, delete) if is_deleted_last else (delete, edit):
        await work
        await asyncio.sleep(0.01)
    await meet(a, b)
    assert await bodies(a) == await bodies(b) == ({} if is_deleted_last else {"notes/k": {"x": 0, "y": 1}})
    for device in two:
        (entry,) = await device.lost_changes()
        assert (entry.operation, entry.body) == (
            ("update", {"x": 0, "y": 1}) if is_deleted_last else ("delete", None)
        )


async def test_what_had_seen_the_other_simply_stands(two: Any):
    a, b = two
    await a.save_document("notes", "deleted", {"x": 0})
    await a.save_document("notes", "made again", {"x": 0, "y": 0})
    await meet(a, b)
    await b.delete_document("notes", "deleted")
    await b.delete_document("notes", "made again")
    await meet(a, b)
    assert await bodies(a) == {}
    await a.save_document("notes", "made again", {"y": 1})
    await b.delete_document("notes", "deleted")
    await meet(a, b)
    assert await bodies(a) == await bodies(b) == {"notes/made again": {"y": 1}}
    assert [await device.lost_changes() for device in two] == [[], []]


async def test_an_edit_after_a_meeting_is_not_taken_for_what_was_shown(two: Any):
    a, b = two
    await a.save_document("notes", "k", {"x": 0})
    await meet(a, b)
    await a.save_document("notes", "k", {"x": 1})
    await asyncio.sleep(0.01)
    await b.delete_document("notes", "k")
    await meet(a, b)
    assert [entry.body for entry in await b.lost_changes()] == [{"x": 1}]


async def test_three_devices_that_meet_in_pairs_hold_the_same(opening: Opening):
    a, b, c = [await opening() for _ in range(3)]
    for i, device in enumerate((a, b, c)):
        await device.save_document("notes", "shared", {f"from {i}": i})
        await device.save_document("notes", f"own {i}", {"n": i})
    for one, other in ((a, b), (b, c), (c, a), (a, b)):
        await meet(one, other)
    assert await bodies(a) == await bodies(b) == await bodies(c)
    assert (await bodies(a))["notes/shared"] == {"from 0": 0, "from 1": 1, "from 2": 2}
    assert (await meet(b, c))[0] == ps.MeetingResult()


async def test_watchers_hear_what_came_and_indexes_know_it(two: Any):
    a, b = two
    heard: list[tuple[str, str]] = []
    b.on_change(lambda change: heard.append((change.change_type, change.key)))
    await b.create_index("notes", "n")
    await a.save_document("notes", "k", {"n": 7})
    await meet(a, b)
    assert heard == [("RemoteInsert", "k")]
    assert await b.query("FOR d IN notes FILTER d.n == 7 RETURN d._key") == ["k"]
    await a.delete_document("notes", "k")
    await meet(a, b)
    assert heard[1:] == [("RemoteDelete", "k")]
    assert (await b.statistics()).total == 0


async def test_only_collections_that_both_want_are_sent(opening: Opening):
    a, b = await opening(collections=["notes", "photos"]), await opening(collections=["notes", "maps"])
    for device, other in ((a, "photos"), (b, "maps")):
        await device.save_document("notes", device.store.replica_id, {})
        await device.save_document(other, "own", {})
    await meet(a, b)
    assert await a.list_collections() == ["notes", "photos"] and await b.list_collections() == ["maps", "notes"]
    assert len(await a.query_documents("notes")) == 2


async def test_cut_after_any_message_and_begun_again_nothing_is_sent_twice(opening: Opening):
    for cut in itertools.count():
        a, b = await opening(), await opening()
        await fill(a, 6, size=60_000)
        await fill(b, 6, start=100, size=60_000)
        one, other = wires()
        one.breaks_at = cut
        results = await asyncio.gather(a.sync_with(one), b.sync_with(other), return_exceptions=True)
        assert all(isinstance(result, Unreachable | ps.MeetingResult) for result in results), results
        had = len(await bodies(a)) + len(await bodies(b)) - 12
        for_a, for_b, _, _ = await meet(a, b)
        assert for_a.received + for_b.received == 12 - had, cut
        assert await bodies(a) == await bodies(b) and len(await bodies(a)) == 12
        if not any(isinstance(result, Unreachable) for result in results):
            assert cut > 10, "the chunks were several"
            return


async def test_a_chunk_that_was_taken_in_is_kept_although_its_receipt_was_lost(two: Any):
    a, b = two
    await fill(a, 20, size=60_000)
    one, other = wires()
    other.breaks_at = 12
    await asyncio.gather(a.sync_with(one), b.sync_with(other), return_exceptions=True)
    had = len(await bodies(b))
    assert 0 < had < 20
    for_a, _, _, _ = await meet(a, b)
    assert for_a.sent == 20 - had


async def test_no_more_is_under_way_than_the_window_has_and_no_message_is_much_over_a_chunk(two: Any):
    a, b = two
    await fill(a, 60, size=60_000)
    one, other = wires()
    most = 0

    async def receive() -> str:
        nonlocal most
        text: str = await other.inner.receive()
        chunks = len(one.said("documents")) + len(one.said("listing"))
        most = max(most, chunks - len(other.said("ack")))
        await asyncio.sleep(0.001)
        return text

    other.receive = receive  # type: ignore[method-assign]
    await asyncio.gather(a.sync_with(one), b.sync_with(other))
    assert len(one.said("documents")) >= 12
    assert 2 <= most <= 4
    assert max(len(json.dumps(message)) for message in one.sent) < 400_000


async def test_the_other_side_s_silence_ends_it_with_words_and_what_came_stays(two: Any):
    a, b = two
    await fill(a, 20, size=60_000)
    one, other = wires()
    one.mute_at = 2
    meetings = [a.sync_with(one, timeout_s=0.4), b.sync_with(other, timeout_s=0.4)]
    results = await asyncio.gather(*meetings, return_exceptions=True)
    assert isinstance(results[1], Unreachable) and "fell silent for 0.4 s" in str(results[1])
    had = len(await bodies(b))
    assert 0 < had < 20 and f"{had} documents that had come" in str(results[1])
    assert (await meet(a, b))[0].sent == 20 - had


async def test_nobody_comes(two: Any):
    with pytest.raises(Unreachable, match=r"no other device came within 0\.1 s"):
        await two[0].sync_with(ps.channel_pair()[0], timeout_s=0.1)


async def test_paused_by_either_side_nothing_is_sent_until_both_go_on_and_it_is_no_silence(two: Any):
    a, b = two
    await fill(a, 40, size=60_000)
    one, other = wires()
    here = a.sync_with(one, timeout_s=0.4)
    there = b.sync_with(other, timeout_s=0.4)
    there.pause()
    here.pause()
    await asyncio.sleep(0.6)
    assert here.is_paused and there.is_paused and not one.said("documents")
    here.resume()
    await asyncio.sleep(0.05)
    assert here.is_paused and not one.said("documents"), "the other side has not gone on"
    there.resume()
    results = await asyncio.gather(here, there)
    assert results[0].sent == 40 and not here.is_paused


@pytest.mark.parametrize("who", [0, 1])
async def test_cancelled_by_either_side_both_say_what_was_done(two: Any, who: int):
    a, b = two
    await fill(a, 60, size=60_000)
    one, other = wires()
    here = a.sync_with(one, on_progress=lambda done, total: done > 8 and (here, there)[who].cancel())
    there = b.sync_with(other)
    for_a, for_b = await asyncio.gather(here, there)
    assert (for_a.ended_by, for_b.ended_by) == (("here", "there"), ("there", "here"))[who]
    assert not for_a.is_complete and 8 < for_a.sent <= for_b.received < 60
    assert len(await bodies(b)) == for_b.received
    here.cancel()
    assert (await meet(a, b))[0].sent == 60 - for_b.received, "the channel's next meeting goes on"


async def test_a_meeting_whose_awaiter_is_cancelled_tells_the_other_side(two: Any):
    a, b = two
    await fill(a, 60, size=60_000)
    one, other = wires()
    started = asyncio.Event()
    here = a.sync_with(one, on_progress=lambda done, total: started.set())
    there = b.sync_with(other)

    async def wait() -> None:
        await here

    task = asyncio.ensure_future(wait())
    await started.wait()
    task.cancel()
    assert (await there).ended_by == "there"
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_manager_that_is_closed_ends_its_meetings(two: Any):
    a, b = two
    one, other = wires()
    here, there = a.sync_with(one), b.sync_with(other)
    there.pause()
    await fill(a, 3)
    await asyncio.sleep(0.05)
    await a.close()
    assert (await there).ended_by == "there" and (await here).ended_by == "here"


async def test_one_channel_serves_one_meeting_after_the_other(two: Any):
    a, b = two
    one, other = wires()
    for i in range(3):
        await a.save_document("notes", f"{i}", {"n": i})
        results = await asyncio.gather(a.sync_with(one), b.sync_with(other))
        assert [result.is_complete for result in results] == [True, True]
    assert len(await bodies(b)) == 3 and not one.is_closed


class Broadcast:
    """A channel that many hear, as a BroadcastChannel is."""

    def __init__(self, all_: list[Broadcast]) -> None:
        self.all = all_
        self.inbox: asyncio.Queue[str] = asyncio.Queue()
        all_.append(self)

    async def send(self, text: str) -> None:
        for other in self.all:
            if other is not self:
                other.inbox.put_nowait(text)

    async def receive(self) -> str:
        return await self.inbox.get()

    async def close(self) -> None:
        self.all.remove(self)


@pytest.mark.parametrize("seed", range(8))
async def test_of_many_on_one_channel_two_meet_at_a_time_and_all_find_somebody(opening: Opening, seed: int):
    ends: list[Broadcast] = []
    devices = [await opening() for _ in range(6)]
    channels = [Broadcast(ends) for _ in devices]
    rng = Random(seed)

    async def come(device: ps.SyncManager, channel: Broadcast) -> ps.MeetingResult:
        await device.save_document("notes", device.store.replica_id, {})
        await asyncio.sleep(rng.random() * 0.02)
        return await device.sync_with(channel, timeout_s=10)

    results = await asyncio.gather(*map(come, devices, channels))
    assert [(result.sent, result.received) for result in results] == [(1, 1)] * 6
    assert [len(await bodies(device)) for device in devices] == [2] * 6


async def test_a_handle_on_the_same_replica_is_no_other_device(opening: Opening):
    a = await opening()
    one, other = wires()
    results = await asyncio.gather(
        a.sync_with(one, timeout_s=0.2), a.sync_with(other, timeout_s=0.2), return_exceptions=True
    )
    assert all("only this replica itself" in str(result) for result in results)


HEAD = {"is": "pysync_web meeting", "v": 1, "from": "0" * 32}
GARBAGE = [
    "",
    "not JSON",
    "[]",
    "{}",
    "[" * 200,
    "x" * (MAX_MESSAGE_CHARS + 1),
    json.dumps({**HEAD, "v": 2, "type": "hello"}),
    json.dumps({**HEAD, "type": "surprise"}),
    json.dumps({**HEAD, "type": "hello", "stage": "offer", "replica": "short", "collections": None}),
    json.dumps({**HEAD, "type": "listing", "n": 1, "round": 3, "rows": [], "last": True}),
    json.dumps({**HEAD, "type": "listing", "n": 1, "round": 0, "rows": [["notes", -1, "0" * 16]], "last": True}),
    json.dumps(
        {**HEAD, "type": "listing", "n": 1, "round": 2, "rows": [["notes", "", "0" * 16, {}]], "last": True}
    ),
    json.dumps({**HEAD, "type": "documents", "n": 1, "documents": [{"collection": "notes", "key": "k"}]}),
    json.dumps({**HEAD, "type": "plan", "documents": "many"}),
    json.dumps({**HEAD, "type": "end", "cause": "?"}),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_ends_it_with_a_clear_error_and_closes_the_channel(two: Any, garbage: str):
    a, b = two
    await fill(a, 3)
    one, other = wires()
    here = a.sync_with(one, timeout_s=5)
    there = b.sync_with(other, timeout_s=5)
    there.pause()
    await asyncio.sleep(0.02)
    await other.inner.send(garbage)
    with pytest.raises(SchemaError):
        await here
    with pytest.raises(SyncError):
        await there
    assert one.is_closed and len(await bodies(a)) == 3 and await bodies(b) == {}


async def test_the_other_side_is_told_why(two: Any):
    a, b = two
    one, other = wires()
    here, there = a.sync_with(one), b.sync_with(other)
    there.pause()
    await fill(a, 1)
    await asyncio.sleep(0.02)
    await other.inner.send(json.dumps({**HEAD, "type": "surprise"}))
    with pytest.raises(SyncError, match="'surprise' is no type"):
        await here
    with pytest.raises(SyncError, match=r"the other device ended the meeting: .*'surprise' is no type"):
        await there


async def test_a_full_outbox_ends_it_on_both_sides_and_leaves_whole_chunks(opening: Opening, monkeypatch: Any):
    a, b = await opening(), await opening()
    b.config = ps.SyncConfig(outbox=ps.Bounds(changes=10))
    await fill(a, 30)
    one, other = wires()
    results = await asyncio.gather(a.sync_with(one), b.sync_with(other), return_exceptions=True)
    assert isinstance(results[1], ps.OutboxFull) and "wait to be sent" in str(results[0])
    assert await bodies(b) == {}


async def test_a_time_far_ahead_is_not_taken_in(two: Any, monkeypatch: pytest.MonkeyPatch):
    a, b = two
    await a.save_document("notes", "sound", {})
    monkeypatch.setattr("pysync_web.manager.sync.now_ms", lambda: 4_000_000_000_000)
    await a.save_document("notes", "ahead", {})
    monkeypatch.undo()
    _, for_b, _, _ = await meet(a, b)
    assert (for_b.received, for_b.ahead, for_b.is_complete) == (1, 1, True)
    saved = await b.save_document("notes", "later", {})
    assert saved["_timestamp"] < "2090" and list(await bodies(b)) == ["notes/later", "notes/sound"]


async def test_devices_that_meet_for_ever_keep_few_changes_and_a_server_gets_them_all_later(opening: Opening):
    server = await hub()
    a, b = await opening(), await opening()
    for i in range(30):
        await (a, b)[i % 2].save_document("notes", "k", {f"f{i % 4}": i})
        await a.save_document("notes", "only a", {"n": i})
        await meet(a, b)
    for device in (a, b):
        assert (await device.status()).pending <= 34
        assert len(await device.pending_changes()) == (await device.status()).pending
    assert await held_by(a) == await held_by(b)
    late = await opening(server=ps.LocalTransport(server), auto_sync=False)
    await meet(b, late)
    assert (await late.sync_now()).success
    assert (
        await bodies(late)
        == await bodies(a)
        == {
            "notes/k": {"f0": 28, "f1": 29, "f2": 26, "f3": 27},
            "notes/only a": {"n": 29},
        }
    )
    assert [await device.lost_changes() for device in (a, b, late)] == [[], [], []]


async def hub() -> Hub:
    """A server in this process."""
    made = Hub(MemoryStorage())
    await made.open(Random(1))
    return made


@pytest.mark.parametrize("first", [0, 1])
async def test_what_reaches_the_server_by_two_ways_is_applied_once(opening: Opening, first: int):
    server = await hub()
    devices = [await opening(server=ps.LocalTransport(server), auto_sync=False) for _ in range(2)]
    a, b = devices
    await a.save_document("notes", "k", {"x": 0, "y": 0})
    await a.save_document("notes", "k", {"x": 1})
    await a.save_document("notes", "gone", {"x": 0})
    await meet(a, b)
    await a.delete_document("notes", "gone")
    await meet(a, b)
    for device in (devices[first], devices[1 - first]):
        assert (await device.sync_now()).errors == []
    head = await server.head()
    for device in (*devices, *devices):
        assert (await device.sync_now()).success
    assert await server.head() == head == 3, "one number for each change"
    assert await held_by(a) == await held_by(b) and await bodies(a) == {"notes/k": {"x": 1, "y": 0}}
    assert [(await device.status()).pending for device in devices] == [0, 0]
    assert [await device.lost_changes() for device in devices] == [[], []]


async def test_edits_on_what_came_from_another_device_are_no_conflict_at_the_server(opening: Opening):
    server = await hub()
    strategy = ps.ConflictStrategy.LAST_WRITE_WINS
    a, b = [
        await opening(server=ps.LocalTransport(server), auto_sync=False, conflict_strategy=strategy)
        for _ in range(2)
    ]
    await a.save_document("notes", "k", {"x": 0, "y": 0})
    await meet(a, b)
    await b.save_document("notes", "k", {"y": 1})
    for device in (a, b, a):
        result = await device.sync_now()
        assert (result.success, result.conflicts) == (True, 0)
    assert await bodies(a) == await bodies(b) == {"notes/k": {"x": 0, "y": 1}}
    assert [await device.lost_changes() for device in (a, b)] == [[], []]


async def test_a_device_without_a_server_reaches_it_through_another(opening: Opening):
    server = await hub()
    a, b = await opening(), await opening(server=ps.LocalTransport(server), auto_sync=False)
    c = await opening(server=ps.LocalTransport(server), auto_sync=False)
    await a.save_document("notes", "k", {"x": 1, "nested": {"list": [1]}})
    await a.save_document("notes", "gone", {})
    await c.save_document("notes", "k", {"z": 3})
    await c.sync_now()
    await meet(a, b)
    await b.sync_now()
    await c.sync_now()
    await meet(b, a)
    assert await bodies(a) == await bodies(b) == await bodies(c)
    assert (await bodies(a))["notes/k"] == {"x": 1, "nested": {"list": [1]}, "z": 3}


async def test_who_made_a_document_again_after_a_delete_is_in_no_conflict_at_the_server(opening: Opening):
    server = await hub()
    a, b = [await opening(server=ps.LocalTransport(server), auto_sync=False) for _ in range(2)]
    c = await opening()
    await b.save_document("notes", "k", {"x": 0, "y": 0})
    await b.sync_now()
    await meet(b, c)
    await c.delete_document("notes", "k")
    await meet(c, a)
    await a.sync_now()
    await c.save_document("notes", "k", {"w": 1})
    await meet(c, b)
    assert await bodies(b) == {"notes/k": {"w": 1}}
    for device in (b, a):
        assert (await device.sync_now()).conflicts == 0
    assert await bodies(a) == await bodies(b) == {"notes/k": {"w": 1}}
    assert [await device.lost_changes() for device in (a, b, c)] == [[], [], []]


async def test_what_is_saved_after_a_meeting_is_later_than_what_came_whatever_the_clock_says(
    two: Any, monkeypatch: pytest.MonkeyPatch
):
    a, b = two
    came = await a.save_document("notes", "k", {})
    await meet(a, b)
    monkeypatch.setattr("pysync_web.manager.sync.now_ms", lambda: 1_700_000_000_000)
    assert (await b.save_document("notes", "another", {}))["_timestamp"] > came["_timestamp"]


async def test_a_bundle_carries_everything_once(two: Any):
    a, b = two
    await fill(a, 20)
    await a.delete_document("notes", "k00003")
    await asyncio.sleep(0.01)
    await b.save_document("notes", "k00004", {"n": "b"})
    data = await a.export_bundle()
    first = await b.import_bundle(data)
    assert (first.received, first.changed, first.conflicts) == (19, 19, 1)
    again = await b.import_bundle(data)
    assert (again.received, again.changed, again.conflicts) == (19, 0, 0)
    await a.import_bundle(await b.export_bundle())
    assert await bodies(a) == await bodies(b) and (await bodies(a))["notes/k00004"]["n"] == "b"
    assert (await meet(a, b))[0] == ps.MeetingResult()


async def test_a_bundle_that_was_cut_or_changed_anywhere_is_refused_and_nothing_of_it_taken(two: Any):
    a, b = two
    await fill(a, 3)
    data = await a.export_bundle()
    for end in range(len(data)):
        with pytest.raises(SchemaError):
            await b.import_bundle(data[:end])
    for at in range(0, len(data), 3):
        with pytest.raises((SchemaError, ps.FormatTooNew)):
            await b.import_bundle(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    lines = data.splitlines(keepends=True)
    for broken in (lines[:2] + lines[3:], [lines[0], lines[2], lines[1], *lines[3:]], [*lines, lines[1]]):
        with pytest.raises(SchemaError):
            await b.import_bundle(b"".join(broken))
    assert await bodies(b) == {} and (await b.status()).pending == 0


async def test_why_a_bundle_is_refused_is_said_in_words(two: Any):
    a, b = two
    await fill(a, 2)
    data = await a.export_bundle()
    for broken, error, words in (
        (b"", SchemaError, "no bundle of pysync_web"),
        (b"PK\x03\x04" + data, SchemaError, "no bundle of pysync_web"),
        (data[:-20], SchemaError, "cut off"),
        (data.replace(b'"n":1', b'"n":2'), SchemaError, "damaged"),
        (data.replace(b'"format":1', b'"format":2'), ps.FormatTooNew, "format 2, this pysync_web reads up to 1"),
    ):
        with pytest.raises(error, match=words):
            await b.import_bundle(broken)
    assert await bodies(b) == {}


async def test_a_bundle_that_does_not_fit_is_not_taken_in_by_half(opening: Opening):
    a, b = await opening(), await opening()
    b.config = ps.SyncConfig(outbox=ps.Bounds(changes=10))
    await fill(a, 11)
    with pytest.raises(ps.OutboxFull):
        await b.import_bundle(await a.export_bundle())
    assert await bodies(b) == {} and (await b.status()).pending == 0
