"""The browser's side of the IndexedDB storage: an open database, one transaction a call, plain values in and out.

Nothing is awaited inside a transaction: requests are sent together, and what must be decided in between is decided
by plain functions that the browser calls while the transaction lives. No JavaScript is evaluated, so any
Content-Security-Policy will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import js
from pyodide.ffi import create_proxy, to_js

from ..errors import CorruptData, FormatTooNew, QuotaExceeded, StorageError, StorageReset

FORMAT: Final = 2
"""The version of the database. Format 1 had one record a document in a store ``records``."""

_LOG, _SEGMENTS, _META = "log", "segments", "meta"
_MANIFEST, _GENERATION, _IDENTITY = "manifest", "generation", "identity"


class Lost(Exception):
    """The connection is gone; it may be opened again."""


class Conflict(Exception):
    """Another handle appended or folded first: take in what it did, and do it again."""


class Connection:
    """An open database."""

    def __init__(self, name: str, raw: Any, on_gone: Callable[[str], None]) -> None:
        self.name = name
        self._raw = raw
        self._proxies = [
            create_proxy(lambda _: on_gone("closed")),
            create_proxy(lambda _: self._give_way(on_gone)),
            create_proxy(self._on_complete),
            create_proxy(self._on_abort),
            create_proxy(self._on_generation),
            create_proxy(self._on_tail),
        ]
        raw.onclose, raw.onversionchange = self._proxies[:2]
        self._stores = to_js([_LOG, _META])
        self._options = {
            relaxed: to_js({"durability": "relaxed" if relaxed else "strict"}, dict_converter=js.Object.fromEntries)
            for relaxed in (True, False)
        }
        self._transaction: Any = None
        self._generation = 0
        self._is_stale = False
        self._failure: BaseException | None = None
        self._tail: Callable[[Sequence[str]], str | None] | None = None
        self._done: Callable[[BaseException | None], None] = lambda _: None

    def _give_way(self, on_gone: Callable[[str], None]) -> None:
        """Close for a handle that wants to delete or upgrade the database."""
        self._raw.close()
        on_gone("given way to another tab that upgrades or deletes it")

    def append(
        self, seq: int, text: str, generation: int, *, relaxed: bool, done: Callable[[BaseException | None], None]
    ) -> None:
        """Add log record ``seq`` if it is the next one and nobody has folded since; ``done`` hears how it went."""
        transaction = self._begin(relaxed, done)
        self._generation = generation
        transaction.objectStore(_META).get(_GENERATION).onsuccess = self._proxies[4]
        transaction.objectStore(_LOG).add(text, seq)

    def append_after(
        self,
        last: int,
        tail: Callable[[Sequence[str]], str | None],
        generation: int,
        *,
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Give the log after record ``last`` to a function and append the text that it makes, in one transaction."""
        transaction = self._begin(False, done)
        self._generation = generation
        self._tail = tail
        transaction.objectStore(_META).get(_GENERATION).onsuccess = self._proxies[4]
        after = js.IDBKeyRange.lowerBound(last, True)
        transaction.objectStore(_LOG).getAll(after).onsuccess = self._proxies[5]
        self._last = last

    def _begin(self, relaxed: bool, done: Callable[[BaseException | None], None]) -> Any:
        try:
            transaction = self._raw.transaction(self._stores, "readwrite", self._options[relaxed])
        except Exception as error:
            raise Lost(str(error)) from error
        self._transaction, self._done = transaction, done
        self._is_stale, self._failure = False, None
        transaction.oncomplete = self._proxies[2]
        transaction.onabort = self._proxies[3]
        return transaction

    def _on_generation(self, event: Any) -> None:
        if (event.target.result or 0) != self._generation:
            self._is_stale = True
            self._transaction.abort()

    def _on_tail(self, event: Any) -> None:
        if self._is_stale or self._tail is None:
            return
        try:
            records = event.target.result.to_py()
            text = self._tail(records)
            if text is not None:
                self._transaction.objectStore(_LOG).add(text, self._last + len(records) + 1)
        except BaseException as error:
            self._failure = error
            self._transaction.abort()

    def _on_complete(self, _: Any) -> None:
        self._finish(None)

    def _on_abort(self, event: Any) -> None:
        if self._failure is not None:
            self._finish(self._failure)
            return
        error = event.target.error
        name = error.name if error else ""
        if self._is_stale or name == "ConstraintError":
            self._finish(Conflict("another handle wrote first"))
        else:
            self._finish(translated(name, error.message if error else "the transaction was aborted", self.name))

    def _finish(self, error: BaseException | None) -> None:
        done, self._transaction, self._tail = self._done, None, None
        done(error)

    async def load(self) -> tuple[str | None, int, list[str], str | None]:
        """Read the manifest, its generation, the log, and the database's identity, as of one moment."""
        requests = self._read(
            lambda log, meta: [
                meta.get(_MANIFEST),
                meta.get(_GENERATION),
                log.getAll(),
                meta.get(_IDENTITY),
            ]
        )
        manifest, generation, log, identity = await requests
        return manifest, generation or 0, log.to_py(), identity

    async def load_log(self, after: int) -> tuple[str | None, int, list[str]]:
        """Read the manifest, the number of the last log record, and the records after one."""
        manifest, last, log = await self._read(
            lambda log, meta: [
                meta.get(_MANIFEST),
                log.getAllKeys(js.IDBKeyRange.lowerBound(after, True)),
                log.getAll(js.IDBKeyRange.lowerBound(after, True)),
            ]
        )
        keys = last.to_py()
        return manifest, keys[-1] if keys else after, log.to_py()

    async def segments(self, ids: Sequence[int]) -> list[str]:
        """Read segments; one that was folded away meanwhile raises :class:`Conflict`."""
        try:
            transaction = self._raw.transaction(to_js([_SEGMENTS]), "readonly")
        except Exception as error:
            raise Lost(str(error)) from error
        store = transaction.objectStore(_SEGMENTS)
        texts = await _results(transaction, [store.get(i) for i in ids], self.name)
        if any(text is None for text in texts):
            raise Conflict("a segment was folded away")
        return texts

    async def put_segments(self, first_free: int | None, texts: dict[int, str]) -> None:
        """Put segments that no manifest names yet; those of a fold that was not finished are removed first."""
        transaction = self._raw.transaction(to_js([_SEGMENTS]), "readwrite")
        store = transaction.objectStore(_SEGMENTS)
        if first_free is not None:
            store.delete(js.IDBKeyRange.lowerBound(first_free))
        for number, text in texts.items():
            store.put(text, number)
        await _results(transaction, [], self.name)

    async def finish_fold(self, manifest: str, generation: int, folded: int, gone: Sequence[int]) -> None:
        """Make a manifest the one that holds, and remove the log and the segments that it replaces."""
        transaction = self._raw.transaction(to_js([_LOG, _SEGMENTS, _META]), "readwrite")
        meta, segments = transaction.objectStore(_META), transaction.objectStore(_SEGMENTS)
        stale = False

        def check(event: Any) -> None:
            nonlocal stale
            if (event.target.result or 0) != generation - 1:
                stale = True
                transaction.abort()
                return
            meta.put(manifest, _MANIFEST)
            meta.put(generation, _GENERATION)
            for number in gone:
                segments.delete(number)
            transaction.objectStore(_LOG).delete(js.IDBKeyRange.upperBound(folded))

        proxy = create_proxy(check)
        meta.get(_GENERATION).onsuccess = proxy
        try:
            await _results(transaction, [], self.name)
        except StorageError as error:
            raise (Conflict("another handle folded first") if stale else error) from error
        finally:
            proxy.destroy()

    def _read(self, ask: Callable[[Any, Any], list[Any]]) -> Any:
        try:
            transaction = self._raw.transaction(self._stores, "readonly")
        except Exception as error:
            raise Lost(str(error)) from error
        requests = ask(transaction.objectStore(_LOG), transaction.objectStore(_META))
        return _results(transaction, requests, self.name)

    def close(self) -> None:
        """Close the database once its transactions are through."""
        self._raw.onclose = self._raw.onversionchange = None
        self._raw.close()
        for proxy in self._proxies:
            proxy.destroy()


