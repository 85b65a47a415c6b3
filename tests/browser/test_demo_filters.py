"""What a device holds, as a person sees it in the demo: notes leave and come, nothing is lost, and what it took."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.test_demo import SAMPLES, Open, add_samples, cable, device, open_demo, started, titles

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.timeout(120)]

__all__ = ["open_demo"]  # a fixture, used by its name

STILE, CULVERT = "Stile on path 23b: step rotten", "Culvert 14 blocked after the storm"
GAUGE, CAMERA = "Gauge W-07: 1.42 m", "Trail camera 6: batteries changed"
STONE, KITE = "Boundary stone 118 found", "Red kite nest in the oak at P3"

WATCH = """list => {
    window.moves = [];
    new MutationObserver(records => records.forEach(({attributeName: name, target}) => {
        const title = target.querySelector(".note-title");
        if (target.hasAttribute(name)) moves.push(`${name.slice(5)} ${title.textContent}`);
    })).observe(list, {subtree: true, attributeFilter: ["data-leaving", "data-coming"]});
}"""


async def test_notes_leave_and_come_with_the_filter_and_with_what_others_change(open_demo: Open) -> None:
    tab = await open_demo()
    await tab.emulate_media(reduced_motion="no-preference")
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await add_samples(tab)
    await phone.locator("[data-part=list]").evaluate(WATCH)

    answers = await hold_back(tab)
    await choose(phone, "Open notes only")
    await expect(phone.locator(".holds-state")).to_have_text("Fetching…")
    await expect(titles(phone)).to_have_count(SAMPLES)
    answers.set()
    await expect(titles(phone)).to_have_text([CULVERT, STONE, KITE, STILE])
    await expect(phone.locator(".holds-state")).to_have_text("On this device")
    await expect(titles(tablet)).to_have_count(SAMPLES)

    await tablet.get_by_label(f"Done: {STONE}").click()
    await expect(titles(phone)).to_have_text([CULVERT, KITE, STILE])
    await tablet.get_by_label(f"Done: {GAUGE}").click()
    await expect(titles(phone)).to_have_text([CULVERT, GAUGE, KITE, STILE])
    await tablet.locator(".note-open", has_text=KITE).focus()
    await tab.keyboard.press("Delete")
    await expect(titles(phone)).to_have_text([CULVERT, GAUGE, STILE])
    assert sorted((await moves(tab))[:2]) == [f"leaving {GAUGE}", f"leaving {CAMERA}"]
    assert (await moves(tab))[2:] == [f"leaving {STONE}", f"coming {GAUGE}"], "a deleted note does not leave"

    await tablet.locator(".note-open", has_text=STILE).click()
    await tablet.get_by_label("Title").fill("Stile on path 23b")
    await expect(titles(phone)).to_have_text(["Stile on path 23b", CULVERT, GAUGE])
    await expect(phone.locator("[data-part=meter-took]")).to_have_text(re.compile(r"^[\d,]+ ms$"))
    for name in ("sent", "received", "saved"):
        await expect(phone.locator(f"[data-part=meter-{name}]")).to_have_text(re.compile(r"^[1-9]"))


async def test_what_was_changed_in_notes_that_leave_is_sent_and_the_choice_outlives_the_page(
    open_demo: Open,
) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await add_samples(tab)
    await tab.emulate_media(reduced_motion="reduce")
    await phone.locator("[data-part=list]").evaluate(WATCH)
    await choose(phone, "Open notes only")
    await expect(titles(phone)).to_have_count(4)

    await cable(tab, "phone").click()
    await phone.locator(".note-open", has_text=STILE).click()
    await phone.get_by_label("Text", exact=True).fill("Written before it left.")
    await tab.keyboard.press("Escape")
    await phone.get_by_label(f"Done: {KITE}").click()
    await expect(mark(phone, KITE)).to_have_attribute("data-mark", "leaving")
    await tablet.get_by_label(f"Done: {STILE}").click()
    await expect(tab.locator(".record[data-done]", has_text=STILE)).to_have_count(1)
    await expect(mark(phone, STILE)).to_have_attribute("data-mark", "waiting")
    await cable(tab, "phone").click()
    await expect(titles(phone)).to_have_text([CULVERT, STONE])
    await expect(phone.locator(".toast")).to_contain_text("2 notes left this device, which holds open notes only.")
    await expect(tablet.locator(".note", has_text=STILE)).to_contain_text("Written before it left.")
    assert not [move for move in await moves(tab) if move.startswith("leaving")], "nothing moves that should not"

    await cable(tab, "phone").click()
    await choose(phone, "#urgent notes only")
    await expect(phone.locator(".holds-state")).to_have_text("Waits for a signal")
    await expect(titles(phone)).to_have_text([CULVERT, STONE])
    await cable(tab, "phone").click()
    await expect(titles(phone)).to_have_text([CULVERT])
    await phone.locator(".list-pane [data-action=new]").first.click()
    await phone.get_by_label("Title").fill("Tree across the track")
    await expect(tablet.locator(".note", has_text="Tree across")).to_contain_text("#urgent")
    await tab.reload()
    await started(tab)
    await expect(phone.get_by_role("button", name="#urgent notes only")).to_have_attribute("aria-pressed", "true")
    await expect(titles(phone)).to_have_text(["Tree across the track", CULVERT])
    await choose(phone, "All notes")
    await expect(titles(phone)).to_have_count(SAMPLES + 1)


async def choose(place: Locator, name: str) -> None:
    """Choose what a device holds."""
    await place.get_by_role("button", name=name).click()


def mark(place: Locator, title: str) -> Locator:
    """Give the mark of a note in the list."""
    return place.locator(".note", has_text=title).locator(".mark")


async def moves(tab: Page) -> list[str]:
    """Give which notes were seen leaving or coming so far."""
    found: list[str] = await tab.evaluate("moves")
    return found


async def hold_back(tab: Page) -> asyncio.Event:
    """Hold back what the server is asked for a choice, until the event is set."""
    go_on = asyncio.Event()

    async def wait(route: Route) -> None:
        if '"subscriptions"' in (route.request.post_data or ""):
            await go_on.wait()
        await route.continue_()

    await tab.route("**/_api/sync/delta", wait)
    return go_on
