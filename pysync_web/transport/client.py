"""The client of a sync server over HTTP: what it asks and how it reads the answers, over any way to send.

A page sends with ``fetch``, a native program with httpx; deadlines, limits and the reading of answers are here.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from ..core.arguments import check_seconds
from ..core.wire import MAX_BODY_BYTES, Subscription, encode_subscription
from ..errors import SchemaError, Unreachable
from ..values import decode, dumps
from .answers import Answer, check_status, text_of
from .events import Event, EventReader
from .problems import body_too_large

T = TypeVar("T")

IN_PAGE = sys.platform == "emscripten"
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}\Z", re.ASCII)

GZIP_FROM_BYTES = 8 * 1024
DENSEST = 50
"""What gzip makes smaller by more than this is sent as it is: to a server it would look like a bomb."""

PING_S = 15.0
"""How long a stream may be quiet before a sign of life is due, until the server says otherwise."""
LONGEST_PING_S = 600.0

SILENT_PINGS = 2.5
"""A stream that is silent for so many times as long is taken for dead."""

LONGEST_QUERY = 4000
"""The characters of a stream's address after which it is asked for everything: proxies take no longer ones."""


class Stream(Protocol):
    """An answer whose content is read as it comes."""

    @property
    def head(self) -> Answer:
        """The status and the headers; the content only where the status is not 200."""
        ...

    async def read(self) -> bytes:
        """Give the next bytes, or none at the end."""
        ...

    async def close(self) -> None:
        """Stop reading and let the connection go."""
        ...


