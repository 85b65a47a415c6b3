"""One device: a database of its own, a manager that syncs it, and the screen that shows it.

The list is drawn before anything else is even imported; the editor, the status line and the cable follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from demo_book import Notebook
from demo_dom import Element, listen, part, spawn, toast
from demo_list import NoteList
from demo_notes import Situation, note_from
from js import console, document, history, window

import pysync_web as ps

if TYPE_CHECKING:
    from demo_editor import Draft

TICK_S = 1.0
"""How often ages and waits on display are brought up to date."""

BLOCKS = {
    "unauthorized": "The server asks for a token, as in #token=… at the end of this page’s address.",
    "rejected": "The server refuses what this device sends.",
}


class Device:
    """A tablet or a phone: what it shows, and what its buttons and keys do."""

    _is_wired = False

    def __init__(self, name: str, label: str, connect: dict[str, Any]) -> None:
        self.name = name
        self.label = label
        self.root: Element = document.querySelector(f'.device[data-device="{name}"]')
        self._link: Element = document.querySelector(f'.link[data-link="{name}"]')
        self._connect = connect
        self._list = NoteList(self.root)
        self._book: Notebook
        self._query = ""
        self._show = "all"
        self._stale = asyncio.Event()
        self.on_exchange: Callable[[], None] = lambda: None
        self.names: Callable[[], dict[str, str]] = dict

    # The first list

    async def open(self) -> None:
        """Open the database and draw what it holds."""
        self._book = Notebook(self.name, await ps.open(f"fieldnotes-{self.name}", **self._connect))
        self._book.sync.on_change(self._changed)
        await self._book.read()
        self._draw_list()
        self.root.setAttribute("aria-busy", "false")

    def _draw_list(self) -> None:
        chosen = self._editor.key if self._is_wired else None
        self._list.draw(self._book.in_order(), self._book.marks, chosen, self._query, self._show)

    # Everything else

    def wire(self) -> None:
        """Bring editor, status line, cable, buttons and keys to life."""
        from demo_editor import Editor
        from demo_status import Cable, StatusLine

        self._editor = Editor(self.root, self._save, self.failed)
        self._status = StatusLine(self.root)
        self._cable = Cable(self.root, self._link, self.label)
        self._is_wired = True
        for element in self.root.querySelectorAll("[disabled]"):
            element.disabled = False
        for target in (self.root, self._link):
            listen(target, "click", self._clicked)
        listen(self.root, "input", self._typed)
        listen(self.root, "focusout", self._left)
        listen(window, "online", self._network_returned)
        spawn(self._keep_drawn(), self.failed)

    def failed(self, error: BaseException) -> None:
        """Tell what went wrong, in the words of the error."""
        console.error(f"{self.label}: {type(error).__name__}: {error}")
        toast(part(self.root, "toasts"), f"That did not work: {error}", kind="error")

    async def _keep_drawn(self) -> None:
        """Draw again after every change; once a second bring ages and marks up to date."""
        self._stale.set()
        while True:
            is_stale = self._stale.is_set()
            self._stale.clear()
            if await self._book.look() or is_stale:
                self._offer_homeless()
                self._draw_list()
                self._draw_editor()
            await self._draw_status()
            try:
                await asyncio.wait_for(self._stale.wait(), TICK_S)
            except TimeoutError:
                continue

    def _draw_editor(self) -> None:
        draft = self._editor.draft
        if draft is None or draft.key is None:
            return
        note = self._book.notes.get(draft.key)
        if note is not None:
            self._editor.take(note)
            self._editor.show_conflict(*self._conflict(note.key))
            self._editor.say_saved(self._where_kept(note.key), self._facts(note.key))
        elif draft.is_known and not draft.typed:
            self._editor.close()
            self._draw_list()
            toast(part(self.root, "toasts"), "This note was deleted on another device.")

    def _conflict(self, key: str) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        entry = self._book.lost.get(key)
        if entry is None:
            return "", {}, None
        words = "Changed in two places at once. The later change stands."
        if entry.kind == "rejected":
            words = f"The server refused a change of this note: {entry.message}"
        return words, *self._book.lost_fields(key)

    def _offer_homeless(self) -> None:
        """A change that was set aside because its note was deleted has no row to be marked: say it once."""
        for key in [key for key in self._book.lost if key not in self._book.notes]:
            body = self._book.lost[key].body
            self._book.settle(key)
            if body is not None:
                toast(
                    part(self.root, "toasts"),
                    f"“{note_from(key, body).title or 'A note'}” was deleted elsewhere while it was changed here.",
                    action="Keep it",
                    act=lambda key=key, body=body: spawn(self._book.restore(key, body), self.failed),
                )

    def _where_kept(self, key: str) -> str:
        match self._book.marks.get(key, "synced"):
            case "waiting" | "sending":
                return "Saved on this device, not sent yet"
            case "merged":
                return "Merged with changes of another device"
            case _:
                return "Saved on this device and on the server"

    def _facts(self, key: str) -> str:
        from demo_status import replica_names

        return replica_names(self._book.versions.get(key), self.names())

    @property
    def replica_id(self) -> str:
        """The replica that lives in this device's database."""
        return self._book.sync.store.replica_id

    async def _draw_status(self) -> None:
        status = await self._book.sync.status()
        now = Situation(
            plugged=self._cable.plugged,
            online=self._book.sync.is_online,
            pending=status.pending,
            oldest_s=status.oldest_pending_age_s,
            synced_ago_s=_seconds_since(status.last_sync),
            error=status.last_error,
            next_try_s=status.next_retry_s,
            blocked=BLOCKS.get(status.blocked_by or ""),
            syncing=self._book.sync.is_syncing,
            conflicts=len(self._book.lost),
        )
        more = {"State": status.state, "Durability": status.durability}
        if status.storage_reset:
            more["Storage"] = f"was {status.storage_reset} and began anew"
        self._cable.light(self._status.draw(now, more))

    # What the manager and the browser tell

    def _changed(self, change: ps.Change) -> None:
        self._book.take(change)
        if change.change_type == "SyncComplete" and self._is_wired:
            if change.pushed_count:
                self._cable.flow("up")
            if change.pulled_count:
                self._cable.flow("down")
            self.on_exchange()
        self._stale.set()

    def _network_returned(self, event: Any) -> None:
        """The browser says that the network is back; a pulled cable is still pulled."""
        if not self._cable.plugged:
            self._book.sync.set_online(False)

    # What the person does

    async def _save(self, draft: Draft, fields: dict[str, Any]) -> str:
        """Write what was typed; a note that was deleted meanwhile is written whole, so no typing is lost."""
        is_gone = draft.is_known and draft.key not in self._book.notes
        return await self._book.save(draft.key, draft.body if is_gone else fields)

    def _clicked(self, event: Any) -> None:
        control = event.target.closest("[data-action]")
        if control and not control.disabled:
            action = control.getAttribute("data-action")
            handler = getattr(self, "do_" + action.replace("-", "_"), None)
            if handler is not None:
                handler(control)

    def _typed(self, event: Any) -> None:
        field = event.target.getAttribute("data-field")
        if field:
            self._editor.typed(field)
        elif event.target.getAttribute("data-part") == "search":
            self._query = event.target.value.strip()
            self._draw_list()

    def _left(self, event: Any) -> None:
        if event.target.getAttribute("data-part") == "tag":
            self._editor.add_tag()
        if event.target.getAttribute("data-field"):
            spawn(self._editor.flush(), self.failed)

    def pressed(self, event: Any) -> bool:
        """Act on a key; say whether it meant something."""
        from demo_keys import action_for

        name = action_for(event, self.root)
        if name is None:
            return False
        getattr(self, "do_" + name)(event.target)
        return True

    def do_new(self, control: Element) -> None:
        """Begin a note."""
        self._open(None)
        self._editor.focus("title")

    def do_open(self, control: Element) -> None:
        """Open the row's note."""
        self._open(self._list.row_key(control))
        if self.has_split_view:
            self._list.focus(self._editor.key)

    def _open(self, key: str | None) -> None:
        spawn(self._editor.flush(), self.failed)
        self._editor.show(self._book.notes.get(key) if key else None)
        self._editor.say_saved("Not written yet" if key is None else self._where_kept(key), "")
        if not self.has_split_view and self._fills_page and not history.state:
            history.pushState("note", "")
        self._draw_list()
        self._stale.set()

    def do_back(self, control: Element) -> None:
        """Return to the list; on a phone that is also what the system's own back button does."""
        if self._fills_page and history.state:
            history.back()
        else:
            self.close_note()

    def close_note(self) -> None:
        """Put the note away, and go on where it stands in the list."""
        draft = self._editor.draft
        if draft is None:
            return
        self._editor.close()
        self._draw_list()
        self._list.focus(draft.key)
        spawn(self._save_closed(draft, draft.key is None), self.failed)

    async def _save_closed(self, draft: Draft, was_new: bool) -> None:
        """Save what was typed; a new note gets its row only then."""
        await self._editor.flush()
        if was_new and draft.key is not None and self._editor.draft is None:
            self._draw_list()
            self._list.focus(draft.key)

    def do_next(self, control: Element) -> None:
        """Walk down the list."""
        self._walk(control, 1)

    def do_previous(self, control: Element) -> None:
        """Walk up the list."""
        self._walk(control, -1)

    def _walk(self, control: Element, step: int) -> None:
        key = self._list.beside(self._list.row_key(control), step)
        if key is not None and self.has_split_view:
            self._open(key)
        self._list.focus(key)

    def do_edit(self, control: Element) -> None:
        """Open the row's note and put the cursor into its text."""
        self.do_open(control)
        self._editor.focus("text")

    def do_focus_text(self, control: Element) -> None:
        """Go on from the title to the text."""
        self._editor.focus("text")

    def do_toggle(self, control: Element) -> None:
        """Mark the row's note done, or open again."""
        key = self._list.row_key(control) or self._editor.key
        if key is not None and key == self._editor.key:
            self._editor.toggle_done()
        elif key in self._book.notes:
            spawn(self._book.save(key, {"done": not self._book.notes[key].done}), self.failed)

    def do_done(self, control: Element) -> None:
        """Mark the open note done, or open again."""
        self._editor.toggle_done()

    def do_delete(self, control: Element) -> None:
        """Delete the row's note, or the open one; it can be undone for a while."""
        key = self._list.row_key(control) or self._editor.key
        beside = self._list.beside(key, 1)
        if self._editor.draft and self._editor.key == key:
            if key is None:
                self._editor.discard()
            self.do_back(control)
        if key is not None:
            spawn(self._delete(key), self.failed)
            self._list.focus(beside if beside != key else self._list.beside(key, -1))

    async def _delete(self, key: str) -> None:
        await self._editor.flush()
        fields = await self._book.delete(key)
        if fields is not None:
            toast(
                part(self.root, "toasts"),
                f"Deleted “{note_from(key, fields).title or 'Untitled'}”",
                action="Undo",
                act=lambda: spawn(self._book.restore(key, fields), self.failed),
            )

    def do_samples(self, control: Element) -> None:
        """Fill an empty list with notes to play with."""
        spawn(self._book.add_samples(), self.failed)

    def do_show(self, control: Element) -> None:
        """Show all notes, the open ones or those done."""
        self._show = control.getAttribute("data-value")
        for button in self.root.querySelectorAll('[data-action="show"]'):
            button.setAttribute("aria-pressed", "true" if button.isSameNode(control) else "false")
        self._draw_list()

    def do_more(self, control: Element) -> None:
        """Draw one page more."""
        self._list.show_more()
        self._draw_list()

    def do_search(self, control: Element) -> None:
        """Put the cursor into the search field."""
        self._leave_narrow_editor()
        field = part(self.root, "search")
        field.focus()
        field.select()

    def do_clear_search(self, control: Element) -> None:
        """Show all notes again."""
        self._search("")
        self.do_show(self.root.querySelector('[data-action="show"][data-value="all"]'))

    def do_find_tag(self, control: Element) -> None:
        """Show the notes that bear this tag."""
        self._search("#" + control.textContent)
        self._leave_narrow_editor()

    def _search(self, query: str) -> None:
        part(self.root, "search").value = query
        self._query = query
        self._draw_list()

    def _leave_narrow_editor(self) -> None:
        if self._editor.draft and not self.has_split_view:
            self.do_back(self.root)

    def do_add_tag(self, control: Element) -> None:
        """Take the typed tag in."""
        self._editor.add_tag()

    def do_drop_tag(self, control: Element) -> None:
        """Remove this tag from the note, or the last one."""
        chip = control.closest(".tag")
        self._editor.drop_tag(chip.getAttribute("data-tag") if chip else None)
        part(self.root, "tag").focus()

    def do_sync(self, control: Element) -> None:
        """Sync now."""
        spawn(self._sync_now(), self.failed)

    async def _sync_now(self) -> None:
        region = part(self.root, "toasts")
        if not self._cable.plugged:
            toast(region, "The cable is pulled: plug it in to sync.")
            return
        result = await self._book.sync.sync_now()
        if result.errors:
            toast(region, result.errors[0], kind="error")
        else:
            toast(region, f"Synced: {result.pushed} sent, {result.pulled} received.")

    def do_cable(self, control: Element) -> None:
        """Pull the cable, or plug it in."""
        self._cable.draw(not self._cable.plugged)
        self._book.sync.set_online(self._cable.plugged)
        self._stale.set()

    def do_keep_current(self, control: Element) -> None:
        """Let what stands stand, and stop marking the note."""
        if self._editor.key is not None:
            self._book.settle(self._editor.key)
            self._stale.set()

    def do_put_back(self, control: Element) -> None:
        """Let what was set aside stand after all."""
        if self._editor.key in self._book.lost:
            spawn(self._book.put_back(self._editor.key), self.failed)

    @property
    def has_split_view(self) -> bool:
        """Tell whether list and editor stand beside each other."""
        return not part(self.root, "back").checkVisibility()

    @property
    def _fills_page(self) -> bool:
        return document.documentElement.getAttribute("data-layout") == "single"


def _seconds_since(moment: str | None) -> float | None:
    if not moment:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
