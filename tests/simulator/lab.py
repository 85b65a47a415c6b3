"""A few replicas and a server on a table, moved by hand: for tests that tell a story step by step.

Nothing waits: each step runs at once. Time moves by a millisecond with each step, unless a test moves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from pysync_web.core.conflict import ConflictStrategy, last_write_wins
from pysync_web.core.exchange import ExchangeOptions, Outcome, load_sync
from pysync_web.core.fields import field_path, shown
from pysync_web.core.ledger import Entry, read_entries
from pysync_web.core.optimistic import decode_record
from pysync_web.core.outbox import Bounds
from pysync_web.core.push import Guard
from pysync_web.core.recorded import Deed
from pysync_web.core.replica import Event, Write, WriteOptions
from pysync_web.core.shedding import evict
from pysync_web.core.tending import Tended
from pysync_web.core.wire import SyncRequest, decode_request, decode_response, encode_request
from pysync_web.crdt import Operation
from pysync_web.errors import Rejected
from pysync_web.values import dumps, loads

from .storage import SimulatedStorage, run
from .subject import Subject

START_MS = 1_800_000_000_000
DAY_MS = 86_400_000
MOST_ROUNDS = 50
Body = dict[str, Any]


class Lab:
    """A server, and replicas that are added by name."""

    def __init__(self, *, guard: Guard | None = None, seed: int = 1) -> None:
        self.subject = Subject()
        self.rng = Random(seed)
        self.guard = guard
        self.now_ms = START_MS
        self.server_skew_ms = 0
        self.server = SimulatedStorage()
        self.subject.open_server(self.server, self.rng)

    def replica(self, name: str = "a", *, storage: SimulatedStorage | None = None, **options: Any) -> Device:
        """Add a replica; ``merging`` takes MERGE_FIELDS for its strategy."""
        device = Device(self, name, storage or SimulatedStorage(), **options)
        self.subject.open(device.storage, self.rng)
        return device

    def replicas(self, names: str, **options: Any) -> list[Device]:
        """Add several replicas, named in one text with spaces."""
        return [self.replica(name, **options) for name in names.split()]

    def serve(self, text: str) -> str:
        """Answer a request's text."""
        self.now_ms += 1
        request = decode_request(text, database="db")
        return self.subject.serve(self.server, request, self.now_ms + self.server_skew_ms, self.rng, self.guard)

    def tend(self, *, days: float = 90.0) -> Tended:
        """Let the server do its upkeep, with a retention time."""
        self.now_ms += 1
        return self.subject.tend(self.server, self.now_ms, self.now_ms - round(days * DAY_MS), self.rng)

    def pass_days(self, days: float) -> None:
        """Let time go by."""
        self.now_ms += round(days * DAY_MS)

    def document(self, key: str, collection: str = "notes") -> Any:
        """Give a document as it lies on the server, parsed, or None."""
        text = self.server.text("docs", (collection, key))
        return loads(text) if text else None

    def body(self, key: str, collection: str = "notes") -> Body | None:
        """Give a document's body on the server."""
        document = self.document(key, collection)
        return document.get("document") if document else None

    def settle(self, *devices: Device) -> None:
        """Sync all in turn, until none has anything to tell the others."""
        for _ in range(2):
            for device in devices:
                device.sync()


