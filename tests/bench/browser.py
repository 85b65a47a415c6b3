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
AGAIN, COLD = "open 10,000 and read one: page loaded anew", "open 10,000 and read one: browser started anew"
SETTLE_MS = 1000  # after so long without writes, what was to be tidied up is
WORKLOADS = {BULK: ("bulk", 0.35), READS: ("reads", 0.1), SAVES: ("saves", 2.0), ALL: ("all", 1.0)}
GROUP = "Chromium, IndexedDB, relaxed"


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure everything that is wanted."""
    rows = {name: Row(GROUP, name, most) for name, (_, most) in WORKLOADS.items()}
    rows |= {name: Row(GROUP, name, 3.0) for name in (AGAIN, COLD)}
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    site = Site().start()
    async with chromium() as browser:
        if rows.keys() & WORKLOADS.keys():
            await _workloads(browser, site, rows, rounds)
        for number in range(rounds if rows.keys() & {AGAIN, COLD} else 0):
            await _openings(browser, site, rows, number)
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


async def prepared(page: Page, *, with_documents: bool = True) -> Page:
    """Give both sides of a page their programs and, where they are to save or read all of them, the documents."""
    await page.raw.evaluate((HERE / "plain.js").read_text("utf-8"))
    files = {name: (HERE / name).read_text("utf-8") for name in ("documents.py", "in_page.py")}
    await page.python(
        """
        from pathlib import Path
        for name, text in files.items():
            Path(name).write_text(text)
        import in_page
        if with_documents:
            in_page.prepare()
        """,
        files=files,
        with_documents=with_documents,
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


async def _workloads(browser: Chromium, site: Site, rows: dict[str, Row], rounds: int) -> None:
    """Do everything that is done with an open database, both sides in turns, each round with a new one.

    All rounds run in one page: what a page that has just begun takes is in the rows of openings.
    """
    page = await prepared(await browser.open(site.address(origin="both.localhost")))
    for number in range(rounds):
        await ours(page, "open", f"ours-{number}")
        await plain(page, "open", f"plain-{number}")
        for name, (function, _) in WORKLOADS.items():
            taken = [0.0, 0.0]
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                taken[side] = await (plain if side else ours)(page, function)
            if name in rows:
                rows[name].add(*taken)
        await ours(page, "close")
        await plain(page, "close")
    await page.close()


async def _openings(browser: Chromium, site: Site, rows: dict[str, Row], number: int) -> None:
    """Open each side's database, on an origin of its own: in the page loaded anew, then in a browser started anew."""
    key = documents.some_keys(documents.make(), 1)[0]
    sides = ("ours", "plain") if number % 2 == 0 else ("plain", "ours")
    origins = {side: site.address(origin=f"{side}-{number}.localhost") for side in sides}
    again, cold = {}, {}
    for side in sides:
        page = await prepared(await browser.open(origins[side]))
        call = ours if side == "ours" else plain
        await call(page, "open", "people")
        await call(page, "bulk")
        await page.raw.wait_for_timeout(SETTLE_MS)
        await page.reload()
        again[side] = await _opened(page, side, key)
        await page.close()
    for side in sides if COLD in rows else ():
        await browser.close()
        await browser.start()
        page = await browser.open(origins[side])
        cold[side] = await _opened(page, side, key)
        await page.close()
    for name, taken in ((AGAIN, again), (COLD, cold)):
        if name in rows:
            rows[name].add(taken["ours"], taken["plain"])


async def _opened(page: Page, side: str, key: str) -> float:
    await prepared(page, with_documents=False)
    if side == "ours":
        return await ours(page, "open_and_read", "people", key)
    return await plain(page, "openAndRead", ["people", key])
