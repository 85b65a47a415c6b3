"""Two functions make a backend of one's own a sync server: nothing is lost, doubled or sent to and fro."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.storage.memory import MemoryStorage
from pysync_web.storage.table import TableWriter
from pysync_web.transport.local import now_ms
from pysync_web.values import loads
from tests.unit.backend import Backend, Crash

numbers = itertools.count()
Opener = Callable[..., Awaitable[ps.SyncManager]]


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    opened: list[ps.SyncManager] = []

    async def open_one(backend: Backend, name: str = "", client: Any = None, **options: Any) -> ps.SyncManager:
        client = client or ps.CallbackTransport(backend.push, backend.pull, **options)
        place = name or f"callback-{next(numbers)}"
        opened.append(await ps.open(place, server=client, auto_sync=False, engine=ps.StorageEngine.MEMORY))
        return opened[-1]

    yield open_one
    for manager in opened:
        await manager.close()


async def bodies(device: ps.SyncManager) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (collection, key): {name: value for name, value in document.items() if name[0] != "_"}
        for collection in await device.list_collections()
        for key, document in await device.query_documents(collection)
    }


async def synced(device: ps.SyncManager) -> ps.SyncResult:
    result = await device.sync_now()
    assert result.success, result.errors
    return result


async def test_two_devices_meet_through_a_backend_that_knows_nothing_of_us(opener: Opener):
    backend = Backend()
    backend.edit("items", "old", {"a": 0})
    one, two = await opener(backend), await opener(backend)
    await one.save_document("items", "1", {"a": 1, "b": {"c": 1}})
    await two.save_document("items", "2", {"a": 2})
    for device in (one, two, one):
        await synced(device)
    everything = {("items", "old"): {"a": 0}, ("items", "1"): {"a": 1, "b": {"c": 1}}, ("items", "2"): {"a": 2}}
    assert backend.documents() == everything == await bodies(one) == await bodies(two)
    await one.delete_document("items", "2")
    await two.save_document("items", "1", {"b": {"c": 2}})
    backend.edit("items", "old", None)
    for device in (one, two, one):
        await synced(device)
    assert (
        backend.documents() == {("items", "1"): {"a": 1, "b": {"c": 2}}} == await bodies(one) == await bodies(two)
    )


async def test_an_idle_sync_pushes_nothing_and_what_was_pushed_does_not_come_back_as_news(opener: Opener):
    backend = Backend()
    device = await opener(backend)
    await device.save_documents("items", {str(i): {"i": i} for i in range(20)})
    assert (await synced(device)).pushed == 20
    version = (await device.get_document("items", "3"))["_version"]
    for _ in range(3):
        result = await synced(device)
        assert (result.pushed, result.pulled) == (0, 0)
    assert (await device.get_document("items", "3"))["_version"] == version
    assert [len(records) for records in backend.pushes] == [20]
    assert len(backend.pulls) == 4


async def test_an_idle_sync_writes_nothing(opener: Opener, monkeypatch: pytest.MonkeyPatch):
    backend = Backend()
    device = await opener(backend)
    await device.save_documents("items", {str(i): {"i": i} for i in range(20)})
    await synced(device)
    await synced(device)
    monkeypatch.setattr(TableWriter, "put", None)
    await synced(device)


async def test_pushes_come_in_order_in_batches_of_so_many_records_and_bytes(opener: Opener):
    backend = Backend()
    device = await opener(backend, batch_size=3, batch_bytes=100)
    await device.save_documents("items", [{"_key": f"{i}", "t": "x" * (80 if i == 4 else 1)} for i in range(8)])
    await synced(device)
    assert [[record.key for record in records] for records in backend.pushes] == [
        ["0", "1", "2"],
        ["3", "4"],
        ["5", "6", "7"],
    ]
    assert {record.operation for records in backend.pushes for record in records} == {"insert"}


async def test_pages_of_the_backend_are_pulled_until_there_is_no_more(opener: Opener):
    backend = Backend(page=7)
    for i in range(30):
        backend.edit("items", str(i), {"i": i})
    device = await opener(backend)
    assert (await synced(device)).pulled == 30
    assert len(await bodies(device)) == 30
    assert backend.pulls == [None, 7, 14, 21, 28]


async def test_the_backend_is_asked_once_however_many_pages_the_replica_takes_it_in():
    backend = Backend()
    for i in range(30):
        backend.edit("items", str(i), {"i": i})
    store = await ps.LocalStore.open(":memory:")
    client = ps.CallbackTransport(backend.push, backend.pull)
    async with ps.SyncManager(store, client, ps.SyncConfig(page_size=10, auto_sync=False)) as device:
        assert (await synced(device)).pulled == 30
        assert backend.pulls == [None]


async def test_a_change_is_pending_until_the_backend_has_taken_it(opener: Opener):
    backend = Backend()
    device = await opener(backend)
    await device.save_document("items", "1", {"a": 1})

    def refuse(where: str) -> None:
        if where.startswith("push"):
            raise ConnectionError("no route")

    backend.fault = refuse
    result = await device.sync_now()
    assert not result.success and "no route" in result.errors[0]
    assert (await device.status()).pending == 1
    backend.fault = lambda where: None
    await synced(device)
    assert (await device.status()).pending == 0
    assert backend.documents() == {("items", "1"): {"a": 1}}


async def test_one_id_is_offered_again_for_the_same_content_and_another_for_the_next(opener: Opener):
    backend = Backend()
    device = await opener(backend)
    await device.save_document("items", "1", {"a": 1})
    losing: list[str] = []

    def lose_the_answer(where: str) -> None:
        if where == "push ends" and not losing:
            losing.append(where)
            raise TimeoutError

    backend.fault = lose_the_answer
    assert not (await device.sync_now()).success
    await synced(device)
    await device.save_document("items", "1", {"a": 2})
    await synced(device)
    ids = [record.id for records in backend.pushes for record in records]
    assert len(ids) == len(set(ids)) + (ids[0] == ids[1]) and ids[-1] != ids[0]
    assert backend.number == 2, "each content arrived once"


async def test_an_edit_made_while_a_push_is_unanswered_is_not_undone_by_its_echo(opener: Opener):
    backend = Backend()
    device = await opener(backend)
    await device.save_document("items", "1", {"a": 1, "b": 1})
    await synced(device)
    await device.save_document("items", "1", {"a": 2})

    def lose_the_answer(where: str) -> None:
        if where == "push ends":
            raise TimeoutError

    backend.fault = lose_the_answer
    assert not (await device.sync_now()).success
    backend.fault = lambda where: None
    await device.save_document("items", "1", {"a": 3})
    backend.edit("items", "1", {"a": 2, "b": 1, "normalised": True})
    await synced(device)
    wanted = {("items", "1"): {"a": 3, "b": 1, "normalised": True}}
    assert await bodies(device) == wanted == backend.documents()
    assert await device.lost_changes() == []


async def test_a_document_that_was_made_and_deleted_while_unanswered_is_deleted_at_the_backend_too(opener: Opener):
    backend = Backend()
    device = await opener(backend)
    await device.save_document("items", "1", {"a": 1})

    def lose_the_answer(where: str) -> None:
        if where == "push ends":
            raise TimeoutError

    backend.fault = lose_the_answer
    assert not (await device.sync_now()).success
    await device.delete_document("items", "1")
    backend.fault = lambda where: None
    await synced(device)
    await synced(device)
    assert backend.documents() == {} == await bodies(device)


async def test_what_a_backend_refuses_is_undone_and_in_the_ledger_with_its_reason(opener: Opener):
    backend = Backend()
    backend.edit("items", "old", {"a": 0})
    device = await opener(backend)
    await synced(device)
    backend.refuse = lambda record: record.document is not None and record.document.get("a") == 13
    await device.save_document("items", "bad", {"a": 13})
    await device.save_document("items", "old", {"a": 13})
    await device.save_document("items", "good", {"a": 1})
    result = await device.sync_now()
    assert result.rejected == 2 and result.pushed == 1
    assert result.errors == ["rejected: items/bad: not here", "rejected: items/old: not here"]
    assert await bodies(device) == {("items", "old"): {"a": 0}, ("items", "good"): {"a": 1}}
    entries = {entry.key: entry for entry in await device.lost_changes()}
    assert {key: (entry.kind, entry.code, entry.body) for key, entry in entries.items()} == {
        "bad": ("rejected", "nope", {"a": 13}),
        "old": ("rejected", "nope", {"a": 13}),
    }
    assert (await device.status()).pending == 0
    await synced(device)
    assert backend.documents() == await bodies(device)


async def test_a_refusal_is_told_even_if_the_program_ends_before_the_answer(opener: Opener):
    backend = Backend()
    device = await opener(backend, name="refused")
    backend.refuse = lambda record: record.key == "bad"
    await device.save_document("items", "bad", {"a": 13})
    await device.save_document("items", "last", {"a": 1})
    calls = itertools.count()

    def fail_later(where: str) -> None:
        if where == "push begins" and next(calls) == 1:
            raise Crash

    backend.fault = fail_later
    device._client._batch = (1, 10**6)  # type: ignore[union-attr]
    with pytest.raises(Crash):
        await device.sync_now()
    backend.fault = lambda where: None
    again = await opener(backend, name="refused")
    result = await again.sync_now()
    assert result.rejected == 1
    assert [(entry.key, entry.code) for entry in await again.lost_changes()] == [("bad", "nope")]
    assert await bodies(again) == {("items", "last"): {"a": 1}} == backend.documents()


async def test_a_backend_that_checks_versions_is_asked_what_changed_and_takes_the_merged_document(opener: Opener):
    backend = Backend(checks_versions=True)
    backend.edit("items", "1", {"a": 0, "b": 0})
    device = await opener(backend)
    await synced(device)
    await device.save_document("items", "1", {"a": 1})
    edits = itertools.count()

    def edit_in_between(where: str) -> None:
        if where == "push begins" and next(edits) == 0:
            backend.edit("items", "1", {"a": 0, "b": 2})

    backend.fault = edit_in_between
    await synced(device)
    assert backend.documents() == {("items", "1"): {"a": 1, "b": 2}} == await bodies(device)


@pytest.mark.parametrize("stamped", ["", "before", "after"])
@pytest.mark.parametrize("there", [{"a": 2}, None])
@pytest.mark.parametrize("here", [{"a": 1}, None])
async def test_what_changed_on_both_sides_has_one_outcome_and_the_loser_is_in_the_ledger(
    opener: Opener, here: dict[str, int] | None, there: dict[str, int] | None, stamped: str
):
    backend = Backend()
    backend.edit("items", "1", {"a": 0})
    device = await opener(backend)
    await synced(device)
    times = {"": "", "before": "2000-01-01T00:00:00Z", "after": ""}
    if here is None:
        await device.delete_document("items", "1")
    else:
        await device.save_document("items", "1", here)

    def fail(where: str) -> None:
        if where == "push begins":
            raise ConnectionError

    backend.fault = fail
    assert not (await device.sync_now()).success, "the hub has it, the backend has not"
    backend.fault = lambda where: None
    made_at = (await device.pending_changes())[0].timestamp
    times["after"] = made_at[:-6] + "65535Z"

    async def pull(since: Any) -> ps.Pulled:
        page = await Backend.pull(backend, since)
        stamp = times[stamped]
        records = [ps.SyncRecord(*r.name, r.operation, r.document, stamp, r.version) for r in page.records]
        return ps.Pulled(records, page.since, page.has_more)

    backend.edit("items", "1", there)
    device._client._pull = pull  # type: ignore[union-attr]
    await synced(device)
    await synced(device)
    final = await bodies(device)
    assert final == backend.documents()
    if here is None and there is None:
        assert final == {}
        return
    wins_there = {"before": False, "after": True, "": there is not None}[stamped]
    winner, loser = (there, here) if wins_there else (here, there)
    assert final.get(("items", "1")) == winner
    entries = await device.lost_changes()
    assert [entry.body for entry in entries] == [loser]


async def test_a_full_listing_says_by_absence_what_was_deleted(opener: Opener):
    backend = Backend()
    for key in "abc":
        backend.edit("items", key, {"k": key})

    async def everything(since: Any) -> ps.Pulled:
        assert since is None
        records = [ps.SyncRecord(*name, document=document) for name, document in backend.documents().items()]
        return ps.Pulled(records, is_complete=True)

    device = await opener(backend, client=ps.CallbackTransport(backend.push, everything))
    await synced(device)
    await device.save_document("items", "mine", {"k": "mine"})
    backend.edit("items", "b", None)
    await synced(device)
    assert sorted(key for _, key in await bodies(device)) == ["a", "c", "mine"]
    assert await bodies(device) == backend.documents()


async def test_plain_functions_and_plain_lists_do(opener: Opener):
    sent: list[ps.SyncRecord] = []

    def push(records: list[ps.SyncRecord]) -> list[str]:
        sent.extend(records)
        return [record.id for record in records]

    device = await opener(Backend(), client=ps.CallbackTransport(push, lambda since: []))
    await device.save_document("items", "1", {"a": 1})
    assert (await synced(device)).pushed == 1
    (record,) = sent
    assert (record.name, record.operation, record.document) == (("items", "1"), "insert", {"a": 1})
    assert ps.SyncRecord.from_json(record.to_json()) == record


class HttpError(Exception):
    """As httpx and requests have it: the status lies in the response."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.response = type("Response", (), {"status_code": status, "headers": headers})()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (HttpError(401), ps.Unauthorized),
        (HttpError(403), ps.Unauthorized),
        (HttpError(422), ps.Rejected),
        (HttpError(503), ps.Unreachable),
        (HttpError(429), ps.Unreachable),
        (ConnectionResetError(), ps.Unreachable),
        (KeyError("bug"), ps.Unreachable),
        (ps.Rejected("no", status=400), ps.Rejected),
    ],
)
async def test_errors_of_the_functions_become_ours(error: Exception, kind: type[Exception]):
    backend = Backend()

    def fail(where: str) -> None:
        raise error

    backend.fault = fail
    client = ps.CallbackTransport(backend.push, backend.pull, storage=MemoryStorage())
    with pytest.raises(kind):
        await client.exchange("default", '{"client_id":"c","protocol":1,"limit":10}')


