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
"""So many entries of a part of the feed are kept."""

MOST_IN_ENTRIES: Final = 2 * 1024 * 1024
"""So long may they be as they are stored; with long trails they take ten times as much in memory."""

MOST_WAITING: Final = 2_000
LONG_ENTRY: Final = 1024
"""So many entries wait to be put into the end of the feed until it is read, and none that is longer."""

_NO_STATE: Final = HubState("")
_sequence: Final = attrgetter("sequence")
_size: Final = attrgetter("size")


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

    def drop(self, sequences: Iterable[int]) -> None:
        """Let go of documents that were written anew."""
        self._characters -= sum(len(self._known.pop(sequence, "")) for sequence in sequences)


class Moved(NamedTuple):
    """A document that a transaction has moved to the end of the feed, from ``was``, 0 for none, as it is stored."""

    entry: Entry
    was: int
    text: str


class Commit(NamedTuple):
    """What a transaction has done to the feed, between two states of the database."""

    before: HubState
    after: HubState
    moved: list[Moved]


class Run:
    """All entries of the feed after ``low`` and up to ``high``; ``size`` counts their characters."""

    __slots__ = ("entries", "high", "low", "size")

    def __init__(self, low: int = 0, high: int = 0, entries: Sequence[Entry] = (), size: int = 0) -> None:
        self.low, self.high, self.entries, self.size = low, high, list(entries), size

    def after(self, sequence: int, limit: int) -> list[Entry]:
        """Give the next entries after a sequence that lies in it."""
        start = bisect_right(self.entries, sequence, key=_sequence)
        return self.entries[start : start + limit]

    def add(self, low: int, high: int, entries: list[Entry]) -> None:
        """Take in what was read after ``low`` and up to ``high``, beside what is there or in its place."""
        if low == self.high:
            self.high = high
        elif low < self.low <= high <= self.high:
            entries = entries[: bisect_right(entries, self.low, key=_sequence)] + self.entries
            self._delete(0, len(self.entries))
            self.low = low
        else:
            self._delete(0, len(self.entries))
            self.low, self.high = low, high
        self.entries += entries
        self.size += sum(map(_size, entries))
        if len(self.entries) > MOST_ENTRIES:
            self._shed(len(self.entries) - MOST_ENTRIES * 9 // 10)  # not one by one
        while self.size > MOST_IN_ENTRIES:
            self._shed(len(self.entries) // 10 + 1)

    def followed(self, head: int, moved: Sequence[tuple[Entry, int]]) -> Run:
        """Give this end of the feed as it is after commits, which moved entries to it from where these were.

        Who reads this one goes on doing so.
        """
        found = Run(self.low, self.high, self.entries, self.size)
        gone = {was for _, was in moved}
        for was in gone:
            start = bisect_left(found.entries, was, key=_sequence)
            found._delete(start, bisect_right(found.entries, was, start, key=_sequence))
        found.add(self.high, head, sorted(entry for entry, _ in moved if entry.sequence not in gone))
        return found

    def _shed(self, count: int) -> None:
        """Let go of the first ones."""
        self.low = self.entries[count - 1].sequence
        self._delete(0, count)

    def _delete(self, start: int, end: int) -> None:
        self.size -= sum(map(_size, self.entries[start:end]))
        del self.entries[start:end]


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
            entries = decode_entries(await self._tx.scan("feed", after=(low,), limit=missing))
            high = entries[-1].sequence if len(entries) == missing else self.head
            (run or self._runs[-1]).add(low, high, entries)
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
        self._end, self._end_state = Run(), _NO_STATE
        self._moved: list[tuple[Entry, int]] = []  # since somebody has read the end
        self._run, self._state = Run(), _NO_STATE
        self._texts = Texts()
        self._pages: OrderedDict[tuple[Any, ...], tuple[Page, int]] = OrderedDict()
        self._characters = 0

    def feed(self, tx: ReadTransaction, state: HubState) -> Feed:
        """Give the feed to a transaction."""
        self._see(state)
        if self._end_state != state:
            return Feed(tx, state, self._run, texts=self._texts)
        self._catch_up()
        return Feed(tx, state, self._end, self._run, texts=self._texts)

    def follow(self, commit: Commit) -> None:
        """Go along with a commit of this process; reads may have seen it already."""
        before, moved = commit.before, commit.moved
        self._texts.drop(one.was for one in moved if one.was)
        self._texts.keep(commit.after.epoch, {one.entry.sequence: one.text for one in moved})
        if self._end_state != before:
            self._end, self._moved = Run(before.head, before.head), []
        self._moved += [(one.entry, one.was) for one in moved]
        self._end_state = commit.after
        if len(self._moved) > MOST_WAITING or any(one.entry.size > LONG_ENTRY for one in moved):
            self._catch_up()

    def _catch_up(self) -> None:
        if self._moved:
            self._end = self._end.followed(self._end_state.head, self._moved)
            self._moved = []

    def page(self, state: HubState, wish: tuple[Any, ...]) -> Page | None:
        """Give a page, or None."""
        self._see(state)
        found = self._pages.get(wish)
        return found[0] if found else None

    def keep(self, state: HubState, wish: tuple[Any, ...], page: Page) -> None:
        """Keep a page, in place of the oldest ones where there are too many."""
        self._see(state)
        if wish in self._pages:
            return
        size = len(repr(wish)) + sum(map(len, page.texts))
        self._pages[wish] = page, size
        self._characters += size
        while self._characters > MOST_CHARACTERS:
            self._characters -= self._pages.popitem(last=False)[1][1]

    def _see(self, state: HubState) -> None:
        if state != self._state:
            self._run, self._state = Run(), state
            self._characters = 0
            self._pages.clear()
