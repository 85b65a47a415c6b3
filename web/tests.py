"""Runs the project's own tests inside this page, shows how they go, and posts a report to ``./report``.

``tests.html?path=tests/unit&path=tests/laws&k=outbox`` chooses some. Whoever serves the page may take the
report, as a test run does, or answer that it wants none.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
import sysconfig
import time
import traceback

from js import URLSearchParams, document, location, navigator
from pyodide.ffi import JsException, run_sync
from pyodide.http import AbortError, pyfetch

SUITE = "/suite"
PATHS = ["tests/unit", "tests/laws", "tests/conformance", "tests/simulator", "tests/seeds", "tests/sdbql"]
OPTIONS = ["--color=no", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys", "-q"]
BREATH_S = 0.1  # how long tests may keep the page from drawing
NEWS_S = 2  # how often the page says which test is running


class Progress:
    """A pytest plugin that keeps each test's outcome and shows the count in the page."""

    def __init__(self):
        self.total = 0
        self.tests = {}
        self.drawn = self.told = 0.0

    def pytest_collection_finish(self, session):
        """Learn how many tests there are."""
        self.total = len(session.items)

    def pytest_collectreport(self, report):
        """Keep a module that could not be imported as a failed test."""
        if report.failed:
            self.note(report.nodeid, "failed", 0.0, report.longreprtext)

    def pytest_runtest_logstart(self, nodeid):
        """Say now and then which test is running, so that one which never ends can be found."""
        if time.monotonic() - self.told > NEWS_S:
            self.told = time.monotonic()
            run_sync(post({"running": nodeid, "done": len(self.tests), "of": self.total}))

    def pytest_runtest_logreport(self, report):
        """Keep what came of a test's setup, call or teardown: the worst of the three is its outcome."""
        known = self.tests.get(report.nodeid, {"outcome": "passed", "seconds": 0.0, "text": ""})
        outcome = report.outcome if report.outcome != "passed" else known["outcome"]
        if known["outcome"] == "failed":
            outcome = "failed"
        text = "\n".join(filter(None, [known["text"], report.longreprtext]))
        self.note(report.nodeid, outcome, known["seconds"] + report.duration, text)

    def note(self, name, outcome, seconds, text):
        """Write an outcome down; let the page draw when it has waited long enough."""
        self.tests[name] = {"outcome": outcome, "seconds": round(seconds, 4), "text": text}
        if time.monotonic() - self.drawn > BREATH_S:
            self.draw()
            run_sync(asyncio.sleep(0))
            self.drawn = time.monotonic()

    def draw(self, end=""):
        """Show the count and the failures."""
        failed = [name for name, test in self.tests.items() if test["outcome"] == "failed"]
        told = f"{len(self.tests)} of {self.total} tests, {len(failed)} failed"
        document.getElementById("status").textContent = f"{told}. {end}"
        document.getElementById("progress").max = max(self.total, 1)
        document.getElementById("progress").value = len(self.tests)
        document.getElementById("failures").textContent = "\n".join(failed)


async def main():
    """Fetch the tests and what they need, run them, show and post the report."""
    begin = time.monotonic()
    await unpack("tests/page-pytest.zip", sysconfig.get_path("purelib"))
    await unpack("tests/suite.zip", SUITE)
    os.chdir(SUITE)
    sys.dont_write_bytecode = True
    progress, log = Progress(), io.StringIO()
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            code = run_pytest(progress)
    except BaseException:  # whatever it was, it belongs in the report
        code = "crashed"
        log.write(traceback.format_exc())
    seconds = round(time.monotonic() - begin, 2)
    progress.draw(f"Done in {seconds} s: exit code {code}.")
    document.getElementById("log").textContent = log.getvalue()
    report = {"code": code, "seconds": seconds, "agent": navigator.userAgent, "python": sys.version}
    await post(report | {"tests": progress.tests, "log": log.getvalue()})


def run_pytest(progress):
    """Run the tests that the address chooses; give pytest's exit code."""
    import pytest

    query = URLSearchParams.new(location.search)
    chosen = list(query.getAll("path")) or [path for path in PATHS if os.path.isdir(path)]
    matching = ["-k", query.get("k")] if query.has("k") else []
    return int(pytest.main([*OPTIONS, *matching, *chosen], plugins=[progress]))


async def unpack(path, folder):
    """Fetch an archive and unpack it into a folder."""
    response = await pyfetch(path)
    response.raise_for_status()
    await response.unpack_archive(extract_dir=folder)


async def post(message):
    """Send a message to whoever serves the page; nobody need listen."""
    with contextlib.suppress(AbortError, JsException, OSError):
        headers = {"Content-Type": "application/json"}
        await pyfetch("./report", method="POST", headers=headers, body=json.dumps(message))


await main()
