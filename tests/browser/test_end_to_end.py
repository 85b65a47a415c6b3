"""The main job: what was saved without a network, in a page that was left and opened again, reaches every device.

Real browsers on profiles on disk, the real server as a process, and a native program on SQLite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page as RawPage
from playwright.async_api import Playwright, expect

from tests.browser.harness import TOKEN, Chromium, Page, Server, Site
from tests.browser.servers import blank, server_for
from tests.devices import agreed, body_of, eventually, held_by, open_here, open_in, status_of, sync
from tests.unit.test_readme import EXAMPLES

pytestmark = pytest.mark.timeout(150)

MINE, THEIRS = "mine.localhost", "theirs.localhost"


@pytest.fixture
async def other_chromium(playwright: Playwright, tmp_path: Path) -> AsyncIterator[Chromium]:
    """A second browser with a profile of its own."""
    browser = await Chromium(playwright, tmp_path / "other-chromium").start()
    yield browser
    await browser.close()


@pytest.fixture
async def far_server(site: Site, tmp_path: Path) -> AsyncIterator[Server]:
    """The real server on another port than the pages' site; it runs."""
    server = server_for(tmp_path / "server", site, MINE, THEIRS).start(web=False)
    yield server
    server.stop()


async def test_documents_saved_offline_reach_every_device_and_all_agree(
    own_chromium: Chromium, other_chromium: Chromium, far_server: Server, site: Site, tmp_path: Path
):
    page = await own_chromium.open(blank(site, MINE))
    await open_in(page, far_server)
    native = await open_here(tmp_path / "native.sqlite", far_server)
    await page.python("await db.save_document('notes', 'shared', {'title': '', 'text': 'first', 'done': False})")
    await agreed(far_server, page, native)

    await page.set_offline(True)
    await save_offline(page)
    far_server.kill()
    await page.set_offline(False)
    await page.reload()
    await open_in(page, far_server)
    await check_saved_offline(page)

    await own_chromium.close()
    await native.save_document("notes", "shared", {"done": True, "text": "a later text"})
    await native.save_document("notes", "native", {"title": "written natively"})
    await own_chromium.start()
    page = await own_chromium.open(blank(site, MINE))
    await open_in(page, far_server, auto_sync=False)
    await check_saved_offline(page)

    theirs = await other_chromium.open(blank(site, THEIRS))
    await open_in(theirs, far_server)
    await theirs.python("await db.save_document('notes', 'theirs', {'title': 'from a second browser'})")
    far_server.start(web=False)
    assert (await sync(native))["success"]
    found = await agreed(far_server, page, theirs, native)
    assert len(found) == 53
    assert body_of(found["notes/shared"]) == {"title": "from the page", "text": "a later text", "done": True}
    assert body_of(found["notes/theirs"]) == {"title": "from a second browser"}
    (lost,) = await page.python("[entry.to_json() for entry in await db.lost_changes()]")
    assert (lost["kind"], lost["key"], lost["body"]) == ("lost", "shared", {"text": "an early text"})
    assert (await native.lost_changes(), page.errors, theirs.errors) == ([], [], [])
    await native.close()


async def test_everything_travels_by_itself_once_the_server_is_back(
    own_chromium: Chromium, far_server: Server, site: Site, tmp_path: Path
):
    far_server.stop()
    page = await own_chromium.open(blank(site, MINE))
    await open_in(page, far_server)
    native = await open_here(tmp_path / "native.sqlite", far_server)
    await page.python("await db.save_document('notes', 'page', {'title': 'from the page'})")
    await native.save_document("notes", "native", {"title": "from the program"})

    async def both_have_failed() -> bool:
        return all([(await status_of(device))["last_error"] is not None for device in (page, native)])

    async def all_have_both() -> bool:
        return all([len(await held_by(holder)) == 2 for holder in (far_server, page, native)])

    await eventually(both_have_failed)
    far_server.start(web=False)
    await eventually(all_have_both)
    await page.python("await db.delete_document('notes', 'native')")
    await native.save_document("notes", "page", {"seen": True})

    async def all_have_seen() -> bool:
        found = [await held_by(holder) for holder in (far_server, page, native)]
        seen = {"notes/page": {"title": "from the page", "seen": True}}
        return all({name: body_of(document) for name, document in one.items()} == seen for one in found)

    await eventually(all_have_seen)
    assert await agreed(far_server, page, native)
    await native.close()


