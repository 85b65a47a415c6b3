"""Dates beyond the cases: time zones by name, the calendar's laws, formats against the platform's."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pysync_web.sdbql import zones
from pysync_web.sdbql.functions import FUNCTIONS, FunctionError
from pysync_web.sdbql.moments import UNITS, MomentError, read, to_text
from pysync_web.sdbql.strftime import formatted

SECONDS = 253_402_300_799 + 62_135_596_800


def call(name: str, *arguments: Any) -> Any:
    return FUNCTIONS[name].call(*arguments)


def needs_zones() -> None:
    try:
        zones.find_zone("America/New_York")
    except zones.ZoneError:
        pytest.skip("no data of time zones here")


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("DATE_TRUNC", ("2025-06-15T20:30:00Z", "day", "America/New_York"), "2025-06-15T04:00:00.000Z"),
        ("DATE_FORMAT", ("2025-06-15T14:30:00Z", "%H:%M", "America/New_York"), "10:30"),
        ("DATE_FORMAT", ("2025-06-15T14:30:00Z", "%Z %z", "America/New_York"), "EDT -0400"),
        ("DATE_FORMAT", ("2025-01-15T14:30:00Z", "%Z %z", "Europe/Paris"), "CET +0100"),
        ("DATE_ADD", ("2025-03-29T12:00:00Z", 1, "day", "Europe/Paris"), "2025-03-30T11:00:00.000Z"),
        ("DATE_ADD", ("2025-03-29T12:00:00Z", 24, "hours", "Europe/Paris"), "2025-03-30T12:00:00.000Z"),
        ("DATE_TRUNC", ("2025-10-26T01:30:00Z", "hour", "Asia/Kolkata"), "2025-10-26T01:30:00.000Z"),
        ("DATE_HOUR", ("2025-07-01T00:00:00Z", "Asia/Tokyo"), 9),
        ("DATE_DAYOFYEAR", ("2024-12-31T20:00:00Z", "Asia/Tokyo"), 1),
        ("DATE_DIFF", (0, 0, "hours", False, "UTC", "Asia/Tokyo"), 9),
        ("DATE_DAYS_IN_MONTH", ("2024-02-29T20:00:00Z", "Asia/Tokyo"), 31),
    ],
)
def test_time_zones_by_name(name: str, arguments: tuple[Any, ...], result: Any):
    needs_zones()
    assert call(name, *arguments) == result


def test_an_unknown_time_zone_names_the_nearest():
    needs_zones()
    with pytest.raises(FunctionError, match="do you mean 'Europe/Paris'"):
        call("DATE_HOUR", 0, "Europe/Pariss")
    for name in ("America", "../../etc/passwd", "/etc/passwd", "", "x" * 10_000, "a\0b", "+99:00"):
        with pytest.raises(FunctionError):
            call("DATE_HOUR", 0, name)


def test_no_date_ends_in_anything_but_an_error():
    rng = random.Random(3)
    amounts = [0, 1, -1, 10**9, -(10**9), 10**30, 1e300, -0.5]
    places = ["UTC", "+14:00", "-12:00"]
    for _ in range(3000):
        date = rng.choice([rng.randrange(-(10**14), 3 * 10**14), "0001-01-01", "9999-12-31T23:59:59.999Z", 10**40])
        unit = rng.choice([*UNITS, "eon", ""])
        zone = rng.choice(places)
        for name, arguments in (
            ("DATE_ADD", (date, rng.choice(amounts), unit, zone)),
            ("DATE_TRUNC", (date, unit, zone)),
            ("DATE_DIFF", (date, rng.choice([0, "9999-12-31", "0001-01-01"]), unit, True, zone)),
            ("DATE_FORMAT", (date, "%" + rng.choice("aAbBcCdDeFfgGhHIjklmMnpPQrRsSTuUvVwWxXyYzZ+-%"), zone)),
        ):
            with suppress(FunctionError):
                call(name, *arguments)


def test_moving_by_months_there_and_back_keeps_the_day_but_at_the_ends_of_months():
    rng = random.Random(4)
    for _ in range(500):
        start = to_text(datetime(rng.randrange(1900, 2100), rng.randrange(1, 13), rng.randrange(1, 29), tzinfo=UTC))
        count, unit = rng.randrange(-500, 500), rng.choice(["month", "year", "week", "day", "quarter"])
        moved = call("DATE_ADD", start, count, unit)
        assert call("DATE_SUBTRACT", moved, count, unit) == start
        assert call("DATE_DIFF", start, moved, unit) == count
        assert call("DATE_DIFF", start, moved, unit, True) == pytest.approx(count)


def test_truncating_twice_is_truncating_once():
    rng = random.Random(5)
    for _ in range(500):
        date, unit = (
            rng.randrange(-(10**12), 10**13),
            rng.choice(["y", "quarter", "m", "w", "d", "h", "i", "s", "f"]),
        )
        once = call("DATE_TRUNC", date, unit, "+05:45")
        assert call("DATE_TRUNC", once, unit, "+05:45") == once
        assert call("DATE_TIMESTAMP", once) <= date


def test_formats_are_those_of_the_platform():
    rng = random.Random(6)
    zone = timezone(timedelta(hours=5, minutes=30))
    for _ in range(500):
        clock = datetime(1000, 1, 1, tzinfo=zone) + timedelta(seconds=rng.randrange(SECONDS // 3), microseconds=1)
        for letter in "YmdHMSIpAaBbjVGuwUWyz":
            assert formatted(clock, f"%{letter}") == clock.strftime(f"%{letter}"), (clock, letter)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025",
        "2025-1-1",
        "2025-01-01T",
        "2025-01-01T10",
        "2025-00-01",
        "2025-01-01T10:00:60Z",
        "20250101",
        "1.5",
        "2025-01-01T10:00:00+24:00",
        "２０２５-01-01",
        "2025-01-01T10:00:00Zz",
        "0000-01-01",
        "x" * 100_000,
    ],
)
def test_what_is_no_date(text: str):
    with pytest.raises(MomentError):
        read(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("2025-01-01t10:00:00z", "2025-01-01T10:00:00.000Z"),
        ("2025-01-01 10:00", "2025-01-01T10:00:00.000Z"),
        ("2025-01-01T10:00:00.123456789Z", "2025-01-01T10:00:00.123Z"),
        ("2025-01-01T10:00:00+0130", "2025-01-01T08:30:00.000Z"),
        (" 2025-01-01 ", "2025-01-01T00:00:00.000Z"),
    ],
)
def test_what_is_a_date(text: str, result: str):
    assert to_text(read(text)) == result
