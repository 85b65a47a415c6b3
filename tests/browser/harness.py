"""Drives real browsers and a real server for tests and benchmarks, outside the page.

``Chromium`` is a process with a profile on disk that can be killed and started again; ``Page`` runs Python
inside a page; ``Server`` is ``python -m pysync_web.server`` as a process; ``Site`` serves the built site
alone, takes the reports of pages, and can be stopped. Fixtures for all of them are in ``conftest.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from playwright.async_api import Browser, BrowserContext, Playwright
from playwright.async_api import Page as PlaywrightPage

import build

BLANK = "/tests/blank.html"
TOKEN = "token-for-tests"
POLICY = "default-src 'self' data:; script-src 'self' 'wasm-unsafe-eval'; connect-src *"  # any server may be called
SAMPLERS = "HeapProfilerReporting,GwpAsanMalloc,GwpAsanPartitionAlloc"
"""What Chromium turns on by chance, one start in dozens: they note the stack of some allocations, and read past the
end of a stack that WebAssembly has switched to. Pyodide switches for each task, where it can, so that tabs die."""
CHROMIUM_OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--password-store=basic",
    "--mute-audio",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    f"--disable-features=Translate,MediaRouter,OptimizationHints,{SAMPLERS}",
    "--window-size=1280,900",
)

STORED = "indexeddb,local_storage,cache_storage,service_workers,file_systems"
CRASHED = "the tab crashed"


class PageError(AssertionError):
    """Python code in a page raised; the message is its traceback."""


class Page:
    """A page with Python in it. ``raw`` is Playwright's page, for everything else."""

    def __init__(self, raw: PlaywrightPage) -> None:
        self.raw = raw
        self.errors: list[str] = []  # what nobody caught in the page, and its death
        raw.on("pageerror", lambda error: self.errors.append(str(error)))
        raw.on("crash", lambda _: self.errors.append(CRASHED))

    async def python(self, code: str, **values: Any) -> Any:
        """Run Python in the page with ``values`` as variables; give its last expression. Both go as JSON.

        Names stay from one call to the next, until the page is loaded again. ``await`` works anywhere.
        """
        answer = json.loads(
            await self.raw.evaluate(RUN_SNIPPET, [SNIPPETS, textwrap.dedent(code), json.dumps(values)])
        )
        if "error" in answer:
            raise PageError(answer["error"])
        return answer["value"]

    async def install_requests(self) -> None:
        """Put ``requests`` and ``pyodide_http`` within reach of the page's Python."""
        await self.python(
            """
            from pyodide.http import pyfetch
            import importlib, sysconfig
            response = await pyfetch("/tests/page-requests.zip")
            await response.unpack_archive(extract_dir=sysconfig.get_path("purelib"))
            importlib.invalidate_caches()
            """
        )

    async def reload(self) -> None:
        """Load the page again, and wait for its Python."""
        await self.raw.reload()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until the page's Python has started."""
        await self.raw.evaluate("async () => { await globalThis.ready; }")

    async def set_offline(self, offline: bool) -> None:
        """Pull the network from under this page's browser, or put it back."""
        await self.raw.context.set_offline(offline)

    async def crash(self) -> None:
        """End the tab's process, as a fault of the browser would."""
        session = await self.raw.context.new_cdp_session(self.raw)
        async with self.raw.expect_event("crash"):
            crash = asyncio.ensure_future(session.send("Page.crash"))
        self.errors.remove(CRASHED)
        crash.cancel()  # nobody is left to answer
        await asyncio.gather(crash, return_exceptions=True)

    async def close(self) -> None:
        """Close the page."""
        await self.raw.close()


RUN_SNIPPET = """async ([helper, code, values]) => {
    await globalThis.ready;
    if (!pyodide.globals.has("run_snippet")) pyodide.runPython(helper);
    return await pyodide.globals.get("run_snippet")(code, values);
}"""
SNIPPETS = """
async def run_snippet(code, values):
    import __main__, json, traceback
    from pyodide.code import eval_code_async
    try:
        vars(__main__).update(json.loads(values))
        value = await eval_code_async(code, vars(__main__), filename="<snippet>")
        return json.dumps({"value": value}, default=repr)
    except BaseException:
        return json.dumps({"error": traceback.format_exc()})
"""


