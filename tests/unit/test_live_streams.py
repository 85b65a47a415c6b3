"""Live: pokes of some collections alone, streams that are stuck and heal, many streams, single saves at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.core.schedule import DEBOUNCE_MS, Schedule
from pysync_web.core.wire import Subscription
from pysync_web.storage.memory import MemoryStorage
from pysync_web.transport.client import LONGEST_QUERY, HttpClient
from pysync_web.transport.pokes import Pokes
from tests.conformance.transport import ask, insert, pokes_of, soon
from tests.unit.server_process import TOKEN, ServerProcess

native = pytest.mark.native

PINGS_OFTEN = """
from functools import partial
from pysync_web.server import Config, __main__ as command
command.Config = partial(Config, ping_s=0.2)
command.cli()
"""
STREAMS = 1000


# Some collections alone


async def test_a_reader_of_some_collections_hears_of_their_changes_alone():
    reader = Pokes(["a", "b"])
    reader.poke(3)
    assert await soon(reader.next()) == 3
    reader.poke(4, {"c"})
    reader.poke(6, {"b", "c"})
    reader.poke(5, {"a"})  # committed together, told later
    assert await soon(reader.next()) == 6
    reader.poke(7, frozenset({"c"}))
    assert reader._news.is_set() is False
    everything = Pokes()
    everything.poke(7, {"c"})
    assert await soon(everything.next()) == 7


async def test_a_hub_tells_which_collections_a_commit_changed():
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    told: list[tuple[int, frozenset[str]]] = []
    hub.watch(lambda head, touched: told.append((head, frozenset(touched))))
    transport = ps.LocalTransport(hub)
    one = insert("1", a=1) | {"op_id": "op-1", "n": 1}
    other = insert("1", b=1) | {"op_id": "op-2", "n": 2, "collection": "others"}
    await ask(transport, "db", changes=[one, other])
    await ask(transport, "db", changes=[other])
    reused = {**one, "document": {"a": 2}}
    more = insert("2", a=1) | {"op_id": "op-3", "n": 3, "collection": "more"}
    await ask(transport, "db", changes=[reused, more])
    await ask(transport, "db")
    assert told == [(2, {"things", "others"}), (3, {"more"})], "not for duplicates, refusals, and pulls"
    async with pokes_of(transport, "db") as pokes:
        assert await soon(anext(pokes)) == 3
    await transport.close()


@native
async def test_a_stream_of_some_collections_is_poked_for_these_alone(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        transport = HttpClient(server.url, token=TOKEN)
        await ask(transport, "db", changes=[insert("0", a=1)])
        some = transport.pokes("db", ["mine", "yours"])
        assert await soon(anext(some)) == 1, "the first says the head, whatever moved it"
        reading = asyncio.ensure_future(anext(some))
        await ask(transport, "db", changes=[insert("1", a=1)])
        async with contextlib.aclosing(transport.pokes("db")) as all_pokes:
            assert await soon(anext(all_pokes)) == 2
        assert not reading.done()
        await ask(transport, "db", changes=[insert("1", a=1) | {"collection": "yours"}])
        assert await soon(reading) == 3
        assert server.call("GET", "/_api/sync/stream/db?collections=1,b")[0] == 422
        too_many = [f"collection{i}" for i in range(LONGEST_QUERY // 10)]
        async with contextlib.aclosing(transport.pokes("db", too_many)) as pokes:
            assert await soon(anext(pokes)) == 3, "for so many the stream is one of everything"
            await ask(transport, "db", changes=[insert("2", a=1)])
            assert await soon(anext(pokes)) == 4
        await some.aclose()
        await transport.close()


@native
async def test_a_device_is_not_woken_for_collections_that_it_does_not_sync(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        listening = Listening(server.url, token=TOKEN)
        how = {"engine": ps.StorageEngine.MEMORY, "collections": ["mine"]}
        async with await ps.open(":memory:", server=listening, **how) as device:
            await eventually(lambda: is_live(device))
            transport = HttpClient(server.url, token=TOKEN)
            await ask(transport, "default", changes=[insert("1", a=1) | {"collection": "others"}])
            await ask(transport, "default", changes=[insert("1", a=1) | {"collection": "mine"}])
            await eventually(lambda: device.get_document("mine", "1"))
            assert listening.heard == [0, 2]
            await transport.close()


class Listening(HttpClient):
    """A client that keeps the pokes that came."""

    heard: list[int]

    async def pokes(self, database, collections=None):
        """Yield the pokes, and keep them."""
        self.heard = []
        async for head in super().pokes(database, collections):
            self.heard.append(head)
            yield head


# Stuck and healed


class Proxy:
    """A way to a server over TCP that can be stopped up: connections stand, and nothing passes."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.flows = asyncio.Event()
        self.flows.set()
        self.pipes: set[asyncio.Task[None]] = set()
        self.accepted = 0

    async def __aenter__(self) -> Proxy:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for pipe in self.pipes:
            pipe.cancel()
        await asyncio.gather(*self.pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        for source, target in ((reader, far_writer), (far_reader, writer)):
            pipe = asyncio.create_task(self._pump(source, target))
            self.pipes.add(pipe)
            pipe.add_done_callback(self.pipes.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            try:
                while content := await source.read(65536):
                    await self.flows.wait()
                    target.write(content)
                    await target.drain()
            finally:
                target.close()


@native
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["the way is stopped up", "the server is stopped"])
async def test_a_device_notices_that_its_stream_is_stuck_and_heals(tmp_path: Path, how: str):
    with ServerProcess(tmp_path / "data", program=("-c", PINGS_OFTEN)) as server:
        async with Proxy(server.port) as proxy, await opened(server, proxy.url, sync_interval_s=3600) as device:
            await eventually(lambda: is_live(device))
            if how == "the server is stopped":
                assert server.process is not None
                server.process.send_signal(signal.SIGSTOP)
            else:
                proxy.flows.clear()
            await eventually(lambda: is_not_live(device))
            accepted = proxy.accepted
            await eventually(lambda: tried_again(proxy, accepted))
            assert not (await device.status()).is_live, "a connection that stands is no life"
            if how == "the server is stopped":
                server.process.send_signal(signal.SIGCONT)
            else:
                proxy.flows.set()
            transport = HttpClient(server.url, token=TOKEN)
            await ask(transport, "default", changes=[insert("1", a=1)])
            await eventually(lambda: device.get_document("things", "1"))
            await eventually(lambda: is_live(device))
            await ask(transport, "default", changes=[insert("2", a=1)])
            await eventually(lambda: device.get_document("things", "2"))
            await transport.close()


@native
async def test_without_a_stream_changes_come_by_intervals(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(sync_interval_s=0.2)
        async with ps.SyncManager(store, Streamless(server.url, token=TOKEN), config) as device:
            transport = HttpClient(server.url, token=TOKEN)
            await ask(transport, "default", changes=[insert("1", a=1)])
            await eventually(lambda: device.get_document("things", "1"))
            assert not (await device.status()).is_live
            await transport.close()


class Streamless(HttpClient):
    """A client whose streams nobody lets through."""

    async def pokes(self, database, collections=None):
        """Break at once."""
        raise ps.Unreachable("a proxy takes no streams")
        yield 0


async def test_offline_there_is_no_stream_and_online_again_there_is_one_at_once():
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    async with await ps.open(":memory:", server=ps.LocalTransport(hub), engine=ps.StorageEngine.MEMORY) as device:
        await eventually(lambda: is_live(device))
        for go, back in ((device.set_online, True), (lambda _: device.pause_sync(), None)):
            go(False)
            await eventually(lambda: is_not_live(device))
            assert not hub._watchers, "the stream was left"
            device.set_online(True) if back else device.resume_sync()
            await eventually(lambda: is_live(device))


async def test_streams_that_break_at_once_are_opened_less_and_less_often():
    hub = Hub(MemoryStorage.open(":memory:"))
    await hub.open(random.SystemRandom())
    way = Breaking(hub)
    async with await ps.open(":memory:", server=way, engine=ps.StorageEngine.MEMORY) as device:
        device._background._rng = Longest()
        await eventually(lambda: heard_of(way.opened, 1))
        await asyncio.sleep(3.5)
        assert len(way.opened) <= 3, "again after 1, 2, 4 seconds at most, though each was opened"


class Longest:
    """Chance that draws the longest wait."""

    def random(self) -> float:
        """Give almost 1."""
        return 0.999


class Breaking(ps.LocalTransport):
    """A transport whose streams end after the first poke."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.opened: list[int] = []

    async def pokes(self, database, collections=None):
        """Poke once."""
        self.opened.append(1)
        yield 0


# Many at once


@native
@pytest.mark.timeout(180)
async def test_a_thousand_streams_all_hear_of_a_push(tmp_path: Path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < STREAMS + 200:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, STREAMS + 200), hard))
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))"
    program = ("-c", f"{limited}\nfrom pysync_web.server import __main__ as command\ncommand.cli()")
    with ServerProcess(tmp_path / "data", program=program) as server:
        async with streams_of(server, STREAMS) as streams:
            transport = HttpClient(server.url, token=TOKEN)
            await ask(transport, "db", changes=[insert("1", a=1)])
            await transport.close()
            heard = await asyncio.gather(*(until(stream, b'{"server":1}') for stream in streams))
            assert len(heard) == STREAMS
        text = server.call("GET", "/metrics")[1]
        assert f"\npysync_pokes_total {2 * STREAMS}.0\n" in text


@native
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
async def test_a_server_that_may_open_few_files_refuses_what_is_too_much_and_lives(tmp_path: Path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (700, 700))"
    program = ("-c", f"{limited}\nfrom pysync_web.server import __main__ as command\ncommand.cli()")
    with ServerProcess(tmp_path / "data", program=program) as server:
        assert server.process is not None and server.process.stdout is not None
        assert "188 connections" in server.process.stdout.readline() + server.process.stdout.readline()
        async with streams_of(server, 160, refused=160 - 188 * 3 // 4):
            body = {"client_id": "a", "changes": [insert("1", a=1)]}
            assert server.call("POST", "/_api/sync/push/db", body)[0] == 200


@contextlib.asynccontextmanager
async def streams_of(
    server: ServerProcess, count: int, refused: int = 0
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open so many streams, of which so many are refused; each has had its first poke."""
    ends = []
    for begin in range(0, count, 100):
        some = range(begin, min(begin + 100, count))
        ends += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in some))
    lines = ["GET /_api/sync/stream/db HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", "", ""]
    try:
        for _, writer in ends:
            writer.write("\r\n".join(lines).encode())
        heads = await asyncio.gather(*(until(reader, b"\r\n\r\n") for reader, _ in ends))
        stand = [reader for (reader, _), head in zip(ends, heads, strict=True) if head.startswith(b"HTTP/1.1 200")]
        assert len(stand) == count - refused
        await asyncio.gather(*(until(reader, b'{"server":0,') for reader in stand))
        yield stand
    finally:
        for _, writer in ends:
            writer.close()


