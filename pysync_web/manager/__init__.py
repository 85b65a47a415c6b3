"""What an application works with: the sync manager over a local store."""

from .bucket import Bucket, BucketEntry
from .commands import SetOnline, Stop, Subscribe, SyncCommand, SyncNow, Unsubscribe
from .config import SyncConfig
from .ledger import Ledger
from .logged import KeyValueStore, LoggedStore
from .opening import open_manager
from .results import (
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
from .store import LocalStore, StorageEngine
from .sync import SyncManager
from .transaction import Transaction

__all__ = [
    "Bucket",
    "BucketEntry",
    "CompactResult",
    "DeltaStats",
    "KeyValueStore",
    "Ledger",
    "LocalStore",
    "LoggedStore",
    "MeetingResult",
    "PendingChange",
    "SetOnline",
    "Statistics",
    "Stop",
    "StorageEngine",
    "StorageEstimate",
    "Subscribe",
    "Subscribed",
    "SyncCommand",
    "SyncConfig",
    "SyncManager",
    "SyncMetadata",
    "SyncNow",
    "SyncResult",
    "SyncStatus",
    "Transaction",
    "Ttl",
    "Unsubscribe",
    "open_manager",
]
