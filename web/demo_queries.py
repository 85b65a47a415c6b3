"""The panel of queries: some that come with it, the person's own, and the live answer of the one that was run.

A person's queries are documents like the notes, so they travel to the other device. All of it works offline.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from demo_dom import Element, mark, part, parts, say, spawn, toast
from demo_live import Live
from demo_notes import QUERIES
from demo_panes import Desk
from demo_results import Results
from js import Date, document

import pysync_web as ps

OWN = """
FOR query IN queries
  FILTER IS_STRING(query.text)
  LET name = IS_STRING(query.name) ? TRIM(query.name) : ""
  SORT LOWER(name), query._key
  RETURN { key: query._key, name: name || "Untitled", text: query.text }
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A query that has a name; ``key`` is None where it comes with the page."""

    name: str
    text: str
    key: str | None = None


READY = (
    Saved(
        "Open notes by tag",
        """FOR note IN notes
  FILTER NOT note.done
  FOR tag IN TO_ARRAY(note.tags)
    COLLECT name = tag
      INTO titles = note.title
    SORT LENGTH(titles) DESC, name
    RETURN { tag: name, notes: titles }""",
    ),
    Saved(
        "Written today",
        """// @today is when this day began
FOR note IN notes
  FILTER note.edited >= @today
  SORT note.edited DESC
  RETURN {
    _key: note._key, title: note.title,
    tags: note.tags, done: note.done
  }""",
    ),
    Saved(
        "Most used tags",
        """FOR note IN notes
  FOR tag IN TO_ARRAY(note.tags)
    COLLECT name = tag
      WITH COUNT INTO uses
    SORT uses DESC, name
    LIMIT 10
    RETURN { tag: name, uses }""",
    ),
    Saved(
        "Done share",
        """LET notes_done = (
  FOR note IN notes
    FILTER note.done RETURN 1
)
LET all = LENGTH(notes), done = LENGTH(notes_done)
RETURN {
  notes: all, done,
  share: $'${ROUND(100 * done / (all || 1))} %'
}""",
    ),
    Saved(
        "Open the longest",
        """FOR note IN notes
  FILTER NOT note.done
  LET since = note.edited || note._timestamp
  SORT since
  LIMIT 5
  RETURN {
    _key: note._key, title: note.title,
    changed: HUMAN_TIME(since)
  }""",
    ),
)

BLANK = Saved("", "")


class QueryPanel:
    """Shows the panel and puts it away; while it is away, no query of it runs."""

    def __init__(self, desk: Desk) -> None:
        self._root, self._book, self._failed = desk.root, desk.book, desk.failed
        self._text, self._name = parts(desk.root, "query-text", "query-name")
        self._results = Results(part(desk.root, "query-results"))
        self._answers = Live(desk.book.sync, self._show, self._refuse, desk.failed)
        self._owns = Live(desk.book.sync, self._take_own, desk.failed, desk.failed)
        self._own: list[Saved] = []
        self._chosen = BLANK
        self._asked = self._answer = ""
        self._is_new_here = True
        self.is_open = False

    # Opening and closing

    def open(self) -> None:
        """Show the panel and ask again what was asked last, or the first of the queries."""
        self.is_open = True
        mark(self._root, "view", "queries")
        if self._is_new_here:
            self._is_new_here = False
            self._put(READY[0])
        self._draw_names()
        spawn(self._begin(), self._failed)

    async def _begin(self) -> None:
        """Ask once the panel is seen: the query engine may have to be imported first."""
        await asyncio.sleep(0.05)
        if self.is_open:
            self._owns.ask(OWN, {})
            self.run()

    def close(self) -> None:
        """Put the panel away and end its queries; what was typed is still there the next time."""
        self.is_open = False
        self._owns.end()
        self._answers.end()
        mark(self._root, "view", "list")

    def focus(self) -> None:
        """Move the keyboard's focus to the query that is chosen."""
        chosen = part(self._root, "queries-pane").querySelector('.query-name[aria-pressed="true"]')
        (chosen or self._text).focus()

    # Asking

    def run(self) -> None:
        """Ask what is typed and keep the answer live."""
        if not self._text.value.strip():
            self._answers.end()
            self._clear("")
            return
        self._asked = self._text.value
        today = Date.new()
        today.setHours(0, 0, 0, 0)
        self._answers.ask(self._asked, {"today": str(today.toISOString())})

    def typed(self) -> None:
        """The query was changed: what is shown is the answer of the one before."""
        if self._chosen.key is None and self._chosen is not BLANK:
            self._chosen = BLANK
            self._draw_names()
        if self._answers.is_on:
            self._say_live()

    def choose(self, chip: Element) -> None:
        """Take the query of a button and ask it."""
        place = int(chip.getAttribute("data-place"))
        self._put(self._all()[place])
        self._draw_names()
        self.focus()
        self.run()

    def begin_new(self) -> None:
        """Begin a query of the person's own."""
        self._put(BLANK)
        self._draw_names()
        self.run()
        self._text.focus()

    def _show(self, rows: list[Any]) -> None:
        self._draw_error("", "")
        words = self._results.draw(rows, self._book.notes)
        part(self._root, "query-nothing").hidden = bool(rows)
        self._answer = f"Live: {words}, as of {Date.new().toLocaleTimeString()}"
        self._say_live()

    def _say_live(self) -> None:
        is_what_is_typed = self._text.value == self._asked
        self._say("live", self._answer) if is_what_is_typed else self._say("changed", "Changed since it ran")

    def _refuse(self, error: ps.QueryError) -> None:
        self._clear("")
        message, _, excerpt = str(error).partition("\n")
        self._draw_error(message, excerpt)

    def _clear(self, words: str) -> None:
        self._results.clear()
        self._draw_error("", "")
        part(self._root, "query-nothing").hidden = True
        self._say("idle", words)

    def _draw_error(self, message: str, excerpt: str) -> None:
        box, line, block = parts(self._root, "query-error", "query-error-words", "query-error-place")
        box.hidden = not message
        say(line, message)
        say(block, excerpt)
        block.hidden = not excerpt.strip(" ^\n")
        self._text.setAttribute("aria-invalid", "true" if message else "false")

    def _say(self, state: str, words: str) -> None:
        mark(part(self._root, "query-state"), "state", state)
        say(part(self._root, "query-words"), words)

    # The person's own

    def save(self) -> None:
        """Save what is typed under the name that is typed: anew, or in the place of the own query chosen."""
        name, text = self._name.value.strip(), self._text.value
        if not text.strip() or not name:
            missing, words = (
                (self._name, "Give the query a name") if text.strip() else (self._text, "Write a query")
            )
            missing.focus()
            toast(part(self._root, "toasts"), f"{words} to save it.")
            return
        spawn(self._save(self._chosen.key, {"name": name, "text": text}), self._failed)

    async def _save(self, key: str | None, fields: dict[str, str]) -> None:
        document = await self._book.sync.save_document(QUERIES, key, dict(fields))
        self._chosen = Saved(key=str(document["_key"]), **fields)
        self._draw_names()
        toast(part(self._root, "toasts"), f"Saved “{fields['name']}”.")

    def delete(self) -> None:
        """Delete the own query that is chosen; it can be undone for a while."""
        gone = self._chosen
        if gone.key is not None:
            self._put(READY[0])
            self._draw_names()
            self.focus()
            self.run()
            spawn(self._delete(gone, gone.key), self._failed)

    async def _delete(self, gone: Saved, key: str) -> None:
        fields: dict[str, Any] = {"name": gone.name, "text": gone.text}
        sync = self._book.sync
        await sync.delete_document(QUERIES, key)
        toast(
            part(self._root, "toasts"),
            f"Deleted “{gone.name}”",
            action="Undo",
            act=lambda: spawn(sync.save_document(QUERIES, key, fields), self._failed),
        )

    def _take_own(self, rows: list[Any]) -> None:
        """Take in the own queries as they are now; the one chosen may have changed on another device."""
        self._own = [Saved(**row) for row in rows]
        chosen = self._chosen
        if chosen.key is not None:
            now = next((saved for saved in self._own if saved.key == chosen.key), None)
            is_untouched = (self._name.value, self._text.value) == (chosen.name, chosen.text)
            if now is None:
                self._chosen = BLANK
            elif now != chosen and is_untouched:
                self._put(now)
                self.run()
        self._draw_names()

    # What is seen

    def _all(self) -> list[Saved]:
        return [*READY, *self._own]

    def _put(self, saved: Saved) -> None:
        self._chosen = saved
        self._text.value = saved.text
        self._text.setSelectionRange(0, 0)
        self._text.scrollTop = 0
        self._name.value = saved.name if saved.key is not None else ""

    def _draw_names(self) -> None:
        """Keep one button for each query, so that focus stays where it is."""
        self._draw_group(part(self._root, "queries-ready"), READY, 0)
        self._draw_group(part(self._root, "queries-own"), self._own, len(READY))
        part(self._root, "queries-none").hidden = bool(self._own)
        part(self._root, "query-delete").hidden = self._chosen.key is None

    def _draw_group(self, group: Element, queries: tuple[Saved, ...] | list[Saved], first: int) -> None:
        while group.childElementCount > len(queries):
            group.lastElementChild.remove()
        while group.childElementCount < len(queries):
            group.append(_name_button())
        for place, saved in enumerate(queries):
            chip = group.children.item(place)
            is_chosen = saved.key == self._chosen.key if saved.key is not None else saved is self._chosen
            say(chip, saved.name)
            mark(chip, "place", str(first + place))
            chip.setAttribute("aria-pressed", "true" if is_chosen else "false")


def _name_button() -> Element:
    button = document.createElement("button")
    button.type = "button"
    button.className = "query-name"
    button.setAttribute("data-action", "choose-query")
    return button
