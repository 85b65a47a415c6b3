"""Conflicts in the demo: both versions side by side, chosen or merged by hand, and the ledger of what lost."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.test_demo import (
    HAND,
    TOO_WIDE,
    WIDTHS,
    Open,
    cable,
    device,
    in_step,
    open_demo,
    pull_both,
    resize,
    started,
    titles,
    write,
)

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.timeout(120)]

__all__ = ["open_demo"]  # a fixture, used by its name

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"
BEFORE = "Branches in the pipe.\nWater on the track.\nNeeds the excavator."
TABLET = "Branches and gravel in the pipe.\nWater on the track.\nNeeds the excavator."
PHONE = "Branches in the pipe.\nWater on the track.\nNeeds the small excavator."


async def choose_strategy(place: Locator, name: str) -> None:
    """Choose in a device's sync sheet how its conflicts are decided."""
    await place.locator("summary").click()
    await place.get_by_role("radio", name=name).check()
    await place.locator("summary").click()


async def edit(place: Locator, **fields: str) -> None:
    """Open the only note of a device and type into its fields; return to the list when it waits to be sent."""
    await place.locator(".note-open").click()
    for name, value in fields.items():
        await place.get_by_label(name.capitalize(), exact=True).fill(value)
    await place.page.keyboard.press("Escape")
    await expect(place.locator(".status-text")).to_contain_text("1 change waits")


async def plug_both(tab: Page) -> None:
    """Plug the phone in, and when the server has what it wrote, the tablet, which meets it there."""
    await cable(tab, "phone").click()
    await expect(device(tab, "phone").locator(".status-text")).to_contain_text("All on the server")
    await cable(tab, "tablet").click()


async def in_conflict(
    tab: Page, before: dict[str, str], mine: dict[str, str], theirs: dict[str, str], strategy: str = "Ask me"
) -> Locator:
    """Let both devices change one note while both cables are pulled; give the tablet, which is to decide."""
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await choose_strategy(tablet, strategy)
    await write(tablet, before["title"], before.get("text", ""))
    await pull_both(tab)
    await edit(tablet, **mine)
    await edit(phone, **theirs)
    await plug_both(tab)
    if strategy == "Ask me":
        await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    return tablet


async def choose(place: Locator, field: str, side: str) -> None:
    """Choose a side for a field."""
    await place.get_by_role("group", name=field).get_by_role("radio", name=side).check()


async def save(place: Locator) -> None:
    """Save what was chosen."""
    await place.locator(".conflict-pane").get_by_role("button", name="Save").click()


async def agree(tab: Page, title: str, text: str) -> None:
    """Wait until both devices show the same, with nothing left to send or to decide."""
    for name in ("tablet", "phone"):
        place = device(tab, name)
        await expect(titles(place)).to_have_text([title])
        if not await place.get_by_label("Title", exact=True).is_visible():
            await place.locator(".note-open").click()
        await expect(place.get_by_label("Text", exact=True)).to_have_value(text)
        await expect(place.locator(".status-text")).to_contain_text("All on the server")
        await expect(place.locator(".mark")).not_to_have_attribute("data-mark", "conflict")


