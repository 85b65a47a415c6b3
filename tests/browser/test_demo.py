"""The demo as a person uses it: Chromium on the built site, behind the real server, which asks for a token."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

import build
from tests.browser.harness import TOKEN, Chromium, FileHandler, Server, Site

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.timeout(120)]

BENCH = {"width": 1600, "height": 1000}
HAND = {"width": 360, "height": 740}
WIDTHS = (360, 480, 768, 1100, 1280, 1600)
HEIGHT = 760
FROM_BENCH = 1100  # so wide that both devices and the server stand side by side
SAMPLES = 6

Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_demo(chromium: Chromium, server: Server) -> AsyncIterator[Open]:
    """Opens the demo in a tab of a given size; at the end nothing may have gone wrong unseen in it."""
    tabs: list[tuple[Page, list[str]]] = []

    async def open_one(size: dict[str, int] = BENCH, address: str = "/") -> Page:
        tab = await chromium.context.new_page()
        troubles = watched(tab)
        tabs.append((tab, troubles))
        await tab.set_viewport_size(size)
        await tab.emulate_media(reduced_motion="reduce")  # without a graphics card, motion keeps a core busy
        await tab.goto(f"{server.url}{address}#token={TOKEN}")
        await started(tab)
        return tab

    yield open_one
    for tab, _ in tabs:
        await tab.close()
    await chromium.forget(server.url)
    assert [troubles for _, troubles in tabs] == [[] for _ in tabs]


def watched(tab: Page) -> list[str]:
    """Collect what nobody caught in a tab, and what its policy forbade."""
    troubles: list[str] = []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda line: troubles.append(line.text) if "Security Policy" in line.text else None)
    return troubles


async def started(tab: Page) -> None:
    """Wait until the first list is drawn and the card of the start has gone."""
    await expect(tab.locator("#boot:not([data-failed])")).to_have_count(0, timeout=60_000)
    failures = await tab.locator("#boot[data-failed]:not([data-leaving])").all_inner_texts()
    assert failures == []


def device(tab: Page, name: str) -> Locator:
    """Give one device's screen."""
    return tab.locator(f".device[data-device={name}]")


def cable(tab: Page, name: str) -> Locator:
    """Give the switch that pulls a device's cable on the bench."""
    return tab.locator(f".link[data-link={name}] .cable")


def titles(place: Locator) -> Locator:
    """Give the titles of a device's list."""
    return place.locator(".note-title")


async def resize(tab: Page, width: int) -> None:
    """Give the window a width, and wait until the page is laid out for it."""
    await tab.set_viewport_size({"width": width, "height": HEIGHT})
    layout = "bench" if width >= FROM_BENCH else "single"
    await expect(tab.locator(":root")).to_have_attribute("data-layout", layout)


async def write(place: Locator, title: str, text: str = "") -> None:
    """Write a new note and return to the list."""
    await place.locator(".list-pane [data-action=new]").first.click()
    await place.get_by_label("Title").fill(title)
    await place.get_by_label("Text", exact=True).fill(text)
    await place.page.keyboard.press("Escape")
    await expect(titles(place).first).to_have_text(title)


async def add_samples(tab: Page) -> None:
    """Fill the tablet with the sample notes and wait until the phone has them."""
    await device(tab, "tablet").get_by_role("button", name="Add sample notes").click()
    await expect(titles(device(tab, "phone"))).to_have_count(SAMPLES)


async def in_step(tab: Page) -> None:
    """Wait until the server has all that the tablet shows, and the phone shows it too."""
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await expect(tablet.locator(".status-text")).to_contain_text("All on the server")
    for part in (".note-title", ".note-text"):
        await expect(phone.locator(part)).to_have_text(await tablet.locator(part).all_inner_texts())


async def pull_both(tab: Page) -> None:
    """Pull both cables, once both devices show the same."""
    await in_step(tab)
    for name in ("tablet", "phone"):
        await cable(tab, name).click()


async def test_a_note_reaches_the_server_and_the_other_device(open_demo: Open) -> None:
    tab = await open_demo()
    await expect(tab.locator(".server")).to_contain_text("No documents yet")
    await write(device(tab, "tablet"), "Gauge W-07", "1.42 m")
    await expect(titles(device(tab, "phone"))).to_have_text(["Gauge W-07"])
    await expect(tab.locator(".record-title")).to_have_text(["Gauge W-07"])
    await expect(device(tab, "tablet").locator(".mark")).to_have_attribute("data-mark", "synced")
    await expect(device(tab, "tablet").locator(".status-text")).to_contain_text("All on the server")


