"""Two devices meet over a real WebSocket on this machine, both ends of it from the package ``websockets``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.native

from websockets.asyncio.client import connect  # noqa: E402
from websockets.asyncio.server import serve  # noqa: E402

import pysync_web as ps  # noqa: E402
from pysync_web.errors import SchemaError, Unreachable  # noqa: E402
from tests.devices import held_by, open_here  # noqa: E402


@asynccontextmanager
async def listening(device: ps.SyncManager, **options: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    """Let a device meet whoever connects; give its address and what came of the meetings."""
    outcomes: list[Any] = []

    async def on_connection(socket: Any) -> None:
        outcomes.extend(
            await asyncio.gather(device.sync_with(ps.SocketChannel(socket), **options), return_exceptions=True)
        )

    async with serve(on_connection, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}", outcomes


async def test_both_have_everything_after_a_meeting_over_a_websocket(tmp_path: Path):
    async with await open_here(tmp_path / "a.db") as a, await open_here(tmp_path / "b.db") as b:
        await a.save_documents("notes", {f"a{i}": {"text": "ä" * 5000} for i in range(300)})
        await b.save_documents("notes", {f"b{i}": {"text": "b" * 30000} for i in range(100)})
        async with listening(a) as (address, outcomes), connect(address) as socket:
            result = await b.sync_with(ps.SocketChannel(socket))
        assert (result.sent, result.received, result.is_complete) == (100, 300, True)
        assert (outcomes[0].sent, outcomes[0].received) == (300, 100)
        assert await held_by(a) == await held_by(b)


@pytest.mark.parametrize("wrong", [5, object(), ps.channel_pair()[0]])
def test_what_is_no_websocket_is_refused(wrong: Any):
    with pytest.raises(ps.InvalidDocument, match="socket: an object with the methods send, recv, close is due"):
        ps.SocketChannel(wrong)


async def test_a_connection_that_breaks_is_no_loss_and_the_next_one_goes_on(tmp_path: Path):
    async with await open_here(tmp_path / "a.db") as a, await open_here(tmp_path / "b.db") as b:
        await a.save_documents("notes", {f"a{i}": {"text": "x" * 30000} for i in range(200)})
        async with listening(a) as (address, outcomes):
            async with connect(address) as socket:

                def cut(done: int, total: int) -> None:
                    if done > 60:
                        socket.transport.abort()

                with pytest.raises(Unreachable, match="the connection broke"):
                    await b.sync_with(ps.SocketChannel(socket), on_progress=cut)
            had = (await b.statistics()).total
            assert 60 < had < 200
            async with connect(address) as socket:
                result = await b.sync_with(ps.SocketChannel(socket))
        assert result.received == 200 - had
        assert isinstance(outcomes[0], Unreachable) and outcomes[1].sent == 200 - had
        assert await held_by(a) == await held_by(b)


async def test_a_stranger_who_says_something_else_is_hung_up_on(tmp_path: Path):
    async with await open_here(tmp_path / "a.db") as a:
        for strange in ("GET / HTTP/1.1", b"bytes"):
            async with listening(a) as (address, outcomes), connect(address) as socket:
                await socket.send(strange)
                await socket.wait_closed()
            assert isinstance(outcomes[0], SchemaError)
