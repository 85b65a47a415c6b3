"""Streams of pokes, how a server ends, and how many pushes share one commit."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysync_web.errors import Unreachable
from pysync_web.transport.client import HttpClient
from tests.conformance.transport import ask, insert, soon
from tests.unit.server_process import ServerProcess

pytestmark = pytest.mark.native

STREAMS = 50


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with no data."""
    with ServerProcess(tmp_path / "data") as process:
        yield process


async def test_a_stream_is_plain_server_sent_events(server: ServerProcess):
    async with Raw(server, "db") as stream:
        head = await stream.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"content-type: text/event-stream" in head
        assert b"cache-control: no-store" in head and b"x-accel-buffering: no" in head
        assert await stream.event() == b'event: poke\ndata: {"server":0,"ping_s":15}\n\n'
        server.call("POST", "/_api/sync/push/db", {"client_id": "a", "changes": [insert("1", a=1)]})
        assert await stream.event() == b'event: poke\ndata: {"server":1}\n\n'


def test_a_head_request_for_a_stream_ends(server: ServerProcess):
    status, content, headers = server.call("HEAD", "/_api/sync/stream/db")
    assert (status, content) == (200, "")
    assert headers["content-type"].startswith("text/event-stream")


async def test_a_stream_hears_of_its_own_database_alone_and_of_changes_alone(server: ServerProcess):
    transport = HttpClient(server.url, token=server.token)
    async with Raw(server, "mine") as stream:
        await stream.until(b"\r\n\r\n")
        assert b'{"server":0,' in await stream.event()
        await ask(transport, "others", changes=[insert("1", a=1)])
        await ask(transport, "mine")
        await ask(transport, "mine", changes=[insert("1", a=1)])
        assert b'{"server":1}' in await stream.event()
    await transport.close()


async def test_a_quiet_stream_is_kept_alive_by_comments(tmp_path: Path):
    lines = ["from functools import partial", "from pysync_web.server import Config, __main__ as command"]
    program = ("-c", "\n".join([*lines, "command.Config = partial(Config, ping_s=0.1)", "command.cli()"]))
    with ServerProcess(tmp_path / "data", program=program) as server:
        transport = HttpClient(server.url, token=server.token, silence_s=1)
        async with Raw(server, "db") as stream:
            await stream.until(b"\r\n\r\n")
            await stream.event()
            assert await stream.event() == b": ping\n\n"
        reading = asyncio.create_task(anext(follow(transport, skip=1)))
        await asyncio.sleep(1.5)
        assert not reading.done(), "the pings kept it from being taken for dead"
        await ask(transport, "db", changes=[insert("1", a=1)])
        assert await soon(reading) == 1
        await transport.close()


async def follow(transport: HttpClient, skip: int):
    """Yield the pokes of a stream after the first ones."""
    async for head in transport.pokes("db"):
        skip -= 1
        if skip < 0:
            yield head


async def test_many_open_streams_do_not_keep_a_server_from_ending(server: ServerProcess):
    streams = [await Raw(server, "db").open() for _ in range(STREAMS)]
    for stream in streams:
        await stream.until(b"\r\n\r\n")
        await stream.event()
    process = server.process
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ends = await asyncio.gather(*(stream.event() for stream in streams))
    assert set(ends) == {b"event: bye\ndata: {}\n\n"}
    await asyncio.to_thread(process.wait, 10)
    seconds = time.monotonic() - begin
    assert seconds < 1.5
    print(f"ended with {STREAMS} streams in {seconds:.2f} s")
    for stream in streams:
        await stream.close()


async def test_a_stream_of_ours_ends_when_the_server_does(server: ServerProcess):
    transport = HttpClient(server.url, token=server.token)
    pokes = transport.pokes("db")
    assert await soon(anext(pokes)) == 0
    ending = asyncio.create_task(asyncio.to_thread(server.stop))
    with pytest.raises(StopAsyncIteration):
        await soon(anext(pokes))
    await ending
    with pytest.raises(Unreachable):
        await anext(transport.pokes("db"))
    await transport.close()


