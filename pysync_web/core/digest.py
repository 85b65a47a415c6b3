"""One number that tells whether two replicas hold the same versions, whatever the order they came in."""

from __future__ import annotations

from hashlib import sha256


def digest(collection: str, key: str, sequence: int) -> int:
    """Give a document's part: replicas add the parts modulo 2^64. ``sequence`` is the server's number."""
    return int.from_bytes(sha256(f"{collection}/{key}/{sequence}".encode()).digest()[:8], "big")
