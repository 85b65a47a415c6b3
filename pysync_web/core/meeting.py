"""Two devices meet: what one shows of its documents, and how the other takes that in, as transaction bodies.

Each sends the state that it shows; the other merges it by stamps and keeps what that brought as a change that waits
for the server like its own. So a change may come by two ways, or again, and is applied once.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import field, replace
from typing import Final, NamedTuple

from ..causality import VersionVector, includes, join, timestamp, without_server
from ..deferred import dataclass
from ..errors import SchemaError
from ..values import JSON, dumps
from .document import ABSENT, Document, State, lost, news, part, paths_of, united
from .exchange import MERGE_FIELDS, load_sync
from .ledger import Entry, lost_fields, record_entry
from .optimistic import EMPTY, Pending, Record, decode_record, encode_record, version_of, view
from .outbox import Appender, Bounds, Counters, Name, strike
from .ports import Random, ReadTransaction, WriteTransaction
from .push import MAX_SKEW_MS
from .replica import Event, Totals, change_event, conflict_event, load_counters, size_of
from .sides import step_between
from .wire import Change, Operation, decode_change, encode_change

MAX_FRESH: Final = 1024
MOST_PENDING: Final = 16
"""How many changes of one document a device without a server keeps apart before it folds those behind the latest."""

KEPT_APART: Final = 8

MOST_AHEAD: Final = 1_000_000
"""How many changes a copy of this replica is thought to have made; who tells of more is not believed."""


class Shown(NamedTuple):
    """A document as one device shows it to another; versions are without a server's sequence.

    ``base`` is the version that its server confirmed (the last common one where that is in conflict) and ``fresh``
    names the registers that are not from there; None: it can't be said, and all may be.
    """

    collection: str
    key: str
    state: State
    version: VersionVector
    op_id: str = ""
    base: VersionVector | None = None
    fresh: tuple[str, ...] | None = None


@dataclass(slots=True)
class Intake:
    """What documents of another device did here; ``ahead`` counts those whose time lies too far in the future."""

    events: list[Event] = field(default_factory=list)
    taken: int = 0
    changed: int = 0
    conflicts: int = 0
    ahead: int = 0


async def show(tx: WriteTransaction, names: Sequence[Name], rng: Random) -> list[Shown]:
    """Give documents as they are shown to another device.

    What was shown is never changed any more, so that a version stands for one content: changes get a new number.
    """
    counters = await load_counters(tx)
    counted = counters.text()
    records = [decode_record(text) for text in await tx.get_many("docs", names)]
    if any(counters.is_open(change.n) for record in records for change in record.pending):
        counters.seal()
    folding = await _folding(tx, counters, rng)
    for i, name in enumerate(names):
        if (folded := folding.fold(records[i])) is not records[i]:
            records[i] = folded
            tx.put("docs", name, encode_record(folded))
    await strike(tx, counters, folding.struck)
    if counters.text() != counted:
        tx.put("meta", ("counters",), counters.text())
    pairs = zip(names, records, strict=True)
    return [_shown(name, record, counters.replica) for name, record in pairs if record.state is not None]


@dataclass(slots=True)
class _Folding:
    """Makes the oldest of many changes of a document one, where no server has seen any of them.

    Otherwise a document would have a change more after each meeting, for ever. The one takes the place of the last.
    """

    counters: Counters
    rng: Random
    is_allowed: bool
    struck: list[tuple[int, int]] = field(default_factory=list)

    def fold(self, record: Record) -> Record:
        """Give a record that shows the same in the same version."""
        if not self.is_allowed or len(record.pending) <= MOST_PENDING:
            return record
        if record.waiting is not None or any(one.unit for one in record.pending):
            return record
        old = Record(None, record.pending[:-KEPT_APART])
        state, last = old.state or ABSENT, old.pending[-1]
        version = version_of(old, self.counters.replica)
        operation: Operation = "delete" if state.body is None else "insert"
        op_id = self.rng.randbytes(16).hex()
        whole = Pending(op_id, last.n, operation, state, MERGE_FIELDS, contains=version)
        self.struck += [(change.n, size_of(change)) for change in old.pending[:-1]]
        self.counters.pending_bytes = max(0, self.counters.pending_bytes + size_of(whole) - size_of(last))
        return Record(None, (whole, *record.pending[-KEPT_APART:]))


async def _folding(tx: ReadTransaction, counters: Counters, rng: Random) -> _Folding:
    has_server = (await load_sync(tx)).epoch is not None or await tx.get("meta", ("inflight",)) is not None
    return _Folding(counters, rng, not has_server)


def _shown(name: Name, record: Record, replica: str) -> Shown:
    state, under = record.state or ABSENT, record.base
    base = fresh = None
    if under is not None:
        base = without_server(under.version)
        later = news(under.state, state) if record.pending else None
        fresh = tuple(paths_of(later)) if later else ()
        if len(fresh) > MAX_FRESH:
            base = fresh = None
    return Shown(*name, state, without_server(version_of(record, replica)), _last_op_id(record), base, fresh)


def encode_shown(shown: Shown) -> str:
    """Give the JSON text of a document as it is shown."""
    change = Change(
        shown.collection,
        shown.key,
        "delete" if shown.state.body is None else "insert",
        shown.state,
        True,
        shown.op_id or None,
        base_version=shown.base,
        contains=shown.version,
    )
    message = encode_change(change)
    if shown.fresh is not None:
        message["fresh"] = list(shown.fresh)
    return dumps(message)


def decode_shown(value: JSON, place: str) -> Shown:
    """Read what :func:`encode_shown` gave, once it is parsed; raise :class:`SchemaError` for what is wrong."""
    change = decode_change(value, place)
    stamps = (change.state.since, *change.state.stamps.values())
    if change.operation == "update" or change.contains is None or not all(stamps):
        raise SchemaError("a whole document was due, with its version and time", place=place)
    fresh = value.get("fresh")
    if fresh is not None:
        is_list = type(fresh) is list and len(fresh) <= MAX_FRESH and all(type(path) is str for path in fresh)
        if not is_list or change.base_version is None:
            raise SchemaError(f"a list of at most {MAX_FRESH} paths was due", place=f"{place}.fresh")
        fresh = tuple(fresh)
    name = (change.collection, change.key)
    contains = without_server(change.contains)
    return Shown(*name, change.state, contains, change.op_id or "", change.base_version, fresh)


async def take_in(
    tx: WriteTransaction, incoming: Sequence[Shown], now_ms: int, rng: Random, bounds: Bounds
) -> Intake:
    """Merge documents of another device into those here, with what was lost by it; all of them or none.

    Nothing is written for what is known already. A document with a time of more than five minutes from now is left
    where it is. Raises :class:`OutboxFull`.
    """
    counters = await load_counters(tx)
    intake = _Intake(tx, counters, now_ms, rng, bounds, await _folding(tx, counters, rng))
    names = list(dict.fromkeys((shown.collection, shown.key) for shown in incoming))
    for name, text in zip(names, await tx.get_many("docs", names), strict=True):
        intake.stored[name] = intake.records[name] = decode_record(text)
    for shown in incoming:
        intake.take(shown)
    await intake.finish()
    return intake.outcome


class _Intake:
    """Documents of another device on their way into storage."""

    def __init__(
        self,
        tx: WriteTransaction,
        counters: Counters,
        now_ms: int,
        rng: Random,
        bounds: Bounds,
        folding: _Folding,
    ) -> None:
        self.tx = tx
        self.folding = folding
        self.counters = counters
        self.counted = counters.text()
        self.now_ms = now_ms
        self.latest = timestamp(now_ms + MAX_SKEW_MS)
        self.rng = rng
        self.appender = Appender(counters, bounds)
        self.outcome = Intake()
        self.stored: dict[Name, Record] = {}
        self.records: dict[Name, Record] = {}

    def take(self, shown: Shown) -> None:
        """Put what is new in one document behind what is pending, and note what is lost by it."""
        if shown.state.timestamp > self.latest:
            self.outcome.ahead += 1
            return
        self.outcome.taken += 1
        self.counters.clock = max(self.counters.clock, shown.state.timestamp)
        self._pass_copy(shown.version.get(self.counters.replica, 0))
        name = (shown.collection, shown.key)
        record = self.records[name]
        here = record.state or ABSENT
        known = without_server(version_of(record, self.counters.replica))
        after = united(here, shown.state)
        fresh = news(here, after)
        has_seen_it = includes(known, shown.version)
        if fresh is None and has_seen_it:
            return
        is_conflict = record != EMPTY and self._note_losses(name, record, shown, known, after)
        operation, state = step_between(here, after, fresh)
        n = self.appender.add(name, len(dumps(state.body)))
        op_id = self.rng.randbytes(16).hex()
        change = Pending(op_id, n, operation, state, MERGE_FIELDS, contains=shown.version)
        self.records[name] = self.folding.fold(Record(record.confirmed, (*record.pending, change), record.waiting))
        self.outcome.changed += 1
        if is_conflict:
            self.outcome.conflicts += 1
            self.outcome.events.append(conflict_event(name, self.records[name], self.counters.replica))

    def _pass_copy(self, n: int) -> None:
        """Go past the numbers that a copy of this replica has given, from when it was cloned or restored."""
        if self.counters.n < n <= self.counters.n + MOST_AHEAD:
            self.counters.n = n
            self.counters.seal()

    def _note_losses(self, name: Name, record: Record, shown: Shown, known: VersionVector, after: State) -> bool:
        """Note what does not come through, theirs or what is here, unless the other side had seen it.

        Tell whether there was any. Whoever had seen all that stands and still gives way met a clock far ahead of the
        server's.
        """
        replica = self.counters.replica
        here = Shown(*name, record.state or ABSENT, known, _last_op_id(record))
        layers = _layers(record, replica)
        unseen_here: State | None = here.state
        for state, version in layers:
            if unseen_here is not None and includes(shown.version, version):
                unseen_here = news(state, unseen_here)
        unseen_there: State | None = shown.state
        if shown.base is not None and shown.fresh is not None and includes(known, shown.base):
            unseen_there = part(shown.state, set(shown.fresh))
        for state, _ in layers:
            unseen_there = news(state, unseen_there) if unseen_there is not None else None
        is_later, is_earlier = includes(shown.version, known), includes(known, shown.version)
        entries = []
        if is_earlier or not is_later:
            entries.append(self._loss(here, unseen_here, after, shown))
        if is_later or not is_earlier:
            entries.append(self._loss(shown, unseen_there, after, here))
        for entry in filter(None, entries):
            record_entry(self.tx, entry, self.rng)
        return any(entries)

    def _loss(self, loser: Shown, unseen: State | None, after: State, winner: Shown) -> Entry | None:
        """Describe what of one side does not survive: a delete, a whole document, or some fields."""
        name = (loser.collection, loser.key)
        against = Document(after, {}, winner.op_id)
        if loser.state.body is None and after.body is not None:
            entry = Entry("lost", *name, "delete", None, loser.state.timestamp, loser.op_id, self.now_ms)
            return replace(entry, against_op_id=winner.op_id, against_timestamp=after.timestamp)
        if unseen is None:
            return None
        gone = lost(unseen, after)
        if gone is not None and after.body is None:
            gone = loser.state
        return lost_fields(name, gone, loser.op_id, against, self.now_ms) if gone else None

    async def finish(self) -> None:
        """Put the documents, the outbox's entries, the counts and the counters; nothing where nothing changed."""
        self.appender.write(self.tx)
        await strike(self.tx, self.counters, self.folding.struck)
        totals = Totals(self.tx)
        for name, record in self.records.items():
            stored = self.stored[name]
            if record is not stored:
                self.tx.put("docs", name, encode_record(record))
                await totals.count(name[0], record.is_shown - stored.is_shown)
                replica = self.counters.replica
                event = change_event(name, view(stored, replica), view(record, replica))
                self.outcome.events += [event] if event else []
        totals.write()
        if self.counters.text() != self.counted:
            self.tx.put("meta", ("counters",), self.counters.text())


def _layers(record: Record, replica: str) -> list[tuple[State, VersionVector]]:
    """Give the changes that a record remembers, each with the version of who has seen all of it.

    A whole document or a delete that came from a device was made from what came before it here, too.
    """
    layers = []
    before: VersionVector = {}
    if record.base is not None:
        before = without_server(record.base.version)
        layers.append((record.base.state, before))
    for change in record.pending:
        version = {replica: change.n} if change.contains is None else change.contains
        before = join(before, version)
        is_made_here = change.contains is not None and change.operation != "update"
        layers.append((change.state, before if is_made_here else version))
    return layers


def _last_op_id(record: Record) -> str:
    if record.pending:
        return record.pending[-1].op_id
    return record.confirmed.op_id if record.confirmed else ""


def is_wanted(collection: str, wanted: Set[str] | None) -> bool:
    """Tell whether a collection is among those wanted; None: all are."""
    return wanted is None or collection in wanted
