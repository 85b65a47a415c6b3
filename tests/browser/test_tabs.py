"""Two tabs of one application: one database, one replica, one of them syncs, and both see everything.

What the storage alone promises to tabs is in ``test_two_tabs.py``; these tests stand on the whole path to a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import TESTED
from tests.browser.harness import BLANK, Chromium, Page, Server, Site
from tests.browser.servers import server_for
from tests.browser.test_two_tabs import freeze, wake
from tests.devices import agreed, body_of, eventually, held_by, open_in, status_of

pytestmark = pytest.mark.timeout(45)


@pytest.fixture
def server(site: Site, tmp_path: Path) -> Iterator[Server]:
    """The real server, which pages of the test's origin may call."""
    started = server_for(tmp_path / "server", site, TESTED).start(web=False)
    yield started
    started.stop()


@pytest.fixture
async def tabs(chromium: Chromium, origin: str) -> list[Page]:
    """Two tabs of one origin."""
    return [await chromium.open(origin + BLANK) for _ in range(2)]


INCREMENT = """
def increment(document):
    return {"n": (document or {"n": 0})["n"] + 1}

for _ in range(times):
    await db.update_document("counts", "c", increment)
await asyncio.gather(*(db.update_document("counts", "c", increment) for _ in range(times)))
"""


async def test_of_600_increments_by_two_syncing_tabs_none_is_lost(tabs: list[Page], server: Server):
    await asyncio.gather(*(open_in(tab, server) for tab in tabs))
    await asyncio.gather(*(tab.python(INCREMENT, times=150) for tab in tabs))
    found = await agreed(server, *tabs)
    assert body_of(found["counts/c"]) == {"n": 600}
    assert len(found["counts/c"]["_version"].keys() - {"server"}) == 1, "both tabs are one replica"


async def test_a_tab_sees_and_hears_what_the_other_one_saves(tabs: list[Page]):
    one, two = tabs
    await asyncio.gather(*(open_in(tab) for tab in tabs))
    await two.python("""
        heard = []
        stop = db.on_change(lambda change: heard.append([change.change_type, change.key]))
        """)
    saved = await one.python("await db.save_document('notes', 'a', {'n': 1})")
    await eventually(lambda: two.python("heard == [['LocalUpdate', 'a']]"))
    assert await two.python("await db.get_document('notes', 'a')") == saved
    await two.python("heard.clear(); await db.save_document('notes', 'a', {'m': 2})")
    await eventually(lambda: one.python("(await db.get_document('notes', 'a')).get('m') == 2"))
    await one.python("await db.delete_document('notes', 'a')")
    await eventually(lambda: two.python("heard == [['LocalUpdate', 'a'], ['LocalDelete', 'a']]"))
    assert await two.python("await db.get_document('notes', 'a')") is None


async def test_one_tab_syncs_for_both_and_the_other_takes_over_when_it_is_closed(tabs: list[Page], server: Server):
    await asyncio.gather(*(open_in(tab, server) for tab in tabs))
    leader, follower = await leading(tabs)
    await follower.python("await db.save_document('notes', 'before', {})")
    await eventually(lambda: has(server, "notes/before"))
    await eventually(lambda: follower.python("(await db.status()).pending == 0"))
    status = await status_of(follower)
    assert (status["state"], status["is_leader"]) == ("following", False)
    await leader.python("db.pause_sync(); await db.save_document('notes', 'during', {})")
    await leader.close()
    await eventually(lambda: has(server, "notes/during"))
    assert (await status_of(follower))["is_leader"]


async def test_a_tab_takes_over_when_the_leading_one_crashes(tabs: list[Page], server: Server):
    await asyncio.gather(*(open_in(tab, server) for tab in tabs))
    leader, follower = await leading(tabs)
    await leader.python("db.pause_sync(); await db.save_document('notes', 'last', {'n': 1})")
    await leader.crash()
    await eventually(lambda: has(server, "notes/last"))
    await follower.python("await db.save_document('notes', 'after', {'n': 2})")
    await eventually(lambda: has(server, "notes/after"))