async def connect(name: str, identity: str, on_gone: Callable[[str], None]) -> Connection:
    """Open a database, or make it with an identity; bring an older format up to this one."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Any] = loop.create_future()

    def settle(error: BaseException | None, event: Any) -> None:
        if not opened.done():
            opened.set_exception(error) if error else opened.set_result(event.target.result)

    def failed(event: Any) -> None:
        error = event.target.error
        settle(translated(error.name, error.message, name), event)

    proxies = [
        create_proxy(lambda event: settle(None, event)),
        create_proxy(failed),
        create_proxy(lambda event: _upgrade(event, identity)),
    ]
    try:
        request = js.indexedDB.open(name, FORMAT)
    except Exception as error:
        raise StorageError(f"IndexedDB can't be used here: {error}") from error
    request.onsuccess, request.onerror, request.onupgradeneeded = proxies
    try:
        return Connection(name, await opened, on_gone)
    finally:
        for proxy in proxies:
            proxy.destroy()


async def delete(name: str) -> None:
    """Delete a database, once every handle on it has given way."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    proxy = create_proxy(lambda _: _settle(done))
    request = js.indexedDB.deleteDatabase(name)
    request.onsuccess = request.onerror = proxy
    try:
        await done
    finally:
        proxy.destroy()


def translated(name: str, message: str, database: str) -> StorageError:
    """Turn the name of a DOMException into an error of ours."""
    where = f"the database {database!r}"
    match name:
        case "QuotaExceededError":
            return QuotaExceeded(f"{where}: the browser's storage is full, nothing was written")
        case "VersionError":
            return FormatTooNew(f"{where} was written by a newer pysync_web than format {FORMAT}: update it")
        case "InvalidStateError" | "AbortError":
            return StorageReset(f"{where} was closed or deleted while it was open: {message}")
        case "DataError" | "NotReadableError" | "EncodingError":
            return CorruptData(f"{where} can't be read: {message}")
    return StorageError(f"{where}: {name}: {message}")


