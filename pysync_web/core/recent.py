"""What was written or read of the feed a moment ago: after a poke, and when many come back, all ask for the same.

All of it can be done without. A document at a sequence never changes. Everything else is good for one state of the
database, but for the later steps in which deletes are forgotten: nobody hears of these who had not heard of them.
What this process commits is known, and brings the end of the feed from one state to the next.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from .feed import Entry, decode_entries
from .hub_state import HubState
from .ports import ReadTransaction

MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""So long may documents that are kept be in all; pages count for themselves."""

MOST_ENTRIES: Final = 20_000
"""So many entries of the feed are kept."""


_sequence: Final = attrgetter("sequence")


class Page(NamedTuple):
    """Documents as texts; ``cursor`` is the sequence up to which they tell everything."""

    texts: list[str]
    cursor: int
    has_more: bool


class Texts:
    """Documents as they are stored, by the sequences that they got in an epoch, the last ones that were kept."""

    __slots__ = ("_characters", "_epoch", "_known", "_newest")

    def __init__(self) -> None:
        self._known: OrderedDict[int, str] = OrderedDict()
        self._epoch = ""
        self._newest = self._characters = 0

    def of(self, epoch: str, head: int) -> dict[int, str]:
        """Give what is kept of a database; nothing where that was put back to an earlier state."""
        if epoch != self._epoch or head < self._newest:
            self._known.clear()
            self._epoch, self._newest, self._characters = epoch, 0, 0
        return self._known

    def keep(self, epoch: str, texts: dict[int, str]) -> None:
        """Take in documents, in place of the oldest ones where there are too many."""
        self.of(epoch, self._newest)
        new = {sequence: text for sequence, text in texts.items() if sequence not in self._known}
        self._known |= new
        self._newest = max(self._newest, max(new, default=0))
        self._characters += sum(map(len, new.values()))
        while self._characters > MOST_CHARACTERS:
            self._characters -= len(self._known.popitem(last=False)[1])


class Moved(NamedTuple):
    """A document that a transaction has moved to the end of the feed, from ``was``, 0 for none.

    ``text`` is the document as it is stored, ``size`` counts the characters of its entry as that is stored.
    """

    entry: Entry
    was: int
    size: int
    text: str


class Run:
    """All entries of the feed after ``low`` and up to ``high``; ``size`` counts at least their characters."""

    __slots__ = ("entries", "high", "low", "size")

    def __init__(self, low: int = 0, high: int = 0, entries: Sequence[Entry] = (), size: int = 0) -> None:
        self.low, self.high, self.entries, self.size = low, high, list(entries), size

    def after(self, sequence: int, limit: int) -> list[Entry]:
        """Give the next entries after a sequence that lies in it."""
        start = bisect_right(self.entries, sequence, key=_sequence)
        return self.entries[start : start + limit]

    def add(self, low: int, high: int, entries: list[Entry], size: int) -> None:
        """Take in what was read after ``low`` and up to ``high``, beside what is there or in its place."""
        if low == self.high:
            self.entries += entries
            self.high = high
        elif low < self.low <= high <= self.high:
            self.entries[:0] = entries[: bisect_right(entries, self.low, key=_sequence)]
            self.low = low
        else:
            self.low, self.high, self.entries, self.size = low, high, list(entries), 0
        self.size += size
        if (surplus := len(self.entries) - MOST_ENTRIES) > 0:
            surplus += MOST_ENTRIES // 10  # not one by one
            self.low = self.entries[surplus - 1].sequence
            del self.entries[:surplus]
        if self.size > MOST_CHARACTERS:
            self.low, self.entries, self.size = self.high, [], 0

    def followed(self, head: int, moved: Sequence[Moved]) -> Run:
        """Give the end of the feed, which this is, as it is after a commit; who reads this one goes on doing so."""
        found = Run(self.low, self.high, self.entries, self.size)
        for was in filter(None, (one.was for one in moved)):
            start = bisect_left(found.entries, was, key=_sequence)
            del found.entries[start : bisect_right(found.entries, was, start, key=_sequence)]
        found.add(self.high, head, [one.entry for one in moved], sum(one.size for one in moved))
        return found


class Feed:
    """The feed as a transaction sees it; what ``runs`` and ``texts`` lack is read, and left in the last run."""

    def __init__(self, tx: ReadTransaction, state: HubState, *runs: Run, texts: Texts | None = None) -> None:
        self._tx = tx
        self._epoch = state.epoch
        self.head = state.head
        self._runs = runs or (Run(),)
        self._texts = texts or Texts()

    async def after(self, sequence: int, limit: int) -> list[Entry]:
        """Give the next entries after a sequence."""
        run = next((one for one in self._runs if one.low <= sequence <= one.high), None)
        found = run.after(sequence, limit) if run else []
        low = run.high if run else sequence
        if len(found) < limit and low < self.head:
            missing = limit - len(found)
            rows = await self._tx.scan("feed", after=(low,), limit=missing)
            entries = decode_entries(rows)
            high = entries[-1].sequence if len(rows) == missing else self.head
            (run or self._runs[-1]).add(low, high, entries, sum(len(text) for _, text in rows))
            found += entries
        return found

    async def texts(self, entries: Sequence[Entry]) -> list[str | None]:
        """Give the documents of entries, as they are stored."""
        known = self._texts.of(self._epoch, self.head)
        found = [known.get(one.sequence) for one in entries]
        missing = [one for one, text in zip(entries, found, strict=True) if text is None]
        if missing:
            texts = iter(await self._tx.get_many("docs", [one.name for one in missing]))
            found = [next(texts) if text is None else text for text in found]
            read = zip(map(_sequence, entries), found, strict=True)
            self._texts.keep(self._epoch, {sequence: text for sequence, text in read if text is not None})
        return found


class Recent:
    """Parts of the feed in the state that a database is in, pages of it by what was asked, and documents.

    One part is the end of the feed, which goes along with what is committed here; the other one was read.
    """

    def __init__(self) -> None:
        self._state: HubState | None = None
        self._end, self._run = Run(), Run()
        self._texts = Texts()
        self._pages: OrderedDict[tuple[Any, ...], tuple[Page, int]] = OrderedDict()
        self._characters = 0

    def feed(self, tx: ReadTransaction, state: HubState) -> Feed:
        """Give the feed to a transaction."""
        self._see(state)
        return Feed(tx, state, self._end, self._run, texts=self._texts)

    def follow(self, before: HubState, after: HubState, moved: Iterable[Moved]) -> None:
        """Go along with a commit of this process, from one state to the next."""
        ordered = sorted(moved)
        self._texts.keep(after.epoch, {one.entry.sequence: one.text for one in ordered})
        if self._state == before:
            self._begin(after, self._end.followed(after.head, ordered))
        else:
            self._see(after)

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
            self._begin(state, Run(state.head, state.head))

    def _begin(self, state: HubState, end: Run) -> None:
        self._state, self._end, self._run = state, end, Run()
        self._characters = 0
        self._pages.clear()
