"""What a device's buttons and keys do. Each ``do_`` method is an action that index.html or demo_keys.py names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from demo_dom import Element, part, spawn, toast
from demo_editor import Draft, Editor
from demo_holds import CHOICES
from demo_keys import action_for
from demo_list import NoteList
from demo_notes import note_from
from demo_panes import Desk, Panes
from demo_search import Search
from demo_status import Cable
from js import document, getComputedStyle, history

if TYPE_CHECKING:
    from demo_queries import QueryPanel


class Actions:
    """Turns clicks and keys into changes of the notebook, the editor, the list, the panes and the cable."""

    def __init__(
        self,
        desk: Desk,
        notes: NoteList,
        search: Search,
        editor: Editor,
        cable: Cable,
        draw_list: Callable[[], None],
    ) -> None:
        self._root, self._book, self._failed = desk.root, desk.book, desk.failed
        self._list = notes
        self._search = search
        self._editor = editor
        self._cable = cable
        self._draw_list = draw_list
        self._panes = Panes(desk, self._decided)
        self._toasts = part(desk.root, "toasts")

    def clicked(self, event: Any) -> None:
        """Act on a click."""
        control = event.target.closest("[data-action]")
        if control and not control.disabled:
            self._act(control.getAttribute("data-action"), control)

    def pressed(self, event: Any) -> bool:
        """Act on a key; say whether it meant something."""
        name = action_for(event, self._root)
        if name is not None:
            self._act(name, event.target)
        return name is not None

    def _act(self, name: str, control: Element) -> None:
        """Do what a control or a key names: the open pane does, or the device."""
        name = name.replace("-", "_")
        if not self._panes.act(name, control):
            getattr(self, f"do_{name}")(control)

    def typed(self, event: Any) -> None:
        """Take typing in."""
        field = event.target.getAttribute("data-field")
        if field:
            self._editor.typed(field)
        elif event.target.getAttribute("data-part") == "search":
            self._search_for(text=event.target.value)
        elif event.target.getAttribute("data-part") == "query-text":
            self._queries.typed()
        elif event.target.hasAttribute("data-input"):
            self._act(event.target.getAttribute("data-input"), event.target)

    def entered(self, event: Any) -> None:
        """A field was entered."""
        if event.target.getAttribute("data-part") == "search":
            spawn(self._search.warm_up(), self._failed)

    def left(self, event: Any) -> None:
        """A field was left: save at once what was typed into it."""
        if event.target.getAttribute("data-part") == "tag":
            self._editor.add_tag()
        if event.target.matches("input, textarea"):
            self.save_typing()

    def save_typing(self) -> None:
        """Save at once what was typed."""
        spawn(self._editor.flush(), self._failed)

    # Opening and closing

    def do_new(self, control: Element) -> None:
        """Begin a note."""
        self._open(None)
        self._editor.focus("title")

    def do_open(self, control: Element) -> None:
        """Open the row's note."""
        self._open(self._list.row_key(control))
        if self._panes.name == "conflict":
            self._panes.focus()
        elif self._has_split_view:
            self._list.focus(self._editor.key)

    def do_edit(self, control: Element) -> None:
        """Open the row's note and put the cursor into its text."""
        self.do_open(control)
        if self._editor.draft:
            self._editor.focus("text")

    def do_focus_text(self, control: Element) -> None:
        """Go on from the title to the text."""
        self._editor.focus("text")

    def _open(self, key: str | None) -> None:
        self.save_typing()
        self._panes.close()
        if key in self._book.conflicts:
            self._editor.close()
            self._panes.open("conflict", str(key))
        else:
            self._editor.show(self._book.notes.get(key) if key else None, self._book.choice.beginning)
        self._covered_list("note")
        self._draw_list()
        self._book.poke()

    def do_back(self, control: Element) -> None:
        """Return to the list; on a phone the system's own back button does the same."""
        if self._fills_page and history.state:
            history.back()
        else:
            self.leave()

    def leave(self) -> None:
        """Put away the note, and go on where it stands in the list, or the queries."""
        key, closed = self._panes.conflict_key, self._panes.close()
        if closed == "conflict":
            self._draw_list()
            self._list.focus(key)
        elif closed:
            part(self._root, f"open-{closed}").focus()
        draft = self._editor.draft
        if draft is None:
            return
        self._editor.close()
        self._draw_list()
        self._list.focus(draft.key)
        spawn(self._save_closed(draft, draft.key is None), self._failed)

    async def _save_closed(self, draft: Draft, was_new: bool) -> None:
        """Save what was typed; a new note gets its row only then."""
        await self._editor.flush()
        if was_new and draft.key is not None and self._editor.draft is None:
            self._draw_list()
            if document.activeElement.matches("body, .note-open"):  # nobody went on to something else meanwhile
                self._list.focus(draft.key)

    def do_next(self, control: Element) -> None:
        """Walk down the list."""
        self._walk(control, 1)

    def do_previous(self, control: Element) -> None:
        """Walk up the list."""
        self._walk(control, -1)

    def _walk(self, control: Element, step: int) -> None:
        key = self._list.beside(self._list.row_key(control), step)
        is_note = key is not None and key not in self._book.conflicts
        if is_note and self._has_split_view and self._panes.name is None:
            self._open(key)
        self._list.focus(key)

    # Changing notes

    def do_toggle(self, control: Element) -> None:
        """Mark the row's note done, or open again."""
        key = self._list.row_key(control) or self._editor.key
        if key is not None and key == self._editor.key:
            self._editor.toggle_done()
        elif key in self._book.notes:
            spawn(self._book.save(key, {"done": not self._book.notes[key].done}), self._failed)

    def do_done(self, control: Element) -> None:
        """Mark the open note done, or open again."""
        self._editor.toggle_done()

    def do_add_tag(self, control: Element) -> None:
        """Take the typed tag in."""
        self._editor.add_tag()

    def do_drop_tag(self, control: Element) -> None:
        """Remove this tag from the note, or the last one."""
        chip = control.closest(".tag")
        self._editor.drop_tag(chip.getAttribute("data-tag") if chip else None)
        part(self._root, "tag").focus()

    def do_delete(self, control: Element) -> None:
        """Delete the row's note, or the open one; it can be undone for a while."""
        key = self._list.row_key(control) or self._editor.key
        beside = self._list.beside(key, 1)
        if self._editor.draft and self._editor.key == key:
            if key is None:
                self._editor.discard()
            self.do_back(control)
        if key is not None:
            spawn(self._delete(key), self._failed)
            self._list.focus(beside if beside != key else self._list.beside(key, -1))

    async def _delete(self, key: str) -> None:
        await self._editor.flush()
        fields = await self._book.delete(key)
        if fields is not None:
            toast(
                self._toasts,
                f"Deleted “{note_from(key, fields).title or 'Untitled'}”",
                action="Undo",
                act=lambda: spawn(self._book.restore(key, fields), self._failed),
            )

    def do_samples(self, control: Element) -> None:
        """Fill an empty list with notes to play with."""
        spawn(self._book.add_samples(), self._failed)

    def do_keep_current(self, control: Element) -> None:
        """Let what stands stand, and stop marking the note."""
        if self._editor.key is not None:
            self._book.settle(self._editor.key)

    def do_put_back(self, control: Element) -> None:
        """Let what was set aside stand after all."""
        if self._editor.key in self._book.lost:
            spawn(self._book.put_back(self._book.lost[self._editor.key].id), self._failed)

    # Which notes are here

    def do_hold(self, control: Element) -> None:
        """Hold all notes on this device, or only some."""
        filters = {choice.name: choice.filter for choice in CHOICES}
        spawn(self._book.hold(filters[control.getAttribute("data-value")]), self._failed)

    # Finding notes

    def do_show(self, control: Element) -> None:
        """Show all notes, the open ones or those done."""
        self._search_for(show=control.getAttribute("data-value"))

    def do_more(self, control: Element) -> None:
        """Draw one page more."""
        self._list.show_more()
        self._draw_list()

    def do_search(self, control: Element) -> None:
        """Put the cursor into the search field."""
        self._uncover_list()
        field = part(self._root, "search")
        field.focus()
        field.select()

    def do_clear_search(self, control: Element) -> None:
        """Search for nothing any more."""
        self._search_for(text="")
        part(self._root, "search").focus()

    def do_show_all(self, control: Element) -> None:
        """Show all notes again."""
        self._search_for(text="", show="all")
        part(self._root, "search").focus()

    def do_find_tag(self, control: Element) -> None:
        """Show the notes that bear this tag."""
        self._search_for(text="#" + control.textContent)
        self._uncover_list()

    def _search_for(self, *, text: str | None = None, show: str | None = None) -> None:
        self._search.ask(text=text, show=show)
        field = part(self._root, "search")
        if field.value.strip() != self._search.text:
            field.value = self._search.text
        part(self._root, "search-clear").hidden = not field.value
        for button in self._root.querySelectorAll('[data-action="show"]'):
            is_chosen = button.getAttribute("data-value") == self._search.show
            button.setAttribute("aria-pressed", "true" if is_chosen else "false")

    def _uncover_list(self) -> None:
        if (self._editor.draft or self._panes.name) and not self._has_split_view:
            self.do_back(self._root)

    def _covered_list(self, state: str) -> None:
        """On a phone the system's own back button leads back to a list that is covered."""
        if not self._has_split_view and self._fills_page and not history.state:
            history.pushState(state, "")

    # The panes: queries, the ledger, a conflict

    @property
    def shown_key(self) -> str | None:
        """The note that is open, in the editor or with both of its versions."""
        return self._editor.key or self._panes.conflict_key

    def draw_pane(self) -> None:
        """Bring the open pane up to date."""
        self._panes.draw()

    def do_queries(self, control: Element) -> None:
        """Show the queries, or put them away."""
        self._toggle_pane(control, "queries")

    def do_ledger(self, control: Element) -> None:
        """Show the changes that did not come through, or put them away."""
        self._toggle_pane(control, "ledger")

    def do_note_ledger(self, control: Element) -> None:
        """Show which changes of the open note did not come through."""
        self._show_pane("ledger", str(self.shown_key or ""))

    def _toggle_pane(self, control: Element, name: str) -> None:
        if self._panes.name == name:
            self.do_back(control)
        else:
            self._show_pane(name)

    def _show_pane(self, name: str, *which: str) -> None:
        self.save_typing()
        self._editor.close()
        self._panes.open(name, *which)
        self._covered_list(name)
        self._draw_list()
        self._panes.focus()

    def do_choose(self, control: Element) -> None:
        """Compare the versions of the open note, which is in conflict."""
        self._open(self._editor.key)
        self._panes.focus()

    def _decided(self, key: str) -> None:
        """A conflict is decided: go on with the note, or the list if it is no more."""
        if key in self._book.notes:
            self._open(key)
            self._editor.focus("title")
        else:
            self.do_back(self._root)

    def do_strategy(self, control: Element) -> None:
        """Decide conflicts in another way from now on."""
        self._book.strategies.take(control)

    # Asking queries

    @property
    def _queries(self) -> QueryPanel:
        panel: QueryPanel = self._panes.pane("queries")
        return panel

    def do_choose_query(self, control: Element) -> None:
        """Take one of the queries and run it."""
        self._queries.choose(control)

    def do_new_query(self, control: Element) -> None:
        """Begin a query."""
        self._queries.begin_new()

    def do_run_query(self, control: Element) -> None:
        """Run the query that is typed."""
        self._queries.run()

    def do_save_query(self, control: Element) -> None:
        """Save the query that is typed."""
        self._queries.save()

    def do_delete_query(self, control: Element) -> None:
        """Delete the query that is chosen."""
        self._queries.delete()

    def do_open_result(self, control: Element) -> None:
        """Open the note of a row of the answer."""
        key = control.getAttribute("data-key")
        if key in self._book.conflicts:
            self._open(key)
            self._panes.focus()
        elif key in self._book.notes:
            self._open(key)
            self._editor.focus("title")

    # Sync

    def do_cable(self, control: Element) -> None:
        """Pull the cable, or plug it in."""
        self._cable.draw(not self._cable.plugged)
        self._book.set_online(self._cable.plugged)

    def do_sync(self, control: Element) -> None:
        """Sync now."""
        if self._cable.plugged:
            spawn(self._sync_now(), self._failed)
        else:
            toast(self._toasts, "The cable is pulled: plug it in to sync.")

    async def _sync_now(self) -> None:
        result = await self._book.sync.sync_now()
        if result.errors:
            toast(self._toasts, result.errors[0], kind="error")
        else:
            toast(self._toasts, f"Synced: {result.pushed} sent, {result.pulled} received.")

    @property
    def _has_split_view(self) -> bool:
        """Whether list and editor stand beside each other."""
        return str(getComputedStyle(part(self._root, "back")).display) == "none"

    @property
    def _fills_page(self) -> bool:
        return document.documentElement.getAttribute("data-layout") == "single"
