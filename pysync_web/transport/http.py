"""Sends HTTP requests natively, with httpx (the extra ``http``)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import Unreachable
from .answers import MAX_ANSWER_BYTES, Answer

if TYPE_CHECKING:
    import httpx


class HttpxCarrier:
    """Keeps connections open between requests. One event loop at a time may use it."""

    def __init__(self) -> None:
        self._httpx = _import_httpx()
        self._client = self._httpx.AsyncClient(verify=_trusted(), timeout=None, follow_redirects=False)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Send a request and read its answer whole; deadlines are the caller's."""
        stream = await self._begin(method, url, headers, body)
        try:
            return await stream.whole()
        finally:
            await stream.close()

    async def stream(self, url: str, headers: Mapping[str, str]) -> HttpxStream:
        """Send a GET request; read the content only if the status is not 200."""
        stream = await self._begin("GET", url, headers, None)
        if stream.head.status != 200:
            try:
                stream.head = await stream.whole()
            finally:
                await stream.close()
        return stream

    async def gzip(self, content: bytes) -> bytes | None:
        """Compress at the fastest level, in a thread."""
        return await asyncio.to_thread(gzip.compress, content, 1)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _begin(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> HttpxStream:
        request = self._client.build_request(method, url, headers=dict(headers), content=body)
        try:
            response = await self._client.send(request, stream=True)
        except self._httpx.HTTPError as error:
            raise Unreachable(_words(error, url)) from error
        return HttpxStream(response, self._httpx.HTTPError)


@cache
def _trusted() -> Any:
    """Give a TLS context with the trusted certificates, which are read once: that takes a tenth of a second."""
    return _import_httpx().create_ssl_context()


class HttpxStream:
    """An answer of httpx as it comes."""

    def __init__(self, response: httpx.Response, failure: type[httpx.HTTPError]) -> None:
        self._response = response
        self._failure = failure
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        names = {name.lower(): value for name, value in response.headers.items()}
        self.head = Answer(response.status_code, names, b"")

    async def read(self) -> bytes:
        """Give the next bytes, or none at the end; raise ``Unreachable`` when the connection breaks."""
        try:
            return await anext(self._pieces, b"")
        except self._failure as error:
            raise Unreachable(_words(error, str(self._response.url))) from error

    async def whole(self) -> Answer:
        """Read the content to its end."""
        content = bytearray()
        while piece := await self.read():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise Unreachable(f"the server's answer is over the limit of {MAX_ANSWER_BYTES} bytes")
        return Answer(self.head.status, self.head.headers, bytes(content))

    async def close(self) -> None:
        """Let the connection go; one that was not read to its end is closed."""
        await self._response.aclose()


def _words(error: Exception, url: str) -> str:
    """Say what failed, with which server."""
    what = str(error) or type(error).__name__
    return f"{urlsplit(url).netloc} can't be reached: {what}"


def _import_httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise ImportError("HttpClient needs httpx: pip install 'pysync-web[http]'") from error
    return httpx
