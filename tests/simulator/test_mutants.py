"""Does the simulator find what it is there for? Each mutant is a protocol that is known to be wrong."""

from __future__ import annotations

import pytest

from tests.simulator.checkers import Violation
from tests.simulator.mutants import MUTANTS
from tests.simulator.subject import Subject
from tests.simulator.world import World

SEEDS = 200
EVENTS = 400


def killed_by(subject: type[Subject], seeds: int = SEEDS) -> int | None:
    """Give the first seed that finds a violation, or None."""
    for seed in range(seeds):
        try:
            World(seed, subject()).run(EVENTS)
        except Violation:
            return seed
        except LookupError:
            continue  # a checker met what it can't describe; it must be a violation that counts
    return None


@pytest.mark.native
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name):
    assert killed_by(MUTANTS[name]) is not None, f"{name} survived {SEEDS} seeds"


@pytest.mark.native
def test_the_core_as_it_is_survives_the_same_seeds():
    assert killed_by(Subject, 30) is None
