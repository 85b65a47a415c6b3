"""The pane in which a person decides a conflict: both versions of a note, field by field, to choose from or to edit.

Nothing is written before it is saved. If the conflict changes meanwhile, choices stay where both sides stayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo_compare import MINE, OWN, THEIRS, WHOLE, Field, answer, authors, compare, value_of
from demo_dom import Element, mark, part, say, spawn, stamp, toast
from demo_list import when_words
from demo_notes import TAGS_PER_NOTE, counted, tag_from
from demo_panes import Desk
from demo_values import define, in_words, show_text

import pysync_web as ps

CHANGED = (
    "Changed on two devices that had not seen each other. Choose for each field; nothing is sent before you save."
)
ALIKE = "Changed alike on two devices that had not seen each other: there is nothing to choose."
DELETED = "Deleted on one device and changed on another. Nothing is sent before you choose and save."


class ConflictPane:
    """Shows the conflict of one note. ``decided`` is told when there is nothing to decide any more."""

    def __init__(self, desk: Desk, decided: Callable[[str], None]) -> None:
        self._root, self._book, self._who, self._failed = desk.root, desk.book, desk.who, desk.failed
        self._decided = decided
        self._cards: dict[str, Element] = {}
        self._fields: list[Field] = []
        self._seen: ps.Conflict | None = None
        self._is_saving = False
        self.key: str | None = None

    def open(self, key: str) -> None:
        """Show the conflict of a note."""
        if key != self.key:
            self._fields, self._seen = [], None
            part(self._root, "conflict-scroll").scrollTop = 0
        self.key = key
        mark(self._root, "view", "conflict")
        self.draw()

    def close(self) -> None:
        """Put the pane away; what was chosen is still there for the same conflict."""
        mark(self._root, "view", "list")

    def focus(self) -> None:
        """Move the keyboard's focus to the first choice that is to be made, or to what saves."""
        cards = [*self._open_cards(), *self._cards.values()]
        pane = part(self._root, "conflict-pane")
        (cards[0].querySelector("input") if cards else pane.querySelector(".primary")).focus()

    def draw(self) -> None:
        """Bring the pane up to date with the conflict."""
        conflict = self._book.conflicts.get(str(self.key))
        if conflict is None:
            if not self._is_saving:
                self._decided(str(self.key))
        elif conflict != self._seen:
            self._lay_out(conflict)

    # What is chosen

    def do_pick(self, control: Element) -> None:
        """A side was chosen for a field."""
        self._say_state()

    def do_write_own(self, control: Element) -> None:
        """A value was written by hand: it is the one chosen."""
        card = control.closest(".compare")
        card.querySelector(f'input[value="{OWN}"]').checked = True
        self._say_state()

    def do_take_all(self, control: Element) -> None:
        """Choose one side for every field that differs."""
        for card in self._cards.values():
            card.querySelector(f'input[value="{control.getAttribute("data-value")}"]').checked = True
        self._say_state()

    def do_show_base(self, control: Element) -> None:
        """Show what both sides began with, or hide it."""
        is_shown = control.getAttribute("aria-pressed") != "true"
        control.setAttribute("aria-pressed", "true" if is_shown else "false")
        mark(part(self._root, "conflict-pane"), "base", is_shown)

    def do_decide(self, control: Element) -> None:
        """Let what was chosen stand; where something is left open, go there."""
        if self._open_cards():
            self.focus()
            self._say_state(is_asked=True)
        elif not self._is_saving and self._seen is not None:
            spawn(self._save(self._seen), self._failed)

    async def _save(self, seen: ps.Conflict) -> None:
        self._is_saving = True
        try:
            await self._book.resolve(seen, answer(seen, self._chosen(), self._book.now()))
        except ps.ConflictUnresolved:
            self._book.poke()
            toast(part(self._root, "toasts"), "The note changed again meanwhile: look once more.", kind="error")
            return
        finally:
            self._is_saving = False
        self._decided(seen.key)

    def _chosen(self) -> dict[str, Any]:
        """Give the value chosen for each field that differs."""
        by_name = {field.name: field for field in self._fields}
        return {name: self._value(by_name[name], card) for name, card in self._cards.items()}

    def _value(self, field: Field, card: Element) -> Any:
        box = card.querySelector("textarea")
        own = _own_value(field.name, box.value) if box else None
        return value_of(field, _picked(card), own)

    def _open_cards(self) -> list[Element]:
        return [card for card in self._cards.values() if not _picked(card)]

    # What is seen

    def _lay_out(self, conflict: ps.Conflict) -> None:
        """Draw both versions; a card stays where its field is what it was."""
        self._seen = conflict
        cards, before = self._cards, {field.name: field for field in self._fields}
        self._fields = compare(conflict)
        differing = [field for field in self._fields if field.differs]
        self._cards = {
            field.name: cards[field.name] if before.get(field.name) == field else self._card(field)
            for field in differing
        }
        same = [(field.name, field.mine) for field in self._fields if not field.differs]
        part(self._root, "compare-fields").replaceChildren(*self._cards.values())
        part(self._root, "compare-same").hidden = not same
        define(part(self._root, "compare-same-values"), same)
        part(self._root, "show-base").hidden = conflict.base is None
        self._say_sides(conflict)
        self._say_state()

    def _say_sides(self, conflict: ps.Conflict) -> None:
        other, is_whole = self._other(), WHOLE in self._cards
        say(part(self._root, "conflict-title"), self._book.title_of(conflict.key))
        say(part(self._root, "conflict-words"), DELETED if is_whole else CHANGED if self._cards else ALIKE)
        part(self._root, "take-all").hidden = is_whole or not self._cards
        when = {MINE: conflict.local_timestamp, THEIRS: conflict.remote_timestamp}
        words = {MINE: "this device", THEIRS: other}
        for button in part(self._root, "take-all").children:
            side = button.getAttribute("data-value")
            say(button.firstElementChild, f"All from {words[side]}")
            say(button.lastElementChild, f"changed {when_words(when[side])}")

    def _other(self) -> str:
        assert self._seen is not None
        names = authors(self._seen)
        return self._who(names.pop()) if len(names) == 1 else "another device"

    def _say_state(self, *, is_asked: bool = False) -> None:
        left = len(self._open_cards())
        words = f"{counted(left, 'choice')} to make" if left else "All chosen"
        say(part(self._root, "conflict-state"), f"{words} before it can be saved" if left and is_asked else words)
        mark(part(self._root, "conflict-pane"), "ready", not left)

    def _card(self, field: Field) -> Element:
        card = stamp("compare-field")
        say(part(card, "name"), "What becomes of it" if field.name == WHOLE else field.name.capitalize())
        sides = ((MINE, "This device", field.mine), (THEIRS, self._other(), field.theirs))
        options = [self._side(field, *side) for side in sides]
        if field.is_editable:
            options.append(self._own_side(field))
        part(card, "sides").replaceChildren(*options)
        show_text(part(card, "base-value"), None, field.base if field.name != WHOLE else _short(field.base))
        part(card, "base").hidden = field.base is None
        return card

    def _side(self, field: Field, side: str, name: str, value: Any) -> Element:
        option = stamp("compare-side")
        self._name_radio(option.querySelector("input"), field, side)
        say(part(option, "side-name"), name[:1].upper() + name[1:])
        target = part(option, "side-value")
        if field.name != WHOLE:
            show_text(target, field.base, value)
        elif value is None:
            say(target, "Deleted")
        else:
            say(target, _short(value))
        return option

    def _own_side(self, field: Field) -> Element:
        option = stamp("compare-own")
        self._name_radio(option.querySelector("input"), field, OWN)
        is_merge = field.merged not in (field.mine, field.theirs)
        say(part(option, "side-name"), "Both, merged" if is_merge else "By hand")
        box = option.querySelector("textarea")
        box.value = in_words(field.merged) if field.name == "tags" and field.merged else field.merged or ""
        box.rows = 3 if field.name == "text" else 1
        box.setAttribute("aria-label", f"{field.name.capitalize()}, by hand")
        return option

    def _name_radio(self, radio: Element, field: Field, side: str) -> None:
        radio.name = f"{self._root.getAttribute('data-device')}-{field.name}"
        radio.value = side
        radio.checked = side == field.start


def _picked(card: Element) -> str:
    radio = card.querySelector("input:checked")
    return str(radio.value) if radio else ""


def _own_value(name: str, typed: str) -> Any:
    match name:
        case "tags":
            tags = dict.fromkeys(filter(None, map(tag_from, typed.split(","))))
            return list(tags)[:TAGS_PER_NOTE]
        case "title":
            return " ".join(typed.splitlines())
    return typed


def _short(note: dict[str, Any] | None) -> str:
    """Say what a whole note holds."""
    if note is None:
        return "none"
    tags = " ".join(f"#{tag}" for tag in note["tags"])
    return "\n".join(
        filter(None, [note["title"] or "Untitled", note["text"], tags, "Done" if note["done"] else ""])
    )
