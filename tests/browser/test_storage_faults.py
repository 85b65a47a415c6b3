"""What a browser can do to a page's database: delete it, fill up, close it, be killed. Nothing is lost in silence."""

from __future__ import annotations

import asyncio
import os
import textwrap
from pathlib import Path

import pytest

from tests.browser.harness import Chromium, Site

KILLS = 5  # those of the whole way, from a page to other devices, are in test_killed.py
OPEN = textwrap.dedent("""
    import asyncio, js, secrets
    from pyodide.ffi import create_proxy
    from pysync_web.errors import *
    from pysync_web.storage import idb, indexeddb, open_storage

    async def increment(tx):
        tx.put("s", ("count",), str(int(await tx.get("s", ("count",)) or "0") + 1))

    async def count(tx):
        return await tx.get("s", ("count",))

    async def put(tx, key, size):
        tx.put("s", (key,), '"' + secrets.token_hex(size // 2) + '"')  # a browser counts what compression leaves

    async def keys(tx):
        return [key[0] for key, _ in await tx.scan("s")]

    async def said(work):
        try:
            return ["done", await work]
        except StorageError as error:
            return [type(error).__name__, str(error)]

    async def raw(name, version=None):
        request = js.indexedDB.open(name, version) if version else js.indexedDB.open(name)
        opened = asyncio.get_running_loop().create_future()
        request.onsuccess = create_proxy(lambda event: opened.set_result(request.result))
        request.onerror = create_proxy(lambda event: opened.set_exception(Exception(request.error.name)))
        return await opened

    storage = await open_storage("faults", engine="indexeddb")
    await storage.write(increment)
""")


async def test_a_storage_cleared_under_an_open_page_is_never_silently_empty(page):
    await page.python(OPEN)
    await clear_storage(page)
    for use in ("storage.write(increment)", "storage.read(count)", "storage.lead(lambda: None)"):
        name, words = await page.python(f"await asyncio.sleep(0.3); await said({use})")
        assert name == "StorageReset" and "'faults' was deleted while it was open" in words
    await page.python("await storage.close()")
    again = 'storage = await open_storage("faults", engine="indexeddb"); await storage.read(count)'
    assert await page.python(again) is None
    assert await page.python("await storage.write(increment); await storage.read(count)") == "1"


async def test_a_live_query_ends_with_words_when_the_storage_is_cleared(page):
    await page.python(
        """
        import asyncio, pysync_web as ps
        db = await ps.open("live")
        await db.save_document("notes", "a", {"n": 1})
        rows = db.live("FOR n IN notes RETURN n.n")
        first = await anext(rows)
        """
    )
    waiting = page.python(
        """
        try:
            said = await asyncio.wait_for(anext(rows), 20)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        [first, said]
        """
    )
    (first, said), _ = await asyncio.gather(waiting, clear_storage(page))
    assert first == [1] and said.startswith("StorageReset: the database 'live' was deleted while it was open")
    await page.python("await db.close()")


async def test_a_write_under_way_while_the_storage_is_cleared_is_told(page):
    await page.python(OPEN)
    writing = page.python("await asyncio.gather(*[said(storage.write(increment)) for _ in range(200)])")
    results, _ = await asyncio.gather(writing, clear_storage(page))
    assert {name for name, _ in results} <= {"done", "StorageReset"}
    name, _ = await page.python("await asyncio.sleep(0.3); await said(storage.write(increment))")
    assert name == "StorageReset"


async def test_a_database_deleted_by_another_tab_gives_way_and_says_so(page, new_page):
    await page.python(OPEN)
    other = await new_page()
    await other.python("from pysync_web.storage import idb; await idb.delete('faults')")
    name, words = await page.python("await said(storage.write(increment))")
    assert name == "StorageReset" and "deleted in another tab" in words
    assert (await page.python("await said(storage.read(count))"))[0] == "StorageReset"


async def test_a_newer_page_may_upgrade_the_database_and_the_older_one_says_so(page, new_page):
    await page.python(OPEN)
    other = await new_page()
    await other.python(OPEN.partition("storage = await")[0] + "newer = await raw('faults', 99)")
    name, words = await page.python("await said(storage.write(increment))")
    assert name == "StorageReset" and "newer version of this page" in words
    name, words = await page.python("await said(open_storage('faults', engine='indexeddb'))")
    assert name == "FormatTooNew" and "format 99" in words and f"up to {await page.python('idb.FORMAT')}" in words


