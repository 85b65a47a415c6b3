"""What may be sent to a manager instead of calling it, where a program keeps a queue of commands."""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

from ..core.as_json import AsJson
from ..deferred import dataclass
from ..values import JSON


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


@dataclass(frozen=True, slots=True)
class Subscribe(AsJson):
    """Want of a collection what a filter lets through, None: all of it."""

    collection: str
    filter: str | None = None
    bind_vars: dict[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsubscribe(AsJson):
    """Want nothing of a collection any more."""

    collection: str


SyncCommand: TypeAlias = SyncNow | Subscribe | Unsubscribe | SetOnline | Stop
