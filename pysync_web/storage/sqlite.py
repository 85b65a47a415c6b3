"""Storage in an SQLite file, through the standard library's driver.

Writers of all processes take turns on a lock file: SQLite before 3.51.3 can damage a database in which one
connection commits while another one moves the log into the file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from ..core.ports import Key, ReadTransaction, Touched, Usage, WriteTransaction
from ..errors import (
    CorruptData,
    DatabaseLocked,
    FormatTooNew,
    InvalidDocument,
    QuotaExceeded,
    StorageError,
    StorageReset,
    TransactionError,
)
from ..values import dumps, loads
from .keys import bounds, pack, pack_many, unpack_many
from .locks import FileLock
from .processes import Neighbours
from .step import run
from .table import Writes

T = TypeVar("T")
Body: TypeAlias = Callable[[WriteTransaction], Coroutine[Any, Any, Any]]
Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a body returned, or what it raised."""
Settled: TypeAlias = dict[tuple[str, Key], str | None]
"""Records as they are for the next write, unless another connection commits before it."""

FORMAT: Final = 3
_APPLICATION: Final = 0x70795357  # "pySW", in the header of the file
_RECORDS: Final = (
    "CREATE TABLE records (space TEXT NOT NULL, key BLOB NOT NULL, text TEXT NOT NULL, PRIMARY KEY (space, key))"
)
_FORMATS: Final = {
    1: (f"{_RECORDS} WITHOUT ROWID",),
    2: ("CREATE TABLE changes (id INTEGER PRIMARY KEY, source INTEGER NOT NULL, touched TEXT)",),
    # With row ids new texts share a page, wherever their keys lie, and updated ones stay where they are.
    3: (
        "ALTER TABLE records RENAME TO records_of_format_1",
        _RECORDS,
        "INSERT INTO records SELECT space, key, text FROM records_of_format_1 ORDER BY space, key",
        "DROP TABLE records_of_format_1",
    ),
}
"""For each format, what makes it of the one before. ``changes`` tells other handles what a transaction wrote."""

_FAILURES: Final = (sqlite3.Error, CorruptData)
_KEYS_AT_ONCE: Final = 250
_KEPT_CHANGES: Final = 256
_MOST_TOUCHED: Final = 50

_SETTLED: Final = frozenset({"meta", "hub", "collections", "ttl"})
_MOST_SETTLED: Final = 1000
_LONGEST_SETTLED: Final = 1000
"""Spaces of few records that every write reads, and how many of them, how long ones, are kept in memory."""

_GET: Final = "SELECT text FROM records WHERE space = ? AND key = ?"
_SCAN: Final = (
    "SELECT key, text FROM records WHERE space = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
    "SELECT key, text FROM records WHERE space = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?",
)
# An outer join reads its left side as it comes, which is twice as fast as IN, and keeps the order.
_GET_MANY: Final = (
    "WITH wanted (k) AS (VALUES {}) SELECT text FROM wanted LEFT JOIN records ON space = ? AND key = k"
)
_PUT: Final = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text"
_DELETE: Final = "DELETE FROM records WHERE space = ? AND key = ?"
_NOTE: Final = "INSERT INTO changes (source, touched) VALUES (?, ?)"
_NOTES: Final = "SELECT id, source, touched FROM changes WHERE id > ? ORDER BY id"
_VERSION: Final = "PRAGMA data_version"
_FORGET: Final = "DELETE FROM changes WHERE id <= ?"


