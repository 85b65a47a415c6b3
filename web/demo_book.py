"""A device's notes, read once and then kept by the manager's events, and where each one stands on its way.

A note is ``waiting`` or ``sending`` while the server has not acknowledged it, or ``leaving`` where it is none of
those held here and goes once it is sent; ``conflict`` while a person has to choose between two versions, ``aside``
while a change of it was set aside and nobody has looked, ``merged`` for a while after two devices' changes came
together, else ``synced``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from time import monotonic
from typing import Any

from demo_holds import ALL, choice_of
from demo_notes import COLLECTION, SAMPLES, Note, arrange, in_order, note_from
from demo_strategies import Strategies
from js import Date, localStorage

import pysync_web as ps

MERGED_S = 20.0
SETTLED_KEPT = 200
OWN_STAMP = "edited"


class Notebook:
    """The notes of one device and the manager that keeps them."""

    def __init__(self, name: str, sync: ps.SyncManager) -> None:
        self.sync = sync
        self.strategies = Strategies(name)
        self.notes: dict[str, Note] = {}
        self.versions: dict[str, Any] = {}
        self.marks: dict[str, str] = {}
        self.lost: dict[str, ps.Entry] = {}
        self.conflicts: dict[str, ps.Conflict] = {}
        self.choice = ALL
        self.is_fetching = False
        self.left: set[str] = set()
        self._departures: dict[str, tuple[str, bool]] = {}
        self._merged: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._changed.set()
        self._place = f"fieldnotes-{name}-settled"
        self._settled: list[str] = json.loads(localStorage.getItem(self._place) or "[]")

    async def read(self) -> None:
        """Read every note; events keep them from then on."""
        for key, document in await self.sync.query_documents(COLLECTION):
            self._put(key, document)

    def take(self, change: ps.Change) -> None:
        """Take in what an event tells."""
        self._changed.set()
        if change.collection != COLLECTION:
            return
        if change.change_type == "Conflict" and change.reason != "waiting":
            self._merged[change.key] = monotonic() + MERGED_S
        if change.document is not None:
            self.left.discard(change.key)
            self._put(change.key, change.document)
        elif change.reason == "removed":
            self._let_go(change.key)
        elif change.change_type.endswith("Delete"):
            self._drop(change.key)

    def _let_go(self, key: str) -> None:
        """A note left this device; others have it still."""
        was_changed = self.marks.get(key) in ("waiting", "sending", "leaving")
        self._departures[key] = self.title_of(key), was_changed
        self.left.add(key)
        self._drop(key)

    def take_departures(self) -> dict[str, tuple[str, bool]]:
        """Give the notes that left since the last call: the title, and whether a change made here was sent first."""
        departures, self._departures = self._departures, {}
        return departures

    async def hold(self, query: str | None) -> None:
        """Hold only the notes that a filter lets through, or (None) all of them, from the next sync on."""
        self.is_fetching = True
        await self.sync.subscribe(COLLECTION, query)
        await self.look()
        self._changed.set()

    def in_order(self) -> list[Note]:
        """Give the notes as the list shows them; one that was deleted here stays while that is in conflict."""
        gone = {key: one.remote for key, one in self.conflicts.items() if key not in self.notes and one.remote}
        return arrange([*self.notes.values(), *(note_from(key, body) for key, body in gone.items())])

    def title_of(self, key: str, bodies: Iterable[dict[str, Any]] = ()) -> str:
        """Give the title of a note; of one that is no more, that in one of some older bodies."""
        titles = [self.notes[key].title] if key in self.notes else []
        if key in self.conflicts:
            bodies = [*filter(None, (self.conflicts[key].remote, self.conflicts[key].local)), *bodies]
        titles += [note_from(key, body).title for body in bodies]
        return next(filter(None, titles), "Untitled")

    async def wait_for_change(self, seconds: float) -> None:
        """Return when something has changed, or after some seconds."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def poke(self) -> None:
        """Let everything be drawn again."""
        self._changed.set()

    def set_online(self, is_online: bool) -> None:
        """Give the manager its network, or take it away."""
        self.sync.set_online(is_online)
        self._changed.set()

    async def look(self) -> bool:
        """Learn anew where each note stands; tell whether there is anything new to be drawn."""
        was_changed = self._changed.is_set()
        self._changed.clear()
        pending = await self.sync.pending_changes()
        lost = await self.sync.lost_changes()
        await self._look_at_choice()
        marks = {key: "merged" for key, until in self._merged.items() if monotonic() < until}
        for change in pending:
            if change.collection == COLLECTION:
                is_sending = change.state == "in_flight" and self.sync.is_syncing
                marks[change.key] = "sending" if is_sending else "waiting"
                if change.key in self.notes and not self.choice.lets(self.notes[change.key]):
                    marks[change.key] = "leaving"
        self.lost = {one.key: one for one in reversed(lost) if self._is_unsettled(one)}
        self.conflicts = {one.key: one for one in await self.sync.conflicts() if one.collection == COLLECTION}
        marks |= dict.fromkeys(self.lost, "aside") | dict.fromkeys(self.conflicts, "conflict")
        before, self.marks = self.marks, marks
        return was_changed or before != marks

    def where_kept(self, key: str) -> str:
        """Say where a note is kept."""
        match self.marks.get(key):
            case "conflict":
                return "Saved on this device; not sent until you have chosen"
            case "leaving":
                return "Saved on this device, which it leaves when it is sent"
            case "waiting" | "sending":
                return "Saved on this device, not sent yet"
            case "merged":
                return "Merged with changes of another device"
            case _:
                return "Saved on this device and on the server"

    def set_aside(self, key: str) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        """Give words for a change that lost (none: ""), the fields that stand, those set aside (None: a delete)."""
        entry = self.lost.get(key)
        if entry is None or key in self.conflicts:
            return "", {}, None
        words = "Changed in two places at once. The later change stands."
        if entry.kind == "rejected":
            words = f"The server refused a change of this note: {entry.message}"
        return words, *self.beside(entry)

    def beside(self, entry: ps.Entry) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Give what stands now and what was set aside (None: a delete), of the fields that are not the same."""
        lost = told(entry.body)
        now = _document(self.notes[entry.key]) if entry.key in self.notes else {}
        if lost is None:
            return now, None
        names = [name for name in in_order(lost) if now and lost[name] != now.get(name)] or in_order(lost)
        return {name: now[name] for name in names if name in now}, {name: lost[name] for name in names}

    def take_homeless(self) -> list[ps.Entry]:
        """Give changes of notes that are no more, each once."""
        known = {*self.notes, *self.conflicts}
        gone = [entry for key, entry in self.lost.items() if key not in known]
        for entry in gone:
            self.settle(entry.key)
        return [entry for entry in gone if entry.body is not None]

    def settle(self, key: str) -> None:
        """Remember that the person has seen what was set aside."""
        entry = self.lost.pop(key, None)
        self._changed.set()
        if entry is not None:
            self._remember([entry.id])

    async def put_back(self, entry_id: str) -> None:
        """Let what was set aside stand after all."""
        await self.sync.ledger.restore(entry_id)
        self._remember([entry_id])
        self._changed.set()

    async def resolve(self, seen: ps.Conflict, answer: Any) -> None:
        """Decide a conflict by hand; what that gives up was seen by the person who did."""
        await self.sync.resolve_conflict(COLLECTION, seen.key, answer, seen=seen)
        given_up = await self.sync.ledger.list(COLLECTION, seen.key)
        self._remember([entry.id for entry in given_up])
        await self.look()
        self._changed.set()

    async def save(self, key: str | None, fields: dict[str, Any]) -> str:
        """Write fields of a note, or a new note, and give its key."""
        if fields.keys() != {"done"}:
            fields = {**fields, OWN_STAMP: self.now()}
        document = await self.sync.save_document(COLLECTION, key, fields, strategy=self.strategies.strategy)
        return str(document["_key"])

    async def delete(self, key: str) -> dict[str, Any] | None:
        """Delete a note and give what it held, for the case that it is wanted back."""
        document = await self.sync.get_document(COLLECTION, key)
        async with self.sync.transaction(strategy=self.strategies.strategy) as change:
            await change.delete_document(COLLECTION, key)
        return told(document, keep_stamp=True)

    async def restore(self, key: str, fields: dict[str, Any]) -> None:
        """Write a deleted note again as it was."""
        await self.sync.save_document(COLLECTION, key, fields, strategy=self.strategies.strategy)

    def now(self) -> str:
        """Give the stamp of an edit that is made now."""
        return _minutes_ago(0)

    async def add_samples(self) -> None:
        """Write notes to play with, in one transaction."""
        given = [sample | {OWN_STAMP: _minutes_ago(17 * place**2)} for place, sample in enumerate(SAMPLES)]
        await self.sync.save_documents(COLLECTION, given)

    async def _look_at_choice(self) -> None:
        """Learn what is held, and whether all of it is here."""
        chosen = [one for one in await self.sync.subscriptions() if one.collection == COLLECTION]
        choice = choice_of(chosen[0].query) if chosen else ALL
        is_fetching = bool(chosen) and not chosen[0].is_ready
        if (self.choice, self.is_fetching) != (choice, is_fetching):
            self.choice, self.is_fetching = choice, is_fetching
            self._changed.set()

    def _drop(self, key: str) -> None:
        self.notes.pop(key, None)
        self.versions.pop(key, None)

    def _put(self, key: str, document: dict[str, Any]) -> None:
        self.notes[key] = note_from(key, document)
        self.versions[key] = document.get("_version")

    def _remember(self, entries: list[str]) -> None:
        """Keep which entries of the ledger a person has seen."""
        new = [entry for entry in entries if entry not in self._settled]
        self._settled = [*self._settled, *new][-SETTLED_KEPT:]
        localStorage.setItem(self._place, json.dumps(self._settled))

    def _is_unsettled(self, entry: ps.Entry) -> bool:
        if entry.collection != COLLECTION or entry.id in self._settled or entry.restored_ms:
            return False
        if entry.kind == "removed":  # nothing is lost: it was sent
            return False
        return entry.body is None or bool(told(entry.body))


def told(document: dict[str, Any] | None, *, keep_stamp: bool = False) -> dict[str, Any] | None:
    """Give the fields that a person wrote."""
    if document is None:
        return None
    hidden = () if keep_stamp else (OWN_STAMP,)
    return {name: value for name, value in document.items() if name not in hidden and not name.startswith("_")}


def _document(note: Note) -> dict[str, Any]:
    return {"title": note.title, "text": note.text, "tags": list(note.tags), "done": note.done}


def _minutes_ago(minutes: float) -> str:
    return str(Date.new(Date.now() - minutes * 60_000).toISOString())
