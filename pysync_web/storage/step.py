"""Runs a transaction body to its end at once, for backends that answer its reads without waiting."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import TransactionError

T = TypeVar("T")


def run(body: Coroutine[Any, Any, T]) -> T:
    """Run a body; raise :class:`TransactionError` inside it, where it awaits something else than its reads.

    A body that catches this error has failed nevertheless.
    """
    try:
        body.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    error = TransactionError(
        f"{getattr(body, '__qualname__', 'the body')} awaited something that is not its transaction: "
        "a body may await its transaction's get, get_many and scan, and nothing else"
    )
    try:
        body.throw(error)
    except StopIteration:
        raise error from None
    body.close()
    raise error
