"""When to try again: exponential backoff with full jitter (Brooker, *Exponential Backoff And Jitter*, 2015)."""

from __future__ import annotations

from ..deferred import dataclass
from .arguments import check_seconds
from .as_json import AsJson
from .ports import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy(AsJson):
    """The longest wait doubles with each failure from ``base_s`` up to ``cap_s``; both in seconds."""

    base_s: float = 1.0
    cap_s: float = 300.0

    def __post_init__(self) -> None:
        for name in ("base_s", "cap_s"):
            check_seconds(f"RetryPolicy.{name}", getattr(self, name), from_zero=True)

    def delay_s(self, attempt: int, rng: Random, *, at_least_s: float | None = None) -> float:
        """Give the wait in seconds after failure number ``attempt`` (1, 2, …).

        It is drawn evenly from 0 to the longest wait; a server's ``Retry-After`` is honoured by ``at_least_s``.
        """
        longest = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))
        return max(rng.random() * longest, min(at_least_s or 0.0, 24 * 3600.0))
