"""Laws of waiting: retries stay in their bounds, and a schedule is never due while it may not be."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.retry import RetryPolicy
from pysync_web.core.schedule import Schedule
from tests.laws.strategies import law

events = st.sampled_from(["change", "poke", "online", "offline", "success", "failure", "resume", "pause"])


@law
@given(st.integers(1, 200), st.floats(0, 1e6), st.integers())
def test_a_wait_lies_between_the_servers_wish_and_the_longest(attempt, wish, seed):
    policy = RetryPolicy(base_s=1, cap_s=300)
    delay = policy.delay_s(attempt, random.Random(seed), at_least_s=wish)
    assert min(wish, 86_400) <= delay <= max(min(300, 2.0 ** min(attempt - 1, 60)), min(wish, 86_400))


@law
@given(st.lists(st.tuples(events, st.integers(0, 1000)), max_size=20))
def test_a_schedule_is_due_only_when_it_may_sync_and_then_it_is_due_sometime(steps):
    schedule = Schedule(30_000)
    schedule.on_start(0)
    now = 0
    for event, later in steps:
        now += later
        match event:
            case "change":
                schedule.on_change(now)
            case "poke":
                schedule.on_poke(now, 1)
            case "online" | "offline":
                schedule.on_online(now, event == "online")
            case "success":
                schedule.on_success(now)
            case "failure":
                schedule.on_failure(now, 500)
            case "resume":
                schedule.on_resume(now)
            case "pause":
                schedule.is_paused = True
        wait = schedule.wait_ms(now)
        if schedule.is_online and not schedule.is_paused:
            assert wait is not None and 0 <= wait <= 30_000
        else:
            assert wait is None


@law
@given(st.integers(0, 10_000), st.integers(1, 5_000))
def test_after_a_failure_nothing_but_the_network_coming_brings_the_next_attempt_forward(now, delay):
    schedule = Schedule(30_000)
    schedule.on_start(now)
    schedule.on_failure(now, delay)
    schedule.on_change(now)
    schedule.on_poke(now, 1)
    assert schedule.wait_ms(now) == delay
    schedule.on_online(now, False)
    schedule.on_online(now, True)
    assert schedule.wait_ms(now) == 0


def test_a_poke_that_a_sync_under_way_did_not_see_makes_the_next_one_due():
    schedule = Schedule(30_000)
    schedule.on_start(0)
    schedule.on_poke(5, 7)
    schedule.on_success(10, cursor=6)
    assert schedule.wait_ms(10) == 0
    schedule.on_success(20, cursor=6)
    assert schedule.wait_ms(20) == 30_000, "once is enough"
    schedule.on_poke(30, 8)
    schedule.on_success(40, cursor=8)
    assert schedule.wait_ms(40) == 30_000
