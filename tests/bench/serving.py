"""What the server costs: bytes of a small change, many subscriptions, pushes and pulls beside a plain handler."""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

import pysync_web as ps
from pysync_web.causality import SERVER, timestamp
from pysync_web.core.document import State
from pysync_web.core.hub import Hub
from pysync_web.core.wire import Change, Snapshot, Subscription, SyncRequest, decode_request, encode_request
from pysync_web.storage import open_storage
from pysync_web.values import loads
from tests.unit.server_process import TOKEN, ServerProcess

from . import documents
from .report import Row

GROUP = "the server"
BYTES = "one field of a 4 KiB document: bytes of the answer, by whole documents"
PARTS = "100 changed of 100,000 documents, 50 subscriptions, by 1,000 documents"
PUSHES = "160 pushes of 100 changes from 8 clients, by a plain handler"
PULLS = "100 pulls of 1,000 changes, as after a poke, by the framework alone"
NEAR = "100 pulls of 1,000 changes, from cursors that lie close together, by the framework alone"
APART = "15 pulls of 1,000 changes, each of others, by the framework alone"
STARTED = "the same, of a server that has just been started, by the framework alone"
TARGETS = {
    BYTES: (0.15, "bytes"),
    PARTS: (3.0, "ms"),
    PUSHES: (4.0, "ms"),
    PULLS: (3.0, "ms"),
    NEAR: (3.0, "ms"),
    APART: (3.0, "ms"),
    STARTED: (None, "ms"),
}

