"""Tabs on one database: nothing that either writes is lost, each hears of the other, one of them leads."""

from __future__ import annotations

import asyncio
import time

import pytest

OPEN = """
import asyncio, time
from pysync_web.storage import indexeddb, open_storage, segments

async def increment(tx, name="count"):
    tx.put("s", (name,), str(int(await tx.get("s", (name,)) or "0") + 1))

async def count(tx):
    return await tx.get("s", ("count",))

async def put_many(tx, n, size):
    for i in range(n):
        tx.put("s", ("many", i), '"' + "x" * size + '"')

async def all_many(tx):
    return len(await tx.scan("s", ("many",)))

storage = await open_storage("tabs", engine="indexeddb", durability="relaxed")
told, lost = [], []
"""
FOLD_ALL_THE_TIME = """
indexeddb.FOLD_RECORDS, indexeddb.FOLD_AFTER_S, indexeddb.FOLD_PUT_OFF = 5, 0.0, 0
segments.SEGMENT_CHARS, segments.INLINE_CHARS = 300, 30
"""
INCREMENT_300_TIMES = """
for _ in range(150):
    await storage.write(increment)
await asyncio.gather(*(storage.write(increment) for _ in range(150)))
"""


@pytest.mark.parametrize("setting", ["", FOLD_ALL_THE_TIME], ids=["as it is", "while both fold"])
async def test_600_increments_by_two_tabs_all_count(new_page, setting):
    first, second = await new_page(), await new_page()
    await asyncio.gather(first.python(OPEN + setting), second.python(OPEN + setting))
    await asyncio.gather(first.python(INCREMENT_300_TIMES), second.python(INCREMENT_300_TIMES))
    await first.python("await storage.write(lambda tx: increment(tx, 'last'))")
    assert await first.python("await storage.read(count)") == "600"
    await first.python("await storage.close()")
    third = await new_page()
    await third.python(OPEN)
    assert await third.python("await storage.read(count)") == "600"


async def test_a_tab_hears_what_another_wrote(new_page):
    first, second = await new_page(), await new_page()
    await first.python(OPEN)
    await second.python(OPEN + "stop = storage.watch(told.append)")
    await first.python("await storage.write(increment)")
    await until(second, "bool(told)")
    assert await second.python("told[0] == [('s', ('count',))] and await storage.read(count)") == "1"
    await first.python("await storage.write(lambda tx: put_many(tx, 3000, 10))")
    await until(second, "told[-1] is None")
    assert await second.python("await storage.read(all_many)") == 3000


async def test_a_tab_that_was_frozen_while_others_folded_loses_nothing(new_page):
    frozen, busy = await new_page(), await new_page()
    await frozen.python(OPEN)
    await frozen.python("await storage.write(increment)")
    await busy.python(OPEN + FOLD_ALL_THE_TIME)
    session = await freeze(frozen)
    await busy.python("for _ in range(60): await storage.write(increment)")
    await busy.python("await storage.write(lambda tx: put_many(tx, 100, 50))")
    await until(busy, "not storage._is_folding and storage._manifest.folded > 50")
    await wake(session)
    await frozen.python("await storage.write(increment)")
    assert await frozen.python("await storage.read(count)") == "62"
    assert await frozen.python("await storage.read(all_many)") == 100
    await until(busy, "await storage.read(count) == '62'")


async def test_a_tab_sees_segments_that_another_has_folded_away(new_page):
    first = await new_page()
    await first.python(OPEN + "await storage.write(lambda tx: put_many(tx, 2000, 300)); await storage.close()")
    await first.python(OPEN + "await storage.write(increment)")
    second = await new_page()
    await second.python("from pysync_web.storage import indexeddb; indexeddb.SETTLE_AFTER_S = 3600")
    await second.python(OPEN)
    assert await second.python("len(storage._table.cold()) > 5")
    await first.python(
        """
        indexeddb.FOLD_RECORDS = 1
        async def shorten(tx):
            for i in range(0, 2000, 2):
                tx.delete("s", ("many", i))
        for _ in range(3):
            await storage.write(shorten)
        await asyncio.sleep(0.5)
        """
    )
    assert await second.python("await storage.read(all_many)") == 1000
    await second.python("await storage.write(increment)")
    assert await second.python("await storage.read(count)") == "2"


async def test_closing_the_leading_tab_makes_the_other_lead(new_page):
    first, second = await new_page(), await new_page()
    for page in (first, second):
        await page.python(OPEN)
    await first.python("give_up = await storage.lead(lambda: lost.append(1))")
    await second.python("leading = asyncio.ensure_future(storage.lead(lambda: lost.append(1)))")
    await asyncio.sleep(0.2)
    assert not await second.python("leading.done()")
    begin = time.monotonic()
    await first.close()
    await until(second, "leading.done()")
    assert time.monotonic() - begin < 2


async def test_a_leading_tab_that_crashed_is_followed(chromium, origin):
    first = await chromium.open(f"{origin}/tests/blank.html")
    second = await chromium.open(f"{origin}/tests/blank.html")
    await first.python(OPEN + "give_up = await storage.lead(lambda: lost.append(1))")
    await second.python(OPEN + "leading = asyncio.ensure_future(storage.lead(lambda: lost.append(1)))")
    await first.crash()
    await until(second, "leading.done()")
    await second.python("await storage.write(increment)")
    await second.close()
    await first.close()


async def test_a_frozen_leader_is_replaced_and_told_when_it_wakes(new_page):
    first, second = await new_page(), await new_page()
    await first.python(OPEN + "give_up = await storage.lead(lambda: lost.append(1))")
    await second.python(OPEN + "leading = asyncio.ensure_future(storage.lead(lambda: lost.append(1)))")
    await asyncio.sleep(6)
    assert not await second.python("leading.done()"), "a leader that answers was replaced"
    session = await freeze(first)
    await until(second, "leading.done()", seconds=20)
    await wake(session)
    await until(first, "lost == [1]")
    await first.python("again = asyncio.ensure_future(storage.lead(lambda: lost.append(2)))")
    await asyncio.sleep(0.2)
    assert not await first.python("again.done()")
    await second.python("leading.result()()")
    await until(first, "again.done()")
    assert await second.python("lost") == []


async def freeze(page):
    """Stop a tab from doing anything, as a browser that needs its memory does; give what can wake it.

    A browser freezes hidden tabs only, and Playwright's are all visible: so the debugger stops this one.
    """
    session = await page.raw.context.new_cdp_session(page.raw)
    await session.send("Debugger.enable")
    await session.send("Debugger.pause")
    return session


async def wake(session):
    """Let a frozen tab go on."""
    await session.send("Debugger.resume")
    await session.send("Debugger.disable")


async def until(page, condition, seconds=10):
    """Wait until something is true in a page."""
    async with asyncio.timeout(seconds):
        while not await page.python(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
