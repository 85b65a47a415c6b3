"""The one call that opens everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core.arguments import check_collections, check_members
from ..core.conflict import ConflictStrategy, Strategy
from ..core.ports import Transport
from ..transport.client import HttpClient
from .config import SyncConfig
from .store import LocalStore, StorageEngine
from .sync import TRANSPORT, SyncManager


async def open_manager(
    name: str,
    *,
    server: str | Transport | None = None,
    token: str | None = None,
    database: str = "default",
    collections: Sequence[str] = (),
    conflict_strategy: Strategy = ConflictStrategy.MERGE_FIELDS,
    sync_interval_s: float = 30.0,
    auto_sync: bool = True,
    push_on_change: bool = True,
    timeout_s: float = 5.0,
    device_id: str | None = None,
    engine: StorageEngine | None = None,
    durability: Literal["strict", "relaxed"] = "strict",
) -> SyncManager:
    """Open a local database and begin to sync it; it opens with no network and with an expired token.

    ``name`` names an IndexedDB database in a page; natively it is the path of an SQLite file. ``server`` is a URL, a
    transport, or None for no server; ``database`` the one on the server, for good; ``device_id`` a label for people.
    Use it as ``async with await ps.open(…)``, or call ``close()``. Raises :class:`StorageError` where the database
    can't be opened, :class:`SyncError` where it is a copy of another ``database``.
    """
    config = SyncConfig(
        database=database,
        sync_interval_s=sync_interval_s,
        auto_sync=auto_sync,
        push_on_change=push_on_change,
        collections=check_collections("collections", collections),
        conflict_strategy=conflict_strategy,
    )
    if server is not None and not isinstance(server, str):
        check_members("server: a URL, or a transport", server, TRANSPORT)
    client = HttpClient(server, token=token, timeout_s=timeout_s) if isinstance(server, str) else server
    try:
        store = await LocalStore.open(name, device_id=device_id, engine=engine, durability=durability)
    except BaseException:
        if client is not None and client is not server:
            await client.close()
        raise
    manager = SyncManager(store, client, config)
    try:
        await manager.start()
    except BaseException:
        await manager.close()
        raise
    return manager
