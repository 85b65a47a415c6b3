"""A second place that remembers which replica lived in a database, so that a wiped one is noticed.

A page has ``localStorage`` for it, and Chromium may say itself that it gave up a database; elsewhere (in a worker,
which has no ``localStorage``, or natively) nothing is remembered.
"""

from __future__ import annotations

import sys
from typing import Any

_given_up: set[str] = set()


def note_loss(name: str) -> None:
    """Keep in mind that the browser gave up what was in a database."""
    _given_up.add(name)


def is_other_replica(name: str, replica: str) -> bool:
    """Say whether a database held another replica before this one, which is gone then."""
    place = _local_storage()
    remembered = place.getItem(_label(name)) if place is not None else None
    return name in _given_up or (bool(remembered) and str(remembered) != replica)


def remember_replica(name: str, replica: str) -> None:
    """Keep the id of the replica of a database; a full or forbidden ``localStorage`` is left as it is."""
    _given_up.discard(name)
    place = _local_storage()
    if place is not None:
        try:
            place.setItem(_label(name), replica)
        except Exception:
            return


def _label(name: str) -> str:
    return f"pysync_web:{name}:replica"


def _local_storage() -> Any:
    if sys.platform != "emscripten":
        return None
    import js

    try:
        return js.localStorage
    except Exception:  # a worker has none, a sandboxed page may not use it
        return None
