"""Browsers, pages and servers for tests. One Chromium and one site serve all tests that ask for no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Playwright, async_playwright, expect

import build
from tests.browser.harness import Chromium, Page, Server, Site, free_port

expect.set_options(timeout=30_000)  # what a page shows in the end; every core may be busy with something else
TESTED = "test.localhost"
"""The host of the origin that tests have one after the other."""


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The site as it is now, built if anything has changed, served without a server behind it."""
    build.build_dist()
    started = Site().start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """Playwright itself."""
    async with async_playwright() as started:
        yield started


@pytest.fixture(scope="session")
async def chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    """A Chromium that all tests share: don't kill it, and don't take its network without giving it back."""
    browser = await Chromium(playwright, tmp_path_factory.mktemp("chromium")).start()
    yield browser
    await browser.close()


@pytest.fixture
async def own_chromium(playwright: Playwright, tmp_path: Path) -> AsyncIterator[Chromium]:
    """A Chromium with a profile of its own, to kill, close, start again, or take offline."""
    browser = await Chromium(playwright, tmp_path / "own-chromium").start()
    yield browser
    await browser.close()


@pytest.fixture
async def origin(site: Site, chromium: Chromium) -> AsyncIterator[str]:
    """The address of an origin that has nothing stored: no database, no cache, no service worker.

    It is the same in every test, so that Chromium need not compile Pyodide for each of them, and is wiped after it.
    """
    address = site.address("", TESTED)
    yield address
    await chromium.forget(address)


@pytest.fixture
async def new_page(chromium: Chromium, origin: str) -> AsyncIterator[Callable[[], Awaitable[Page]]]:
    """Opens tabs of one origin of the test's own, one a call; each is a blank page with Python in it."""
    pages: list[Page] = []

    async def open_one() -> Page:
        pages.append(await chromium.open(f"{origin}/tests/blank.html"))
        return pages[-1]

    yield open_one
    for page in pages:
        if not page.raw.is_closed():
            await page.close()
        assert page.errors == []


@pytest.fixture
async def page(new_page: Callable[[], Awaitable[Page]]) -> Page:
    """A blank page with Python and pysync_web in it, on an origin of the test's own."""
    return await new_page()


@pytest.fixture(scope="session")
def port() -> int:
    """The port of every test's server: pages that come from it are of one origin."""
    return free_port()


@pytest.fixture
def server(site: Site, tmp_path: Path, port: int) -> Iterator[Server]:
    """The real server, with an empty data folder, which also serves the site."""
    started = Server(tmp_path / "server", port=port).start()
    yield started
    started.stop()
