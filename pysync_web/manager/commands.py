"""What may be sent to a manager instead of calling it, where a program keeps a queue of commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..core.as_json import AsJson


@dataclass(frozen=True, slots=True)
class SyncNow(AsJson):
    """Sync at once."""


@dataclass(frozen=True, slots=True)
class SetOnline(AsJson):
    """Say that the network is there or not."""

    is_online: bool


@dataclass(frozen=True, slots=True)
class Stop(AsJson):
    """End background sync."""


SyncCommand: TypeAlias = SyncNow | SetOnline | Stop
