"""How fast a page takes in what others changed, and how large a counter gets that many have counted."""

from __future__ import annotations

import random
from collections.abc import Callable

from pysync_web import crdt
from pysync_web.values import dumps
from tests.browser.harness import Chromium, Site

from . import browser
from .report import Row

GROUP = "Chromium, merging"
WHOLE = "take in 10,000 documents that were written anew (20,000 a second)"
FIELDS = "take in 10,000 documents of which a field was changed (10,000 a second)"
BESIDE = "the same, by plain JavaScript that compares and puts a record each"
COUNTER = "a million increments from 100 replicas: state"
TARGETS = {WHOLE: (500.0, "ms"), BESIDE: (1.0, "ms"), FIELDS: (1000.0, "ms"), COUNTER: (10_240.0, "bytes")}


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure everything that is wanted."""
    rows = {name: Row(GROUP, name, most, unit) for name, (most, unit) in TARGETS.items()}
    rows = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    if COUNTER in rows:
        rows[COUNTER].add(_counted())
    if rows.keys() & {WHOLE, BESIDE, FIELDS}:
        site = Site().start()
        async with browser.chromium() as chromium:
            for number in range(rounds):
                await _merged(chromium, site, rows, number)
        site.stop()
    return list(rows.values())


async def _merged(chromium: Chromium, site: Site, rows: dict[str, Row], number: int) -> None:
    page = await browser.prepared(await chromium.open(site.address(origin=f"merging-{number}.localhost")))
    if rows.keys() & {WHOLE, BESIDE}:
        taken = await browser.ours(page, "merges", True)
        if WHOLE in rows:
            rows[WHOLE].add(taken)
        if BESIDE in rows:
            await browser.plain(page, "open", "merging")
            await browser.plain(page, "bulk")
            rows[BESIDE].add(taken, await browser.plain(page, "mergeAll"))
    if FIELDS in rows:
        rows[FIELDS].add(await browser.ours(page, "merges", False))
    await page.close()


def _counted() -> int:
    """Count to a million, each increment by one of 100 replicas; give the bytes of the state."""
    rng = random.Random(1)
    names = [f"{rng.getrandbits(128):032x}" for _ in range(100)]
    states = dict.fromkeys(names, crdt.empty("pn_counter"))
    for i in range(1_000_000):
        name = names[i % 100]
        states[name] = crdt.merge(states[name], crdt.change(states[name], crdt.Increment(1), name))
    total = crdt.merge_all(states.values())
    assert crdt.value(total) == 1_000_000
    return len(dumps(total))
