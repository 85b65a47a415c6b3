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


def make_up(seed: int) -> frozenset[str]:
    """Name what else there is in a world."""
    profile = World(seed).profile
    parts = {
        "strategies": profile.has_strategies,
        "CRDT values": profile.tally_rate,
        "meetings": profile.meet_ms,
        "files": profile.bundle_rate,
        "restored entries": profile.restore_rate,
    }
    return frozenset(name for name, is_there in parts.items() if is_there)


def test_some_worlds_have_strategies_and_some_meetings_and_some_all():
    drawn = [make_up(seed) for seed in range(500)]
    names = frozenset().union(*drawn)
    assert len(names) == 5
    assert drawn.count(frozenset()) > 100
    assert all(sum(name in one for one in drawn) > 25 for name in names)
    assert names in drawn


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
