"""Tests, fixtures and properties that are coroutines run, natively and in a page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

events: list[str] = []


@pytest.fixture
async def number() -> int:
    await asyncio.sleep(0)
    return 3


@pytest.fixture
async def lock(number: int) -> AsyncIterator[asyncio.Lock]:
    events.append("made")
    made = asyncio.Lock()
    async with made:
        yield made
    events.append("ended")


async def test_a_fixture_shares_the_event_loop_of_its_test(lock: asyncio.Lock, number: int):
    assert lock.locked()
    assert number == 3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lock.acquire(), 0.01)


def test_a_fixture_ends_with_its_test():
    assert events == ["made", "ended"]


class TestInAClass:
    @pytest.fixture
    async def own(self) -> str:
        return type(self).__name__

    async def test_a_fixture_may_be_a_method(self, own: str):
        assert own == "TestInAClass"


@given(st.integers())
async def test_a_property_may_be_a_coroutine(value: int):
    events.append("tried")
    await asyncio.sleep(0)
    assert value == value + 0


def test_a_property_is_tried_more_than_once():
    assert events.count("tried") > 10


async def test_a_task_that_is_left_behind_is_cancelled():
    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cancelled")

    test_a_task_that_is_left_behind_is_cancelled.task = asyncio.create_task(wait())
    await asyncio.sleep(0)


async def test_the_next_test_finds_no_task_of_the_last():
    await asyncio.sleep(0)
    assert events[-1] == "cancelled"


@pytest.mark.xfail(raises=TimeoutError, reason="that is what it shows")
@pytest.mark.timeout(0.01)
async def test_a_test_that_takes_too_long_fails():
    await asyncio.sleep(60)
