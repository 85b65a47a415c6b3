"""A choice that changes under load: pages and a native program write, the server is killed, and all agree at the end.

Each round changes the filter in one page again and again, while everyone writes and the server dies and comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from tests.browser.harness import Chromium, Page, Server, Site
from tests.browser.servers import blank, server_for
from tests.devices import Documents, agreed, eventually, held_by, open_here, open_in, status_of, sync

pytestmark = pytest.mark.timeout(150)

CHOOSING, WHOLE = "choosing.localhost", "whole.localhost"
ROUNDS = 3
FINAL = "doc.team == @team AND doc.done != true"
FRESH = "FOR doc IN items FILTER doc.team == @team AND doc.done != true SORT doc._key RETURN doc"
ALL = "FOR doc IN items SORT doc._key RETURN doc"

FOLLOW = """
shown = []
async def follow():
    async for rows in db.live(query):
        shown[:] = rows
following = asyncio.ensure_future(follow())
"""
WRITE = """
import random
async def write(rng):
    key = f"i{rng.randrange(60):02}"
    if rng.random() < 0.1:
        await db.delete_document("items", key)
    else:
        changes = {"team": rng.randrange(3)}, {"done": rng.random() < 0.3}, {"text": "x" * rng.randrange(300)}
        await db.save_document("items", key, rng.choice(changes))
"""
WRITE_FOR_A_WHILE = """
rng = random.Random(seed)
for _ in range(40):
    await write(rng)
    await asyncio.sleep(0.02)
"""
CHOOSE_MEANWHILE = """
rng = random.Random(seed)
for _ in range(12):
    match rng.randrange(5):
        case 0:
            await db.unsubscribe("items")
        case 1:
            await db.subscribe("items")
        case 2:
            await db.subscribe("items", "doc.done == true")
        case _:
            await db.subscribe("items", final, {"team": rng.randrange(3)})
    for _ in range(3):
        await write(rng)
        await asyncio.sleep(0.02)
await db.subscribe("items", final, {"team": 1})
"""


@pytest.fixture
async def far_server(site: Site, tmp_path: Path) -> AsyncIterator[Server]:
    """The real server on another port than the pages' site; it runs."""
    server = server_for(tmp_path / "server", site, CHOOSING, WHOLE).start(web=False)
    yield server
    server.stop()


async def test_a_filter_that_changes_while_all_write_and_the_server_dies_ends_as_a_fresh_query(
    chromium: Chromium, far_server: Server, site: Site, tmp_path: Path
) -> None:
    choosing = await chromium.open(blank(site, CHOOSING))
    whole = await chromium.open(blank(site, WHOLE))
    native = await open_here(tmp_path / "native.sqlite", far_server)
    await native.save_documents("items", {f"i{n:02}": {"team": n % 3, "done": False} for n in range(60)})
    for page in (choosing, whole):
        await open_in(page, far_server)
        await page.python(WRITE)
        await page.python(FOLLOW, query=ALL)

    for seed in range(ROUNDS):
        await asyncio.gather(
            choosing.python(CHOOSE_MEANWHILE, seed=seed, final=FINAL),
            whole.python(WRITE_FOR_A_WHILE, seed=100 + seed),
            write_here(native, random.Random(200 + seed)),
            die_and_return(far_server),
        )

    everything = await settled(far_server, choosing, whole, native)
    wanted = await native.query(FRESH, {"team": 1})
    assert 0 < len(wanted) < len(everything), "the filter chooses"
    fresh = await open_here(tmp_path / "fresh.sqlite", far_server, auto_sync=False)
    await fresh.subscribe("items", FINAL, {"team": 1})
    assert (await sync(fresh))["success"]
    assert await held_by(fresh) == await held_by(choosing) == named(wanted)
    assert await shown_in(choosing) == wanted
    assert await shown_in(whole) == await native.query(ALL)
    (chosen,) = await choosing.python("[one.to_json() for one in await db.subscriptions()]")
    assert chosen == {**chosen, "query": FINAL, "bind_vars": {"team": 1}, "is_wanted": True, "is_ready": True}
    assert choosing.errors == whole.errors == []
    for manager in (fresh, native):
        await manager.close()
    for page in (choosing, whole):
        await page.close()


async def write_here(manager: ps.SyncManager, rng: random.Random) -> None:
    """Write natively as the pages do: items change their team, are done, or go."""
    for _ in range(40):
        key = f"i{rng.randrange(60):02}"
        if rng.random() < 0.1:
            await manager.delete_document("items", key)
        else:
            await manager.save_document("items", key, {"team": rng.randrange(3), "done": rng.random() < 0.3})
        await asyncio.sleep(0.02)


async def die_and_return(server: Server) -> None:
    """Kill the server in the middle of it all and start it again, twice."""
    for _ in range(2):
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start, web=False)


async def settled(server: Server, choosing: Page, *others: Page | ps.SyncManager) -> Documents:
    """Sync until nothing waits anywhere, and give what the server has; the others hold just that."""

    async def is_sent() -> bool:
        return (await sync(choosing))["success"] and not (await status_of(choosing))["pending"]

    await eventually(is_sent)
    everything = await agreed(server, *others)
    assert (await sync(choosing))["success"]
    return everything


async def shown_in(page: Page) -> list[dict[str, Any]]:
    """Give the last rows of a page's live query, once it has shown what the page holds."""

    async def is_shown() -> bool:
        same: bool = await page.python("shown == await db.query(query)")
        return same

    await eventually(is_shown)
    found: list[dict[str, Any]] = await page.python("shown")
    return found


def named(rows: list[Any]) -> Documents:
    """Give rows of the items by their names."""
    return {f"items/{row['_key']}": row for row in rows}