async def test_a_tab_that_does_not_give_way_is_named_not_waited_for(page):
    await page.python(OPEN.partition("storage = await")[0] + "older = await raw('faults', 2); idb._BLOCKED_S = 0.5")
    name, words = await page.python("await said(open_storage('faults', engine='indexeddb'))")
    assert name == "DatabaseLocked" and "close that tab" in words
    await page.python("older.close(); await asyncio.sleep(0.3)")


async def test_a_connection_that_the_browser_closed_is_opened_again(page):
    await page.python(OPEN)
    await page.python("storage._connection._raw.close()")
    assert await page.python("await storage.write(increment); await storage.read(count)") == "2"
    await page.python("storage._connection._raw.close()")
    counted = "await asyncio.gather(*(storage.write(increment) for _ in range(50))); await storage.read(count)"
    assert await page.python(counted) == "52"


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(page):
    """The record reached the disk, but the connection broke before the browser said so."""
    await page.python(OPEN)
    await page.python(
        """
        end = storage._on_end
        storage._on_end = lambda batch, error: (setattr(storage, "_on_end", end), end(batch, idb.Lost("broken")))
        done = await said(storage.write(increment))
        """
    )
    assert await page.python("[done[0], await storage.read(count)]") == ["done", "2"]
    assert await page.python("await storage.write(increment); await storage.read(count)") == "3"


async def test_a_commit_whose_answer_was_lost_is_not_made_twice_when_another_has_folded_it(page):
    await page.python(OPEN)
    await page.python(
        """
        other = await open_storage("faults", engine="indexeddb")
        end, reconnect = storage._on_end, storage._reconnect

        async def reconnect_late():
            storage._reconnect = reconnect
            await other._catch_up()
            await other._fold()
            await reconnect()

        storage._reconnect = reconnect_late
        storage._on_end = lambda batch, error: (setattr(storage, "_on_end", end), end(batch, idb.Lost("broken")))
        done = await said(storage.write(increment))
        """
    )
    assert await page.python("other._manifest.folded") == await page.python("storage._last")
    assert await page.python("[done[0], await storage.read(count)]") == ["done", "2"]
    assert await page.python("await storage.write(increment); await storage.read(count)") == "3"


async def test_a_full_quota_refuses_what_is_large_and_keeps_the_rest(page):
    await set_quota(page, 3_000_000)
    await page.python(OPEN)
    name, words = await page.python("await said(storage.write(lambda tx: put(tx, 'huge', 20_000_000)))")
    assert name == "QuotaExceeded" and "nothing was written" in words
    assert await page.python("await storage.read(keys)") == ["count"]
    assert (await page.python("await said(storage.write(increment))"))[0] == "done"
    assert (await page.python("await said(storage.write(lambda tx: put(tx, 'small', 1000)))"))[0] == "done"
    together = """
        await asyncio.gather(*[
            said(storage.write(increment)),
            said(storage.write(increment)),
            said(storage.write(lambda tx: put(tx, "huge", 20_000_000))),
            said(storage.write(increment)),
        ])
    """
    assert [name for name, _ in await page.python(together)] == ["done", "done", "QuotaExceeded", "done"]
    await set_quota(page, None)
    assert (await page.python("await said(storage.write(lambda tx: put(tx, 'huge', 20_000_000)))"))[0] == "done"
    await page.python("await storage.close()")
    await page.python('storage = await open_storage("faults", engine="indexeddb")')
    assert await page.python("await storage.read(keys)") == ["count", "huge", "small"]
    assert await page.python("await storage.read(count)") == "5"


@pytest.mark.parametrize(
    ("store", "key", "value"), [("log", "1", "garbage"), ("meta", "manifest", "garbage"), ("log", "1", "a\x1db")]
)
async def test_a_damaged_record_is_told(page, store, key, value):
    await page.python(OPEN + "await storage.close()")
    await page.python(
        """
        database = await raw("faults")
        transaction = database.transaction(store, "readwrite")
        transaction.objectStore(store).put(value, int(key) if key.isdigit() else key)
        await asyncio.sleep(0.2)
        database.close()
        """,
        store=store,
        key=key,
        value=value,
    )
    name, _ = await page.python("await said(open_storage('faults', engine='indexeddb'))")
    assert name == "CorruptData"


async def test_without_locks_every_tab_leads_and_nothing_is_lost(new_page):
    """As on an origin that is not secure, where a browser offers no Web Locks."""
    first, second = await new_page(), await new_page()
    for page in (first, second):
        await page.raw.evaluate("Object.defineProperty(navigator, 'locks', { value: undefined })")
        await page.python(
            OPEN + "indexeddb.FOLD_RECORDS, indexeddb.FOLD_AFTER_S, indexeddb.FOLD_PUT_OFF = 5, 0.0, 0"
        )
        await page.python("give_up = await storage.lead(lambda: None)")
    rounds = "for _ in range(60): await storage.write(increment)"
    await asyncio.gather(first.python(rounds), second.python(rounds))
    assert await first.python("await storage.write(increment); await storage.read(count)") == "123"


