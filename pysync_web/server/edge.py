"""The one door of the server: who may come in, which web sites' pages may, and what every answer carries.

It stands around the application, so that no route can be forgotten.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..transport.problems import Refusal
from .auth import Doorkeeper
from .body import discard
from .config import Config
from .responses import problem

API: Final = "/_api/"
METRICS: Final = "/metrics"
OPEN_TO_ALL: Final = frozenset({"/_api/health"})

_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-encoding, content-type, x-api-key",
    "access-control-max-age": "600",
}


class Edge:
    """Wraps an application; requests that may not come in never reach it."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._doorkeeper = Doorkeeper(config.token)
        self._origins = frozenset(config.origins)
        self._limits = config.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        is_api = scope["path"].startswith(API) or scope["path"] == METRICS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(raw=message["headers"]), is_api, origin)
            await send(message)

        app = self._app
        if is_api and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            app = self._preflight(scope, origin)
        elif refusal := self._refusal(scope, headers, is_api):
            await discard(Request(scope, receive).stream(), self._limits)
            app = problem(scope, refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, is_api: bool) -> Refusal | None:
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) + 4 for name, value in headers.raw)
        if size > self._limits.header_bytes:
            more = {"limit": "header_bytes", "maximum": self._limits.header_bytes}
            return Refusal(431, "headers_too_large", f"The headers have {size} bytes, over the limit.", more)
        if not is_api or scope["path"] in OPEN_TO_ALL:
            return None
        return self._doorkeeper.refusal(headers)

    def _preflight(self, scope: Scope, origin: str) -> ASGIApp:
        if origin in self._origins:
            return Response(status_code=204, headers=_PREFLIGHT)
        return problem(scope, Refusal(403, "strange_origin", "Pages of this origin may not call this server."))

    def _complete(self, headers: MutableHeaders, is_api: bool, origin: str) -> None:
        """Add what every answer carries, and what lets a listed origin's page read it."""
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "no-referrer"
        if not is_api:
            return
        headers["cache-control"] = "no-store"
        headers["content-security-policy"] = "default-src 'none'; frame-ancestors 'none'"
        if self._origins:
            headers.add_vary_header("Origin")
        if origin in self._origins:
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "retry-after, date, x-request-id"
