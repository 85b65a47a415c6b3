"""The answers of the API: JSON texts, compressed where that pays, and problems."""

from __future__ import annotations

import asyncio
import gzip
import math
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from ..transport.problems import MEDIA_TYPE, Refusal
from .observed import record_of

GZIP_FROM_BYTES: Final = 2 * 1024
THREAD_FROM_BYTES: Final = 64 * 1024


async def json_text(request: Request, text: str) -> Response:
    """Answer with a JSON text, with gzip at its fastest level if the client takes it and the text is long."""
    content = text.encode("utf-8")
    headers = {"vary": "Accept-Encoding"}
    if len(content) >= GZIP_FROM_BYTES and _takes_gzip(request):
        headers["content-encoding"] = "gzip"
        if len(content) >= THREAD_FROM_BYTES:
            content = await asyncio.to_thread(gzip.compress, content, 1, mtime=0)
        else:
            content = gzip.compress(content, 1, mtime=0)
    return Response(content, headers=headers, media_type="application/json")


def problem(scope: Scope, refusal: Refusal) -> Response:
    """Answer a request with a problem; its status says what a client may do. It is noted, and names the request."""
    record = record_of(scope)
    record.code = refusal.code
    refusal = replace(refusal, more={**refusal.more, "request_id": record.request_id})
    headers = {}
    if refusal.status == 401:
        headers["www-authenticate"] = 'Bearer realm="pysync_web"'
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(refusal.retry_after_s))
    return Response(refusal.text(), refusal.status, headers, MEDIA_TYPE)


def _takes_gzip(request: Request) -> bool:
    """Tell whether gzip is among the encodings that the client takes, and not with ``q=0``."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
