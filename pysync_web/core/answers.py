"""What the server answers: verdicts, the documents after a cursor, how far they go, and what they add up to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence, Set
from itertools import compress
from typing import Final

from ..causality import SERVER, VersionVector, timestamp
from ..deferred import dataclass
from ..values import JSON, loads
from .digest import digest, digest_of_many
from .document import Document, deleted
from .feed import decode_entries, decode_entry, pasts
from .hub_state import HubState, required_state
from .lookups import keys_with
from .pages import MOST_LOOKED_AT, Name, Room, feed_page, removals_of, snapshot_page
from .ports import ReadTransaction
from .recent import Commit, Page, Recent
from .selection import Part, Selection
from .wire import Answer, Change, SyncRequest, decode_stored, encode_server_change


async def answer(
    tx: ReadTransaction,
    request: SyncRequest,
    state: HubState,
    now_ms: int,
    *,
    fence: str | None,
    n: int,
    memory: Memory,
    results: Sequence[JSON] = (),
    extras: Sequence[Name] = (),
    conflicts: Sequence[str] = (),
    skip: Set[Name] = frozenset(),
) -> Answer:
    """Read the page after the request's cursor; documents that the verdicts need come first."""
    since = min(request.since, state.head)
    selection = Selection(request)
    first = list(dict.fromkeys(extras))
    changes = [text for text in await tx.get_many("docs", first) if text is not None]
    if request.protocol:
        changes += await removals_of(tx, selection, dict.fromkeys((c.collection, c.key) for c in request.changes))
    room = Room(request.limit)
    page = await _page(tx, request, selection, state, since, skip | set(first), room, memory.recent)
    snapshots = {}
    for part in selection.snapshots if request.limit else ():
        assert part.subscription is not None
        found = await snapshot_page(tx, part, request.client_id, room)
        if part.has_had and page.has_more:
            found["done"] = False  # the feed has to tell what has left both filters since then
        snapshots[part.subscription.id] = found
    has_more = page.has_more or not all(one["done"] for one in snapshots.values())
    head: dict[str, JSON] = {
        "request_id": request.request_id,
        "fence": fence,
        "epoch": state.epoch,
        "since": since,
        "server_version": {request.client_id: n, SERVER: page.cursor},
        "timestamp": max(state.clock, timestamp(now_ms)),
        "has_more": has_more,
        "results": list(results),
    }
    head |= {"floor": state.floor} if state.floor else {}
    began = request.began if since else state.head
    head |= {"began": began} if page.cursor < began else {}
    if snapshots:
        head["snapshots"] = snapshots
    if not has_more:
        head["digest"] = await _total_digest(tx, request, selection)
        if selection.is_partial:
            head["digests"] = await memory.digests.of(tx, state, selection)
    return Answer(head, changes + room.texts, list(conflicts), state.head)


async def _page(
    tx: ReadTransaction,
    request: SyncRequest,
    selection: Selection,
    state: HubState,
    since: int,
    skip: Set[Name],
    room: Room,
    recent: Recent,
) -> Page:
    """Give the page after a cursor. A limit of 0: it moves over the request's own changes alone."""
    if not request.limit:
        cursor = await _own_cursor(tx, since, skip)
        return Page([], cursor, cursor < state.head)
    feed = recent.feed(tx, state)
    if skip or selection.is_partial:
        return await feed_page(feed, request, selection, since, skip, room)
    wish = (since, request.limit, request.collections, request.delta, request.settled)
    page = recent.page(state, wish)
    if page is None:
        page = await feed_page(feed, request, selection, since, skip, room)
        recent.keep(state, wish, page)
    room.texts = page.texts
    return page


async def _own_cursor(tx: ReadTransaction, since: int, own: Set[Name]) -> int:
    """Give the sequence before the first change after ``since`` that is not among a request's own."""
    for limit in (1, len(own)):  # mostly the first one tells
        for key, text in await tx.scan("feed", after=(since,), limit=limit):
            if decode_entry(int(key[0]), text).name not in own:
                return since
            since = int(key[0])
    return since


async def _total_digest(tx: ReadTransaction, request: SyncRequest, selection: Selection) -> str:
    """Sum the digests of the collections of which the request asks for everything."""
    rows = await tx.scan("collections")
    names = [(selection.part(str(key[0])), str(key[0]), text) for key, text in rows]
    whole = [text for part, name, text in names if part is not None and name not in selection.named]
    return f"{sum(int(loads(text)['digest'], 16) for text in whole) % 2**64:016x}"


@dataclass(slots=True)
class _Sum:
    """What the documents that a filter lets through added up to at a sequence."""

    epoch: str
    at: int
    total: int


