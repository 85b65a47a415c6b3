"""Live through a real server: how soon a save is seen elsewhere, and a poke by many streams."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pysync_web as ps
from tests.browser.harness import TOKEN, Page, Server

from .browser import chromium
from .report import Row

GROUP = "live"
STREAMS = 1000
SAVES_A_ROUND = 10
PAUSE_S = 0.1
"""Between two saves, so that each is a single one."""

SEEN = Row(GROUP, "save on one device to on_change on another, natively", 100)
SEEN_IN_PAGES = Row(GROUP, "save in one page to on_change in another", None)
POKE = Row(GROUP, f"poke to {STREAMS:,} streams", 1000)


async def measure_native(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure between native devices, and the streams; each round saves several times."""
    rows = [Row(one.group, one.name, one.most) for one in (SEEN, POKE) if wanted(one.name_in_full)]
    if not rows:
        return []
    async with serving(web=False) as (server, folder):
        for row in rows:
            await (_devices if row.name == SEEN.name else _streams)(row, rounds, server, folder)
    return rows


async def measure_in_page(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure between two pages of two browsers."""
    row = Row(SEEN_IN_PAGES.group, SEEN_IN_PAGES.name, SEEN_IN_PAGES.most)
    if not wanted(row.name_in_full):
        return []
    async with serving(web=True) as (server, _), chromium() as one, chromium() as other:
        pages = [await browser.open(server.blank) for browser in (one, other)]
        for page in pages:
            await page.python(OPEN, server=server.url, token=TOKEN)
        for number in range(rounds * SAVES_A_ROUND + 1):
            await asyncio.sleep(PAUSE_S)
            taken = await _saved_in_page(*pages, f"{number}")
            if number:  # the first one warms up
                row.add(taken)
    return [row]


@asynccontextmanager
async def serving(*, web: bool) -> AsyncIterator[tuple[Server, Path]]:
    """Run a server without documents, with the site or without."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = Server(folder / "data").start(web=web)
        try:
            yield server, folder
        finally:
            server.stop()


async def _devices(row: Row, rounds: int, server: Server, folder: Path) -> None:
    how: dict[str, Any] = {"server": server.url, "token": TOKEN}
    async with (
        await ps.open(str(folder / "one.db"), **how) as one,
        await ps.open(str(folder / "other.db"), **how) as other,
    ):
        seen = asyncio.Event()
        other.on_collection_change("notes", lambda _: seen.set())
        for device in (one, other):
            while not (await device.status()).is_live:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(PAUSE_S)
        for number in range(rounds * SAVES_A_ROUND + 1):
            await asyncio.sleep(PAUSE_S)
            seen.clear()
            began = time.perf_counter()
            await one.save_document("notes", f"{number}", {"text": "a note"})
            await seen.wait()
            if number:  # the first one warms up
                row.add((time.perf_counter() - began) * 1000)


async def _streams(row: Row, rounds: int, server: Server, folder: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    lines = ["GET /_api/sync/stream/many HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", "", ""]
    ends = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join(lines).encode())
        ends.append((reader, writer))
    await asyncio.gather(*(reader.readuntil(b'"server":0') for reader, _ in ends))
    async with await ps.open(
        str(folder / "pusher.db"), server=server.url, token=TOKEN, database="many", auto_sync=False
    ) as pusher:
        for number in range(1, rounds + 1):
            await pusher.save_document("notes", f"{number}", {"text": "a note"})
            heard = [asyncio.ensure_future(reader.readuntil(b'"server":%d}' % number)) for reader, _ in ends]
            await asyncio.sleep(PAUSE_S)
            began = time.perf_counter()
            assert (await pusher.sync_now()).success
            await asyncio.gather(*heard)
            row.add((time.perf_counter() - began) * 1000)
    for _, writer in ends:
        writer.close()


async def _saved_in_page(one: Page, other: Page, key: str) -> float:
    """Save in one page; give the milliseconds until the other one is told, by the clock that both have."""
    seen = asyncio.ensure_future(other.python(WAIT, key=key))
    began, seen_at = await one.python(SAVE, key=key), await seen
    taken: float = seen_at - began
    return taken


OPEN = """
import asyncio, js
import pysync_web as ps
db = await ps.open("live", server=server, token=token)
seen = {}
def on_change(change):
    seen[change.key] = js.performance.timeOrigin + js.performance.now()
db.on_collection_change("notes", on_change)
while not (await db.status()).is_live:
    await asyncio.sleep(0.1)
"""
SAVE = """
began = js.performance.timeOrigin + js.performance.now()
await db.save_document("notes", key, {"text": "a note"})
began
"""
WAIT = """
while key not in seen:
    await asyncio.sleep(0.02)
seen[key]
"""
