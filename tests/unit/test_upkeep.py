"""What a server does by itself, with real files and a real process."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
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
        done = command("compact", "--data", str(data))
        assert (done.returncode, compacted(done)) == (0, ["db", "large"])
        store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
        config = ps.SyncConfig(database="db", auto_sync=False)
        async with ps.SyncManager(store, ps.HttpClient(server.url, token=TOKEN), config) as device:
            assert (await device.sync_now()).success
            assert [key for key, _ in await device.query_documents("notes")] == ["stays"]
            await device.delete_document("notes", "stays")
            assert (await device.sync_now()).success


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize(
    ("days", "left"), [(200, ["expires", "gone", "gone2", "stays"]), (50, ["expires", "stays"])]
)
async def test_options_count_on_either_side_of_the_command(
    tmp_path: Path, is_before: bool, days: int, left: list[str]
):
    databases = Databases(tmp_path / "data")
    await fill(databases, "db")
    await databases.close()
    options = ["--data", str(tmp_path / "data"), "--tombstone-retention-days", str(days)]
    elsewhere = {"PYSYNC_DATA": str(tmp_path / "no"), "PYSYNC_TOMBSTONE_RETENTION_DAYS": "1", "PYSYNC_PORT": "1"}
    done = command(*(*options, "compact") if is_before else ("compact", *options), **elsewhere)
    assert (done.returncode, compacted(done)) == (0, ["db"])
    assert await keys(databases, "db") == left
    await databases.close()


async def test_of_two_options_the_one_behind_the_command_counts_and_the_environment_comes_last(tmp_path: Path):
    databases = Databases(tmp_path / "data")
    await exchange(databases, "db")
    await databases.close()
    data, no = str(tmp_path / "data"), str(tmp_path / "no")
    assert compacted(command("--data", no, "compact", "--data", data)) == ["db"]
    assert compacted(command("compact", PYSYNC_DATA=data)) == ["db"]


def test_an_option_that_is_none_of_the_command_s_is_refused(tmp_path: Path):
    done = command("--port", "1", "--max-body", "9", "--data", str(tmp_path), "compact")
    assert (done.returncode, done.stdout) == (2, "")
    assert "compact does not take --max-body, --port" in done.stderr


@pytest.mark.parametrize("options", [("compact", "--tombstone-retention-days"), ("--tombstone-retention-days",)])
def test_a_retention_time_that_can_not_be_is_refused_in_a_sentence(tmp_path: Path, options: tuple[str, ...]):
    done = command("--data", str(tmp_path / "data"), *options, "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value: retention_days: the retention time is over 0 days" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_none_is_not_compacted(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for name, why in (("no", "No such file or directory"), ("file", "it is a file")):
        done = command("compact", "--data", str(tmp_path / name))
        said = f"{tmp_path / name} can't be the folder for the databases: {why}\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_folder_is_said_to_hold_no_database(tmp_path: Path):
    done = command("compact", "--data", str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"There is no database in {tmp_path}.\n", "")


async def test_the_command_goes_on_after_a_bad_file_and_passes_over_strays(tmp_path: Path):
    databases = Databases(tmp_path)
    for name in ("Good", "torn", "zoo"):
        await exchange(databases, name)
    await databases.close()
    (tmp_path / "a.sqlite").write_text("no database at all, " * 100)
    with closing(sqlite3.connect(tmp_path / "torn.sqlite")) as file:
        file.execute("UPDATE records SET text = '[1'")
        file.commit()
    strays = [tmp_path / f"{name}.sqlite" for name in ("", "++", "Backup")]
    for stray in strays:
        shutil.copy(tmp_path / "zoo.sqlite", stray)
    before = [stray.read_bytes() for stray in strays]
    done = command("compact", "--data", str(tmp_path))
    assert (done.returncode, compacted(done)) == (1, ["Good", "zoo"])
    first, second = done.stderr.splitlines()
    assert first.startswith(f"a: {tmp_path / 'a.sqlite'} is damaged or no SQLite database")
    assert second.startswith("torn: ")
    assert [stray.read_bytes() for stray in strays] == before
    assert not (tmp_path / "+backup.sqlite").exists()


def command(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the server's command until it ends by itself, with no other of its variables in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSYNC_")}
    environment |= {"COLUMNS": "200", "NO_COLOR": "1"} | variables
    line = [sys.executable, "-m", "pysync_web.server", *options]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, env=environment)


def compacted(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Name the databases that a command says it has compacted."""
    return [line.partition(":")[0] for line in done.stdout.splitlines() if line.endswith(" after")]


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
