"""The list of notes. A row is kept and moved rather than drawn anew: focus and scroll stay where they are."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from demo_dom import Element, mark, part, say, stamp
from demo_notes import Note, age_words, counted, first_line
from js import Date, Intl, Object, document, matchMedia
from pyodide.ffi import to_js

if TYPE_CHECKING:
    from demo_book import Notebook
    from demo_search import Search

PAGE = 100
COME_S = 1.7
LEAVE_S = 0.55
"""How long a row takes to come or to leave; what is seen meanwhile is in style.css."""

MARKS = {
    "synced": ("#i-synced", "On the server"),
    "waiting": ("#i-wait", "Waiting"),
    "sending": ("#i-up", "Sending"),
    "leaving": ("#i-leave", "Leaving"),
    "conflict": ("#i-conflict", "Conflict"),
    "aside": ("#i-aside", "Set aside"),
    "merged": ("#i-merged", "Merged"),
}


class NoteList:
    """Draws the notes that are to be shown; knows which row stands for which note."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._list = part(root, "list")
        self._rows: dict[str, tuple[Element, tuple[Any, ...]]] = {}
        self._limit = PAGE
        self._opened = False
        self._coming: list[Element] = []
        self.shown: list[Note] = []

    def draw(self, book: Notebook, chosen: str | None, search: Search | None) -> None:
        """Bring the rows up to date with the notes, or with those of them that a search found."""
        notes = book.in_order()
        is_all = search is None or search.found is None
        found = notes if is_all else [note for note in notes if note.key in search.found]
        self.shown = found[: self._limit]
        self._keep_rows({note.key for note in self.shown}, book.left)
        at = self._list.firstElementChild
        for note in self.shown:
            row = self._row(note, book.marks.get(note.key, "synced"), note.key == chosen)
            while at and at.inert:
                at = at.nextElementSibling
            if at and at.isSameNode(row):
                at = at.nextElementSibling
            else:
                self._list.insertBefore(row, at or None)
        self._unfold()
        part(self._root, "more").hidden = len(found) <= self._limit
        self._hint(book, notes, found, search)
        self._rove(chosen)
        self._opened = True

    def show_more(self) -> None:
        """Let the next drawing hold one page more."""
        self._limit += PAGE

    def row_key(self, element: Element) -> str | None:
        """Give the key of the note whose row an element lies in."""
        row = element.closest(".note")
        return row.getAttribute("data-key") if row else None

    def focus(self, key: str | None) -> None:
        """Move the keyboard's focus to a note's row, or to the first."""
        key = key if key in self._rows else (self.shown[0].key if self.shown else None)
        if key is not None:
            button = self._rows[key][0].querySelector(".note-open")
            button.focus()

    def beside(self, key: str | None, step: int) -> str | None:
        """Give the note ``step`` rows further, stopping at both ends."""
        keys = [note.key for note in self.shown]
        if not keys:
            return None
        at = keys.index(key) if key in keys else (-1 if step > 0 else len(keys))
        return keys[min(max(at + step, 0), len(keys) - 1)]

    def _keep_rows(self, keys: set[str], left: set[str]) -> None:
        if not self._opened:
            self._list.replaceChildren()
        for key in [key for key in self._rows if key not in keys]:
            row, _ = self._rows.pop(key)
            if key in left and not matchMedia("(prefers-reduced-motion: reduce)").matches:
                self._send_off(row)
            else:
                row.remove()

    def _send_off(self, row: Element) -> None:
        """Let a row be seen leaving, from where it is; the keyboard's focus goes on to the row behind."""
        beside = row.nextElementSibling or row.previousElementSibling
        if beside and row.contains(document.activeElement):
            beside.querySelector(".note-open").focus()
        row.style.setProperty("--height", f"{row.offsetHeight}px")
        row.inert = True
        mark(row, "leaving", True)
        asyncio.get_event_loop().call_later(LEAVE_S, row.remove)

    def _unfold(self) -> None:
        """Let new rows be seen coming."""
        rows, self._coming = self._coming, []
        for row, height in [(row, row.offsetHeight) for row in rows]:
            row.style.setProperty("--height", f"{height}px")
            mark(row, "coming", True)
            asyncio.get_event_loop().call_later(COME_S, mark, row, "coming", None)

    def _row(self, note: Note, state: str, chosen: bool) -> Element:
        look = (note, state, chosen, when_words(note.edited))
        row, seen = self._rows.get(note.key) or (stamp("note-row"), None)
        if seen != look:
            self._fill(row, *look)
            if self._opened and seen is None:
                self._coming.append(row)
            elif self._opened and seen[0] != note and not chosen:
                _flash(row)
            self._rows[note.key] = (row, look)
        return row

    def _fill(self, row: Element, note: Note, state: str, chosen: bool, when: str) -> None:
        mark(row, "key", note.key)
        mark(row, "done", note.done)
        mark(row, "chosen", chosen)
        check, opener = row.children
        title, badge, text, meta = opener.children
        say(title, note.title)
        say(text, first_line(note.text))
        say(meta.firstElementChild, when)
        say(meta.lastElementChild, " ".join(f"#{tag}" for tag in note.tags))
        if chosen:
            opener.setAttribute("aria-current", "true")
        else:
            opener.removeAttribute("aria-current")
        check.setAttribute("aria-pressed", "true" if note.done else "false")
        check.setAttribute("aria-label", f"Done: {note.title or 'Untitled'}")
        picture, word = MARKS[state]
        mark(badge, "mark", state)
        badge.querySelector("use").setAttribute("href", picture)
        say(badge.lastElementChild, word)

    def _hint(self, book: Notebook, notes: list[Note], found: list[Note], search: Search | None) -> None:
        if search is None or search.found is None:
            open_ones = sum(not note.done for note in notes)
            words = f"{counted(len(notes), 'note')}, {open_ones} open" if notes else "No notes"
            say(part(self._root, "hits"), "")
        else:
            words = f"{len(found):,} of {counted(len(notes), 'note')}"
            say(part(self._root, "hits"), f"{counted(len(found), 'note')} found")
        say(part(self._root, "count"), words)
        part(self._root, "empty").hidden = bool(found)
        if found:
            return
        title, text = _nothing(book, len(notes), search)
        say(part(self._root, "empty-title"), title)
        say(part(self._root, "empty-text"), text)
        part(self._root, "empty-actions").hidden = bool(notes or book.choice.filter or book.is_fetching)
        part(self._root, "empty-clear").hidden = not notes

    def _rove(self, chosen: str | None) -> None:
        """One row takes part in tabbing; the arrow keys reach the others."""
        stop = chosen if chosen in self._rows else (self.shown[0].key if self.shown else None)
        for key, (row, _) in self._rows.items():
            row.children.item(1).tabIndex = 0 if key == stop else -1


