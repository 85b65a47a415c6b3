"""The same seed gives the same world, to the last byte, on every Python and in every browser."""

from __future__ import annotations

import json
from pathlib import Path

from .world import World

FILE = Path(__file__).with_name("traces.json")
SEEDS = 100
EVENTS = 150


def trace_hashes() -> list[str]:
    """Run the seeds and give what each trace and all that it stored hash to."""
    return [World(seed).run(EVENTS) for seed in range(SEEDS)]


def known_hashes() -> list[str]:
    """Read the hashes that were written down."""
    hashes: list[str] = json.loads(FILE.read_text())
    return hashes


def write_hashes() -> None:
    """Write the hashes down anew, after a change of the protocol that was meant."""
    FILE.write_text(json.dumps(trace_hashes(), indent=0) + "\n")
