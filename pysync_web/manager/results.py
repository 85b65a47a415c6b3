"""What a manager tells about itself: results, status and totals, each with JSON both ways."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, TypeAlias

from ..core.as_json import AsJson
from ..deferred import dataclass
from ..values import JSON

State: TypeAlias = Literal[
    "local", "idle", "syncing", "waiting", "offline", "paused", "blocked", "following", "stopped"
]
"""``local``: no server; ``waiting``: a retry is due later; ``blocked``: something must be done, see ``blocked_by``;
``following``: another tab or process syncs; ``stopped``: no sync runs by itself."""


@dataclass(frozen=True, slots=True)
class SyncResult(AsJson):
    """What one sync did: documents pushed and pulled, conflicts decided, attempts repeated, errors in words."""

    success: bool
    pushed: int = 0
    pulled: int = 0
    conflicts: int = 0
    retried: int = 0
    rejected: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.errors)

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return self.pushed + self.pulled + self.conflicts + self.retried


@dataclass(frozen=True, slots=True)
class MeetingResult(AsJson):
    """What a meeting with another device, or a bundle of its documents, did.

    ``sent`` documents are durable there, but for those that are ``ahead`` by its own clock, and ``received`` ones
    here; ``changed`` of these were news. ``conflicts`` counts documents of which something was lost, see the ledger;
    ``ahead`` those that stayed there because their time lies more than five minutes in the future, ``too_large``
    those that stayed here because a message can't hold all that is known of them. ``ended_by`` says who left before
    everything was through.
    """

    sent: int = 0
    received: int = 0
    changed: int = 0
    conflicts: int = 0
    ahead: int = 0
    too_large: int = 0
    ended_by: Literal["here", "there"] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether both sides have everything, but for what is ``ahead`` or ``too_large``."""
        return self.ended_by is None


@dataclass(frozen=True, slots=True)
class SyncStatus(AsJson):
    """Where a manager stands.

    ``pending`` changes wait to be sent, the oldest for ``oldest_pending_age_s`` seconds; ``last_sync`` is ISO 8601;
    ``next_retry_s`` the seconds to the next attempt after a failure; ``blocked_by`` is "unauthorized", "rejected" or
    None; ``storage_reset`` "wiped" or "restored" where the storage is not the one that was left; ``conflicts`` wait
    for a decision; ``ledger_warning`` says that entries of the ledger will have to go. ``is_live``: a stream that
    tells of changes elsewhere stands, was heard of lately, and the last sync went through; or they come by intervals.
    """

    pending: int
    oldest_pending_age_s: float | None
    last_sync: str | None
    last_error: str | None
    next_retry_s: float | None
    blocked_by: str | None
    state: State
    durability: str
    storage_reset: str | None
    is_leader: bool
    conflicts: int = 0
    ledger_warning: str | None = None
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class SyncMetadata(AsJson):
    """Totals over the life of a local database; ``last_duration_s`` is in seconds, ``last_sync_at`` ISO 8601."""

    last_sync_at: str | None
    last_duration_s: float | None
    total_pushes: int
    total_pulls: int
    total_conflicts: int


@dataclass(frozen=True, slots=True)
class Statistics(AsJson):
    """How many documents there are, altogether and by collection, and how many changes wait to be sent."""

    total: int
    pending: int
    collections: dict[str, int]


@dataclass(frozen=True, slots=True)
class Subscribed(AsJson):
    """What was chosen of a collection: what ``query`` lets through, None: all of it, or (not ``is_wanted``) nothing.

    ``is_ready``: everything of it is here, and nothing else.
    """

    collection: str
    query: str | None
    bind_vars: dict[str, JSON]
    is_wanted: bool
    is_ready: bool


@dataclass(frozen=True, slots=True)
class DeltaStats(AsJson):
    """Characters that documents took on the wire in the last sync that had some as deltas, and whole would have."""

    delta_size: int = 0
    full_size: int = 0


@dataclass(frozen=True, slots=True)
class PendingChange(AsJson):
    """A change that the server has not acknowledged.

    ``state`` is "waiting", "in_flight", "held" (until a conflict is decided), or "taken_back".
    """

    change_id: str
    collection: str
    key: str
    operation: str
    timestamp: str
    state: str


@dataclass(frozen=True, slots=True)
class Ttl(AsJson):
    """Documents of a collection are deleted ``expire_after_s`` seconds after the moment that ``field`` tells."""

    collection: str
    field: str
    expire_after_s: float


@dataclass(frozen=True, slots=True)
class CompactResult(AsJson):
    """What compacting gave back: bytes before and after (of IndexedDB characters), and deletes that were dropped."""

    before_bytes: int
    after_bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StorageEstimate(AsJson):
    """How much a store takes.

    ``usage_bytes`` and ``quota_bytes`` (None: not known) are those of the web site in a page; natively the size of
    the file, and that with the free room of its disk; in memory the texts. ``is_persisted`` False says that the
    browser may give the data up when the disk is full; natively it is None. ``ledger`` counts its entries.
    """

    usage_bytes: int
    quota_bytes: int | None
    documents: int
    pending: int
    ledger: int
    is_persisted: bool | None
