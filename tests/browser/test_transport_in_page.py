"""The transport that a page has, ``fetch``, keeps what every transport promises, and fails in the same words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import build
from tests.browser.harness import Chromium, Page, Server, Site, firefox
from tests.conformance.bad_server import CASES, STREAM, STREAMS, BadServer, begun
from tests.conformance.transport import CHECKS

SOURCE = Path(__file__).parents[1] / "conformance" / "transport.py"


@pytest.fixture(scope="module")
def own_server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, which also serves the site."""
    server = Server(tmp_path_factory.mktemp("transport") / "server").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
async def connected(chromium: Chromium, own_server: Server) -> AsyncIterator[Page]:
    """A page of the server's own site, with the checks in it."""
    page = await chromium.open(f"{own_server.url}/tests/blank.html")
    load = """
        import sys, types
        checks = types.ModuleType("checks")
        sys.modules["checks"] = checks
        exec(compile(source, "checks.py", "exec"), vars(checks))
        from pysync_web.transport.client import HttpClient
        """
    await page.python(load, source=SOURCE.read_text("utf-8"), token=own_server.token)
    yield page
    assert page.errors == []
    await page.close()


@pytest.fixture(scope="module")
async def free_page(chromium: Chromium, own_server: Server) -> AsyncIterator[Page]:
    """A page that may connect to any server."""
    page = await chromium.open("about:blank", python=False)
    session = await page.raw.context.new_cdp_session(page.raw)
    await session.send("Page.setBypassCSP", {"enabled": True})
    await page.raw.goto(f"{own_server.url}/tests/blank.html")
    await page.until_ready()
    await page.python("from pysync_web.transport.client import HttpClient")
    yield page
    assert page.errors == []
    await page.close()


async def test_every_promise_is_kept_in_a_page(connected: Page):
    for check in CHECKS:
        await connected.python(f"await checks.{check.__name__}(lambda: HttpClient('/', token=token))")


async def test_every_promise_is_kept_in_firefox(site: Site, tmp_path: Path):
    if not build.want_firefox():
        pytest.skip("no Firefox here")
    server = Server(tmp_path / "open", token=None).start()
    with firefox(f"{server.url}/tests.html?path=tests/conformance/test_transport.py&k=fetch"):
        passed: set[str] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(55):
                while len(passed) < len(CHECKS):
                    await asyncio.sleep(0.5)
                    passed = keys(server, "report")
    server.stop()
    assert passed == {check.__name__ for check in CHECKS}


def keys(server: Server, database: str) -> set[str]:
    """Give the keys of all documents in a database, none if there is no such database."""
    status, answer = server.request("GET", f"/_api/sync/pull/{database}?client_id=test")
    return {change["key"] for change in answer["server_changes"]} if status == 200 else set()


async def test_every_bad_answer_raises_what_its_class_promises(free_page: Page):
    for case in CASES:
        async with BadServer(case.reply) as bad:
            error = await failure(free_page, bad, "await transport.exchange('db', '{}')")
        assert error["class"] == case.error and case.words in error["text"], (case.name, error)
        assert error["retry_after_s"] == case.retry_after_s, (case.name, error)
        assert error["code"] == case.code, (case.name, error)


async def test_every_bad_stream_raises_what_its_class_promises(free_page: Page):
    for case in STREAMS:
        async with BadServer(case.reply) as bad:
            error = await failure(free_page, bad, "[head async for head in transport.pokes('db')]")
        assert error["class"] == case.error and case.words in error["text"], (case.name, error)


async def test_an_exchange_ends_within_its_deadline_on_the_wire_too(free_page: Page):
    for reply in (b"", begun(body=b'{"a": ')):
        async with BadServer(reply, hangs=True) as bad:
            error = await failure(free_page, bad, "await transport.exchange('db', '{}')", timeout_s=0.3)
            assert (error["class"], error["text"]) == ("Unreachable", "no answer within 0.3 s")
            await asyncio.wait_for(bad.left.wait(), 5)


async def test_a_silent_stream_is_dead_and_let_go(free_page: Page):
    async with BadServer(begun(STREAM, b"event: poke\ndata:\n\n"), hangs=True) as bad:
        read = "[head async for head in transport.pokes('db')]"
        error = await failure(free_page, bad, read, silence_s=0.3)
        assert (error["class"], error["text"]) == ("Unreachable", "the stream was silent for 0.3 s")
        await asyncio.wait_for(bad.left.wait(), 5)


async def test_a_stream_that_is_left_ends_on_the_wire(free_page: Page):
    leave = """
        import gc
        transport = HttpClient(url)
        async for head in transport.pokes("db"):
            break
        gc.collect()
        """
    async with BadServer(begun(STREAM, b"event: poke\ndata:\n\n"), hangs=True) as bad:
        await free_page.python(leave, url=bad.url)
        await asyncio.wait_for(bad.left.wait(), 5)


async def test_cancelling_an_exchange_aborts_it_on_the_wire(free_page: Page):
    cancel = """
        import asyncio
        transport = HttpClient(url)
        task = asyncio.ensure_future(transport.exchange("db", "{}"))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        """
    async with BadServer(hangs=True) as bad:
        await free_page.python(cancel, url=bad.url)
        assert bad.requests
        await asyncio.wait_for(bad.left.wait(), 5)


async def test_nobody_listening_is_unreachable(free_page: Page):
    async with BadServer() as bad:
        pass
    error = await failure(free_page, bad, "await transport.exchange('db', '{}')")
    assert error["class"] == "Unreachable" and "can't be reached" in error["text"], error


async def failure(page: Page, bad: BadServer, work: str, **options: float) -> dict[str, Any]:
    """Run a line in the page with ``transport``, a client of a bad server; give what it raised."""
    run = f"""
        transport = HttpClient(url, token="secret", **options)
        try:
            {work}
            failed = {{"class": None, "text": ""}}
        except Exception as error:
            failed = {{"class": type(error).__name__, "text": str(error)}}
            failed |= {{name: getattr(error, name, None) for name in ("retry_after_s", "code")}}
        failed
        """
    result: dict[str, Any] = await page.python(run, url=bad.url, options=options)
    return result