class Chromium:
    """A Chromium with its profile in a folder; killed or closed, it starts again on the same profile."""

    def __init__(self, playwright: Playwright, profile: Path) -> None:
        self.playwright = playwright
        self.profile = profile
        self.process: subprocess.Popen[bytes] | None = None
        self.browser: Browser | None = None

    @property
    def context(self) -> BrowserContext:
        """Playwright's context: all pages of this profile."""
        assert self.browser is not None, "Chromium is not running"
        return self.browser.contexts[0]

    async def start(self) -> Self:
        """Start the process and connect to it."""
        told = self.profile / "DevToolsActivePort"
        told.unlink(missing_ok=True)
        self.profile.mkdir(parents=True, exist_ok=True)
        command = [build.need_chromium(), *CHROMIUM_OPTIONS, f"--user-data-dir={self.profile}", "about:blank"]
        with (self.profile / "chromium.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        async with asyncio.timeout(30):
            while not (told.exists() and told.read_text().count("\n")):
                assert self.process.poll() is None, f"Chromium ended: see {self.profile / 'chromium.log'}"
                await asyncio.sleep(0.02)
        port = told.read_text().split()[0]
        self.browser = await self.playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        return self

    async def open(self, address: str, *, python: bool = True) -> Page:
        """Open an address in a new tab; wait for its Python unless ``python`` is false."""
        page = Page(await self.context.new_page())
        await page.raw.goto(address)
        if python:
            await page.until_ready()
        return page

    async def forget(self, origin: str) -> None:
        """Close an origin's pages and delete what they have stored, all but the code that was compiled for them."""
        first, *others = self.context.pages  # the one that Chromium began with is nobody's
        for page in others:
            if page.url.startswith(f"{origin}/"):
                await page.close()
        session = await self.context.new_cdp_session(first)
        await session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORED})
        await session.detach()

    async def kill(self) -> None:
        """End the process and its children at once with SIGKILL, as a crash of the machine's memory would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        await self.disconnect()
        self.forget_lock()

    async def close(self) -> None:
        """Close the browser as a person would, so that it writes down what it has."""
        if self.process is None or self.process.poll() is not None:
            return
        session = await self.browser.new_browser_cdp_session()
        with contextlib.suppress(Exception):  # the connection may end before the answer
            await session.send("Browser.close")
        try:
            await asyncio.to_thread(self.process.wait, 15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        await self.disconnect()

    async def disconnect(self) -> None:
        """Let Playwright forget a browser that has ended."""
        if self.browser is not None:
            with contextlib.suppress(Exception):
                await self.browser.close()
            self.browser = None

    def forget_lock(self) -> None:
        """Remove what a killed Chromium left to say that it has the profile."""
        for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
            (self.profile / name).unlink(missing_ok=True)


class Server:
    """The real server as a process, always on the same port and the same data."""

    def __init__(
        self, data: Path, *, token: str | None = TOKEN, port: int | None = None, options: tuple[str, ...] = ()
    ):
        self.data = data
        self.token = token
        self.port = port or free_port()
        self.options = options
        self.url = f"http://localhost:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, web: bool = True) -> Self:
        """Start the process and wait until it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [
            str(build.PYTHON),
            "-m",
            "pysync_web.server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        command += ["--data", str(self.data), *(["--token", self.token] if self.token else [])]
        command += ["--web", str(build.SITE)] if web else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended:\n{self.said()}"
            with contextlib.suppress(OSError):
                self.request("GET", "/_api/health")
                return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not answer within 30 s:\n{self.said()}")

    @property
    def blank(self) -> str:
        """The address of a blank page with Python in it, on this server."""
        return self.url + BLANK

    @property
    def log(self) -> Path:
        """The file that takes what the server says."""
        return self.data / "server.log"

    def said(self) -> str:
        """Give what the server said so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """Ask the process to end, and wait until it has; nothing happens if it has already."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once with SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals) -> None:
        """End the process by a signal and wait for it."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send one request with the token; give the status and the JSON that came back (or the text)."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, decoded(error.read())


def decoded(content: bytes) -> Any:
    """Give JSON as values, anything else as text."""
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")


def free_port() -> int:
    """Give a port that nobody listens on, none of those that a system gives to whoever connects: it stays free."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Site:
    """The built site without a server behind it; ``reports`` holds the JSON that pages have posted."""

    def __init__(self, folder: Path = build.SITE) -> None:
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue()
        reports = self.reports

        class Handler(FileHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def do_POST(self) -> None:
                reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

        self.handler = Handler
        self.port = free_port()
        self.listener: Listener | None = None

    def start(self) -> Self:
        """Listen, on the same port each time."""
        self.listener = Listener(("127.0.0.1", self.port), self.handler)
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        assert self.listener is not None
        self.listener.shutdown()
        self.listener.server_close()

    def address(self, path: str = BLANK, origin: str = "localhost") -> str:
        """Give the address of a path. Each ``origin``, a name under ``localhost``, has storage of its own."""
        return f"http://{origin}:{self.port}{path}"


class Listener(http.server.ThreadingHTTPServer):
    """A server that a browser may leave in the middle of an answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a connection that was cut."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FileHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files as the real server does: with their types, a strict policy, and revalidation but for Pyodide's."""

    protocol_version = "HTTP/1.1"
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".whl": "application/zip",
    }

    def end_headers(self) -> None:
        """Add the headers that every answer has."""
        never_changes = self.path.startswith("/pyodide/")  # Chromium keeps what it compiled only of such files
        self.send_header("Cache-Control", "max-age=86400" if never_changes else "no-cache")
        self.send_header("Content-Security-Policy", POLICY)
        if self.command == "POST":
            self.send_header("Content-Length", "0")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def firefox(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Firefox without a driver and with a new profile on an address, and end it afterwards."""
    profile = Path(tempfile.mkdtemp(prefix="firefox-"))
    profile.joinpath("user.js").write_text("".join(f"user_pref({pref});\n" for pref in FIREFOX_PREFERENCES))
    command = [build.want_firefox(), "--headless", "--no-remote", "--profile", str(profile), address]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)


FIREFOX_PREFERENCES = (
    '"dom.max_script_run_time", 0',
    '"browser.shell.checkDefaultBrowser", false',
    '"browser.startup.homepage_override.mstone", "ignore"',
    '"browser.aboutwelcome.enabled", false',
    '"datareporting.policy.dataSubmissionEnabled", false',
    '"toolkit.telemetry.reportingpolicy.firstRun", false',
    '"app.normandy.enabled", false',
    '"extensions.update.enabled", false',
    '"network.captive-portal-service.enabled", false',
    '"network.connectivity-service.enabled", false',
    '"services.settings.server", "data:,"',
    '"toolkit.startup.max_resumed_crashes", -1',
)
