"""The panes that take the editor's place: queries, the ledger, a conflict. Each is imported when first opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo_book import Notebook
from demo_dom import Element, part


@dataclass(frozen=True, slots=True)
class Desk:
    """What every pane works with; ``who`` says which device a replica is."""

    root: Element
    book: Notebook
    who: Callable[[str], str]
    failed: Callable[[BaseException], None]


class Panes:
    """Opens one pane at a time, and hands it what is done in it."""

    def __init__(self, desk: Desk, decided: Callable[[str], None]) -> None:
        self._desk = desk
        self._decided = decided
        self._panes: dict[str, Any] = {}
        self.name: str | None = None

    def open(self, name: str, *which: str) -> None:
        """Show a pane instead of the one that is open."""
        self.close()
        self.name = name
        self.pane(name).open(*which)
        self._say_expanded(name, True)

    def close(self) -> str | None:
        """Put away what is open, and name it."""
        was_open, self.name = self.name, None
        if was_open is not None:
            self.pane(was_open).close()
            self._say_expanded(was_open, False)
        return was_open

    def focus(self) -> None:
        """Move the keyboard's focus into the open pane."""
        self.pane(str(self.name)).focus()

    def act(self, action: str, control: Element) -> bool:
        """Let the open pane do something; tell whether it can."""
        do = getattr(self._panes.get(str(self.name)), f"do_{action}", None)
        if do is not None:
            do(control)
        return do is not None

    def draw(self) -> None:
        """Bring the open pane up to date; the queries do so themselves."""
        if self.name in ("ledger", "conflict"):
            self._panes[self.name].draw()

    @property
    def conflict_key(self) -> str | None:
        """The note whose conflict is shown."""
        return self._panes["conflict"].key if self.name == "conflict" else None

    def pane(self, name: str) -> Any:
        """Give a pane, made when it is first asked for."""
        if name not in self._panes:
            self._panes[name] = self._make(name)
        return self._panes[name]

    def _make(self, name: str) -> Any:
        match name:
            case "queries":
                from demo_queries import QueryPanel

                return QueryPanel(self._desk)
            case "ledger":
                from demo_ledger import LedgerPane

                return LedgerPane(self._desk)
        from demo_conflict import ConflictPane

        return ConflictPane(self._desk, self._decided)

    def _say_expanded(self, name: str, is_open: bool) -> None:
        button = part(self._desk.root, f"open-{name}")
        if button:
            button.setAttribute("aria-expanded", "true" if is_open else "false")
