"""What an application may choose about syncing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..core.arguments import check_collections, check_flag, check_function, check_seconds, check_text, is_count
from ..core.as_json import members_of
from ..core.conflict import AsyncResolver, ConflictStrategy, Strategy, check_strategy
from ..core.ledger import LedgerBounds
from ..core.outbox import Bounds
from ..core.retry import RetryPolicy
from ..core.strategies import decode_strategy, encode_strategy
from ..core.wire import MAX_CHANGES, MAX_PAGE
from ..errors import InvalidDocument
from ..values import JSON, check_collection, check_database

if TYPE_CHECKING:
    from ..sdbql import QueryLimits


_FUNCTIONS = ("resolvers", "key_factory")


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How a manager syncs; every time is in seconds.

    ``collections`` empty means all; where it is not, documents of other collections are refused. ``batch_size`` is
    the most changes in one push (at most 500; a transaction is not divided), ``page_size`` the most in one pull (at
    most 1,000). After ``max_retries`` failures in a row the next attempts come no sooner than ``sync_interval_s``
    apart, unless something happens. ``key_factory`` makes keys for documents saved without one, in place of UUIDv7;
    each is another one, on whatever device. ``query_limits`` None means the query engine's own.

    ``collection_strategies`` name the conflict strategies of collections that have another one than the rest;
    ``resolvers`` are functions that a ``Custom`` strategy may name; one that is a coroutine function has
    ``resolver_timeout_s`` to answer. A change that has waited longer than ``max_age_s`` without being sent, or that
    the server has refused alone in a request more often than ``max_retries``, moves to the ledger, which keeps
    entries within ``ledger``'s bounds.
    """

    database: str = "default"
    sync_interval_s: float = 30.0
    batch_size: int = MAX_CHANGES
    max_retries: int = 5
    page_size: int = MAX_PAGE
    auto_sync: bool = True
    push_on_change: bool = True
    collections: Sequence[str] = ()
    conflict_strategy: Strategy = ConflictStrategy.MERGE_FIELDS
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    outbox: Bounds = field(default_factory=Bounds)
    query_limits: QueryLimits | None = None
    collection_strategies: Mapping[str, Strategy] = field(default_factory=dict)
    resolvers: Mapping[str, AsyncResolver] = field(default_factory=dict)
    resolver_timeout_s: float = 30.0
    max_age_s: float | None = None
    ledger: LedgerBounds = field(default_factory=LedgerBounds)
    key_factory: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        check_database(self.database)
        check_collections("SyncConfig.collections", self.collections)
        check_strategy("SyncConfig.conflict_strategy", self.conflict_strategy)
        self._check_kinds()
        for name, strategy in self.collection_strategies.items():
            check_strategy(f"SyncConfig.collection_strategies[{check_collection(name)!r}]", strategy)
        for name, resolver in self.resolvers.items():
            check_text("a name in SyncConfig.resolvers", name)
            check_function(f"SyncConfig.resolvers[{name!r}]", resolver)
        bounds = (("batch_size", 1, MAX_CHANGES), ("page_size", 1, MAX_PAGE), ("max_retries", 0, 2**31))
        for name, low, high in bounds:
            value = getattr(self, name)
            if not is_count(value, low, high):
                raise InvalidDocument(f"SyncConfig.{name} is an integer from {low} to {high}, not {value!r:.60}")
        check_seconds("SyncConfig.sync_interval_s", self.sync_interval_s)
        check_seconds("SyncConfig.resolver_timeout_s", self.resolver_timeout_s, is_endless=True)
        if self.max_age_s is not None:
            check_seconds("SyncConfig.max_age_s", self.max_age_s)

    def _check_kinds(self) -> None:
        """Raise :class:`InvalidDocument` for a member that is something else than it has to be."""
        for name in ("auto_sync", "push_on_change"):
            check_flag(f"SyncConfig.{name}", getattr(self, name))
        kinds = {"retry": RetryPolicy, "outbox": Bounds, "ledger": LedgerBounds}
        for name, kind in (kinds | dict.fromkeys(("collection_strategies", "resolvers"), Mapping)).items():
            if not isinstance(getattr(self, name), kind):
                raise InvalidDocument(f"SyncConfig.{name} is a {kind.__name__}, not {getattr(self, name)!r:.60}")
        limits = self.query_limits  # its class is imported with the first query
        if limits is not None and not hasattr(limits, "rows_scanned"):
            raise InvalidDocument(f"SyncConfig.query_limits is a QueryLimits, not {limits!r:.60}")
        if self.key_factory is not None:
            check_function("SyncConfig.key_factory", self.key_factory)

    def to_json(self) -> dict[str, JSON]:
        """Give the settings as JSON, all but the functions; a strategy with a bare function has none."""
        members = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _FUNCTIONS}
        strategies = {name: encode_strategy(one) for name, one in self.collection_strategies.items()}
        limits = None if self.query_limits is None else asdict(self.query_limits)
        return members | {
            "collections": list(self.collections),
            "conflict_strategy": encode_strategy(self.conflict_strategy),
            "collection_strategies": strategies,
            "retry": self.retry.to_json(),
            "outbox": self.outbox.to_json(),
            "ledger": self.ledger.to_json(),
            "query_limits": limits,
        }

    @classmethod
    def from_json(
        cls,
        value: dict[str, Any],
        resolvers: Mapping[str, AsyncResolver] | None = None,
        key_factory: Callable[[], str] | None = None,
    ) -> SyncConfig:
        """Read what :meth:`to_json` gave; functions are given anew, and what is missing is as it is by default."""
        given = {
            name: _READERS[name](one) if name in _READERS else one for name, one in members_of(cls, value).items()
        }
        for name in given.keys() & {*_FUNCTIONS}:
            raise InvalidDocument(f"SyncConfig.from_json: {name} has functions, which are given beside the JSON")
        return cls(**given | {"resolvers": resolvers or {}, "key_factory": key_factory})

    def strategy_of(self, collection: str) -> Strategy:
        """Give the conflict strategy of a collection."""
        return self.collection_strategies.get(collection, self.conflict_strategy)


def _read_strategy(value: JSON) -> Strategy:
    check_text("a strategy in SyncConfig.from_json", value)
    try:
        return decode_strategy(value)
    except ValueError as error:
        raise InvalidDocument(f"SyncConfig.from_json: {error}") from error


def _read_strategies(value: JSON) -> dict[str, Strategy]:
    if type(value) is not dict:
        raise InvalidDocument(f"SyncConfig.collection_strategies is a dict, not {value!r:.60}")
    return {name: _read_strategy(one) for name, one in value.items()}


def _read_limits(value: JSON) -> QueryLimits | None:
    if value is None:
        return None
    from ..sdbql import QueryLimits

    return QueryLimits(**members_of(QueryLimits, value))


_READERS: Final[dict[str, Callable[[JSON], Any]]] = {
    "collections": partial(check_collections, "SyncConfig.collections"),
    "conflict_strategy": _read_strategy,
    "collection_strategies": _read_strategies,
    "retry": RetryPolicy.from_json,
    "outbox": Bounds.from_json,
    "ledger": LedgerBounds.from_json,
    "query_limits": _read_limits,
}
