"""A run shares what it read: nobody may change that, and nothing may show it."""

from __future__ import annotations

import pytest

from tests.simulator.sharing import shared_texts
from tests.simulator.traces import EVENTS, known_hashes
from tests.simulator.world import World

pytestmark = pytest.mark.native


def test_what_is_shared_is_still_what_its_text_says():
    for seed in range(20):
        with shared_texts() as shared:
            World(seed).run_unshared(400)
        for read, known in shared.items():
            assert len(known) > 1
            assert all(repr(read(text)) == repr(value) for text, value in known.items())


@pytest.mark.timeout(300)
def test_worlds_that_share_nothing_are_the_same_to_the_last_byte():
    known = known_hashes()[::2]
    assert [World(2 * i).run_unshared(EVENTS) for i in range(len(known))] == known
