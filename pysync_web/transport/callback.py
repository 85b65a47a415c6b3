"""A transport to any API: two functions of the application's push records and pull them.

Between the functions and the replica stands a hub with a storage of its own, so the whole protocol holds: what is
pulled becomes changes of that hub, what the hub accepted is offered until it was taken, and a crash anywhere repeats
a step and loses nothing. A replica's change counts as sent when the application's backend has taken it.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from ..clock import now_ms
from ..core.arguments import check_function
from ..core.beside import Beside
from ..core.hub import Hub
from ..core.outbox import Name
from ..core.ports import Random, Storage
from ..core.records import Accepted, Pulled, Refused, Sent, SyncRecord, checked
from ..core.shadow import has_offers, load_state, offer, refusals, settle, take_in
from ..core.wire import (
    MAX_BODY_BYTES,
    Answer,
    Problem,
    Result,
    Subscription,
    SyncRequest,
    decode_request,
    encode_result,
)
from ..errors import InvalidDocument, Rejected, SchemaError, SyncError, Unreachable
from ..values import JSON, decode, dumps
from .callback_errors import translated
from .pokes import Pokes
from .problems import body_too_large, refusal_of

Verdicts: TypeAlias = "Iterable[str | Accepted | Refused]"
Push: TypeAlias = "Callable[[list[SyncRecord]], Awaitable[Verdicts] | Verdicts]"
Page: TypeAlias = "Pulled | Iterable[SyncRecord]"
Pull: TypeAlias = "Callable[[Any], Awaitable[Page] | Page]"

DAY_MS: Final = 86_400_000
MOST_DAYS: Final = 36_500

MOST_ROUNDS: Final = 3
"""How often one exchange pulls again because the backend did not take everything."""


class CallbackTransport:
    """Syncs a replica with any backend through two functions, plain or coroutine functions.

    ``push(records)`` sends records and gives the ids of those taken, or :class:`Accepted` with the backend's new
    version; :class:`Refused` for one that it will never take. What it does not name is offered again, after a pull:
    so a backend that compares versions (``If-Match``) just does not name what has changed there. It may get a record
    twice, always under the same id. ``pull(since)`` gives a :class:`Pulled`, or just records; ``since`` is what the
    last page said, None at first. Pulling our own pushes back is no change.

    CRDT values are objects with a member ``$crdt``, which the backend keeps as they are. Those that come are joined
    with those that are here, and pushed where the backend lacks something of both: so devices that count over a
    backend which only keeps the last document come to the sum, once each of them has synced after the others. What
    was removed and begun again between two syncs of a device, that device joins with what it had.

    Both may raise anything: errors with an HTTP status are read as one (401 and 403: :class:`Unauthorized`; other
    4xx: :class:`Rejected`), everything else is :class:`Unreachable` and tried again. ``timeout_s`` bounds each call
    of a coroutine function; ``batch_size`` and ``batch_bytes`` bound each push. ``storage`` is where the hub lies,
    by default beside the replica's documents in its own database. It remembers deletes and what was sent for
    ``retention_days``, as a server does.
    """

    def __init__(
        self,
        push: Push,
        pull: Pull,
        *,
        storage: Storage | None = None,
        batch_size: int = 100,
        batch_bytes: int = 1024 * 1024,
        timeout_s: float = 30.0,
        retention_days: float = 90.0,
        clock: Callable[[], int] = now_ms,
        rng: Random | None = None,
    ) -> None:
        if batch_size < 1 or batch_bytes < 1 or not timeout_s > 0:
            raise InvalidDocument("batch_size, batch_bytes and timeout_s are over 0")
        if not 0 < retention_days <= MOST_DAYS:
            raise InvalidDocument(f"retention_days is over 0 and up to {MOST_DAYS}, not {retention_days!r:.40}")
        check_function("push", push)
        check_function("pull", pull)
        self._push = push
        self._pull = pull
        self._storage = Beside(storage, PREFIX) if storage is not None else None
        self._batch = (batch_size, batch_bytes)
        self._timeout_s = timeout_s
        self._retention_ms = round(retention_days * DAY_MS)
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._hub: Hub | None = None
        self._turn = asyncio.Lock()
        self._goes_on: tuple[str, int] | None = None
        self._has_more = False
        self._streams: set[Pokes] = set()
        self._pokes = 0
        self._closed = False

    def attach(self, storage: Storage) -> None:
        """Lie beside a replica's documents, unless a storage was given; a manager calls it."""
        if self._storage is None:
            self._storage = Beside(storage, PREFIX)

    async def exchange(self, database: str, body: str) -> str:
        """Pull from the backend, let the hub decide, push to the backend, and give the hub's answer."""
        if self._closed:
            raise Unreachable("this transport was closed")
        request = _request(body, database)
        async with self._turn:
            storage, hub = await self._opened()
            if self._has_more or self._goes_on != (request.client_id, request.since):
                self._has_more = await self._take_page(storage)
            if not request.changes and not self._has_more:
                await self._forget(storage, hub)
            answer = await hub.exchange(request, self._clock(), self._rng)
            if await self._send_all(storage, request):
                answer = await hub.exchange(request, self._clock(), self._rng)
            return (await self._told(storage, request, answer)).text()

    def poke(self) -> None:
        """Say that the backend may have news; background sync then begins at once."""
        self._pokes += 1
        for stream in self._streams:
            stream.poke(self._pokes)

    async def pokes(
        self, database: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> AsyncIterator[int]:
        """Yield a number at once and after each :meth:`poke`, of whatever; ends when the transport is closed."""
        if self._closed:
            raise Unreachable("this transport was closed")
        stream = Pokes()
        self._streams.add(stream)
        stream.poke(self._pokes)
        try:
            while (number := await stream.next()) is not None:
                yield number
        finally:
            self._streams.discard(stream)

    async def close(self) -> None:
        """End the streams and refuse further requests; a storage that was given stays open."""
        self._closed = True
        for stream in self._streams:
            stream.end()

    async def _opened(self) -> tuple[Storage, Hub]:
        if self._storage is None:
            raise SyncError("a callback transport needs a storage where no manager gives it one")
        if self._hub is None:
            hub = Hub(self._storage)
            await hub.open(self._rng)
            self._hub = hub
        return self._storage, self._hub

    async def _forget(self, storage: Storage, hub: Hub) -> None:
        """Forget what is old, where the backend has everything and nothing is in doubt."""
        if not await storage.read(has_offers):
            await hub.forget(self._clock() - self._retention_ms)

    # From the backend

    async def _take_page(self, storage: Storage) -> bool:
        """Pull one page and take it in; tell whether there is more."""
        for _ in range(MOST_ROUNDS):
            state = await storage.read(load_state)
            page = _page(await self._call("pull", self._pull, state.since), state.since)
            if not page.records and not page.is_complete and page.since == state.since:
                return page.has_more
            generation, now = state.generation, self._clock()
            if await storage.write(partial(take_in, page=page, generation=generation, now_ms=now, rng=self._rng)):
                return page.has_more
        raise Unreachable("others were faster to pull; trying again later")

    # To the backend

    async def _send_all(self, storage: Storage, request: SyncRequest) -> bool:
        """Push until the backend lacks nothing; tell whether the hub's documents may have changed by that."""
        ops: dict[Name, list[str]] = {}
        for change in request.changes:
            ops.setdefault((change.collection, change.key), []).append(str(change.op_id))
        has_changed = False
        for _ in range(MOST_ROUNDS):
            left, was_refused = await self._send_once(storage, ops)
            has_changed = has_changed or was_refused
            if not left:
                return has_changed
            self._has_more = await self._take_page(storage)
            has_changed = True
        raise Unreachable(f"the backend did not take {left} changes; they will be offered again")

    async def _send_once(self, storage: Storage, ops: dict[Name, list[str]]) -> tuple[int, bool]:
        """Offer everything once, in batches; give how much was not taken, and whether something was refused."""
        most, most_bytes = self._batch
        at = left = 0
        was_refused = False
        is_end = not await storage.read(has_offers)
        while not is_end:
            records, at, is_end = await storage.write(partial(offer, after=at, most=most, most_bytes=most_bytes))
            if records:
                sent = _sent(records, await self._call("push", self._push, records))
                late = await storage.write(partial(settle, sent=sent, ops=ops, now_ms=self._clock(), rng=self._rng))
                left += len(records) - len(sent) + len(late)
                was_refused = was_refused or any(isinstance(one.verdict, Refused) for one in sent)
        return left, was_refused

    async def _told(self, storage: Storage, request: SyncRequest, answer: Answer) -> Answer:
        """Put the backend's refusals into an answer, and remember where the next request goes on."""
        verdicts: Any = answer.head.get("results", [])
        known = await storage.read(lambda tx: refusals(tx, [verdict["op_id"] for verdict in verdicts]))
        head = {**answer.head, "results": [_verdict(verdict, known) for verdict in verdicts]}
        if self._has_more:
            head["has_more"] = True
            head.pop("digest", None)
        cursor: Any = head["server_version"]
        self._goes_on = (request.client_id, cursor["server"]) if head["has_more"] else None
        return Answer(head, answer.server_changes, answer.conflicts)

    async def _call(self, what: str, callback: Callable[[Any], Any], argument: Any) -> Any:
        """Call a function of the application's; what goes wrong comes out as a :class:`TransportError`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                result = callback(argument)
                return await result if inspect.isawaitable(result) else result
        except Exception as error:
            raise translated(what, error, self._timeout_s) from error


PREFIX: Final = "hub."
"""The spaces of the hub in a replica's database begin with it."""


def _request(body: str, database: str) -> SyncRequest:
    size = len(body.encode("utf-8"))
    if size > MAX_BODY_BYTES:
        raise body_too_large(size, MAX_BODY_BYTES).error()
    try:
        return decode_request(body, database=database)
    except SyncError as error:
        raise refusal_of(error).error() from error


def _page(given: Any, since: JSON) -> Pulled:
    """Read what ``pull`` gave."""
    page = given if isinstance(given, Pulled) else None
    try:
        records = list(page.records if page else given)
        records = [checked(record, f"records[{i}]") for i, record in enumerate(records)]
        if page is None:
            return Pulled(records, since)
        token = None if page.since is None else decode(dumps(page.since), "since")
        if page.has_more and token == since:
            raise SchemaError("it has more, but the next call would bring the same", place="since")
        return Pulled(records, token, page.has_more, page.is_complete)
    except (SchemaError, TypeError, ValueError) as error:
        raise Rejected(f"pull gave what can't be used: {error}", status=422, code="invalid_record") from error


def _sent(records: Sequence[SyncRecord], verdicts: Any) -> list[Sent]:
    """Read what ``push`` gave, by the records that were offered; ids of others say nothing."""
    by_id: dict[str, Accepted | Refused] = {}
    try:
        for verdict in verdicts or ():
            one = Accepted(verdict) if isinstance(verdict, str) else verdict
            if not isinstance(one, Accepted | Refused):
                raise TypeError(f"{type(one).__name__} is none of str, Accepted, Refused")
            by_id[one.id] = one
    except TypeError as error:
        message = f"push gave neither ids nor verdicts: {error}"
        raise Rejected(message, status=422, code="invalid_verdict") from error
    return [Sent(record, by_id[record.id]) for record in records if record.id in by_id]


def _verdict(verdict: dict[str, Any], known: dict[str, Refused]) -> dict[str, JSON]:
    why = known.get(verdict["op_id"])
    if why is None or verdict["status"] not in ("applied", "merged", "duplicate"):
        return verdict
    problem = Problem(why.code, why.reason)
    return encode_result(Result(verdict["op_id"], "rejected", verdict["version_vector"], problem))
