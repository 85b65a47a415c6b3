"""Worlds are the same natively and in a page: the hashes of a hundred were written down once, natively."""

from __future__ import annotations

import pytest

from tests.simulator.traces import known_hashes, trace_hashes


@pytest.mark.timeout(300)
def test_a_hundred_worlds_are_what_they_were_to_the_last_byte():
    """After a change of the protocol that was meant: ``python -m tests.simulator --write-traces``."""
    assert trace_hashes() == known_hashes()