class Digests:
    """The digests of filtered collections, kept in memory and brought up to date with what has changed since.

    One that is not known is summed up anew, from an index or from a collection of at most :data:`MOST_LOOKED_AT`
    documents; of a larger one there is none.
    """

    _MOST: Final = 1000

    def __init__(self, before: Digests | None = None) -> None:
        self._sums: OrderedDict[str, _Sum] = OrderedDict()
        self._before = before

    def draft(self) -> Digests:
        """Give digests that begin with these and may go further, for a transaction that may not be committed."""
        return Digests(self)

    def adopt(self, draft: Digests) -> None:
        """Keep what was summed up in a transaction that is committed now."""
        for name, total in draft._sums.items():
            known = self._sums.get(name)
            if known is None or known.epoch != total.epoch or known.at < total.at:
                self._keep(name, total)

    def _keep(self, name: str, total: _Sum) -> None:
        self._sums[name] = total
        self._sums.move_to_end(name)
        if len(self._sums) > self._MOST:
            self._sums.popitem(last=False)

    def _known(self, name: str, state: HubState) -> _Sum | None:
        """Give what is known of a filter, unless that lies before a restore, or before deletes that are forgotten."""
        known = self._sums.get(name) or (self._before._sums.get(name) if self._before else None)
        is_good = known is not None and known.epoch == state.epoch and state.floor <= known.at <= state.head
        return known if is_good else None

    async def of(self, tx: ReadTransaction, state: HubState, selection: Selection) -> dict[str, JSON]:
        """Give the digest of each collection that a request asks for in part."""
        found: dict[str, JSON] = {}
        for collection, part in selection.named.items():
            if part is not None:
                total = await self._of(tx, state, collection, part)
                if total is not None:
                    found[collection] = f"{total:016x}"
        return found

    async def _of(self, tx: ReadTransaction, state: HubState, collection: str, part: Part) -> int | None:
        if part.filter is None:
            text = await tx.get("collections", (collection,))
            return int(loads(text)["digest"], 16) if text else 0
        known = self._known(part.filter.id, state)
        total = await _moved(tx, collection, part, known, state.head) if known else None
        if total is None:
            total = await _summed(tx, collection, part)
        if total is not None:
            self._keep(part.filter.id, _Sum(state.epoch, state.head, total))
        return total


async def _moved(tx: ReadTransaction, collection: str, part: Part, known: _Sum, head: int) -> int | None:
    """Give a digest as it is after some more changes; None where what was before these can't be told."""
    rows = await tx.scan("feed", after=(known.at,), limit=MOST_LOOKED_AT) if known.at < head else []
    if len(rows) == MOST_LOOKED_AT:
        return None
    entries = [one for one in decode_entries(rows) if one.name[0] == collection]
    texts = await tx.get_many("docs", [one.name for one in entries])
    documents = [decode_stored(text or "") for text in texts]
    olds = [pasts(one, document, known.at, known.at) for one, document in zip(entries, documents, strict=True)]
    now = part.wanted([(one.name[1], document.body) for one, document in zip(entries, documents, strict=True)])
    if not all(olds):
        return None
    befores = [old[0] for old in olds if old]
    then = part.wanted([(one.name[1], old.body) for one, old in zip(entries, befores, strict=True)])
    total = known.total
    for one, before, is_in, was_in in zip(entries, befores, now, then, strict=True):
        total += digest(*one.name, one.sequence) if is_in else 0
        total -= digest(*one.name, before.sequence) if was_in else 0
    return total % 2**64


async def _summed(tx: ReadTransaction, collection: str, part: Part) -> int | None:
    """Sum up what a filter lets through, where that does not take too long."""
    hint = part.filter.equality if part.filter else None
    keys = await keys_with(tx, collection, hint, None, MOST_LOOKED_AT) if hint else None
    if keys is None:
        keys = [str(key[1]) for key, _ in await tx.scan("docs", (collection,), limit=MOST_LOOKED_AT)]
    if len(keys) == MOST_LOOKED_AT:
        return None
    texts = await tx.get_many("docs", [(collection, key) for key in keys])
    documents = [(key, decode_stored(text)) for key, text in zip(keys, texts, strict=True) if text]
    matches = part.wanted([(key, document.body) for key, document in documents])
    rows = [(key, document.version[SERVER]) for key, document in compress(documents, matches)]
    return digest_of_many(collection, rows) % 2**64


class Memory:
    """What a hub keeps in memory, and could do without; ``commit`` tells what a transaction did to the feed."""

    def __init__(self) -> None:
        self.digests = Digests()
        self.recent = Recent()
        self.commit: Commit | None = None
        self._adopted: HubState | None = None

    def draft(self) -> Memory:
        """Give one to a transaction that writes: what that reads and writes may never be committed."""
        found = Memory()
        found.digests = self.digests.draft()
        return found

    def adopt(self, draft: Memory) -> None:
        """Keep what a transaction that is committed now has summed up and done.

        Commits come in their order. One that began before the last one ended shows that the database was put back.
        """
        if draft.commit is not None:
            before, last = draft.commit.before, self._adopted
            if last is not None and before.epoch == last.epoch and before.head < last.head:
                self.digests, self.recent = Digests(), Recent()
            self._adopted = draft.commit.after
            self.recent.follow(draft.commit)
        self.digests.adopt(draft.digests)


def conflict_text(change: Change, current: Document | None) -> str:
    """Give the server's document for a conflict; a document that it never had is one that is deleted."""
    document = current or Document(deleted(timestamp(0)), {SERVER: 0})
    return encode_server_change(change.collection, change.key, document)


async def status_of(tx: ReadTransaction, client_id: str, since: int | None) -> dict[str, JSON]:
    """Tell what the server knows of a client, as ``GET /_api/sync/status`` answers it."""
    state = await required_state(tx)
    vector: VersionVector = {}
    replica: dict[str, JSON] | None = None
    for key, text in await tx.scan("replicas", limit=1000):
        record = loads(text)
        vector[str(key[0])] = record["n"]
        if key[0] == client_id:
            replica = record
    vector[SERVER] = state.head
    cursor = since if since is not None else replica["cursor"] if replica else 0
    pending = await tx.scan("feed", after=(cursor,), limit=10_000)
    return {
        "client_id": client_id,
        "server_version": vector,
        "pending_for_client": len(pending),
        "last_sync": replica["at"] if replica else None,
        "collections_synced": [str(key[0]) for key, _ in await tx.scan("collections")],
    }