async def until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    """Read to this end."""
    return await asyncio.wait_for(reader.readuntil(end), 60)


# Single saves at once


def test_a_single_save_is_sent_at_once_and_a_burst_together():
    schedule = Schedule(30_000)
    schedule.on_start(0)
    schedule.on_success(1)
    schedule.on_change(1000)
    assert schedule.wait_ms(1000) == 0
    schedule.on_success(1002, looked_ms=1001)
    schedule.on_change(1010)
    assert schedule.wait_ms(1010) == DEBOUNCE_MS - 10
    schedule.on_change(1049)
    assert schedule.wait_ms(1049) == 1, "a burst does not put itself off"
    schedule.on_success(1060, looked_ms=1055)
    schedule.on_change(1061)
    assert schedule.wait_ms(1061) == DEBOUNCE_MS - 11, "it goes on"
    schedule.on_success(1110, looked_ms=1105)
    schedule.on_change(2000)
    assert schedule.wait_ms(2000) == 0


def test_a_change_that_a_sync_under_way_did_not_see_makes_the_next_one_due():
    schedule = Schedule(30_000)
    schedule.on_start(0)
    schedule.on_change(100)
    schedule.on_change(120)
    schedule.on_success(125, looked_ms=119)
    assert schedule.wait_ms(125) == 25
    schedule.on_success(160, looked_ms=155)
    assert schedule.wait_ms(160) == 30_000


