"""Devices that meet in a browser: pages over a BroadcastChannel, two databases of one page over a MessageChannel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.browser.harness import Page, PageError
from tests.devices import eventually, held_by, open_here, open_in
from tests.unit.test_meeting_sockets import listening

pytestmark = pytest.mark.timeout(60)

NewPage = Callable[[], Awaitable[Page]]

FILL = """
await db.save_documents("notes", {f"{prefix}{i:04}": {"n": i, "text": "x" * size} for i in range(count)})
"""
MEET = """
channel = ps.page_channel(name)
try:
    met = (await db.sync_with(channel, timeout_s=timeout_s)).to_json()
finally:
    await channel.close()
met
"""


async def opened(new_page: NewPage, *names: str) -> list[Page]:
    """Open pages of one origin, each with a database of its own."""
    pages = [await new_page() for _ in names]
    await asyncio.gather(*(open_in(page, name=name) for page, name in zip(pages, names, strict=True)))
    return pages


def meeting(page: Page, timeout_s: float = 20) -> Awaitable[dict[str, object]]:
    """Let a page meet another one."""
    return page.python(MEET, name="meetings", timeout_s=timeout_s)


async def test_two_pages_meet_over_a_broadcast_channel(new_page: NewPage):
    one, two = await opened(new_page, "one", "two")
    await one.python(FILL, prefix="a", count=300, size=3000)
    await two.python(FILL, prefix="b", count=20, size=3000)
    for_one, for_two = await asyncio.gather(meeting(one), meeting(two))
    assert (for_one["sent"], for_one["received"]) == (300, 20)
    assert (for_two["sent"], for_two["received"]) == (20, 300)
    found = await held_by(one)
    assert len(found) == 320 and await held_by(two) == found
    await two.reload()
    await open_in(two, name="two")
    assert await held_by(two) == found, "what came is durable"
    again = await asyncio.gather(meeting(one), meeting(two))
    assert [(result["sent"], result["received"]) for result in again] == [(0, 0), (0, 0)]


async def test_of_four_pages_on_one_channel_two_meet_at_a_time(new_page: NewPage):
    pages = await opened(new_page, "one", "two", "three", "four")
    for i, page in enumerate(pages):
        await page.python(FILL, prefix=f"p{i}-", count=10, size=30_000)
    results = await asyncio.gather(*map(meeting, pages))
    assert [(result["sent"], result["received"]) for result in results] == [(10, 10)] * 4
    assert [len(await held_by(page)) for page in pages] == [20] * 4


async def test_a_page_that_is_closed_meanwhile_is_noticed_and_the_next_meeting_goes_on(new_page: NewPage):
    one, two = await opened(new_page, "one", "two")
    await one.python(FILL, prefix="a", count=60, size=30_000)
    await two.python("channel = ps.page_channel('meetings'); meeting = db.sync_with(channel)")
    await two.python("db.on_change(lambda change: meeting.pause() if change.key == 'a0010' else None)")
    waiting = asyncio.ensure_future(meeting(one, timeout_s=2))
    await eventually(lambda: two.python("meeting.is_paused"))
    await two.close()
    with pytest.raises(PageError, match="fell silent for 2 s"):
        await waiting
    (three,) = await opened(new_page, "two")
    had = len(await held_by(three))
    assert 10 <= had < 60
    for_one, _ = await asyncio.gather(meeting(one), meeting(three))
    assert for_one["sent"] == 60 - had
    assert await held_by(three) == await held_by(one)


async def test_two_databases_of_one_page_meet_over_a_message_channel(page: Page):
    await open_in(page, name="one")
    found = await page.python(
        """
        import asyncio, js
        ports = js.MessageChannel.new()
        ends = [ps.page_channel(port) for port in (ports.port1, ports.port2)]
        async with await ps.open("two") as other:
            await db.save_document("notes", "a", {"from": "one"})
            await other.save_document("notes", "b", {"from": "two"})
            heard = []
            results = await asyncio.gather(
                db.sync_with(ends[0], on_progress=lambda done, total: heard.append([done, total])),
                other.sync_with(ends[1]))
            held = [sorted(key for key, _ in await each.query_documents("notes")) for each in (db, other)]
            waiting = db.sync_with(ends[0])
            await asyncio.sleep(0.1)
            for end in (*ends, *ends):
                await end.close()
            try:
                await waiting
            except ps.Unreachable as error:
                broke = str(error)
        [[result.to_json() for result in results], held, heard, broke]
        """
    )
    results, held, heard, broke = found
    assert [(result["sent"], result["received"]) for result in results] == [(1, 1), (1, 1)]
    assert held == [["a", "b"], ["a", "b"]]
    assert heard[0][1] == 2 and heard[-1] == [2, 2]
    assert broke == "the channel is closed"


async def test_a_page_meets_a_native_program_over_its_websocket(page: Page, tmp_path: Path):
    await open_in(page, name="one")
    await page.python(FILL, prefix="a", count=100, size=30_000)
    async with await open_here(tmp_path / "native.db") as native:
        await native.save_documents("notes", {f"b{n}": {"n": n} for n in range(50)})
        async with listening(native) as (address, outcomes):
            result, broke, never = await page.python(MEET_BY_SOCKET, address=address)
        assert (result["sent"], result["received"]) == (100, 50)
        assert (outcomes[0].sent, outcomes[0].received) == (50, 100)
        assert await held_by(page) == await held_by(native)
    assert broke == "Unreachable: the channel is closed"
    assert never == "Unreachable: the channel is closed"


MEET_BY_SOCKET = """
import js
channel = ps.page_channel(js.WebSocket.new(address))  # what is sent before it is open waits
result = (await db.sync_with(channel)).to_json()
await channel.close()
await channel.close()
told = []
for way in (channel, ps.page_channel(js.WebSocket.new("ws://127.0.0.1:9/"))):
    try:
        await db.sync_with(way)
    except ps.SyncError as error:
        told.append(f"{type(error).__name__}: {error}")
[result, *told]
"""


async def test_what_is_no_channel_of_a_page_is_refused_in_words(page: Page):
    said = await page.python(
        """
        import js, pysync_web as ps
        told = []
        for wrong in (5, None, js.Object.new()):
            try:
                ps.page_channel(wrong)
            except ps.InvalidDocument as error:
                told.append(str(error))
        told
        """
    )
    assert len(said) == 3 and all("a MessagePort, a worker or a WebSocket, not over" in one for one in said)


async def test_a_bundle_goes_from_one_page_to_another(new_page: NewPage):
    one, two = await opened(new_page, "one", "two")
    await one.python(FILL, prefix="a", count=50, size=100)
    text = await one.python("(await db.export_bundle()).decode()")
    result = await two.python("(await db.import_bundle(text.encode())).to_json()", text=text)
    assert (result["received"], result["changed"]) == (50, 50)
    assert await held_by(two) == await held_by(one)
