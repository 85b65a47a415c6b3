"""What the core asks of the world: a storage of JSON texts under ordered keys, chance, and an exchange.

A transaction body is a coroutine function over a transaction; it may await that transaction's reads and
nothing else, so every backend can drive it: at once (memory, SQLite, a page) or with answers sent back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from .wire import Subscription

T = TypeVar("T")

Key: TypeAlias = tuple[str | int, ...]
"""A key inside a space. Tuples order element by element; at one position all keys of a space have one type.

Integers lie within ±(2^63-1); texts order by code point and hold no NUL and no lone surrogate.
"""

Touched: TypeAlias = "list[tuple[str, Key]] | None"
"""(space, key) pairs that another handle wrote, or None where it is not known which."""


class Usage(NamedTuple):
    """How many bytes a storage takes, how many it may take as far as that is known, and whether it is for keeps.

    ``is_persisted`` False: a browser may give it up when the disk is full; None: the question makes no sense here.
    """

    bytes: int
    quota: int | None = None
    is_persisted: bool | None = None


class ReadTransaction(Protocol):
    """One consistent snapshot."""

    def get(self, space: str, key: Key) -> Awaitable[str | None]:
        """Give the JSON text under a key, or None."""
        ...

    def get_many(self, space: str, keys: Sequence[Key]) -> Awaitable[list[str | None]]:
        """Give one text or None for each key, in the order asked."""
        ...

    def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Awaitable[list[tuple[Key, str]]]:
        """List records whose key begins with ``prefix``, in key order, or in reverse.

        ``after`` skips keys up to and including it, in the direction of the scan; it need not exist.
        """
        ...


class WriteTransaction(ReadTransaction, Protocol):
    """A snapshot and the writes to be made; reads of the same transaction see them."""

    def put(self, space: str, key: Key, text: str) -> None:
        """Store a JSON text, in place of what was there. It holds no raw newline or control character."""
        ...

    def delete(self, space: str, key: Key) -> None:
        """Remove a key; nothing happens if it is not there."""
        ...

    def written(self, space: str) -> Collection[Key]:
        """Give the keys of a space that this transaction has put or deleted so far."""
        ...


class Storage(Protocol):
    """An ordered map of JSON texts with serialisable transactions, shared by every handle on the same database."""

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over one snapshot. The body may be run again from its start: it must have no other effect."""
        ...

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and commit what it wrote; return when that is durable. A body that raises leaves no trace.

        ``relaxed`` says that the data could be fetched again, so the backend need not wait for the disk.
        The body may be run again from its start: it must have no other effect.
        """
        ...

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back after *other* handles (tabs, processes) have committed; the result ends it."""
        ...

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait until this handle leads all handles on its database; the result gives that up.

        ``lost`` is called when leadership was taken away; a crash or ``close`` passes it on.
        """
        ...

    async def usage(self) -> Usage:
        """Tell how much room the storage takes."""
        ...

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Give back what is not needed, if that is at least this share of all; give the bytes before and after.

        What is stored stays as it is, for every handle.
        """
        ...

    async def close(self) -> None:
        """Finish writes that were begun and release everything; a second call does nothing."""
        ...


class Transport(Protocol):
    """A way to one sync server. Texts go in and out; whoever calls encodes, decodes and validates."""

    async def exchange(self, database: str, body: str) -> str:
        """Send a request's JSON text (``POST /_api/sync/delta``) and give the answer's.

        Raises ``Unreachable`` (no usable answer: try again), ``Rejected`` or ``Unauthorized``. Every exchange ends
        within the transport's deadline. Cancelling it ends the request.
        """
        ...

    def pokes(
        self, database: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> AsyncIterator[int]:
        """Yield the server's sequence whenever something may have changed: a hint without content.

        The first comes when the stream stands. Later ones may leave out what touches none of ``collections``, and, of
        the collections of ``parts``, what their filters do not let through; parts are given only where there are
        some. It ends, or raises ``TransportError``, when the stream breaks or has been silent for too long; whoever
        calls opens it again.
        """
        ...

    async def close(self) -> None:
        """Release connections; a second call does nothing."""
        ...


class Channel(Protocol):
    """A way to one other device, or to several that hear everything: it carries texts in order, or breaks."""

    async def send(self, text: str) -> None:
        """Send a text of at most a million characters; raise ``Unreachable`` where the channel broke."""
        ...

    async def receive(self) -> str:
        """Wait for the next text; raise ``Unreachable`` where the channel broke. Cancelling it loses no text."""
        ...

    async def close(self) -> None:
        """Release the channel; a second call does nothing."""
        ...


class Random(Protocol):
    """Chance as an argument: ``random.SystemRandom()`` outside, ``random.Random(seed)`` in a simulator."""

    def randbytes(self, n: int, /) -> bytes:
        """Give ``n`` random bytes."""
        ...

    def random(self) -> float:
        """Give a float in [0, 1)."""
        ...
