"""How conflicts of the notes are decided that are written on one device: chosen in the sync sheet, kept for later.

A choice goes with each change made from then on, so what waits to be sent is decided as was said when it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo_dom import Element, part, say, stamp
from js import localStorage

import pysync_web as ps


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy in words; ``strategy`` None is the manager's own."""

    label: str
    hint: str
    strategy: ps.Strategy | None


CHOICES = {
    "fields": Choice("Merge fields", "Each field has the value of its last change.", None),
    "last": Choice(
        "Last change wins", "The whole note is as it was last written.", ps.ConflictStrategy.LAST_WRITE_WINS
    ),
    "lines": Choice(
        "Three-way merge",
        "Texts by lines, tags one by one; of two changes of one line, the last.",
        ps.ThreeWayMerge(fallback=ps.ConflictStrategy.LAST_WRITE_WINS),
    ),
    "ask": Choice("Ask me", "Both versions are kept until you have chosen.", ps.ConflictStrategy.MANUAL),
}
USUAL = "fields"


class Strategies:
    """The choice of one device."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._place = f"fieldnotes-{device}-strategy"
        kept = localStorage.getItem(self._place)
        self.chosen: str = kept if kept in CHOICES else USUAL

    @property
    def strategy(self) -> ps.Strategy | None:
        """The strategy for a change that is made now."""
        return CHOICES[self.chosen].strategy

    def draw(self, root: Element) -> None:
        """Lay out the choices in the device's sync sheet."""
        part(root, "strategies").replaceChildren(*(self._option(*item) for item in CHOICES.items()))

    def take(self, field: Any) -> None:
        """Take a choice from its button."""
        self.chosen = field.value
        localStorage.setItem(self._place, self.chosen)

    def _option(self, name: str, choice: Choice) -> Element:
        option = stamp("strategy-option")
        button, words = option.children
        button.name = f"{self._device}-strategy"
        button.value = name
        button.checked = name == self.chosen
        say(words.firstElementChild, choice.label)
        say(words.lastElementChild, choice.hint)
        return option
