"""What a server counts, in the form that Prometheus reads: how much and how fast, never what or whose.

Names of databases are labels, the first hundred of them; documents, keys and clients are none.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..causality import parse_timestamp
from ..core.wire import Answer, SyncRequest

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
MOST_NAMES: Final = 100
OTHER: Final = "other"

_LAGS = (0, 1, 10, 100, 1_000, 10_000, 100_000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_AGES = (0.1, 1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, *, databases: Callable[[], float], streams: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._databases = _Names()
        self._codes = _Names()
        self._pushes = self._counter("pushes", "Exchanges that brought changes.")
        self._pulls = self._counter("pulls", "Exchanges that brought none.")
        self._changes = self._counter("changes", "Verdicts on changes, also those given again.", "verdict")
        self._conflicts = self._counter("conflicts", "Changes that met one that they had not seen.")
        self._ledger = self._counter("ledger", "Merges that lost a part, or overwrote one not seen.", "what")
        self._documents = self._counter("documents_sent", "Documents in answers.")
        self._received = self._counter("exchange_received_bytes", "Bodies of exchanges as they came.")
        self._sent = self._counter("exchange_sent_bytes", "Bodies of answers to exchanges as they went.")
        self._divergence = self._counter("divergence", "Reports of replicas that have other documents.")
        self._lag = self._histogram("lag_changes", "Changes that a replica had not seen.", _LAGS)
        self._seconds = self._histogram("exchange_seconds", "From a request to the end of its answer.", _SECONDS)
        self._ages = self._histogram("oldest_change_age_seconds", "How long a push's oldest change waited.", _AGES)
        registry = self._registry
        self._errors = Counter(
            "pysync_errors", "Requests that were refused or failed.", ["code"], registry=registry
        )
        self._pokes = Counter("pysync_pokes", "Pokes sent.", registry=registry)
        Gauge("pysync_open_streams", "Open streams of pokes.", registry=registry).set_function(streams)
        Gauge("pysync_open_databases", "Open databases.", registry=registry).set_function(databases)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"pysync_{name}", help, ["database", *labels], registry=self._registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"pysync_{name}", help, ["database"], registry=self._registry, buckets=buckets)

    def text(self) -> bytes:
        """Give everything in the text format of Prometheus."""
        return generate_latest(self._registry)

    def on_poke(self) -> None:
        """Count a poke."""
        self._pokes.inc()

    def on_error(self, code: str) -> None:
        """Count a request that was refused or failed."""
        self._errors.labels(self._codes.label(code)).inc()

    def on_exchange(self, request: SyncRequest, answer: Answer, now_ms: int) -> None:
        """Count what an exchange did."""
        name = self._databases.label(request.database)
        (self._pushes if request.changes else self._pulls).labels(name).inc()
        self._documents.labels(name).inc(len(answer.server_changes) + len(answer.conflicts))
        results: Any = answer.head.get("results", ())
        verdicts = Tally(result["status"] for result in results)
        for verdict, count in verdicts.items():
            self._changes.labels(name, verdict).inc(count)
        self._conflicts.labels(name).inc(verdicts["conflict"])
        merged = [result for result in results if result["status"] == "merged"]
        for what in ("lost", "overwritten"):
            self._ledger.labels(name, what).inc(sum(what in result for result in merged))
        if answer.newest is not None:
            own = verdicts["applied"] + verdicts["merged"]
            self._lag.labels(name).observe(max(0, answer.newest - own - request.since))
        made = [change.state.timestamp for change in request.changes if change.state.timestamp]
        if made:
            self._ages.labels(name).observe(max(0.0, (now_ms - parse_timestamp(min(made))[0]) / 1000))
        if request.diverged:
            self._divergence.labels(name).inc()

    def on_served(self, database: str, received: int, sent: int, seconds: float) -> None:
        """Count the bytes and the time of an exchange that was answered."""
        name = self._databases.label(database)
        self._received.labels(name).inc(received)
        self._sent.labels(name).inc(sent)
        self._seconds.labels(name).observe(seconds)


class _Names:
    """The values that a label may have: the first ones that come."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """Give the name, or ``other`` for one more than may be."""
        if name not in self._known:
            if len(self._known) >= MOST_NAMES:
                return OTHER
            self._known.add(name)
        return name
