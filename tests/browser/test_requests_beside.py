"""A user's own code that calls ``requests`` in a page works beside us, with pyodide-http and without.

After ``pyodide_http.patch_urllib()``, which ``patch_all()`` calls, ``urllib.request`` raises ``IncompleteRead`` for
an answer that comes in chunks: the browser has put these together and left the header that tells of them. Call
``requests``: it reads such answers patched and unpatched, since urllib3 itself knows how to send from a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.browser.harness import Chromium, Page, Server
from tests.conformance.bad_server import CORS, BadServer


@pytest.fixture
async def page(chromium: Chromium, server: Server) -> AsyncIterator[Page]:
    """A page of the server's own site, with ``requests`` in it."""
    opened = await chromium.open(f"{server.url}/tests/blank.html")
    await opened.install_requests()
    await opened.python("headers = {'Authorization': f'Bearer {token}'}", token=server.token)
    yield opened
    assert opened.errors == []
    await opened.close()


BESIDE = """
    import json, requests
    from js import location
    from pysync_web.transport.client import HttpClient

    transport = HttpClient("/", token=token)
    change = {"collection": "c", "key": "k", "operation": "insert", "document": {"a": 1}}
    pushed = json.loads(await transport.exchange("db", json.dumps({
        "database": "db", "client_id": "ours", "changes": [change]})))

    root = f"{location.origin}/_api"
    health = requests.get(f"{root}/health").json()
    status = requests.get(f"{root}/sync/status/db", params={"client_id": "ours"}, headers=headers).json()
    refused = requests.post(f"{root}/sync/push/db", json={"client_id": 7, "changes": []}, headers=headers)

    pulled = json.loads(await transport.exchange("db", json.dumps({"database": "db", "client_id": "other"})))
    await transport.close()
    [pushed["results"][0]["status"], health["status"], status["server_version"]["server"],
     refused.status_code, refused.json()["place"], len(pulled["server_changes"])]
    """
EXPECTED = ["applied", "ok", 1, 422, "client_id", 1]


async def test_requests_works_beside_us_as_it_is(page: Page):
    assert await page.python(BESIDE) == EXPECTED


async def test_requests_works_beside_us_when_pyodide_http_has_patched_it(page: Page):
    await page.python("import pyodide_http; pyodide_http.patch_requests()")
    assert await page.python(BESIDE) == EXPECTED


@pytest.mark.parametrize("patch", ["pass", "pyodide_http.patch_all()"])
async def test_requests_reads_an_answer_in_chunks(page: Page, patch):
    chunks = f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{CORS}\r\n2\r\n{{}}\r\n0\r\n\r\n"
    session = await page.raw.context.new_cdp_session(page.raw)
    await session.send("Page.setBypassCSP", {"enabled": True})
    await page.reload()
    await page.install_requests()
    async with BadServer(chunks.encode()) as server:
        read = f"import pyodide_http, requests; {patch}; requests.get(url).json()"
        assert await page.python(read, url=server.url) == {}


async def test_a_manager_syncs_after_all_has_been_patched(page: Page):
    sync = """
        import pyodide_http
        pyodide_http.patch_all()
        import pysync_web as ps
        async with await ps.open("beside", server="/", token=token, auto_sync=False) as sync:
            await sync.save_document("notes", "1", {"title": "milk"})
            result = await sync.sync_now()
        [result.success, result.pushed, result.errors]
        """
    assert await page.python(sync) == [True, 1, []]
