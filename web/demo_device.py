"""One device: a database of its own, a manager that syncs it, and the screen that shows it.

The list is drawn before anything else is even imported; the editor, the status line and the cable follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from demo_dom import Element, listen, part, spawn, toast
from demo_list import NoteList
from demo_notes import COLLECTION, SAMPLES, Note, Situation, arrange, note_from
from js import console, document, history

import pysync_web as ps

if TYPE_CHECKING:
    from demo_editor import Draft

MERGED_S = 20.0
"""How long a note says that it was merged."""


class Device:
    """A tablet or a phone: what it shows, and what its buttons and keys do."""

    def __init__(self, name: str, label: str, connect: dict[str, Any]) -> None:
        self.name = name
        self.label = label
        self.root: Element = document.querySelector(f'.device[data-device="{name}"]')
        self._link: Element = document.querySelector(f'.link[data-link="{name}"]')
        self._connect = connect
        self._list = NoteList(self.root)
        self._notes: dict[str, Note] = {}
        self._versions: dict[str, Any] = {}
        self._marks: dict[str, str] = {}
        self._merged: dict[str, float] = {}
        self._conflicts: dict[str, Any] = {}
        self._query = ""
        self._show = "all"
        self._stale = asyncio.Event()
        self.on_exchange: Callable[[], None] = lambda: None
        self.sync: ps.SyncManager

    # The first list

    async def open(self) -> None:
        """Open the database and draw what it holds."""
        self.sync = await ps.open(f"fieldnotes-{self.name}", device_id=self.name, **self._connect)
        await self._read_notes()
        self._draw_list()
        self.root.setAttribute("aria-busy", "false")

    async def _read_notes(self) -> None:
        found = await self.sync.query_documents(COLLECTION)
        self._notes = {note.key: note for note in arrange(note_from(key, body) for key, body in found)}
        self._versions = {key: body.get("_version") for key, body in found}

    def _draw_list(self) -> None:
        chosen = self._editor.key if self._is_wired else None
        self._list.draw(list(self._notes.values()), self._marks, chosen, self._query, self._show)

    _is_wired = False

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
        self.sync.on_change(self._changed)
        spawn(self._keep_drawn(), self.failed)

    def failed(self, error: BaseException) -> None:
        """Tell what went wrong, in the words of the error."""
        console.error(f"{self.label}: {type(error).__name__}: {error}")
        toast(part(self.root, "toasts"), f"That did not work: {error}", kind="error")

    async def _keep_drawn(self) -> None:
        """Draw again after every change, and each second, for the ages on display."""
        while True:
            self._stale.clear()
            await self._refresh()
            try:
                await asyncio.wait_for(self._stale.wait(), 1.0)
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        await self._read_notes()
        pending = await self.sync.pending_changes()
        conflicts = await self.sync.conflicts()
        self._conflicts = {one.key: one for one in conflicts if one.collection == COLLECTION}
        self._marks = self._marks_of(pending)
        self._draw_list()
        self._draw_editor()
        self._draw_status()

    def _marks_of(self, pending: list[Any]) -> dict[str, str]:
        now = asyncio.get_event_loop().time()
        marks = {key: "merged" for key, until in self._merged.items() if now < until}
        for change in pending:
            if change.collection == COLLECTION:
                marks[change.key] = "sending" if change.state == "in_flight" else "waiting"
        return marks | dict.fromkeys(self._conflicts, "conflict")

    def _draw_editor(self) -> None:
        editor = self._editor
        draft = editor.draft
        if draft is None or draft.key is None:
            return
        note = self._notes.get(draft.key)
        if note is None:
            if draft.is_known and not draft.typed:
                editor.close()
                self._draw_list()
                toast(part(self.root, "toasts"), "This note was deleted on another device.")
            return
        editor.take(note)
        editor.show_conflict(self._conflicts.get(note.key))
        editor.say_saved(self._where_kept(note.key), self._facts(note.key))

    def _where_kept(self, key: str) -> str:
        match self._marks.get(key, "synced"):
            case "waiting" | "sending":
                return "Saved on this device, not sent yet"
            case "conflict":
                return "Saved on this device, in conflict with the server"
            case _:
                return "Saved on this device and on the server"

    def _facts(self, key: str) -> str:
        from demo_status import replica_names

        return replica_names(self._versions.get(key), self.replicas())

    def replicas(self) -> dict[str, str]:
        """Name the replicas that this page knows, for version vectors."""
        return {self.sync.replica_id: self.name}

    def _draw_status(self) -> None:
        status = self.sync.status()
        now = Situation(
            plugged=self._cable.plugged,
            pending=status.pending,
            oldest_s=status.oldest_pending_age_s,
            synced_ago_s=_seconds_since(status.last_sync),
            error=status.last_error,
            next_try_s=status.next_retry_s,
            blocked=status.blocked_by,
            syncing=self.sync.is_syncing,
            conflicts=len(self._conflicts),
        )
        more = {"State": str(status.state), "Durability": str(status.durability)}
        if status.storage_reset:
            more["Storage"] = "was wiped and began anew"
        self._cable.light(self._status.draw(now, more))

    # What the manager tells

    def _changed(self, change: Any) -> None:
        kind = str(getattr(change.change_type, "value", change.change_type))
        if kind.startswith("Remote"):
            self._cable.flow("down")
        elif kind == "SyncComplete":
            self.on_exchange()
        elif kind == "Conflict" and change.key:
            self._merged[change.key] = asyncio.get_event_loop().time() + MERGED_S
        self._stale.set()

    # What the person does

    async def _save(self, draft: Draft, fields: dict[str, Any]) -> str:
        """Write fields of a note; one that was deleted meanwhile is written whole, so no typing is lost."""
        if draft.is_known and draft.key not in self._notes:
            fields = draft.body
        if fields.keys() != {"done"}:
            fields = {**fields, "edited": _now()}
        saved = await self.sync.save_document(COLLECTION, draft.key, fields)
        self._stale.set()
        return str(saved["_key"])

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
        self._editor.show(self._notes.get(key) if key else None)
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
        """Put the note away."""
        key = self._editor.key
        spawn(self._editor.flush(), self.failed)
        self._editor.close()
        self._draw_list()
        self._list.focus(key)

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
        elif key in self._notes:
            spawn(self._save_done(key, not self._notes[key].done), self.failed)

    async def _save_done(self, key: str, done: bool) -> None:
        await self.sync.save_document(COLLECTION, key, {"done": done})
        self._stale.set()

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
        body = await self.sync.get_document(COLLECTION, key)
        if body is None:
            return
        await self.sync.delete_document(COLLECTION, key)
        self._stale.set()
        fields = {name: value for name, value in body.items() if not name.startswith("_")}
        title = note_from(key, body).title or "Untitled"
        toast(
            part(self.root, "toasts"),
            f"Deleted “{title}”",
            action="Undo",
            act=lambda: spawn(self._restore(key, fields), self.failed),
        )

    async def _restore(self, key: str, fields: dict[str, Any]) -> None:
        await self.sync.save_document(COLLECTION, key, fields)
        self._stale.set()

    def do_samples(self, control: Element) -> None:
        """Fill an empty list with notes to play with."""
        spawn(self._add_samples(), self.failed)

    async def _add_samples(self) -> None:
        for sample in reversed(SAMPLES):
            await self.sync.save_document(COLLECTION, None, {**sample, "edited": _now()})
        self._stale.set()

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
        result = await self.sync.sync_now()
        self._stale.set()
        region = part(self.root, "toasts")
        if result.errors:
            toast(region, str(result.errors[0]), kind="error")
        else:
            toast(region, f"Synced: {result.pushed} sent, {result.pulled} received.")

    def do_cable(self, control: Element) -> None:
        """Pull the cable, or plug it in."""
        self._cable.draw(not self._cable.plugged)
        self.sync.set_online(self._cable.plugged)
        self._stale.set()

    def do_keep_local(self, control: Element) -> None:
        """Resolve the open note's conflict with this device's version."""
        self._resolve(lambda conflict: conflict.local)

    def do_keep_remote(self, control: Element) -> None:
        """Resolve the open note's conflict with the server's version."""
        self._resolve(lambda conflict: conflict.remote)

    def _resolve(self, choose: Callable[[Any], Any]) -> None:
        conflict = self._conflicts.get(self._editor.key or "")
        if conflict is not None:
            work = self.sync.resolve_conflict(COLLECTION, conflict.key, choose(conflict))
            spawn(work, self.failed)
            self._stale.set()

    @property
    def has_split_view(self) -> bool:
        """Tell whether list and editor stand beside each other."""
        return not part(self.root, "back").checkVisibility()

    @property
    def _fills_page(self) -> bool:
        return document.documentElement.getAttribute("data-layout") == "single"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds_since(moment: str | None) -> float | None:
    if not moment:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
