"""Sends HTTP requests from a page, with ``fetch``.

The only file of the transports that imports what a page alone has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import js
from pyodide.ffi import JsException, create_proxy, to_js

from ..errors import Unreachable
from .answers import MAX_ANSWER_BYTES, Answer


def resolved(url: str) -> str:
    """Give an absolute address for one that is relative to the page's own server, as ``"/"`` is."""
    if not url.startswith("/"):
        return url
    return urljoin(str(js.location.origin), url)


def watch_online(callback: Callable[[bool], None]) -> Callable[[], None]:
    """Call back at the page's ``online`` and ``offline`` events, and now if it is offline; the result ends it.

    ``navigator.onLine`` is a hint: false is certain, true is not.
    """
    came, went = create_proxy(lambda _: callback(True)), create_proxy(lambda _: callback(False))
    js.self.addEventListener("online", came)
    js.self.addEventListener("offline", went)
    if not js.navigator.onLine:
        callback(False)

    def stop() -> None:
        js.self.removeEventListener("online", came)
        js.self.removeEventListener("offline", went)
        came.destroy()
        went.destroy()

    return stop


class FetchCarrier:
    """Sends requests with ``fetch``; each has an AbortController that ends it on the wire."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Send a request and read its answer whole; deadlines are the caller's."""
        stream = await self._begin(method, url, headers, body)
        try:
            return await stream.whole()
        finally:
            await stream.close()

    async def stream(self, url: str, headers: Mapping[str, str]) -> FetchStream:
        """Send a GET request; read the content only if the status is not 200."""
        stream = await self._begin("GET", url, headers, None)
        if stream.head.status != 200:
            try:
                stream.head = await stream.whole()
            finally:
                await stream.close()
        return stream

    async def gzip(self, content: bytes) -> bytes | None:
        """Compress with the browser's CompressionStream, or give None in a browser that has none."""
        if not hasattr(js, "CompressionStream"):
            return None
        stream = js.Blob.new(to_js([content])).stream().pipeThrough(js.CompressionStream.new("gzip"))
        packed: bytes = (await js.Response.new(stream).arrayBuffer()).to_bytes()
        return packed

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _begin(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> FetchStream:
        controller = js.AbortController.new()
        options = {
            "method": method,
            "headers": dict(headers),
            "signal": controller.signal,
            "cache": "no-store",
            "credentials": "omit",
            "mode": "cors",
            "redirect": "manual",
            "referrerPolicy": "no-referrer",
        }
        if body is not None:
            options["body"] = body
        asked = to_js(options, dict_converter=js.Object.fromEntries)
        response = await _or_abort(js.fetch(url, asked), controller, url)
        return FetchStream(response, controller, url)


class FetchStream:
    """An answer of ``fetch`` as it comes."""

    def __init__(self, response: Any, controller: Any, url: str) -> None:
        self._controller = controller
        self._url = url
        self._reader = response.body.getReader() if response.body else None
        self.head = Answer(_status(response), _headers(response), b"")

    async def read(self) -> bytes:
        """Give the next bytes, or none at the end; raise ``Unreachable`` when the connection breaks."""
        if self._reader is None:
            return b""
        part = await _or_abort(self._reader.read(), self._controller, self._url)
        return b"" if part.done else bytes(part.value.to_bytes())

    async def whole(self) -> Answer:
        """Read the content to its end."""
        content = bytearray()
        while piece := await self.read():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise Unreachable(f"the server's answer is over the limit of {MAX_ANSWER_BYTES} bytes")
        return Answer(self.head.status, self.head.headers, bytes(content))

    async def close(self) -> None:
        """End the request if it still runs."""
        self._controller.abort()


async def _or_abort(promise: Awaitable[Any], controller: Any, url: str) -> Any:
    """Await a promise; abort the request when the wait is cancelled, and translate its failure."""
    try:
        return await promise
    except asyncio.CancelledError:
        controller.abort()
        raise
    except JsException as error:
        where = urlsplit(url).netloc
        raise Unreachable(f"{where} can't be reached: {error.message}") from error


def _status(response: Any) -> int:
    """Give the status; a redirect that was not followed hides its own."""
    return 302 if response.type == "opaqueredirect" else int(response.status)


def _headers(response: Any) -> dict[str, str]:
    """Give the headers that the server lets a page of this origin see."""
    names = ("content-type", "retry-after", "date")
    found = ((name, response.headers.get(name)) for name in names)
    return {name: value for name, value in found if isinstance(value, str)}
