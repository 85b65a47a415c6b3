"""Which notes a device holds: all of them, or only what a filter lets through; and the buttons that choose it.

The server decides what passes and sends nothing else. What is said here about one note only foretells that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo_dom import Element, mark, part, say
from demo_notes import Note

if TYPE_CHECKING:
    from demo_book import Notebook


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter, a word for the notes that pass, the same for one note, and what a new note begins with to pass."""

    name: str
    filter: str | None
    kind: str = ""
    lets: Callable[[Note], bool] = lambda note: True
    beginning: dict[str, Any] = field(default_factory=dict)


ALL = Choice("all", None)
CHOICES = (
    ALL,
    Choice("open", "doc.done != true", "open", lambda note: not note.done),
    Choice(
        "urgent",
        "'urgent' IN TO_ARRAY(doc.tags)",
        "urgent",
        lambda note: "urgent" in note.tags,
        {"tags": ["urgent"]},
    ),
)


def choice_of(query: str | None) -> Choice:
    """Find the choice that has this filter; one that another program made has no button."""
    return next((one for one in CHOICES if one.filter == query), Choice("", query, "chosen"))


class Holds:
    """Shows what is held, and how far that has come."""

    def __init__(self, root: Element) -> None:
        self._strip = part(root, "holds")
        self._state = part(root, "holds-state")

    def draw(self, book: Notebook) -> None:
        """Bring the buttons and the words up to date."""
        for button in self._strip.querySelectorAll('[data-action="hold"]'):
            is_chosen = button.getAttribute("data-value") == book.choice.name
            button.setAttribute("aria-pressed", "true" if is_chosen else "false")
        waits = book.is_fetching and not book.sync.is_online
        mark(self._strip, "state", "waits" if waits else "fetching" if book.is_fetching else "ready")
        say(self._state, "Waits for a signal" if waits else "Fetching…" if book.is_fetching else "On this device")
