"""Offline-first data: documents saved here at once, synced with a server and every other device by themselves."""

from .core.conflict import (
    AcceptLocal,
    AcceptRemote,
    Conflict,
    ConflictResolution,
    ConflictStrategy,
    Merge,
)
from .core.ledger import Entry
from .core.outbox import Bounds
from .core.replica import Event as Change
from .core.retry import RetryPolicy
from .errors import (
    ConflictUnresolved,
    CorruptData,
    DatabaseLocked,
    EncryptionError,
    FormatTooNew,
    InvalidDocument,
    OutboxFull,
    QueryError,
    QuotaExceeded,
    Rejected,
    SchemaError,
    StorageError,
    StorageReset,
    SyncError,
    TransactionError,
    TransportError,
    Unauthorized,
    Unreachable,
)
from .manager import (
    LocalStore,
    PendingChange,
    Statistics,
    StorageEngine,
    SyncConfig,
    SyncManager,
    SyncMetadata,
    SyncResult,
    SyncStatus,
    Transaction,
)
from .manager import open_manager as open
from .transport import HttpClient, LocalTransport

__version__ = "0.1.0"

__all__ = [
    "AcceptLocal",
    "AcceptRemote",
    "Bounds",
    "Change",
    "Conflict",
    "ConflictResolution",
    "ConflictStrategy",
    "ConflictUnresolved",
    "CorruptData",
    "DatabaseLocked",
    "EncryptionError",
    "Entry",
    "FormatTooNew",
    "HttpClient",
    "InvalidDocument",
    "LocalStore",
    "LocalTransport",
    "Merge",
    "OutboxFull",
    "PendingChange",
    "QueryError",
    "QuotaExceeded",
    "Rejected",
    "RetryPolicy",
    "SchemaError",
    "Statistics",
    "StorageEngine",
    "StorageError",
    "StorageReset",
    "SyncConfig",
    "SyncError",
    "SyncManager",
    "SyncMetadata",
    "SyncResult",
    "SyncStatus",
    "Transaction",
    "TransactionError",
    "TransportError",
    "Unauthorized",
    "Unreachable",
    "open",
]
