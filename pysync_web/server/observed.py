"""Notes each request from its first byte to the last of its answer: its id, its line in the log, its metrics."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .logs import LOGGER, described
from .metrics import Metrics


@dataclass(slots=True)
class Record:
    """What is noted of one request. ``route`` is the pattern of its address, "" where it was not routed.

    ``database`` is named once it is known to be a name. ``code`` says why it was refused, and ``error`` what failed.
    """

    method: str
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    route: str = ""
    status: int = 0
    database: str = ""
    pushed: int = 0
    pulled: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    is_exchange: bool = False
    code: str | None = None
    error: str | None = None

    def fields(self, seconds: float) -> dict[str, object]:
        """Give the members of its line in the log."""
        line: dict[str, object] = {
            "request_id": self.request_id,
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "duration_ms": round(seconds * 1000, 1),
            "database": self.database,
            "pushed": self.pushed,
            "pulled": self.pulled,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }
        return line | {name: value for name in ("code", "error") if (value := getattr(self, name))}


def record_of(scope: Scope) -> Record:
    """Give the record of a request."""
    record: Record = scope["state"]["record"]
    return record


class Observed:
    """Wraps an application. What was exchanged or refused gets a line in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(scope["method"])
        scope.setdefault("state", {})["record"] = record
        began = time.perf_counter()

        async def receive_counted() -> Message:
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(raw=message["headers"])["x-request-id"] = record.request_id
            record.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive_counted, send_counted)
        except Exception as error:
            record.code, record.error = "internal", described(error)
            raise
        finally:
            self._note(record, time.perf_counter() - began)

    def _note(self, record: Record, seconds: float) -> None:
        if record.code is not None:
            self._metrics.on_error(record.code)
        if record.is_exchange:
            self._metrics.on_served(record.database, record.bytes_in, record.bytes_out, seconds)
        if record.is_exchange or record.code is not None or record.database:
            level = logging.ERROR if record.error else logging.INFO
            fields = record.fields(seconds)
            text = " ".join(f"{name}={value}" for name, value in fields.items())
            LOGGER.log(level, "%s", text, extra={"fields": fields})
