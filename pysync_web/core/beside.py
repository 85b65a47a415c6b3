"""A storage inside another one: its spaces have other names there, so both live and die together.

The ledger alone is shared: what is lost inside is told where the application looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Final, TypeVar

from .ports import Key, ReadTransaction, Storage, Touched, Usage, WriteTransaction

T = TypeVar("T")

SHARED: Final = "ledger"


class Beside:
    """A storage whose spaces lie in another one under a prefix."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    async def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> T:
        """Run a body over one snapshot."""
        return await self._storage.read(lambda tx: body(_Reader(tx, self._prefix)))

    async def write(
        self, body: Callable[[WriteTransaction], Coroutine[Any, Any, T]], *, relaxed: bool = False
    ) -> T:
        """Run a body and commit what it wrote."""
        return await self._storage.write(lambda tx: body(_Writer(tx, self._prefix)), relaxed=relaxed)

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back after other handles have committed anything in the outer storage."""
        return self._storage.watch(lambda _: callback(None))

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait until this handle leads all handles on the outer storage."""
        return await self._storage.lead(lost)

    async def usage(self) -> Usage:
        """Tell how much room the outer storage takes."""
        return await self._storage.usage()

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Give back what the outer storage does not need."""
        return await self._storage.compact(share=share)

    async def close(self) -> None:
        """Close the outer storage; a second call does nothing."""
        await self._storage.close()


class _Reader:
    def __init__(self, tx: Any, prefix: str) -> None:
        self._tx = tx
        self._prefix = prefix

    def _space(self, space: str) -> str:
        return space if space == SHARED else self._prefix + space

    def get(self, space: str, key: Key) -> Awaitable[str | None]:
        found: Awaitable[str | None] = self._tx.get(self._space(space), key)
        return found

    def get_many(self, space: str, keys: Sequence[Key]) -> Awaitable[list[str | None]]:
        found: Awaitable[list[str | None]] = self._tx.get_many(self._space(space), keys)
        return found

    def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Awaitable[list[tuple[Key, str]]]:
        found: Awaitable[list[tuple[Key, str]]] = self._tx.scan(
            self._space(space), prefix, after=after, limit=limit, reverse=reverse
        )
        return found


class _Writer(_Reader):
    def put(self, space: str, key: Key, text: str) -> None:
        self._tx.put(self._space(space), key, text)

    def delete(self, space: str, key: Key) -> None:
        self._tx.delete(self._space(space), key)

    def written(self, space: str) -> Collection[Key]:
        found: Collection[Key] = self._tx.written(self._space(space))
        return found