async def test_a_pulled_cable_holds_changes_back_until_it_is_plugged_in(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    await cable(tab, "phone").click()
    await expect(cable(tab, "phone")).to_have_attribute("aria-checked", "false")
    await write(device(tab, "phone"), "Written without a signal")
    phone = device(tab, "phone")
    await expect(phone.locator(".mark").first).to_have_attribute("data-mark", "waiting")
    await expect(phone.locator(".status-text")).to_contain_text("Cable pulled. 1 change waits here")
    await expect(titles(device(tab, "tablet"))).to_have_count(SAMPLES)
    await cable(tab, "phone").click()
    await expect(titles(device(tab, "tablet")).first).to_have_text("Written without a signal")
    await expect(phone.locator(".mark").first).to_have_attribute("data-mark", "synced")


async def test_changes_of_different_fields_come_together(open_demo: Open) -> None:
    tab = await open_demo()
    await write(device(tab, "tablet"), "Stile on path 23b", "Step rotten.")
    await pull_both(tab)
    for name in ("tablet", "phone"):
        await device(tab, name).locator(".note-open").click()
    await device(tab, "tablet").get_by_label("Title").fill("Stile on path 23b: repaired")
    await device(tab, "phone").get_by_label("Add a tag").fill("oak plank,")
    await device(tab, "phone").get_by_label("Add a tag").press("Enter")
    for name in ("tablet", "phone"):
        await expect(device(tab, name).locator(".status-text")).to_contain_text("1 change")
        await cable(tab, name).click()
    for name in ("tablet", "phone"):
        await expect(device(tab, name).get_by_label("Title")).to_have_value("Stile on path 23b: repaired")
        await expect(device(tab, name).locator(".tag")).to_have_attribute("data-tag", "oak-plank")


async def test_what_another_device_overwrote_is_shown_and_can_be_put_back(open_demo: Open) -> None:
    tab = await open_demo()
    await write(device(tab, "tablet"), "Culvert 14", "Blocked.")
    await pull_both(tab)
    for name, text in (("tablet", "The tablet's words"), ("phone", "The phone's, written later")):
        await device(tab, name).locator(".note-open").click()
        await device(tab, name).get_by_label("Text", exact=True).fill(text)
        await expect(device(tab, name).locator(".status-text")).to_contain_text("1 change")
    for name in ("phone", "tablet"):
        await cable(tab, name).click()
        await expect(device(tab, name).locator(".status-text")).not_to_contain_text("Cable pulled")
    tablet = device(tab, "tablet")
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "aside")
    await expect(tablet.get_by_label("Text", exact=True)).to_have_value("The phone's, written later")
    await tablet.get_by_role("button", name="Restore").click()
    await expect(device(tab, "phone").get_by_label("Text", exact=True)).to_have_value("The tablet's words")
    await expect(tablet.locator(".aside")).to_be_hidden()


async def test_a_deleted_note_comes_back_by_undo(open_demo: Open) -> None:
    tab = await open_demo()
    await write(device(tab, "tablet"), "Boundary stone 118", "Under moss.")
    await expect(titles(device(tab, "phone"))).to_have_count(1)
    await device(tab, "tablet").locator(".note-open").focus()
    await tab.keyboard.press("Delete")
    await expect(titles(device(tab, "phone"))).to_have_count(0)
    await device(tab, "tablet").get_by_role("button", name="Undo").click()
    await expect(titles(device(tab, "phone"))).to_have_text(["Boundary stone 118"])
    await expect(device(tab, "phone").locator(".note-text")).to_have_text("Under moss.")


async def test_text_of_documents_is_never_html(open_demo: Open) -> None:
    tab = await open_demo()
    markup = "<img src=x onerror=alert(1)><b>bold</b>"
    await write(device(tab, "tablet"), markup, markup)
    await device(tab, "tablet").locator(".note-open").click()
    await device(tab, "tablet").get_by_label("Add a tag").fill("<i>tag</i>")
    await device(tab, "tablet").get_by_label("Add a tag").press("Enter")
    await expect(titles(device(tab, "phone"))).to_have_text([markup])
    await expect(tab.locator(".record-title")).to_have_text([markup])
    assert await tab.locator("main :is(img, b, i:not(.skeleton *))").count() == 0


