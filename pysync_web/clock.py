"""The clocks of the machine. The core reads neither: it is told the time."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Give the milliseconds since 1970 by the system's clock, which may jump."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Give the milliseconds of a clock that never jumps, from a moment that means nothing."""
    return time.monotonic_ns() // 1_000_000