@native
async def test_what_is_saved_at_any_moment_of_a_sync_is_sent_without_waiting_for_the_interval(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        async with (
            await opened(server, sync_interval_s=3600) as one,
            await opened(server, sync_interval_s=3600) as two,
        ):
            for i in range(60):
                await one.save_document("things", f"{i}", {"i": i})
                await asyncio.sleep(i % 20 / 1000)
            await eventually(lambda: has_all(two, 60))
            assert (await one.status()).pending == 0


async def opened(server: ServerProcess, url: str | None = None, **options: object) -> ps.SyncManager:
    """Open a device in memory that syncs by itself."""
    how = {"token": TOKEN, "engine": ps.StorageEngine.MEMORY, "timeout_s": 1.0, **options}
    return await ps.open(":memory:", server=url or server.url, **how)  # type: ignore[arg-type]


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until a condition holds; the test's own deadline ends it."""
    while not await condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.02)


async def is_live(device: ps.SyncManager) -> bool:
    """Ask the status, which goes through JSON too."""
    status = await device.status()
    assert ps.SyncStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
    return status.is_live


async def is_not_live(device: ps.SyncManager) -> bool:
    """Ask the status."""
    return not (await device.status()).is_live


async def has_all(device: ps.SyncManager, count: int) -> bool:
    """Count the documents."""
    return len(await device.query_documents("things")) == count


