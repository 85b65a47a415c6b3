"""The real server serves the site, and a page comes back to it after it was gone."""

from __future__ import annotations

import pytest

from tests.browser.harness import Chromium, PageError, Server

HEALTH = 'from pyodide.http import pyfetch; (await pyfetch("/_api/health")).status'


async def test_a_page_of_the_real_server_starts_and_survives_its_restart(server: Server, chromium: Chromium):
    page = await chromium.open(server.blank)
    assert await page.python(HEALTH) == 200
    server.kill()
    with pytest.raises(PageError, match="Failed to fetch"):
        await page.python(HEALTH)
    server.start()
    assert await page.python(HEALTH) == 200
    assert page.errors == []
    await page.close()
