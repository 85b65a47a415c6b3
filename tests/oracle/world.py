"""Devices that hold parts of a server's documents, and a plain query that says what each of them should hold.

Filters, edits, changes of filters and restarts of the server are drawn from a seed. After each batch every device's
view has to be exactly what a fresh query of the server's documents gives.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pysync_web as ps
from pysync_web.sdbql import execute
from pysync_web.storage import open_storage
from pysync_web.values import loads
from tests.unit.server_process import TOKEN, ServerProcess

Documents = dict[str, dict[str, Any]]
COLLECTIONS = ("tasks", "notes")
OWNERS = ("ada", "bob", "cyd", "dee")
STATES = ("open", "done", "late")
KEYS = 60
BATCHES = 10
DEVICES = 8
EDITS = 500
CHOICES = 24
"""How many edits, and how many choices of filters, there are in a batch."""


def draw_filter(rng: random.Random) -> tuple[str, dict[str, Any]] | None:
    """Draw a filter with its bind variables, now and then none."""
    if rng.random() < 0.1:
        return None
    texts = [_condition(rng, i) for i in range(rng.choice((1, 1, 2, 3)))]
    words = rng.choice((" AND ", " OR "))
    text = words.join(f"({text})" for text, _ in texts)
    binds = {name: value for _, some in texts for name, value in some.items()}
    if rng.random() < 0.1:
        text = f"NOT ({text})"
    return text, binds


def _condition(rng: random.Random, i: int) -> tuple[str, dict[str, Any]]:
    name = f"v{i}"
    match rng.randrange(8):
        case 0 | 1:
            return f"doc.owner == @{name}", {name: rng.choice(OWNERS)}
        case 2:
            return f"state == @{name}", {name: rng.choice(STATES)}
        case 3:
            return f"doc.rank > @{name}", {name: rng.randrange(10)}
        case 4:
            return f"owner IN @{name}", {name: rng.sample(OWNERS, 2)}
        case 5:
            return f"doc.place.city == @{name}", {name: rng.choice(("rome", "oslo"))}
        case 6:
            return "doc.rank % 3 == 0", {}
        case _:
            return f"doc._key < @{name}", {name: f"k{rng.randrange(60):02}"}


def draw_body(rng: random.Random) -> dict[str, Any]:
    """Draw a document; any of its fields may be missing."""
    body: dict[str, Any] = {"owner": rng.choice(OWNERS), "state": rng.choice(STATES), "rank": rng.randrange(10)}
    body["place"] = {"city": rng.choice(("rome", "oslo")), "zip": rng.randrange(3)}
    body["text"] = "x" * rng.randrange(200)
    for name in list(body):
        if rng.random() < 0.05:
            del body[name]
    return body or {"rank": 0}


def expected(documents: dict[str, Documents], chosen: dict[str, Any], has_rest: bool) -> dict[str, Documents]:
    """Query the server's documents afresh for what a device has chosen."""
    found: dict[str, Documents] = {}
    for name, rows in documents.items():
        wish = chosen.get(name, "all" if has_rest else "nothing")
        if wish == "nothing":
            continue
        if wish in ("all", None):
            found[name] = rows
            continue
        text, binds = wish
        found[name] = {key: body for key, body in rows.items() if _matches(text, binds, {**body, "_key": key})}
    return {name: rows for name, rows in found.items() if rows}


def _matches(text: str, binds: dict[str, Any], document: dict[str, Any]) -> bool:
    """Ask a query about one document; one that it can't be worked out for does not match."""
    try:
        return bool(execute(f"FOR doc IN c FILTER {_qualified(text)} RETURN 1", {"c": [document]}, binds))
    except ps.QueryError:
        return False


def _qualified(text: str) -> str:
    return (
        text.replace("state ==", "doc.state ==")
        .replace("(owner IN", "(doc.owner IN")
        .replace("owner IN", "doc.owner IN")
        .replace("doc.doc.", "doc.")
    )


async def view_of(manager: ps.SyncManager) -> dict[str, Documents]:
    """Read everything that a device shows."""
    found = {}
    for name in await manager.list_collections():
        rows = await manager.query_documents(name)
        found[name] = {key: _bare(document) for key, document in rows}
    return {name: rows for name, rows in found.items() if rows}


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("_key", "_version", "_timestamp")}


async def documents_of(path: Path) -> dict[str, Documents]:
    """Read the server's documents from its file."""

    async def body(tx: Any) -> Any:
        return await tx.scan("docs")

    storage = await open_storage(path, engine="sqlite")
    rows = await storage.read(body)
    await storage.close()
    found: dict[str, Documents] = {}
    for _, text in rows:
        stored = loads(text)
        if stored.get("document") is not None:
            found.setdefault(stored["collection"], {})[stored["key"]] = stored["document"]
    return found


