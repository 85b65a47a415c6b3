"""The documents of an answer: what changed after a cursor, and snapshots of what a replica has begun to ask for.

A replica gets what its filters let through. What has left a filter, and the replica may have, is sent as *remove*,
which is no delete. All work is in proportion to what changed, but for a snapshot by a filter that no index serves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence, Set
from dataclasses import field
from itertools import takewhile
from typing import Final

from ..deferred import dataclass
from ..values import JSON
from .delta import delta_text
from .document import Body, Document
from .feed import Entry, Past, pasts
from .lookups import keys_with
from .ports import ReadTransaction
from .recent import Feed, Page
from .selection import Part, Selection
from .wire import MAX_PAGE_BYTES, SyncRequest, decode_stored, encode_remove

Name = tuple[str, str]

MOST_LOOKED_AT: Final = 10_000
"""How many documents one answer looks at, whether they are sent or not."""

_STEP: Final = 500


@dataclass(slots=True)
class Room:
    """How much an answer can still take, in documents and in bytes."""

    documents: int
    bytes: int = MAX_PAGE_BYTES // 2
    looks: int = MOST_LOOKED_AT
    texts: list[str] = field(default_factory=list)

    def take(self, text: str) -> bool:
        """Put a document into the answer; tell whether it had room. The first one always has."""
        if self.documents <= 0 or (self.texts and len(text) > self.bytes):
            return False
        self.documents -= 1
        self.bytes -= len(text)
        self.texts.append(text)
        return True

    def take_many(self, texts: Sequence[str]) -> int:
        """Put documents into the answer, as far as there is room; give how many."""
        size = sum(map(len, texts))
        if len(texts) > self.documents or size > self.bytes:
            return sum(takewhile(bool, map(self.take, texts)))
        self.documents -= len(texts)
        self.bytes -= size
        self.texts += texts
        return len(texts)


async def feed_page(
    feed: Feed, request: SyncRequest, selection: Selection, since: int, skip: Set[Name], room: Room
) -> Page:
    """Give the documents changed after a cursor; a page that the filters empty moves the cursor."""
    if selection.is_fresh(since):
        return Page([], feed.head, False)
    at = since
    while True:
        ahead = await feed.after(at, request.limit + 1)
        entries = ahead[: request.limit]
        found = await _judged(feed, request, selection, since, entries, skip)
        taken = room.take_many([text for _, text in found])
        if taken < len(found):
            return Page(room.texts, found[taken][0] - 1, True)
        if len(ahead) <= request.limit:
            return Page(room.texts, feed.head, False)
        at = entries[-1].sequence
        room.looks -= len(entries)
        if room.documents <= 0 or room.looks <= 0 or not selection.is_partial:
            return Page(room.texts, at, True)


async def _judged(
    feed: Feed,
    request: SyncRequest,
    selection: Selection,
    since: int,
    entries: Sequence[Entry],
    skip: Set[Name],
) -> list[tuple[int, str]]:
    """Give what is to be sent for entries of the feed, each with its sequence."""
    parts = {name: part for name in {one.name[0] for one in entries} if (part := selection.part(name))}
    wanted = [one for one in entries if one.name[0] in parts and one.name not in skip]
    texts = await feed.texts(wanted)
    if not selection.is_partial and (request.delta is None or not since):
        return [(one.sequence, text) for one, text in zip(wanted, texts, strict=True) if text is not None]
    settled = min(request.settled, since)
    found: dict[int, str] = {}
    parted: dict[str, list[tuple[Entry, str, Document]]] = {}
    for one, text in zip(wanted, texts, strict=True):
        if text is None:
            continue
        part = parts[one.name[0]]
        if not part.is_whole:
            parted.setdefault(one.name[0], []).append((one, text, decode_stored(text)))
        elif one.trail and since and _takes_deltas(request, part, one):
            document = decode_stored(text)
            found[one.sequence] = _brief(request, one, pasts(one, document, settled, since), document, text)
        else:
            found[one.sequence] = text
    for collection, rows in parted.items():
        found |= _filtered(request, parts[collection], since, rows)
    return [(one.sequence, found[one.sequence]) for one in entries if one.sequence in found]


def _filtered(
    request: SyncRequest, part: Part, since: int, rows: Sequence[tuple[Entry, str, Document]]
) -> dict[int, str]:
    """Give what is to be sent of documents of a collection that is filtered."""
    settled = min(request.settled, since)
    known = [pasts(one, document, settled, since) for one, _, document in rows]
    now = part.wanted([(one.name[1], document.body) for one, _, document in rows])
    then = part.held(
        [(one.name[1], old.body) for (one, _, _), some in zip(rows, known, strict=True) for old in some or ()]
    )
    held = iter(then)
    found: dict[int, str] = {}
    for (one, text, document), some, matches in zip(rows, known, now, strict=True):
        has = [next(held) for _ in some or ()]
        if matches:
            is_known = has == [True] and _takes_deltas(request, part, one)
            found[one.sequence] = _brief(request, one, some, document, text) if is_known else text
        elif any(has) or some is None or request.client_id in document.version:
            found[one.sequence] = text if document.body is None else encode_remove(*one.name, one.sequence)
    return found


def _takes_deltas(request: SyncRequest, part: Part, entry: Entry) -> bool:
    wish = request.delta
    return wish is not None and entry.name[0] not in wish.off and not part.is_in_snapshot


def _brief(request: SyncRequest, entry: Entry, known: list[Past] | None, document: Document, text: str) -> str:
    """Give a document as what has changed, where it is known in what version the replica has it."""
    if known is None or len(known) != 1 or request.delta is None:
        return text
    return delta_text(entry.name, known[0], document, text, request.delta.threshold)


async def removals_of(tx: ReadTransaction, selection: Selection, names: Iterable[Name]) -> list[str]:
    """Say which of some documents, that a replica has written, are not among those that it asks for."""
    rows = [name for name in names if (part := selection.part(name[0])) is None or not part.is_whole]
    texts = await tx.get_many("docs", rows)
    found = []
    for name, text in zip(rows, texts, strict=True):
        document = decode_stored(text) if text else None
        if document is None or document.body is None:
            continue
        part = selection.part(name[0])
        if part is None or part.wanted([(name[1], document.body)]) == [False]:
            found.append(encode_remove(*name, document.version["server"]))
    return found


async def snapshot_page(tx: ReadTransaction, part: Part, client_id: str, room: Room) -> dict[str, JSON]:
    """Add documents of a snapshot, in the order of their keys, and tell how far it has come."""
    subscription = part.subscription
    assert subscription is not None and subscription.snapshot is not None
    after = subscription.snapshot.after
    while True:
        limit = max(1, min(_STEP, room.looks))
        keys = await _candidates(tx, part, after, limit)
        names = [(subscription.collection, key) for key in keys]
        documents = [
            (name[1], text, decode_stored(text))
            for name, text in zip(names, await tx.get_many("docs", names), strict=True)
            if text is not None
        ]
        for key, text in _missing(part, client_id, documents):
            if text is not None and not room.take(text):
                return {"after": after, "done": False}
            after = key
        room.looks -= len(keys)
        if len(keys) < limit:
            return {"after": after, "done": True}
        after = keys[-1]
        if room.documents <= 0 or room.looks <= 0:
            return {"after": after, "done": False}


def _missing(
    part: Part, client_id: str, documents: Sequence[tuple[str, str, Document]]
) -> list[tuple[str, str | None]]:
    """Give what a replica is to be told of documents, None of those that it has or need not have.

    It may also have, beyond its cursor, what it has written itself.
    """
    rows: list[tuple[str, Body | None]] = [(key, document.body) for key, _, document in documents]
    subscription = part.subscription
    assert subscription is not None and subscription.snapshot is not None
    until = subscription.snapshot.until
    found: list[tuple[str, str | None]] = []
    wanted, before = part.wanted(rows), part.held_before(rows)
    for (key, text, document), is_wanted, was in zip(documents, wanted, before, strict=True):
        sequence = document.version["server"]
        has = was and sequence <= until
        if is_wanted and not has and document.body is not None:
            found.append((key, text))
        elif not is_wanted and document.body is not None and (has or client_id in document.version):
            found.append((key, encode_remove(subscription.collection, key, sequence)))
        else:
            found.append((key, None))
    return found


async def _candidates(tx: ReadTransaction, part: Part, after: str | None, limit: int) -> list[str]:
    """Give the next keys, in order, that a snapshot looks at: by an index where the filters have one each."""
    subscription = part.subscription
    assert subscription is not None
    chosen = [part.filter, part.had] if part.has_had else [part.filter]
    lists = []
    for one in chosen:
        hint = one.equality if one else None
        keys = await keys_with(tx, subscription.collection, hint, after, limit) if hint else None
        if keys is None:
            start = None if after is None else (subscription.collection, after)
            rows = await tx.scan("docs", (subscription.collection,), after=start, limit=limit)
            return [str(key[1]) for key, _ in rows]
        lists.append(keys)
    return list(dict.fromkeys(heapq.merge(*lists)))[:limit]