async def test_a_conflict_is_shown_side_by_side_and_resolved_by_choosing_fields(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(
        tab,
        {"title": "Culvert 14", "text": "Blocked."},
        {"title": "Culvert 14, north", "text": "Blocked by gravel."},
        {"title": "Culvert 14, south", "text": "Blocked by branches."},
    )
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    await expect(tablet.locator(".status-text")).to_contain_text("1 conflict")
    await tablet.locator(".note-open").click()
    for field, values in (
        ("Title", ["Culvert 14, north", "Culvert 14, south"]),
        ("Text", ["Blocked by gravel.", "Blocked by branches."]),
    ):
        sides = tablet.get_by_role("group", name=field).locator(".side-value")
        await expect(sides).to_have_text(values)
        boxes = [await sides.nth(place).bounding_box() for place in (0, 1)]
        assert boxes[0]["y"] == boxes[1]["y"], "side by side"
    await expect(tablet.locator(".compare-same dt")).to_have_text(["Tags", "Done"])
    await expect(tablet.locator("[data-part=conflict-state]")).to_contain_text("2 choices to make")
    await choose(tablet, "Title", "This device")
    await choose(tablet, "Text", "The phone")
    await save(tablet)
    await agree(tab, "Culvert 14, north", "Blocked by branches.")
    await expect(titles(tablet)).to_have_count(1)


async def test_the_merge_of_both_texts_is_offered_and_can_be_edited(open_demo: Open) -> None:
    tab = await open_demo()
    before = {"title": "Culvert 14", "text": BEFORE}
    tablet = await in_conflict(tab, before, {"text": TABLET}, {"text": PHONE})
    await tablet.locator(".note-open").click()
    own = tablet.get_by_label("Text, by hand")
    merged = TABLET.replace("the excavator", "the small excavator")
    await expect(own).to_have_value(merged)
    await expect(tablet.get_by_role("radio", name="Both, merged")).to_be_checked()
    await expect(tablet.locator(".side-value mark")).to_have_text(["and gravel", "small"])
    await expect(tablet.locator(".compare-base")).to_be_hidden()
    await tablet.get_by_role("button", name="Show what was before").click()
    await expect(tablet.locator(".compare-base")).to_contain_text("Branches in the pipe.")
    await choose(tablet, "Text", "This device")
    await own.fill(f"{merged}\nAccess from the quarry.")
    await expect(tablet.get_by_role("radio", name="Both, merged")).to_be_checked()
    await save(tablet)
    await agree(tab, "Culvert 14", f"{merged}\nAccess from the quarry.")


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "deleted"])
async def test_a_delete_here_against_an_edit_there_is_decided_by_hand(open_demo: Open, is_kept: bool) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await choose_strategy(tablet, "Ask me")
    await write(tablet, "Boundary stone 118", "Under moss.")
    await pull_both(tab)
    await edit(phone, text="Under moss, photographed.")
    await tablet.locator(".note-open").focus()
    await tab.keyboard.press("Delete")
    await expect(titles(tablet)).to_have_count(0)
    await plug_both(tab)
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    await tablet.locator(".note-open").click()
    await expect(tablet.locator(".side-value").first).to_have_text("Deleted")
    await expect(tablet.locator(".side-value").last).to_contain_text("Under moss, photographed.")
    await choose(tablet, "What becomes of it", "The phone" if is_kept else "This device")
    await save(tablet)
    if is_kept:
        await agree(tab, "Boundary stone 118", "Under moss, photographed.")
    else:
        for place in (tablet, phone):
            await expect(titles(place)).to_have_count(0)
            await expect(place.locator(".status-text")).to_contain_text("All on the server")


