"""What the README tells a stranger to do works as it stands there; only the port is another."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.native

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```\w*\n(.*?)```", README, re.DOTALL))
PORT = "6745"


def test_every_example_is_one_of_those_that_are_run():
    known = {"page", "native", "devices", "server", "curl", "queries", "crdt", "backend", "bucket", "logged"}
    assert EXAMPLES.keys() == known


def test_the_server_s_command_and_the_plain_client_s_request_work(tmp_path: Path):
    with started(tmp_path) as port:
        answer = plain_request(EXAMPLES["curl"].replace(PORT, port))
        assert [result["status"] for result in answer["results"]] == ["applied"]
    assert list((tmp_path / "data").glob("field*")), "one file per database, under --data"


def test_the_native_example_prints_what_it_saved_and_what_others_did(tmp_path: Path):
    with started(tmp_path) as port:
        plain_request(EXAMPLES["curl"].replace(PORT, port))
        said = run(tmp_path, EXAMPLES["native"].replace(PORT, port))
        first, *samples = said.splitlines()
        assert first == "2 pushed, 1 pulled"
        assert [line.split()[:2] for line in samples] == [["s13", "1.25"], ["s14", "4.0"], ["s15", "2"]]
        assert run(tmp_path, EXAMPLES["native"].replace(PORT, port)).splitlines()[1:] == samples


def test_the_native_example_saves_without_a_server_too(tmp_path: Path):
    said = run(tmp_path, EXAMPLES["native"].replace(PORT, "1"))
    assert [line.split()[0] for line in said.splitlines()] == ["0", "s13", "s14"]


def test_the_values_that_never_conflict_show_what_was_done(tmp_path: Path):
    lines = textwrap.indent(EXAMPLES["crdt"] + "print(sample)", "    " * 2)
    (said,) = run(tmp_path, QUERIES.replace("...", lines.strip())).splitlines()
    assert "'labels': {'de': 'Ton'}, 'state': 'checked', 'tags': ['wet'], 'visits': 1" in said


def test_two_devices_meet_and_a_bundle_brings_nothing_new_after_that(tmp_path: Path):
    said = run(tmp_path, EXAMPLES["devices"]).splitlines()
    assert said[0].endswith("of 2") and "2 of 2" in said
    assert said[-2:] == ["1 sent, 1 received", "0 news"]


def test_the_queries_answer_write_and_live(tmp_path: Path):
    lines = textwrap.indent(EXAMPLES["queries"].replace("    break", "    print(deep)\n    break"), "    " * 2)
    said = run(tmp_path, QUERIES.replace("...", lines.strip()))
    rows, deep = said.splitlines()
    assert rows == "[{'done': True, 'n': 2}]"
    assert re.findall(r"'depth_m': ([\d.]+)", deep) == ["4.0", "3.5"]


def test_files_and_a_store_of_one_s_own_do_what_is_said(tmp_path: Path):
    lines = textwrap.indent(EXAMPLES["bucket"] + EXAMPLES["logged"], "    " * 2)
    said = run(tmp_path, STORES.replace("...", lines.strip()))
    entry, *sizes, stored = said.splitlines()
    assert entry.startswith("BucketEntry(key='s12.jpg', size=200000, ") and entry.endswith(" ['s12.jpg']")
    assert sum(map(int, sizes)) == 200_000
    assert stored == "['a', 'b'] around it"


STORES = """
import asyncio
import pysync_web as ps

async def main():
    picture, mine = bytes(200_000), {}
    async with await ps.open("fieldwork.db") as sync:
        ...

asyncio.run(main())
"""

QUERIES = """
import asyncio
import pysync_web as ps

async def main():
    async with await ps.open("fieldwork.db") as sync:
        for depth in (1.5, 3.5, 4.0):
            await sync.save_document("samples", None, {"depth_m": depth, "done": depth > 2})
        await sync.query("FOR s IN samples FILTER !s.done REMOVE s IN samples")
        ...

asyncio.run(main())
"""


def test_the_files_that_the_readme_names_are_there():
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / name).exists(), name


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Run the server's command in a folder; give its port."""
    words = shlex.split(EXAMPLES["server"])
    assert words[0] == "python" and words[words.index("--port") + 1] == PORT
    words[0], words[words.index("--port") + 1] = sys.executable, "0"
    with subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found is not None, "the server says where it listens"
            until_it_answers(found[1])
            yield found[1]
        finally:
            process.terminate()


def until_it_answers(port: str) -> None:
    """Wait for the server's first answer."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_api/health", timeout=10).close()
            return
        except urllib.error.URLError:
            time.sleep(0.02)


def plain_request(command: str) -> Any:
    """Do what a command line of curl says."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["curl", "-s"]
    headers = [words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H"]
    body = words[words.index("-d") + 1].encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://{words[2]}", body, dict(headers))) as answer:
        return json.load(answer)


def run(folder: Path, program: str) -> str:
    """Run a program in a folder; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """Give this process's environment without what would configure a server."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYSYNC_")}
    return own | {"PYTHONPATH": str(ROOT)}
