"""One device: a database of its own, a manager that syncs it, and the screen that shows it.

The list is drawn before anything else is even imported; the editor, the status line and the cable follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from demo_book import Notebook
from demo_dom import Element, listen, part, spawn, toast
from demo_list import NoteList
from demo_meter import Meter
from demo_notes import counted, note_from
from js import console, document, location, window

import pysync_web as ps

if TYPE_CHECKING:
    from demo_editor import Draft
    from demo_search import Search

TICK_S = 1.0
"""How often ages and waits on display are brought up to date."""

WIPED = "What was stored on this device is gone: it was wiped or put back from a copy. What the server has returns."


class Device:
    """A tablet or a phone. ``names`` gives the replicas that the page knows a name for."""

    def __init__(self, name: str, label: str, connect: dict[str, Any], names: Callable[[], dict[str, str]]) -> None:
        self.name = name
        self.label = label
        self.on_exchange: Callable[[], None] = lambda: None
        self.root: Element = document.querySelector(f'.device[data-device="{name}"]')
        self._link: Element = document.querySelector(f'.link[data-link="{name}"]')
        self._toasts = part(self.root, "toasts")
        self._connect = connect
        self._names = names
        self._list = NoteList(self.root)
        self._book: Notebook
        self._search: Search | None = None
        self._is_wired = False

    async def open(self) -> None:
        """Open the database and draw the first list."""
        server, token, database = (self._connect[name] for name in ("server", "token", "database"))
        client = ps.HttpClient(server, token=token)
        self._meter = Meter(client)
        sync = await ps.open(f"fieldnotes-{self.name}", server=client, database=database, device_id=self.label)
        sync.set_delta_threshold(1.0)  # notes are short: whatever is shorter than the note is worth it
        self._book = Notebook(self.name, sync)
        self._book.sync.on_change(self._changed)
        await self._book.read()
        self._draw_list()
        self.root.setAttribute("aria-busy", "false")

    def wire(self) -> None:
        """Bring editor, status line, cable, buttons and keys to life."""
        from demo_actions import Actions
        from demo_editor import Editor
        from demo_holds import Holds
        from demo_panes import Desk
        from demo_search import Search
        from demo_status import Cable, StatusLine

        self._search = Search(self._book, self._draw_list, self.failed)
        self._editor = Editor(self.root, self._save, self.failed)
        self._status = StatusLine(self.root)
        self._holds = Holds(self.root)
        self._cable = Cable(self.root, self._link, self.label)
        self._book.strategies.draw(self.root)
        desk = Desk(self.root, self._book, self._who, self.failed)
        self.actions = Actions(desk, self._list, self._search, self._editor, self._cable, self._draw_list)
        self._is_wired = True
        self._listen()
        spawn(self._keep_drawn(), self.failed)

    def _listen(self) -> None:
        for control in self.root.querySelectorAll("[disabled]"):
            control.disabled = False
        for target in (self.root, self._link):
            listen(target, "click", self.actions.clicked)
        listen(self.root, "input", self.actions.typed)
        listen(self.root, "focusin", self.actions.entered)
        listen(self.root, "focusout", self.actions.left)
        listen(document, "visibilitychange", lambda event: self.actions.save_typing())
        listen(window, "online", self._network_returned)

    @property
    def replica_id(self) -> str:
        """The replica that lives in this device's database."""
        return self._book.sync.store.replica_id

    def failed(self, error: BaseException) -> None:
        """Tell what went wrong, in the words of the error."""
        if isinstance(error, ps.StorageReset):
            self._lose_storage(error)
            return
        console.error(f"{self.label}: {type(error).__name__}: {error}")
        toast(self._toasts, f"That did not work: {error}", kind="error")

    async def _save(self, draft: Draft, fields: dict[str, Any]) -> str:
        """Write what was typed; a note that was deleted meanwhile is written whole, so no typing is lost."""
        is_gone = draft.is_known and draft.key not in {*self._book.notes, *self._book.left}
        return await self._book.save(draft.key, draft.body if is_gone else fields)

    # What the manager and the browser tell

    def _changed(self, change: ps.Change) -> None:
        self._meter.take(change, self._book.sync, self._book.is_fetching)
        self._book.take(change)
        if change.change_type == "SyncComplete" and self._is_wired:
            if change.pushed_count:
                self._cable.flow("up")
            if change.pulled_count:
                self._cable.flow("down")
            self.on_exchange()

    def _network_returned(self, event: Any) -> None:
        """The browser says that the network is back; a pulled cable is still pulled."""
        if not self._cable.plugged:
            self._book.set_online(False)

    # What is seen

    async def _keep_drawn(self) -> None:
        """Draw again after every change; once a second bring ages and marks up to date."""
        try:
            await self._tell_of_reset()
            while True:
                if await self._book.look():
                    self._offer_homeless()
                    self._tell_departures()
                    self._draw_list()
                    self._draw_editor()
                    self.actions.draw_pane()
                await self._draw_status()
                await self._book.wait_for_change(TICK_S)
        except ps.StorageError as error:
            self._lose_storage(error)

    async def _tell_of_reset(self) -> None:
        if (await self._book.sync.status()).storage_reset:
            toast(self._toasts, WIPED, kind="error")

    def _lose_storage(self, error: ps.StorageError) -> None:
        """The database went away under the page: nothing more can be read or saved until it is opened anew."""
        console.error(f"{self.label}: {type(error).__name__}: {error}")
        self._status.say_lost(str(error))
        words = f"The local database can’t be used any more: {error}"
        toast(self._toasts, words, kind="error", action="Reload", act=lambda: location.reload(), stays=True)

    def _draw_list(self) -> None:
        chosen = self.actions.shown_key if self._is_wired else None
        self._list.draw(self._book, chosen, self._search)

    def _draw_editor(self) -> None:
        draft = self._editor.draft
        if draft is None or draft.key is None:
            return
        note = self._book.notes.get(draft.key)
        if note is not None:
            self._editor.take(note)
            self._editor.show_aside(*self._book.set_aside(note.key))
            self._editor.offer_choice(note.key in self._book.conflicts)
            self._editor.say_saved(self._book.where_kept(note.key), self._facts(note.key))
        elif draft.is_known and not draft.typed:
            self._editor.close()
            self._draw_list()
            if draft.key not in self._book.left:
                toast(self._toasts, "This note was deleted on another device.")

    def _tell_departures(self) -> None:
        """Say which notes left that are open, or were changed here: what was changed was sent before."""
        departures = self._book.take_departures()
        changed = [title for title, was_changed in departures.values() if was_changed]
        kind = self._book.choice.kind
        why = f", which holds {kind} notes only" if kind else ""
        if changed:
            which = f"“{changed[0]}”" if len(changed) == 1 else counted(len(changed), "note")
            toast(self._toasts, f"{which} left this device{why}. What was changed here was sent first.")
        elif self._editor.key in departures:
            toast(self._toasts, f"“{departures[self._editor.key][0]}” left this device{why}.")

    def _who(self, replica: str) -> str:
        """Say which device a replica is."""
        if replica == self.replica_id:
            return "this device"
        name = self._names().get(replica)
        return f"the {name}" if name else "another device"

    def _facts(self, key: str) -> str:
        from demo_status import replica_names

        return replica_names(self._book.versions.get(key), self._names())

    def _offer_homeless(self) -> None:
        """A change that was set aside because its note was deleted has no row to be marked: say it once."""
        for entry in self._book.take_homeless():
            title = note_from(entry.key, entry.body or {}).title or "A note"
            toast(
                self._toasts,
                f"“{title}” was deleted elsewhere while it was changed here.",
                action="Keep it",
                act=lambda entry=entry: spawn(self._book.put_back(entry.id), self.failed),
            )

    async def _draw_status(self) -> None:
        status = await self._book.sync.status()
        self._status.draw(status, self._book, self._cable.plugged)
        self._holds.draw(self._book)
        self._meter.draw(self.root)
        self._cable.light(self._status.state)