async def test_an_edit_here_against_a_delete_there_is_decided_by_hand(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await choose_strategy(tablet, "Ask me")
    await write(tablet, "Boundary stone 118", "Under moss.")
    await pull_both(tab)
    await edit(tablet, text="Under moss, photographed.")
    await phone.locator(".note-open").focus()
    await tab.keyboard.press("Delete")
    await plug_both(tab)
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    await tablet.locator(".note-open").click()
    await expect(tablet.locator(".side-value").last).to_have_text("Deleted")
    await choose(tablet, "What becomes of it", "This device")
    await save(tablet)
    await agree(tab, "Boundary stone 118", "Under moss, photographed.")


async def test_a_conflict_and_the_strategy_survive_a_reload(open_demo: Open) -> None:
    tab = await open_demo()
    await in_conflict(tab, {"title": "Gauge"}, {"title": "Gauge W-07"}, {"title": "Gauge W-08"})
    await expect(device(tab, "tablet").locator(".mark")).to_have_attribute("data-mark", "conflict")
    await tab.reload()
    await started(tab)
    tablet = device(tab, "tablet")
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    await tablet.locator("summary").click()
    await expect(tablet.get_by_role("radio", name="Ask me")).to_be_checked()
    await tablet.locator("summary").click()
    await expect(
        device(tab, "phone").get_by_role("radio", name="Merge fields", include_hidden=True)
    ).to_be_checked()
    await tablet.locator(".note-open").click()
    await choose(tablet, "Title", "The phone")
    await save(tablet)
    await agree(tab, "Gauge W-08", "")


async def test_a_change_from_elsewhere_is_seen_before_anything_is_saved(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(tab, {"title": "Gauge"}, {"title": "Gauge W-07"}, {"title": "Gauge W-08"})
    phone = device(tab, "phone")
    await tablet.locator(".note-open").click()
    await choose(tablet, "Title", "This device")
    await phone.locator(".note-open").click()
    await phone.get_by_label("Title", exact=True).fill("Gauge W-09")
    await expect(tablet.locator(".side-value")).to_have_text(["Gauge W-07", "Gauge W-09"])
    await expect(tablet.locator("[data-part=conflict-state]")).to_contain_text("1 choice to make")
    await save(tablet)
    await expect(tablet.get_by_role("radio", name="This device")).to_be_focused()
    await choose(tablet, "Title", "The phone")
    await save(tablet)
    await agree(tab, "Gauge W-09", "")


async def test_a_note_that_is_open_says_that_it_is_in_conflict(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await choose_strategy(tablet, "Ask me")
    await write(tablet, "Gauge")
    await pull_both(tab)
    await edit(phone, title="Gauge W-08")
    await tablet.locator(".note-open").click()
    await tablet.get_by_label("Title", exact=True).fill("Gauge W-07")
    await expect(tablet.locator(".status-text")).to_contain_text("1 change waits")
    await plug_both(tab)
    await tablet.get_by_role("button", name="Compare and choose").click()
    await expect(tablet.get_by_role("radio", name="This device")).to_be_focused()
    await expect(tablet.locator(".side-value")).to_have_text(["Gauge W-07", "Gauge W-08"])


async def test_the_same_change_on_both_devices_leaves_nothing_to_choose(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(tab, {"title": "Gauge"}, {"title": "Gauge W-07"}, {"title": "Gauge W-07"})
    await tablet.locator(".note-open").click()
    await expect(tablet.locator(".conflict-pane")).to_contain_text("nothing to choose")
    await expect(tablet.locator(".conflict-pane").get_by_role("button", name="Save")).to_be_focused()
    await tab.keyboard.press("Enter")
    await agree(tab, "Gauge W-07", "")


async def test_an_edit_that_lost_to_a_delete_is_offered_and_restored_from_the_ledger(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await write(tablet, "Boundary stone 118", "Under moss.")
    await pull_both(tab)
    await edit(tablet, text="Under moss, photographed.")
    await phone.locator(".note-open").focus()
    await tab.keyboard.press("Delete")
    await expect(phone.locator(".note-open")).to_have_count(0)
    await plug_both(tab)
    await expect(tablet.locator(".toast")).to_contain_text("was deleted elsewhere")
    await expect(titles(tablet)).to_have_count(0)
    await tab.keyboard.press("l")
    pane = tablet.locator(".ledger-pane")
    await expect(pane.locator("h4")).to_have_text("Boundary stone 118")
    await pane.get_by_role("button", name="Restore").click()
    await agree(tab, "Boundary stone 118", "Under moss, photographed.")


async def test_a_three_way_merge_takes_both_texts(open_demo: Open) -> None:
    tab = await open_demo()
    before = {"title": "Culvert 14", "text": BEFORE}
    await in_conflict(tab, before, {"text": TABLET}, {"text": PHONE}, "Three-way merge")
    await agree(tab, "Culvert 14", TABLET.replace("the excavator", "the small excavator"))


async def test_the_last_change_wins_as_a_whole_and_the_ledger_restores_the_other(open_demo: Open) -> None:
    tab = await open_demo()
    before = {"title": "Culvert 14", "text": "Blocked."}
    tablet = await in_conflict(tab, before, {"title": "Culvert 14 b"}, {"text": "Cleared."}, "Last change wins")
    await agree(tab, "Culvert 14", "Cleared.")
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "aside")
    await tab.keyboard.press("Escape")
    await tablet.get_by_role("button", name="Ledger").click()
    entry = tablet.locator(".entry")
    await expect(entry).to_have_count(1)
    await expect(entry).to_contain_text("Culvert 14 b")
    await expect(entry).to_contain_text("Made on this device")
    await expect(entry).to_contain_text("Two devices changed the note")
    await entry.get_by_role("button", name="Restore").click()
    await expect(entry).to_contain_text("Restored")
    for name in ("tablet", "phone"):
        await expect(titles(device(tab, name))).to_have_text(["Culvert 14 b"])
        await expect(device(tab, name).locator(".mark")).not_to_have_attribute("data-mark", "aside")
    await expect(entry.get_by_role("button", name="Open the note")).to_be_focused()


async def test_the_ledger_shows_one_note_or_all_newest_first(open_demo: Open) -> None:
    tab = await open_demo()
    tablet, phone = device(tab, "tablet"), device(tab, "phone")
    await tablet.get_by_role("button", name="Ledger").click()
    await expect(tablet.locator(".ledger-pane")).to_contain_text("Nothing was set aside")
    await tab.keyboard.press("Escape")
    for title in ("First", "Second"):
        await write(tablet, title)
        await expect(titles(phone).first).to_have_text(title)
    await pull_both(tab)
    for place, words in ((tablet, "the tablet"), (phone, "the phone")):
        for title in ("First", "Second"):
            await place.locator(".note-open", has_text=title).click()
            await place.get_by_label("Text", exact=True).fill(f"{title} by {words}")
            await tab.keyboard.press("Escape")
        await expect(place.locator(".status-text")).to_contain_text("2 changes wait")
    await plug_both(tab)
    await expect(tablet.locator(".mark[data-mark=aside]")).to_have_count(2)
    await tablet.locator(".note-open", has_text="First").click()
    await tablet.get_by_role("button", name="All that was set aside of this note").click()
    await expect(tablet.locator(".entry")).to_have_count(1)
    await expect(tablet.locator(".entry dd")).to_have_text(["First by the tablet", "First by the phone"])
    await tablet.get_by_label("Show changes of").select_option("All notes")
    await expect(tablet.locator(".entry dd:nth-of-type(1)")).to_have_text(
        ["Second by the tablet", "First by the tablet"]
    )


async def refuse(route: Route) -> None:
    """Answer in the server's place that it refuses the changes of a request, where there are any."""
    asked = route.request.post_data_json
    if not asked["changes"]:
        await route.continue_()
        return
    changes, asked["changes"], asked["limit"] = asked["changes"], [], 1
    response = await route.fetch(post_data=json.dumps(asked))
    answer = await response.json()
    error = {"code": "not_allowed", "message": "the quarry is closed"}
    answer["results"] = [{"op_id": one["op_id"], "status": "rejected", "error": error} for one in changes]
    await route.fulfill(response=response, body=json.dumps(answer))


async def test_what_the_server_refused_is_in_the_ledger_with_its_words(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = device(tab, "tablet")
    await write(tablet, "Quarry")
    await in_step(tab)
    await cable(tab, "phone").click()
    await tab.route("**/_api/sync/delta", refuse)
    await tablet.locator(".note-open").click()
    await tablet.get_by_label("Title", exact=True).fill("Quarry entered")
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "aside")
    await expect(titles(tablet)).to_have_text(["Quarry"])
    await tab.unroute_all(behavior="ignoreErrors")
    await tab.keyboard.press("Escape")
    await tablet.get_by_role("button", name="Ledger").click()
    entry = tablet.locator(".entry")
    await expect(entry.locator("dd").first).to_have_text("Quarry entered")
    await expect(entry).to_contain_text("Refused")
    await expect(entry).to_contain_text("the quarry is closed")
    await entry.get_by_role("button", name="Restore").click()
    await expect(tab.locator(".record-title")).to_have_text(["Quarry entered"])


async def test_markup_in_values_stays_text(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(
        tab, {"title": "Gauge"}, {"title": MARKUP, "text": MARKUP}, {"title": f"{MARKUP}2", "text": f"{MARKUP}2"}
    )
    await tablet.locator(".note-open").click()
    await expect(tablet.get_by_role("group", name="Title").locator(".side-value")).to_have_text(
        [MARKUP, f"{MARKUP}2"]
    )
    await tablet.get_by_role("button", name="All from the phone").click()
    await save(tablet)
    await agree(tab, f"{MARKUP}2", f"{MARKUP}2")
    await tab.keyboard.press("l")
    await tablet.get_by_role("button", name="Ledger").click()
    await expect(tablet.locator(".entry dd").first).to_have_text(MARKUP)
    assert await tab.locator("main :is(img, .side-value b, .entry b, .note b)").count() == 0


async def test_the_keyboard_alone_decides_a_conflict(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(
        tab,
        {"title": "Gauge"},
        {"title": "Gauge W-07", "text": "1.42 m"},
        {"title": "Gauge W-08", "text": "1.18 m"},
    )
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    keys = tab.keyboard
    await tablet.locator(".note-open").focus()
    await keys.press("Enter")
    await keys.press("Escape")
    await expect(tablet.locator(".note-open")).to_be_focused()
    await keys.press("Enter")
    await keys.press("Space")
    await keys.press("ArrowDown")
    await expect(tablet.get_by_role("group", name="Title").get_by_role("radio", name="The phone")).to_be_checked()
    await keys.press("Control+Enter")
    await expect(tablet.get_by_role("group", name="Text").get_by_role("radio").first).to_be_focused()
    await keys.press("Tab")
    await expect(tablet.get_by_label("Text, by hand")).to_be_focused()
    await keys.press("Control+a")
    await keys.type("1.30 m")
    await keys.press("Control+Enter")
    await agree(tab, "Gauge W-08", "1.30 m")


async def test_no_conflict_reaches_beyond_the_window(open_demo: Open) -> None:
    tab = await open_demo()
    long = "Supercalifragilistic" * 12
    tablet = await in_conflict(
        tab,
        {"title": "Culvert 14", "text": BEFORE},
        {"title": f"{long} a", "text": f"{TABLET}\n{long}"},
        {"title": f"{long} b", "text": f"{PHONE}\n{long} too"},
    )
    for width in reversed(WIDTHS):  # the narrowest last: there it is decided
        await resize(tab, width)
        await tab.reload()
        await started(tab)
        await tablet.locator(".mark[data-mark=conflict]").wait_for()
        await tablet.locator(".note-open").click()
        await tablet.get_by_role("button", name="Show what was before").click()
        await expect(tablet.get_by_role("button", name="Save")).to_be_in_viewport(ratio=1)
        assert await tab.evaluate(OUT_OF_PLACE) == [], width
    await tablet.get_by_role("button", name="All from another device").click()
    await save(tablet)
    await expect(tablet.get_by_label("Title", exact=True)).to_be_in_viewport()
    await tab.keyboard.press("Escape")
    await tablet.get_by_role("button", name="Ledger").click()
    for width in WIDTHS:
        await resize(tab, width)
        await expect(tablet.locator(".entry").first).to_be_in_viewport()
        assert await tab.evaluate(OUT_OF_PLACE) == [], width
    await tablet.locator("summary").click()
    for width in WIDTHS:
        await resize(tab, width)
        assert await tab.evaluate(OUT_OF_PLACE) == [], width


OUT_OF_PLACE = f"""() => [
    ...({TOO_WIDE})(),
    ...[...document.querySelectorAll(".screen, .panes, .pane, .pane > .scroll")].filter((one) => one.scrollLeft)
        .map((one) => one.className),
]"""


async def test_on_a_phone_versions_are_stacked_and_back_returns_to_the_list(open_demo: Open) -> None:
    tab = await open_demo()
    tablet = await in_conflict(tab, {"title": "Gauge"}, {"title": "Gauge W-07"}, {"title": "Gauge W-08"})
    await expect(tablet.locator(".mark")).to_have_attribute("data-mark", "conflict")
    await tab.set_viewport_size(HAND)
    await tab.reload()
    await started(tab)
    await tablet.locator(".mark[data-mark=conflict]").wait_for()
    await tablet.locator(".note-open").click()
    sides = tablet.locator(".side-value")
    boxes = [await sides.nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]["y"] < boxes[1]["y"] and boxes[0]["x"] == boxes[1]["x"], "stacked"
    await tab.go_back()
    await expect(tablet.locator(".conflict-pane")).to_be_hidden()
    await expect(titles(tablet)).to_be_visible()
