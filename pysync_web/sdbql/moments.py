"""Moments of time: read from JSON values, moved along the calendar, cut, compared and written.

A moment is an aware ``datetime`` in UTC. Years reach from 1 to 9999; whatever lies outside is a :class:`MomentError`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?\s?([Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)

_UNITS: Final = {
    "year": ("y", "yr", "yrs"),
    "quarter": ("q",),
    "month": ("m", "mon", "mons"),
    "week": ("w", "wk"),
    "day": ("d",),
    "hour": ("h", "hr", "hrs"),
    "minute": ("i", "min", "mins"),
    "second": ("s", "sec", "secs"),
    "millisecond": ("f", "ms", "milli", "millis", "msec"),
}
UNITS: Final = {alias: unit for unit, aliases in _UNITS.items() for alias in (unit, f"{unit}s", *aliases)}
LENGTHS: Final = {
    "week": timedelta(days=7),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
    "millisecond": MILLISECOND,
}
MONTHS: Final = {"year": 12, "quarter": 3, "month": 1}


class MomentError(Exception):
    """No date, no unit, or outside the years 1 to 9999; the message says which."""


def read(value: Any) -> datetime:
    """Read milliseconds since 1970, ``YYYY-MM-DD``, ``YYYY-MM-DD HH:MM:SS`` or RFC 3339; UTC where no offset is."""
    if type(value) is int or type(value) is float:
        return from_ms(value)
    if type(value) is not str:
        raise MomentError("a date must be a string or a number of milliseconds")
    found = _TEXT.fullmatch(value.strip())
    if not found:
        raise MomentError(f"{value[:60]!r} is no date")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros
        )
        return (local - _offset(offset)).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise MomentError(f"{value[:60]!r} is no date") from None


def _offset(text: str | None) -> timedelta:
    if not text or text in "Zz":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError
    length = timedelta(hours=hours, minutes=minutes)
    return -length if text[0] == "-" else length


def from_ms(ms: float) -> datetime:
    """Read milliseconds since 1970; a fraction is dropped."""
    return _within(lambda: EPOCH + int(ms) * MILLISECOND)


def to_ms(moment: datetime) -> int:
    """Give whole milliseconds since 1970."""
    return (moment - EPOCH) // MILLISECOND


def to_text(moment: datetime) -> str:
    """Write a moment as ``2025-06-15T14:30:45.000Z``."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def unit_of(name: Any) -> str:
    """Find a unit by its name, its plural or its letter, in any letter case."""
    unit = UNITS.get(name.strip().lower()) if type(name) is str else None
    if unit is None:
        raise MomentError(f"{name!r:.40} is no unit of time; the units are {', '.join(_UNITS)}")
    return unit


def local(moment: datetime, zone: tzinfo) -> datetime:
    """Give a moment as a clock in a time zone shows it."""
    return moment if moment.tzinfo is zone else _within(lambda: moment.astimezone(zone))


def move(moment: datetime, amount: int, unit: str, zone: tzinfo = UTC) -> datetime:
    """Add units of time; months and years keep the day where the month has it, else they take its last day."""
    if unit in ("hour", "minute", "second", "millisecond"):
        return _within(lambda: moment + amount * LENGTHS[unit])
    clock = local(moment, zone)
    if unit in LENGTHS:
        moved = _within(lambda: clock + amount * LENGTHS[unit])
    else:
        moved = _in_month(clock, clock.year * 12 + clock.month - 1 + amount * MONTHS[unit])
    return local(moved, UTC)


def _in_month(clock: datetime, month: int) -> datetime:
    """Set year and month, counted together from the year 0."""
    year, month = month // 12, month % 12 + 1
    if not 1 <= year <= 9999:
        raise MomentError("a date outside the years 1 to 9999")
    return clock.replace(year=year, month=month, day=min(clock.day, monthrange(year, month)[1]))


def cut(moment: datetime, unit: str, zone: tzinfo = UTC) -> datetime:
    """Give the begin of the unit that a moment lies in, as it is in a time zone; weeks begin on Mondays."""
    clock = local(moment, zone)
    if unit in ("hour", "minute", "second", "millisecond"):
        naive = clock.replace(tzinfo=None)
        return _within(lambda: moment - (naive - datetime.min) % LENGTHS[unit])
    begin = clock.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match unit:
        case "week":
            begin = _within(lambda: begin - timedelta(days=begin.weekday()))
        case "month":
            begin = begin.replace(day=1)
        case "quarter":
            begin = begin.replace(month=(begin.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            begin = begin.replace(month=1, day=1)
    return local(begin, UTC)


def between(first: datetime, second: datetime, unit: str) -> float:
    """Count units from one clock to another, negative if the second is earlier; parts of months by their lengths."""
    first, second = first.replace(tzinfo=None), second.replace(tzinfo=None)
    if unit in LENGTHS:
        return (second - first) / LENGTHS[unit]
    if second < first:
        return -between(second, first, unit)
    months = (second.year - first.year) * 12 + second.month - first.month
    count = first.year * 12 + first.month - 1
    while months and _in_month(first, count + months) > second:
        months -= 1
    begin = _in_month(first, count + months)
    try:
        length = _in_month(first, count + months + 1) - begin
    except MomentError:
        length = timedelta(days=31)
    return (months + (second - begin) / length) / MONTHS[unit]


def _within(make: Callable[[], datetime]) -> datetime:
    try:
        return make()
    except (OverflowError, ValueError):
        raise MomentError("a date outside the years 1 to 9999") from None
