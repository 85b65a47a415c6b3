"""How soon a page works: the wheel's size, its import, and the demo beside a bare start of Pyodide as npm has it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import build
from tests.browser.harness import Server, Site

from .browser import chromium
from .report import Row

GROUP = "start-up of a page"
WHEEL = Row(GROUP, "size of the wheel", 250, "KiB")
IMPORT = Row(GROUP, "import pysync_web", 200)
COLD = Row(GROUP, "demo's first list, first visit; baseline: loadPyodide()", 0.7)
WARM = Row(GROUP, "demo's first list, later visits; baseline: loadPyodide()", 0.5)
ROWS = (WHEEL, IMPORT, COLD, WARM)
VISITS = 3  # the first is cold, the last warm: in between the browser keeps compiled code


async def measure(wanted: Callable[[str], bool], rounds: int) -> list[Row]:
    """Measure what is wanted."""
    rows = {one.name: Row(one.group, one.name, one.most, one.unit) for one in ROWS}
    chosen = {name: row for name, row in rows.items() if wanted(row.name_in_full)}
    if WHEEL.name in chosen:
        (wheel,) = build.DIST.glob("*.whl")
        rows[WHEEL.name].add(wheel.stat().st_size / 1024)
    if IMPORT.name in chosen:
        await _imports(rows[IMPORT.name], rounds)
    if COLD.name in chosen or WARM.name in chosen:
        async with serving() as server:
            for number in range(rounds):
                await _visits(rows, server, is_ours_first=number % 2 == 0)
    return list(chosen.values())


async def _imports(row: Row, rounds: int) -> None:
    site = Site().start()
    async with chromium() as browser:
        for _ in range(rounds):
            page = await browser.open(site.address())
            row.add(await page.python(IMPORTING))
            await page.close()
    site.stop()


IMPORTING = """
    from js import performance
    began = performance.now()
    import pysync_web
    performance.now() - began
"""


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Serve the demo, and below ``/plain`` a page that starts Pyodide as it comes from npm."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        web = Path(name, "web")
        shutil.copytree(build.SITE, web)
        shutil.copytree(build.PYODIDE, web / "plain" / "pyodide")
        (web / "plain" / "index.html").write_text(PLAIN_PAGE)
        (web / "plain" / "start.js").write_text(PLAIN_START)
        server = Server(Path(name, "data"), token=None, options=("--web", str(web))).start(web=False)
        yield server
        server.stop()


PLAIN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Pyodide and nothing else</title>
<link rel="icon" href="data:,">
<script type="module" src="start.js"></script>
</html>
"""
PLAIN_START = """
import { loadPyodide } from "./pyodide/pyodide.mjs";
const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", import.meta.url).href });
pyodide.runPython("1 + 1");
performance.mark("first-list");
"""


async def _visits(rows: dict[str, Row], server: Server, *, is_ours_first: bool) -> None:
    """Visit both pages, each with a new profile: the first time, and again."""
    paths = ["/", "/plain/"]
    taken: dict[str, list[float]] = {}
    for path in paths if is_ours_first else reversed(paths):
        taken[path] = await _visit(server.url + path)
    for row, visit in ((rows[COLD.name], 0), (rows[WARM.name], -1)):
        row.add(taken["/"][visit], taken["/plain/"][visit])


async def _visit(address: str) -> list[float]:
    """Load a page several times in a new browser; give when each time the mark was made."""
    taken = []
    async with chromium() as browser:
        page = await browser.open("about:blank", python=False)
        for _ in range(VISITS):
            await page.raw.goto(address)
            taken.append(await page.raw.evaluate(UNTIL_MARK))
            await page.raw.evaluate(UNTIL_KEPT)
            await page.raw.wait_for_timeout(500)
            await page.raw.goto("about:blank")
    return taken


UNTIL_MARK = """() => new Promise((resolve) => {
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (entry.name === "first-list") resolve(entry.startTime);
    }).observe({ type: "mark", buffered: true });
})"""
UNTIL_KEPT = """async () => {
    const registered = navigator.serviceWorker && (await navigator.serviceWorker.getRegistrations()).length;
    if (registered) await navigator.serviceWorker.ready;
}"""