async def test_a_browser_without_indexeddb_is_told_in_words(page):
    await page.raw.evaluate(
        "Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    name, words = await page.python(OPEN.partition("storage = await")[0] + "await said(open_storage('faults'))")
    assert name == "StorageError" and "IndexedDB can't be used here" in words


async def test_a_browser_killed_while_it_folds_loses_nothing_that_was_acknowledged(
    own_chromium: Chromium, site: Site
):
    writes = textwrap.dedent("""
        import asyncio, json
        from pysync_web.storage import indexeddb, open_storage
        indexeddb.FOLD_RECORDS, indexeddb.FOLD_AFTER_S, indexeddb.FOLD_PUT_OFF = 20, 0.0, 0

        async def add(tx, n):
            tx.put("s", ("n", n), str(n))
            tx.put("s", ("count",), str(int(await tx.get("s", ("count",)) or "0") + 1))

        async def everything(tx):
            return [await tx.get("s", ("count",)), [key[1] for key, _ in await tx.scan("s", ("n",))]]

        storage = await open_storage("killed", engine="indexeddb")
        count, there = await storage.read(everything)
        acknowledged = []

        async def go_on():
            n = start
            while True:
                await asyncio.gather(*(storage.write(lambda tx, m=m: add(tx, m)) for m in range(n, n + 3)))
                acknowledged.extend(range(n, n + 3))
                n += 3

        writing = asyncio.ensure_future(go_on())
        [count, there]
    """)
    known: list[int] = []
    for n in range(KILLS + 1):
        page = await own_chromium.open(site.address())
        count, there = await page.python(writes, start=n * 100_000)
        assert set(known) <= set(there) and len(there) == int(count or "0"), n
        await asyncio.sleep(0.05 + 0.1 * n)
        known = there + await page.python("acknowledged")
        await own_chromium.kill()
        await own_chromium.start()
    assert len(known) > 20 * KILLS


async def test_half_a_record_that_a_killed_browser_leaves_behind_costs_no_more_than_itself(
    own_chromium: Chromium, site: Site
):
    """Chromium appends behind it, and the time after that deletes everything, if nothing is done about it."""
    for life in range(4):
        page = await own_chromium.open(site.address())
        count = int(await page.python(OPEN + "await storage.read(count)"))
        assert count >= 20 * life + 1
        await page.python("for _ in range(20): await storage.write(increment)")
        await page.python("while len(await js.indexedDB.databases()) > 1: await asyncio.sleep(0.01)")
        await page.python("await storage.write(increment)")
        await own_chromium.kill()
        for log in logs_of(own_chromium):
            os.truncate(log, log.stat().st_size - 5)
        await own_chromium.start()


async def test_a_database_that_the_browser_gave_up_as_corrupt_is_told(own_chromium: Chromium, site: Site):
    opened = "import js, pysync_web as ps; db = await ps.open('faults'); (await db.status()).storage_reset"
    page = await own_chromium.open(site.address())
    assert await page.python(opened) is None
    await page.python("await db.save_document('col', 'key', {'a': 1})")
    await own_chromium.kill()
    for log in logs_of(own_chromium):
        content = log.read_bytes()
        log.write_bytes(content[:40] + b"corrupt" + content[47:])
    await own_chromium.start()
    page = await own_chromium.open(site.address())
    assert await page.python(f"import js; js.localStorage.clear(); {opened}") == "wiped"
    await page.python("await db.close()")
    assert await page.python(opened) is None


def logs_of(browser: Chromium) -> list[Path]:
    """Give the logs to which a Chromium that has ended wrote what its pages stored."""
    return sorted(browser.profile.glob("Default/IndexedDB/*.leveldb/*.log"))


async def clear_storage(page):
    """Delete all that the page's origin has stored, as a person can in the browser's settings."""
    origin = await page.raw.evaluate("location.origin")
    session = await page.raw.context.new_cdp_session(page.raw)
    await session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "indexeddb"})


async def set_quota(page, size):
    """Let the page's origin store so many bytes, or as many as it would."""
    origin = await page.raw.evaluate("location.origin")
    session = await page.raw.context.new_cdp_session(page.raw)
    await session.send(
        "Storage.overrideQuotaForOrigin", {"origin": origin, **({"quotaSize": size} if size else {})}
    )