async def tried_again(proxy: Proxy, before: int) -> bool:
    """Tell whether a new connection came."""
    return proxy.accepted > before


async def heard_of(what: list[int], count: int) -> bool:
    """Tell whether so many came."""
    return len(what) >= count


# Parts


def part(text: str, collection: str = "tasks", **binds: Any) -> Subscription:
    return Subscription("1", collection, text, binds)


@native
async def test_only_what_a_filter_lets_through_pokes_a_stream(tmp_path: Path) -> None:
    """Or what has left it; other collections as they are named."""
    with ServerProcess(tmp_path / "data") as server:
        client = HttpClient(server.url, token=TOKEN)
        heads: list[int] = []
        news = asyncio.Event()

        async def listen() -> None:
            async for head in client.pokes("db", ["notes"], [part("doc.owner == @me", me="ada")]):
                heads.append(head)
                news.set()

        async def push(collection: str, key: str, **fields: Any) -> None:
            change = {"collection": collection, "key": key, "operation": "insert", "document": fields}
            body = {"client_id": "other", "version_vector": {"server": heads[-1] + 2}, "changes": [change]}
            await asyncio.to_thread(server.call, "POST", "/_api/sync/push/db", body)

        async def poked() -> int:
            async with asyncio.timeout(30):
                await news.wait()
            news.clear()
            return heads[-1]

        task = asyncio.ensure_future(listen())
        assert await poked() == 0
        await push("tasks", "a", owner="bob")  # 1
        await push("else", "a", owner="ada")  # 2
        await push("tasks", "b", owner="ada")  # 3
        assert await poked() == 3 and heads == [0, 3]
        await push("tasks", "a", owner="cyd")  # 4
        await push("tasks", "b", owner="bob")  # 5: it leaves
        assert await poked() == 5 and heads == [0, 3, 5]
        await push("notes", "n", text="whole")  # 6
        assert await poked() == 6 and heads == [0, 3, 5, 6]
        wrong = quote('[{"id":"1","collection":"c","query":"("}]')
        path = f"/_api/sync/stream/db?subscriptions={wrong}"
        status, problem, _ = await asyncio.to_thread(server.call, "GET", path)
        assert status in (400, 422) and "line 1" in problem["detail"]
        task.cancel()
        await client.close()
