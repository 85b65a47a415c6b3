"""Filters against an oracle: after each batch of edits every device shows exactly what a fresh query gives.

The server is a process of its own that is stopped or killed every few batches, at times in the middle of a sync.
``python -m tests.oracle 300`` plays more seeds than the suite does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.world import BATCHES, DEVICES, play

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]


@pytest.mark.parametrize("seed", range(20))
async def test_every_view_is_what_a_fresh_query_gives(seed: int, tmp_path: Path) -> None:
    """Parts, exact lists, nothing, everything again; edits inside and outside of what a device holds."""
    tally = await play(seed, tmp_path)
    assert tally.compared == BATCHES * DEVICES and tally.filters >= 200 and tally.edits == 5000
    assert tally.mistakes == []
