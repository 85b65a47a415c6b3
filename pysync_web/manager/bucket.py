"""Binary values that sync: an entry says of which pieces a value consists, the pieces are documents of their own.

Both are ordinary documents, so they are durable at once and travel as everything does; an entry may arrive before its
pieces, and then says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..clock import now_ms
from ..core.arguments import check_seconds, check_text
from ..core.as_json import members_of
from ..core.replica import read_document, read_documents
from ..deferred import dataclass
from ..errors import ContentMissing, CorruptData, InvalidDocument
from ..values import JSON, check_collection, check_key
from .chunks import BUCKET, CHUNK_BYTES, CHUNKS, MOST_CHUNKS, Value, decoded, encoded, pieces, sent_of

if TYPE_CHECKING:
    from .indexed import IndexedStorage

Save = Callable[[str, str, "dict[str, JSON]"], Awaitable[Any]]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BucketEntry:
    """A value in a bucket: its size in bytes, the hash of its content, and of how many pieces it consists.

    ``timestamp`` is when it was written last, ISO 8601.
    """

    key: str
    size: int
    sha256: str
    chunks: int
    timestamp: str

    def to_json(self) -> dict[str, JSON]:
        """Give the entry as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> BucketEntry:
        """Read what :meth:`to_json` gave."""
        return cls(**members_of(cls, value))


class Bucket:
    """Binary values under keys: what ``sync.bucket(name)`` gives.

    Values of any length up to 253 MiB are written and read as streams, in pieces of 96 KiB; a piece that is there
    already, in whichever bucket, is not stored or sent again. Keys are as those of documents.
    """

    def __init__(
        self,
        name: str,
        storage: IndexedStorage,
        save: Save,
        delete: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        self.name = name
        self.collection = check_collection(BUCKET + name)
        self._storage = storage
        self._save = save
        self._delete = delete

    async def write(self, key: str, value: Value) -> BucketEntry:
        """Store a value, given as bytes or as an async iterator of bytes; durable on return.

        Until then, and where the iterator raises, what was there before stands.
        """
        check_key(key)
        names: list[str] = []
        total, size = sha256(), 0
        async for piece in pieces(value):
            if len(names) == MOST_CHUNKS:
                raise InvalidDocument(f"{key!r}: over the limit of {MOST_CHUNKS * CHUNK_BYTES} bytes")
            name = sha256(piece).hexdigest()
            await self._save(CHUNKS, name, encoded(piece, now_ms()))
            total.update(piece)
            size += len(piece)
            names.append(name)
        file: list[JSON] = [size, total.hexdigest(), names]
        saved = await self._save(self.collection, key, {"file": file})
        await self._use(list(dict.fromkeys(names)))
        return _entry(key, saved)

    async def _use(self, names: list[str]) -> None:
        """See that of every piece a change is sent behind the entry, or together with it."""
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for name in await self._storage.read(partial(sent_of, names=some)):
                await self._save(CHUNKS, name, {"used": now_ms()})

    async def read(self, key: str, *, timeout_s: float = 0.0) -> bytes:
        """Give a value as a whole; raise as :meth:`open` does."""
        return b"".join([piece async for piece in self.open(key, timeout_s=timeout_s)])

    async def open(self, key: str, *, timeout_s: float = 0.0) -> AsyncIterator[bytes]:
        """Give a value piece by piece, each checked against its hash.

        Raises :class:`KeyError` where there is none, :class:`ContentMissing` where a piece has not come from the
        server within ``timeout_s`` seconds, and :class:`CorruptData` where the content is not what was written.
        """
        check_seconds("timeout_s", timeout_s, from_zero=True, is_endless=True)
        document = await self._document(self.collection, check_key(key))
        if document is None:
            raise KeyError(key)
        size, digest, names = _file(key, document)
        deadline = time.monotonic() + timeout_s
        total, count = sha256(), 0
        for i, name in enumerate(names):
            found = await self._piece(name, deadline)
            if found is None:
                raise ContentMissing(f"{key!r}: piece {i + 1} of {len(names)} has not arrived yet")
            piece = decoded(name, found)
            total.update(piece)
            count += len(piece)
            yield piece
        if (count, total.hexdigest()) != (size, digest):
            raise CorruptData(f"{key!r}: the content is not what was written")

    async def delete(self, key: str) -> bool:
        """Delete a value; tell whether it was there. ``sync.collect_chunks()`` frees what nothing refers to."""
        return await self._delete(self.collection, key)

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with a prefix, in order."""
        check_text("prefix", prefix)
        rows = await self._storage.read(lambda tx: read_documents(tx, self.collection))
        return [key for key, _ in rows if key.startswith(prefix)]

    async def info(self, key: str) -> BucketEntry | None:
        """Tell what a value is, or None where there is none; its pieces need not have arrived."""
        document = await self._document(self.collection, check_key(key))
        return None if document is None else _entry(key, document)

    async def _document(self, collection: str, key: str) -> dict[str, JSON] | None:
        return await self._storage.read(lambda tx: read_document(tx, collection, key))

    async def _piece(self, name: str, deadline: float) -> dict[str, JSON] | None:
        """Give a piece's document, if need be when it comes; None where the deadline is over."""
        found = await self._document(CHUNKS, name)
        if found is not None or time.monotonic() >= deadline:
            return found
        news = asyncio.Event()
        stop = self._storage.listen(lambda _: news.set())
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                while (found := await self._document(CHUNKS, name)) is None:
                    await news.wait()
                    news.clear()
        except TimeoutError:
            return None
        finally:
            stop()
        return found


def _entry(key: str, document: dict[str, JSON]) -> BucketEntry:
    size, digest, names = _file(key, document)
    return BucketEntry(key, size, digest, len(names), str(document["_timestamp"]))


def _file(key: str, document: dict[str, JSON]) -> tuple[int, str, list[str]]:
    """Read an entry; its members are one list, so that two writes never mix."""
    file = document.get("file")
    if isinstance(file, list) and len(file) == 3 and isinstance(file[2], list):
        return int(file[0]), str(file[1]), [str(name) for name in file[2]]
    raise CorruptData(f"{key!r} is no entry of a bucket")