class Carrier(Protocol):
    """A way to send HTTP requests. Failures raise ``Unreachable``; a cancelled call ends the request on the wire."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Send a request and read its answer; redirects are not followed, contents are decompressed."""
        ...

    async def stream(self, url: str, headers: Mapping[str, str]) -> Stream:
        """Send a GET request and return as soon as the status is there."""
        ...

    async def gzip(self, content: bytes) -> bytes | None:
        """Compress a request's body, or give None where that can't be done."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Traffic(NamedTuple):
    """Bytes of the bodies of requests and answers, before they were compressed and after they were unpacked."""

    sent: int = 0
    received: int = 0


class HttpClient:
    """A transport to the sync server at ``url``.

    ``url`` may lack a scheme: ``localhost:6745`` means HTTP, any other host HTTPS; in a page ``"/"`` means the
    page's own server. ``timeout_s`` bounds each exchange as a whole, in seconds; ``token`` is the server's. A stream
    that is silent for ``silence_s`` is dead; None: for 2.5 times as long as the server says that it may be quiet.
    ``traffic`` tells what exchanges and pokes have taken so far. Natively it needs httpx, the extra ``http``.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 5.0,
        silence_s: float | None = None,
        carrier: Callable[[], Carrier] | None = None,
    ) -> None:
        check_seconds("timeout_s", timeout_s, is_endless=True)
        if silence_s is not None:
            check_seconds("silence_s", silence_s, from_zero=True, is_endless=True)
        self.url = base_url(url)
        self._headers: dict[str, str] = {}
        self.set_token(token)
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._carrier = (carrier or _default_carrier)()
        self._closed = False
        self.traffic = Traffic()

    def set_token(self, token: str | None) -> None:
        """Use another token from the next request on; None sends none."""
        self._headers = {} if token in (None, "") else {"authorization": f"Bearer {_checked(token)}"}

    def watch_online(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back when the browser says that the network came or went; natively nobody says so."""
        if not IN_PAGE:
            return lambda: None
        from .fetch import watch_online

        return watch_online(callback)

    async def exchange(self, database: str, body: str) -> str:
        """Post a request to ``/_api/sync/delta`` and give the answer's text."""
        content = body.encode("utf-8")
        if len(content) > MAX_BODY_BYTES:
            raise body_too_large(len(content), MAX_BODY_BYTES).error()
        headers = {**self._headers, "content-type": "application/json", "accept": "application/json"}

        async def post() -> Answer:
            packed = await self._packed(content)
            if packed is not content:
                headers["content-encoding"] = "gzip"
            return await self._carrier.send("POST", f"{self.url}/_api/sync/delta", headers, packed)

        self._count(sent=len(content))
        answer = await self._within_deadline(post)
        self._count(received=len(answer.content))
        return text_of(answer)

    async def ping(self) -> float:
        """Give the seconds that the server's ``/_api/health`` takes to answer; raise as ``exchange`` does."""
        begin = time.perf_counter()
        url = f"{self.url}/_api/health"
        text_of(await self._within_deadline(lambda: self._carrier.send("GET", url, self._headers, None)))
        return time.perf_counter() - begin

    async def pokes(
        self, database: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> AsyncIterator[int]:
        """Yield the server's sequence from ``/_api/sync/stream``: at once, then whenever it may have moved.

        Ends when the server says goodbye; raises ``Unreachable`` when the stream breaks or is silent for too long.
        """
        url = f"{self.url}/_api/sync/stream/{quote(database, safe='')}"
        query = [] if collections is None else [f"collections={quote(','.join(collections), safe=',')}"]
        if parts:
            text = dumps([encode_subscription(one._replace(snapshot=None)) for one in parts])
            query.append(f"subscriptions={quote(text, safe='')}")
        url += f"?{'&'.join(query)}" if query and sum(map(len, query)) <= LONGEST_QUERY else ""
        headers = {**self._headers, "accept": "text/event-stream"}
        stream = await self._within_deadline(lambda: self._carrier.stream(url, headers))
        try:
            check_status(stream.head)
            if "text/event-stream" not in stream.head.headers.get("content-type", ""):
                raise Unreachable("the server answered something else where a stream of events was due")
            async for event in self._events(stream):
                if event.name == "bye":
                    return
                if event.name == "poke":
                    yield _head_of(event)
        finally:
            await stream.close()

    async def close(self) -> None:
        """Release connections; a second call does nothing."""
        if not self._closed:
            self._closed = True
            await self._carrier.close()

    def _count(self, sent: int = 0, received: int = 0) -> None:
        self.traffic = Traffic(self.traffic.sent + sent, self.traffic.received + received)

    async def _packed(self, content: bytes) -> bytes:
        """Compress a long body; give it back as it is where that is not for the better."""
        if len(content) <= GZIP_FROM_BYTES:
            return content
        packed = await self._carrier.gzip(content)
        if packed is None or not len(content) // DENSEST < len(packed) < len(content):
            return content
        return packed

    async def _within_deadline(self, send: Callable[[], Awaitable[T]]) -> T:
        """Await what ``send`` begins, for as long as an exchange may take; it is cancelled when that is over."""
        if self._closed:
            raise Unreachable("this transport was closed")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await send()
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self._timeout_s:g} s") from error

    async def _events(self, stream: Stream) -> AsyncIterator[Event]:
        """Yield the stream's events, until it breaks or has been silent for too long."""
        reader = EventReader()
        silence_s = self._silence_s or PING_S * SILENT_PINGS
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    content = await stream.read()
            except TimeoutError as error:
                raise Unreachable(f"the stream was silent for {silence_s:g} s") from error
            if not content:
                raise Unreachable("the stream ended")
            self._count(received=len(content))
            for event in reader.feed(content):
                if self._silence_s is None:
                    silence_s = _silence_s(event, silence_s)
                yield event


def base_url(url: str) -> str:
    """Complete a server's address: a scheme where it has none, no slash at its end.

    Raises ``SchemaError`` for what can't be one, and for an address with a password, a query or a fragment.
    """
    if not isinstance(url, str):
        raise SchemaError(f"{url!r:.100} is not the address of a server", place="url")
    if IN_PAGE:
        from .fetch import resolved

        url = resolved(url)
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
    except ValueError as error:
        raise SchemaError(f"{url!r:.100} is not the address of a server: {error}", place="url") from error
    host = parts.hostname or ""
    if not host or parts.scheme not in ("", "http", "https") or not host.isprintable() or " " in host:
        raise SchemaError(f"{url!r:.100} is not the address of a server", place="url")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SchemaError("an address has no user, password, query or fragment", place="url")
    scheme = parts.scheme or ("http" if is_loopback(host) else "https")
    name = f"[{host}]" if ":" in host else host
    netloc = name if port is None else f"{name}:{port}"
    return urlunsplit((scheme, netloc, parts.path.rstrip("/"), "", ""))


def is_loopback(host: str) -> bool:
    """Tell whether a host's name can mean nothing but this computer."""
    return host in ("localhost", "::1") or host.endswith(".localhost") or bool(_LOOPBACK.match(host))


def _checked(token: object) -> str:
    """Return a token that can stand in a header."""
    if isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token:
        return token
    raise SchemaError("a token is printable ASCII without spaces", place="token")


def _head_of(event: Event) -> int:
    """Give the sequence that a poke names; a poke that names none is still one."""
    head = _member(event, "server")
    return head if type(head) is int else 0


def _silence_s(event: Event, before: float) -> float:
    """Give how long a stream may be silent after an event, in seconds: the server says how often it pings."""
    ping_s = _member(event, "ping_s")
    return ping_s * SILENT_PINGS if type(ping_s) in (int, float) and 0 < ping_s <= LONGEST_PING_S else before


def _member(event: Event, name: str) -> Any:
    try:
        return decode(event.data, "event").get(name)
    except (SchemaError, AttributeError):
        return None


def _default_carrier() -> Carrier:
    """Choose the way to send: fetch in a page, httpx elsewhere."""
    if IN_PAGE:
        from .fetch import FetchCarrier

        return FetchCarrier()
    from .http import HttpxCarrier

    return HttpxCarrier()
