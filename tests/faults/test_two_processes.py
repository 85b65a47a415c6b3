"""Native devices under faults: processes that share a file, killed ones, restored and cloned files, servers that go.

Every process is a real one, every kill is SIGKILL, every file is real.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import pysync_web as ps
from tests.devices import agreed, body_of, eventually, held_by, open_here, open_in, status_of, sync
from tests.faults.program import Program
from tests.unit.server_process import ServerProcess

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

OpenProgram = Callable[..., Awaitable[Program]]
OpenHere = Callable[..., Awaitable[ps.SyncManager]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(tmp_path / "server").start()
    yield started
    started.stop()


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[OpenProgram]:
    """Starts processes with a database open as ``db``: the same file for all unless told otherwise."""
    started: list[Program] = []

    async def start(
        server: ServerProcess | None = None, path: Path = tmp_path / "shared.sqlite", **options: object
    ) -> Program:
        started.append(await Program().start())
        await open_in(started[-1], server, path, **options)
        return started[-1]

    yield start
    for one in started:
        await one.kill()


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[OpenHere]:
    """Opens databases in this process."""
    opened: list[ps.SyncManager] = []
    numbers = itertools.count()

    async def open_one(server: ServerProcess | None = None, path: Path | None = None, **options: object):
        path = path or tmp_path / f"device-{next(numbers)}.sqlite"
        opened.append(await open_here(path, server, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


# Two processes on one file

INCREMENT = """
def increment(document):
    return {"n": (document or {"n": 0})["n"] + 1}

for _ in range(times):
    await db.update_document("counts", "c", increment)
await asyncio.gather(*(db.update_document("counts", "c", increment) for _ in range(times)))
"""


async def test_of_600_increments_by_two_processes_none_is_lost(program: OpenProgram, server: ServerProcess):
    one, two = await program(server), await program(server)
    await asyncio.gather(one.python(INCREMENT, times=150), two.python(INCREMENT, times=150))
    for each in (one, two):
        assert body_of((await held_by(each))["counts/c"]) == {"n": 600}
    found = await agreed(server, one, two)
    assert body_of(found["counts/c"]) == {"n": 600}


async def test_a_process_hears_what_another_one_wrote(program: OpenProgram):
    one, two = await program(), await program()
    await two.python("""
        heard = []
        stop = db.on_change(lambda change: heard.append([change.change_type, change.key, change.document]))
        """)
    await one.python("await db.save_document('notes', 'a', {'n': 1})")
    ((kind, key, document),) = await eventually(lambda: two.python("heard"))
    assert (kind, key, document["n"]) == ("LocalUpdate", "a", 1)
    await two.python("heard.clear()")
    await one.python("await db.delete_document('notes', 'a')")
    ((kind, key, document),) = await eventually(lambda: two.python("heard"))
    assert (kind, key, document) == ("LocalDelete", "a", None)
    await two.python("stop(); heard.clear()")
    await one.python("await db.save_documents('notes', {f'k{n}': {'n': n} for n in range(3000)})")
    await eventually(lambda: two.python("(await db.list_documents('notes'))[1] == 3000"))
    assert await two.python("heard") == []


async def test_one_process_syncs_and_the_other_takes_over_when_it_is_killed(
    program: OpenProgram, server: ServerProcess
):
    one, two = await program(server), await program(server)
    leader, follower = await leading(one, two)
    await follower.python("await db.save_document('notes', 'before', {})")
    await eventually(lambda: has(server, "notes/before"))
    assert (await status_of(follower))["state"] == "following"
    await leader.python("db.pause_sync(); await db.save_document('notes', 'during', {})")
    await leader.kill()
    await eventually(lambda: leads(follower))
    await eventually(lambda: has(server, "notes/during"))
    again = await program(server)
    await again.python("await db.save_document('notes', 'after', {})")
    await eventually(lambda: has(server, "notes/after"))
    assert await leads(follower) and not await leads(again)
    assert (await status_of(again))["storage_reset"] is None


async def test_processes_that_sync_at_the_same_time_stay_one_replica(program: OpenProgram, server: ServerProcess):
    one, two = await program(server, auto_sync=False), await program(server, auto_sync=False)
    busy = """
        results = []
        for n in range(25):
            await db.save_document("notes", f"{who}{n}", {"n": n})
            results.append(await db.sync_now())
        [error for result in results for error in result.errors]
        """
    errors = await asyncio.gather(one.python(busy, who="one"), two.python(busy, who="two"))
    assert errors == [[], []]
    found = await agreed(server, one, two)
    assert len(found) == 50
    assert len({name for document in found.values() for name in document["_version"]} - {"server"}) == 1
    assert (await status_of(one))["storage_reset"] is None


async def test_a_killed_process_leaves_all_that_it_acknowledged_and_no_half_of_a_pair(
    program: OpenProgram, server: ServerProcess, tmp_path: Path
):
    rng = random.Random(7)
    told = tmp_path / "told"
    for life in range(8):
        writer = await program(server)
        writing = asyncio.ensure_future(writer.python(WRITE_PAIRS, life=life, told=str(told)))
        await eventually(lambda life=life: is_written(told, f"{life} "))
        await asyncio.sleep(rng.uniform(0, 0.3))
        await writer.kill()
        await asyncio.gather(writing, return_exceptions=True)
    last = await program(server)
    found = await agreed(server, last)
    acknowledged = [line.split() for line in told.read_text().splitlines()]
    assert len(acknowledged) > 50
    for life, n in acknowledged:
        assert f"pairs/{life}-{n}-a" in found, (life, n)
    halves = {name[:-2] for name in found}
    assert len(found) == 2 * len(halves)


WRITE_PAIRS = """
import itertools
with open(told, "a", buffering=1) as file:
    for n in itertools.count():
        async with db.transaction() as t:
            await t.save_document("pairs", f"{life}-{n}-a", {"n": n})
            await t.save_document("pairs", f"{life}-{n}-b", {"n": n})
        print(life, n, file=file)