async def test_the_wait_that_a_backend_asks_for_is_kept():
    async def pull(since: Any) -> list[ps.SyncRecord]:
        raise HttpError(503, **{"retry-after": "7"})

    client = ps.CallbackTransport(Backend().push, pull, storage=MemoryStorage())
    with pytest.raises(ps.Unreachable) as caught:
        await client.exchange("default", '{"client_id":"c","protocol":1}')
    assert caught.value.retry_after_s == 7


async def test_a_function_that_hangs_ends_at_its_deadline():
    async def hang(since: Any) -> list[ps.SyncRecord]:
        await asyncio.Event().wait()
        return []

    client = ps.CallbackTransport(Backend().push, hang, storage=MemoryStorage(), timeout_s=0.05)
    with pytest.raises(ps.Unreachable, match=r"0\.05 s"):
        await client.exchange("default", '{"client_id":"c","protocol":1}')


WRONG = [
    [{"no": "record"}],
    [ps.SyncRecord("1 bad name", "k", document={})],
    [ps.SyncRecord("items", "k", document={"n": float("nan")})],
    [ps.SyncRecord("items", "k", document={}, timestamp="yesterday")],
    7,
    ps.Pulled([], has_more=True),
]


@pytest.mark.parametrize("given", WRONG)
async def test_what_can_t_be_a_record_is_refused_and_nothing_of_it_taken_in(opener: Opener, given: Any):
    device = await opener(Backend(), client=ps.CallbackTransport(Backend().push, lambda since: given))
    result = await device.sync_now()
    assert not result.success and "can't be used" in result.errors[0]
    assert await bodies(device) == {}


