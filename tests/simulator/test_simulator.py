"""Two thousand worlds of a thousand events each; every one must end with everybody in agreement."""

from __future__ import annotations

import pytest

from tests.simulator.checkers import Violation
from tests.simulator.world import World

pytestmark = pytest.mark.native

SEEDS = 2000
EVENTS = 1000
PART = 200


def failures(first: int) -> list[str]:
    """Run a part of the seeds; say how those that fail can be seen again."""
    found = []
    for seed in range(first, first + PART):
        try:
            World(seed).run(EVENTS)
        except (Violation, AssertionError, LookupError, ValueError) as error:
            command = f"python -m tests.simulator --seed {seed} --events {EVENTS}"
            found.append(f"{type(error).__name__}: {str(error)[:300]}\n  replay: {command}")
    return found


@pytest.mark.takes(25)
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_two_thousand_worlds_keep_every_promise(first: int):
    found = failures(first)
    assert not found, "\n".join(found[:10])
