"""Natively: our manager over SQLite beside plain ``sqlite3`` rows of JSON, with the same settings."""

from __future__ import annotations

import gc
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pysync_web as ps

from . import documents
from .report import Row

BULK, READS, SAVES, ALL = "bulk save of 10,000", "1,000 reads", "1,000 single saves", "read all 10,000"
TARGETS = {BULK: 2.5, READS: 3.0, SAVES: 2.0, ALL: 3.0}

DOCUMENTS = documents.make()
MORE = documents.make(documents.SAVES, seed=3)
KEYS = documents.some_keys(DOCUMENTS)


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure with both durabilities; within a round each side does each workload, one after the other.

    The targets are those of the default durability. Without the wait for the disk, what a save that can be synced
    writes besides the document (its place in the outbox, counters, word for other processes) weighs more.
    """
    rows = []
    for durability in ("strict", "relaxed"):
        synchronous = "FULL" if durability == "strict" else "NORMAL"
        group = f"native, {durability} (synchronous={synchronous})"
        rows_of_group = [
            Row(group, name, most if durability == "strict" else None) for name, most in TARGETS.items()
        ]
        of_group = {row.name: row for row in rows_of_group if wanted(row.name_in_full)}
        for number in range(rounds if of_group else 0):
            await _round(of_group, durability, is_ours_first=number % 2 == 0)
        rows += of_group.values()
    return rows


async def _round(rows: dict[str, Row], durability: str, *, is_ours_first: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides: list[Ours | Plain] = [await Ours.open(folder, durability), Plain(folder, durability)]
        for name in TARGETS:
            taken = [0.0, 0.0]
            for side in (0, 1) if is_ours_first else (1, 0):
                gc.collect()
                taken[side] = await _timed(sides[side].workloads[name])
            if name in rows:
                rows[name].add(*taken)
        for opened in sides:
            await opened.close()


async def _timed(workload: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await workload()
    return (time.perf_counter() - began) * 1000


class Ours:
    """The manager, without a server."""

    def __init__(self, manager: ps.SyncManager) -> None:
        self.manager = manager
        self.workloads = {BULK: self._bulk, READS: self._reads, SAVES: self._saves, ALL: self._all}

    @classmethod
    async def open(cls, folder: str, durability: Any) -> Ours:
        """Open a new database."""
        return cls(await ps.open(f"{folder}/ours.db", durability=durability))

    async def _bulk(self) -> None:
        await self.manager.save_documents("people", DOCUMENTS)

    async def _reads(self) -> None:
        get = self.manager.get_document
        for key in KEYS:
            assert await get("people", key)

    async def _saves(self) -> None:
        save = self.manager.save_document
        for key, document in MORE.items():
            await save("people", key, document)

    async def _all(self) -> None:
        assert len(await self.manager.query_documents("people")) == len(DOCUMENTS) + len(MORE)

    async def close(self) -> None:
        """Close the database."""
        await self.manager.close()


class Plain:
    """A table of keys and JSON texts."""

    def __init__(self, folder: str, durability: str) -> None:
        self.database = sqlite3.connect(Path(folder, "plain.db"), isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute(f"PRAGMA synchronous = {'FULL' if durability == 'strict' else 'NORMAL'}")
        self.database.execute("CREATE TABLE people (key TEXT PRIMARY KEY, doc TEXT NOT NULL)")
        self.workloads = {BULK: self._bulk, READS: self._reads, SAVES: self._saves, ALL: self._all}

    async def _bulk(self) -> None:
        rows = [(key, json.dumps(document)) for key, document in DOCUMENTS.items()]
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany("INSERT OR REPLACE INTO people VALUES (?, ?)", rows)
        self.database.execute("COMMIT")

    async def _reads(self) -> None:
        for key in KEYS:
            (text,) = self.database.execute("SELECT doc FROM people WHERE key = ?", (key,)).fetchone()
            assert json.loads(text)

    async def _saves(self) -> None:
        for key, document in MORE.items():
            row = (key, json.dumps(document))
            self.database.execute("INSERT OR REPLACE INTO people VALUES (?, ?)", row)

    async def _all(self) -> None:
        rows = self.database.execute("SELECT key, doc FROM people ORDER BY key").fetchall()
        assert len({key: json.loads(text) for key, text in rows}) == len(DOCUMENTS) + len(MORE)

    async def close(self) -> None:
        """Close the database."""
        self.database.close()
