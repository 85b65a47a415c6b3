"""What can happen to an SQLite file, and what is said then. Formats, paths, other processes, a full disk, damage."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pysync_web.errors import (
    CorruptData,
    DatabaseLocked,
    FormatTooNew,
    InvalidDocument,
    QuotaExceeded,
    StorageError,
    StorageReset,
)
from pysync_web.storage import open_storage, sqlite
from pysync_web.storage.locks import FileLock
from pysync_web.values import loads
from tests.conformance.storage import SPACE, delete_in, get, increment, put, put_all, scan, until

pytestmark = pytest.mark.native

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
MODES = pytest.mark.parametrize("threaded", [False, True], ids=["inline", "threaded"])


@pytest.fixture
def path(tmp_path):
    """Where the test's database is."""
    return tmp_path / "test.db"


async def open_file(path, **options):
    """Open a database file."""
    return await open_storage(path, engine="sqlite", **options)


def raw(path):
    """Open a database file without us."""
    return sqlite3.connect(path, isolation_level=None)


# Formats


@MODES
@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_an_older_format_is_migrated(path, version, threaded):
    connection = raw(path)
    connection.executescript((FOLDER / f"sqlite_format_{version}.sql").read_text("utf-8"))
    connection.close()
    for _ in range(2):
        storage = await open_file(path, threaded=threaded)
        assert [key[1] for key, _ in await scan(storage, ("notes",), space="docs")] == [
            f"n{n:02d}" for n in range(12) if n != 3
        ]
        assert await get(storage, ("notes", "n04"), space="docs") == '"changed"'
        assert await scan(storage, space="outbox") == [((0,), '{"op":1}'), ((1,), '{"op":2}')]
        assert await get(storage, (2**60, "é"), space="big") == "[1.0,9007199254740993]"
        await increment(storage)
        await storage.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    connection = raw(path)
    connection.executescript((FOLDER / "sqlite_format_1.sql").read_text("utf-8"))
    before = list(connection.iterdump())
    connection.close()
    broken = {**sqlite._FORMATS, 3: (*sqlite._FORMATS[3], "INSERT INTO nowhere VALUES (1)")}
    monkeypatch.setattr(sqlite, "_FORMATS", broken)
    with pytest.raises(StorageError, match="nowhere"):
        await open_file(path)
    monkeypatch.undo()
    connection = raw(path)
    assert list(connection.iterdump()) == before
    connection.close()
    storage = await open_file(path)
    assert len(await scan(storage, space="docs")) == 11
    await storage.close()


@MODES
async def test_a_file_of_a_newer_format_is_refused_with_both_numbers(path, threaded):
    await (await open_file(path)).close()
    connection = raw(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FormatTooNew, match=rf"format 99.*up to {sqlite.FORMAT}"):
        await open_file(path, threaded=threaded)


async def test_a_database_of_another_application_is_refused_and_left_alone(path):
    connection = raw(path)
    connection.execute("CREATE TABLE accounts (balance)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another application"):
        await open_file(path)
    assert path.read_bytes() == before


# Paths