CLIENTS, EACH, SIZE = 8, 20, 100
_NOW_MS = 1_760_000_000_000


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure everything that is wanted."""
    rows = {name: Row(GROUP, name, most, unit) for name, (most, unit) in TARGETS.items()}
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    if BYTES in rows:
        rows[BYTES].add(await _answer_bytes(deltas=True), await _answer_bytes(deltas=False))
    if PARTS in rows:
        await _subscriptions(rows[PARTS], rounds)
    for number in range(rounds if rows.keys() - {BYTES, PARTS} else 0):
        await _served(rows, is_ours_first=number % 2 == 0)
    return list(rows.values())


# One field


async def _answer_bytes(*, deltas: bool) -> int:
    """Change one field of a document of 4 KiB; give the bytes of the answer that brings it to another device."""
    hub = Hub(await open_storage(":memory:", engine="memory"))
    await hub.open(random.Random(1))
    sizes: list[int] = []

    class Cable(ps.LocalTransport):
        async def exchange(self, database: str, body: str) -> str:
            answer = await super().exchange(database, body)
            sizes.append(len(answer.encode()))
            return answer

    one, two = [await _device(f"bytes-{deltas}-{i}", Cable(hub)) for i in range(2)]
    two.enable_delta_sync("people", deltas)
    await one.save_document("people", "k", {f"f{i:02}": "x" * 90 for i in range(40)})
    for device in (one, two):
        await device.sync_now()
    await one.save_document("people", "k", {"f07": "changed"})
    await one.sync_now()
    sizes.clear()
    await two.sync_now()
    for device in (one, two):
        await device.close()
    return sizes[0]


async def _device(name: str, transport: Any) -> ps.SyncManager:
    store = await ps.LocalStore.open(name, engine=ps.StorageEngine.MEMORY)
    manager = ps.SyncManager(store, transport, ps.SyncConfig(auto_sync=False))
    await manager.start()
    return manager


# Subscriptions


async def _subscriptions(row: Row, rounds: int) -> None:
    """Change 100 documents, and let 50 devices with a filter each hear of it, of many and of few documents."""
    with tempfile.TemporaryDirectory() as folder:
        large = await _Subscribed.open(Path(folder) / "large.sqlite", 100_000)
        small = await _Subscribed.open(Path(folder) / "small.sqlite", 1_000)
        for number in range(rounds):
            first, second = (large, small) if number % 2 else (small, large)
            taken = {first: await first.change(), second: await second.change()}
            row.add(taken[large], taken[small])
        for one in (large, small):
            await one.storage.close()


class _Subscribed:
    """A hub with documents of 50 owners, each of whom has a device that holds the own ones."""

    def __init__(self, storage: Any, count: int) -> None:
        self.storage = storage
        self.hub = Hub(storage)
        self.count = count
        self.rng = random.Random(5)
        self.at = 0

    @classmethod
    async def open(cls, path: Path, count: int) -> _Subscribed:
        found = cls(await open_storage(path, engine="sqlite", durability="relaxed"), count)
        await found.hub.open(found.rng)
        keys = [f"k{i:06}" for i in range(count)]
        for start in range(0, count, 500):
            await found.push(keys[start : start + 500], "insert")
        await found.pull(Snapshot())
        await found.change()  # what the filters let through is summed up once
        return found

    async def change(self) -> float:
        began = time.perf_counter()
        since = self.at
        await self.push([f"k{self.rng.randrange(self.count):06}" for _ in range(100)], "update")
        await self.pull(None, since)
        return (time.perf_counter() - began) * 1000

    async def push(self, keys: list[str], operation: Any) -> None:
        changes = []
        for n, key in enumerate(dict.fromkeys(keys), self.at + 1):
            body = {"owner": f"o{int(key[1:]) % 50}", "n": n, "text": "x" * 150}
            at = timestamp(_NOW_MS + n)
            is_whole = operation == "insert"
            state = State(body if is_whole else {"n": n}, at)
            changes.append(Change("people", key, operation, state, is_whole, f"op{n}", n, {}, "fields"))
        request = SyncRequest("bench", "writer", {SERVER: self.at}, tuple(changes))
        self.at = (await self.hub.exchange(request, _NOW_MS + self.at, self.rng)).head["server_version"][SERVER]

    async def pull(self, snapshot: Snapshot | None, since: int = 0) -> None:
        for owner in range(50):
            one = Subscription("1", "people", "doc.owner == @me", {"me": f"o{owner}"}, snapshot)
            request = SyncRequest(
                "bench",
                f"r{owner}",
                {SERVER: since},
                protocol=1,
                collections=(),
                subscriptions=(one,),
                settled=since,
            )
            await self.hub.exchange(request, _NOW_MS, self.rng)


# Pushes and pulls


async def _served(rows: dict[str, Row], *, is_ours_first: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = ServerProcess(Path(folder) / "ours").start()
        file = str(Path(folder) / "plain.db")
        plain = ServerProcess(Path(folder) / "plain", file, program=("-m", "tests.bench.plain_server")).start()
        sides = [(ours, "/_api/sync/push/bench"), (plain, "/push")]
        bodies = _bodies()
        taken = [0.0, 0.0]
        for side in (0, 1) if is_ours_first else (1, 0):
            taken[side] = await _pushed(*sides[side], bodies)
        if PUSHES in rows:
            rows[PUSHES].add(*taken)
        if rows.keys() & {PULLS, NEAR, APART, STARTED}:
            await _pulled_by_many(rows, ours, plain, is_ours_first=is_ours_first)
        ours.stop()
        plain.stop()


async def _pulled_by_many(
    rows: dict[str, Row], ours: ServerProcess, plain: ServerProcess, *, is_ours_first: bool
) -> None:
    """Pull pages that many ask for, that lie close together, and that have nothing in common."""
    page = "/_api/sync/pull/bench?client_id=reader&limit=1000"
    async with _client(ours) as client:
        content = (await client.get(page)).content
    assert len(loads(content.decode())["server_changes"]) == 1000
    async with _client(plain) as client:
        await client.post("/page", content=content)
    after = [f"{page}&version_vector=%7B%22server%22%3A{i}%7D" for i in range(CLIENTS * EACH * SIZE)]
    each = after[1000::1000]
    for name, paths in ((APART, each), (PULLS, [page] * 100), (NEAR, after[:100]), (STARTED, each)):
        if name not in rows:
            continue
        if name == STARTED:
            ours.stop()
            ours.start()
        sides = [(ours, paths), (plain, ["/pull"] * len(paths))]
        taken = [0.0, 0.0]
        for side in (0, 1) if is_ours_first else (1, 0):
            taken[side] = await _pulled(*sides[side])
        rows[name].add(*taken)


def _bodies() -> list[list[bytes]]:
    """Give each client's pushes: new documents, as our own client would send them."""
    rows = iter(documents.make(CLIENTS * EACH * SIZE).items())
    found = []
    for client in range(CLIENTS):
        pushes = []
        for push in range(EACH):
            changes = []
            for i in range(SIZE):
                key, body = next(rows)
                n = push * SIZE + i + 1
                at = timestamp(_NOW_MS + n)
                state = State(body, at)
                changes.append(
                    Change("people", key, "insert", state, True, f"{client:016x}{n:016x}", n, {}, "fields")
                )
            request = SyncRequest("bench", f"client{client}", {}, tuple(changes))
            text = encode_request(request)
            assert decode_request(text) == request
            pushes.append(text.encode())
        found.append(pushes)
    return found


def _client(server: ServerProcess) -> httpx.AsyncClient:
    headers = {
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "accept-encoding": "identity",
    }
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60)


async def _pushed(server: ServerProcess, path: str, bodies: list[list[bytes]]) -> float:
    async def run(client: httpx.AsyncClient, pushes: list[bytes]) -> None:
        for body in pushes:
            (await client.post(path, content=body)).raise_for_status()

    clients = [_client(server) for _ in bodies]
    gc.collect()
    began = time.perf_counter()
    await asyncio.gather(*(run(client, pushes) for client, pushes in zip(clients, bodies, strict=True)))
    taken = (time.perf_counter() - began) * 1000
    for client in clients:
        await client.aclose()
    return taken


async def _pulled(server: ServerProcess, paths: list[str]) -> float:
    async with _client(server) as client:
        await client.get("/")  # connects
        began = time.perf_counter()
        for path in paths:
            (await client.get(path)).raise_for_status()
        return (time.perf_counter() - began) * 1000