def _upgrade(event: Any, identity: str) -> None:
    """Make the stores, and turn the records of format 1 into a log record."""
    from .segments import encode_writes
    from .table import Writes

    database, transaction = event.target.result, event.target.transaction
    names = {_LOG, _SEGMENTS, _META}
    for name in names:
        if not database.objectStoreNames.contains(name):
            database.createObjectStore(name)
    meta = transaction.objectStore(_META)
    meta.put(identity, _IDENTITY)
    if event.oldVersion != 1 or not database.objectStoreNames.contains("records"):
        return
    old = transaction.objectStore("records")
    found: list[Any] = []

    def moved(got: Any) -> None:
        from ..values import loads

        found.append(got.target.result.to_py())
        if len(found) < 2:
            return
        writes: Writes = {}
        for packed, text in zip(*found, strict=True):
            space, *key = loads(packed)
            writes.setdefault(space, {})[tuple(key)] = text
        transaction.objectStore(_LOG).put(encode_writes(writes), 1)
        database.deleteObjectStore("records")

    proxy = create_proxy(moved)
    old.getAllKeys().onsuccess = proxy
    old.getAll().onsuccess = proxy


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _results(transaction: Any, requests: Sequence[Any], name: str) -> list[Any]:
    """Wait for a transaction and give the results of its requests."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def aborted(_: Any) -> None:
        error = transaction.error
        if not done.done():
            done.set_exception(
                translated(error.name, error.message, name)
                if error
                else StorageReset(f"the database {name!r} was closed while it was read")
            )

    proxies = [create_proxy(lambda _: _settle(done)), create_proxy(aborted)]
    transaction.oncomplete, transaction.onabort = proxies
    try:
        await done
    finally:
        transaction.oncomplete = transaction.onabort = None
        for proxy in proxies:
            proxy.destroy()
    return [request.result for request in requests]
