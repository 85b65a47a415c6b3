"""Fixtures of the tests that follow the four systems whose features this library has."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from tests.seeds.bench import Bench, Clock

ENGINES = [
    pytest.param(ps.StorageEngine.MEMORY, id="memory"),
    pytest.param(ps.StorageEngine.SQLITE, id="sqlite", marks=pytest.mark.native),
]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of everything here: what happens later has a later time."""
    made = Clock()
    monkeypatch.setattr(time, "time_ns", made)
    return made


@pytest.fixture
async def bench(tmp_path: Path, clock: Clock) -> AsyncIterator[Bench]:
    """A hub, and devices in memory."""
    made = Bench(tmp_path, ps.StorageEngine.MEMORY)
    yield made
    await made.close()


@pytest.fixture(params=ENGINES)
async def lasting(request: Any, tmp_path: Path, clock: Clock) -> AsyncIterator[Bench]:
    """A hub, and devices on each engine in turn: for what has to outlive a closed database."""
    made = Bench(tmp_path, request.param)
    yield made
    await made.close()
