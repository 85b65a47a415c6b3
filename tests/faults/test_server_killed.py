"""A server that is killed in the middle of pushes loses nothing that it acknowledged and applies nothing twice.

Eight writers push without a pause, each again with the same ``request_id`` until it is answered, while the
process is killed with SIGKILL fifty times.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pysync_web.errors import Unreachable
from pysync_web.transport.client import HttpClient
from tests.unit.server_process import ServerProcess

pytestmark = [pytest.mark.native, pytest.mark.timeout(600), pytest.mark.takes(40)]

KILLS = 50
WRITERS = 8
DATABASE = "killed"


@dataclass
class Writer:
    """Pushes documents of its own: in each request two new ones, and one that it writes again and again."""

    transport: HttpClient
    name: str
    n: int = 0
    fence: str | None = None
    retries: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)  # key of a document: its sequence

    async def write(self, ended: asyncio.Event) -> None:
        """Push until told to end, and what was begun to its end."""
        while not ended.is_set():
            await self.push()

    async def push(self) -> None:
        """Push three changes; send the very same text until there is an answer."""
        changes = [self.change(f"{self.name}-{self.n + 1}") for _ in range(2)]
        changes.append(self.change(f"{self.name}-steps"))
        answer = await self.until_answered(self.body(changes))
        assert [result["op_id"] for result in answer["results"]] == [change["op_id"] for change in changes]
        for change, result in zip(changes, answer["results"], strict=True):
            assert result["status"] == "applied", result
            self.acknowledged[change["key"]] = result["version_vector"]["server"]
        self.fence = answer["fence"]

    def change(self, key: str) -> dict[str, Any]:
        """Give the next change: a document that holds the change's number."""
        self.n += 1
        members = {"collection": "c", "key": key, "operation": "insert", "document": {"n": self.n}}
        base = {"server": self.acknowledged.get(key, 0)}
        return {**members, "op_id": f"{self.name}-{self.n}", "n": self.n, "base_version": base}

    def body(self, changes: list[dict[str, Any]]) -> str:
        """Give a request's text."""
        members: dict[str, Any] = {"protocol": 1, "database": DATABASE, "client_id": self.name, "limit": 1}
        members |= {"request_id": f"{self.name}-{self.n}", "changes": changes}
        return json.dumps(members | ({"fence": self.fence} if self.fence else {}))

    async def until_answered(self, body: str) -> Any:
        """Send a text until there is an answer to it."""
        while True:
            try:
                return json.loads(await self.transport.exchange(DATABASE, body))
            except Unreachable:
                self.retries += 1
                await asyncio.sleep(0.02)


async def test_a_killed_server_loses_nothing_and_applies_nothing_twice(tmp_path: Path):
    rng = random.Random(5)
    server = ServerProcess(tmp_path / "data").start()
    transport = HttpClient(server.url, token=server.token)
    writers = [Writer(transport, f"w{i}") for i in range(WRITERS)]
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write(ended))
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.01, 0.25))
            server.kill()
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.2)
        ended.set()
    documents = await everything(transport)
    await transport.close()
    server.stop()
    check(writers, documents)
    assert sum(writer.retries for writer in writers) >= KILLS / 2  # or no push was ever hit


async def everything(transport: HttpClient) -> dict[str, Any]:
    """Pull all documents, by their keys."""
    found: dict[str, Any] = {}
    cursor, has_more = 0, True
    while has_more:
        asked = {"database": DATABASE, "client_id": "reader", "version_vector": {"server": cursor}}
        answer = json.loads(await transport.exchange(DATABASE, json.dumps(asked)))
        for change in answer["server_changes"]:
            assert change["key"] not in found, "a document came twice"
            found[change["key"]] = change
        cursor, has_more = answer["server_version"]["server"], answer["has_more"]
    return found


def check(writers: list[Writer], documents: dict[str, Any]) -> None:
    """Every acknowledged change is there, at the sequence that was told; and each was applied once."""
    expected: dict[str, int] = {}
    for writer in writers:
        expected |= writer.acknowledged
    assert {key: change["version_vector"]["server"] for key, change in documents.items()} == expected
    for writer in writers:
        assert documents[f"{writer.name}-steps"]["document"] == {"n": writer.n}
    applied = sum(writer.n for writer in writers)
    assert max(expected.values()) == applied, "each change took one number, and none took two"
    counted = Counter(change["op_id"] for change in documents.values())
    assert set(counted.values()) == {1}
    print(f"{applied} changes, {sum(writer.retries for writer in writers)} requests sent again")
