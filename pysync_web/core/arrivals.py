"""Documents of others that meet nothing which waits here, as nearly all do: looked up and written together.

What is written for them is what ``intake.py`` would write for one after the other, in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import ge, mul
from typing import NamedTuple

from ..causality import SERVER
from .document import Document
from .optimistic import Record, confirmed_texts, decode_record, is_deleted_text, sequence_of_text, view
from .outbox import Name
from .ports import ReadTransaction, WriteTransaction
from .replica import STUBS, Event, Totals, change_event
from .wire import ServerChange


class Arrivals(NamedTuple):
    """Documents that came, what was stored of each, and the server's numbers of both (0 where nothing was).

    ``bodies`` are the texts of the documents' bodies, where they are known.
    """

    names: list[Name]
    documents: Sequence[Document]
    bodies: Sequence[str] | None
    stored: list[str | None]
    before: list[int]
    after: list[int]

    @property
    def latest(self) -> str:
        """The latest timestamp of all documents."""
        times = set()
        for (_, since, stamps), _, _ in self.documents:
            times.add(since)
            times.update(stamps.values())
        return max(times)

    async def write(self, tx: WriteTransaction, totals: Totals) -> None:
        """Put the documents in the place of what was stored, and count them."""
        put = tx.put
        for name, text in zip(self.names, confirmed_texts(self.documents, self.bodies), strict=True):
            put("docs", name, text)
        were_there = [text is not None and not is_deleted_text(text) for text in self.stored]
        are_there = [state.body is not None for state, _, _ in self.documents]
        before, after = map(mul, were_there, self.before), map(mul, are_there, self.after)
        await totals.confirm_many(self.names, list(before), list(after))
        if were_there != are_there:
            for (collection, _), was, is_now in zip(self.names, were_there, are_there, strict=True):
                await totals.count(collection, is_now - was)

    def events(self, replica: str) -> list[Event]:
        """Say what happened to what a reader sees."""
        found = []
        for name, text, document in zip(self.names, self.stored, self.documents, strict=True):
            old, new = decode_record(text), Record(document)
            event = change_event(name, view(old, replica), view(new, replica))
            found += [event] if event else []
        return found


async def look_up(tx: ReadTransaction, changes: Sequence[ServerChange]) -> Arrivals | None:
    """Look up what came; None where something of it comes twice or in part, is no news, or meets what waits here.

    So it is, too, where copies were evicted: one of them may come again.
    """
    collections, keys, documents, deltas, removed, texts = zip(*changes, strict=True)
    if any(deltas) or any(removed) or await tx.scan(STUBS, limit=1):
        return None
    names = list(zip(collections, keys, strict=True))
    stored = await tx.get_many("docs", names)
    before = [0 if text is None else sequence_of_text(text) for text in stored]
    known = [sequence for sequence in before if sequence is not None]
    after = [version.get(SERVER, 0) for _, version, _ in documents]
    if len(known) < len(names) or len(set(names)) < len(names) or any(map(ge, known, after)):
        return None
    return Arrivals(names, documents, None if None in texts else texts, stored, known, after)
