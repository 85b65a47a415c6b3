"""The harness does what the tests that stand on it believe."""

from __future__ import annotations

import textwrap

import pytest

from tests.browser.harness import Chromium, PageError, Site

OPEN_DATABASE = textwrap.dedent("""
    import js, asyncio
    from pyodide.ffi import create_once_callable

    def finished(request):
        future = asyncio.get_running_loop().create_future()
        request.onsuccess = create_once_callable(lambda event: future.set_result(request.result))
        return future

    request = js.indexedDB.open("harness", 1)
    request.onupgradeneeded = create_once_callable(lambda event: request.result.createObjectStore("s"))
    database = await finished(request)
    store = database.transaction("s", "readwrite").objectStore("s")
""")


async def test_a_page_answers_in_json_and_keeps_its_names(page):
    assert await page.python("x = [1, 1.5, None, 'é']; x", y=3) == [1, 1.5, None, "é"]
    assert await page.python("y + len(x)") == 7


async def test_an_error_in_the_page_shows_its_traceback(page):
    with pytest.raises(PageError, match="ZeroDivisionError"):
        await page.python("1 / 0")


async def test_our_package_is_compiled_and_importable_in_the_page(page):
    assert (await page.python("import pysync_web; pysync_web.__file__")).endswith(".pyc")


async def test_the_page_can_wait_for_coroutines_without_await(page):
    assert await page.python("import asyncio; from pyodide.ffi import run_sync; run_sync(asyncio.sleep(0, 5))") == 5


async def test_tabs_share_what_is_stored_until_the_origin_is_wiped_for_the_next_test(
    page, new_page, chromium, origin
):
    other = await new_page()
    await page.python(OPEN_DATABASE + 'await finished(store.put("kept", "key"))')
    await page.python("import js; js.localStorage.setItem('kept', 'yes')")
    assert await other.python(OPEN_DATABASE + 'await finished(store.get("key"))') == "kept"
    await chromium.forget(origin)
    assert page.raw.is_closed() and other.raw.is_closed()
    after = await new_page()
    assert await after.python(OPEN_DATABASE + 'await finished(store.get("key"))') is None
    assert await after.python("import js; js.localStorage.length") == 0


async def test_what_was_written_outlives_a_killed_browser(own_chromium: Chromium, site: Site):
    page = await own_chromium.open(site.address())
    await page.python(
        OPEN_DATABASE
        + textwrap.dedent("""
            committed = js.Promise.withResolvers()
            store.transaction.oncomplete = committed.resolve
            store.put("kept", "key")
            await committed.promise
        """)
    )
    await own_chromium.kill()
    await own_chromium.start()
    page = await own_chromium.open(site.address())
    assert await page.python(OPEN_DATABASE + 'await finished(store.get("key"))') == "kept"


async def test_a_page_without_network_fails_to_fetch(page):
    await page.set_offline(True)
    with pytest.raises(PageError, match="Failed to fetch"):
        await page.python('from pyodide.http import pyfetch; await pyfetch("/manifest.json?fresh")')
    await page.set_offline(False)
    assert await page.python('(await pyfetch("/manifest.json?fresh")).status') == 200


async def test_requests_can_be_put_into_a_page(page):
    await page.install_requests()
    assert await page.python("import requests, pyodide_http; requests.__version__")
