"""Devices sync through a plain REST API, a process of its own, with the very functions that the README shows."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from tests.devices import body_of
from tests.unit.test_readme import EXAMPLES, run

pytestmark = pytest.mark.native

SERVER = Path(__file__).with_name("rest_server.py")
PORT = "8000"


class Api:
    """The API as a process, which may be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = "0"

    def start(self) -> None:
        command = [sys.executable, str(SERVER), str(self.folder), self.port]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[None]:
        (self.folder / name).touch()
        yield
        (self.folder / name).unlink()

    def edit(self, key: str, item: dict[str, Any] | None, at: str = "2026-01-01T00:00:00Z") -> None:
        """Change an item behind the API's back."""
        text = None if item is None else json.dumps(item)
        with contextlib.closing(sqlite3.connect(self.folder / "items.sqlite")) as db, db:
            db.execute(
                "REPLACE INTO items SELECT ?, ?, coalesce(max(number), 0) + 1, ? FROM items", (key, text, at)
            )

    def items(self) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(self.folder / "items.sqlite")) as db:
            rows = db.execute("SELECT id, item FROM items WHERE item IS NOT NULL").fetchall()
        return {key: json.loads(item) for key, item in rows}

    def writes(self) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "items.sqlite")) as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM items").fetchone()[0])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def functions(api: Api) -> AsyncIterator[dict[str, Any]]:
    """The functions of the README's example, for this API."""
    names: dict[str, Any] = {}
    source = EXAMPLES["backend"].replace(PORT, api.port).rpartition("asyncio.run")[0]
    exec(source, names)
    yield names
    await names["api"].aclose()


async def opened(functions: dict[str, Any], path: Path) -> ps.SyncManager:
    client = ps.CallbackTransport(functions["push"], functions["pull"])
    return await ps.open(str(path), server=client, auto_sync=False)


async def items(device: ps.SyncManager) -> dict[str, Any]:
    return {key: body_of(document) for key, document in await device.query_documents("items")}


async def agree(api: Api, *devices: ps.SyncManager) -> dict[str, Any]:
    for device in (*devices, *devices):
        result = await device.sync_now()
        assert result.success, result.errors
    held = api.items()
    for device in devices:
        assert await items(device) == held
        assert (await device.status()).pending == 0
    return held


def test_the_readme_s_example_runs(api: Api, tmp_path: Path):
    said = run(tmp_path, EXAMPLES["backend"].replace(PORT, api.port))
    assert "'price': 3" in said
    assert api.items() == {"tea": {"price": 3}}


async def test_two_devices_and_edits_by_other_means_come_to_agree(functions: dict[str, Any], api: Api):
    one = await opened(functions, api.folder / "one.db")
    two = await opened(functions, api.folder / "two.db")
    async with one, two:
        await one.save_document("items", "tea", {"price": 3, "stock": {"shop": 1}})
        await two.save_document("items", "tea", {"name": "Tea"})
        await two.save_document("items", "milk", {"price": 1})
        assert await agree(api, one, two) == {
            "tea": {"price": 3, "stock": {"shop": 1}, "name": "Tea"},
            "milk": {"price": 1},
        }
        await one.save_document("items", "tea", {"stock": {"shop": 0}})
        await two.delete_document("items", "milk")
        api.edit("tea", {"price": 4, "stock": {"shop": 1}, "name": "Tea"})
        api.edit("salt", {"price": 2})
        assert await agree(api, one, two) == {
            "tea": {"price": 4, "stock": {"shop": 0}, "name": "Tea"},
            "salt": {"price": 2},
        }
        api.edit("salt", None)
        assert "salt" not in await agree(api, one, two)
        writes = api.writes()
        await agree(api, one, two)
        assert api.writes() == writes, "nothing goes to and fro"


async def test_what_the_api_refuses_is_in_the_ledger(functions: dict[str, Any], api: Api):
    async with await opened(functions, api.folder / "one.db") as device:
        await device.save_document("items", "tea", {"price": 3})
        await agree(api, device)
        await device.save_document("items", "tea", {"price": -1})
        result = await device.sync_now()
        assert result.rejected == 1 and "not negative" in result.errors[0]
        assert await agree(api, device) == {"tea": {"price": 3}}
        (entry,) = await device.lost_changes()
        assert (entry.kind, entry.body) == ("rejected", {"price": -1})


async def test_failures_and_restarts_of_both_sides_lose_nothing_and_write_nothing_twice(
    functions: dict[str, Any], api: Api
):
    path = api.folder / "one.db"
    async with await opened(functions, path) as device:
        await device.save_documents("items", {str(i): {"i": i} for i in range(10)})
        with api.fault("broken"):
            result = await device.sync_now()
            assert not result.success and "503" in result.errors[0]
        with api.fault("mute"):
            assert not (await device.sync_now()).success, "the first item arrives, and no answer"
        assert (await device.status()).pending == 10
    api.kill()
    async with await opened(functions, path) as device:
        await device.save_document("items", "0", {"more": 1})
        assert not (await device.sync_now()).success
        api.start()
        assert await agree(api, device) == {str(i): {"i": i, **({"more": 1} if i == 0 else {})} for i in range(10)}
        assert await device.lost_changes() == []
        assert api.writes() == 11


async def test_pages_and_many_items(functions: dict[str, Any], api: Api):
    one = await opened(functions, api.folder / "one.db")
    two = await opened(functions, api.folder / "two.db")
    async with one, two:
        await one.save_documents("items", {f"{i:03}": {"i": i} for i in range(130)})
        assert len(await agree(api, one, two)) == 130
