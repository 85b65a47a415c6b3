"""A server that answers anything at all, byte for byte, and what a client is to make of it.

Outside a page only; a page's requests come to it as well as a native client's.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import Self

CORS = (
    "access-control-allow-origin: *\r\naccess-control-allow-headers: *, authorization\r\n"
    "access-control-expose-headers: *\r\n"
)


@dataclass
class BadServer:
    """Listens on a free port, sends ``reply`` to each request, and then closes or hangs."""

    reply: bytes = b""
    hangs: bool = False
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)  # a request is there
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client has closed its connection

    async def __aenter__(self) -> Self:
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection: preflights as a page needs them, then the reply."""
        try:
            while True:
                request = await read_request(reader)
                if not request.startswith(b"OPTIONS "):
                    break
                writer.write(f"HTTP/1.1 204 No Content\r\n{CORS}\r\n".encode())
            self.requests.append(request)
            self.came.set()
            writer.write(self.reply)
            await writer.drain()
            if self.hangs:
                await reader.read()
                self.left.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read a request's headers and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


def answer(status: str, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    """Give the bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n" + CORS + "\r\n").encode() + body


def begun(kind: str = "application/json", body: bytes = b"", length: int | None = None) -> bytes:
    """Give the beginning of an answer that has not come to its end."""
    size = "" if length is None else f"content-length: {length}\r\n"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{size}{CORS}\r\n".encode() + body


@dataclass(frozen=True)
class Case:
    """A reply, the error that a client raises for it, and words that the error has."""

    name: str
    reply: bytes
    error: str
    words: str
    retry_after_s: float | None = None
    code: str | None = None


PROBLEM = b'{"title":"No","status":409,"code":"replica_forked","detail":"too old","known":["a"]}'
PORTAL = b"<!doctype html><title>Welcome to our network</title>"
WEB = "text/html; charset=utf-8"
NOW = "Sat, 21 Nov 2026 07:28:00 GMT"
LATER = "Sat, 21 Nov 2026 07:28:30 GMT"
BOMB = gzip.compress(b'{"a":"' + b" " * 17_000_000 + b'"}', 9)

CASES = [
    Case("a captive portal", answer("200 OK", PORTAL, WEB), "Unreachable", "text/html"),
    Case("a web page for 404", answer("404 Not Found", PORTAL, WEB), "Unreachable", "404 with a web page"),
    Case("a web page for 502", answer("502 Bad Gateway", PORTAL, WEB), "Unreachable", "502"),
    Case("nothing", answer("200 OK"), "Unreachable", "empty"),
    Case("no content", b"HTTP/1.1 204 No Content\r\n" + CORS.encode() + b"\r\n", "Unreachable", "204"),
    Case("half an object", answer("200 OK", b'{"since": 1, "ser'), "Unreachable", "cut off after 17 bytes"),
    Case("a list", answer("200 OK", b"[]"), "Unreachable", "cut off"),
    Case("not UTF-8", answer("200 OK", b'{"a": "\xff"}'), "Unreachable", "not UTF-8 at byte 7"),
    Case("a body that ends early", begun(body=b'{"a": ', length=100), "Unreachable", "can't be reached"),
    Case("no answer at all", b"", "Unreachable", "can't be reached"),
    Case("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", "Unreachable", "can't be reached"),
    Case("too much", begun(body=b'{"a":"' + b" " * 17_000_000 + b'"}'), "Unreachable", "over the limit"),
    Case("a bomb", answer("200 OK", BOMB, content_encoding="gzip"), "Unreachable", "over the limit"),
    Case("a redirect", answer("307 Elsewhere", location="/other"), "Unreachable", "redirects"),
    Case("a redirect to HTTPS", answer("301 Moved", location="https://localhost/"), "Unreachable", "redirects"),
    Case("401", answer("401 Unauthorized", PROBLEM, "application/problem+json"), "Unauthorized", "too old"),
    Case("403", answer("403 Forbidden", PORTAL, WEB), "Unauthorized", "403"),
    Case("408", answer("408 Timeout"), "Unreachable", "408"),
    Case("425", answer("425 Too Early"), "Unreachable", "425"),
    Case("429", answer("429 Too Many", retry_after="7"), "Unreachable", "429", retry_after_s=7.0),
    Case("429, later", answer("429 No", date=NOW, retry_after=LATER), "Unreachable", "429", retry_after_s=30.0),
    Case("503, past", answer("503 No", date=LATER, retry_after=NOW), "Unreachable", "503", retry_after_s=0.0),
    Case("503, nonsense", answer("503 No", retry_after="soon"), "Unreachable", "503"),
    Case("503, for years", answer("503 No", retry_after="9" * 400), "Unreachable", "503", retry_after_s=86400.0),
    Case("500", answer("500 Server Error", b"Traceback", "text/plain"), "Unreachable", "500"),
    Case("404", answer("404 Not Found", b"?", "text/plain"), "Rejected", "404", code="rejected"),
    Case("413 of a proxy", answer("413 Too Large", PORTAL, WEB), "Rejected", "413", code="rejected"),
    Case(
        "409",
        answer("409 Conflict", PROBLEM, "application/problem+json"),
        "Rejected",
        "too old",
        code="replica_forked",
    ),
    Case("409 in bad JSON", answer("409 Conflict", b"{"), "Rejected", "409", code="rejected"),
]

STREAM = "text/event-stream"
STREAMS = [
    Case("a web page", answer("200 OK", PORTAL, WEB), "Unreachable", "stream of events"),
    Case("401", answer("401 No", PROBLEM, "application/problem+json"), "Unauthorized", "too old"),
    Case("an end", answer("200 OK", b'event: poke\ndata: {"server":1}\n\n', STREAM), "Unreachable", "ended"),
    Case("an endless event", answer("200 OK", b"data: " + b"a" * 100_000, STREAM), "Unreachable", "65536 bytes"),
    Case("a break", begun(STREAM, b"event: poke\n", length=100), "Unreachable", "can't be reached"),
]