@MODES
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is a folder"),
        ("missing/test.db", "missing does not exist"),
        ("file/test.db", "file is a file, not a folder"),
        ("x" * 300, "can't be opened: File name too long"),
    ],
)
async def test_a_path_that_cant_be_a_database_is_told_in_words(tmp_path, name, words, threaded):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=words):
        await open_file(tmp_path / name, threaded=threaded)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cant_be_written_is_told_in_words(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permissions"):
        await open_file(tmp_path / "test.db")


async def test_an_unknown_engine_is_told(path):
    with pytest.raises(StorageError, match="choose memory, sqlite or indexeddb"):
        await open_storage(path, engine="paper")


@MODES
async def test_a_file_that_was_deleted_or_replaced_is_told(path, threaded):
    storage = await open_file(path, threaded=threaded)
    await increment(storage)
    path.unlink()
    with pytest.raises(StorageReset, match="deleted"):
        await increment(storage)
    with pytest.raises(StorageReset, match="deleted"):
        await storage.usage()
    path.touch()
    with pytest.raises(StorageReset, match="replaced"):
        await increment(storage)
    await storage.close()


@MODES
async def test_who_watches_a_file_is_called_once_when_it_is_gone_and_reads_why(path, threaded):
    storage = await open_file(path, threaded=threaded)
    told = []
    storage.watch(told.append)
    await increment(storage)
    path.rename(f"{path}.away")
    await until(lambda: has_some(told))
    with pytest.raises(StorageReset, match="deleted"):
        await get(storage, ("count",))
    await asyncio.sleep(0.3)
    assert told == [None]
    Path(f"{path}.away").rename(path)
    assert await get(storage, ("count",)) == "1"
    await storage.close()


async def has_some(told):
    """Tell whether anything was told."""
    return bool(told)


@MODES
async def test_a_folder_that_became_a_file_is_told(tmp_path, threaded):
    folder = tmp_path / "folder"
    folder.mkdir()
    storage = await open_file(folder / "test.db", threaded=threaded)
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    for use in (increment(storage), storage.usage(), storage.compact()):
        with pytest.raises(StorageReset, match="deleted or replaced"):
            await use
    await storage.close()


# Damage, a full disk, a held lock


@MODES
@pytest.mark.parametrize("damage", ["no database at all", "a damaged page"])
async def test_damage_is_told(path, damage, threaded):
    storage = await open_file(path)
    await put_all(storage, {("k", n): '"' + "x" * 300 + '"' for n in range(1000)})
    await storage.close()
    content = bytearray(path.read_bytes())
    if damage == "no database at all":
        content[:100] = b"x" * 100
    else:
        content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(CorruptData):
        storage = await open_file(path, threaded=threaded)
        try:
            await scan(storage)
        finally:
            await storage.close()


@MODES
async def test_a_damaged_record_is_told_with_the_file_and_the_others_can_be_read(path, threaded):
    storage = await open_file(path, threaded=threaded)
    await put_all(storage, {("k", 1): "[1,", ("k", 2): "[2]"})

    async def parsed(tx, key):
        return loads(await tx.get(SPACE, ("k", key)))

    told = f"{re.escape(str(path))}: a stored record can't be read: Expecting .* in '\\[1,'"
    for run in (storage.read, storage.write):
        with pytest.raises(CorruptData, match=told):
            await run(lambda tx: parsed(tx, 1))
    assert await storage.read(lambda tx: parsed(tx, 2)) == [2]
    await storage.close()


async def test_a_full_disk_refuses_a_write_and_keeps_what_was_there(path):
    storage = await open_file(path)
    await put_all(storage, {("k", n): '"' + "x" * 300 + '"' for n in range(100)})
    fill_disk(storage._file)
    with pytest.raises(QuotaExceeded, match="disk is full"):
        await put_all(storage, {("more", n): '"' + "x" * 300 + '"' for n in range(3000)})
    assert len(await scan(storage)) == 100
    await storage.write(lambda tx: delete_in(tx, ("k", 5)))
    await put(storage, ("small",), "1")
    assert len(await scan(storage)) == 100
    await storage.close()


async def test_a_full_disk_harms_only_the_writes_that_are_too_large(path, monkeypatch):
    files = []
    begin = sqlite.DatabaseFile.__init__
    monkeypatch.setattr(
        sqlite.DatabaseFile, "__init__", lambda self, *a, **k: (begin(self, *a, **k), files.append(self))[0]
    )
    storage = await open_file(path, threaded=True)
    await put_all(storage, {("k", n): '"' + "x" * 300 + '"' for n in range(100)})

    async def limit(tx):
        # The writing connection is used in its own thread only.
        files[0]._connection.execute(f"PRAGMA max_page_count = {pages(files[0]._connection) + 20}")

    await storage.write(limit)
    large = {("more", n): '"' + "x" * 300 + '"' for n in range(3000)}
    work = [increment(storage), put_all(storage, large), increment(storage), increment(storage)]
    results = await asyncio.gather(*work, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), QuotaExceeded, type(None), type(None)]
    assert await get(storage, ("count",)) == "3"
    await storage.close()


def fill_disk(file):
    """Let a database file grow by a few pages only."""
    connection = file._connection
    connection.execute(f"PRAGMA max_page_count = {pages(connection) + 20}")


def pages(connection):
    """Give how many pages a database has."""
    return connection.execute("PRAGMA page_count").fetchone()[0]


@MODES
async def test_a_file_that_another_program_holds_is_told_after_a_while(path, threaded):
    storage = await open_file(path, threaded=threaded, busy_timeout_s=0.2)
    other = raw(path)
    other.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    with pytest.raises(DatabaseLocked, match="another process"):
        await increment(storage)
    assert 0.15 < time.monotonic() - begin < 3
    other.execute("ROLLBACK")
    other.close()
    await increment(storage)
    await storage.close()


async def test_writes_that_wait_for_a_turn_together_are_all_told_at_once(path, monkeypatch):
    waits = []
    wait = FileLock._wait
    monkeypatch.setattr(FileLock, "_wait", lambda self, timeout_s: waits.append(timeout_s) or wait(self, timeout_s))
    storage = await open_file(path, threaded=True, busy_timeout_s=0.3)
    with FileLock(Path(f"{path}-turn")).held(1):
        results = await asyncio.gather(*(increment(storage) for _ in range(20)), return_exceptions=True)
        await storage.close()
    assert {type(result) for result in results} == {DatabaseLocked}
    assert len(waits) <= 3  # the first alone, those that came meanwhile, and the close


async def test_a_turn_that_another_process_does_not_end_is_told_after_a_while(path):
    storage = await open_file(path, busy_timeout_s=0.2)
    with storage._file._turn.__class__(storage._file._turn.path).held(1):
        with pytest.raises(DatabaseLocked, match="another process"):
            await increment(storage)
        await storage.close()


