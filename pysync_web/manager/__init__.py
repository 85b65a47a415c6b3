"""What an application works with: the sync manager over a local store."""

from .bucket import Bucket, BucketEntry
from .commands import SetOnline, Stop, SyncCommand, SyncNow
from .config import SyncConfig
from .ledger import Ledger
from .logged import KeyValueStore, LoggedStore
from .opening import open_manager
from .results import (
    CompactResult,
    MeetingResult,
    PendingChange,
    Statistics,
    StorageEstimate,
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
    "SyncCommand",
    "SyncConfig",
    "SyncManager",
    "SyncMetadata",
    "SyncNow",
    "SyncResult",
    "SyncStatus",
    "Transaction",
    "Ttl",
    "open_manager",
]
