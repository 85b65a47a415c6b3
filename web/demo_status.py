"""A device's status line and its network cable."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo_book import Notebook
from demo_dom import Element, mark, part, say
from demo_notes import age_words, counted, span_words
from js import document

import pysync_web as ps

PLUGGED = "M-4 46C34 46 24 92 60 92S74 46 95 46"
PULLED = "M-4 46C18 46 8 122 34 122S54 102 66 110"
FLOW_S = 0.75

BLOCKS = {
    "unauthorized": "The server asks for a token, as in #token=… at the end of this page’s address.",
    "rejected": "The server refuses what this device sends.",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the status line speaks of; ages and waits are in seconds."""

    plugged: bool
    online: bool = True
    pending: int = 0
    oldest_s: float | None = None
    synced_ago_s: float | None = None
    error: str | None = None
    next_try_s: float | None = None
    blocked: str | None = None
    syncing: bool = False
    following: bool = False
    conflicts: int = 0
    aside: int = 0


def status_words(now: Situation) -> tuple[str, str]:
    """Give the state (``settled waiting syncing offline trouble``) and the sentence for it."""
    waiting = f"{counted(now.pending, 'change')} {'waits' if now.pending == 1 else 'wait'} here"
    if now.pending and now.oldest_s is not None and now.oldest_s >= 5:
        waiting += f", {'the oldest ' if now.pending > 1 else ''}for {span_words(now.oldest_s)}"
    if now.conflicts:
        return "trouble", f"{counted(now.conflicts, 'conflict')}: open the note to choose."
    if not now.plugged:
        return "offline", f"Cable pulled. {waiting if now.pending else 'Nothing waits to be sent'}."
    if not now.online:
        return "offline", f"No network. {waiting if now.pending else 'Nothing waits to be sent'}."
    if now.following:
        return ("waiting" if now.pending else "settled"), "Another tab of this browser keeps it in sync."
    if now.blocked:
        return "trouble", f"{now.blocked} {waiting}." if now.pending else now.blocked
    if now.error:
        again = "" if now.next_try_s is None else f" Next try in {max(1, round(now.next_try_s))} s."
        return "offline", f"The server can’t be reached. {waiting + '.' if now.pending else ''}{again}"
    if now.pending:
        return (
            ("syncing", f"Sending {counted(now.pending, 'change')}…") if now.syncing else ("waiting", waiting + ".")
        )
    if now.synced_ago_s is None:
        return "waiting", "Not synced yet."
    if now.aside:
        return "waiting", f"All on the server. {counted(now.aside, 'change')} set aside: open the note to see."
    return "settled", f"All on the server, checked {age_words(now.synced_ago_s)}."


class StatusLine:
    """Puts the manager's status into one sentence, and its figures into a sheet."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._facts = part(root, "status-facts")
        self.state = "starting"

    def draw(self, status: ps.SyncStatus, book: Notebook, plugged: bool) -> None:
        """Say how things stand."""
        now = situation(status, book, plugged)
        self._say(*status_words(now))
        if part(self._root, "details").open:
            self._draw_facts(_facts(now, status))

    def say_lost(self, why: str) -> None:
        """Say that the local database can't be used any more."""
        self._say("trouble", why)

    def _say(self, state: str, sentence: str) -> None:
        self.state = state
        mark(part(self._root, "status"), "state", state)
        say(part(self._root, "status-text"), sentence)

    def _draw_facts(self, facts: dict[str, str]) -> None:
        cells = self._facts.children
        if cells.length != 2 * len(facts):
            self._facts.replaceChildren(*(document.createElement(tag) for _ in facts for tag in ("dt", "dd")))
        for place, (name, value) in enumerate(facts.items()):
            say(cells.item(2 * place), name)
            say(cells.item(2 * place + 1), value)


def situation(status: ps.SyncStatus, book: Notebook, plugged: bool) -> Situation:
    """Gather what the status line speaks of."""
    return Situation(
        plugged=plugged,
        online=book.sync.is_online,
        pending=status.pending,
        oldest_s=status.oldest_pending_age_s,
        synced_ago_s=_seconds_since(status.last_sync),
        error=status.last_error,
        next_try_s=status.next_retry_s,
        blocked=BLOCKS.get(status.blocked_by or ""),
        syncing=book.sync.is_syncing,
        following=status.state == "following",
        conflicts=len(book.conflicts),
        aside=len(book.lost),
    )


def _facts(now: Situation, status: ps.SyncStatus) -> dict[str, str]:
    return {
        "Waiting here": counted(now.pending, "change"),
        "Oldest of them": "none" if now.oldest_s is None else span_words(now.oldest_s),
        "Last sync": "never" if now.synced_ago_s is None else age_words(now.synced_ago_s),
        "Last error": now.error or "none",
        "Next try": "none planned" if now.next_try_s is None else f"in {max(0, round(now.next_try_s))} s",
        "State": status.state,
        "Durability": status.durability,
        "Storage": f"began anew ({status.storage_reset})" if status.storage_reset else "as it was left",
    }


def _seconds_since(moment: str | None) -> float | None:
    if not moment:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())


class Cable:
    """A cable that can be pulled: the drawn one on the bench, the small one in a device's status line."""

    def __init__(self, root: Element, link: Element, label: str) -> None:
        self._big = link.querySelector(".cable")
        self._small = part(root, "mini-cable")
        self._small.setAttribute("aria-label", f"{label}’s network cable")
        self.plugged = True
        self._big.disabled = self._small.disabled = False
        self.draw(True)

    def draw(self, plugged: bool) -> None:
        """Show the cable plugged in or pulled."""
        self.plugged = plugged
        for switch in (self._big, self._small):
            switch.setAttribute("aria-checked", "true" if plugged else "false")
        for wire in self._big.querySelectorAll(".wire, .wire-shade"):
            wire.setAttribute("d", PLUGGED if plugged else PULLED)
        say(part(self._big, "cable-word"), "Connected" if plugged else "Unplugged")
        say(part(self._big, "cable-hint"), "Pull it out" if plugged else "Plug it in")
        say(part(self._small, "mini-word"), "Connected" if plugged else "Unplugged")

    def light(self, state: str) -> None:
        """Let the lamp at the socket show the device's state."""
        mark(self._big, "state", state)

    def flow(self, direction: str) -> None:
        """Let something run along the wire: ``up`` to the server, ``down`` from it."""
        if self.plugged and not self._big.hasAttribute("data-flow"):
            mark(self._big, "flow", direction)
            asyncio.get_event_loop().call_later(FLOW_S, self._rest)

    def _rest(self) -> None:
        mark(self._big, "flow", None)


def replica_names(version: Any, names: dict[str, str]) -> str:
    """Write a version vector with the devices' names where they are known."""
    if not isinstance(version, dict):
        return ""
    known = {names.get(replica, replica[:6]): count for replica, count in version.items()}
    in_order = sorted(known, key=lambda name: (name == "server", name))
    return " · ".join(f"{name}\N{NO-BREAK SPACE}{known[name]}" for name in in_order)
