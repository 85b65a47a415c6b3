"""A server whose disk is full says so, keeps what it has, still answers pulls, and goes on when there is room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysync_web.errors import DatabaseLocked, QuotaExceeded, StorageReset, Unreachable
from pysync_web.transport.problems import refusal_of
from tests.unit.server_process import ServerProcess

pytestmark = pytest.mark.native


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can't be made here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def push(server: ServerProcess, n: int) -> tuple[int, Any, dict[str, str]]:
    """Push a document of some 50 kB."""
    change = {"collection": "c", "key": f"{n:03}", "operation": "insert", "document": {"text": f"{n:05}" * 10_000}}
    return server.call("POST", "/_api/sync/push/db", {"client_id": "a", "changes": [change]})


def keys(server: ServerProcess) -> list[str]:
    """Pull everything."""
    status, answer, _ = server.call("GET", "/_api/sync/pull/db?client_id=b")
    assert status == 200
    return [change["key"] for change in answer["server_changes"]]


def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    with ServerProcess(small_disk / "data") as server:
        stored = 0
        status, problem, headers = push(server, stored)
        while status == 200:
            stored += 1
            status, problem, headers = push(server, stored)
        assert 5 < stored < 50
        assert (status, problem["code"], headers["retry-after"]) == (507, "storage_full", "60")
        assert keys(server) == [f"{n:03}" for n in range(stored)]
        assert push(server, stored)[0] == 507
        ballast.unlink()
        assert push(server, stored)[0] == 200
        server.kill()
        server.start()
        assert keys(server) == [f"{n:03}" for n in range(stored + 1)]


@pytest.mark.parametrize(
    ("error", "status", "retry_after_s"),
    [
        (QuotaExceeded("/data/x.sqlite: full"), 507, 60),
        (DatabaseLocked("/data/x.sqlite: locked"), 503, 1),
        (StorageReset("/data/x.sqlite: gone"), 503, 1),
        (RuntimeError("/data/x.sqlite"), 500, None),
    ],
)
def test_a_storage_s_failure_is_one_to_try_again_after(error, status, retry_after_s):
    refusal = refusal_of(error)
    assert (refusal.status, refusal.retry_after_s) == (status, retry_after_s)
    assert "/data" not in refusal.text()
    again = refusal.error()
    assert isinstance(again, Unreachable) and again.retry_after_s == retry_after_s
