"""The transport that a page has, ``fetch``, keeps what every transport promises, and fails in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.harness import Chromium, Page, Server
from tests.conformance.transport import CHECKS

SOURCE = Path(__file__).parents[1] / "conformance" / "transport.py"


@pytest.fixture
async def connected(chromium: Chromium, server: Server):
    """A page of the server's own site, with the checks in it."""
    page = await chromium.open(f"{server.url}/tests/blank.html")
    load = """
        import sys, types
        checks = types.ModuleType("checks")
        sys.modules["checks"] = checks
        exec(compile(source, "checks.py", "exec"), vars(checks))
        from pysync_web.transport import HttpClient
        """
    await page.python(load, source=SOURCE.read_text("utf-8"), token=server.token)
    yield page
    assert page.errors == []
    await page.close()


async def test_every_promise_is_kept_in_a_page(connected: Page):
    for check in CHECKS:
        await connected.python(f"await checks.{check.__name__}(lambda: HttpClient('/', token=token))")