def _nothing(book: Notebook, total: int, search: Search | None) -> tuple[str, str]:
    """Say why the list is empty."""
    kind = book.choice.kind
    if not total and book.is_fetching:
        return "Not here yet", f"The {kind} notes come as soon as the server answers."
    if not total and kind:
        return f"No {kind} notes", f"This device holds {kind} notes only. One that becomes so appears by itself."
    if not total or search is None:
        return (
            "Nothing noted yet",
            "Write the first note. It is kept on this device at once, with or without a signal.",
        )
    if search.text:
        kind = "" if search.show == "all" else f"{search.show} "
        return "Nothing matches", f"No {kind}note here holds “{search.text}”."
    return ("All done" if search.show == "open" else "Nothing done yet"), f"{counted(total, 'note')} in all."


def _flash(row: Element) -> None:
    mark(row, "new", None)
    _ = row.offsetWidth  # the animation starts again only after a layout without it
    mark(row, "new", True)


def when_words(moment: str) -> str:
    """Say when something was written, in the words of the reader's own country."""
    then = Date.new(moment)
    age_s = (Date.now() - then.getTime()) / 1000
    if age_s != age_s:  # no date at all
        return ""
    if age_s < 3600:
        return "just now" if age_s < 60 else age_words(age_s)
    if then.toDateString() == Date.new().toDateString():
        return str(_formats("time").format(then))
    return str(_formats("day" if then.getFullYear() == Date.new().getFullYear() else "year").format(then))


@cache
def _formats(name: str) -> Any:
    options = {
        "time": {"hour": "2-digit", "minute": "2-digit"},
        "day": {"day": "numeric", "month": "short"},
        "year": {"day": "numeric", "month": "short", "year": "numeric"},
    }
    return Intl.DateTimeFormat.new([], to_js(options[name], dict_converter=Object.fromEntries))