@pytest.mark.parametrize("given", [7, [7], [{"id": "1"}]])
async def test_what_is_no_verdict_is_refused_and_the_change_waits(opener: Opener, given: Any):
    device = await opener(Backend(), client=ps.CallbackTransport(lambda records: given, lambda since: []))
    await device.save_document("items", "1", {"a": 1})
    result = await device.sync_now()
    assert not result.success and "verdicts" in result.errors[0]
    assert (await device.status()).pending == 1


@pytest.mark.parametrize("wrong", [{"operation": "upsert"}, {"operation": "delete"}, {"document": None}])
def test_a_record_says_either_what_is_there_or_that_nothing_is(wrong: dict[str, Any]):
    with pytest.raises(ps.SchemaError):
        ps.SyncRecord("items", "1", **{"document": {}, **wrong})
    with pytest.raises(ps.SchemaError):
        ps.Pulled([], has_more=True, is_complete=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_bytes": 0},
        {"timeout_s": 0},
        {"retention_days": 0},
        {"retention_days": float("nan")},
        {"retention_days": 1e9},
    ],
)
def test_limits_of_nothing_are_refused(wrong: dict[str, int]):
    with pytest.raises(ps.InvalidDocument):
        ps.CallbackTransport(lambda records: [], lambda since: [], **wrong)


