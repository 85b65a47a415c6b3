"""What an application may choose about syncing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.conflict import ConflictStrategy
from ..core.outbox import Bounds
from ..core.retry import RetryPolicy
from ..core.wire import MAX_CHANGES, MAX_PAGE
from ..errors import InvalidDocument
from ..values import check_collection, check_database

if TYPE_CHECKING:
    from ..sdbql import QueryLimits


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How a manager syncs; every time is in seconds.

    ``collections`` empty means all; where it is not, documents of other collections are refused. ``batch_size`` is
    the most changes in one push (at most 500), ``page_size`` the most in one pull (at most 1,000). After
    ``max_retries`` failures in a row the next attempts come no sooner than ``sync_interval_s`` apart, unless
    something happens; nothing is ever given up. ``key_factory`` makes keys for documents saved without one, in place
    of UUIDv7; each is another one, on whatever device. ``query_limits`` None means the query engine's own.
    """

    database: str = "default"
    sync_interval_s: float = 30.0
    batch_size: int = MAX_CHANGES
    max_retries: int = 5
    page_size: int = MAX_PAGE
    auto_sync: bool = True
    push_on_change: bool = True
    collections: Sequence[str] = ()
    conflict_strategy: ConflictStrategy = ConflictStrategy.MERGE_FIELDS
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    outbox: Bounds = field(default_factory=Bounds)
    query_limits: QueryLimits | None = None
    key_factory: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        check_database(self.database)
        for name in self.collections:
            check_collection(name)
        bounds = (("batch_size", 1, MAX_CHANGES), ("page_size", 1, MAX_PAGE), ("max_retries", 0, 2**31))
        for name, low, high in bounds:
            value = getattr(self, name)
            if not (isinstance(value, int) and low <= value <= high):
                raise InvalidDocument(f"SyncConfig.{name} is an integer from {low} to {high}, not {value!r}")
        if not self.sync_interval_s > 0:
            raise InvalidDocument(f"SyncConfig.sync_interval_s is over 0, not {self.sync_interval_s!r}")
