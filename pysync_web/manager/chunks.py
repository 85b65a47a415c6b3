"""Pieces of binary values as documents under the hash of their content, shared by all entries that have the piece.

A piece goes when nothing refers to it, and that is decided by a device that can't know what others are about to
write. So whoever uses a piece changes it (``used``), at the latest behind its own entry in the order in which changes
are sent: a delete that had not seen this is a conflict, and of a use and a delete the use stands, whatever the
strategy.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from ..causality import timestamp
from ..core.conflict import AcceptLocal, AcceptRemote, Conflict, Decision, Resolver
from ..core.expiry import SETTINGS
from ..core.optimistic import Record, decode_record
from ..core.ports import Key, ReadTransaction
from ..errors import CorruptData, InvalidDocument
from ..values import JSON

CHUNKS: Final = "_chunks"
"""The reserved collection of pieces."""

BUCKET: Final = "_bucket_"
"""The names of the reserved collections of entries begin with it."""

_TEXT_BYTES: Final = 48 * 1024  # in base64 as long as a text in a document may be
CHUNK_BYTES: Final = 2 * _TEXT_BYTES
MOST_CHUNKS: Final = 2700
"""How many pieces a value has at most: their names fit into one document."""

Value: TypeAlias = "bytes | bytearray | memoryview | AsyncIterable[bytes]"

_PAGE = 16


def is_reserved(collection: str) -> bool:
    """Tell whether a collection is one of those in which buckets lie, or settings."""
    return collection in (CHUNKS, SETTINGS) or collection.startswith(BUCKET)


def keeping(decide: Resolver) -> Resolver:
    """Give a resolver that keeps what is used: of a use of a piece and its delete the use stands."""

    def resolve(conflict: Conflict) -> Decision | None:
        if conflict.collection != CHUNKS:
            return decide(conflict)
        return AcceptRemote() if conflict.local is None else AcceptLocal()

    return resolve


def encoded(piece: bytes, now_ms: int) -> dict[str, JSON]:
    """Give the document of a piece that is used now."""
    parts = (piece[start : start + _TEXT_BYTES] for start in range(0, len(piece), _TEXT_BYTES))
    return {"data": [base64.b64encode(part).decode() for part in parts], "used": now_ms}


def decoded(name: str, document: dict[str, JSON]) -> bytes:
    """Give the piece, or raise :class:`CorruptData` where it is not what its name says."""
    data = document.get("data")
    try:
        texts = data if isinstance(data, list) else ()
        piece = b"".join(base64.b64decode(str(text), validate=True) for text in texts)
    except (binascii.Error, ValueError) as error:
        raise CorruptData(f"the piece {name[:12]}… can't be read") from error
    if sha256(piece).hexdigest() != name:
        raise CorruptData(f"the piece {name[:12]}… is not what it was")
    return piece


async def pieces(value: Value) -> AsyncIterator[bytes]:
    """Cut a value into pieces of one size, the last one aside."""
    if isinstance(value, bytes | bytearray | memoryview):
        view = memoryview(value).cast("B")
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])
        return
    if not isinstance(value, AsyncIterable):
        raise InvalidDocument(f"a value is bytes or an async iterator of bytes, not {type(value).__name__}")
    rest = bytearray()
    async for part in value:
        if not isinstance(part, bytes | bytearray | memoryview):
            raise InvalidDocument(f"a value is an async iterator of bytes, not of {type(part).__name__}")
        rest += part
        while len(rest) >= CHUNK_BYTES:
            yield bytes(rest[:CHUNK_BYTES])
            del rest[:CHUNK_BYTES]
    if rest:
        yield bytes(rest)


async def unused(tx: ReadTransaction, after: Key | None, before_ms: int) -> tuple[list[str], Key | None]:
    """Look at some pieces behind a key: give those that nothing refers to and nobody used lately, and the last key.

    The key is None at the end.
    """
    rows = await tx.scan("docs", (CHUNKS,), after=after, limit=_PAGE)
    limit = timestamp(before_ms)
    old = []
    for key, text in rows:
        state = decode_record(text).state
        if state is not None and state.body is not None and state.timestamp < limit:
            old.append(str(key[1]))
    referred = await _referred(tx) if old else frozenset()
    return [name for name in old if name not in referred], rows[-1][0] if len(rows) == _PAGE else None


async def sent_of(tx: ReadTransaction, names: Sequence[str]) -> list[str]:
    """Give those pieces of which no change waits to be sent any more."""
    texts = await tx.get_many("docs", [(CHUNKS, name) for name in names])
    return [name for name, text in zip(names, texts, strict=True) if text is not None and '"p":[' not in text]


async def _referred(tx: ReadTransaction) -> frozenset[str]:
    """Give all pieces that an entry refers to, in any bucket; or referred to, as long as that is not settled."""
    names: set[str] = set()
    for (collection, *_), _ in await tx.scan("collections"):
        if str(collection).startswith(BUCKET):
            for _, text in await tx.scan("docs", (collection,)):
                names |= _pieces_of(decode_record(text))
    return frozenset(names)


def _pieces_of(record: Record) -> set[str]:
    bodies = [record.state.body if record.state else None, record.confirmed.body if record.confirmed else None]
    found: set[str] = set()
    for body in bodies:
        file = body.get("file") if body else None
        if isinstance(file, list) and len(file) == 3 and isinstance(file[2], list):
            found.update(str(name) for name in file[2])
    return found
