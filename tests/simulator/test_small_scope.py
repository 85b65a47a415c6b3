"""A part of what two replicas can do in a few steps; ``python -m tests.simulator.small_scope`` tries all of it."""

from __future__ import annotations

import pytest

from tests.simulator.small_scope import MOST_STEPS, plans, tried

pytestmark = pytest.mark.native


@pytest.mark.parametrize("part", range(2))
def test_every_so_many_plans_of_three_steps_and_a_crash_keep_all(part: int):
    assert tried(MOST_STEPS, part * 202, 404) > 1000


def test_most_plans_of_one_step_keep_all():
    assert tried(1, 0, 1) == sum(1 for _ in plans(1))