class Device:
    """A device: its manager, and what was chosen on it."""

    def __init__(self, name: str, manager: ps.SyncManager) -> None:
        self.name = name
        self.manager = manager
        self.chosen: dict[str, Any] = {}
        self.has_rest = True

    async def choose(self, rng: random.Random) -> None:
        """Choose another filter, or nothing, or everything, of a collection or of all."""
        name = rng.choice(COLLECTIONS)
        wish = draw_filter(rng)
        match rng.randrange(10):
            case 0:
                await self.manager.unsubscribe(name)
                self.chosen[name] = "nothing"
            case 1:
                filters = [(one, *(draw_filter(rng) or (None, None))) for one in COLLECTIONS if rng.random() < 0.7]
                await self.manager.set_collection_sync_filters(filters)
                self.chosen = {one: (text, binds) if text else None for one, text, binds in filters}
                self.has_rest = False
            case 2:
                await self.manager.set_collection_sync_filters(None)
                self.chosen, self.has_rest = {}, True
            case _:
                await self.manager.subscribe(name, *(wish or (None,)))
                self.chosen[name] = wish

    async def edit(self, rng: random.Random) -> None:
        """Save, change or delete a document, whether it is here or not."""
        collection, key = rng.choice(COLLECTIONS), f"k{rng.randrange(KEYS):02}"
        match rng.randrange(6):
            case 0:
                await self.manager.delete_document(collection, key)
            case 1 | 2:
                await self.manager.save_document(collection, key, draw_body(rng), replace=True)
            case _:
                body = draw_body(rng)
                names = rng.sample(sorted(body), min(2, len(body)))
                await self.manager.save_document(collection, key, {name: body[name] for name in names})


@dataclass
class Tally:
    """What a world did."""

    edits: int = 0
    filters: int = 0
    compared: int = 0
    restarts: int = 0
    mistakes: list[str] = field(default_factory=list)


async def play(seed: int, folder: Path) -> Tally:
    """Play a world in a folder, where it leaves the server's files."""
    rng = random.Random(seed)
    tally = Tally()
    server = ServerProcess(folder / "server").start()
    page = rng.choice((25, 200, 1000))
    devices = [await _opened(f"d{i}-{seed}-{id(folder)}", server.url, page) for i in range(DEVICES)]
    try:
        for batch in range(BATCHES):
            await _edit(rng, devices, tally)
            if batch % 3 == 2:
                await _restart(rng, server, devices)
                tally.restarts += 1
            await _settle(devices)
            await _compare(folder / "server" / "oracle.sqlite", devices, tally)
    finally:
        for device in devices:
            await device.manager.close()
        server.stop()
    return tally


async def _opened(name: str, url: str, page: int) -> Device:
    store = await ps.LocalStore.open(name, device_id=name, engine=ps.StorageEngine.MEMORY)
    config = ps.SyncConfig(database="oracle", auto_sync=False, page_size=page)
    manager = ps.SyncManager(store, ps.HttpClient(url, token=TOKEN, timeout_s=30.0), config)
    await manager.start()
    return Device(name, manager)


async def _edit(rng: random.Random, devices: list[Device], tally: Tally) -> None:
    """Edit and choose, here and there with a sync between."""
    chosen = set(rng.sample(range(EDITS), CHOICES))
    for i in range(EDITS):
        device = rng.choice(devices)
        await device.edit(rng)
        if i in chosen:
            await device.choose(rng)
        if rng.random() < 0.02:
            await device.manager.sync_now()
    tally.edits += EDITS
    tally.filters += CHOICES


async def _restart(rng: random.Random, server: ServerProcess, devices: list[Device]) -> None:
    """End the server, gracefully or not, while devices sync, and start it again."""
    syncs = [asyncio.ensure_future(device.manager.sync_now()) for device in rng.sample(devices, 3)]
    await asyncio.sleep(rng.random() * 0.05)
    await asyncio.to_thread(rng.choice((server.stop, server.kill)))
    await asyncio.to_thread(server.start)
    await asyncio.gather(*syncs)


async def _settle(devices: list[Device]) -> None:
    """Sync all, until nobody has anything to send."""
    for _ in range(8):
        results = [await device.manager.sync_now() for device in devices]
        assert all(result.success for result in results), [result.errors for result in results]
        if not any(result.pushed or result.conflicts for result in results):
            return
    raise AssertionError("the devices don't come to rest")


async def _compare(path: Path, devices: list[Device], tally: Tally) -> None:
    truth = await documents_of(path)
    for device in devices:
        view, wanted = await view_of(device.manager), expected(truth, device.chosen, device.has_rest)
        tally.compared += 1
        if view != wanted:
            tally.mistakes.append(f"{device.name} {device.chosen} {device.has_rest}: {_differences(view, wanted)}")


def _differences(view: dict[str, Documents], wanted: dict[str, Documents]) -> list[Any]:
    """List what two views have differently."""
    names = [(name, key) for name in {*view, *wanted} for key in {*view.get(name, {}), *wanted.get(name, {})}]
    both = [(name, view.get(name[0], {}).get(name[1]), wanted.get(name[0], {}).get(name[1])) for name in names]
    return [row for row in both if row[1] != row[2]]