async def test_the_keyboard_reaches_everything(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, keys = device(tab, "tablet"), tab.keyboard
    for title in ("First", "Second"):
        await keys.press("n")
        await keys.type(f"{title} with n, d, c and / in it")
        await keys.press("Enter")
        await keys.type("Its text")
        await keys.press("Escape")
        await expect(titles(tablet).first).to_contain_text(title)
    await keys.press("/")
    await keys.type("first")
    await expect(titles(tablet)).to_have_count(1)
    await keys.press("Escape")
    await expect(titles(tablet)).to_have_count(2)
    await keys.press("ArrowDown")
    await keys.press("ArrowDown")
    await expect(tablet.locator(".note-open:focus .note-title")).to_contain_text("First")
    await keys.press("d")
    await expect(tablet.locator(".note[data-done] .note-title")).to_contain_text("First")
    await keys.press("c")
    await expect(cable(tab, "tablet")).to_have_attribute("aria-checked", "false")
    await keys.press("Delete")
    await expect(titles(tablet)).to_have_count(1)


async def test_a_phone_shows_one_device_and_its_back_button_returns_to_the_list(open_demo: Open) -> None:
    tab = await open_demo(HAND, "/?device=phone")
    phone = device(tab, "phone")
    await expect(device(tab, "tablet")).to_be_hidden()
    await expect(tab.locator(".server")).to_be_hidden()
    await write(phone, "Red kite nest")
    await phone.locator(".note-open").click()
    await expect(phone.get_by_label("Title")).to_be_visible()
    await tab.go_back()
    await expect(phone.get_by_label("Title")).to_be_hidden()
    await expect(titles(phone)).to_be_visible()


async def test_nothing_reaches_beyond_the_window(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    for width in WIDTHS:
        await resize(tab, width)
        await tab.reload()
        await started(tab)
        await expect(titles(device(tab, "tablet"))).to_have_count(SAMPLES)
        assert await tab.evaluate(TOO_WIDE) == [], width
        await device(tab, "tablet").locator(".note-open").first.click()
        await expect(device(tab, "tablet").get_by_label("Title")).to_be_in_viewport(ratio=1)
        assert await tab.evaluate(TOO_WIDE) == [], width


TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 1 && one.checkVisibility({visibilityProperty: true}) && !one.closest("svg")
        && (box.right > innerWidth + 1 || box.left < -1);
}).map((one) => one.outerHTML.slice(0, 120))"""


async def test_its_start_is_shown_while_the_page_itself_still_comes(chromium: Chromium) -> None:
    first, last = (build.SITE / "index.html").read_bytes().split(b'<p class="boot-text"')

    class InTwoParts(FileHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(build.SITE))

        def do_GET(self) -> None:
            if self.path != "/":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(first)
            time.sleep(1)  # long enough for Python to be on its way
            self.wfile.write(b'<p class="boot-text"' + last)
            self.close_connection = True

    site = Site()
    site.handler = InTwoParts
    site.start()
    tab = await chromium.context.new_page()
    troubles = watched(tab)
    await tab.goto(site.address("/"))
    await started(tab)
    await tab.close()
    await chromium.forget(site.address(""))
    site.stop()
    assert troubles == []


async def test_it_opens_and_works_with_the_server_down(own_chromium: Chromium, server: Server) -> None:
    tab = await own_chromium.context.new_page()
    await tab.set_viewport_size(BENCH)
    await tab.goto(f"{server.url}/#token={TOKEN}")
    await started(tab)
    await add_samples(tab)
    await tab.evaluate("async () => { await navigator.serviceWorker.ready; }")
    server.stop()
    await tab.reload()
    await started(tab)
    await expect(titles(device(tab, "tablet"))).to_have_count(SAMPLES)
    await write(device(tab, "tablet"), "Written with the server down")
    await expect(tab.locator(".server")).to_contain_text("can’t be reached")
    await own_chromium.close()

    await own_chromium.start()
    tab = await own_chromium.context.new_page()
    await tab.set_viewport_size(BENCH)
    await tab.goto(server.url)
    await started(tab)
    await expect(titles(device(tab, "tablet"))).to_have_count(SAMPLES + 1)
    await expect(device(tab, "tablet").locator(".mark").first).to_have_attribute("data-mark", "waiting")
    server.start()
    for name in ("tablet", "phone"):
        await device(tab, name).locator("summary").click()
        await device(tab, name).get_by_role("button", name="Sync now").click()
        await expect(device(tab, name).locator(".toast")).to_contain_text("Synced")
    await expect(titles(device(tab, "phone")).first).to_have_text("Written with the server down")
    await expect(tab.locator(".record-title").first).to_have_text("Written with the server down")


async def test_a_new_version_is_offered_and_taken_on_reload(own_chromium: Chromium, tmp_path: Path) -> None:
    build.build_dist()
    site = tmp_path / "site"
    shutil.copytree(build.SITE, site)
    server = Server(tmp_path / "data", token=None, options=("--web", str(site))).start(web=False)
    try:
        tab = await own_chromium.context.new_page()
        await tab.set_viewport_size(BENCH)
        await tab.goto(server.url)
        await started(tab)
        await tab.evaluate("async () => { await navigator.serviceWorker.ready; }")
        publish(site, "style.css", ":root { --published: again; }")
        await tab.reload()
        await started(tab)
        assert await tab.evaluate(PUBLISHED) == ""
        await tab.get_by_role("button", name="Reload").click()
        await expect(tab.locator("#update")).to_be_hidden()
        await tab.wait_for_load_state()
        await started(tab)
        assert await tab.evaluate(PUBLISHED) == "again"
        assert len(await tab.evaluate("caches.keys()")) == 1
    finally:
        server.stop()


PUBLISHED = "getComputedStyle(document.documentElement).getPropertyValue('--published')"


def publish(site: Path, name: str, addition: str) -> None:
    """Change a file of the site and its manifest, as another build would."""
    path = site / name
    path.write_text(path.read_text("utf-8") + addition, "utf-8")
    path.with_name(f"{name}.gz").unlink(missing_ok=True)
    manifest = json.loads((site / "manifest.json").read_text("utf-8"))
    manifest["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["version"] = build.digest(json.dumps(manifest["files"]))[:16]
    (site / "manifest.json").write_text(json.dumps(manifest), "utf-8")
