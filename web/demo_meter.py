"""What sync takes, in bytes, since the page was opened, and how long the last note was under way."""

from __future__ import annotations

from demo_dom import Element, part, say
from demo_notes import COLLECTION, span_words
from js import Date

import pysync_web as ps

TIMED = ("RemoteInsert", "RemoteUpdate")


class Meter:
    """Counts for one device. A note that was saved before the page was opened, or is fetched late, is not timed."""

    def __init__(self, client: ps.HttpClient) -> None:
        self._client = client
        self._opened_ms = Date.now()
        self._last = ps.DeltaStats()
        self._saved = 0
        self._took_ms: float | None = None

    def take(self, change: ps.Change, sync: ps.SyncManager, is_fetching: bool) -> None:
        """Take in what an event tells."""
        stats = sync.get_last_delta_stats()
        if change.change_type == "SyncComplete" and stats is not self._last:
            self._last = stats
            self._saved += stats.full_size - stats.delta_size
        elif (
            change.change_type in TIMED and change.collection == COLLECTION and change.document and not is_fetching
        ):
            saved_ms = Date.parse(f"{str(change.document['_timestamp'])[:23]}Z")
            if saved_ms >= self._opened_ms:
                self._took_ms = max(0, Date.now() - saved_ms)

    def draw(self, root: Element) -> None:
        """Bring the line up to date."""
        sent, received = self._client.traffic
        say(part(root, "meter-sent"), size_words(sent))
        say(part(root, "meter-received"), size_words(received))
        say(part(root, "meter-saved"), size_words(self._saved))
        part(root, "meter-arrival").hidden = self._took_ms is None
        say(part(root, "meter-took"), took_words(self._took_ms or 0))


def size_words(size: int) -> str:
    """Say how many bytes, in three digits."""
    if size < 1000:
        return f"{size} B"
    amount, unit = (size / 1000, "kB") if size < 999_500 else (size / 1_000_000, "MB")
    return f"{amount:,.{0 if amount >= 99.95 else 1}f} {unit}"


def took_words(ms: float) -> str:
    """Say how long something took: in milliseconds, or in the words of a longer wait."""
    return f"{ms:,.0f} ms" if ms < 10_000 else span_words(ms / 1000)
