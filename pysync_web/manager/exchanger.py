"""Exchanges with a server until there is nothing more to push or pull; what failed is said and never dropped."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from functools import partial
from typing import Any, Final

from ..causality import SERVER
from ..clock import monotonic_ms, now_ms
from ..core.delta import DeltaMismatch
from ..core.exchange import (
    ExchangeOptions,
    Outcome,
    begin_late_resync,
    begin_part_again,
    begin_resync,
    build_pull,
    build_push,
    fork,
    has_pending,
    is_overtaken,
    withdraw,
)
from ..core.intake import apply_response, drop_unasked
from ..core.outbox import BLOCK_CHANGES, Name
from ..core.ports import ReadTransaction, Storage, Transport, WriteTransaction
from ..core.replica import Event, collections
from ..core.scope import is_leaving
from ..core.wire import MAX_COLLECTIONS, SyncRequest, SyncResponse, decode_response, encode_request
from ..deferred import dataclass
from ..errors import Rejected, SchemaError, SyncError, Unreachable
from ..values import NoCollecting
from .hooks import answer_of, log

MOST_ROUNDS: Final = 10_000
"""A sync that needs more exchanges than this has gone wrong."""

MOST_RESTARTS: Final = 5
"""How often one sync may fork, change the epoch or start over."""

MOST_STALE: Final = 100
"""How often another tab or process may be faster, before this one leaves it to them."""

STALE_PAUSE_S: Final = 0.05

TOO_LARGE: Final = 413
UNREADABLE: Final = frozenset({400, TOO_LARGE, 422})
"""With these a server refuses a request for what is in it."""

MOST_REFUSED: Final = 10
"""A server that refuses more changes than this, one by one, has another reason."""

PAGES_BETWEEN_COLLECTIONS: Final = 32
"""After so many pages that follow one another the garbage collector looks at what is new meanwhile."""


@dataclass(slots=True)
class Tally:
    """What the exchanges of one sync did together."""

    pushed: int = 0
    pulled: int = 0
    conflicts: int = 0
    rejected: int = 0
    retried: int = 0
    left: int = 0
    noted: int = 0
    delta_bytes: int = 0
    whole_bytes: int = 0
    transferred: int = 0
    errors: list[str] = field(default_factory=list)


class Exchanger:
    """Runs the exchanges of one sync over a storage and a transport."""

    def __init__(
        self,
        storage: Storage,
        transport: Transport,
        rng: Any,
        *,
        on_events: Callable[[list[Event]], None],
        on_round: Callable[[Tally], None],
        ask: Callable[[Sequence[Name]], Awaitable[None]],
        is_online: Callable[[], bool],
    ) -> None:
        self._storage = storage
        self._transport = transport
        self._rng = rng
        self._on_events = on_events
        self._on_round = on_round
        self._ask = ask
        self._is_online = is_online
        self.was_forked = False
        self.refused: frozenset[int] = frozenset()
        self.looked_ms: int | None = None
        """When it looked last whether changes wait to be sent, in milliseconds of a clock that never jumps."""
        self._diverged: tuple[str, ...] = ()
        self._has_sent_all = True
        self._ahead: tuple[str, asyncio.Task[tuple[SyncResponse, int]]] | None = None
        self._pages_ahead = 0
        self._quiet = ExitStack()

    async def run(self, options: ExchangeOptions, tally: Tally) -> None:
        """Exchange until both sides have everything; raise what the transport or the storage raises."""
        try:
            await self._run(options, tally)
        finally:
            try:
                await self._forget_ahead()
            finally:
                self._let_collect()

    async def _run(self, options: ExchangeOptions, tally: Tally) -> None:
        restarts = stale = 0
        await self._drop_unasked(options)
        for _ in range(MOST_ROUNDS):
            try:
                outcome = await self._round(options, tally)
            except DeltaMismatch as error:
                log.info("%s", error)
                options = replace(options, delta=None)
                continue
            if outcome is not None and outcome.is_stale and stale < MOST_STALE:
                stale += 1
                await asyncio.sleep(self._rng.random() * STALE_PAUSE_S)
                continue
            if outcome is None or outcome.is_stale or outcome.epoch_changed:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise Unreachable("the server and this replica do not come to agree; trying again later")
                continue
            if outcome.has_diverged:
                tally.errors.append("the server's documents are others than here: pulling everything again")
                self._diverged = options.collections or tuple(await self._storage.read(collections))
                restarts += 1
                if restarts > MOST_RESTARTS:
                    return
                await self._storage.write(partial(begin_resync, options=options))
                continue
            self._diverged = tuple(outcome.diverged)
            for collection in outcome.diverged:
                tally.errors.append(f"the server's part of {collection!r} is another than here: fetching it again")
                restarts += 1
                if restarts > MOST_RESTARTS:
                    return
                await self._storage.write(partial(begin_part_again, collection=collection, options=options))
            if not outcome.has_more and not outcome.diverged and self._has_sent_all:
                return
        raise Unreachable(f"no end after {MOST_ROUNDS} exchanges; trying again later")

    async def _drop_unasked(self, options: ExchangeOptions) -> None:
        """Let go of what is not wanted any more."""
        has_more = await self._storage.read(is_leaving)
        while has_more:
            outcome, has_more = await self._storage.write(
                lambda tx: drop_unasked(tx, now_ms(), self._rng, options), relaxed=True
            )
            self._on_events(outcome.events)

    async def _round(self, options: ExchangeOptions, tally: Tally) -> Outcome | None:
        """Do one exchange; None where this replica had to become another one first, or has to begin again."""
        request, is_repeated = await self._build(options)
        request = replace(request, diverged=self._diverged[:MAX_COLLECTIONS])
        sent = encode_request(request)
        try:
            response, size = await self._exchange(options.database, sent)
        except Rejected as error:
            if error.status in UNREADABLE:
                self.refused = frozenset(change.n for change in request.changes if change.n is not None)
                await self._storage.write(lambda tx: withdraw(tx, request))
            if error.code == "replica_forked":
                return await self._fork(request, options)
            if error.code != "resync":
                raise
            is_doubtful = is_repeated and not error.detail.get("known")
            await self._storage.write(lambda tx: begin_late_resync(tx, options, is_doubtful=is_doubtful))
            return None
        tally.transferred += len(sent) + size
        self._diverged = ()
        if response.has_more and not request.changes and not response.snapshots:
            await self._ask_ahead(request, response)
        else:
            self._let_collect()
        outcome = await self._storage.write(
            lambda tx: apply_response(tx, request, response, now_ms(), self._rng, options),
            relaxed=not request.changes,
        )
        if outcome.asks:
            await self._ask(outcome.asks)
        self._has_sent_all = await self._is_all_sent(request, options)
        self._count(outcome, tally)
        return outcome

    async def _ask_ahead(self, request: SyncRequest, response: SyncResponse) -> None:
        """Send what the next request will probably be: its answer comes, and is read, while this one is written."""
        self._pages_ahead += 1
        if self._pages_ahead % PAGES_BETWEEN_COLLECTIONS == 0:
            gc.collect(0)
        version = {SERVER: response.server_version.get(SERVER, 0)}
        fence = response.fence or request.fence
        following = replace(
            request, version_vector=version, epoch=response.epoch, fence=fence, began=response.began, diverged=()
        )
        text = encode_request(following)
        self._ahead = (text, asyncio.ensure_future(self._ask_server(request.database, text)))
        await asyncio.sleep(0)

    def _stop_collecting(self) -> None:
        """Keep the garbage collector from an answer and what is made of it: nothing of that is garbage yet."""
        if gc.isenabled():
            self._quiet.enter_context(NoCollecting())

    def _let_collect(self) -> None:
        """Give the garbage collector its way again, when it has looked at what is new: no page follows."""
        if self._pages_ahead:
            gc.collect(0)
        self._pages_ahead = 0
        self._quiet.close()

    async def _exchange(self, database: str, text: str) -> tuple[SyncResponse, int]:
        """Send a request, unless it is the one that was sent ahead; give the answer, and the length of its text."""
        if self._ahead is not None and self._ahead[0] == text:
            (_, answer), self._ahead = self._ahead, None
            return await answer
        await self._forget_ahead()
        return await self._ask_server(database, text)

    async def _ask_server(self, database: str, text: str) -> tuple[SyncResponse, int]:
        if not self._is_online():
            raise Unreachable("offline")
        answer = await self._carried(database, text)
        self._stop_collecting()
        try:
            return decode_response(answer), len(answer)
        except SchemaError as error:
            raise Unreachable(f"the server's answer can't be used: {error}") from error

    async def _carried(self, database: str, text: str) -> str:
        """Let the transport carry a request; what an application's own raises is a failure that may pass."""
        try:
            return await answer_of(self._transport.exchange(database, text))
        except SyncError:
            raise
        except Exception as error:
            log.exception("the transport raised")
            raise Unreachable(f"the transport raised {type(error).__name__}: {error}") from error

    async def _forget_ahead(self) -> None:
        """End what was asked ahead and nobody wants."""
        if self._ahead is not None:
            (_, answer), self._ahead = self._ahead, None
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    async def _fork(self, request: SyncRequest, options: ExchangeOptions) -> Outcome | None:
        """Become another replica, unless the fence was another handle's doing: then the request was merely late."""

        async def body(tx: WriteTransaction) -> bool:
            if await is_overtaken(tx, request):
                return False
            await fork(tx, self._rng, options)
            return True

        if not await self._storage.write(body):
            return Outcome(is_stale=True)
        self.was_forked = True
        return None

    async def _build(self, options: ExchangeOptions) -> tuple[SyncRequest, bool]:
        """Give the next request, and whether it may have been sent before."""

        async def idle(tx: ReadTransaction) -> SyncRequest | None:
            return None if await has_pending(tx, options.skip) else await build_pull(tx, options)

        async def push(tx: WriteTransaction) -> tuple[SyncRequest, bool]:
            is_repeated = await tx.get("meta", ("inflight",)) is not None
            return await build_push(tx, self._rng, options), is_repeated

        request = await self._storage.read(idle)
        return (request, False) if request is not None else await self._storage.write(push)

    async def _is_all_sent(self, request: SyncRequest, options: ExchangeOptions) -> bool:
        """Tell whether nothing waits that this sync may send."""
        if options.where is not None and not request.changes:
            return True
        self.looked_ms = monotonic_ms()
        return not await self._storage.read(lambda tx: has_pending(tx, options.skip))

    def _count(self, outcome: Outcome, tally: Tally) -> None:
        tally.pushed += outcome.pushed
        tally.pulled += outcome.pulled
        tally.conflicts += outcome.conflicts
        tally.rejected += len(outcome.rejected)
        tally.left = outcome.pending
        tally.noted += outcome.noted
        tally.delta_bytes += outcome.delta_bytes
        tally.whole_bytes += outcome.whole_bytes
        for (collection, key), result in outcome.rejected:
            why = result.error.message if result.error else "the server does not say why"
            tally.errors.append(f"rejected: {collection}/{key}: {why}")
        self._on_events(outcome.events)
        self._on_round(tally)


async def exchange_around_refusals(exchanger: Exchanger, options: ExchangeOptions, tally: Tally) -> frozenset[int]:
    """Exchange, with smaller pushes where the server refuses one, and at last without a change that it refuses alone.

    Give the numbers of these; they wait on, and so does what depends on them.
    """
    now = options
    while True:
        try:
            await exchanger.run(now, tally)
            return now.skip
        except Rejected as error:
            if error.status not in UNREADABLE or not exchanger.refused:
                raise
            less = smaller(now)
            if less is None and len(now.skip) >= MOST_REFUSED:
                raise
            if less is None:
                tally.errors.append(f"refused: {error}")
                less = replace(options, skip=now.skip | exchanger.refused)
            now, exchanger.refused = less, frozenset()


def smaller(options: ExchangeOptions) -> ExchangeOptions | None:
    """Give options with half the changes in a push, or None where it can't be less."""
    if options.push_limit <= 1:
        return None
    less = options.push_limit // 2
    return replace(options, push_limit=less, splits=less < BLOCK_CHANGES)