class SqliteStorage:
    """A handle on a database file that does everything at once in the calling thread, and never suspends."""

    def __init__(self, file: DatabaseFile, *, is_relaxed: bool = False) -> None:
        self._file = file
        self._is_relaxed = is_relaxed
        self._neighbours = Neighbours(file.path, file)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, durability: str = "strict", busy_timeout_s: float = 5.0
    ) -> SqliteStorage:
        """Open a file, or make it."""
        return cls(DatabaseFile(path, busy_timeout_s=busy_timeout_s), is_relaxed=durability == "relaxed")

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over one snapshot of the file."""
        return self._file.read(body)

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and commit what it wrote."""
        return self._file.write(body, relaxed=relaxed or self._is_relaxed)

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back when others have written, within some tenths of a second."""
        return self._neighbours.watch(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait until no other handle leads; nobody ever takes it away."""
        return await self._neighbours.lead()

    async def usage(self) -> Usage:
        """Tell the size of the file with its log, and what the disk has room for."""
        return self._file.usage()

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Write the file anew without its free pages, and empty its log."""
        return self._file.compact(share)

    async def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._neighbours.close()
        self._file.close()


class DatabaseFile:
    """One connection to a database file, used by one thread."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        busy_timeout_s: float = 5.0,
        writer: DatabaseFile | None = None,
    ) -> None:
        """Open a file, or make it; beside a ``writer`` the connection can only read."""
        self.path: Path = writer.path if writer else _checked(path)
        self._source: int = writer._source if writer else secrets.randbits(63)
        self._busy_timeout_s = busy_timeout_s
        self._is_relaxed = False
        self.is_busy = False  # while a body runs
        self._counter = -1  # SQLite's own, when we last read on
        self._read_until = 0  # the last change that we know
        self._settled: Settled = {}
        self._settled_at = -1  # SQLite's counter: it stays while only this connection commits
        self._turn = FileLock(Path(f"{self.path}-turn"))
        self._connection: sqlite3.Connection | None = None
        try:
            with self._translated(), self._turn.held(busy_timeout_s):
                self._connection = self._connect(is_reader=writer is not None)
        except BaseException:
            self._turn.close()
            raise
        self._identity = self._file_identity()
        self._is_lost = False  # when we last looked

    def _connect(self, is_reader: bool) -> sqlite3.Connection:
        address = f"{self.path.as_uri()}?mode={'ro' if is_reader else 'rwc'}"
        connection = sqlite3.connect(address, self._busy_timeout_s, isolation_level=None, uri=True)
        try:
            connection.execute("PRAGMA mmap_size = 0")
            if not is_reader:
                _prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over one snapshot."""
        connection = self._idle_connection()
        if self._is_lost:
            self._check_identity()
        transaction = _Reader(connection)
        self.is_busy = True
        try:
            connection.execute("BEGIN")
            try:
                return run(body(transaction))
            finally:
                connection.execute("COMMIT")
        except _FAILURES as error:
            raise _ours(error, self.path) from error
        finally:
            self.is_busy = False
            transaction.end()

    def write(self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool) -> T:
        """Run a body and commit what it wrote, all or nothing."""
        connection = self._idle_connection()
        transaction = _Writer(connection, self._settled)
        self.is_busy = True
        try:
            with self._transaction(connection, relaxed):
                result = run(body(transaction))
                transaction.flush()
                self._note(connection, transaction.touched)
            return result
        finally:
            self.is_busy = False
            transaction.end()

    def write_group(self, bodies: Sequence[Body], *, relaxed: bool) -> list[Outcome]:
        """Run bodies one after the other and commit all that they wrote at once; one that raises is left out."""
        connection = self._idle_connection()
        self.is_busy = True
        try:
            with self._transaction(connection, relaxed):
                touched: list[tuple[str, Key]] = []
                outcomes = [self._run_in_savepoint(connection, body, touched) for body in bodies]
                self._note(connection, touched)
            return outcomes
        finally:
            self.is_busy = False

    def _run_in_savepoint(
        self, connection: sqlite3.Connection, body: Body, touched: list[tuple[str, Key]]
    ) -> Outcome:
        transaction = _Writer(connection, self._settled)
        connection.execute("SAVEPOINT body")
        try:
            result = run(body(transaction))
            transaction.flush()
        except BaseException as error:
            self._settled.clear()
            if not connection.in_transaction:
                raise  # SQLite itself gave up all of it, as when the disk is full
            connection.execute("ROLLBACK TO body")
            connection.execute("RELEASE body")
            return None, _ours(error, self.path) if isinstance(error, _FAILURES) else error
        finally:
            transaction.end()
        connection.execute("RELEASE body")
        touched += transaction.touched
        return result, None

    def _idle_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError("the storage is closed")
        if self.is_busy:
            raise TransactionError("a body may not begin another transaction")
        return self._connection

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection, relaxed: bool) -> Iterator[None]:
        self._check_identity()
        self._turn.take(self._busy_timeout_s)
        try:
            if relaxed != self._is_relaxed:
                connection.execute(f"PRAGMA synchronous = {'NORMAL' if relaxed else 'FULL'}")
                self._is_relaxed = relaxed
            connection.execute("BEGIN IMMEDIATE")
            self._forget_unsettled(connection)
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            self._settled.clear()
            with self._translated():
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise error
        finally:
            self._turn.release()

    def _forget_unsettled(self, connection: sqlite3.Connection) -> None:
        (counter,) = connection.execute(_VERSION).fetchone()
        if counter != self._settled_at or len(self._settled) > _MOST_SETTLED:
            self._settled.clear()
            self._settled_at = counter

    def _note(self, connection: sqlite3.Connection, touched: list[tuple[str, Key]]) -> None:
        """Leave word of what this transaction wrote, for other handles."""
        if touched:
            text = dumps(touched) if len(touched) <= _MOST_TOUCHED else None
            number = connection.execute(_NOTE, (self._source, text)).lastrowid or 0
            if number == self._read_until + 1:
                self._read_until = number
            if number % 64 == 0:
                connection.execute(_FORGET, (number - _KEPT_CHANGES,))

    def changes_of_others(self) -> list[Touched]:
        """Give what other handles wrote since the last call; None where that is no longer known."""
        connection = self._idle_connection()
        self._check_identity()
        with self._translated():
            (counter,) = connection.execute(_VERSION).fetchone()
            if counter == self._counter:
                return []
            rows = connection.execute(_NOTES, (self._read_until,)).fetchall()
        self._counter = counter
        if not rows:
            return []
        is_gap = rows[0][0] > self._read_until + 1
        self._read_until = rows[-1][0]
        changes = [_read_note(touched) for _, source, touched in rows if source != self._source]
        return [None] if is_gap or None in changes else changes

    def usage(self) -> Usage:
        """Tell the size of the file with its log, and what the disk has room for."""
        self._idle_connection()
        self._check_identity()
        log = Path(f"{self.path}-wal")
        size = self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)
        return Usage(size, size + shutil.disk_usage(self.path.parent).free)

    def compact(self, share: float) -> tuple[int, int]:
        """Write the file anew where at least a share of its pages is free, and move the log into it."""
        connection = self._idle_connection()
        self._check_identity()
        before = self.usage().bytes
        with self._translated(), self._turn.held(self._busy_timeout_s):
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            if free >= share * pages:
                connection.execute("PRAGMA temp_store = FILE")  # it may not fit into memory
                try:
                    connection.execute("VACUUM")
                finally:
                    connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, self.usage().bytes

    def _file_identity(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_dev, status.st_ino

    def _check_identity(self) -> None:
        try:
            is_same = self._file_identity() == self._identity
        except (FileNotFoundError, NotADirectoryError):
            is_same = False
        except OSError as error:
            raise StorageError(f"{self.path} can't be looked at: {error.strerror}") from error
        self._is_lost = not is_same
        if not is_same:
            raise StorageReset(f"{self.path} was deleted or replaced while it was open")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise _ours(error, self.path) from error

    def close(self) -> None:
        """Close the connection; the last one moves the log into the file."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with self._turn.held(self._busy_timeout_s):
                connection.close()
        except DatabaseLocked:
            connection.close()  # who has the turn has the file open, so this is not the last connection
        self._turn.close()