async def test_two_transports_on_one_storage_take_a_page_in_once():
    backend, storage = Backend(), MemoryStorage()
    backend.edit("items", "1", {"a": 1})
    one, two = (ps.CallbackTransport(backend.push, backend.pull, storage=storage) for _ in range(2))

    def request(client: str) -> str:
        return f'{{"client_id":"{client}","protocol":1}}'

    async def meanwhile(since: Any) -> ps.Pulled:
        page = await backend.pull(since)
        if since is None:
            await two.exchange("default", request("two"))
        return page

    one._pull = meanwhile
    answer = loads(await one.exchange("default", request("one")))
    assert [change["document"] for change in answer["server_changes"]] == [{"a": 1}]
    assert answer["server_version"]["server"] == 1 and backend.pulls == [None, None, 1]


async def test_where_it_stands_with_the_backend_outlives_the_program(tmp_path: Path):
    backend = Backend()
    backend.edit("items", "there", {"a": 0})
    name = str(tmp_path / "device.db")  # in a page the name of an IndexedDB database

    def refuse(where: str) -> None:
        if where == "push ends":
            raise ConnectionError

    for fault in (refuse, lambda where: None):
        backend.fault = fault
        client = ps.CallbackTransport(backend.push, backend.pull)
        async with await ps.open(name, server=client, auto_sync=False) as device:
            await device.save_document("items", "here", {"b": 1})
            assert (await device.sync_now()).success == (fault is not refuse)
            assert await bodies(device) == {("items", "here"): {"b": 1}} | (
                {} if fault is refuse else {("items", "there"): {"a": 0}}
            )
    assert backend.pulls == [None, 1] and backend.number == 2
    assert [record.id for records in backend.pushes for record in records] == backend.seen


