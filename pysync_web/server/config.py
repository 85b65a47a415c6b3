"""What a server is told: where its data lie, who may come in, and how much it takes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..core.wire import MAX_BODY_BYTES
from ..errors import SchemaError
from ..storage import Durability

SHORTEST_TOKEN: Final = 16
"""A server that other computers can reach has a token of at least so many characters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request, and all of them together, may take. What a document may be is the core's to say."""

    body_bytes: int = 1024 * 1024
    """A request's body, counted as it comes and after decompression."""
    ratio: int = 100
    """How many times larger than what came a decompressed body may be."""
    header_bytes: int = 16 * 1024
    read_timeout_s: float = 30.0
    """How long a request may take to arrive, headers and body each."""
    idle_s: float = 60.0
    """How long a connection is kept open between requests."""
    streams: int = 5000
    """Open streams of events."""
    databases: int = 1000
    """Databases that may be created."""
    connections: int = 10_000

    def __post_init__(self) -> None:
        if not 1 <= self.body_bytes <= MAX_BODY_BYTES:
            raise SchemaError(f"a body has at most {MAX_BODY_BYTES} bytes", place="body_bytes")


@dataclass(frozen=True, slots=True)
class Config:
    """A server's settings.

    ``data`` is the folder with one SQLite file for each database; None keeps everything in memory. Without a
    ``token`` everybody who reaches the server may read and write. ``origins`` are the web sites whose pages may
    call it, as ``https://app.example``; pages of its own site, ``web``, always may. Deletes, and the ids of changes,
    are forgotten after ``retention_days``: a device that was away for longer pulls everything again.
    """

    data: Path | None = None
    token: str | None = None
    origins: tuple[str, ...] = ()
    web: Path | None = None
    durability: Durability = "strict"
    ping_s: float = 15.0
    retention_days: float = 90.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.token is not None and not (
            self.token.isascii() and self.token.isprintable() and " " not in self.token
        ):
            raise SchemaError("a token is printable ASCII without spaces", place="token")
        if self.token == "":
            raise SchemaError("a token is not empty", place="token")
        if self.durability not in ("strict", "relaxed"):
            raise SchemaError("durability is strict or relaxed", place="durability")
        if not 0 < self.retention_days <= 36_500:
            raise SchemaError("the retention time is over 0 days", place="retention_days")
        for origin in self.origins:
            check_origin(origin)
        if self.web is not None and not self.web.is_dir():
            raise SchemaError(f"{self.web} is not a folder", place="web")


def check_origin(origin: str) -> str:
    """Return an origin as a browser sends it, scheme, host and port alone; raise ``SchemaError`` for another text."""
    try:
        parts = urlsplit(origin)
        rebuilt = f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        rebuilt = ""
    if not origin.isascii() or origin != rebuilt.lower() or not parts.hostname or "@" in origin:
        raise SchemaError(f"{origin!r} is not an origin like https://app.example", place="cors")
    return origin
