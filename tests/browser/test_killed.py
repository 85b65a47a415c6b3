"""A browser that is killed during writes, twenty times: what it acknowledged is there, and nothing by half."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from playwright.async_api import Playwright

from tests.browser.harness import Chromium, Page, Server, Site
from tests.browser.servers import blank, server_for
from tests.devices import agreed, eventually, held_by, open_in, status_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.takes(70)]

MINE = "mine.localhost"
KILLS = 20

FOLD_OFTEN = """
import pysync_web.storage.indexeddb as storage
storage.FOLD_RECORDS, storage.FOLD_AFTER_S, storage.FOLD_PUT_OFF = 20, 0.01, 0
"""
WRITE = """
import itertools, js

async def write():
    for n in itertools.count():
        name = f"{who}-{life}-{n}"
        async with db.transaction() as t:
            await t.save_document("pairs", f"{name}-a", {"n": n, "text": "x" * (n % 50 * 40)})
            await t.save_document("pairs", f"{name}-b", {"n": n})
        await db.update_document("counts", who, lambda d: {"n": (d or {"n": 0})["n"] + 1, "last": name})
        js.acknowledge(name)

writing = asyncio.ensure_future(write())
"""


async def test_browsers_killed_twenty_times_during_writes_lose_and_tear_nothing(
    own_chromium: Chromium, playwright: Playwright, site: Site, tmp_path: Path
):
    server = server_for(tmp_path / "server", site, MINE).start(web=False)
    other = await Chromium(playwright, tmp_path / "other-chromium").start()
    try:
        ends = await asyncio.gather(
            live_and_die(own_chromium, "one", server, blank(site, MINE)),
            live_and_die(other, "two", server, blank(site, MINE)),
        )
        found = await agreed(server, *(page for page, _ in ends))
        for _, acknowledged in ends:
            assert set(acknowledged) <= pairs(found) and len(acknowledged) >= KILLS // 2
    finally:
        await other.close()
        server.stop()


async def live_and_die(browser: Chromium, name: str, server: Server, address: str) -> tuple[Page, list[str]]:
    """Write in a browser that is killed and started again; give its last page, and what it acknowledged."""
    rng = random.Random(name)
    acknowledged: list[str] = []
    for life in range(KILLS // 2):
        page = await open_again(browser, address)
        await page.raw.expose_function("acknowledge", lambda pair: acknowledged.append(pair))
        await open_in(page, server)
        await check(page, name, acknowledged, life)
        began = len(acknowledged)
        await page.python(WRITE, who=name, life=life)
        await eventually(lambda began=began: has_more(acknowledged, began))
        await asyncio.sleep(rng.uniform(0, 0.4))
        await browser.kill()
        await browser.start()
    page = await open_again(browser, address)
    await open_in(page, server)
    await check(page, name, acknowledged, KILLS)
    return page, acknowledged


async def open_again(browser: Chromium, address: str) -> Page:
    """Open the page, and let it fold often."""
    page = await browser.open(address)
    await page.python(FOLD_OFTEN)
    return page


async def has_more(acknowledged: list[str], began: int) -> bool:
    """Tell whether something was acknowledged since."""
    return len(acknowledged) > began


async def check(page: Page, name: str, acknowledged: list[str], lives: int) -> None:
    """Everything that was acknowledged is there, both halves of each pair, and each was counted once."""
    found = await held_by(page)
    status = await status_of(page)
    assert status["storage_reset"] is None, status
    there = {pair for pair in pairs(found) if pair.startswith(name)}
    assert set(acknowledged) <= there, (sorted(set(acknowledged) - there), status, len(found))
    count = found[f"counts/{name}"]["n"] if acknowledged else 0
    # A kill may come between a pair and its count, or between the count and its acknowledgement.
    assert len(acknowledged) <= count <= len(there) <= count + lives, (len(acknowledged), count, len(there))


def pairs(found: dict[str, object]) -> set[str]:
    """Name the pairs among documents; half of one fails."""
    halves = Counter(name.removeprefix("pairs/")[:-2] for name in found if name.startswith("pairs/"))
    assert set(halves.values()) <= {2}, [name for name, n in halves.items() if n != 2]
    return set(halves)
