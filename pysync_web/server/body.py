"""Reads a request's body within its limits: time, bytes as they come, and bytes after decompression."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from ..core.wire import MAX_BODY_BYTES
from ..errors import Rejected, TransportError
from ..transport.problems import body_too_large
from .config import Limits

SLACK_BYTES = 64 * 1024
"""The ratio of compression is judged from here on: less is no bomb."""

DISCARD_S = 5


async def read_body(request: Request, limits: Limits) -> bytes:
    """Give the body of a JSON request; raise ``Rejected`` with 408, 413 or 415 for what can't be taken."""
    try:
        encoding = _check_head(request, limits)
    except TransportError:
        await discard(request.stream(), limits)
        raise
    try:
        async with asyncio.timeout(limits.read_timeout_s):
            return await (_gunzip if encoding == "gzip" else _collect)(request.stream(), limits)
    except TimeoutError as error:
        message = f"The body did not come within {limits.read_timeout_s:g} s."
        raise Rejected(message, status=408, code="read_timeout", detail={"limit": "read_timeout_s"}) from error


async def discard(stream: AsyncIterator[bytes], limits: Limits) -> None:
    """Read on for a while and keep nothing, so that a client that is still sending gets to see the answer."""
    rest = MAX_BODY_BYTES
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(min(limits.read_timeout_s, DISCARD_S)):
            async for piece in stream:
                rest -= len(piece)
                if rest < 0:
                    return


async def _collect(stream: AsyncIterator[bytes], limits: Limits) -> bytes:
    content = bytearray()
    async for piece in stream:
        content += piece
        if len(content) > limits.body_bytes:
            await discard(stream, limits)
            raise _too_large(limits)
    return bytes(content)


async def _gunzip(stream: AsyncIterator[bytes], limits: Limits) -> bytes:
    """Decompress as it comes, never more than the limit and one byte."""
    unpacker = zlib.decompressobj(wbits=31)
    content = bytearray()
    taken = 0
    async for piece in stream:
        taken += len(piece)
        try:
            content += unpacker.decompress(piece, limits.body_bytes + 1 - len(content))
        except zlib.error as error:
            raise Rejected("The body is not gzip.", status=400, code="not_gzip") from error
        if len(content) > limits.body_bytes:
            await discard(stream, limits)
            raise _too_large(limits)
    if len(content) > SLACK_BYTES + limits.ratio * taken:
        raise _too_dense(limits)
    if not unpacker.eof or unpacker.unused_data:
        raise Rejected("The body is not one whole gzip stream.", status=400, code="not_gzip")
    return bytes(content)


def _check_head(request: Request, limits: Limits) -> str:
    """Refuse what the headers already tell against; give the encoding.

    JSON must be called by its name: a page of another site can't send that without asking first.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Rejected("Content-Type application/json is due.", status=415, code="not_json_type")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Rejected(f"Content-Encoding {encoding[:40]!r}: gzip or none is taken", status=415, code="encoding")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        raise _too_large(limits)
    return encoding


def _too_large(limits: Limits) -> TransportError:
    return body_too_large(None, limits.body_bytes).error()


def _too_dense(limits: Limits) -> Rejected:
    detail: dict[str, object] = {"limit": "ratio", "maximum": limits.ratio}
    message = f"The body grows more than {limits.ratio} times when it is decompressed: send it as it is."
    return Rejected(message, status=413, code="too_compressed", detail=detail)
