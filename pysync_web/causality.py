"""Order without a common clock: dots, version vectors, and hybrid logical timestamps as texts.

A timestamp is ISO 8601 in UTC with eight digits of fraction: three for milliseconds, five for the logical
counter; so the order of the texts is the causal order (Kulkarni et al., *Logical Physical Clocks*, 2014).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from .errors import SchemaError

Dot: TypeAlias = tuple[str, int]
"""(replica, n): the n-th change of a replica."""

VersionVector: TypeAlias = dict[str, int]
"""How many changes of each replica are contained; ``"server"`` counts the server's sequence."""

SERVER = "server"
MAX_COUNTER = 65535
MAX_VECTOR = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_000
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,12}))?([Zz]|[+-]\d\d:?\d\d)\Z", re.ASCII)

_OURS = re.compile(  # every text of this shape is a real time of ours
    r"(?:19[789]|[2-9]\d\d)\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}[0-5]\d{4}Z\Z",
    re.ASCII,
)

is_ours = _OURS.match
"""Tell whether a text is certainly a timestamp as this library writes it."""


class Ordering(Enum):
    """How one version relates to another."""

    EQUAL = "equal"
    BEFORE = "before"
    AFTER = "after"
    CONCURRENT = "concurrent"


def compare(a: VersionVector, b: VersionVector) -> Ordering:
    """Tell how vector ``a`` relates to vector ``b``; a missing entry counts as 0."""
    below, above = includes(b, a), includes(a, b)
    if below and above:
        return Ordering.EQUAL
    if below:
        return Ordering.BEFORE
    return Ordering.AFTER if above else Ordering.CONCURRENT


def includes(a: VersionVector, b: VersionVector) -> bool:
    """Tell whether ``a`` contains everything that ``b`` contains."""
    return all(a.get(replica, 0) >= n for replica, n in b.items())


def join(a: VersionVector, b: VersionVector) -> VersionVector:
    """Give the least vector that includes both; of more than 1,000 entries, the last 1,000 ids'."""
    result = dict(a)
    for replica, n in b.items():
        if n > result.get(replica, 0):
            result[replica] = n
    return result if len(result) <= MAX_VECTOR else dict(sorted(result.items())[-MAX_VECTOR:])


def without_server(version: VersionVector) -> VersionVector:
    """Give what a vector says of replicas: a server's sequence means nothing to who knows another server or none."""
    return {replica: n for replica, n in version.items() if replica != SERVER}


def covers(base: VersionVector, version: VersionVector) -> bool:
    """Tell whether who knew ``base`` had seen a document at ``version``.

    The server's sequence orders all changes of a document, so a base at or past it has seen them; a base that
    contains every replica's changes has too, whatever the server has numbered since.
    """
    if base.get(SERVER, -1) >= version.get(SERVER, 0):
        return True
    return all(base.get(replica, 0) >= n for replica, n in version.items() if replica != SERVER)


def follows(version: VersionVector, base: VersionVector, n: int) -> bool:
    """Tell whether a version is a base with one change more, that of number ``n`` of whatever replica."""
    return [m for replica, m in version.items() if m > base.get(replica, 0) and replica != SERVER] == [n]


def advance(version: VersionVector, replica: str, n: int, sequence: int | None = None) -> VersionVector:
    """Give the version after change ``n`` of a replica, numbered ``sequence`` by the server.

    A vector of more than 1,000 entries is folded to the last change and the server's sequence.
    """
    result = dict(version)
    if n > result.get(replica, 0):
        result[replica] = n
    if sequence is not None:
        result[SERVER] = sequence
    if len(result) > MAX_VECTOR:
        result = {replica: result[replica], SERVER: result.get(SERVER, 0)}
    return result


def timestamp(ms: int, counter: int = 0) -> str:
    """Write a hybrid timestamp: milliseconds since 1970, and a logical counter of 0 to 65,535."""
    if not 0 <= ms <= _LAST_MS:
        ms = min(max(ms, 0), _LAST_MS)
    return f"{_minute(ms // 60_000)}:{ms // 1000 % 60:02d}.{ms % 1000:03d}{counter:05d}Z"


def parse_timestamp(text: str) -> tuple[int, int]:
    """Read a timestamp of ours back as (milliseconds, counter)."""
    at = datetime.fromisoformat(f"{text[:23]}+00:00")
    return (at - _EPOCH) // timedelta(milliseconds=1), int(text[23:28])


def normalize_timestamp(text: object, place: str = "timestamp") -> str:
    """Turn any ISO 8601 date and time with a zone into a timestamp of ours, or raise :class:`SchemaError`."""
    if isinstance(text, str) and is_ours(text):
        return text
    match = _ISO.match(text) if isinstance(text, str) else None
    if match is None:
        raise SchemaError(f"{text!r:.60} is not an ISO 8601 date and time with a zone", place=place)
    date, time, fraction, zone = match.groups()
    digits = (fraction or "").ljust(8, "0")
    counter = int(digits[3:8])
    try:
        at = datetime.fromisoformat(f"{date}T{time}.{digits[:3]}{'+00:00' if zone in 'Zz' else zone}")
        ms = (at - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise SchemaError(f"{text!r:.60}: {error}", place=place) from error
    if not 0 <= ms <= _LAST_MS:
        raise SchemaError(f"{text!r:.60} lies outside the years 1970 to 9999", place=place)
    return timestamp(ms, min(counter, MAX_COUNTER))


def tick(last: str, now_ms: int) -> str:
    """Give the next timestamp of a clock: after ``last`` ("" for a new clock), and not before now."""
    now = timestamp(now_ms)
    if now > last:
        return now
    counter = int(last[23:28])
    return f"{last[:23]}{counter + 1:05d}Z" if counter < MAX_COUNTER else timestamp(parse_timestamp(last)[0] + 1)


@lru_cache(maxsize=64)
def _minute(minutes: int) -> str:
    return (_EPOCH + timedelta(minutes=minutes)).isoformat(timespec="minutes")[:16]
