"""Why a request was refused, in the one form that a server sends, a client reads and a local hub raises.

It travels as ``application/problem+json``; what a client may do about it follows from the status alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from ..core.wire import MAX_CHANGES
from ..deferred import dataclass
from ..errors import (
    DatabaseLocked,
    FormatTooNew,
    InvalidDocument,
    QueryError,
    QuotaExceeded,
    Rejected,
    SchemaError,
    StorageReset,
    TransportError,
    Unauthorized,
    Unreachable,
)
from ..values import JSON, MAX_DEPTH, MAX_DOCUMENT_BYTES, dumps

MEDIA_TYPE: Final = "application/problem+json"
RETRY_STATUSES: Final = frozenset({408, 425, 429})

_TITLES: Final = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Unprocessable content",
    429: "Too many requests",
    431: "Request headers too large",
    503: "Service unavailable",
    507: "Insufficient storage",
}
_STATUSES: Final = {
    "not_json": 400,
    "not_utf8": 400,
    "too_deep": 400,
    "too_many": 413,
    "document_too_large": 413,
}
_LIMITS: Final[Mapping[str, tuple[str, int]]] = {
    "too_deep": ("depth", MAX_DEPTH),
    "document_too_large": ("document_bytes", MAX_DOCUMENT_BYTES),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not served. ``more`` holds further members: ``place``, ``limit`` and ``maximum``, others.

    ``retry_after_s`` is the wait that the server asks for, in seconds.
    """

    status: int
    code: str
    detail: str
    more: Mapping[str, object] = field(default_factory=dict)
    retry_after_s: float | None = None

    def text(self) -> str:
        """Give the ``application/problem+json`` text."""
        problem: dict[str, object] = {
            "type": f"urn:pysync-web:{self.code}",
            "title": _TITLES.get(self.status, "Server error" if self.status >= 500 else "Refused"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return dumps({**self.more, **problem})

    def error(self) -> TransportError:
        """Give the error that a client raises for it."""
        if self.status in (401, 403):
            return Unauthorized(self.detail)
        if self.status in RETRY_STATUSES or self.status >= 500:
            return Unreachable(self.detail, retry_after_s=self.retry_after_s)
        return Rejected(self.detail, status=self.status, code=self.code, detail=dict(self.more))


def refusal_of(error: Exception) -> Refusal:
    """Say what a server answers when serving a request raised ``error``; nothing of its inside leaks."""
    match error:
        case SchemaError():
            return _schema_refusal(error)
        case InvalidDocument():
            return Refusal(422, "invalid_document", str(error))
        case QueryError():
            return Refusal(422, "invalid_filter", str(error))
        case Rejected():
            return Refusal(error.status, error.code, str(error), error.detail)
        case Unauthorized():
            return Refusal(401, "unauthorized", str(error))
        case QuotaExceeded():
            detail = "The server's storage is full; nothing of this request was stored."
            return Refusal(507, "storage_full", detail, retry_after_s=60)
        case DatabaseLocked():
            return Refusal(503, "storage_busy", "The server's storage is busy.", retry_after_s=1)
        case StorageReset():
            return Refusal(503, "storage_reset", "The server's storage was replaced.", retry_after_s=1)
        case FormatTooNew():
            return Refusal(503, "format_too_new", "The server is older than its data.", retry_after_s=60)
        case _:
            return Refusal(500, "internal", "The server failed to answer; the same request may be sent again.")


def body_too_large(size_bytes: int | None, maximum: int) -> Refusal:
    """Refuse a request's body, of a size that may not be known to its end."""
    has = "is" if size_bytes is None else f"has {size_bytes} bytes and is"
    detail = f"The body {has} over the limit of {maximum} bytes: send fewer changes at once."
    return Refusal(413, "body_too_large", detail, {"limit": "body_bytes", "maximum": maximum})


def refusal_from(status: int, problem: JSON, retry_after_s: float | None) -> Refusal:
    """Read what a server sent as a problem; anything that is not one gives a refusal without more."""
    members = dict(problem) if isinstance(problem, dict) else {}
    code = members.pop("code", None)
    detail = members.pop("detail", None) or members.get("title")
    for name in ("type", "title", "status"):
        members.pop(name, None)
    return Refusal(
        status,
        code if isinstance(code, str) else "rejected",
        str(detail)[:1000] if detail else f"The server answered {status}.",
        members,
        retry_after_s,
    )


def _schema_refusal(error: SchemaError) -> Refusal:
    more: dict[str, object] = {}
    if error.place:
        more["place"] = error.place
    limit = ("changes", MAX_CHANGES) if error.place == "changes" else _LIMITS.get(error.code)
    if limit and error.code in _STATUSES:
        more["limit"], more["maximum"] = limit
    return Refusal(_STATUSES.get(error.code, 422), error.code, str(error), more)
