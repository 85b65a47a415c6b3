"""What an application works with: the sync manager over a local store."""

from .bucket import Bucket, BucketEntry
from .commands import SetOnline, Stop, Subscribe, SyncCommand, SyncNow, Unsubscribe
from .config import SyncConfig
from .ledger import Ledger
from .logged import KeyValueStore, LoggedStore
from .opening import open_manager
from .results import (
    DeltaStats,
    MeetingResult,
    PendingChange,
    Statistics,
    Subscribed,
    SyncMetadata,
    SyncResult,
    SyncStatus,
)
from .store import LocalStore, StorageEngine
from .sync import SyncManager
from .transaction import Transaction

__all__ = [
    "Bucket",
    "BucketEntry",
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
    "Unsubscribe",
    "open_manager",
]
