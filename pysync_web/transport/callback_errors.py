"""What an application's function raised, as one of our errors: whether to try again follows from an HTTP status.

HTTP libraries tell it in different places; none of them is imported here.
"""

from __future__ import annotations

from typing import Any

from ..errors import TransportError, Unreachable
from .problems import Refusal


def translated(what: str, error: Exception, timeout_s: float) -> TransportError:
    """Give the error that a transport raises where the function ``what`` raised ``error``."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, TimeoutError):
        return Unreachable(f"{what} took longer than {timeout_s:g} s")
    status = _status(error)
    message = f"{what} raised {type(error).__name__}: {error}"
    if status is not None and status >= 400:
        return Refusal(status, "backend", message, retry_after_s=_retry_after_s(error)).error()
    return Unreachable(message)


def _status(error: Exception) -> int | None:
    """Find an HTTP status: httpx and requests have it in the response, aiohttp in ``status``, urllib in ``code``."""
    for place in (getattr(error, "response", None), error):
        for name in ("status_code", "status", "code"):
            value = getattr(place, name, None)
            if type(value) is int and 100 <= value <= 599:
                return value
    return None


def _retry_after_s(error: Exception) -> float | None:
    """Find how long the backend asks to wait, where it says so in seconds."""
    for place in (getattr(error, "response", None), error):
        headers: Any = getattr(place, "headers", None)
        value = headers.get("retry-after") or headers.get("Retry-After") if headers is not None else None
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return float(value)
    return None
