"""What a server does by itself, with real files and a real process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import pysync_web as ps
from pysync_web.core.tending import Tended
from pysync_web.errors import SchemaError
from pysync_web.server.config import Config
from pysync_web.server.databases import MOST_OPEN, Databases
from pysync_web.server.upkeep import DAY_MS, Upkeep
from pysync_web.transport.local import LocalTransport, now_ms
from tests.unit.server_process import TOKEN, ServerProcess
from tests.unit.test_server_databases import exchange

pytestmark = pytest.mark.native


async def fill(databases: Databases, name: str) -> None:
    """Give a database a document that expires, and one that was deleted long ago."""
    async with databases.use(name) as hub:
        store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(auto_sync=False)
        old = LocalTransport(hub, clock=lambda: now_ms() - 100 * DAY_MS)
        async with ps.SyncManager(store, old, config) as device:
            for key in ("gone", "gone2"):
                await device.save_document("notes", key, {"text": "x" * 1000})
            await device.set_ttl("notes", "at", 0)
            await device.save_document("notes", "expires", {"at": 0})
            await device.save_document("notes", "stays", {"n": 1})
            assert (await device.sync_now()).success
            await device.delete_document("notes", "gone")
            await device.delete_document("notes", "gone2")
            assert (await device.sync_now()).success


async def keys(databases: Databases, name: str) -> list[str]:
    """Name the notes of a database, deleted ones too."""
    async with databases.use(name) as hub:
        rows = await hub._storage.read(lambda tx: tx.scan("docs", ("notes",)))
        return [str(key[1]) for key, _ in rows]


@pytest.mark.parametrize("on_disk", [True, False])
async def test_a_turn_tends_open_databases_and_now_and_then_all(tmp_path: Path, on_disk: bool):
    databases = Databases(tmp_path if on_disk else None)
    names = ["one", "Two", "THREE-x_y"]
    for name in names:
        await fill(databases, name)
    upkeep = Upkeep(databases, 90)
    if on_disk:
        await databases.forget("Two")
    assert databases.names(is_for_all=True) == sorted(names)
    await upkeep.turn(is_for_all=False)
    tended = [name for name in names if name != "Two" or not on_disk]
    assert databases.names(is_for_all=False) == sorted(tended)
    for name in tended:
        assert await keys(databases, name) == ["expires", "stays"]
    if on_disk:
        await upkeep.turn(is_for_all=True)
        assert "Two" not in databases.names(is_for_all=False)
    assert await keys(databases, "Two") == ["expires", "stays"]
    assert await upkeep.tend("Two") == Tended()
    await databases.close()


async def test_upkeep_begins_and_ends_with_the_server_and_keeps_few_databases_open(tmp_path: Path):
    databases = Databases(tmp_path)
    for n in range(MOST_OPEN + 10):
        await exchange(databases, f"db{n}")
    await databases.close()
    databases = Databases(tmp_path)
    await Upkeep(databases, 90).turn(is_for_all=True)
    assert databases.names(is_for_all=False) == []
    upkeep = Upkeep(databases, 90)
    upkeep.start()
    await upkeep.stop()
    await databases.close()


async def test_a_database_that_can_not_be_tended_keeps_no_other_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    databases = Databases(tmp_path)
    await fill(databases, "good")
    (tmp_path / "bad.sqlite").write_text("no database at all, " * 100)
    await Upkeep(databases, 90).turn(is_for_all=True)
    assert await keys(databases, "good") == ["expires", "stays"]
    assert "upkeep of 'bad'" in caplog.text
    await databases.close()


async def test_who_watches_hears_of_what_expired(tmp_path: Path):
    databases = Databases(tmp_path)
    await fill(databases, "db")
    async with databases.use("db") as hub:
        heads: list[int] = []
        hub.watch(lambda head, touched: heads.append(head) if touched == {"notes"} else None)
        now = now_ms()
        await hub.tend(now, now - 90 * DAY_MS, random.SystemRandom())
        assert heads == [await hub.head()]
    await databases.close()


@pytest.mark.parametrize("days", [0, -1, float("nan"), 10**6])
def test_a_retention_time_is_over_nothing(days: float):
    with pytest.raises(SchemaError):
        Config(retention_days=days)


async def test_the_command_compacts_every_database_beside_a_running_server(tmp_path: Path):
    data = tmp_path / "data"
    databases = Databases(data)
    await fill(databases, "db")
    for n in range(500):
        await exchange(
            databases,
            "large",
            {"collection": "notes", "key": f"k{n}", "operation": "insert", "document": {"text": "x" * 2000}},
        )
    await databases.close()
    with ServerProcess(data, "--tombstone-retention-days", "30") as server:
        command = [sys.executable, "-m", "pysync_web.server", "compact", "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
        lines = done.stdout.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["db", "large"]
        store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(database="db", auto_sync=False)
        async with ps.SyncManager(store, ps.HttpClient(server.url, token=TOKEN), config) as device:
            assert (await device.sync_now()).success
            assert [key for key, _ in await device.query_documents("notes")] == ["stays"]
            await device.delete_document("notes", "stays")
            assert (await device.sync_now()).success


async def test_a_client_over_the_network_that_is_behind_pulls_again(tmp_path: Path):
    data = tmp_path / "data"
    databases = Databases(data)
    await fill(databases, "db")
    store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
    async with databases.use("db") as hub:
        device = ps.SyncManager(store, LocalTransport(hub), ps.SyncConfig(database="db", auto_sync=False))
        await device.start()
        assert (await device.sync_now()).success
        other = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        old = LocalTransport(hub, clock=lambda: now_ms() - 95 * DAY_MS)
        async with ps.SyncManager(other, old, ps.SyncConfig(database="db", auto_sync=False)) as second:
            await second.sync_now()
            await second.delete_document("notes", "stays")
            assert (await second.sync_now()).success
    await Upkeep(databases, 90).turn(is_for_all=False)
    await databases.close()
    await device.save_document("notes", "stays", {"mine": 1})
    await device.save_document("notes", "new", {"n": 1})
    with ServerProcess(data) as server:
        device._client = ps.HttpClient(server.url, token=TOKEN)
        assert (await device.sync_now()).success
        (entry,) = await device.ledger.list()
        assert (entry.kind, entry.key, entry.body) == ("purged", "stays", {"n": 1, "mine": 1})
        assert [key for key, _ in await device.query_documents("notes")] == ["new"]
        await device.close()


async def test_a_server_begins_with_what_is_due_in_all_its_databases(tmp_path: Path):
    data = tmp_path / "data"
    databases = Databases(data)
    await fill(databases, "db")
    await databases.close()
    with ServerProcess(data) as server:
        store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(database="db", auto_sync=False)
        async with ps.SyncManager(store, ps.HttpClient(server.url, token=TOKEN), config) as device:
            while (found := await device.query("FOR d IN notes RETURN d._key")) != ["stays"]:
                assert (await device.sync_now()).success, found