class Calendar:
    """A clock that days can be added to."""

    def __init__(self) -> None:
        self.days = 0

    def __call__(self) -> int:
        return now_ms() + self.days * 86_400_000


async def remembered(storage: MemoryStorage) -> dict[str, int]:
    """Count what the hub in the shadow keeps."""

    async def body(tx: Any) -> dict[str, int]:
        return {space: len(await tx.scan(f"hub.{space}")) for space in ("ops", "journal", "graves", "feed", "docs")}

    return await storage.read(body)


async def test_deletes_and_what_was_sent_are_forgotten_after_the_retention_time_and_stay_done(opener: Opener):
    backend, storage, clock = Backend(), MemoryStorage(), Calendar()
    device = await opener(backend, storage=storage, clock=clock)
    await device.save_documents("items", {str(i): {"i": i} for i in range(5)})
    await synced(device)
    for key in ("1", "3"):
        await device.delete_document("items", key)
    await synced(device)
    for clock.days in (0, 89):
        await synced(device)
        assert await remembered(storage) == {"ops": 7, "journal": 2, "graves": 2, "feed": 5, "docs": 5}
    clock.days = 91
    await synced(device)
    assert await remembered(storage) == {"ops": 0, "journal": 0, "graves": 0, "feed": 3, "docs": 3}
    left = {("items", key): {"i": int(key)} for key in "024"}
    assert backend.documents() == left == await bodies(device)
    await device.save_document("items", "1", {"i": "again"})
    await synced(device)
    await device.full_resync()
    assert backend.documents() == left | {("items", "1"): {"i": "again"}} == await bodies(device)


