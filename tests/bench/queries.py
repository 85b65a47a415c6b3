"""Queries of 10,000 documents: natively beside SQLite's ``json_extract``, in Chromium beside plain JavaScript.

The same questions get the same answers on both sides, each asked some times of an open database; what the first
one costs, which parses the documents, stands in a row of its own.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysync_web as ps
from tests.browser.harness import Page, Site

from . import documents
from .asked import answer, some_emails
from .browser import HERE, chromium, ours, prepared
from .report import Row

NAMES = {
    "equality": "equality filter",
    "top": "filter, sort, first 20",
    "group": "group and count",
    "range": "filter by an index",
    "indexed": "100 look-ups by an index",
}
FIRST = "first query after opening"
LARGE = 100_000
SCAN_GROWS, INDEX_GROWS = "equality filter, 100,000; baseline: 10,000", "100 look-ups, 100,000; baseline: 10,000"
IN_PAGE = {"equality": 0.5, "top": 0.5, "group": 0.5, "range": 1.0, "indexed": 1.0}
NATIVE = dict.fromkeys(NAMES, 2.0)
PLAIN = {
    "equality": "SELECT key, doc FROM people WHERE json_extract(doc, '$.address.city') = 'Graz'",
    "top": "SELECT key, doc FROM people WHERE json_extract(doc, '$.age') > 40 "
    "ORDER BY json_extract(doc, '$.score') DESC, json_extract(doc, '$.name') LIMIT 20",
    "group": "SELECT json_extract(doc, '$.address.city') AS city, count(*) FROM people GROUP BY city ORDER BY city",
    "range": "SELECT key, doc FROM people WHERE json_extract(doc, '$.created_at') >= '2025-03-10' "
    "AND json_extract(doc, '$.created_at') < '2025-03-15'",
    "indexed": "SELECT key, doc FROM people WHERE json_extract(doc, '$.email') = ?",
}


async def measure_native(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure natively."""
    group = "queries, native, beside SQLite's json_extract"
    rows = {name: Row(group, shown, NATIVE[name]) for name, shown in NAMES.items()}
    rows |= {FIRST: Row(group, FIRST, None), SCAN_GROWS: Row(group, SCAN_GROWS, 15.0)}
    rows[INDEX_GROWS] = Row(group, INDEX_GROWS, 2.0)
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    if not rows:
        return []
    given = documents.make()
    with tempfile.TemporaryDirectory() as folder:
        database = await _filled(f"{folder}/ours.db", given)
        plain = _plain(Path(folder, "plain.db"), given)
        emails = some_emails(given)
        for number in range(rounds):
            await _native_round(database, plain, emails, rows, number)
        if rows.keys() & {SCAN_GROWS, INDEX_GROWS}:
            large = documents.make(LARGE)
            await _growth(database, await _filled(f"{folder}/large.db", large), emails, large, rows, rounds)
        for name in {FIRST} & rows.keys():
            for _ in range(rounds):
                rows[name].add(await _first(f"{folder}/ours.db"))
        await database.close()
        plain.close()
    return list(rows.values())


async def _filled(path: str, given: dict[str, Any]) -> ps.SyncManager:
    database = await ps.open(path, durability="relaxed")
    await database.save_documents("people", given)
    for field in ("email", "created_at"):
        await database.create_index("people", field)
    return database


def _plain(path: Path, given: dict[str, Any]) -> sqlite3.Connection:
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE people (key TEXT PRIMARY KEY, doc TEXT NOT NULL)")
    for field in ("email", "created_at"):
        plain.execute(f"CREATE INDEX {field} ON people (json_extract(doc, '$.{field}'))")
    plain.executemany("INSERT INTO people VALUES (?, ?)", ((key, json.dumps(one)) for key, one in given.items()))
    plain.commit()
    return plain


