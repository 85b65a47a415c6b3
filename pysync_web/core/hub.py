"""The server's side: a database that replicas sync with, over any storage.

Documents lie in storage as the texts that are sent, under (collection, key); the feed maps the sequence of a
document's last change to its name. So the feed is as long as there are documents, whatever their history.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Set
from dataclasses import replace
from functools import partial
from typing import Any

from ..causality import SERVER, timestamp
from ..values import JSON
from .answers import Memory, status_of
from .expiry import is_due
from .hub_state import begin_epoch, create_state, head_of, load_state, required_state
from .lookups import build_step, is_needed
from .pages import Room, feed_page
from .ports import Random, ReadTransaction, Storage, WriteTransaction
from .push import TAKEN, Guard, body_of
from .requests import decide, pull
from .retention import is_forgetting_due
from .selection import Selection
from .tending import Tended, expire, forget_old
from .wire import Answer, Subscription, SyncRequest

Watcher = Callable[[int, Set[str]], None]
"""Hears of a commit: the sequence of its last change, and the names of the collections that it changed."""


class Hub:
    """A database that replicas sync with, over any storage."""

    def __init__(self, storage: Storage, *, guard: Guard | None = None) -> None:
        self._storage = storage
        self._guard = guard
        self._watchers: list[Watcher] = []
        self._memory = Memory()

    async def open(self, rng: Random) -> None:
        """Give a new storage its epoch; nothing happens to one that has it."""
        if await self._storage.read(load_state) is None:
            await self._storage.write(lambda tx: create_state(tx, rng))

    async def exchange(self, request: SyncRequest, now_ms: int, rng: Random) -> Answer:
        """Push and pull at once; raise :class:`Rejected` (409) for a forked replica or another epoch."""
        if any(one.snapshot for one in request.subscriptions):
            await self._build_lookups(request)
        if not request.changes:
            found = await self._storage.read(lambda tx: pull(tx, request, now_ms, self._memory))
            if found is not None:
                return found

        async def body(tx: WriteTransaction) -> tuple[Answer, Memory]:
            draft = self._memory.draft()
            return await decide(tx, request, now_ms, rng, self._guard, draft), draft

        answer, draft = await self._storage.write(body)
        self._memory.adopt(draft)
        if answer.newest is not None:
            self._tell(answer.newest, _touched(request, answer))
        return answer

    async def tend(self, now_ms: int, before_ms: int, rng: Random) -> Tended:
        """Delete documents that have expired, and forget what was deleted or known before a time.

        Many small transactions, none where there is nothing to do; the next call goes on wherever one ended.
        """
        expired = await self._step_by_step(
            lambda tx: is_due(tx, body_of, now_ms), lambda tx: expire(tx, now_ms, rng)
        )
        return expired._replace(forgotten=(await self.forget(before_ms)).forgotten)

    async def forget(self, before_ms: int) -> Tended:
        """Forget what was deleted or known before a time, as :meth:`tend` does; nothing expires."""
        before = timestamp(before_ms)

        async def has_old(tx: ReadTransaction) -> bool:
            return await is_forgetting_due(tx, (await required_state(tx)).floor, before)

        return await self._step_by_step(has_old, lambda tx: forget_old(tx, before))

    async def _step_by_step(
        self,
        is_there_any: Callable[[ReadTransaction], Coroutine[Any, Any, bool]],
        step: Callable[[WriteTransaction], Coroutine[Any, Any, Tended]],
    ) -> Tended:
        total = Tended()
        has_more = await self._storage.read(is_there_any)
        while has_more:
            done = await self._storage.write(step)
            self._tell(await self.head(), done.touched)
            total = Tended(total.expired + done.expired, total.forgotten + done.forgotten)
            has_more = done.has_more
        return total

    async def compact(self, *, share: float = 0.0) -> tuple[int, int]:
        """Let the storage give back what it does not need; give the bytes before and after."""
        return await self._storage.compact(share=share)

    async def _build_lookups(self, request: SyncRequest) -> None:
        """See that the filters of a first sync find their documents without reading their collections."""
        for part in Selection(request).snapshots:
            hint = part.filter.equality if part.filter else None
            if hint is None or part.subscription is None:
                continue
            name, path = part.subscription.collection, hint[0]
            if await self._storage.read(partial(is_needed, collection=name, path=path)):
                while await self._storage.write(partial(build_step, collection=name, path=path)):
                    pass

    async def has_news(self, parts: tuple[Subscription, ...], since: int) -> tuple[bool, int]:
        """Tell whether a replica that had everything at a sequence has to hear of anything in its parts since.

        Gives also the sequence up to which that was looked at.
        """
        nobody = SyncRequest("", "", {SERVER: since}, limit=1, settled=since)
        request = replace(nobody, collections=(), subscriptions=parts)

        async def body(tx: ReadTransaction) -> tuple[bool, int]:
            state = await required_state(tx)
            feed = self._memory.recent.feed(tx, state)
            page = await feed_page(feed, request, Selection(request), since, frozenset(), Room(1))
            return bool(page.texts) or page.has_more, state.head

        return await self._storage.read(body)

    async def head(self) -> int:
        """Give the sequence of the last change."""
        return await self._storage.read(head_of)

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call back after exchanges here have committed changes, with a head and the collections; the result ends it.

        Exchanges that were committed together are told one by one, not always in the order of their heads.
        """
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    def _tell(self, head: int, touched: Set[str]) -> None:
        for callback in list(self._watchers) if touched else ():
            callback(head, touched)

    async def status(self, client_id: str, since: int | None = None) -> dict[str, JSON]:
        """Tell what the server knows of a client, as ``GET /_api/sync/status`` answers it."""
        return await self._storage.read(lambda tx: status_of(tx, client_id, since))

    async def new_epoch(self, rng: Random) -> str:
        """Say that this storage was restored: every replica will offer again what the server may lack."""
        return await self._storage.write(lambda tx: begin_epoch(tx, rng))


def _touched(request: SyncRequest, answer: Answer) -> frozenset[str]:
    """Name the collections of the changes that were taken in; there is a verdict on each if there is one such."""
    results: Any = answer.head.get("results", ())
    pairs = zip(request.changes, results, strict=False)
    return frozenset(change.collection for change, result in pairs if result["status"] in TAKEN)
