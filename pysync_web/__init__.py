"""Offline-first data: documents saved here at once, synced with a server and every other device by themselves."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.conflict import (
    AcceptLocal,
    AcceptRemote,
    Conflict,
    ConflictResolution,
    ConflictStrategy,
    Custom,
    Merge,
    Strategy,
    ThreeWayMerge,
    Wait,
)
from .core.ledger import Entry, LedgerBounds
from .core.outbox import Bounds
from .core.replica import Event as Change
from .core.retry import RetryPolicy
from .errors import (
    ChangeInFlight,
    ChangeRejected,
    ConflictUnresolved,
    ContentMissing,
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
from .manager.commands import SetOnline, Stop, Subscribe, SyncCommand, SyncNow, Unsubscribe
from .manager.config import SyncConfig
from .manager.ledger import Ledger
from .manager.opening import open_manager as open
from .manager.results import (
    CompactResult,
    DeltaStats,
    MeetingResult,
    PendingChange,
    Statistics,
    StorageEstimate,
    Subscribed,
    SyncMetadata,
    SyncResult,
    SyncStatus,
    Ttl,
)
from .manager.store import LocalStore, StorageEngine
from .manager.sync import SyncManager
from .manager.transaction import Transaction
from .transport.client import HttpClient

if TYPE_CHECKING:
    from .core.records import Accepted, Pulled, Refused, SyncRecord
    from .manager.bucket import Bucket, BucketEntry
    from .manager.logged import KeyValueStore, LoggedStore
    from .transport.callback import CallbackTransport
    from .transport.channels import SocketChannel, channel_pair, page_channel
    from .transport.encoded import EncodedTransport
    from .transport.local import LocalTransport

__version__ = "0.1.0"

__all__ = [
    "AcceptLocal",
    "AcceptRemote",
    "Accepted",
    "Bounds",
    "Bucket",
    "BucketEntry",
    "CallbackTransport",
    "Change",
    "ChangeInFlight",
    "ChangeRejected",
    "CompactResult",
    "Conflict",
    "ConflictResolution",
    "ConflictStrategy",
    "ConflictUnresolved",
    "ContentMissing",
    "CorruptData",
    "Custom",
    "DatabaseLocked",
    "DeltaStats",
    "EncodedTransport",
    "EncryptionError",
    "Entry",
    "FormatTooNew",
    "HttpClient",
    "InvalidDocument",
    "KeyValueStore",
    "Ledger",
    "LedgerBounds",
    "LocalStore",
    "LocalTransport",
    "LoggedStore",
    "MeetingResult",
    "Merge",
    "OutboxFull",
    "PendingChange",
    "Pulled",
    "QueryError",
    "QuotaExceeded",
    "Refused",
    "Rejected",
    "RetryPolicy",
    "SchemaError",
    "SetOnline",
    "SocketChannel",
    "Statistics",
    "Stop",
    "StorageEngine",
    "StorageError",
    "StorageEstimate",
    "StorageReset",
    "Strategy",
    "Subscribe",
    "Subscribed",
    "SyncCommand",
    "SyncConfig",
    "SyncError",
    "SyncManager",
    "SyncMetadata",
    "SyncNow",
    "SyncRecord",
    "SyncResult",
    "SyncStatus",
    "ThreeWayMerge",
    "Transaction",
    "TransactionError",
    "TransportError",
    "Ttl",
    "Unauthorized",
    "Unreachable",
    "Unsubscribe",
    "Wait",
    "channel_pair",
    "open",
    "page_channel",
]

_LATER = {
    "core.records": ("Accepted", "Pulled", "Refused", "SyncRecord"),
    "manager.bucket": ("Bucket", "BucketEntry"),
    "manager.logged": ("KeyValueStore", "LoggedStore"),
    "transport.callback": ("CallbackTransport",),
    "transport.channels": ("SocketChannel", "channel_pair", "page_channel"),
    "transport.encoded": ("EncodedTransport",),
    "transport.local": ("LocalTransport",),
}
"""What most pages never ask for is imported when somebody does: a third of the time that an import takes there."""


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
