"""What travels: a request, its changes, the answer; and how much of it there may be."""

from __future__ import annotations

from dataclasses import field
from typing import Final, Literal, NamedTuple, TypeAlias

from ...causality import VersionVector
from ...deferred import dataclass
from ...values import JSON, dumps
from ..document import Body, Document, State
from .pages import CANONICAL

PROTOCOL: Final = 1
MAX_CHANGES: Final = 500
MAX_TRANSACTION: Final = 100
MAX_PAGE: Final = 1000
MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_COLLECTIONS: Final = 1000
MAX_QUERY: Final = 8 * 1024
Operation: TypeAlias = Literal["insert", "update", "delete"]
Status: TypeAlias = Literal["applied", "duplicate", "merged", "conflict", "rejected"]


class Change(NamedTuple):
    """One change as it is pushed. ``is_whole`` says that the state is a whole document, not a part of one.

    ``transaction`` (the first ``n`` of it) binds changes that are applied together or not at all. ``deeds`` is the
    fingerprint of what was done to CRDT values, which stays the same when a clone does it again under another name.
    ``relays`` says that the change passes on CRDT values that others than its sender may have made. ``contains`` is
    the version that the state has, where it came from device to device: it is merged by its stamps.
    """

    collection: str
    key: str
    operation: Operation
    state: State
    is_whole: bool
    op_id: str | None = None
    n: int | None = None
    base_version: VersionVector | None = None
    merge: str | None = None
    transaction: int | None = None
    deeds: str | None = None
    relays: bool = False
    contains: VersionVector | None = None


class Had(NamedTuple):
    """What a replica held of a collection before its filter was changed; ``query`` None: all of it."""

    query: str | None
    bind_vars: dict[str, JSON]


class Snapshot(NamedTuple):
    """How far a replica has got all that a filter lets through, in the order of keys.

    ``after`` is the last key that was looked at. What was ``had`` up to the sequence ``until`` need not be sent
    again, but for what must go.
    """

    after: str | None = None
    until: int = 0
    had: Had | None = None


class Subscription(NamedTuple):
    """A part of a collection that a replica holds; ``snapshot`` until it has come; ``query`` None: all of it."""

    id: str
    collection: str
    query: str | None = None
    bind_vars: dict[str, JSON] = {}  # noqa: RUF012 (never changed)
    snapshot: Snapshot | None = None


class DeltaWish(NamedTuple):
    """That documents may come as what has changed in them, where that is at most ``threshold`` of their length.

    Those of the collections ``off`` come whole.
    """

    threshold: float = 0.5
    off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a replica sends: its changes, and the cursor from which it wants those of others.

    ``limit`` is how many documents of others it takes, 0 only beside changes. ``collections`` None means all; of
    those in ``subscriptions`` it wants what these say, of those in ``without`` nothing. ``delta`` None: documents
    come whole. ``settled`` is the last cursor at which it had everything; ``began`` is what the last answer said.
    ``protocol`` 0 is a plain client without identity or idempotence. ``diverged`` tells the server's operator of
    which collections, when all had been exchanged, the replica's documents were others than the server's.
    ``texts`` has bodies of the changes, each with its canonical text, where reading them has made that.
    """

    database: str
    client_id: str
    version_vector: VersionVector = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    protocol: int = 0
    request_id: str | None = None
    fence: str | None = None
    epoch: str | None = None
    limit: int = MAX_PAGE
    collections: tuple[str, ...] | None = None
    diverged: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    without: tuple[str, ...] = ()
    delta: DeltaWish | None = None
    settled: int = 0
    began: int = 0
    texts: tuple[tuple[Body, str], ...] = field(default=(), compare=False, repr=False)

    @property
    def since(self) -> int:
        """The cursor: the server's sequence up to which the replica has everything."""
        return self.version_vector.get("server", 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a change was refused: a stable code, what and where, and what may help."""

    code: str
    message: str
    hint: str = ""


NO_DOCUMENT: Final = Problem("no_document", "there is no document to change: what made it was refused, or is gone")
"""Why a part of a document is refused where there is none, as who made it had to know."""


class Result(NamedTuple):
    """The server's verdict on one change; ``version`` is the document's version after it.

    Of a change that was merged, now or when it came first, ``lost`` is the part that later changes had already
    replaced, and ``overwritten`` what it replaced without having seen it; without a body, that is a delete.
    """

    op_id: str
    status: Status
    version: VersionVector = {}  # noqa: RUF012 (never changed)
    error: Problem | None = None
    lost: State | None = None
    overwritten: Document | None = None


class ServerChange(NamedTuple):
    """A document as the server has it.

    ``delta`` is the message where only what has changed came; ``is_removed`` says that the document has left what the
    replica asks for, and is no delete. Of both ``document`` has the version alone. ``text`` is the body's JSON as it
    came, where that is known.
    """

    collection: str
    key: str
    document: Document
    delta: dict[str, JSON] | None = None
    is_removed: bool = False
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """The answer: verdicts, what others changed after ``since``, and the new cursor in ``server_version``.

    ``digest`` is the sum over the documents that the replica should now have, or None while ``has_more``;
    ``digests`` those of collections that it asks for in part, as far as they are known. ``snapshots`` tell by
    subscription the last key that was looked at, and whether it was the last. ``floor`` is the sequence up to which
    the server may have forgotten deletes; ``began``, as long as a pull from 0 has not come so far, the sequence where
    it began, to be said again in the next request.
    """

    request_id: str | None
    fence: str | None
    epoch: str
    since: int
    server_version: VersionVector
    timestamp: str
    has_more: bool = False
    digest: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    server_changes: tuple[ServerChange, ...] = ()
    conflicts: tuple[ServerChange, ...] = ()
    floor: int = 0
    began: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as the server makes it: documents are still the texts of its storage.

    ``newest`` is the sequence of the server's last change then, which is not sent; None in one of another epoch.
    ``results`` is the text of those in the head, where it is known.
    """

    head: dict[str, JSON]
    server_changes: list[str]
    conflicts: list[str]
    newest: int | None = None
    results: str | None = None

    def text(self) -> str:
        """Give the response's JSON text."""
        begin = CANONICAL if self.server_changes else ',"server_changes":['
        page, conflicts = ",".join(self.server_changes), ",".join(self.conflicts)
        return f'{self._head_text()[:-1]}{begin}{page}],"conflicts":[{conflicts}]}}'

    def _head_text(self) -> str:
        if self.results is None:
            return dumps(self.head)
        first = dumps({name: value for name, value in self.head.items() if name < "results"})
        last = dumps({name: value for name, value in self.head.items() if name > "results"})
        return f'{first[:-1]},"results":{self.results},{last[1:]}'
