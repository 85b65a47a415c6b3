"""What was read of the feed a moment ago: after a poke, and when many come back, all ask for nearly the same.

All of it can be done without, and is good for one state of the database only: what is committed ends it, but for the
later steps in which deletes are forgotten, of which nobody hears who had not heard of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .feed import Entry, decode_entries
from .hub_state import HubState
from .ports import ReadTransaction

MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""So long may texts that are kept be in all; pages count for themselves."""

MOST_ENTRIES: Final = 10_000
"""So many entries of the feed are kept."""


class Page(NamedTuple):
    """Documents as texts; ``cursor`` is the sequence up to which they tell everything."""

    texts: list[str]
    cursor: int
    has_more: bool


class Run:
    """All entries of the feed after ``low`` and up to ``high``, with the texts of some of their documents."""

    __slots__ = ("characters", "entries", "high", "low", "texts")

    def __init__(self) -> None:
        self.set(0, 0, [])

    def set(self, low: int, high: int, entries: list[Entry]) -> None:
        """Begin anew with some entries, in a list that is this run's own from then on."""
        self.low, self.high, self.entries = low, high, entries
        self.texts: dict[int, str | None] = {}
        self.characters = 0

    def after(self, sequence: int, limit: int) -> list[Entry]:
        """Give the next entries after a sequence that lies in it."""
        start = bisect_right(self.entries, sequence, key=_sequence)
        return self.entries[start : start + limit]

    def add(self, low: int, high: int, entries: list[Entry]) -> None:
        """Take in what was read after ``low`` and up to ``high``, beside what is there or in its place."""
        if len(self.entries) + len(entries) > MOST_ENTRIES:
            self.set(low, high, entries)
        elif low == self.high:
            self.entries += entries
            self.high = high
        elif low < self.low <= high <= self.high:
            new = entries[: bisect_right(entries, self.low, key=_sequence)]
            self.entries, self.low = new + self.entries, low
        else:
            self.set(low, high, entries)

    def keep(self, texts: dict[int, str | None]) -> None:
        """Take in texts of documents, by their sequences; where there are too many, nothing else stays."""
        self.characters += sum(len(text) for text in texts.values() if text)
        if self.characters > MOST_CHARACTERS:
            self.set(self.high, self.high, [])
        else:
            self.texts |= texts


class Feed:
    """The feed as a transaction sees it; it reads what ``run`` does not have, and leaves it there."""

    def __init__(self, tx: ReadTransaction, head: int, run: Run | None = None) -> None:
        self._tx = tx
        self.head = head
        self._run = run or Run()

    async def after(self, sequence: int, limit: int) -> list[Entry]:
        """Give the next entries after a sequence."""
        run = self._run
        is_within = run.low <= sequence <= run.high
        found = run.after(sequence, limit) if is_within else []
        low = run.high if is_within else sequence
        if len(found) < limit and low < self.head:
            missing = limit - len(found)
            rows = decode_entries(await self._tx.scan("feed", after=(low,), limit=missing))
            run.add(low, rows[-1].sequence if len(rows) == missing else self.head, rows)
            found += rows
        return found

    async def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """Give the documents of entries, as they are stored."""
        known = self._run.texts
        missing = [one for one in entries if one.sequence not in known]
        if not missing:
            return [known[one.sequence] for one in entries]
        texts = await self._tx.get_many("docs", [one.name for one in missing])
        read = dict(zip(map(_sequence, missing), texts, strict=True))
        self._run.keep(read)
        return [read[one.sequence] if one.sequence in read else known[one.sequence] for one in entries]


class Recent:
    """What was read of the feed in the state that a database is in, and pages of it by what was asked."""

    def __init__(self) -> None:
        self._state: HubState | None = None
        self._run = Run()
        self._pages: OrderedDict[tuple[Any, ...], tuple[Page, int]] = OrderedDict()
        self._characters = 0

    def feed(self, tx: ReadTransaction, state: HubState) -> Feed:
        """Give the feed to a transaction."""
        self._see(state)
        return Feed(tx, state.head, self._run)

    def page(self, state: HubState, wish: tuple[Any, ...]) -> Page | None:
        """Give a page, or None."""
        self._see(state)
        found = self._pages.get(wish)
        return found[0] if found else None

    def keep(self, state: HubState, wish: tuple[Any, ...], page: Page) -> None:
        """Keep a page, in place of the oldest ones where there are too many."""
        self._see(state)
        size = len(repr(wish)) + sum(map(len, page.texts))
        self._pages[wish] = page, size
        self._characters += size
        while self._characters > MOST_CHARACTERS:
            self._characters -= self._pages.popitem(last=False)[1][1]

    def _see(self, state: HubState) -> None:
        if state != self._state:
            self._state, self._run, self._characters = state, Run(), 0
            self._pages.clear()


def _sequence(entry: Entry) -> int:
    return entry.sequence
