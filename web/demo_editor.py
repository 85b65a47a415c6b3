"""The editor of one note. What is typed is saved as fields, a moment later; only changed fields are written,
so two devices that change different fields of one note never undo each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from demo_dom import Element, mark, part, parts, say, spawn, stamp
from demo_notes import TAGS_PER_NOTE, Note, tag_from
from demo_values import define

PAUSE_S = 0.35
"""How long typing must rest before it is saved."""

EMPTY: dict[str, Any] = {"title": "", "text": "", "tags": [], "done": False}


@dataclass(slots=True, eq=False)
class Draft:
    """A note as the editor has it; ``typed`` names fields not saved yet, ``key`` None a new note."""

    key: str | None
    body: dict[str, Any]
    typed: set[str] = field(default_factory=set)
    is_known: bool = False


Save = Callable[[Draft, dict[str, Any]], Awaitable[str]]
"""Writes fields of a draft and gives the note's key."""


class Editor:
    """Shows one note, or the beginning of one. A draft that could not be saved stays until it is."""

    def __init__(self, root: Element, save: Save, failed: Callable[[BaseException], None]) -> None:
        self._root = root
        self._save = save
        self._failed = failed
        self._article, self._choose = parts(root, "editor", "choose")
        self._fields = {"title": part(root, "title"), "text": part(root, "text")}
        self._tags_list = part(self._article, "tags")
        self._tag_input = part(root, "tag")
        self._unsaved: list[Draft] = []
        self._saving = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self.draft: Draft | None = None

    @property
    def key(self) -> str | None:
        """The open note's key; None where nothing is open, or a note that is not saved yet."""
        return self.draft.key if self.draft else None

    def show(self, note: Note | None, beginning: dict[str, Any] = EMPTY) -> None:
        """Open a note, or a new one that begins with some fields."""
        self.draft = Draft(note.key if note else None, _body(note) if note else EMPTY | beginning)
        self.draft.is_known = note is not None
        self._set_open(True)
        for name, box in self._fields.items():
            box.value = self.draft.body[name]
            box.scrollTop = 0
        self._tag_input.value = ""
        self._draw_tags()
        self._draw_done()
        self.say_saved("" if note else "Nothing written yet", "")
        self.show_aside("", {}, None)
        self.offer_choice(False)

    def close(self) -> None:
        """Put the note away; what was typed is still saved."""
        self.draft = None
        self._set_open(False)

    def discard(self) -> None:
        """Forget what was typed: the note is about to be deleted."""
        self._unsaved = [draft for draft in self._unsaved if draft is not self.draft]

    def focus(self, name: str) -> None:
        """Put the cursor into a field."""
        self._fields[name].focus()

    def take(self, note: Note) -> None:
        """Take in what changed elsewhere, except where something is typed and not yet saved."""
        draft = self.draft
        if draft is None:
            return
        draft.is_known = True
        for name, value in _body(note).items():
            if name in draft.typed or draft.body[name] == value:
                continue
            draft.body[name] = value
            if name in self._fields:
                _replace(self._fields[name], value)
        self._draw_tags()
        self._draw_done()

    def typed(self, name: str) -> None:
        """A field was typed into."""
        value = self._fields[name].value
        self._change(name, " ".join(value.splitlines()) if name == "title" else value)

    def toggle_done(self) -> None:
        """Mark the note done, or open again."""
        if self.draft:
            self._change("done", not self.draft.body["done"])
            self._draw_done()

    def add_tag(self) -> None:
        """Take the typed tag in."""
        tag = tag_from(self._tag_input.value)
        self._tag_input.value = ""
        if self.draft and tag and tag not in self.draft.body["tags"]:
            self._change("tags", [*self.draft.body["tags"], tag][:TAGS_PER_NOTE])
            self._draw_tags()

    def drop_tag(self, tag: str | None) -> None:
        """Remove a tag, or the last one."""
        tags = self.draft.body["tags"] if self.draft else []
        if tags:
            self._change("tags", [other for other in tags if other != (tag or tags[-1])])
            self._draw_tags()

    def say_saved(self, words: str, facts: str) -> None:
        """Say where the note is kept, and its version."""
        say(part(self._root, "saved"), words)
        say(part(self._root, "facts"), facts)

    def offer_choice(self, is_needed: bool) -> None:
        """Say that another version waits to be chosen or merged."""
        part(self._root, "undecided").hidden = not is_needed

    def show_aside(self, words: str, now: dict[str, Any], lost: dict[str, Any] | None) -> None:
        """Lay what stands beside what was set aside; without words, take that away."""
        panel = part(self._root, "aside")
        panel.hidden = not words
        if words and panel.getAttribute("data-shown") != (shown := f"{words} {now} {lost}"):
            mark(panel, "shown", shown)
            say(part(panel, "aside-words"), words)
            define(part(panel, "version-now"), now.items())
            define(part(panel, "version-lost"), [("note", "deleted")] if lost is None else lost.items())

    async def flush(self) -> None:
        """Save what is typed, of every draft; where that fails it stays to be saved, and the error comes out."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        async with self._saving:
            for draft in list(self._unsaved):
                await self._write(draft)

    async def _write(self, draft: Draft) -> None:
        names, draft.typed = draft.typed, set()
        fields = {name: draft.body[name] for name in (EMPTY if draft.key is None else sorted(names))}
        try:
            draft.key = await self._save(draft, fields)
        except BaseException:
            draft.typed |= names
            raise
        if not draft.typed:
            self._unsaved.remove(draft)

    def _change(self, name: str, value: Any) -> None:
        draft = self.draft
        if draft is None:
            return
        draft.body[name] = value
        draft.typed.add(name)
        if draft not in self._unsaved:
            self._unsaved.append(draft)
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_event_loop().call_later(PAUSE_S, self._flush_soon)

    def _flush_soon(self) -> None:
        spawn(self.flush(), self._failed)

    def _set_open(self, is_open: bool) -> None:
        self._article.hidden = not is_open
        self._choose.hidden = is_open
        mark(self._root, "view", "editor" if is_open else "list")

    def _draw_tags(self) -> None:
        tags = self.draft.body["tags"] if self.draft else []
        if [chip.getAttribute("data-tag") for chip in self._tags_list.children] == tags:
            return
        self._tags_list.replaceChildren(*map(_chip, tags))

    def _draw_done(self) -> None:
        done = bool(self.draft and self.draft.body["done"])
        part(self._root, "done").setAttribute("aria-pressed", "true" if done else "false")
        say(part(self._root, "done-word"), "Done" if done else "Mark done")


def _body(note: Note) -> dict[str, Any]:
    return {"title": note.title, "text": note.text, "tags": list(note.tags), "done": note.done}


def _chip(tag: str) -> Element:
    chip = stamp("tag-chip")
    finder, dropper = chip.children
    mark(chip, "tag", tag)
    finder.textContent = tag
    finder.setAttribute("aria-label", f"Find notes tagged {tag}")
    dropper.setAttribute("aria-label", f"Remove the tag {tag}")
    return chip


def _replace(box: Element, text: str) -> None:
    """Change a field's text under the cursor without moving the cursor."""
    start, end = box.selectionStart, box.selectionEnd
    box.value = text
    box.setSelectionRange(start, end)
