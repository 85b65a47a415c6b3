"""Plays seeds of the oracle's world, as many as it is told: ``python -m tests.oracle 300 [first]``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.oracle.world import play


def main() -> None:
    """Play, and print what was compared and what differed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    compared = mistakes = 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            tally = asyncio.run(play(seed, Path(folder)))
        compared += tally.compared
        mistakes += len(tally.mistakes)
        for mistake in tally.mistakes:
            print(f"seed {seed}: {mistake}", flush=True)
    print(f"{count} seeds from {first}: {compared} views compared, {mistakes} of them wrong")
    sys.exit(mistakes > 0)


main()