async def _native_round(
    database: ps.SyncManager, plain: sqlite3.Connection, emails: list[str], rows: dict[str, Row], number: int
) -> None:
    for name in [name for name in NAMES if name in rows]:
        await answer(database, name, emails)
        gc.collect()
        taken, found = [0.0, 0.0], [0, 0]
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            began = time.perf_counter()
            answers = _asked_plainly(plain, name, emails) if side else await answer(database, name, emails)
            taken[side], found[side] = (time.perf_counter() - began) * 1000, len(answers)
        assert found[0] == found[1] > 0, (name, found)
        rows[name].add(*taken)


def _asked_plainly(plain: sqlite3.Connection, name: str, emails: list[str]) -> list[Any]:
    if name == "group":
        return [{"city": city, "n": n} for city, n in plain.execute(PLAIN[name])]
    asked = ((email,) for email in emails) if name == "indexed" else ((),)
    found = []
    for binds in asked:
        found += [{"_key": key, **json.loads(doc)} for key, doc in plain.execute(PLAIN[name], binds)]
    return found


async def _growth(
    small: ps.SyncManager,
    large: ps.SyncManager,
    emails: list[str],
    documents_of_large: dict[str, Any],
    rows: dict[str, Row],
    rounds: int,
) -> None:
    """Measure how a scan and an indexed look-up grow with the number of documents."""
    emails_of_large = some_emails(documents_of_large)
    for shown, name in ((SCAN_GROWS, "equality"), (INDEX_GROWS, "indexed")):
        for _ in range(rounds if shown in rows else 0):
            taken = []
            for database, asked in ((large, emails_of_large), (small, emails)):
                began = time.perf_counter()
                assert await answer(database, name, asked)
                taken.append((time.perf_counter() - began) * 1000)
            rows[shown].add(*taken)
    await large.close()


async def _first(path: str) -> float:
    async with await ps.open(path) as database:
        began = time.perf_counter()
        await answer(database, "equality", [])
        return (time.perf_counter() - began) * 1000


async def measure_in_page(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure in Chromium."""
    group = "queries, Chromium, beside JavaScript that reads all and filters"
    rows = {name: Row(group, shown, IN_PAGE[name]) for name, shown in NAMES.items()}
    rows[FIRST] = Row(group, FIRST, None)
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    if not rows:
        return []
    site = Site().start()
    async with chromium() as browser:
        page = await prepared(await browser.open(site.address(origin="queries.localhost")))
        await _fill_page(page)
        for number in range(rounds):
            await _round_in_page(page, rows, number)
        for name in {FIRST} & rows.keys():
            for _ in range(rounds):
                await page.reload()
                await prepared(page, with_documents=False)
                await _import_asked(page)
                await ours(page, "open", "queries")
                taken, _ = await page.python(ASK, name="equality", emails=[])
                rows[name].add(taken)
        await page.close()
    site.stop()
    return list(rows.values())


ASK = """
began = in_page.js.performance.now()
rows = await asked.answer(in_page.database, name, emails)
[in_page.js.performance.now() - began, len(rows)]
"""


async def _import_asked(page: Page) -> None:
    await page.python(
        "from pathlib import Path\nPath('asked.py').write_text(text)\nimport asked",
        text=(HERE / "asked.py").read_text("utf-8"),
    )


async def _fill_page(page: Page) -> None:
    await _import_asked(page)
    await page.raw.evaluate((HERE / "queries.js").read_text("utf-8"))
    await page.raw.evaluate("() => plainQueries.fill('plain-queries')")
    await ours(page, "open", "queries")
    await ours(page, "bulk")
    await page.python("for field in ('email', 'created_at'): await in_page.database.create_index('people', field)")


async def _round_in_page(page: Page, rows: dict[str, Row], number: int) -> None:
    emails = some_emails(documents.make())
    for name in [name for name in NAMES if name in rows]:
        await page.python(ASK, name=name, emails=emails)
        taken: list[Any] = [None, None]
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            if side:
                taken[side] = await page.raw.evaluate("given => plainQueries.run(given)", [name, emails])
            else:
                taken[side] = await page.python("import gc; gc.collect()\n" + ASK, name=name, emails=emails)
        assert taken[0][1] == taken[1][1] > 0, (name, taken)
        rows[name].add(taken[0][0], taken[1][0])