async def test_a_push_under_way_is_answered_before_the_server_ends(server: ServerProcess):
    transport = HttpClient(server.url, token=server.token)
    await transport.ping()
    changes = [insert(str(i), text="x" * 1000) for i in range(500)]
    pushes = [asyncio.create_task(ask(transport, "db", f"c{i}", changes=changes[:100])) for i in range(5)]
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.stop)
    outcomes = await asyncio.gather(*pushes, return_exceptions=True)
    answered = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert all(isinstance(outcome, dict | Unreachable) for outcome in outcomes)
    await transport.close()
    server.start()
    transport = HttpClient(server.url, token=server.token)
    status, known, _ = server.call("GET", "/_api/sync/status/db?client_id=c0")
    head = known["server_version"]["server"] if status == 200 else 0
    assert head >= max((result["version_vector"]["server"] for a in answered for result in a["results"]), default=0)
    await transport.close()


async def test_streams_have_a_limit(tmp_path: Path):
    lines = ["from functools import partial", "from pysync_web.server import Limits, __main__ as command"]
    program = ("-c", "\n".join([*lines, "command.Limits = partial(Limits, streams=2)", "command.cli()"]))
    with ServerProcess(tmp_path / "data", program=program) as server:
        streams = [await Raw(server, "db").open() for _ in range(3)]
        heads = [await stream.until(b"\r\n\r\n") for stream in streams]
        assert [head[9:12] for head in heads] == [b"200", b"200", b"429"]
        for stream in streams:
            await stream.close()
        await asyncio.sleep(0.2)
        async with Raw(server, "db") as stream:
            assert (await stream.until(b"\r\n\r\n"))[9:12] == b"200"


async def test_pushes_that_come_while_a_commit_waits_share_the_next(server: ServerProcess):
    transport = HttpClient(server.url, token=server.token, timeout_s=30)
    await ask(transport, "db", changes=[insert("first", a=1)])
    before = commits(server.data / "db.sqlite-wal")
    pushes = 40
    with contextlib.closing(sqlite3.connect(server.data / "db.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody commits until this one gives way
        answers = asyncio.gather(
            *(ask(transport, "db", f"c{i}", changes=[insert(str(i), a=i)]) for i in range(pushes))
        )
        await asyncio.sleep(0.8)
        assert not answers.done()
        other.execute("ROLLBACK")
        await answers
    made = commits(server.data / "db.sqlite-wal") - before
    await transport.close()
    assert 0 < made < pushes / 4
    assert server.call("GET", "/_api/sync/status/db?client_id=c0")[1]["server_version"]["server"] == pushes + 1


def commits(log: Path) -> int:
    """Count the commits in SQLite's write-ahead log: the frames that tell the database's size after them."""
    content = log.read_bytes()
    (page,) = struct.unpack(">I", content[8:12])
    salt = content[16:24]
    frames = (content[i : i + 24] for i in range(32, len(content) - 24, 24 + page))
    return sum(1 for frame in frames if frame[8:16] == salt and frame[4:8] != b"\0\0\0\0")


class Raw:
    """A stream of events, read byte by byte."""

    def __init__(self, server: ServerProcess, database: str) -> None:
        self.server = server
        self.database = database

    async def open(self) -> Raw:
        """Ask for the stream."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        lines = [f"GET /_api/sync/stream/{self.database} HTTP/1.1", "Host: localhost"]
        lines += [f"Authorization: Bearer {self.server.token}", "", ""]
        self.writer.write("\r\n".join(lines).encode())
        return self

    async def close(self) -> None:
        """Leave the stream."""
        self.writer.close()

    async def __aenter__(self) -> Raw:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def until(self, end: bytes) -> bytes:
        """Read to this end."""
        return await asyncio.wait_for(self.reader.readuntil(end), 10)

    async def event(self) -> bytes:
        """Read one chunk of the answer, which holds one event."""
        size = int(await self.until(b"\r\n"), 16)
        return (await asyncio.wait_for(self.reader.readexactly(size + 2), 10))[:-2]
