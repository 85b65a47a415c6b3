"""A page that syncs with the real server: the first sync, a hundred changes, and nothing to do.

The first sync is compared with plain JavaScript that fetches the same documents from the same server as one JSON
file and puts a record for each. A native device makes the changes of others.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import build
import pysync_web as ps
from tests.browser.harness import TOKEN, Chromium, Page, Server

from . import documents
from .browser import chromium, ours, plain, prepared
from .report import Row

GROUP = "sync of a page with the server"
SOME = 100
LARGE, SMALL = "large", "small"
SIZES = {LARGE: documents.COUNT, SMALL: documents.COUNT // 10}

FIRST = Row(GROUP, "first sync of 10,000", 1.0)
PULL = Row(GROUP, "pull of 100 changed among 10,000; baseline: among 1,000", 1.5)
PUSH = Row(GROUP, "push of 100 changed among 10,000; baseline: among 1,000", 1.5)
PULL_REQUESTS = Row(GROUP, "pull of 100 changed: requests", 1, "")
PUSH_REQUESTS = Row(GROUP, "push of 100 changed: requests", 1, "")
IDLE = Row(GROUP, "idle sync", None)
IDLE_REQUESTS = Row(GROUP, "idle sync: requests", 1, "")
IDLE_SENT = Row(GROUP, "idle sync: request with its headers", 1024, "bytes")
IDLE_CAME = Row(GROUP, "idle sync: answer with its headers", 1024, "bytes")
IDLE_WRITES = Row(GROUP, "idle sync: storage writes, both sides", 0, "")
ROWS = (FIRST, PULL, PUSH, PULL_REQUESTS, PUSH_REQUESTS, IDLE, IDLE_REQUESTS, IDLE_SENT, IDLE_CAME, IDLE_WRITES)


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure everything if anything is wanted."""
    rows = {one.name: Row(one.group, one.name, one.most, one.unit) for one in ROWS}
    chosen = [row for row in rows.values() if wanted(row.name_in_full)]
    if not chosen:
        return []
    async with serving() as scene:
        for number in range(rounds):
            await Round(scene, rows, number).run()
    return chosen


@dataclass
class Scene:
    """What all rounds share: a server with both databases, the devices that filled them, a browser."""

    server: Server
    devices: dict[str, ps.SyncManager]
    chromium: Chromium

    def server_commits(self) -> list[Any]:
        """Give what is another after each commit of the server."""
        return [one.execute("PRAGMA data_version").fetchone()[0] for one in self.watching]

    def __post_init__(self) -> None:
        found = sorted(self.server.data.rglob("*.sqlite"))
        self.watching = [sqlite3.connect(f"file:{path}?mode=ro", uri=True) for path in found]
        assert self.watching, f"no database in {self.server.data}"


@asynccontextmanager
async def serving() -> AsyncIterator[Scene]:
    """Run a server that also serves the documents as files, and fill its databases."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copytree(build.SITE, folder / "web")
        made = [{"_key": key, **body} for key, body in documents.make().items()]
        (folder / "web" / "documents.json").write_text(json.dumps(made))
        server = Server(folder / "data", options=("--web", str(folder / "web"))).start(web=False)
        devices = {database: await _filled(server, folder, database) for database in SIZES}
        async with chromium() as browser:
            yield Scene(server, devices, browser)
        for device in devices.values():
            await device.close()
        server.stop()


async def _filled(server: Server, folder: Path, database: str) -> ps.SyncManager:
    """Open a native device and give its database the documents."""
    device = await ps.open(
        str(folder / f"{database}.db"), server=server.url, token=TOKEN, database=database, auto_sync=False
    )
    await device.save_documents("people", documents.make(SIZES[database]))
    await _synced(device)
    return device


async def _synced(device: ps.SyncManager) -> None:
    result = await device.sync_now()
    assert result.success, result.errors


class Round:
    """One page, from its first sync on."""

    def __init__(self, scene: Scene, rows: dict[str, Row], number: int) -> None:
        self.scene = scene
        self.rows = rows
        self.number = number
        self.page: Page
        self.requests: list[Any] = []

    async def run(self) -> None:
        """Do everything once."""
        self.page = await self.scene.chromium.open(self.scene.server.blank)
        await prepared(self.page, with_documents=False)
        self.page.raw.on("request", lambda request: self.requests.append(request))
        await self.page.raw.evaluate(COUNT_WRITES)
        await self._first()
        taken = {database: await self._changes(database) for database in SIZES}
        for i, row in enumerate((PULL, PUSH)):
            self.rows[row.name].add(taken[LARGE][i], taken[SMALL][i])
        await self._idle()
        await self.page.close()

    async def _first(self) -> None:
        taken = [0.0, 0.0]
        for side in (0, 1) if self.number % 2 == 0 else (1, 0):
            if side == 0:
                taken[0] = await self._sync(await self._open(LARGE), SIZES[LARGE])
            else:
                await plain(self.page, "open", f"plain-{self.number}")
                taken[1] = await plain(self.page, "fetchAndPut", "/documents.json")
        self.rows[FIRST.name].add(*taken)

    async def _open(self, database: str) -> str:
        name = f"{database}-{self.number}"
        how = {"server": self.scene.server.url, "token": TOKEN, "database": database, "auto_sync": False}
        await ours(self.page, "open", name, **how)
        return name

    async def _sync(self, name: str, changes: int) -> float:
        taken: float = await ours(self.page, "sync", name, changes)
        return taken

    async def _changes(self, database: str) -> tuple[float, float]:
        """Pull a hundred changes of others, then push as many of this page's own; both in one round trip."""
        name = f"{database}-{self.number}"
        if database == SMALL:
            await self._sync(await self._open(database), SIZES[database])
        keys = list(documents.make(SIZES[database]))[:: SIZES[database] // SOME]
        device = self.scene.devices[database]
        await device.save_documents("people", {key: {"score": self.number} for key in keys})
        await _synced(device)
        self.requests.clear()
        pull = await self._sync(name, SOME)
        self.rows[PULL_REQUESTS.name].add(len(self.requests))
        await ours(self.page, "change", name, keys, {"age": self.number})
        self.requests.clear()
        push = await self._sync(name, SOME)
        self.rows[PUSH_REQUESTS.name].add(len(self.requests))
        await _synced(device)
        return pull, push

    async def _idle(self) -> None:
        name = f"{LARGE}-{self.number}"
        await asyncio.sleep(1)
        commits = self.scene.server_commits()
        await self.page.raw.evaluate("() => { globalThis.writes = 0; }")
        self.requests.clear()
        self.rows[IDLE.name].add(await self._sync(name, 0))
        writes = await self.page.raw.evaluate("() => globalThis.writes")
        self.rows[IDLE_WRITES.name].add(writes + (commits != self.scene.server_commits()))
        self.rows[IDLE_REQUESTS.name].add(len(self.requests))
        sizes = await self.requests[0].sizes()
        self.rows[IDLE_SENT.name].add(sizes["requestHeadersSize"] + sizes["requestBodySize"])
        self.rows[IDLE_CAME.name].add(sizes["responseHeadersSize"] + sizes["responseBodySize"])


COUNT_WRITES = """() => {
    globalThis.writes = 0;
    const begin = IDBDatabase.prototype.transaction;
    IDBDatabase.prototype.transaction = function (stores, mode, ...more) {
        if (mode === "readwrite") globalThis.writes += 1;
        return begin.call(this, stores, mode, ...more);
    };
}"""