@dataclass(eq=False)
class Device:
    """A replica."""

    lab: Lab
    name: str
    storage: SimulatedStorage
    merging: bool = False
    resolver: Any = last_write_wins
    collections: tuple[str, ...] | None = None
    push_limit: int = 500
    page_limit: int = 1000
    bounds: Bounds = field(default_factory=Bounds)
    skew_ms: int = 0
    lease: int | None = None
    opened_at: int = 0

    @property
    def now_ms(self) -> int:
        """The time on its clock, a little later with each look at it."""
        self.lab.now_ms += 1
        return self.lab.now_ms + self.skew_ms

    @property
    def options(self) -> ExchangeOptions:
        """How it exchanges."""
        return ExchangeOptions("db", self.resolver, self.collections, self.push_limit, self.page_limit, self.lease)

    @property
    def id(self) -> str:
        """Its replica id."""
        counters: dict[str, str] = loads(self.storage.text("meta", ("counters",)) or "{}")
        return counters["replica"]

    @property
    def cursor(self) -> int:
        """Its cursor."""
        return run(self.storage.read(load_sync)).cursor

    def write(self, *writes: tuple[str, Body | None], collection: str = "notes", **options: Any) -> list[Any]:
        """Save (a body) or delete (None) documents in one transaction; ``is_atomic``, ``replace``."""
        is_whole = options.pop("replace", False)
        strategy = ConflictStrategy.MERGE_FIELDS if self.merging else ConflictStrategy.LAST_WRITE_WINS
        how = WriteOptions(strategy.merge, self.bounds, opened_at=self.opened_at, **options)
        items = [
            Write(collection, key, body, dumps(body) if body is not None else "", is_whole) for key, body in writes
        ]
        return list(self.lab.subject.write(self.storage, items, self.now_ms, self.lab.rng, how))

    def save(self, key: str, body: Body, **options: Any) -> None:
        """Save a document's fields."""
        self.write((key, body), **options)

    def do(self, key: str, field: str, kind: str, operation: Operation, collection: str = "notes") -> None:
        """Change a CRDT value of a document."""
        strategy = ConflictStrategy.MERGE_FIELDS if self.merging else ConflictStrategy.LAST_WRITE_WINS
        deed = Deed(field_path(field), kind, operation)
        write = Write(collection, key, None, deed=deed)
        how = WriteOptions(strategy.merge, self.bounds, opened_at=self.opened_at)
        self.lab.subject.write(self.storage, [write], self.now_ms, self.lab.rng, how)

    def delete(self, key: str, **options: Any) -> None:
        """Delete a document."""
        self.write((key, None), **options)

    def evict(self, *keys: str, collection: str = "notes") -> list[Event]:
        """Drop the copies of documents, as they are now."""
        records = {key: self.storage.text("docs", (collection, key)) for key in keys}
        decoded = {(collection, key): decode_record(text).confirmed for key, text in records.items()}
        versions = {name: document.version for name, document in decoded.items() if document is not None}
        return run(self.storage.write(lambda tx: evict(tx, versions)))

    def see(self, key: str, collection: str = "notes") -> Body | None:
        """Read a document's body."""
        seen = self.lab.subject.read(self.storage, collection, key)
        return shown(seen.body) if seen else None

    def pending(self) -> list[tuple[str, str, str]]:
        """List what waits, in the order in which it is sent: (collection, key, operation)."""
        found = []
        for _, text in self.storage.rows("docs"):
            found += [(change["n"], change["k"]) for change in loads(text).get("p", ())]
        operations = dict(found)
        return [
            (*name, operations[first + i])
            for (first,), text in self.storage.rows("outbox")
            for i, name in enumerate(loads(text)["d"])
            if name is not None
        ]

    def ledger(self) -> list[Entry]:
        """List the ledger, the oldest first."""
        return run(self.storage.read(read_entries))[::-1]

    def lost(self) -> list[Body | None]:
        """List the bodies in the ledger."""
        return [entry.body for entry in self.ledger()]

    def request(self) -> SyncRequest:
        """Build the next request."""
        return self.lab.subject.build(self.storage, self.lab.rng, self.options)

    def take(self, request: SyncRequest, answer: str) -> Outcome:
        """Take in an answer."""
        response = decode_response(answer)
        return self.lab.subject.apply(self.storage, request, response, self.now_ms, self.lab.rng, self.options)

    def exchange(self) -> Outcome:
        """Do one exchange."""
        request = self.request()
        return self.take(request, self.lab.serve(encode_request(request)))

    def sync(self) -> list[Outcome]:
        """Exchange until both sides have everything, as a manager does."""
        outcomes: list[Outcome] = []
        for _ in range(MOST_ROUNDS):
            is_repeated = self.storage.text("meta", ("inflight",)) is not None
            request = self.request()
            try:
                answer = self.lab.serve(encode_request(request))
            except Rejected as refusal:
                self.begin_again(refusal, is_repeated=is_repeated)
                continue
            outcome = self.take(request, answer)
            outcomes.append(outcome)
            if outcome.has_diverged:
                self.lab.subject.begin_resync(self.storage, self.options)
            elif not (outcome.is_stale or outcome.epoch_changed or outcome.has_more or self.pending()):
                return outcomes
        raise AssertionError(f"{self.name} does not come to an end in {MOST_ROUNDS} exchanges")

    def begin_again(self, refusal: Rejected, *, is_repeated: bool) -> None:
        """Do what a refusal asks for."""
        if refusal.code == "replica_forked":
            self.lab.subject.fork(self.storage, self.lab.rng, self.options)
        elif refusal.code == "resync":
            is_doubtful = is_repeated and not refusal.detail["known"]
            self.lab.subject.begin_late_resync(self.storage, self.options, is_doubtful=is_doubtful)
        else:
            raise refusal

    def copy(self, name: str, **options: Any) -> Device:
        """Clone the storage, as a copied profile does; both are opened anew."""
        self.opened_at = loads(self.storage.text("meta", ("counters",)) or "{}")["n"]
        made = replace(self, name=name, storage=SimulatedStorage(self.storage.snapshot()), **options)
        self.lab.subject.open(made.storage, self.lab.rng)
        return made


def texts(storage: SimulatedStorage, space: str) -> Iterable[str]:
    """List the texts of a space."""
    return [text for _, text in storage.rows(space)]
