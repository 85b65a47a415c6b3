"""The application: what each address does, and one place where every error becomes an answer."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..causality import SERVER
from ..clock import now_ms
from ..core.selection import Selection
from ..core.wire import PROTOCOL, SyncRequest, decode_collections, decode_request, decode_subscriptions
from ..errors import Rejected, StorageReset
from ..transport.problems import Refusal, refusal_of
from ..values import JSON, check_database, decode, dumps
from .body import read_body
from .config import Config
from .databases import Databases
from .edge import API, METRICS, Edge
from .live import EVENTS, Streams
from .logs import described
from .metrics import MEDIA_TYPE, Metrics
from .observed import Observed, record_of
from .responses import json_text, problem
from .site import Site
from .upkeep import Upkeep

Handler = Callable[[Request], Awaitable[Response]]


class App:
    """The server as an ASGI application."""

    def __init__(self, config: Config) -> None:
        self.config = config
        limits = config.limits
        self.databases = Databases(config.data, durability=config.durability, most=limits.databases)
        self.upkeep = Upkeep(self.databases, config.retention_days)
        self.metrics = Metrics(databases=lambda: self.databases.open_count, streams=lambda: self.streams.count)
        self.streams = Streams(
            self.databases, most=limits.streams, ping_s=config.ping_s, on_poke=self.metrics.on_poke
        )
        self._site = None if config.web is None else Site(config.web)
        self._rng = random.SystemRandom()
        handlers = {HTTPException: _not_routed}
        self.routes = self._table()
        inner = Starlette(routes=self.routes, lifespan=self._lifespan, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        inner.router.default = request_response(_served("", self._other))
        self._app: ASGIApp = Observed(Edge(inner, config), self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        await self._app(scope, receive, send)

    def _table(self) -> list[BaseRoute]:
        """Give the table of addresses."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", f"{API}sync/delta", self._delta),
            ("GET", f"{API}sync/pull/{{database}}", self._pull),
            ("POST", f"{API}sync/push/{{database}}", self._push),
            ("GET", f"{API}sync/status/{{database}}", self._status),
            ("GET", f"{API}sync/stream/{{database}}", self._stream),
            ("GET", f"{API}health", self._health),
            ("GET", METRICS, self._metrics),
        ]
        return [Route(path, _served(path, handler), methods=[method]) for method, path, handler in table]

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.upkeep.start()
        try:
            yield
        finally:
            self.streams.end()
            await self.upkeep.stop()
            await self.databases.close()

    async def _delta(self, request: Request) -> Response:
        """Push and pull in one exchange."""
        wanted = decode_request(await read_body(request, self.config.limits))
        return await self._exchange(request, wanted)

    async def _push(self, request: Request) -> Response:
        """Take changes; the answer brings verdicts, and of the documents only what these need."""
        name = _database(request)
        wanted = decode_request(await read_body(request, self.config.limits), database=name)
        return await self._exchange(request, replace(wanted, limit=0))

    async def _pull(self, request: Request) -> Response:
        """Give what changed after the cursor."""
        name = _database(request)
        wanted = decode_request(dumps(_message_of(request)), database=name)
        self._check_known(name)
        return await self._exchange(request, wanted)

    async def _status(self, request: Request) -> Response:
        """Tell what the server knows of a client."""
        name = _database(request)
        self._check_known(name)
        message = _message_of(request)
        wanted = decode_request(dumps(message), database=name)
        since = wanted.since if "version_vector" in message else None
        async with self.databases.use(name) as hub:
            status = await hub.status(wanted.client_id, since)
        return await json_text(request, dumps(status))

    async def _stream(self, request: Request) -> Response:
        """Poke after each commit, or after those that touch some collections, or what filters let through."""
        if request.method == "HEAD":
            return Response(media_type=EVENTS)
        named, given = _names(request), request.query_params.get("subscriptions")
        parts = decode_subscriptions(decode(given, "subscriptions")) if given is not None else ()
        Selection(SyncRequest("", SERVER, subscriptions=parts))  # refuses a filter that is none
        collections = None if named is None else decode_collections(named)
        return await self.streams.respond(_database(request), collections, parts)

    async def _health(self, request: Request) -> Response:
        """Say that the server is there."""
        return await json_text(request, dumps({"status": "ok", "protocol": PROTOCOL}))

    async def _metrics(self, request: Request) -> Response:
        """Give what was counted."""
        return Response(self.metrics.text(), media_type=MEDIA_TYPE)

    async def _other(self, request: Request) -> Response:
        """Serve the site, if there is one."""
        if self._site is None or request.scope["path"].startswith(API):
            raise Rejected("There is nothing at this address.", status=404, code="not_found")
        return await self._site.respond(request)

    async def _exchange(self, request: Request, wanted: SyncRequest) -> Response:
        record = record_of(request.scope)
        record.database, record.pushed = wanted.database, len(wanted.changes)
        try:
            async with self.databases.use(wanted.database) as hub:
                answer = await hub.exchange(wanted, now_ms(), self._rng)
        except StorageReset:
            await self.databases.forget(wanted.database)
            raise
        record.pulled, record.is_exchange = len(answer.server_changes), True
        self.metrics.on_exchange(wanted, answer, now_ms())
        return await json_text(request, answer.text())

    def _check_known(self, name: str) -> None:
        if not self.databases.exists(name):
            message = f"There is no database {name!r} here: the first push creates it."
            raise Rejected(message, status=404, code="unknown_database")


def _served(route: str, handler: Handler) -> Handler:
    """Give a handler whose errors have become answers."""

    async def serve(request: Request) -> Response:
        record = record_of(request.scope)
        record.route = route
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.status >= 500:
                record.error = described(error)
            return problem(request.scope, refusal)

    return serve


async def _not_routed(request: Request, error: Exception) -> Response:
    """Answer what the routes refuse, a wrong method."""
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "refused"
    refusal = Refusal(error.status_code, code, f"{request.method} is not allowed at this address.")
    response = problem(request.scope, refusal)
    response.headers.update(error.headers or {})
    return response


def _database(request: Request) -> str:
    """Give the database that an address names, and note it."""
    name = record_of(request.scope).database = check_database(request.path_params["database"])
    return name


def _names(request: Request) -> list[JSON] | None:
    """Give the collections that a query names, if it does."""
    given = request.query_params.get("collections")
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


def _message_of(request: Request) -> dict[str, JSON]:
    """Give a query's parameters as the members of a request's body."""
    query = request.query_params
    message: dict[str, JSON] = {name: query[name] for name in ("client_id", "epoch") if name in query}
    if "version_vector" in query:
        message["version_vector"] = decode(query["version_vector"], "version_vector")
    if (names := _names(request)) is not None:
        message["collections"] = names
    for name in ("limit", "began"):
        if name in query:
            message[name] = int(query[name]) if query[name].isdecimal() else query[name]
    return message
