"""What may be sent to a manager instead of calling it, where a program keeps a queue of commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SyncNow:
    """Sync at once."""


@dataclass(frozen=True, slots=True)
class SetOnline:
    """Say that the network is there or not."""

    is_online: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End background sync."""


SyncCommand: TypeAlias = SyncNow | SetOnline | Stop
