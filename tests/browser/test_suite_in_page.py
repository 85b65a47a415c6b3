"""The same tests that run natively pass inside a page, in Chromium and in Firefox."""

from __future__ import annotations

import asyncio
import collections
import queue
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import pytest

import build
from tests.browser.harness import Chromium, Site, firefox

FOLDERS = ("tests/unit", "tests/laws", "tests/conformance", "tests/simulator", "tests/seeds")
QUERIES = ("tests/sdbql",)  # half of the time in a page; it touches nothing of the browser's
IN_FIREFOX = ("tests/unit", "tests/conformance")  # what a browser may do in another way
SILENCE_S = 120  # a test in the page may say nothing for so long

pytestmark = [pytest.mark.timeout(900), pytest.mark.takes(120)]


@pytest.mark.parametrize("folders", [FOLDERS, QUERIES], ids=["all but queries", "queries"])
async def test_every_test_passes_inside_chromium(
    site: Site, chromium: Chromium, origin: str, folders: Sequence[str]
):
    wanted = await asyncio.to_thread(names_for_both_places, folders)
    page = await chromium.open(origin + page_for(folders), python=False)
    report = await last_report(site, page.errors)
    await page.close()
    judge(report, wanted)


async def test_units_and_promises_pass_inside_firefox(site: Site):
    if not build.want_firefox():
        pytest.skip("no Firefox here")
    wanted = await asyncio.to_thread(names_for_both_places, IN_FIREFOX)
    with firefox(site.address(page_for(IN_FIREFOX))):
        report = await last_report(site, [])
    assert "Firefox" in report["agent"]
    judge(report, wanted)


def page_for(folders: Sequence[str]) -> str:
    """Give the path of the page that runs the tests of some folders."""
    return "/tests.html?" + "&".join(f"path={folder}" for folder in folders)


def names_for_both_places(wanted: Sequence[str]) -> set[str]:
    """Give the names of the tests that a page must run: all in these folders that are not marked ``native``."""
    folders = [folder for folder in wanted if any(build.ROOT.glob(f"{folder}/**/test_*.py"))]
    collect = build.pytest("--collect-only", "-q", "--no-header", "-m", "not native", *folders)
    listed = subprocess.run(collect, capture_output=True, text=True, check=True, cwd=build.ROOT).stdout
    return {line.partition("[")[0] for line in listed.splitlines() if "::" in line}


async def last_report(site: Site, errors: Sequence[str]) -> dict[str, Any]:
    """Wait for the page's final report, for as long as it tells of progress and no ``errors`` of it are known."""
    running: dict[str, Any] = {}
    heard = time.monotonic()
    while "tests" not in running:
        try:
            running = await asyncio.to_thread(site.reports.get, timeout=1)
            heard = time.monotonic()
        except queue.Empty:
            if errors or time.monotonic() - heard > SILENCE_S:
                what = "; ".join(errors) or f"nothing for {SILENCE_S} s"
                pytest.fail(f"heard from the page: {what}; before that {running or 'nothing'}")
    return running


def judge(report: dict[str, Any], wanted: set[str]) -> None:
    """Fail with what the page's tests said, unless all of them passed and none was left out."""
    tests = report["tests"]
    failed = {name: test["text"] for name, test in tests.items() if test["outcome"] == "failed"}
    counts = dict(collections.Counter(test["outcome"] for test in tests.values()))
    print(f"{report['agent']}: {counts} in {report['seconds']} s")
    if failed:
        texts = "\n\n".join(f"{name}\n{text}" for name, text in failed.items())
        pytest.fail(f"{len(failed)} of {len(tests)} failed in {report['agent']}:\n\n{texts}", pytrace=False)
    if report["code"] != 0:
        pytest.fail(f"pytest ended with {report['code']} in the page:\n{report['log'][-5000:]}", pytrace=False)
    left_out = wanted - {name.partition("[")[0] for name in tests}
    assert not left_out, "these run natively, but did not run in the page"
