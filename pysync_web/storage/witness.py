"""A second place that remembers which replica lived in a database, so that a wiped one is noticed.

A page has ``localStorage`` for it; elsewhere (and in a worker, which has none) nothing is remembered.
"""

from __future__ import annotations

import sys
from typing import Any


def remembered_replica(name: str) -> str | None:
    """Give the id of the replica that was last made for a database, or None."""
    place = _local_storage()
    found = place.getItem(_label(name)) if place is not None else None
    return str(found) if found else None


def remember_replica(name: str, replica: str) -> None:
    """Keep the id of the replica of a database; a full or forbidden ``localStorage`` is left as it is."""
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
