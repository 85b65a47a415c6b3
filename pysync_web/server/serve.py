"""Runs the application with uvicorn, with the limits and the ending that uvicorn leaves to others.

A stream of events never ends by itself, and uvicorn would wait for it: so streams say goodbye first.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import uvicorn

from .app import App
from .config import Limits

GRACE_S = 5

OTHER_FILES = 512
"""The files that a server opens beside its connections: those of its databases and of its site."""


class Server(uvicorn.Server):
    """A uvicorn that ends an application's streams before it waits for its requests."""

    def __init__(self, app: App) -> None:
        limits = app.config.limits
        settings = uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            http=protocol(limits),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=round(limits.idle_s),
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=2 * limits.header_bytes,
            limit_concurrency=limits.connections,
        )
        super().__init__(settings)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then what is under way, then the application."""
        self._app.streams.end()
        await super().shutdown(sockets)


def within_reach(limits: Limits) -> Limits:
    """Let this process open as many files as the limits need, and lower them to what it may open.

    A connection more than that could not even be refused. Of the connections a quarter is kept from the streams.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return limits
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = limits.connections + OTHER_FILES
    if resource.RLIM_INFINITY != soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits
    connections = max(soft - OTHER_FILES, soft // 4)
    return replace(limits, connections=connections, streams=min(limits.streams, connections * 3 // 4))


def listen(host: str, port: int) -> socket.socket:
    """Give a socket that is bound and listens; port 0 takes any free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def protocol(limits: Limits) -> Any:
    """Give uvicorn's protocol class for this machine, with a limit on a request's headers and their time."""
    base: Any
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base

    class Protocol(base):  # type: ignore[misc]
        """Closes a connection whose next request takes too long to say what it is, or too many bytes."""

        overdue: asyncio.TimerHandle | None = None
        header_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.expect_request()

        def connection_lost(self, error: Exception | None) -> None:
            self.forget_request()
            super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                super().data_received(data)
                return
            before = self.cycle
            self.expect_request()
            self.header_bytes += len(data)
            super().data_received(data)
            if self.cycle is not before:
                self.forget_request()
            elif self.header_bytes > 2 * limits.header_bytes:
                self.transport.close()

        def expect_request(self) -> None:
            """Let the time run in which the headers of a request must come."""
            if self.overdue is None:
                self.overdue = self.loop.call_later(limits.read_timeout_s, self.transport.close)

        def forget_request(self) -> None:
            """Stop the time: the headers are there, or nobody waits for them."""
            self.header_bytes = 0
            if self.overdue is not None:
                self.overdue.cancel()
                self.overdue = None

    return Protocol
