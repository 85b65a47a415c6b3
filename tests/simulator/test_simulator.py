"""Two thousand worlds of a thousand events each; every one must end with everybody in agreement."""

from __future__ import annotations

import pytest

from tests.simulator.checkers import Violation
from tests.simulator.world import World

pytestmark = pytest.mark.native

SEEDS = 2000
EVENTS = 1000
PART = 200


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


def test_some_worlds_have_devices_that_choose_and_of_these_some_have_a_server_that_forgets():
    drawn = [profile for seed in range(500) if (profile := World(seed).profile).choose_rate]
    assert len(drawn) > 50
    assert sum(profile.tend_ms > 0 for profile in drawn) > 10
    assert sum(profile.delta > 0 for profile in drawn) > 10


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
