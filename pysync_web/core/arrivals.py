"""Documents of others that meet nothing which waits here, as nearly all do: looked up and written together.

What is written for them is what ``intake.py`` would write for one after the other, in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import ge
from typing import NamedTuple

from ..causality import SERVER
from .document import Document
from .optimistic import Record, confirmed_texts, decode_record, is_deleted_text, sequence_of_text, view
from .outbox import Name
from .ports import ReadTransaction, WriteTransaction
from .replica import Event, Totals, change_event
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
        await totals.confirm_many(self.names, self.before, self.after)
        for (collection, _), old, document in zip(self.names, self.stored, self.documents, strict=True):
            was_shown = old is not None and not is_deleted_text(old)
            if was_shown != (document.body is not None):
                await totals.count(collection, -1 if was_shown else 1)

    def events(self, replica: str) -> list[Event]:
        """Say what happened to what a reader sees."""
        found = []
        for name, text, document in zip(self.names, self.stored, self.documents, strict=True):
            old, new = decode_record(text), Record(document)
            event = change_event(name, view(old, replica), view(new, replica))
            found += [event] if event else []
        return found


async def look_up(tx: ReadTransaction, changes: Sequence[ServerChange]) -> Arrivals | None:
    """Look up what came; None where something of it comes twice, is no news, or meets what waits for the server."""
    names = [(change.collection, change.key) for change in changes]
    stored = await tx.get_many("docs", names)
    before = [0 if text is None else sequence_of_text(text) for text in stored]
    known = [sequence for sequence in before if sequence is not None]
    documents = [change.document for change in changes]
    after = [document.version.get(SERVER, 0) for document in documents]
    if len(known) < len(names) or len(set(names)) < len(names) or any(map(ge, known, after)):
        return None
    return Arrivals(names, documents, stored, known, after)
