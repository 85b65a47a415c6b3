"""What was read from a text is shared, in a run, by all who read the same text: replicas, users and checkers.

Nobody changes what was read, so this shows in nothing but time; ``test_sharing.py`` proves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pysync_web.core import exchange, optimistic, replica
from pysync_web.core.optimistic import decode_record
from pysync_web.values import loads

from . import checkers

MOST_TEXTS = 20_000

_READERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (optimistic, ("loads", "decode_record")),
    (replica, ("decode_record",)),
    (exchange, ("decode_record",)),
    (checkers, ("loads",)),
)

Known = dict[str | None, Any]


@contextmanager
def shared_texts() -> Iterator[tuple[Known, Known]]:
    """Read each text of a record once; give the records and the parsed texts, by text, that are shared."""
    records: Known = {}
    values: Known = {}
    once = {"loads": _once(loads, values), "decode_record": _once(decode_record, records)}
    _put(once)
    try:
        yield records, values
    finally:
        _put({"loads": loads, "decode_record": decode_record})


def _put(functions: dict[str, Any]) -> None:
    for module, names in _READERS:
        for name in names:
            setattr(module, name, functions[name])


def _once(read: Callable[[Any], Any], known: Known) -> Callable[[Any], Any]:
    def read_once(text: str | None) -> Any:
        value = known.get(text)
        if value is None:
            if len(known) >= MOST_TEXTS:
                known.clear()
            value = known[text] = read(text)
        return value

    return read_once
