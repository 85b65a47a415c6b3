"""The storage as the manager uses it: with each transaction that writes documents, their indexes change too.

It also knows, where the storage alone does not, which documents each commit of this handle has touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from ..core.expiry import note_written
from ..core.indexes import refresh_written
from ..core.optimistic import body_of_text
from ..core.ports import Key, ReadTransaction, Storage, Touched, Usage, WriteTransaction

T = TypeVar("T")

Listener: TypeAlias = "Callable[[Collection[Key] | None], None]"


_COUNTERS, _SYNC, _STAMP = ("counters",), ("sync",), ("stamp",)
STAMP: Final[tuple[Key, ...]] = (_COUNTERS, _SYNC, _STAMP)
"""Under these keys of the space ``meta`` lie texts that are never again the same once a document has changed."""


async def _stamp(tx: WriteTransaction) -> None:
    """See that the stamp is another one; what a replica counts, or where it stands, has nearly always changed."""
    if not {_COUNTERS, _SYNC} & set(tx.written("meta")):
        tx.put("meta", _STAMP, str(int(await tx.get("meta", _STAMP) or "0") + 1))


def touched_documents(touched: Touched) -> list[Key] | None:
    """Give the (collection, key) of the documents among what another handle wrote, or None where it may be any."""
    return None if touched is None else [key for space, key in touched if space == "docs"]


class IndexedStorage:
    """A storage around another one."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._listeners: list[Listener] = []

    def read(self, body: Callable[[ReadTransaction], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """Run a body over one snapshot."""
        return self._storage.read(body)

    async def write(
        self,
        body: Callable[[WriteTransaction], Coroutine[Any, Any, T]],
        *,
        relaxed: bool = False,
        is_local: bool = False,
    ) -> T:
        """Run a body, bring the indexes up to date, commit, and tell who listens which documents were written.

        ``is_local`` says that the writes are the application's own, which a unique index may refuse.
        """
        names: Collection[Key] = ()

        async def whole(tx: WriteTransaction) -> T:
            nonlocal names
            result = await body(tx)
            names = tx.written("docs")
            if names:
                await refresh_written(tx, names, may_refuse=is_local)
                await note_written(tx, names, body_of_text)
                await _stamp(tx)
                names = list(names)
            return result

        result = await self._storage.write(whole, relaxed=relaxed)
        if names:
            self._tell(names)
        return result

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call back with the (collection, key) of the documents that a commit touched, whoever made it.

        None says that it may be any. Of this handle's own commits it hears before :meth:`write` returns, of others'
        soon after. The result ends it.
        """
        self._listeners.append(listener)
        stop = self._storage.watch(lambda touched: self._hear(listener, touched))

        def end() -> None:
            stop()
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def _hear(self, listener: Listener, touched: Touched) -> None:
        names = touched_documents(touched)
        if names != []:
            listener(names)

    def _tell(self, names: Collection[Key]) -> None:
        for listener in list(self._listeners):
            listener(names)

    def watch(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back after other handles have committed."""
        return self._storage.watch(callback)

    async def lead(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Wait until this handle leads all handles on its database."""
        return await self._storage.lead(lost)

    async def usage(self) -> Usage:
        """Tell how much room the storage takes."""
        return await self._storage.usage()

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Give back what the storage does not need."""
        return await self._storage.compact(share=share)

    async def close(self) -> None:
        """Close the storage; a second call does nothing."""
        self._listeners.clear()
        await self._storage.close()
