"""Laws of versions and timestamps."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.causality import (
    MAX_COUNTER,
    Ordering,
    advance,
    compare,
    covers,
    includes,
    join,
    normalize_timestamp,
    parse_timestamp,
    tick,
    timestamp,
)
from tests.laws.strategies import law, vectors

moments = st.integers(0, 253_402_300_799_999 - 1000)
counters = st.integers(0, MAX_COUNTER)


@law
@given(vectors, vectors)
def test_versions_are_partly_ordered(a, b):
    mirrored = {Ordering.BEFORE: Ordering.AFTER, Ordering.AFTER: Ordering.BEFORE}
    assert compare(b, a) == mirrored.get(compare(a, b), compare(a, b))
    assert (compare(a, b) is Ordering.EQUAL) == (includes(a, b) and includes(b, a))


@law
@given(vectors, vectors, vectors)
def test_the_join_is_the_least_version_that_includes_both(a, b, c):
    both = join(a, b)
    assert includes(both, a) and includes(both, b) and join(b, a) == both
    if includes(c, a) and includes(c, b):
        assert includes(c, both)


@law
@given(vectors, st.sampled_from(["r1", "r2"]), st.integers(1, 9))
def test_a_change_comes_after_what_it_was_made_on(version, replica, n):
    later = advance(version, replica, n, version.get("server", 0) + 1)
    assert includes(later, version) and covers(later, version)


@law
@given(moments, counters, moments, counters)
def test_the_order_of_the_texts_is_the_order_of_the_times(ms, counter, other_ms, other_counter):
    first, second = timestamp(ms, counter), timestamp(other_ms, other_counter)
    assert (first < second) == ((ms, counter) < (other_ms, other_counter))
    assert parse_timestamp(first) == (ms, counter)
    assert normalize_timestamp(first) == first


@law
@given(st.lists(moments, min_size=1, max_size=20))
def test_a_clock_never_goes_back_however_the_wall_clock_jumps(readings):
    last = ""
    for now in readings:
        following = tick(last, now)
        assert following > last and following >= timestamp(now)
        last = following


@law
@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)))
def test_any_iso_time_with_a_zone_is_understood(at):
    at = at.replace(tzinfo=UTC)
    ms, _ = parse_timestamp(normalize_timestamp(at.isoformat()))
    assert abs(ms - at.timestamp() * 1000) <= 1
