"""Every exception that pysync_web raises, cut by what the caller can do about it.

::

    SyncError
    ├── InvalidDocument        a document, key or collection name that can't be stored: change it
    ├── SchemaError            data or a request of a wrong shape, naming the place
    ├── StorageError           the local database
    │   ├── TransactionError   a transaction body awaited something that is not its transaction
    │   ├── QuotaExceeded      disk or quota full: nothing was written; reads and deletes still work
    │   ├── DatabaseLocked     another process holds the database for too long: try again
    │   ├── StorageReset       the storage was deleted under an open handle: open it again
    │   ├── FormatTooNew       written by a newer pysync_web: update this one
    │   └── CorruptData        a stored record can't be read
    ├── TransportError         the network or the server
    │   ├── Unreachable        no usable answer: the same request may be sent again
    │   ├── Rejected           the server said no: do not send the same again
    │   └── Unauthorized       credentials are missing, wrong or expired
    ├── QueryError             an SDBQL query that can't be parsed or run
    ├── ConflictUnresolved     a conflict waits for a decision
    ├── ContentMissing         a value's content has not arrived yet: sync, or wait
    ├── ChangeRejected         a change did not come through: its entry in the ledger says why
    ├── ChangeInFlight         a change was sent and not answered yet: it can't be taken back now
    ├── OutboxFull             too many changes wait to be sent: nothing was written
    └── EncryptionError        a wrong key, or a record that was tampered with
"""

from __future__ import annotations


class SyncError(Exception):
    """The root of every error of pysync_web."""


class InvalidDocument(SyncError, ValueError):
    """A document, key or collection name that can't be stored; the message names the place."""


class SchemaError(SyncError, ValueError):
    """Data or a request of a wrong shape; ``place`` says where, as in ``changes[2].key``."""

    def __init__(self, message: str, *, place: str = "", code: str = "invalid") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.code = code


class StorageError(SyncError):
    """The local database refused or failed; what was already stored is untouched."""


class TransactionError(StorageError):
    """A transaction body awaited something else than its transaction's reads."""


class QuotaExceeded(StorageError):
    """Disk or quota is full: the transaction left no trace, reads and deletes still work."""


class DatabaseLocked(StorageError):
    """Another process held the database for longer than the busy timeout."""


class StorageReset(StorageError):
    """The storage was deleted or closed under an open handle."""


class FormatTooNew(StorageError):
    """The database was written by a newer version of pysync_web."""


class CorruptData(StorageError):
    """A stored record can't be read."""


class TransportError(SyncError):
    """The network or the server did not do what was asked."""


class Unreachable(TransportError):
    """No usable answer came: the same request may be sent again.

    ``retry_after_s`` is the server's own wish (``Retry-After``), in seconds, if it had one.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Rejected(TransportError):
    """The server refused the request: the same request would be refused again.

    ``status`` is the HTTP status, ``code`` the server's stable word for the reason, ``detail`` the
    other members of its ``application/problem+json`` answer.
    """

    def __init__(
        self, message: str, *, status: int, code: str = "rejected", detail: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail or {}


class Unauthorized(TransportError):
    """Credentials are missing, wrong or expired: nothing is lost, sync waits for new ones."""


class QueryError(SyncError):
    """An SDBQL query that can't be parsed or run.

    ``line`` and ``column`` count from 1 and say where in ``query`` the offset ``at`` is; both are None where no place
    is known. The error's text is ``message``, and then the line with a caret under the place.
    """

    def __init__(self, message: str, *, query: str = "", at: int | None = None) -> None:
        self.message = message
        self.line: int | None = None
        self.column: int | None = None
        if at is None:
            super().__init__(message)
            return
        at = max(0, min(at, len(query)))
        begin = query.rfind("\n", 0, at) + 1
        self.line = query.count("\n", 0, begin) + 1
        self.column = at - begin + 1
        super().__init__(f"{message} (line {self.line}, column {self.column})\n{_excerpt(query, begin, at)}")


def _excerpt(query: str, begin: int, at: int) -> str:
    """Show the line that begins at an offset, or what of it is near to ``at``, with a caret below."""
    end = query.find("\n", at)
    end = len(query) if end < 0 else end
    first, last = max(begin, at - 70), min(end, at + 40)
    before = ("…" if first > begin else "") + query[first:at]
    after = query[at:last] + ("…" if last < end else "")
    blanks = "".join("\t" if letter == "\t" else " " for letter in before)
    return f"  {before}{after.rstrip()}\n  {blanks}^"


class ConflictUnresolved(SyncError):
    """A conflict waits for a decision of the application."""


class ContentMissing(SyncError):
    """The entry of a binary value is here, its content is not yet."""


class ChangeRejected(SyncError):
    """A change did not come through: refused, lost to another one, expired or taken back.

    ``code`` is the stable word of its entry in the ledger, ``entry_id`` that entry's id.
    """

    def __init__(self, message: str, *, code: str, entry_id: str) -> None:
        super().__init__(message)
        self.code = code
        self.entry_id = entry_id


class ChangeInFlight(SyncError):
    """A change was sent, and the server may have it: its answer decides what can be done."""


class OutboxFull(SyncError):
    """Too many changes wait to be sent: the write was refused as a whole."""


class EncryptionError(SyncError):
    """A wrong key, or a record that was tampered with."""
