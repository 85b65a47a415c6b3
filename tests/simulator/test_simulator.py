"""Two thousand worlds of a thousand events each, on all cores; every one must end with everybody in agreement."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulator.checkers import Violation
from tests.simulator.world import World

pytestmark = pytest.mark.native

SEEDS = 2000
EVENTS = 1000
PART = 25


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


@pytest.mark.timeout(1200)
def test_two_thousand_worlds_keep_every_promise():
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = [text for part in processes.map(failures, range(0, SEEDS, PART)) for text in part]
    assert not found, "\n".join(found[:10])