async def test_the_demo_opens_without_its_server_and_what_it_saves_reaches_a_native_program(
    own_chromium: Chromium, server: Server, tmp_path: Path
):
    tab = await visit_demo(own_chromium, f"{server.url}/#token={TOKEN}")
    await tab.evaluate("async () => { await navigator.serviceWorker.ready; }")
    await own_chromium.close()
    server.kill()

    await own_chromium.start()
    tab = await visit_demo(own_chromium, server.url)
    await tab.get_by_role("button", name="Add sample notes").click()
    await expect(tab.locator(".note-title")).to_have_count(6)
    await own_chromium.close()

    await own_chromium.start()
    tab = await visit_demo(own_chromium, server.url)
    await expect(tab.locator(".note-title")).to_have_count(6)
    shown = sorted(await tab.locator(".note-title").all_inner_texts())
    server.start()
    native = await open_here(tmp_path / "native.sqlite", server, database="demo")

    async def six_notes() -> list[str] | None:
        notes = await native.query_documents("notes")
        return sorted(str(note["title"]) for _, note in notes) if len(notes) == 6 else None

    assert await eventually(six_notes) == shown
    key, _ = (await native.query_documents("notes"))[0]
    await native.save_document("notes", key, {"title": "Retitled by a program"})
    await expect(tab.locator(".note-title", has_text="Retitled by a program")).to_have_count(1)
    await native.close()


async def test_the_readme_s_page_example_runs_and_its_sample_reaches_the_server(
    own_chromium: Chromium, site: Site, tmp_path: Path
):
    with_web = Server(tmp_path / "server", token="secret").start()
    try:
        page = await own_chromium.open(with_web.blank)
        await page.python(EXAMPLES["page"])
        assert await page.python("sample['depth_m'], sample['done']") == [3.5, True]
        await eventually(lambda: held_by(with_web, "field"))
        assert body_of((await held_by(with_web, "field"))["samples/s12"]) == {"depth_m": 3.5, "done": True}
    finally:
        with_web.stop()


async def visit_demo(browser: Chromium, address: str) -> RawPage:
    """Open the demo as one device and wait for its first list."""
    tab = await browser.context.new_page()
    await tab.set_viewport_size({"width": 500, "height": 800})
    await tab.goto(address)
    await expect(tab.locator("#boot")).to_have_count(0, timeout=60_000)
    return tab


async def save_offline(page: Page) -> None:
    """Save fifty documents one by one, some at once, change one of the server's, and delete one that was saved."""
    await page.python("""
        for n in range(50):
            await db.save_document("samples", f"s{n:02}", {"depth_m": n / 2, "place": {"name": "Ufer", "no": n}})
        await db.save_documents("notes", {"a": {"n": 1}, "b": {"n": 2}})
        await db.save_document("notes", "shared", {"title": "from the page", "text": "an early text"})
        await db.delete_document("samples", "s07")
        await db.delete_document("notes", "a")
        """)
    status = await status_of(page)
    assert (status["state"], status["pending"], status["last_error"]) == ("offline", 51, None), status


async def check_saved_offline(page: Page) -> None:
    """What was saved is there and waits to be sent."""
    found = await held_by(page)
    assert len([name for name in found if name.startswith("samples/")]) == 49 and "samples/s07" not in found
    assert body_of(found["samples/s49"]) == {"depth_m": 24.5, "place": {"name": "Ufer", "no": 49}}
    assert body_of(found["notes/shared"]) == {"title": "from the page", "text": "an early text", "done": False}
    assert (await status_of(page))["pending"] == 51