async def test_a_text_that_is_no_unicode_is_refused(path):
    storage = await open_file(path)
    with pytest.raises(InvalidDocument, match="surrogate"):
        await put(storage, ("a",), '"\ud800"')
    assert await scan(storage) == []
    await storage.close()


# Durability


@MODES
@pytest.mark.parametrize(("durability", "wanted"), [("strict", 2), ("relaxed", 1)])
async def test_durability_is_as_it_was_asked_for(path, threaded, durability, wanted):
    seen = []
    storage = await open_file(path, threaded=threaded, durability=durability)

    async def level(tx):
        seen.append(tx._execute("PRAGMA synchronous").fetchone()[0])

    await storage.write(level)
    await storage.write(level, relaxed=True)
    await storage.write(level)
    assert seen == [wanted, 1, wanted]
    await storage.close()


WRITER = textwrap.dedent("""
    import asyncio, sys
    from pysync_web.storage import open_storage
    from tests.conformance.storage import increment

    async def main():
        storage = await open_storage(sys.argv[1], engine="sqlite", threaded=sys.argv[2] == "threaded")
        if sys.argv[3] == "lead":
            await storage.lead(lambda: None)
            print("leading", flush=True)
        n = 0
        while sys.argv[3] == "lead" or n < int(sys.argv[3]):
            await increment(storage)
            n += 1
            print(n, flush=True)
        await storage.close()

    asyncio.run(main())
""")


def start_writer(path, mode, work):
    """Start a process that increments a count, and prints each number when it is durable."""
    command = [sys.executable, "-c", WRITER, str(path), mode, str(work)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("mode", ["inline", "threaded"])
async def test_what_a_killed_process_had_acknowledged_is_there(path, mode):
    known = 0
    for round_number in range(5):
        process = start_writer(path, mode, "lead")
        assert process.stdout.readline() == "leading\n"
        time.sleep(0.05 * round_number)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()
        storage = await open_file(path)
        count = int(await get(storage, ("count",)) or "0")
        await storage.close()
        assert known + len(said) <= count <= known + len(said) + 1
        known = count
    assert known > 20


# Other processes


async def test_600_increments_by_three_processes_all_count(path):
    processes = [start_writer(path, mode, 200) for mode in ("inline", "threaded", "inline")]
    for process in processes:
        await asyncio.to_thread(process.communicate)
        assert process.returncode == 0
    storage = await open_file(path)
    assert await get(storage, ("count",)) == "600"
    await storage.close()


@MODES
async def test_another_process_is_heard(path, threaded):
    storage = await open_file(path, threaded=threaded)
    told = []
    storage.watch(told.append)
    process = start_writer(path, "inline", 3)
    await asyncio.to_thread(process.communicate)
    await until(lambda: holds(told, 3))
    assert told == [[(SPACE, ("count",))]] * 3
    await storage.close()


async def holds(told, count):
    """Say whether so much was told."""
    return len(told) >= count


async def test_changes_that_are_no_longer_listed_are_told_as_unknown(path, monkeypatch):
    storage, other = await open_file(path), await open_file(path)
    told = []
    storage.watch(told.append)
    for _ in range(400):
        await increment(other)
    await until(lambda: holds(told, 1))
    assert told == [None]
    await increment(other)
    await until(lambda: holds(told, 2))
    assert told[1] == [(SPACE, ("count",))]
    await storage.close()
    await other.close()


async def test_leadership_passes_on_when_its_process_is_killed(path):
    process = start_writer(path, "inline", "lead")
    assert process.stdout.readline() == "leading\n"
    storage = await open_file(path)
    leading = asyncio.ensure_future(storage.lead(lambda: None))
    await asyncio.sleep(0.2)
    assert not leading.done()
    process.kill()
    process.communicate()
    (await asyncio.wait_for(leading, 5))()
    await storage.close()


# The thread


async def test_writes_that_wait_share_a_commit(path):
    storage = await open_file(path, threaded=True)
    await asyncio.gather(*(increment(storage) for _ in range(200)))
    assert await get(storage, ("count",)) == "200"
    await storage.close()
    connection = raw(path)
    (commits,) = connection.execute("SELECT max(id) FROM changes").fetchone()
    connection.close()
    assert commits < 100


async def test_the_event_loop_goes_on_while_the_disk_is_waited_for(path):
    storage = await open_file(path, threaded=True)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.ensure_future(tick())
    for _ in range(20):
        await increment(storage)
    ticking.cancel()
    assert ticks > 40
    await storage.close()


async def test_a_handle_serves_several_event_loops(path):
    storage = await open_file(path, threaded=True)

    def elsewhere():
        asyncio.run(many())

    async def many():
        await asyncio.gather(*(increment(storage) for _ in range(50)))

    await asyncio.gather(many(), *(asyncio.to_thread(elsewhere) for _ in range(3)))
    assert await get(storage, ("count",)) == "200"
    await storage.close()
