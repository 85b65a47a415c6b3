"""Deciding between two versions that had not seen each other: what is asked, and what may be answered.

A decision may be taken more than once for one conflict, so it has no effects; who loses is kept in the ledger by the
caller. The strategies but the usual one are in ``strategies.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import ClassVar, Final, TypeAlias

from ..causality import VersionVector
from ..deferred import dataclass
from ..errors import InvalidDocument
from .as_json import AsJson
from .document import Body


@dataclass(frozen=True, slots=True)
class Conflict(AsJson):
    """Two versions of one document. A body None is a delete; ``base`` is the last version that both had seen.

    Timestamps are those of the last change on each side, op ids break a tie between them. ``strategy`` is the name of
    the one that was chosen for the local change alone, "" of none. Where the conflict waits, ``reason`` says why, and
    ``clashes`` are JSON Pointers to what both changed differently, if that is known.
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
    strategy: str = ""
    reason: str = ""
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AcceptLocal(AsJson):
    """The local version stands."""


@dataclass(frozen=True, slots=True)
class AcceptRemote(AsJson):
    """The remote version stands."""


@dataclass(frozen=True, slots=True)
class Merge(AsJson):
    """Another document stands, made from both; None: none does, it is deleted.

    ``given_up`` is what of the local and of the remote version it knowingly leaves out; None: that is found by
    comparing them.
    """

    document: Body | None
    given_up: tuple[Body, Body] | None = None


@dataclass(frozen=True, slots=True)
class Wait(AsJson):
    """Nothing is decided yet: both sides are kept. ``asks``: functions of the application are to be asked first."""

    reason: str
    asks: bool = False
    clashes: tuple[str, ...] = ()


Resolution: TypeAlias = AcceptLocal | AcceptRemote | Merge
Decision: TypeAlias = Resolution | Wait
Resolver: TypeAlias = Callable[[Conflict], "Decision | None"]
"""Decides inside the transaction that met the conflict; None is the local version."""

Answer: TypeAlias = "Resolution | Body | None"
AsyncResolver: TypeAlias = Callable[[Conflict], "Answer | Awaitable[Answer]"]
"""A function of the application, plain or a coroutine function: an answer, a document, or None for a delete."""


class ConflictResolution:
    """The three answers to a conflict, as an ``on_conflict`` hook gives them; ``Merge`` takes a document."""

    AcceptLocal = AcceptLocal()
    AcceptRemote = AcceptRemote()
    Merge = Merge


class ConflictStrategy(Enum):
    """How conflicts are decided where no hook decides. ``THREE_WAY_MERGE`` is ``ThreeWayMerge()``."""

    LAST_WRITE_WINS = "last_write_wins"
    FIRST_WRITE_WINS = "first_write_wins"
    MERGE_FIELDS = "merge_fields"
    THREE_WAY_MERGE = "three_way_merge"
    LOCAL_WINS = "local_wins"
    REMOTE_WINS = "remote_wins"
    LARGER_WINS = "larger_wins"
    MANUAL = "manual"

    @staticmethod
    def CUSTOM(resolver: AsyncResolver | str) -> Custom:
        """Decide by a function, or by the one of this name in ``SyncConfig.resolvers``."""
        return Custom(resolver)

    @property
    def merge(self) -> str | None:
        """What the server may do with a change that had not seen the current version: merge fields, or nothing."""
        return "fields" if self is ConflictStrategy.MERGE_FIELDS else None


@dataclass(frozen=True, slots=True)
class Custom:
    """A strategy that asks a function, given itself or by its name in ``SyncConfig.resolvers``.

    It gives an answer, a document, or None for a delete. One that raises, or takes longer than
    ``SyncConfig.resolver_timeout_s``, leaves the conflict waiting, with the reason.
    """

    resolver: AsyncResolver | str
    merge: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not isinstance(self.resolver, str) and not callable(self.resolver):
            raise InvalidDocument(
                f"Custom: a resolver is a function, or the name of one, not {self.resolver!r:.60}"
            )


@dataclass(frozen=True, slots=True)
class ThreeWayMerge:
    """A strategy that does to the base what each side did; what both changed differently is up to ``fallback``.

    That decides once for the whole document, and the side that it takes stands where both changed something;
    by default the conflict waits.
    """

    fallback: ConflictStrategy | Custom = ConflictStrategy.MANUAL
    merge: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not isinstance(self.fallback, ConflictStrategy | Custom):
            raise InvalidDocument(f"ThreeWayMerge: a fallback is {_PLAIN} or Custom(…), not {self.fallback!r:.60}")
        if self.fallback in (ConflictStrategy.THREE_WAY_MERGE, ConflictStrategy.MERGE_FIELDS):
            raise InvalidDocument(f"ThreeWayMerge: {self.fallback} is no fallback: it may clash too")


Strategy: TypeAlias = ConflictStrategy | ThreeWayMerge | Custom

_PLAIN: Final = f"a ConflictStrategy ({', '.join(one.name for one in ConflictStrategy)})"


def check_strategy(place: str, value: object) -> None:
    """Raise :class:`InvalidDocument`, which says what there is, where a value is no strategy."""
    if not isinstance(value, ConflictStrategy | ThreeWayMerge | Custom):
        raise InvalidDocument(f"{place} is {_PLAIN}, ThreeWayMerge(…) or Custom(…), not {value!r:.60}")


def last_write_wins(conflict: Conflict) -> Resolution:
    """Let the later change stand, in the total order of timestamp and op id, never of arrival.

    ``MERGE_FIELDS`` comes here too for what has no fields to merge: a delete against an update.
    """
    local = (conflict.local_timestamp, conflict.local_op_id)
    remote = (conflict.remote_timestamp, conflict.remote_op_id)
    return AcceptLocal() if local > remote else AcceptRemote()