"""


async def is_written(path: Path, beginning: str) -> bool:
    """Tell whether a file has a line that begins so."""
    return path.exists() and any(line.startswith(beginning) for line in path.read_text().splitlines())


async def leading(one: Program, two: Program) -> tuple[Program, Program]:
    """Wait until one of two leads; give it and the other."""

    async def found() -> tuple[Program, Program] | None:
        state = (await leads(one), await leads(two))
        assert state != (True, True), "two lead"
        return {(True, False): (one, two), (False, True): (two, one)}.get(state)

    return await eventually(found)  # type: ignore[no-any-return]


async def leads(device: Program) -> bool:
    """Tell whether a process leads."""
    return bool((await status_of(device))["is_leader"])


async def has(server: ServerProcess, name: str) -> bool:
    """Tell whether a server has a document."""
    return name in await held_by(server)


# Restored and cloned files


async def test_a_file_restored_from_a_backup_loses_nothing_and_doubles_nothing(
    program: OpenProgram, server: ServerProcess, tmp_path: Path
):
    path, backup = tmp_path / "shared.sqlite", tmp_path / "backup.sqlite"
    device = await program(server, auto_sync=False)
    await device.python("await db.save_documents('notes', {f'synced{n}': {'n': n} for n in range(5)})")
    await sync(device)
    await device.python("await db.save_document('notes', 'waiting', {'text': 'before the backup'})")
    copy_database(path, backup)
    await device.python("await db.save_document('notes', 'synced0', {'after': True})")
    await device.python("await db.save_document('notes', 'after', {'text': 'after the backup'})")
    await sync(device)
    await device.python("await db.save_document('notes', 'unsent', {'text': 'lost with the file'})")
    await device.kill()
    restore_database(backup, path)

    restored = await program(server, auto_sync=False)
    assert "notes/after" not in await held_by(restored)
    await restored.python("await db.save_document('notes', 'synced0', {'restored': True})")
    await restored.python("await db.save_document('notes', 'new', {'text': 'after the restore'})")
    found = await agreed(server, restored)
    assert (await status_of(restored))["storage_reset"] == "restored"
    assert found.keys() == {f"notes/{name}" for name in ("waiting", "after", "new")} | {
        f"notes/synced{n}" for n in range(5)
    }
    assert body_of(found["notes/synced0"]) == {"n": 0, "after": True, "restored": True}
    assert await restored.python("(await db.lost_changes()) == []")
    original, *_ = found["notes/waiting"]["_version"]
    assert sum(original in document["_version"] for document in found.values()) == 7, "the copy is another replica"


async def test_a_clone_and_its_original_are_two_replicas_from_then_on(
    program: OpenProgram, server: ServerProcess, tmp_path: Path
):
    original = await program(server)
    await original.python("await db.save_document('notes', 'shared', {'a': 0, 'b': 0})")
    await agreed(server, original)
    await original.python("db.pause_sync()")
    await original.python("await db.save_document('notes', 'waiting', {'n': 1})")
    copy_database(tmp_path / "shared.sqlite", tmp_path / "clone.sqlite")
    await original.python("db.resume_sync()")
    clone = await program(server, tmp_path / "clone.sqlite")
    for _ in range(3):
        both = (original.python(WRITE_AS, who="a"), clone.python(WRITE_AS, who="b"))
        await asyncio.gather(*both)
    found = await agreed(server, original, clone)
    assert body_of(found["notes/shared"]) == {"a": 60, "b": 60}
    assert len(found) == 2 + 2 * 60
    resets = {(await status_of(one))["storage_reset"] for one in (original, clone)}
    assert "restored" in resets


WRITE_AS = """
for _ in range(20):
    own = await db.update_document("notes", "shared", lambda document: document | {who: document[who] + 1})
    await db.save_document("notes", f"{who}{own[who]}", {"by": who})
    await asyncio.sleep(0.005)
