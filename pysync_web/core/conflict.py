"""Deciding between two versions that had not seen each other. A strategy is a plain, repeatable function.

It may run more than once for one conflict, so it has no effects; who loses is kept in the ledger by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ..causality import VersionVector
from .document import Body


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two versions of one document. A body None is a delete; ``base`` is the last version that both had seen.

    Timestamps are those of the last change on each side, op ids break a tie between them.
    """

    collection: str
    key: str
    local: Body | None
    remote: Body | None
    base: Body | None
    local_version: VersionVector
    remote_version: VersionVector
    base_version: VersionVector
    local_timestamp: str
    remote_timestamp: str
    local_op_id: str
    remote_op_id: str


@dataclass(frozen=True, slots=True)
class AcceptLocal:
    """The local version stands."""


@dataclass(frozen=True, slots=True)
class AcceptRemote:
    """The remote version stands."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Another document stands, made from both."""

    document: Body


Resolution: TypeAlias = AcceptLocal | AcceptRemote | Merge
Resolver: TypeAlias = Callable[[Conflict], "Resolution | None"]


class ConflictResolution:
    """The three answers to a conflict, as an ``on_conflict`` hook gives them; ``Merge`` takes a document."""

    AcceptLocal = AcceptLocal()
    AcceptRemote = AcceptRemote()
    Merge = Merge


class ConflictStrategy(Enum):
    """How conflicts are decided where no hook decides."""

    LAST_WRITE_WINS = "last_write_wins"
    MERGE_FIELDS = "merge_fields"

    @property
    def merge(self) -> str | None:
        """What the server may do with a change that had not seen the current version: merge fields, or nothing."""
        return "fields" if self is ConflictStrategy.MERGE_FIELDS else None


def last_write_wins(conflict: Conflict) -> Resolution:
    """Let the later change stand, in the total order of timestamp and op id, never of arrival.

    ``MERGE_FIELDS`` comes here too for what has no fields to merge: a delete against an update.
    """
    local = (conflict.local_timestamp, conflict.local_op_id)
    remote = (conflict.remote_timestamp, conflict.remote_op_id)
    return AcceptLocal() if local > remote else AcceptRemote()
