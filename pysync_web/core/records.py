"""What a backend of the application's own and a replica tell each other: records, pages of them, and verdicts.

A record is a whole document as it is now, or the news that it was deleted; nothing of our versions is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..causality import normalize_timestamp
from ..deferred import dataclass
from ..errors import SchemaError
from ..values import JSON, canonical, check_collection, check_key
from .as_json import members_of
from .document import Body
from .wire import Operation

_BODY_MEMBERS = ("_key", "_version", "_timestamp")


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """A document as one side has it; ``document`` is None where ``operation`` is "delete".

    Pushed: ``id`` names this content of the document and is the same each time it is offered, so a backend may use it
    as an idempotency key; ``timestamp`` (ISO 8601) is when it was changed last; ``version`` is the one that the
    backend last gave for the document, for ``If-Match``, or None. Pulled: ``timestamp`` decides against changes made
    here meanwhile, "" where the backend has none; ``id`` says nothing. Raises :class:`SchemaError` for what can't be
    one.
    """

    collection: str
    key: str
    operation: Operation = "update"
    document: Body | None = None
    timestamp: str = ""
    version: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if self.operation not in ("insert", "update", "delete"):
            raise SchemaError(f"{self.operation!r:.40} is none of insert, update, delete", place="operation")
        if (self.document is None) != (self.operation == "delete"):
            raise SchemaError("a delete has no document, everything else has one", place="document")

    @property
    def name(self) -> tuple[str, str]:
        """Collection and key."""
        return self.collection, self.key

    def to_json(self) -> dict[str, JSON]:
        """Give the record as JSON."""
        return {name: getattr(self, name) for name in self.__match_args__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SyncRecord:
        """Read what :meth:`to_json` gave."""
        return cls(**members_of(cls, value))


@dataclass(frozen=True, slots=True)
class Pulled:
    """What ``pull`` brings. ``since`` is handed to the next call as it is: any JSON.

    ``has_more`` asks for another call at once. ``is_complete`` says that these are all documents that the backend
    has: those that it had before and are not among them were deleted there.
    """

    records: Sequence[SyncRecord]
    since: JSON = None
    has_more: bool = False
    is_complete: bool = False

    def __post_init__(self) -> None:
        if self.is_complete and self.has_more:
            raise SchemaError("a page with more to come is not all there is", place="is_complete")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The backend has taken a record; ``version`` is what it calls the document now (an ETag), if it says so."""

    id: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The backend will never take a record: its change goes to the ledger with this reason, and is undone here."""

    id: str
    reason: str
    code: str = "refused"


class Sent(NamedTuple):
    """A record that was offered, and what became of it."""

    record: SyncRecord
    verdict: Accepted | Refused


def checked(record: SyncRecord, place: str) -> SyncRecord:
    """Give a pulled record with a body and a timestamp of ours, or raise :class:`SchemaError`."""
    if not isinstance(record, SyncRecord):
        raise SchemaError(f"a SyncRecord was due, not {type(record).__name__}", place=place)
    try:
        check_collection(record.collection)
        check_key(record.key)
        body = record.document
        if body is not None:
            body = {name: value for name, value in body.items() if name not in _BODY_MEMBERS}
            canonical(body, f"document {record.key!r}")
    except ValueError as error:
        raise SchemaError(str(error), place=place) from error
    stamp = normalize_timestamp(record.timestamp, f"{place}.timestamp") if record.timestamp else ""
    version = None if record.version is None else str(record.version)
    return SyncRecord(record.collection, record.key, record.operation, body, stamp, version)
