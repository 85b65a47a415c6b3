"""Several documents changed together: at once here, and at once on the server.

Writes are gathered and made in one storage transaction at the end, if everything that was read still stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

from ..core.optimistic import View
from ..core.replica import Write, checked_body
from ..core.wire import MAX_TRANSACTION
from ..errors import InvalidDocument, TransactionError
from ..values import JSON, canonical, check_collection, check_key, loads


class Transaction:
    """What ``async with sync.transaction() as t`` gives. Leaving it by an exception writes nothing.

    Leaving it normally raises :class:`TransactionError` where a document that it read has changed meanwhile. So does
    every call outside of it.
    """

    def __init__(
        self,
        read: Callable[[str, str], Awaitable[View | None]],
        commit: Callable[[list[Write], dict[tuple[str, str], View | None]], Awaitable[None]],
        new_key: Callable[[], str],
    ) -> None:
        self._read = read
        self._commit = commit
        self._new_key = new_key
        self._writes: list[Write] = []
        self._seen: dict[tuple[str, str], View | None] = {}
        self._current: dict[tuple[str, str], dict[str, JSON] | None] = {}
        self._is_begun = self._is_open = False

    async def __aenter__(self) -> Transaction:
        if self._is_begun:
            raise TransactionError("this transaction has begun before: each has an async with of its own")
        self._is_begun = self._is_open = True
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._is_open = False
        if kind is None and (self._writes or self._seen):
            await self._commit(self._writes, self._seen)

    async def get_document(self, collection: str, key: str) -> dict[str, JSON] | None:
        """Read a document as this transaction sees it."""
        self._check_open()
        name = (check_collection(collection), check_key(key))
        if name not in self._current:
            if name not in self._seen:
                self._seen[name] = await self._read(*name)
            view = self._seen[name]
            return deepcopy(view.document(key)) if view else None
        body = self._current[name]
        return {"_key": key, **deepcopy(body)} if body is not None else None

    async def save_document(
        self, collection: str, key: str | None, document: dict[str, JSON], *, replace: bool = False
    ) -> str:
        """Save a document, merged into what is there or in place of it; give its key."""
        self._check_open()
        key = self._new_key() if key is None else check_key(key)
        name = (check_collection(collection), key)
        text = canonical(checked_body(document, key), f"document {key!r}")
        body = loads(text)  # what is written at the end is what was given now
        before = await self.get_document(*name)
        self._add(Write(*name, body, text, replace))
        old = {n: v for n, v in (before or {}).items() if n not in ("_key", "_version", "_timestamp")}
        self._current[name] = body if replace else {**old, **body}
        return key

    async def delete_document(self, collection: str, key: str) -> None:
        """Delete a document; nothing happens if it is not there."""
        self._check_open()
        name = (check_collection(collection), check_key(key))
        self._add(Write(*name, None))
        self._current[name] = None

    def _check_open(self) -> None:
        if not self._is_open:
            ended = "has ended" if self._is_begun else "has not begun"
            raise TransactionError(f"this transaction {ended}: async with sync.transaction() as t")

    def _add(self, write: Write) -> None:
        if len(self._writes) >= MAX_TRANSACTION:
            raise InvalidDocument(f"a transaction has at most {MAX_TRANSACTION} writes")
        self._writes.append(write)
