"""One number that tells whether two replicas hold the same versions, whatever the order they came in."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import chain
from struct import iter_unpack


def digest(collection: str, key: str, sequence: int) -> int:
    """Give a document's part: replicas add the parts modulo 2^64. ``sequence`` is the server's number."""
    return int.from_bytes(sha256(f"{collection}/{key}/{sequence}".encode()).digest()[:8], "big")


def digest_of_many(collection: str, rows: Iterable[tuple[str, int]]) -> int:
    """Sum the parts of documents of a collection, given as key and sequence; 0: that one is not there."""
    names = [f"{collection}/{key}/{sequence}".encode() for key, sequence in rows if sequence]
    return sum(chain.from_iterable(iter_unpack(">Q24x", b"".join([sha256(name).digest() for name in names]))))
