"""Searching and asking in the demo: the list's search, and the panel of live queries, in Chromium."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.browser.test_demo import (
    BENCH,
    HAND,
    SAMPLES,
    Open,
    add_samples,
    cable,
    device,
    open_demo,
    titles,
    write,
)

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.timeout(120)]

__all__ = ["open_demo"]  # a fixture, used by its name

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"


def search(place: Locator) -> Locator:
    """Give a device's search field."""
    return place.get_by_role("searchbox")


async def open_queries(place: Locator) -> None:
    """Open a device's panel of queries and wait for the first answer."""
    await place.get_by_role("button", name="Queries", exact=True).click()
    await expect(place.locator(".query-state")).to_contain_text("Live:", timeout=15_000)


async def ask(place: Locator, query: str) -> None:
    """Run a query in an open panel."""
    await place.get_by_label("Query, in SDBQL").fill(query)
    await place.get_by_role("button", name="Run").click()


def cells(place: Locator) -> Locator:
    """Give the cells of the answer."""
    return place.locator(".query-results td")


async def test_the_search_finds_by_title_text_and_tag_with_the_cable_pulled(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    phone, count = device(tab, "phone"), device(tab, "phone").locator("[data-part=count]")
    await cable(tab, "phone").click()
    for typed, found in (
        ("BOUNDARY", ["Boundary stone 118 found"]),
        ("gravel pipe", ["Culvert 14 blocked after the storm"]),
        ("#clos", ["Red kite nest in the oak at P3"]),
        ("#repair oak", ["Stile on path 23b: step rotten"]),
    ):
        await search(phone).fill(typed)
        await expect(titles(phone)).to_have_text(found)
        await expect(count).to_have_text(f"1 of {SAMPLES} notes")
        await expect(phone.get_by_role("search").get_by_role("status")).to_have_text("1 note found")
    await phone.get_by_role("button", name="Clear the search").click()
    await expect(titles(phone)).to_have_count(SAMPLES)
    await expect(search(phone)).to_be_focused()
    await phone.get_by_role("button", name="Done", exact=True).click()
    await expect(titles(phone)).to_have_count(2)
    await search(phone).fill("zebra")
    await expect(phone.locator(".empty")).to_contain_text("No done note here holds “zebra”.")
    await phone.get_by_role("button", name="Show all notes").click()
    await expect(titles(phone)).to_have_count(SAMPLES)


async def test_what_is_found_stays_right_while_notes_change(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    phone = device(tab, "phone")
    await search(phone).fill("heron")
    await expect(phone.locator(".empty")).to_be_visible()
    await write(device(tab, "tablet"), "Heron at the weir")
    await expect(titles(phone)).to_have_text(["Heron at the weir"])
    await phone.get_by_role("button", name="Open", exact=True).click()
    await phone.get_by_label("Done: Heron").click()
    await expect(titles(phone)).to_have_count(0)


async def test_an_answer_follows_notes_of_this_device_and_of_the_other(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    tablet = device(tab, "tablet")
    await open_queries(tablet)
    await tablet.get_by_role("button", name="Done share").click()
    await expect(cells(tablet)).to_have_text(["6", "2", "33 %"])
    await device(tab, "phone").get_by_label("Done: Boundary stone").click()
    await expect(cells(tablet)).to_have_text(["6", "3", "50 %"])
    await cable(tab, "tablet").click()
    await tablet.get_by_label("Done: Culvert 14").click()
    await expect(cells(tablet)).to_have_text(["6", "4", "67 %"])


async def test_what_another_tab_writes_is_in_the_answer_and_in_what_is_found(open_demo: Open) -> None:
    one, other = await open_demo(HAND, "/?device=phone"), await open_demo(BENCH)
    phone = device(one, "phone")
    await search(phone).fill("heron")
    await expect(phone.locator(".empty")).to_be_visible()
    await write(device(other, "phone"), "Heron at the weir")
    await expect(titles(phone)).to_have_text(["Heron at the weir"])
    await open_queries(phone)
    await ask(phone, "FOR note IN notes SORT note.title RETURN note.title")
    await expect(phone.locator(".query-results li")).to_have_count(1)
    await write(device(other, "phone"), "Otter below it")
    await expect(phone.locator(".query-results li")).to_have_text(['"Heron at the weir"', '"Otter below it"'])


async def test_every_query_that_comes_with_the_app_has_an_answer_or_says_that_it_has_none(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = device(tab, "tablet")
    await open_queries(tablet)
    await expect(tablet.locator(".query-nothing")).to_be_visible()
    await tablet.get_by_role("button", name="Add sample notes").click()
    for name in await tablet.get_by_role("group", name="Queries that come with the app").locator("button").all():
        await name.click()
        await expect(name).to_have_attribute("aria-pressed", "true")
        await expect(tablet.locator(".query-state")).to_have_attribute("data-state", "live")
        await expect(cells(tablet).first).to_be_visible()
        await expect(tablet.locator(".query-error")).to_be_hidden()


async def test_a_closed_panel_asks_nothing_and_an_open_one_is_up_to_date(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    tablet = device(tab, "tablet")
    await open_queries(tablet)
    await ask(tablet, "RETURN LENGTH((FOR note IN notes RETURN 1))")
    await expect(tablet.locator(".query-results li")).to_have_text(["6"])
    await tab.keyboard.press("Escape")
    await expect(tablet.locator(".queries-pane")).to_be_hidden()
    await write(device(tab, "phone"), "Written meanwhile")
    await expect(titles(tablet).first).to_have_text("Written meanwhile")
    assert await tablet.locator(".query-results").text_content() == "6"
    await tablet.locator(".note-open").first.focus()
    await tab.keyboard.press("q")
    await expect(tablet.locator(".query-results li")).to_have_text(["7"])


async def test_an_error_shows_the_place_and_goes_when_the_query_is_right(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = device(tab, "tablet")
    await write(tablet, "Gauge W-07")
    await open_queries(tablet)
    await ask(tablet, "FOR note IN notes\n  RETRUN note.title")
    error = tablet.get_by_role("alert")
    await expect(error).to_contain_text("Did you mean RETURN? (line 2, column 3)")
    assert await error.locator("pre").text_content() == "    RETRUN note.title\n    ^"
    await expect(tablet.get_by_label("Query, in SDBQL")).to_have_attribute("aria-invalid", "true")
    await ask(tablet, "FOR note IN notes REMOVE note IN notes")
    await expect(error).to_contain_text("can't be live")
    await ask(tablet, "FOR note IN notes RETURN note.title")
    await expect(tablet.locator(".query-results li")).to_have_text(['"Gauge W-07"'])
    await expect(tablet.locator(".query-error")).to_be_hidden()


async def test_an_answer_over_other_documents_than_expected_comes_when_they_are_mended(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = device(tab, "tablet")
    await write(tablet, "seven")
    await open_queries(tablet)
    await ask(tablet, "FOR note IN notes RETURN 10 / TO_NUMBER(note.text || '0')")
    await expect(tablet.get_by_role("alert")).to_contain_text("zero")
    await write(device(tab, "phone"), "to be removed")
    await expect(tablet.get_by_role("alert")).to_contain_text("zero")
    await device(tab, "phone").locator(".note-open").first.focus()
    await tab.keyboard.press("Delete")
    await expect(titles(device(tab, "phone"))).to_have_count(1)
    await device(tab, "phone").locator(".note-open").click()
    await device(tab, "phone").get_by_label("Text", exact=True).fill("4")
    await expect(tablet.locator(".query-results li")).to_have_text(["2.5"])
    await expect(tablet.locator(".query-error")).to_be_hidden()


async def test_an_own_query_travels_and_can_be_changed_and_deleted(open_demo: Open) -> None:
    tab = await open_demo()
    await add_samples(tab)
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    for one in (tablet, phone):
        await open_queries(one)
    await tablet.get_by_role("button", name="New query").click()
    await tab.keyboard.type("FOR note IN notes SORT note.title LIMIT 1 RETURN note.title")
    await tablet.get_by_role("button", name="Save").click()
    await expect(tablet.locator(".toast")).to_contain_text("Give the query a name")
    await tab.keyboard.type("First title")
    await tab.keyboard.press("Enter")
    own = phone.get_by_role("group", name="Your queries").get_by_role("button", name="First title")
    await own.click()
    await expect(phone.locator(".query-results li")).to_have_text(['"Boundary stone 118 found"'])
    await expect(tab.locator(".record-title").first).to_have_text("Query: First title")
    await tablet.get_by_label("Query, in SDBQL").fill("RETURN 'changed'")
    await tablet.get_by_role("button", name="Save").click()
    await expect(phone.locator(".query-results li")).to_have_text(['"changed"'])
    await phone.get_by_role("button", name="Delete this query").click()
    await expect(tablet.get_by_role("group", name="Your queries").locator("button")).to_have_count(0)
    await phone.get_by_role("button", name="Undo").click()
    await expect(tablet.get_by_role("group", name="Your queries").locator("button")).to_have_text(["First title"])


async def test_markup_in_answers_errors_and_names_stays_text(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = device(tab, "tablet")
    await write(tablet, MARKUP, MARKUP)
    await search(tablet).fill("<img")
    await expect(titles(tablet)).to_have_text([MARKUP])
    await search(tablet).fill("<b>none</b>")
    await expect(tablet.locator(".empty")).to_contain_text("<b>none</b>")
    await open_queries(tablet)
    await ask(tablet, "FOR note IN notes RETURN { [note.title]: note.text }")
    await expect(tablet.locator(".query-results th")).to_have_text([MARKUP])
    await expect(cells(tablet)).to_have_text([MARKUP])
    await ask(tablet, "FOR note IN notes RETURN [note.title]")
    await expect(tablet.locator(".query-results li")).to_have_text([f'["{MARKUP}"]'])
    await tablet.get_by_label("Name to save").fill(MARKUP)
    await tab.keyboard.press("Enter")
    own = device(tab, "phone").get_by_role("group", name="Your queries").locator("button")
    await open_queries(device(tab, "phone"))
    await expect(own).to_have_text([MARKUP])
    await ask(tablet, f"RETURN {MARKUP}")
    await expect(tablet.locator(".query-error pre")).to_contain_text("<img src=x")
    assert await tab.locator("main :is(img, b, i:not(.skeleton *))").count() == 0


async def test_the_keyboard_asks_and_opens_what_was_found(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, keys = device(tab, "tablet"), tab.keyboard
    await write(tablet, "Gauge W-07")
    await keys.press("q")
    await expect(tablet.get_by_role("button", name="Open notes by tag")).to_be_focused()
    await tablet.get_by_label("Query, in SDBQL").focus()
    await keys.press("Control+a")
    await keys.type("FOR note IN notes RETURN note")
    await keys.press("Control+Enter")
    await expect(tablet.locator(".query-results th").first).to_have_text("_key")
    await tablet.get_by_role("button", name="Open Gauge W-07").press("Enter")
    await expect(tablet.get_by_label("Title")).to_have_value("Gauge W-07")
    await expect(tablet.locator(".queries-pane")).to_be_hidden()


async def test_on_a_phone_the_back_button_leaves_the_queries(open_demo: Open) -> None:
    tab = await open_demo(HAND, "/?device=phone")
    phone = device(tab, "phone")
    await write(phone, "Red kite nest")
    await open_queries(phone)
    await expect(titles(phone)).to_be_hidden()
    await tab.go_back()
    await expect(phone.locator(".queries-pane")).to_be_hidden()
    await expect(titles(phone)).to_be_visible()


@pytest.mark.parametrize("size", [HAND, {"width": 480, "height": 760}, {"width": 1100, "height": 760}, BENCH])
async def test_no_answer_and_no_error_reaches_beyond_the_panel(open_demo: Open, size: dict[str, int]) -> None:
    tab = await open_demo(size)
    tablet = device(tab, "tablet")
    await tablet.get_by_role("button", name="Add sample notes").click()
    await expect(titles(tablet)).to_have_count(SAMPLES)
    await open_queries(tablet)
    long = "x" * 300
    for query in (f"RETURN '{long}'", f"RETURN {{ {long}: '{long} ' }}", f"RETURN 1 {long}"):
        await ask(tablet, query)
        await expect(tablet.locator(".query-results :is(li, td), .query-error:not([hidden])").first).to_be_visible()
        assert await tablet.locator(".queries-pane > .scroll").evaluate(
            "(one) => one.scrollWidth <= one.clientWidth"
        )