async def test_a_frozen_leader_is_taken_over_and_what_it_still_had_in_hand_changes_nothing(
    tabs: list[Page], server: Server
):
    await asyncio.gather(*(open_in(tab, server) for tab in tabs))
    leader, follower = await leading(tabs)
    await leader.python(HOLD_ANSWERS)
    await leader.python("await db.save_document('notes', 'pushed', {'n': 1})")
    await eventually(lambda: leader.python("held is not None"))
    session = await freeze(leader)
    await eventually(lambda: leads(follower))
    await follower.python("await db.save_document('notes', 'pushed', {'n': 2})")
    await eventually(lambda: follower.python("(await db.status()).pending == 0"))
    state = await follower.python(SYNC_STATE)

    await wake(session)
    await leader.python("released.set()")
    await eventually(lambda: leader.python("(await db.status()).state == 'following'"))
    assert await follower.python(SYNC_STATE) == state, "the old leader's answer was not taken in"
    found = await agreed(server, *tabs)
    assert body_of(found["notes/pushed"]) == {"n": 2}
    assert len(found["notes/pushed"]["_version"].keys() - {"server"}) == 1, "nobody forked"


HOLD_ANSWERS = """
held, released = None, asyncio.Event()
exchange = db._client.exchange

async def hold(database, body):
    global held
    answer = await exchange(database, body)
    held = answer
    await released.wait()
    return answer

db._client.exchange = hold
"""
SYNC_STATE = """
async def read(tx):
    return await tx.get("meta", ("sync",)), await tx.get("meta", ("inflight",))

await db.store.storage.read(read)
"""


async def test_tabs_that_sync_at_the_same_time_stay_one_replica(tabs: list[Page], server: Server):
    await asyncio.gather(*(open_in(tab, server, auto_sync=False) for tab in tabs))
    busy = """
        results = []
        for n in range(20):
            await db.save_document("notes", f"{who}{n}", {"n": n})
            results.append(await db.sync_now())
        [error for result in results for error in result.errors]
        """
    assert await asyncio.gather(*(tab.python(busy, who=f"tab{i}-") for i, tab in enumerate(tabs))) == [[], []]
    found = await agreed(server, *tabs)
    assert len(found) == 40
    assert len({replica for document in found.values() for replica in document["_version"]} - {"server"}) == 1


async def test_some_megabytes_from_one_tab_leave_the_other_tab_s_writes_and_reads_right(
    tabs: list[Page], server: Server, chromium: Chromium, origin: str
):
    await asyncio.gather(*(open_in(tab, server, auto_sync=False) for tab in tabs))
    bulk, small = tabs
    writing = asyncio.ensure_future(bulk.python(BULK))
    rounds = 0
    while not writing.done() or rounds < 20:
        rounds += 1
        await small.python(SMALL, first=rounds * 10)
    await writing
    await check_sizes(small, rounds)
    await check_sizes(bulk, rounds)
    for tab in tabs:
        await tab.python("await db.close()")
    third = await chromium.open(origin + BLANK)
    await open_in(third, server, auto_sync=False)
    await check_sizes(third, rounds)
    found = await agreed(server, third)
    assert len(found) == 1500 + rounds * 10 + 1
    await third.close()


BULK = """
for turn in range(5):
    documents = {f"b{n:04}": {"turn": turn, "text": f"{n} " * 100} for n in range(1500)}
    await db.save_documents("bulk", documents)
    counted = await db.update_document("counts", "c", lambda d: {"n": (d or {"n": 0})["n"] + 1})
"""
SMALL = """
for n in range(first, first + 10):
    await db.save_document("small", f"s{n}", {"n": n})
    await db.update_document("counts", "c", lambda d: {"n": (d or {"n": 0})["n"] + 1})
    assert (await db.get_document("small", f"s{n}"))["n"] == n
"""


async def check_sizes(tab: Page, rounds: int) -> None:
    """Every document of both tabs is there as it was last saved."""
    await eventually(lambda: tab.python("(await db.get_document('bulk', 'b1499') or {}).get('turn') == 4"))
    found = await held_by(tab)
    assert {document["turn"] for name, document in found.items() if name.startswith("bulk/")} == {4}
    assert sum(name.startswith("bulk/") for name in found) == 1500
    small = {name: document["n"] for name, document in found.items() if name.startswith("small/")}
    assert small == {f"small/s{n}": n for n in range(10, rounds * 10 + 10)}
    assert found["counts/c"]["n"] == 5 + rounds * 10


async def leading(tabs: list[Page]) -> tuple[Page, Page]:
    """Wait until one of two tabs leads; give it and the other."""

    async def found() -> tuple[Page, Page] | None:
        state = [await leads(tab) for tab in tabs]
        return (tabs[state.index(True)], tabs[state.index(False)]) if sorted(state) == [False, True] else None

    return await eventually(found)  # type: ignore[no-any-return]


async def leads(tab: Page) -> bool:
    """Tell whether a tab leads."""
    return bool((await status_of(tab))["is_leader"])


async def has(server: Server, name: str) -> bool:
    """Tell whether a server has a document."""
    return name in await held_by(server)
