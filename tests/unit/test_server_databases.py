"""A server's databases: opened when they are asked for, closed when nobody uses them, and never lost by it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from pysync_web.core.wire import Answer, decode_request
from pysync_web.errors import CorruptData
from pysync_web.server.databases import MOST_OPEN, Databases
from pysync_web.values import dumps, loads
from tests.conformance.transport import insert

pytestmark = pytest.mark.native

MANY = MOST_OPEN + 20


async def exchange(databases: Databases, name: str, *changes: dict[str, object]) -> Answer:
    """Send changes, or none, to one database."""
    message = {"client_id": "a", "version_vector": {}, "changes": list(changes)}
    async with databases.use(name) as hub:
        return await hub.exchange(decode_request(dumps(message), database=name), 1_000_000, random.Random(1))


@pytest.mark.parametrize("on_disk", [True, False])
async def test_a_database_that_was_closed_for_others_has_what_was_written(tmp_path: Path, on_disk: bool):
    databases = Databases(tmp_path if on_disk else None)
    threads = threading.active_count()
    for n in range(MANY):
        await exchange(databases, f"db{n}", insert("1", n=n))
    assert threading.active_count() - threads <= MOST_OPEN + 5
    for n in range(MANY):
        answer = await exchange(databases, f"db{n}")
        assert [loads(change)["document"] for change in answer.server_changes] == [{"n": n}]
    await databases.close()


async def test_a_database_in_use_stays_open_while_others_come_and_go(tmp_path: Path):
    databases = Databases(tmp_path)
    async with databases.use("mine") as hub:
        before = await hub.head()
        await asyncio.gather(*(exchange(databases, f"db{n}") for n in range(MANY)))
        assert await hub.head() == before
    await databases.close()


async def test_one_database_is_opened_once_however_many_ask(tmp_path: Path):
    databases = Databases(tmp_path)

    async def ask() -> object:
        async with databases.use("db") as hub:
            return hub

    assert len(set(await asyncio.gather(*(ask() for _ in range(20))))) == 1
    await databases.close()


async def test_only_files_that_a_name_leads_to_are_databases(tmp_path: Path):
    databases = Databases(tmp_path)
    names = ["Two", "a-B_c", "one"]
    for name in names:
        await exchange(databases, name, insert("1", n=1))
    await databases.close()
    for stray in ("Backup", "one copy", "+1", "++", "", "one+", "-x", "x" * 65):
        (tmp_path / f"{stray}.sqlite").write_bytes(b"")
    assert Databases(tmp_path).names(is_for_all=True) == names


async def test_a_database_whose_state_can_t_be_read_holds_nothing_open(tmp_path: Path):
    databases = Databases(tmp_path)
    await exchange(databases, "torn", insert("1", n=1))
    await databases.close()
    path = tmp_path / "torn.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE records SET text = '{' WHERE space = 'hub'")
    threads = threading.active_count()
    again = Databases(tmp_path)
    for _ in range(3):
        with pytest.raises(CorruptData, match=f"{path}: a stored record can't be read: Expecting .* in '{{'"):
            await exchange(again, "torn")
    while threading.active_count() > threads:  # noqa: ASYNC110 - a thread at its end tells nobody
        await asyncio.sleep(0.01)
    assert list(tmp_path.glob("*-wal")) == []
    await again.close()