def _read_note(touched: str | None) -> Touched:
    return None if touched is None else [(space, tuple(key)) for space, key in loads(touched)]


def _checked(path: str | os.PathLike[str]) -> Path:
    """Give the absolute path of a database file, or say in words why it can't be one."""
    place = Path(path).absolute()
    folder = place.parent
    try:
        if place.is_dir():
            raise StorageError(f"{place} is a folder: name a file in it")
        if not folder.is_dir():
            wrong = "is a file, not a folder" if folder.exists() else "does not exist: make this folder first"
            raise StorageError(f"{folder} {wrong}")
        for needed in (place, folder) if place.exists() else (folder,):  # SQLite makes files beside it
            if not os.access(needed, os.W_OK):
                raise StorageError(
                    f"{needed} can't be written: its permissions don't allow it, or its file system is read-only"
                )
    except OSError as error:
        raise StorageError(f"{place} can't be opened: {error.strerror}") from error
    return place


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set the connection up and bring the file to this format."""
    found = _format(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(f"{path}: the file system does not support SQLite's write-ahead log")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    if found < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        for version in range(_format(connection, path) + 1, FORMAT + 1):
            for statement in _FORMATS[version]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _format(connection: sqlite3.Connection, path: Path) -> int:
    """Give the format of a file, 0 if it is empty; refuse one of another application, or of a later version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION:
        raise StorageError(f"{path} is an SQLite database of another application")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise FormatTooNew(
            f"{path} has format {found}, this version of pysync_web reads up to {FORMAT}: update pysync_web"
        )
    return int(found)


def _ours(error: Exception, path: Path) -> StorageError:
    """Give what to raise for an exception of the driver, or for a record that can't be read."""
    if isinstance(error, CorruptData):
        return CorruptData(f"{path}: {error}")
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return StorageReset(f"{path} was deleted or moved while it was open")
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatabaseLocked(f"{path}: another process held the database for too long")
        case sqlite3.SQLITE_FULL:
            return QuotaExceeded(f"{path}: the disk is full, nothing was written")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptData(f"{path} is damaged or no SQLite database: {error}")
    return StorageError(f"{path}: {error}")


