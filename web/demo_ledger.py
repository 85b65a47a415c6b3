"""The ledger in words: every change that did not come through, newest first, each to be made an edit again."""

from __future__ import annotations

from typing import Any

from demo_book import told
from demo_dom import Element, mark, part, say, spawn, stamp, toast
from demo_list import when_words
from demo_notes import COLLECTION, counted
from demo_panes import Desk
from demo_values import define
from js import Date, document

import pysync_web as ps

PAGE = 50
MOST = 1000
KINDS = {
    "lost": ("Set aside", "Two devices changed the note without having seen each other."),
    "rejected": ("Refused", "The server refused it: {message}."),
    "quarantined": ("Refused", "The server could not take it: {message}."),
    "expired": ("Too old", "It waited too long to be sent."),
    "rolled_back": ("Taken back", "It was taken back before it was sent."),
    "removed": ("Sent, then left", "The note is none of those held on this device any more; the change was sent."),
}


class LedgerPane:
    """Shows what the ledger of one device holds, of all notes or of one."""

    def __init__(self, desk: Desk) -> None:
        self._root, self._book, self._who, self._failed = desk.root, desk.book, desk.who, desk.failed
        self._filter = part(desk.root, "ledger-filter")
        self._rows: dict[str, tuple[Element, tuple[Any, ...]]] = {}
        self._limit = PAGE
        self._key = ""

    def open(self, key: str = "") -> None:
        """Show the entries of all notes, or of one."""
        self._key = key
        self._limit = PAGE
        mark(self._root, "view", "ledger")
        self.draw()

    def close(self) -> None:
        """Put the pane away."""
        mark(self._root, "view", "list")

    def focus(self) -> None:
        """Move the keyboard's focus to the filter."""
        self._filter.focus()

    def draw(self) -> None:
        """Bring the entries up to date."""
        spawn(self._read(), self._failed)

    def do_filter_ledger(self, control: Element) -> None:
        """Show the entries of another note."""
        self._key = control.value
        self._limit = PAGE
        self.draw()

    def do_more_entries(self, control: Element) -> None:
        """Show one page more."""
        self._limit += PAGE
        self.draw()

    def do_restore(self, control: Element) -> None:
        """Make an entry an ordinary edit again."""
        spawn(self._restore(control.closest(".entry")), self._failed)

    async def _restore(self, row: Element) -> None:
        await self._book.put_back(row.getAttribute("data-entry"))
        await self._read()
        (row.querySelector('[data-action="open-result"]:not([hidden])') or row.firstElementChild).focus()
        toast(part(self._root, "toasts"), f"Restored “{row.querySelector('h4').textContent}”.")

    async def _read(self) -> None:
        entries = await self._book.sync.ledger.list(COLLECTION, limit=MOST)
        entries = sorted(filter(_says_anything, entries), key=_newness, reverse=True)
        self._draw_filter(list(dict.fromkeys(entry.key for entry in entries)), entries)
        found = [entry for entry in entries if self._key in ("", entry.key)]
        self._draw_rows(found[: self._limit], entries)
        part(self._root, "ledger-empty").hidden = bool(found)
        part(self._root, "more-entries").hidden = len(found) <= self._limit
        say(part(self._root, "ledger-count"), counted(len(found), "change") if found else "")

    def _draw_filter(self, keys: list[str], entries: list[ps.Entry]) -> None:
        wanted = {"": "All notes"} | {key: self._title(key, entries) for key in keys}
        if self._key:
            wanted.setdefault(self._key, self._title(self._key, entries))
        options = self._filter.children
        if [(one.value, one.textContent) for one in options] != list(wanted.items()):
            self._filter.replaceChildren(*(_option(*item) for item in wanted.items()))
        self._filter.value = self._key

    def _draw_rows(self, shown: list[ps.Entry], entries: list[ps.Entry]) -> None:
        rows = [self._row(entry, self._title(entry.key, entries)) for entry in shown]
        place = part(self._root, "ledger-entries")
        for key in self._rows.keys() - {entry.id for entry in shown}:
            self._rows.pop(key)[0].remove()
        for at, row in enumerate(rows):
            there = place.children.item(at)
            if not there or not there.isSameNode(row):
                place.insertBefore(row, there or None)

    def _row(self, entry: ps.Entry, title: str) -> Element:
        look = (title, entry.restored_ms, self._book.notes.get(entry.key))
        row, seen = self._rows.get(entry.id) or (stamp("ledger-entry"), None)
        if seen != look:
            self._fill(row, entry, title)
            self._rows[entry.id] = (row, look)
        return row

    def _fill(self, row: Element, entry: ps.Entry, title: str) -> None:
        mark(row, "entry", entry.id)
        mark(row, "kind", entry.kind)
        say(row.querySelector("h4"), title)
        say(part(row, "entry-kind"), KINDS[entry.kind][0])
        define(part(row, "entry-fields"), self._fields(entry))
        say(part(row, "entry-why"), self._why(entry))
        opener, restorer, done = part(row, "entry-actions").children
        opener.hidden = entry.key not in self._book.notes
        mark(opener, "key", entry.key)
        restorer.hidden = bool(entry.restored_ms)
        restorer.setAttribute("aria-label", f"Restore this change of {title}")
        done.hidden = not entry.restored_ms
        say(done.lastElementChild, f"Restored {_moment(entry.restored_ms)}")

    def _fields(self, entry: ps.Entry) -> list[tuple[str, Any]]:
        """Give each field that was lost, and under it what it holds now if that is something else."""
        now, lost = self._book.beside(entry)
        if lost is None:
            return [("change", "Deleted the note")]
        rows = []
        for name, value in lost.items():
            rows.append((name, value))
            if name in now and now[name] != value:
                rows.append(("now", now[name]))
        return rows

    def _why(self, entry: ps.Entry) -> str:
        """Say who made the change and when, and why it does not stand."""
        who = self._who(entry.replica) if entry.replica else "this device"
        words = f"Made on {who}, {when_words(entry.timestamp)}. " + KINDS[entry.kind][1].format(
            message=entry.message
        )
        if entry.against_timestamp:
            words += f" What stands instead was written {when_words(entry.against_timestamp)}."
        return words

    def _title(self, key: str, entries: list[ps.Entry]) -> str:
        bodies = [entry.body for entry in entries if entry.key == key and entry.body]
        return self._book.title_of(key, bodies)


def _says_anything(entry: ps.Entry) -> bool:
    return entry.body is None or bool(told(entry.body))


def _newness(entry: ps.Entry) -> tuple[int, str]:
    """Order entries that were made in one sync by the changes themselves."""
    return entry.at_ms, entry.timestamp


def _moment(ms: int) -> str:
    return when_words(str(Date.new(ms).toISOString()))


def _option(key: str, title: str) -> Element:
    option = document.createElement("option")
    option.value = key
    option.textContent = title[:60]
    return option
