"""Devices for tests, in pages, other processes and here, and their server: all are asked alike what they hold."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pysync_web as ps


class Elsewhere(Protocol):
    """A page or another process, which runs Python; its database is ``db`` there."""

    async def python(self, code: str, **values: Any) -> Any:
        """Run code with values as variables; give its last expression."""
        ...


class Server(Protocol):
    """A server as a process."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    token: str | None


Device: TypeAlias = "Elsewhere | ps.SyncManager"
Documents: TypeAlias = "dict[str, dict[str, Any]]"
"""Documents by ``collection/key``, as an application gets them."""

PATIENCE_ROUNDS = 100

OPEN = """
import asyncio, time
import pysync_web as ps
db = await ps.open(name, server=server, token=token, **options)
"""
READ = """
found = {}
for collection in await db.list_collections():
    for key, document in await db.query_documents(collection):
        found[f"{collection}/{key}"] = document
found
"""


async def open_in(place: Elsewhere, server: Server | None = None, name: str | Path = "db", **options: Any) -> None:
    """Open a database in a page or a process, as ``db``."""
    url, token = (server.url, server.token) if server else (None, None)
    await place.python(OPEN, name=str(name), server=url, token=token, options=options)


async def open_here(path: Path, server: Server | None = None, **options: Any) -> ps.SyncManager:
    """Open a native database."""
    url, token = (server.url, server.token) if server else (None, None)
    return await ps.open(str(path), server=url, token=token, **options)


async def held_by(holder: Device | Server, database: str = "default") -> Documents:
    """Give all documents that a device or (of a database) a server has."""
    if isinstance(holder, ps.SyncManager):
        return {
            f"{collection}/{key}": document
            for collection in await holder.list_collections()
            for key, document in await holder.query_documents(collection)
        }
    if hasattr(holder, "python"):
        found: Documents = await holder.python(READ)
        return found
    return await asyncio.to_thread(held_by_server, holder, database)


def held_by_server(server: Server, database: str) -> Documents:
    """Pull all documents as a plain client does, each exactly once."""
    found: Documents = {}
    seen: set[str] = set()
    cursor, has_more = 0, True
    while has_more:
        answer = ask(server, database, cursor)
        for change in answer["server_changes"]:
            name = f"{change['collection']}/{change['key']}"
            assert name not in seen, f"{name} came twice"
            seen.add(name)
            if change["operation"] != "delete":
                meta = {"_version": change["version_vector"], "_timestamp": change["timestamp"]}
                found[name] = {"_key": change["key"], **change["document"], **meta}
        cursor, has_more = answer["server_version"]["server"], answer["has_more"]
    return found


def ask(server: Server, database: str, cursor: int) -> Any:
    """Ask a server for what changed after a cursor."""
    asked = {"database": database, "client_id": "reader", "version_vector": {"server": cursor}, "changes": []}
    request = urllib.request.Request(f"{server.url}/_api/sync/delta", json.dumps(asked).encode())
    request.add_header("Content-Type", "application/json")
    if server.token:
        request.add_header("Authorization", f"Bearer {server.token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


async def status_of(device: Device) -> dict[str, Any]:
    """Give a device's status as JSON."""
    if isinstance(device, ps.SyncManager):
        return (await device.status()).to_json()
    found: dict[str, Any] = await device.python("(await db.status()).to_json()")
    return found


async def sync(device: Device) -> dict[str, Any]:
    """Sync a device now and give the result as JSON."""
    if isinstance(device, ps.SyncManager):
        return (await device.sync_now()).to_json()
    found: dict[str, Any] = await device.python("(await db.sync_now()).to_json()")
    return found


async def agreed(server: Server, *devices: Device) -> Documents:
    """Sync until nothing is pending anywhere and all hold the same documents in the same versions; give them."""
    for _ in range(PATIENCE_ROUNDS):
        results = [await sync(device) for device in devices]
        pending = [(await status_of(device))["pending"] for device in devices]
        found = [await held_by(holder) for holder in (server, *devices)]
        if not any(pending) and all(one == found[0] for one in found):
            return found[0]
        await asyncio.sleep(0.1)
    told = {name: [one.get(name) for one in found] for name in set().union(*found)}
    different = {name: values for name, values in told.items() if any(value != values[0] for value in values)}
    raise AssertionError(f"no agreement: pending {pending}, {results}, {different}")


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until a condition gives something, and give that; the test's own deadline ends it."""
    while not (found := await condition()):  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.05)
    return found


def body_of(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document's own fields."""
    return {name: value for name, value in document.items() if not name.startswith("_")}
