"""What was read from a text is shared, in a run, by all who read the same text: replicas, server, users, checkers.

Nobody changes what was read, so this shows in nothing but time; ``test_sharing.py`` proves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pysync_web.core import (
    exchange,
    intake,
    inventory,
    meeting,
    optimistic,
    outbox,
    push,
    replica,
    requests,
    resolving,
    wire,
    writing,
)
from pysync_web.core.optimistic import decode_record
from pysync_web.core.wire import decode_request, decode_response, decode_stored, responses
from pysync_web.values import loads

from . import checkers, hearsay

MOST_TEXTS = 20_000

Reader = Callable[..., Any]
Known = dict[str | None, Any]

_READERS: tuple[Reader, ...] = (loads, decode_record, decode_stored, decode_request, decode_response)
_MODULES = (
    checkers,
    hearsay,
    exchange,
    intake,
    inventory,
    meeting,
    optimistic,
    outbox,
    push,
    replica,
    requests,
    resolving,
    responses,
    wire,
    writing,
)


@contextmanager
def shared_texts() -> Iterator[dict[Reader, Known]]:
    """Read each text once; give what is shared, by text, of each function that reads."""
    shared: dict[Reader, Known] = {read: {} for read in _READERS}
    _put({read.__name__: _once(read, known) for read, known in shared.items()})
    try:
        yield shared
    finally:
        _put({read.__name__: read for read in _READERS})


def _put(functions: dict[str, Reader]) -> None:
    for module in _MODULES:
        for name in functions.keys() & vars(module).keys():
            setattr(module, name, functions[name])


def _once(read: Reader, known: Known) -> Reader:
    def read_once(text: str | None, **how: Any) -> Any:
        value = known.get(text)
        if value is None:
            if len(known) >= MOST_TEXTS:
                known.clear()
            value = known[text] = read(text, **how)
        return value

    return read_once
