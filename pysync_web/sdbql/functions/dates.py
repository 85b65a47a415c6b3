"""Functions of dates and times, in UTC unless a time zone is given.

DATE_DIFF counts from its first date to its second, and HUMAN_TIME knows the future, as the documentation says;
SoliDB's offline engine subtracts the other way round, its server knows only the past.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from math import isfinite
from typing import Any

from .. import moments
from ..moments import MomentError
from ..strftime import formatted
from ..zones import ZoneError, find_zone
from .arguments import a_real, a_text, wrong
from .registry import Context, FunctionError, function

_INTERVAL = re.compile(r"\s*(\d{1,9})\s*([a-z]+)\s*", re.ASCII | re.IGNORECASE)
_SPANS = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3600), ("minute", 60))
_BUCKETS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "ms": "millisecond"}


def _moment(value: Any) -> datetime:
    try:
        return moments.read(value)
    except MomentError as error:
        raise FunctionError(str(error)) from None


def _zone(name: Any, place: int) -> tzinfo:
    if name is None:
        return UTC
    try:
        return find_zone(a_text(name, place))
    except ZoneError as error:
        raise FunctionError(str(error)) from None


def _unit(name: Any) -> str:
    try:
        return moments.unit_of(name)
    except MomentError as error:
        raise FunctionError(str(error)) from None


def _clock(value: Any, zone: Any = None, place: int = 2) -> datetime:
    """Give a date as the clock in a time zone shows it."""
    moment = _moment(value)
    return _guarded(lambda: moments.local(moment, _zone(zone, place)))


def _guarded(make: Callable[[], datetime]) -> datetime:
    try:
        return make()
    except MomentError as error:
        raise FunctionError(str(error)) from None


@function("DATE_NOW", "NOW", least=0, most=0, needs_context=True)
def date_now(ctx: Context) -> int:
    """Give the time of the query in milliseconds since 1970."""
    return ctx.now_ms()


@function("DATE_NOW_ISO", "NOW_ISO", least=0, most=0, needs_context=True)
def date_now_iso(ctx: Context) -> str:
    """Give the time of the query as an ISO 8601 text."""
    return moments.to_text(_moment(ctx.now_ms()))


@function("DATE_ISO8601", least=1, most=1)
def date_iso8601(date: Any) -> str:
    """Write a date as an ISO 8601 text."""
    return moments.to_text(_moment(date))


@function("DATE_TIMESTAMP", least=1, most=1)
def date_timestamp(date: Any) -> int:
    """Give a date as milliseconds since 1970."""
    return moments.to_ms(_moment(date))


@function("IS_DATETIME", least=1, most=1)
def is_datetime(value: Any) -> bool:
    """Tell whether a value is a text that is a date."""
    if type(value) is not str:
        return False
    try:
        moments.read(value)
    except MomentError:
        return False
    return True


@function("DATE_YEAR", least=1, most=2)
def date_year(date: Any, zone: Any = None) -> int:
    """Give the year."""
    return _clock(date, zone).year


@function("DATE_MONTH", least=1, most=2)
def date_month(date: Any, zone: Any = None) -> int:
    """Give the month, from 1."""
    return _clock(date, zone).month


@function("DATE_DAY", least=1, most=2)
def date_day(date: Any, zone: Any = None) -> int:
    """Give the day of the month, from 1."""
    return _clock(date, zone).day


@function("DATE_HOUR", least=1, most=2)
def date_hour(date: Any, zone: Any = None) -> int:
    """Give the hour, from 0 to 23."""
    return _clock(date, zone).hour


@function("DATE_MINUTE", least=1, most=2)
def date_minute(date: Any, zone: Any = None) -> int:
    """Give the minute."""
    return _clock(date, zone).minute


@function("DATE_SECOND", least=1, most=2)
def date_second(date: Any, zone: Any = None) -> int:
    """Give the second."""
    return _clock(date, zone).second


@function("DATE_DAYOFWEEK", least=1, most=2)
def date_dayofweek(date: Any, zone: Any = None) -> int:
    """Give the day of the week: 0 is Sunday, 6 is Saturday."""
    return _clock(date, zone).isoweekday() % 7


@function("DATE_DAYOFYEAR", least=1, most=2)
def date_dayofyear(date: Any, zone: Any = None) -> int:
    """Give the day of the year, from 1."""
    return _clock(date, zone).timetuple().tm_yday


@function("DATE_ISOWEEK", "DATE_WEEK", least=1, most=2)
def date_isoweek(date: Any, zone: Any = None) -> int:
    """Give the week of the year by ISO 8601."""
    return _clock(date, zone).isocalendar().week


@function("DATE_QUARTER", least=1, most=2)
def date_quarter(date: Any, zone: Any = None) -> int:
    """Give the quarter of the year, from 1 to 4."""
    return (_clock(date, zone).month + 2) // 3


@function("DATE_DAYS_IN_MONTH", least=1, most=2)
def date_days_in_month(date: Any, zone: Any = None) -> int:
    """Count the days of the month that a date lies in."""
    clock = _clock(date, zone)
    return monthrange(clock.year, clock.month)[1]


@function("DATE_TRUNC", least=2, most=3)
def date_trunc(date: Any, unit: Any, zone: Any = None) -> str:
    """Give the begin of the day, month … that a date lies in."""
    moment, name, place = _moment(date), _unit(unit), _zone(zone, 3)
    return moments.to_text(_guarded(lambda: moments.cut(moment, name, place)))


@function("DATE_FORMAT", least=1, most=3)
def date_format(date: Any, form: Any = None, zone: Any = None) -> str:
    """Write a date by a format of strftime; without one as ISO 8601."""
    if form is None and zone is None:
        return date_iso8601(date)
    clock = _clock(date, zone, 3)
    try:
        return formatted(clock, "%Y-%m-%dT%H:%M:%S%.3f%:z" if form is None else a_text(form, 2))
    except MomentError as error:
        raise FunctionError(str(error)) from None


@function("DATE_ADD", least=3, most=4)
def date_add(date: Any, amount: Any, unit: Any, zone: Any = None) -> str:
    """Add days, months … to a date; a fraction of the amount is dropped."""
    return _moved(date, amount, unit, zone, 1)


@function("DATE_SUBTRACT", "DATE_SUB", least=3, most=4)
def date_subtract(date: Any, amount: Any, unit: Any, zone: Any = None) -> str:
    """Take days, months … from a date; a fraction of the amount is dropped."""
    return _moved(date, amount, unit, zone, -1)


def _moved(date: Any, amount: Any, unit: Any, zone: Any, sign: int) -> str:
    moment, name, place = _moment(date), _unit(unit), _zone(zone, 4)
    if not isfinite(a_real(amount, 2)):
        raise FunctionError("argument 2 must be a finite number")
    count = sign * int(amount)
    return moments.to_text(_guarded(lambda: moments.move(moment, count, name, place)))


@function("DATE_DIFF", least=2, most=6)
def date_diff(
    first: Any, second: Any, unit: Any = "day", as_float: Any = False, zone1: Any = None, zone2: Any = None
) -> int | float:
    """Count units from a date to another, whole ones unless ``as_float``; negative if the second is earlier."""
    if as_float is not None and type(as_float) is not bool:
        raise wrong(4, "a boolean", as_float)
    begin, end = _clock(first, zone1, 5), _clock(second, zone2 if zone2 is not None else zone1, 6)
    found = moments.between(begin, end, _unit(unit))
    return found if as_float else int(found)


@function("TIME_BUCKET", least=2, most=2)
def time_bucket(time: Any, interval: Any) -> int | str:
    """Give the begin of the interval, such as ``5m``, that a time lies in; intervals are counted from 1970."""
    found = _INTERVAL.fullmatch(a_text(interval, 2))
    unit = found and _BUCKETS.get(found[2].lower(), moments.UNITS.get(found[2].lower(), ""))
    if not found or unit not in moments.LENGTHS or not int(found[1]):
        raise FunctionError(f"{interval[:40]!r} is no interval; write one such as 30s, 5m, 1h or 1d")
    width = int(found[1]) * (moments.LENGTHS[unit] // moments.MILLISECOND)
    ms = moments.to_ms(_moment(time))
    bucket = ms // width * width
    if type(time) is str:
        return _moment(bucket).isoformat()
    return bucket


@function("HUMAN_TIME", least=1, most=2, needs_context=True)
def human_time(ctx: Context, date: Any, now: Any = None) -> str:
    """Say how far a date lies from now, as in "5 minutes ago" or "2 hours from now"."""
    reference = _moment(ctx.now_ms() if now is None else now)
    distance = reference - _moment(date)
    seconds = abs(distance) // timedelta(seconds=1)
    if seconds < 60:
        return "just now"
    unit, length = next((unit, length) for unit, length in _SPANS if seconds >= length)
    count = seconds // length
    return f"{count} {unit}{'s' if count > 1 else ''} {'ago' if distance > timedelta() else 'from now'}"
