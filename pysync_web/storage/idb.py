"""The browser's side of the IndexedDB storage: an open database, one transaction a call, texts in and out.

Nothing is awaited inside a transaction: what must be decided there is decided by plain functions that the browser
calls while it lives. No JavaScript is evaluated, so any Content-Security-Policy will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Any, Final

import js
from pyodide.ffi import JsException, create_once_callable, create_proxy, to_js

from ..errors import CorruptData, DatabaseLocked, FormatTooNew, QuotaExceeded, StorageError, StorageReset
from .formats import records_of_format_2
from .witness import note_loss

FORMAT: Final = 3
"""The version of the database. Format 2 had lines where this one has control characters."""

LOG, SEGMENTS, META = "log", "segments", "meta"
_MANIFEST, _GENERATION = "manifest", "generation"
_MANY_CHARS: Final = 8 * 1024
"""From here on a text is stored as bytes, which JavaScript hands over much faster."""

_BLOCKED_S: Final = 5.0
_PASSING: Final = "pysync_web passing"
"""A database that is made only to be deleted."""


class Lost(Exception):
    """The connection is gone; it may be opened again."""


class Conflict(Exception):
    """Another handle has appended or folded first."""


class Prompt(asyncio.Future[Any]):
    """A future whose waiters go on at once, inside the browser's event, instead of some tenths of a ms later.

    Where it is finished by a task, they have to wait until that is interrupted, as always.
    """

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._waiters: list[tuple[Callable[[Any], object], Context | None]] = []

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Call a function when this is done."""
        if self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._waiters.append((fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Call a function no more."""
        before = len(self._waiters)
        self._waiters = [one for one in self._waiters if one[0] != fn]
        return before - len(self._waiters)

    def cancel(self, msg: Any = None) -> bool:
        """Cancel this, and tell the waiters soon."""
        if not super().cancel(msg):
            return False
        self._call_soon()
        return True

    def finish(self, result: Any = None, error: BaseException | None = None) -> None:
        """Give the result, or the error, to those who wait; nothing happens if nobody does any more."""
        if self.done():
            return
        if error is None:
            self.set_result(result)
        else:
            self.set_exception(error)
        if asyncio.current_task() is not None:
            self._call_soon()
            return
        waiters, self._waiters = self._waiters, []
        for fn, context in waiters:
            if context is None:
                fn(self)
            else:
                context.run(fn, self)

    def _call_soon(self) -> None:
        waiters, self._waiters = self._waiters, []
        for fn, context in waiters:
            self.get_loop().call_soon(fn, self, context=context)


class Connection:
    """An open database. One transaction at a time writes; others read."""

    def __init__(self, name: str, raw: Any, on_gone: Callable[[StorageReset | None], None]) -> None:
        self.name = name
        self._raw = raw
        self._on_gone = on_gone
        self._transaction = raw.transaction
        self._options = _durabilities()
        self._is_closed = False
        self._write: Any = None
        self._failure: BaseException | None = None
        self._done: Callable[[BaseException | None], None] = _ignore
        self._on_write = create_proxy(self._end_write)
        self._on_database = create_proxy(self._end_database)
        raw.onclose = raw.onversionchange = self._on_database

    def _end_database(self, event: Any) -> None:
        """Give way to a tab that upgrades or deletes the database, or note that the browser closed it."""
        if event.type == "close":
            done, self._done = self._done, _ignore
            self._on_gone(None)
            done(Lost("the browser closed the database"))  # it may never say what became of the transaction
            return
        self._raw.close()
        why = "opened by a newer version of this page" if event.newVersion else "deleted"
        self._on_gone(StorageReset(f"the database {self.name!r} was {why} in another tab: load this page again"))

    def append(self, seq: int, text: str, *, relaxed: bool, done: Callable[[BaseException | None], None]) -> None:
        """Add log record ``seq``; ``done`` hears of :class:`Conflict` if there is one already."""
        transaction = self._begin_write(LOG, relaxed, done)
        transaction.objectStore(LOG).add(_stored(text), seq)
        transaction.commit()

    def append_after(
        self,
        last: int,
        make: Callable[[list[str]], str | None],
        *,
        relaxed: bool,
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Hand the records after ``last`` to a function and add the one that it makes, in one transaction."""
        transaction = self._begin_write(LOG, relaxed, done)
        log = transaction.objectStore(LOG)

        def on_tail(event: Any) -> None:
            try:
                records = _texts(event.target.result)
                text = make(records)
                if text is not None:
                    log.add(_stored(text), last + len(records) + 1)
                transaction.commit()
            except BaseException as error:
                self._failure = error
                transaction.abort()

        log.getAll(js.IDBKeyRange.lowerBound(last, True)).onsuccess = create_once_callable(on_tail)

    def _begin_write(self, stores: Any, relaxed: bool, done: Callable[[BaseException | None], None]) -> Any:
        try:
            transaction = self._transaction(stores, "readwrite", self._options[relaxed])
        except JsException as error:
            raise Lost(str(error)) from error
        self._write, self._done, self._failure = transaction, done, None
        transaction.oncomplete = transaction.onabort = self._on_write
        return transaction

    def _end_write(self, event: Any) -> None:
        done, self._done = self._done, _ignore
        if event.type == "complete":
            done(None)
        else:
            error = self._write.error
            is_taken = bool(error) and error.name == "AbortError"  # Firefox may say so of a number that is taken
            conflict = Conflict("another handle has appended first") if is_taken else None
            done(self._failure or conflict or _translated(error, self.name))
        if self._is_closed and self._done is _ignore:
            self._on_write.destroy()

    async def load(self) -> tuple[str | None, list[str]]:
        """Read the manifest and the log as of one moment."""
        manifest, log = await self._read((META, LOG), lambda stores: [stores[0].get(_MANIFEST), stores[1].getAll()])
        return (_text(manifest) if manifest else None), _texts(log)

    async def load_log(self, after: int) -> list[str]:
        """Read the log's records after one."""
        (log,) = await self._read((LOG,), lambda stores: [stores[0].getAll(js.IDBKeyRange.lowerBound(after, True))])
        return _texts(log)

    async def segments(self, numbers: Sequence[int]) -> list[str]:
        """Read segments; raise :class:`Conflict` if one was folded away."""
        runs = _runs_of(numbers)
        bound = js.IDBKeyRange.bound
        results = await self._read(
            (SEGMENTS,), lambda stores: [stores[0].getAll(bound(first, last)) for first, last in runs]
        )
        texts = [text for result in results for text in _texts(result)]
        if len(texts) != len(numbers):
            raise Conflict("a segment was folded away")
        return texts

    async def _read(self, names: Sequence[str], ask: Callable[[list[Any]], list[Any]]) -> list[Any]:
        try:
            transaction = self._transaction(names[0] if len(names) == 1 else to_js(names), "readonly")
        except JsException as error:
            raise Lost(str(error)) from error
        requests = ask([transaction.objectStore(name) for name in names])
        await _end_of(transaction, self.name)
        return [request.result for request in requests]

    async def fold(
        self,
        manifest: str,
        generation: int,
        segments: dict[int, str],
        gone: Iterable[int],
        log: dict[int, str],
        keep: bool,
    ) -> None:
        """Replace a manifest of the generation before, and remove what it no longer needs.

        Handles that have not read as far yet must not find a log number free that was taken before, and one that
        lost the answer to a commit must see that it was made: ``keep`` leaves what ``log`` has for each number.
        """
        try:
            transaction = self._transaction(to_js((META, SEGMENTS, LOG)), "readwrite", self._options[False])
        except JsException as error:
            raise Lost(str(error)) from error
        meta, store, records = (transaction.objectStore(name) for name in (META, SEGMENTS, LOG))
        is_stale = False

        def change(event: Any) -> None:
            nonlocal is_stale
            is_stale = (event.target.result or 0) != generation - 1
            if is_stale:
                transaction.abort()
                return
            meta.put(_stored(manifest), _MANIFEST)
            meta.put(generation, _GENERATION)
            for number, text in segments.items():
                store.put(_stored(text), number)
            for number in gone:
                store.delete(number)
            if not keep:
                records.delete(js.IDBKeyRange.upperBound(max(log, default=0)))
            for number, left in log.items() if keep else ():
                records.put(left, number)
            transaction.commit()

        meta.get(_GENERATION).onsuccess = create_once_callable(change)
        try:
            await _end_of(transaction, self.name)
        except (StorageError, Lost) as error:
            raise (Conflict("another handle has folded first") if is_stale else error) from error

    def close(self) -> None:
        """Close the database once its transactions are through."""
        self._raw.onclose = self._raw.onversionchange = None
        self._raw.close()
        self._is_closed = True
        self._on_database.destroy()
        if self._done is _ignore:
            self._on_write.destroy()


async def connect(
    name: str,
    manifest: str | None,
    on_gone: Callable[[StorageReset | None], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> Connection:
    """Open a database, and bring an older format up to this one; where there is none, make it with a manifest.

    Without a manifest none is made: :class:`StorageReset` says that the database has been deleted. ``meanwhile`` is
    called while the browser opens it.
    """
    opening = _Opening(name, manifest)
    try:
        meanwhile()
        return Connection(name, await opening.opened, on_gone)
    except FormatTooNew as error:
        found = await _existing_format(name)
        raise FormatTooNew(
            f"the database {name!r} has format {found}, this version of pysync_web reads up to {FORMAT}: update "
            "pysync_web"
        ) from error
    except BaseException:
        opening.opened.cancel()
        raise
    finally:
        opening.forget()


async def _existing_format(name: str) -> int:
    request = js.indexedDB.open(name)
    await _answered(request)
    version = int(request.result.version)
    request.result.close()
    return version


class _Opening:
    """A request for a database."""

    def __init__(self, name: str, manifest: str | None) -> None:
        self.opened = Prompt()
        self._name = name
        self._manifest = manifest
        self._failure: BaseException | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._proxy = create_proxy(self._on_event)
        try:
            request = js.indexedDB.open(name, FORMAT)
        except (JsException, AttributeError) as error:
            raise StorageError(f"IndexedDB can't be used here: {error}") from error
        request.onsuccess = request.onerror = request.onupgradeneeded = request.onblocked = self._proxy
        self._request = request

    def _on_event(self, event: Any) -> None:
        match event.type:
            case "success" if self.opened.done():
                self._request.result.close()
            case "success":
                self.opened.finish(self._request.result)
            case "upgradeneeded":
                if getattr(event, "dataLoss", None) == "total":  # Chromium's word for a corrupt LevelDB
                    note_loss(self._name)
                self._upgrade(event.oldVersion)
            case "blocked":
                self._patience = asyncio.get_running_loop().call_later(_BLOCKED_S, self._lose_patience)
            case _:
                error = self._failure or _translated(self._request.error, self._name)
                self.opened.finish(error=error)

    def _lose_patience(self) -> None:
        self.opened.finish(
            error=DatabaseLocked(
                f"the database {self._name!r} waits to be upgraded, but another tab with an older version of this "
                "page has it open: close that tab"
            )
        )

    def _upgrade(self, old: int) -> None:
        transaction, database = self._request.transaction, self._request.result
        try:
            if old == 0 and self._manifest is None:
                raise StorageReset(f"the database {self._name!r} was deleted while it was open: open it again")
            if old == 0:
                for store in (LOG, SEGMENTS, META):
                    database.createObjectStore(store)
                transaction.objectStore(META).put(self._manifest, _MANIFEST)
            elif old == 2:
                _from_format_2(transaction, self._manifest, self._fail)
            else:
                raise CorruptData(f"the database {self._name!r} has format {old}, which there never was")
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._request.transaction.abort()

    def forget(self) -> None:
        """Release what the request held."""
        if self._patience is not None:
            self._patience.cancel()
        if self._request.readyState == "done":
            self._proxy.destroy()


def _from_format_2(transaction: Any, manifest: str | None, fail: Callable[[BaseException], None]) -> None:
    """Turn the manifest, segments and log of format 2 into one log record, inside the upgrading transaction."""
    stores = [transaction.objectStore(name) for name in (META, SEGMENTS, LOG)]
    requests = [stores[0].get(_MANIFEST), stores[1].getAll(), stores[2].getAll()]

    def change(_: Any) -> None:
        try:
            old, segments, log = (request.result for request in requests)
            text = records_of_format_2(_text(old) if old else None, _texts(segments), _texts(log))
            for store in stores:
                store.clear()
            stores[0].put(manifest, _MANIFEST)
            stores[2].put(_stored(text), 1)
        except BaseException as error:
            fail(error)

    requests[-1].onsuccess = create_once_callable(change)


def leave_torn_log() -> None:
    """Have Chromium begin a new log file, so that half a record at the end of the old one does no harm.

    Chromium keeps what an origin has in one LevelDB, and a browser that is killed may leave half a record at the
    end of its log. The next one appends behind that; the one after it takes the half record for corruption and
    deletes every database of the origin. LevelDB begins a new log when a database is deleted, so each page makes
    and deletes one before it writes. Other browsers need nothing of the kind. Nobody waits for it.
    """
    if "Chrome/" not in js.navigator.userAgent:
        return
    request = js.indexedDB.open(_PASSING)

    def on_end(event: Any) -> None:
        if event.type == "success":  # an error is one such as a full disk
            request.result.close()
            js.indexedDB.deleteDatabase(_PASSING)

    request.onsuccess = request.onerror = create_once_callable(on_end)


async def usage() -> tuple[int, int | None, bool]:
    """Give the bytes that this origin takes, those that it may take if that is said, and whether they are kept."""
    manager = js.navigator.storage
    estimate = (await manager.estimate()).to_py()
    return int(estimate.get("usage") or 0), estimate.get("quota"), bool(await manager.persisted())


async def persist() -> bool:
    """Ask the browser to keep what this origin stores; it may ask the user, or say no by itself."""
    return bool(await js.navigator.storage.persist())


async def delete(name: str) -> None:
    """Delete a database, once every handle on it has given way."""
    await _answered(js.indexedDB.deleteDatabase(name))


async def _answered(request: Any) -> None:
    """Wait until a request is through, well or not."""
    done = Prompt()
    proxy = create_proxy(lambda _: done.finish())
    request.onsuccess = request.onerror = proxy
    try:
        await done
    finally:
        proxy.destroy()


async def _end_of(transaction: Any, name: str) -> None:
    """Wait until a transaction is through; raise what went wrong."""
    done = Prompt()

    def on_event(event: Any) -> None:
        done.finish(error=None if event.type == "complete" else _translated(transaction.error, name))

    proxy = create_proxy(on_event)
    transaction.oncomplete = transaction.onabort = proxy
    try:
        await done
    finally:
        transaction.oncomplete = transaction.onabort = None
        proxy.destroy()


def _translated(error: Any, database: str) -> BaseException:
    """Turn a DOMException into an error of ours; one that is null means that the browser took the database away."""
    if not error:
        return Lost("the browser closed the database")
    where = f"the database {database!r}"
    match error.name:
        case "ConstraintError":
            return Conflict("another handle has appended first")
        case "QuotaExceededError":
            return QuotaExceeded(f"{where}: the browser's storage is full, nothing was written")
        case "UnknownError" if "NO_SPACE" in error.message:
            return QuotaExceeded(f"{where}: the disk is full, nothing was written")
        case "VersionError":
            return FormatTooNew(f"{where} has a newer format than {FORMAT}")
        case "InvalidStateError" | "AbortError" | "UnknownError":
            return Lost(f"{where}: {error.message}")
        case "DataError" | "NotReadableError" | "EncodingError" | "DataCloneError":
            return CorruptData(f"{where} can't be read: {error.message}")
    return StorageError(f"{where}: {error.name}: {error.message}")


def _stored(text: str) -> Any:
    return text if len(text) < _MANY_CHARS else to_js(text.encode())


def _text(stored: Any) -> str:
    return stored if isinstance(stored, str) else stored.to_bytes().decode()


def _texts(array: Any) -> list[str]:
    return [one if isinstance(one, str) else bytes(one).decode() for one in array.to_py()]


def _runs_of(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Give the runs of successive numbers, each by its first and last."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def _durabilities() -> dict[bool, Any]:
    options = {}
    for is_relaxed, durability in ((True, "relaxed"), (False, "strict")):
        options[is_relaxed] = js.Object.new()
        options[is_relaxed].durability = durability
    return options


def _ignore(_: BaseException | None) -> None:
    """Hear nothing."""
