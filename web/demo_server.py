"""What the server has, asked for over its HTTP API as any program might: the documented pull, no library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from time import monotonic
from typing import Any

from demo_dom import Element, mark, part, say, stamp
from demo_notes import COLLECTION, QUERIES, age_words, counted, note_from
from demo_status import replica_names
from js import AbortSignal, Object, document, fetch
from pyodide.ffi import JsException, to_js

PERIOD_S = 1.5
PATIENCE_MS = 4000
PAGE = 100

NOTHING_THERE = "No documents yet. What a device sends appears here."
NOTHING_SEEN = "Notes can be written all the same: they wait on their device."


class ServerPane:
    """Keeps its own copy of the server's documents, up to date for as long as the page is looked at."""

    def __init__(
        self,
        root: Element,
        origin: str,
        database: str,
        token: str | None,
        names: Callable[[], dict[str, str]],
    ) -> None:
        self._root = root
        self._origin = origin
        self._database = database
        self._token = token
        self._names = names
        self._documents: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, tuple[Element, str]] = {}
        self._cursor = 0
        self._epoch: str | None = None
        self._limit = PAGE
        self._nudged = asyncio.Event()
        self._seen_at: float | None = None
        say(part(root, "server-address"), origin.split("//")[-1])

    async def run(self) -> None:
        """Ask, draw, wait; for ever. Nobody asks while the page is hidden."""
        while True:
            if not document.hidden:
                await self._look()
            self._nudged.clear()
            try:
                await asyncio.wait_for(self._nudged.wait(), PERIOD_S)
            except TimeoutError:
                continue

    def nudge(self) -> None:
        """Something was just exchanged: ask now."""
        self._nudged.set()

    def show_more(self) -> None:
        """Draw one page more of the documents."""
        self._limit += PAGE
        self._draw()

    async def _look(self) -> None:
        try:
            changed = await self._pull()
        except (JsException, OSError, ValueError) as error:
            self._draw_down(error)
            return
        was_up = self._root.getAttribute("data-state") == "up"
        mark(self._root, "state", "up")
        if changed or not was_up:
            self._draw(flash=self._seen_at is not None)
        self._seen_at = monotonic()
        say(part(self._root, "server-state"), f"Reachable. {counted(len(self._documents), 'document')}.")

    async def _pull(self) -> bool:
        changed = False
        while True:
            answer = await self._ask()
            if self._is_another(answer):
                self._documents, self._cursor, changed = {}, 0, True
                continue
            for change in answer.get("server_changes", []):
                changed = True
                self._apply(change)
            self._cursor = answer["server_version"].get("server", 0)
            if not answer.get("has_more"):
                return changed

    async def _ask(self) -> dict[str, Any]:
        wanted = {
            "database": self._database,
            "client_id": "bench",
            "version_vector": {"server": self._cursor},
            "changes": [],
            "limit": 500,
        }
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        options = {
            "method": "POST",
            "headers": headers,
            "body": json.dumps(wanted),
            "signal": AbortSignal.timeout(PATIENCE_MS),
        }
        address = f"{self._origin}/_api/sync/delta"
        response = await fetch(address, to_js(options, dict_converter=Object.fromEntries))
        body = await response.text()
        if response.status in (401, 403):
            raise PermissionError("it asks for a token, as in #token=… at the end of this page’s address")
        if response.status == 409:  # the server began anew
            return {"epoch": None, "server_version": {"server": min(0, -self._cursor)}}
        if not response.ok:
            raise ValueError(f"it answered {response.status}")
        answer = json.loads(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("server_version"), dict):
            raise ValueError("it answered with something that is no sync answer")
        return answer

    def _is_another(self, answer: dict[str, Any]) -> bool:
        """Tell a server that began anew: what was shown is of a database that is no more."""
        epoch = answer.get("epoch")
        before, self._epoch = self._epoch, epoch
        is_behind = answer["server_version"].get("server", 0) < self._cursor
        return self._cursor > 0 and (is_behind or before != epoch)

    def _apply(self, change: dict[str, Any]) -> None:
        if change.get("collection") not in (COLLECTION, QUERIES):
            return
        key = change["key"]
        if change["operation"] in ("delete", "remove"):
            self._documents.pop(key, None)
            return
        body = change.get("document")
        if body is None:
            body = {**self._documents.get(key, {}), **change.get("delta", {})}
        facts = {"_version": change.get("version_vector"), "_timestamp": change.get("timestamp", "")}
        self._documents.pop(key, None)
        self._documents[key] = {**body, **facts}

    def _draw(self, flash: bool = False) -> None:
        names = self._names()
        newest = list(reversed(self._documents.items()))[: self._limit]
        records = part(self._root, "records")
        for key in self._rows.keys() - {key for key, _ in newest}:
            self._rows.pop(key)[0].remove()
        for place, (key, body) in enumerate(newest):
            row = self._row(key, body, names, flash)
            at = records.children.item(place)
            if not at or not at.isSameNode(row):
                records.insertBefore(row, at or None)
        say(part(self._root, "server-empty"), NOTHING_THERE)
        part(self._root, "server-empty").hidden = bool(newest)
        part(self._root, "more-records").hidden = len(self._documents) <= self._limit
        say(part(self._root, "server-foot"), f"sequence {self._cursor}")

    def _row(self, key: str, body: dict[str, Any], names: dict[str, str], flash: bool) -> Element:
        note = note_from(key, body)
        title = note.title or _name(body)
        facts = "  ".join(filter(None, [f"{key[-6:]}:", replica_names(body.get("_version"), names)]))
        look = f"{title}\n{note.done}\n{facts}"
        row, seen = self._rows.get(key) or (stamp("record-row"), "")
        if seen != look:
            say(row.firstElementChild, title)
            say(row.lastElementChild, facts)
            mark(row, "done", note.done)
            mark(row, "new", None)
            _ = row.offsetWidth
            mark(row, "new", flash)
            self._rows[key] = (row, look)
        return row

    def _draw_down(self, error: BaseException) -> None:
        is_refusal = isinstance(error, (PermissionError, ValueError))
        mark(self._root, "state", "refused" if is_refusal else "down")
        words = f"The server can’t be used: {error}." if is_refusal else "The server can’t be reached."
        if self._seen_at is not None:
            words += f" Below is what it had {age_words(monotonic() - self._seen_at)}."
        say(part(self._root, "server-state"), words)
        say(part(self._root, "server-empty"), NOTHING_SEEN)
        part(self._root, "server-empty").hidden = bool(self._documents)


def _name(body: dict[str, Any]) -> str:
    """Give the name of a saved query, which has no title."""
    name = body.get("name")
    return f"Query: {name}" if isinstance(name, str) and name else ""
