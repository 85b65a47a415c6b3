"""Devices for tests, in pages and natively, and their server: all are asked alike for what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pysync_web as ps
from tests.browser.harness import BLANK, Page, Server, Site

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


def server_for(folder: Path, site: Site, *origins: str) -> Server:
    """Give a server, not started, that pages of the site at these origins may call from another port."""
    options = [word for origin in origins for word in ("--cors", site.address("", origin))]
    return Server(folder, options=tuple(options))


def blank(site: Site, origin: str) -> str:
    """Give the address of a blank page with Python in it, on an origin."""
    return site.address(BLANK, origin)


async def open_in(page: Page, server: Server | None = None, name: str = "db", **options: Any) -> None:
    """Open a database in a page, as ``db``."""
    url, token = (server.url, server.token) if server else (None, None)
    await page.python(OPEN, name=name, server=url, token=token, options=options)


async def open_here(path: Path, server: Server | None = None, **options: Any) -> ps.SyncManager:
    """Open a native database."""
    url, token = (server.url, server.token) if server else (None, None)
    return await ps.open(str(path), server=url, token=token, **options)


async def held_by(holder: Page | ps.SyncManager | Server, database: str = "default") -> Documents:
    """Give all documents that a page's ``db``, a native database or a server has."""
    if isinstance(holder, Page):
        found: Documents = await holder.python(READ)
        return found
    if isinstance(holder, Server):
        return await asyncio.to_thread(held_by_server, holder, database)
    return {
        f"{collection}/{key}": document
        for collection in await holder.list_collections()
        for key, document in await holder.query_documents(collection)
    }


def held_by_server(server: Server, database: str) -> Documents:
    """Pull all documents as a plain client does, each exactly once."""
    found: Documents = {}
    cursor, has_more = 0, True
    while has_more:
        asked = {"database": database, "client_id": "reader", "version_vector": {"server": cursor}, "changes": []}
        status, answer = server.request("POST", "/_api/sync/delta", asked)
        assert status == 200, answer
        for change in answer["server_changes"]:
            name = f"{change['collection']}/{change['key']}"
            assert name not in found, f"{name} came twice"
            if change["operation"] != "delete":
                meta = {"_version": change["version_vector"], "_timestamp": change["timestamp"]}
                found[name] = {"_key": change["key"], **change["document"], **meta}
        cursor, has_more = answer["server_version"]["server"], answer["has_more"]
    return found


async def status_of(device: Page | ps.SyncManager) -> dict[str, Any]:
    """Give a device's status as JSON."""
    if isinstance(device, Page):
        found: dict[str, Any] = await device.python("(await db.status()).to_json()")
        return found
    return (await device.status()).to_json()


async def sync(device: Page | ps.SyncManager) -> dict[str, Any]:
    """Sync a device now and give the result as JSON."""
    if isinstance(device, Page):
        found: dict[str, Any] = await device.python("(await db.sync_now()).to_json()")
        return found
    return (await device.sync_now()).to_json()


async def agreed(server: Server, *devices: Page | ps.SyncManager) -> Documents:
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
