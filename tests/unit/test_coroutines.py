"""Tests, fixtures and properties that are coroutines run, natively and in a page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
async def number() -> int:
    await asyncio.sleep(0)
    return 3


@pytest.fixture
def told() -> Iterator[list[str]]:
    events: list[str] = []
    yield events
    assert events == ["made", "ended"], "a fixture ends with its test"


@pytest.fixture
async def lock(number: int, told: list[str]) -> AsyncIterator[asyncio.Lock]:
    told.append("made")
    made = asyncio.Lock()
    async with made:
        yield made
    told.append("ended")


async def test_a_fixture_shares_the_event_loop_of_its_test_and_ends_with_it(lock: asyncio.Lock, number: int):
    assert lock.locked()
    assert number == 3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lock.acquire(), 0.01)


class TestInAClass:
    @pytest.fixture
    async def own(self) -> str:
        return type(self).__name__

    async def test_a_fixture_may_be_a_method(self, own: str):
        assert own == "TestInAClass"


@pytest.fixture(scope="module")
def tried() -> Iterator[list[int]]:
    values: list[int] = []
    yield values
    assert len(values) > 10, "a property is tried more than once"


@given(value=st.integers())
async def test_a_property_may_be_a_coroutine(tried: list[int], value: int):
    tried.append(value)
    await asyncio.sleep(0)
    assert value == value + 0


def test_a_task_that_is_left_behind_is_cancelled(request: pytest.FixtureRequest):
    running = request.config.pluginmanager.get_plugin("coroutines")
    support = type(running)()
    events: list[object] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cancelled")

    async def leave_behind() -> None:
        events.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)

    another_test = support.pytest_runtest_protocol(request.node)
    next(another_test)
    support.runner()(leave_behind())
    another_test.close()
    running.runner()(asyncio.sleep(0))
    assert events[1:] == ["cancelled"]


@pytest.mark.xfail(raises=TimeoutError, reason="that is what it shows")
@pytest.mark.timeout(0.01)
async def test_a_test_that_takes_too_long_fails():
    await asyncio.sleep(60)
