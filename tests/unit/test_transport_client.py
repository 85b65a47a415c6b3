"""The client of a server over HTTP, natively: what it makes of bad answers, of silence, and of addresses."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time

import pytest

from pysync_web.errors import Rejected, SchemaError, Unreachable
from pysync_web.transport.client import HttpClient, base_url
from tests.conformance.bad_server import CASES, STREAM, STREAMS, BadServer, answer, begun

native = pytest.mark.native


@native
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bad_answer_raises_what_its_class_promises(case):
    async with BadServer(case.reply) as server, client(server) as transport:
        with pytest.raises(Exception) as caught:
            await transport.exchange("db", "{}")
    error = caught.value
    assert (type(error).__name__, case.words) == (
        case.error,
        case.words if case.words in str(error) else str(error),
    )
    if isinstance(error, Unreachable):
        assert error.retry_after_s == case.retry_after_s
    if isinstance(error, Rejected):
        assert error.code == case.code


@native
@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
async def test_a_bad_stream_raises_what_its_class_promises(case):
    async with BadServer(case.reply) as server, client(server) as transport:
        with pytest.raises(Exception) as caught:
            async for _ in transport.pokes("db"):
                pass
    error = caught.value
    assert (type(error).__name__, case.words) == (
        case.error,
        case.words if case.words in str(error) else str(error),
    )


@native
async def test_an_error_that_was_not_foreseen_keeps_the_other_members():
    reply = answer("409 Conflict", b'{"code": "replica_forked", "known": ["a"], "status": 409}')
    async with BadServer(reply) as server, client(server) as transport:
        with pytest.raises(Rejected) as caught:
            await transport.exchange("db", "{}")
    assert (caught.value.status, caught.value.detail) == (409, {"known": ["a"]})


@native
@pytest.mark.parametrize("reply", [b"", begun(body=b'{"a": ')], ids=["nothing", "half an answer"])
async def test_an_exchange_ends_within_its_deadline_on_the_wire_too(reply):
    async with BadServer(reply, hangs=True) as server, client(server, timeout_s=0.3) as transport:
        begin = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
            await transport.exchange("db", "{}")
        assert time.monotonic() - begin < 2
        await asyncio.wait_for(server.left.wait(), 2)


@native
async def test_cancelling_an_exchange_ends_the_request():
    async with BadServer(hangs=True) as server, client(server) as transport:
        task = asyncio.create_task(transport.exchange("db", "{}"))
        await asyncio.wait_for(server.came.wait(), 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 2)


@native
async def test_a_stream_that_is_silent_for_too_long_is_dead():
    reply = begun(STREAM, b'event: poke\ndata: {"server":3}\n\n')
    async with BadServer(reply, hangs=True) as server, client(server, silence_s=0.2) as transport:
        pokes = aiter(transport.pokes("db"))
        assert await anext(pokes) == 3
        with pytest.raises(Unreachable, match=r"silent for 0\.2 s"):
            await anext(pokes)
        await asyncio.wait_for(server.left.wait(), 2)


@native
async def test_a_stream_ends_when_the_server_says_goodbye():
    events = b': hello\n\nevent: poke\r\ndata: {"server":3}\r\n\r\n'
    events += b"data: x\n\nevent: poke\ndata: ?\n\nevent: bye\ndata:\n\n"
    async with BadServer(begun(STREAM, events), hangs=True) as server, client(server) as transport:
        assert [head async for head in transport.pokes("a b/c")] == [3, 0]
    assert server.requests[0].startswith(b"GET /_api/sync/stream/a%20b%2Fc ")


@native
async def test_a_long_body_is_compressed_and_the_token_sent():
    ok = answer("200 OK", b"{}")
    text = "{" + " ".join(map(str, range(3000))) + "}"
    for body, packed in ((text, True), ("{}", False)):
        async with BadServer(ok) as server, client(server, token="secret") as transport:
            assert await transport.exchange("db", body) == "{}"
        head, _, content = server.requests[0].partition(b"\r\n\r\n")
        assert b"authorization: bearer secret" in head.lower()
        assert (b"content-encoding: gzip" in head.lower()) is packed
        assert (gzip.decompress(content) if packed else content) == body.encode()


@native
async def test_nobody_listening_is_unreachable():
    async with BadServer() as server:
        url = server.url
    transport = HttpClient(url)
    for work in (transport.exchange("db", "{}"), transport.ping(), anext(aiter(transport.pokes("db")))):
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+ can't be reached"):
            await work
    await transport.close()


@native
async def test_ping_gives_the_seconds_of_a_round_trip():
    async with BadServer(answer("200 OK", b'{"status":"ok"}')) as server, client(server) as transport:
        assert 0 < await transport.ping() < 5


@native
async def test_traffic_counts_the_bodies_both_ways():
    async with BadServer(answer("200 OK", b'{"a": 1}')) as server, client(server) as transport:
        assert transport.traffic == (0, 0)
        for times in (1, 2):
            await transport.exchange("db", '"é"')
            assert transport.traffic == (4 * times, 8 * times)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:6745", "http://localhost:6745"),
        ("127.0.0.1:80/", "http://127.0.0.1:80"),
        ("[::1]:6745", "http://[::1]:6745"),
        ("a.localhost", "http://a.localhost"),
        ("example.org", "https://example.org"),
        ("127.example.org", "https://127.example.org"),
        ("http://example.org:8080/sync//", "http://example.org:8080/sync"),
        ("HTTPS://Example.org", "https://example.org"),
    ],
)
def test_an_address_is_completed(given, url):
    assert base_url(given) == url


@pytest.mark.parametrize(
    "given",
    ["", "ftp://example.org", "http://", "http://u:p@example.org", "http://h?x=1", "h:port", "http://[::1", "a b"],
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(SchemaError, match="address"):
        base_url(given)


def test_a_token_that_can_not_travel_is_refused():
    for token in ("two words", "line\nbreak", "ключ"):
        with pytest.raises(SchemaError, match="token"):
            HttpClient("localhost", token=token)


@contextlib.asynccontextmanager
async def client(server: BadServer, **options):
    """Give a client of a server."""
    transport = HttpClient(server.url, **options)
    yield transport
    await transport.close()