async def test_a_delete_that_the_backend_has_not_taken_is_not_forgotten(opener: Opener):
    backend, storage, clock = Backend(), MemoryStorage(), Calendar()
    device = await opener(backend, storage=storage, clock=clock)
    await device.save_document("items", "1", {"i": 1})
    await synced(device)

    def unreachable(where: str) -> None:
        if where == "push begins":
            raise ConnectionError

    backend.fault = unreachable
    await device.delete_document("items", "1")
    assert not (await device.sync_now()).success
    clock.days = 200
    for _ in range(2):
        assert not (await device.sync_now()).success
    backend.fault = lambda where: None
    await synced(device)
    assert backend.documents() == {} == await bodies(device)
    await synced(device)
    assert (await remembered(storage))["graves"] == 1, "it was taken a moment ago"


async def test_documents_expire_here_at_the_backend_and_on_the_other_device(opener: Opener):
    backend = Backend()
    one, two = await opener(backend), await opener(backend)
    await one.set_ttl("items", "at", 3600)
    await one.save_documents(
        "items", {"old": {"at": "2020-01-01T00:00:00Z"}, "new": {"at": "2100-01-01T00:00:00Z"}}
    )
    for device in (one, two, one, two):
        await synced(device)
    wanted = {("items", "new"): {"at": "2100-01-01T00:00:00Z"}}
    for documents in (backend.documents(), await bodies(one), await bodies(two)):
        assert {name: body for name, body in documents.items() if name[0] == "items"} == wanted
    assert await one.list_ttl() == await two.list_ttl() == [ps.Ttl("items", "at", 3600)]


async def test_a_poke_makes_background_sync_begin(opener: Opener):
    backend = Backend()
    client = ps.CallbackTransport(backend.push, backend.pull)
    async with await ps.open(f"poked-{next(numbers)}", server=client, engine=ps.StorageEngine.MEMORY) as device:
        while not backend.pulls:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
        backend.edit("items", "1", {"a": 1})
        while not await bodies(device):
            client.poke()
            await asyncio.sleep(0.01)


async def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(opener: Opener):
    for point in itertools.count():
        backend = Backend(page=2)
        crashed = await one_life(backend, opener, f"crash-{point}-{next(numbers)}", point)
        expected = {
            ("items", "0"): {"v": 10, "there": 1},
            ("items", "2"): {"v": 2},
            ("items", "3"): {"v": 3},
            ("items", "new"): {"v": 5},
        }
        assert backend.documents() == expected, f"crash {point}"
        contents = [(record.name, str(record.document)) for record in backend_taken(backend)]
        assert len(contents) == len(set(contents)), f"crash {point}: taken twice"
        if not crashed:
            assert point > 20
            return


def backend_taken(backend: Backend) -> list[ps.SyncRecord]:
    """Give what was taken, each id once."""
    records = {record.id: record for batch in backend.pushes for record in batch if record.id in backend.seen}
    return list(records.values())


async def one_life(backend: Backend, opener: Opener, name: str, point: int) -> bool:
    """Work and sync, ending at one of the points where a callback or a commit of the storage is; then go on."""
    steps = itertools.count()

    def step(where: str) -> None:
        if next(steps) == point:
            raise Crash(where)

    backend.edit("items", "0", {"v": 0})
    backend.edit("items", "1", {"v": 1})
    backend.edit("items", "2", {"v": 2})
    device = await opener(backend, name=name, batch_size=2)
    keeper = await opener(backend, name=name)  # what is stored outlives the crashed program
    await synced(device)
    await device.save_document("items", "0", {"v": 10})
    await device.delete_document("items", "1")
    await device.save_document("items", "3", {"v": 3})
    await device.save_document("items", "new", {"v": 5})
    backend.edit("items", "0", {"v": 0, "there": 1})
    backend.fault = step
    write = MemoryStorage.write

    async def crashing(self: MemoryStorage, body: Any, *, relaxed: bool = False) -> Any:
        step("before a commit")
        result = await write(self, body, relaxed=relaxed)
        step("after a commit")
        return result

    MemoryStorage.write = crashing  # type: ignore[method-assign]
    try:
        await device.sync_now()
        crashed = False
    except Crash:
        crashed = True
    finally:
        MemoryStorage.write = write  # type: ignore[method-assign]
        backend.fault = lambda where: None
    await device.close()
    for _ in range(3):
        await synced(keeper)
    assert await bodies(keeper) == backend.documents(), f"crash {point}"
    assert await keeper.lost_changes() == []
    return crashed
