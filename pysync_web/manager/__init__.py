"""What an application works with: the sync manager over a local store."""

from .commands import SetOnline, Stop, SyncCommand, SyncNow
from .config import SyncConfig
from .ledger import Ledger
from .opening import open_manager
from .results import PendingChange, Statistics, SyncMetadata, SyncResult, SyncStatus
from .store import LocalStore, StorageEngine
from .sync import SyncManager
from .transaction import Transaction

__all__ = [
    "Ledger",
    "LocalStore",
    "PendingChange",
    "SetOnline",
    "Statistics",
    "Stop",
    "StorageEngine",
    "SyncCommand",
    "SyncConfig",
    "SyncManager",
    "SyncMetadata",
    "SyncNow",
    "SyncResult",
    "SyncStatus",
    "Transaction",
    "open_manager",
]
