"""Time zones by their names, and fixed offsets: the one place that asks for the data of time zones.

A page may have none; then only UTC and offsets work, and the error says what to install.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


class ZoneError(Exception):
    """No such time zone, or no data of time zones; the message says which."""


@lru_cache(maxsize=64)
def find_zone(name: str) -> tzinfo:
    """Find a time zone by its IANA name or as ``+02:00``, or raise :class:`ZoneError`."""
    if name.upper() in ("UTC", "Z", "GMT", "ETC/UTC"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes >= 24 * 60 or int(offset[3]) > 59:
            raise ZoneError(f"{name} is no offset of a time zone")
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    return _named_zone(name)


def _named_zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        known = _known()
        if not known:
            raise ZoneError("no data of time zones here: install the package tzdata") from None
        near = get_close_matches(name[:60], known, 1)
        hint = f"; do you mean {near[0]!r}?" if near else ""
        raise ZoneError(f"there is no time zone {name[:60]!r}{hint}") from None


@cache
def _known() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones())
