"""In Chromium: our manager over IndexedDB beside plain JavaScript that keeps a record a document.

Chromium has its profile on disk; both sides run in the same page, durability relaxed, in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from tests.browser.harness import Chromium, Page, Site

from . import documents
from .report import Row

HERE = Path(__file__).parent
BULK, READS, SAVES, ALL = "bulk save of 10,000", "1,000 reads", "1,000 single saves", "read all 10,000"
OPEN = "open a database of 10,000, read one"
SETTLE_MS = 1000  # after so long without writes, what was to be tidied up is
WORKLOADS = {BULK: ("bulk", 0.35), READS: ("reads", 0.1), SAVES: ("saves", 2.0), ALL: ("all", 1.0)}
GROUP = "Chromium, IndexedDB, relaxed"


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure everything that is wanted."""
    rows = {name: Row(GROUP, name, most) for name, (_, most) in WORKLOADS.items()}
    rows[OPEN] = Row(GROUP, OPEN, 3.0)
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    site = Site().start()
    async with chromium() as browser:
        for number in range(rounds if rows else 0):
            origin = site.address(origin=f"bench-{number}.localhost")
            page = await prepared(await browser.open(origin))
            await _workloads(page, rows, is_ours_first=number % 2 == 0)
            if OPEN in rows:
                await _opening(page, rows[OPEN])
            await page.close()
    site.stop()
    return list(rows.values())


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Run a Chromium with a new profile on disk."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with async_playwright() as playwright:
            browser = await Chromium(playwright, Path(folder, "profile")).start()
            try:
                yield browser
            finally:
                await browser.close()


async def prepared(page: Page) -> Page:
    """Give both sides of a page their programs and the documents."""
    await page.raw.evaluate((HERE / "plain.js").read_text("utf-8"))
    files = {name: (HERE / name).read_text("utf-8") for name in ("documents.py", "in_page.py")}
    await page.python(
        """
        from pathlib import Path
        for name, text in files.items():
            Path(name).write_text(text)
        import in_page
        in_page.prepare()
        """,
        files=files,
    )
    return page


async def ours(page: Page, name: str, *arguments: Any, **named: Any) -> Any:
    """Call a function of in_page.py."""
    return await page.python(
        "await getattr(in_page, name)(*arguments, **named)", name=name, arguments=arguments, named=named
    )


async def plain(page: Page, name: str, argument: Any = None) -> Any:
    """Call a function of plain.js."""
    return await page.raw.evaluate("([name, argument]) => plain[name](argument)", [name, argument])


async def _workloads(page: Page, rows: dict[str, Row], *, is_ours_first: bool) -> None:
    await ours(page, "open", "ours")
    await plain(page, "open", "plain")
    for name, (function, _) in WORKLOADS.items():
        taken = [0.0, 0.0]
        for side in (0, 1) if is_ours_first else (1, 0):
            taken[side] = await (plain if side else ours)(page, function)
        if name in rows:
            rows[name].add(*taken)
    await plain(page, "close")


async def _opening(page: Page, row: Row) -> None:
    """Open each side's database in a page that was loaded anew; nobody has closed it before."""
    await page.raw.wait_for_timeout(SETTLE_MS)
    key = documents.some_keys(documents.make(), 1)[0]
    await page.reload()
    await prepared(page)
    taken = await ours(page, "open_and_read", "ours", key)
    await page.reload()
    await prepared(page)
    row.add(taken, await plain(page, "openAndRead", ["plain", key]))