class _Reader:
    """A :class:`ReadTransaction` over a connection."""

    __slots__ = ("_connection", "_execute")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    @property
    def version(self) -> tuple[int, int]:
        """What is the same for two reads of one handle only if nobody has committed anything between them.

        The first number is another one after commits of others, the second after any change of our own.
        """
        (others,) = self._execute(_VERSION).fetchone()
        return others, self._connection.total_changes

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        row = self._execute(_GET, (space, pack(key))).fetchone()
        return row[0] if row else None

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        """Give one text or None for each key."""
        if len(keys) == 1:
            return [await self.get(space, keys[0])]
        packed = pack_many(keys)
        found: list[str | None] = []
        for start in range(0, len(packed), _KEYS_AT_ONCE):
            some = packed[start : start + _KEYS_AT_ONCE]
            statement = _GET_MANY.format(",".join(["(?)"] * len(some)))
            found += [text for (text,) in self._execute(statement, (*map(bytearray, some), space))]
        return found

    async def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        low, high = bounds(prefix, after, reverse)
        rows = self._execute(_SCAN[reverse], (space, low, high, -1 if limit is None else limit)).fetchall()
        return list(zip(unpack_many([key for key, _ in rows]), [text for _, text in rows], strict=True))

    def end(self) -> None:
        """Refuse any further use."""
        self._execute = _refuse


class _Writer(_Reader):
    """A :class:`WriteTransaction` over a connection; writes wait until a scan or the end of the body."""

    __slots__ = ("_flushed", "_many", "_settled", "touched", "writes")

    def __init__(self, connection: sqlite3.Connection, settled: Settled) -> None:
        super().__init__(connection)
        self._many = connection.executemany
        self._settled = settled
        self.writes: Writes = defaultdict(dict)
        self._flushed: Writes = {}  # before a scan
        self.touched: list[tuple[str, Key]] = []

    def put(self, space: str, key: Key, text: str) -> None:
        """Store a text."""
        self.writes[space][key] = text

    def delete(self, space: str, key: Key) -> None:
        """Remove a key."""
        self.writes[space][key] = None

    def written(self, space: str) -> Collection[Key]:
        """Give the keys that were put or deleted."""
        return self._flushed.get(space, {}).keys() | self.writes.get(space, {}).keys()

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        written = self.writes.get(space)
        if written and key in written:
            return written[key]
        if space in _SETTLED and (space, key) in self._settled:
            return self._settled[space, key]
        row = self._execute(_GET, (space, pack(key))).fetchone()
        text = row[0] if row else None
        self._settle(space, {key: text})
        return text

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        """Give one text or None for each key."""
        if len(keys) == 1:
            return [await self.get(space, keys[0])]
        found = await super().get_many(space, keys)
        written = self.writes.get(space)
        return [written.get(key, text) for key, text in zip(keys, found, strict=True)] if written else found

    async def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        if self.writes.get(space):
            written = self.writes[space]
            self._flush({space: written})  # what can't be written fails once more where a body has caught that
            del self.writes[space]
            self._flushed.setdefault(space, {}).update(written)
        return await super().scan(space, prefix, after=after, limit=limit, reverse=reverse)

    def _settle(self, space: str, records: Mapping[Key, str | None]) -> None:
        """Keep records as this transaction leaves them; what undoes it lets go of all."""
        if space in _SETTLED:
            for key, text in records.items():
                if text is None or len(text) <= _LONGEST_SETTLED:
                    self._settled[space, key] = text
                else:
                    self._settled.pop((space, key), None)

    def flush(self) -> None:
        """Hand what was written to SQLite."""
        self._flush(self.writes)

    def _flush(self, writes: Writes) -> None:
        puts: list[tuple[str, bytes, str]] = []
        deletes: list[tuple[str, bytes]] = []
        for space, written in writes.items():
            self._settle(space, written)
            if len(self.touched) <= _MOST_TOUCHED:
                self.touched += [(space, key) for key in written]
            packed = pack_many(list(written)) if len(written) > 1 else map(pack, written)
            for key, text in zip(packed, written.values(), strict=True):
                if text is None:
                    deletes.append((space, key))
                else:
                    puts.append((space, key, text))
        try:
            if puts:
                # the driver looks for an adapter of each bytes object, and of no bytearray
                self._many(_PUT, [(space, bytearray(key), text) for space, key, text in sorted(puts)])
            if deletes:
                self._many(_DELETE, deletes)
        except UnicodeEncodeError as error:
            raise InvalidDocument("a text holds a lone surrogate") from error

    def end(self) -> None:
        """Refuse any further use."""
        self._execute = self._many = _refuse
        self._settled = {}
        self.writes = _REFUSING


def _refuse(*_: Any) -> NoReturn:
    raise TransactionError("the transaction has ended: use it only inside the body that was given it")


_REFUSING: Any = type("_Refusing", (dict,), {"__missing__": _refuse})()