"""


def copy_database(path: Path, to: Path) -> None:
    """Copy a database that is open, as a backup program does."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def restore_database(backup: Path, path: Path) -> None:
    """Put a backup in a database's place."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, path)


# Servers that go


async def test_devices_that_write_while_their_server_comes_and_goes_agree_in_the_end(
    device: OpenHere, server: ServerProcess
):
    rng = random.Random(11)
    devices = [await device(server) for _ in range(3)]
    ended = asyncio.Event()
    writing = [asyncio.ensure_future(write_until(ended, one, f"d{i}")) for i, one in enumerate(devices)]
    for n in range(6):
        await asyncio.sleep(rng.uniform(0.1, 0.6))
        await asyncio.to_thread(server.kill if n % 2 else server.stop)
        await asyncio.sleep(rng.uniform(0, 0.3))
        await asyncio.to_thread(server.start)
        for one in devices:
            one.resume_sync()
    ended.set()
    counts = await asyncio.gather(*writing)
    found = await agreed(server, *devices)
    for i, n in enumerate(counts):
        own = {name for name in found if name.startswith(f"notes/d{i}-")}
        assert own == {f"notes/d{i}-{m}" for m in range(n) if m % 10 != 3}
    assert body_of(found["notes/shared"]) == {f"d{i}": n - 1 for i, n in enumerate(counts)}


async def write_until(ended: asyncio.Event, device: ps.SyncManager, name: str) -> int:
    """Save documents until told to end, and a field of a shared one each time; every tenth is deleted again."""
    for n in itertools.count():
        await device.save_document("notes", f"{name}-{n}", {"n": n, "by": name})
        await device.save_document("notes", "shared", {name: n})
        if n % 10 == 5:
            await device.delete_document("notes", f"{name}-{n - 2}")
        await asyncio.sleep(0.005)
        if ended.is_set() and n % 10 > 5:
            return n + 1
    raise AssertionError


async def test_a_server_restored_from_an_older_copy_is_given_back_what_it_lost(
    device: OpenHere, server: ServerProcess, tmp_path: Path
):
    one, two = await device(server, auto_sync=False), await device(server, auto_sync=False)
    await one.save_documents("notes", {f"old{n}": {"n": n} for n in range(20)})
    await agreed(server, one, two)
    server.stop()
    shutil.copytree(server.data, tmp_path / "older")
    server.start()
    await one.save_documents("notes", {f"new{n}": {"n": n} for n in range(20)})
    await one.save_document("notes", "old0", {"changed": True})
    await two.delete_document("notes", "old1")
    expected = await agreed(server, one, two)
    await two.save_document("notes", "unsent", {"n": 1})
    server.kill()
    shutil.rmtree(server.data)
    shutil.copytree(tmp_path / "older", server.data)
    server.start()

    found = await agreed(server, two, one)
    assert bodies(found) == bodies(expected) | {"notes/unsent": {"n": 1}}
    assert bodies(await held_by(await synced(device, server))) == bodies(found)
    for each in (one, two):
        assert (await each.status()).storage_reset is None and await each.lost_changes() == []


@pytest.mark.parametrize("options", [(), ("--max-body", "100000")], ids=["the usual limit", "a small limit"])
async def test_what_is_too_large_for_one_request_is_sent_in_parts(
    device: OpenHere, tmp_path: Path, options: tuple[str, ...]
):
    rng = random.Random(13)
    with ServerProcess(tmp_path / "strict-server", *options) as strict:
        writer = await device(strict)
        await writer.save_documents("notes", {f"k{n}": {"text": rng.randbytes(2500).hex()} for n in range(500)})
        async with writer.transaction() as t:
            for n in range(10):
                await t.save_document("pairs", f"p{n}", {"text": rng.randbytes(2500).hex()})
        found = await agreed(strict, writer)
        assert len(found) == 510 and (await writer.status()).blocked_by is None


async def synced(device: OpenHere, server: ServerProcess) -> ps.SyncManager:
    """Give a new device that has synced once."""
    new = await device(server, auto_sync=False)
    assert (await new.sync_now()).success
    return new


def bodies(documents: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Give the documents' own fields alone."""
    return {name: body_of(document) for name, document in documents.items()}
