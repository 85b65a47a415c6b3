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
    """Documents that came, what was stored of each, and the server's numbers of both (0 where nothing was)."""

    names: list[Name]
    documents: list[Document]
    stored: list[str | None]
    before: list[int]
    after: list[int]

    @property
    def latest(self) -> str:
        """The latest timestamp of all documents."""
        return max(document.timestamp for document in self.documents)

    async def write(self, tx: WriteTransaction, totals: Totals) -> None:
        """Put the documents in the place of what was stored, and count them."""
        for name, text in zip(self.names, confirmed_texts(self.documents), strict=True):
            tx.put("docs", name, text)
        were_there = [text is not None and not is_deleted_text(text) for text in self.stored]
        are_there = [document.body is not None for document in self.documents]
        before, after = map(mul, were_there, self.before), map(mul, are_there, self.after)
        await totals.confirm_many(self.names, list(before), list(after))
        for (collection, _), was, is_now in zip(self.names, were_there, are_there, strict=True):
            if was != is_now:
                await totals.count(collection, -1 if was else 1)

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
    if any(one.delta is not None or one.is_removed for one in changes) or await tx.scan(STUBS, limit=1):
        return None
    names = [(change.collection, change.key) for change in changes]
    stored = await tx.get_many("docs", names)
    before = [0 if text is None else sequence_of_text(text) for text in stored]
    known = [sequence for sequence in before if sequence is not None]
    documents = [change.document for change in changes]
    after = [document.version.get(SERVER, 0) for document in documents]
    if len(known) < len(names) or len(set(names)) < len(names) or any(map(ge, known, after)):
        return None
    return Arrivals(names, documents, stored, known, after)
