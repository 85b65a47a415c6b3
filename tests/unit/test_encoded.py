"""Values leave the device encoded: the server merges fields that it can't read, and tampering is found out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.storage.memory import MemoryStorage
from tests.unit.backend import Backend

numbers = itertools.count()
KEY = b"a key for tests"


def encode(text: str, place: str) -> str:
    """Encrypt as simply as a test may: a keystream from a tag over place and text, as SIV modes do."""
    tag = hmac.digest(KEY, f"{place}\0{text}".encode(), "sha256")
    return base64.b64encode(tag + cipher(tag, text.encode())).decode()


def decode(text: str, place: str) -> str:
    data = base64.b64decode(text)
    plain = cipher(data[:32], data[32:]).decode()
    if not hmac.compare_digest(data[:32], hmac.digest(KEY, f"{place}\0{plain}".encode(), "sha256")):
        raise ValueError("the tag is another")
    return plain


def cipher(tag: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(KEY + tag).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))


@pytest.fixture
async def hub() -> Hub:
    made = Hub(MemoryStorage())
    await made.open(random.SystemRandom())
    return made


@pytest.fixture
async def opener(hub: Hub) -> AsyncIterator[Callable[..., Awaitable[ps.SyncManager]]]:
    opened: list[ps.SyncManager] = []

    async def open_one(**options: Any) -> ps.SyncManager:
        client = ps.EncodedTransport(ps.LocalTransport(hub), encode, decode, **options)
        name = f"encoded-{next(numbers)}"
        opened.append(await ps.open(name, server=client, auto_sync=False, engine=ps.StorageEngine.MEMORY))
        return opened[-1]

    yield open_one
    for manager in opened:
        await manager.close()


async def synced(*devices: ps.SyncManager) -> None:
    for device in devices:
        result = await device.sync_now()
        assert result.success, result.errors


async def body(device: ps.SyncManager, key: str = "1") -> dict[str, Any]:
    document = await device.get_document("notes", key)
    assert document is not None
    return {name: value for name, value in document.items() if name[0] != "_"}


async def held(hub: Hub) -> str:
    """Give all that lies on the server, as one text."""
    rows = await hub._storage.read(lambda tx: scan(tx))
    return "\n".join(rows)


async def scan(tx: Any) -> list[str]:
    spaces = ("docs", "ops", "replicas", "feed", "hub", "collections")
    return [text for space in spaces for _, text in await tx.scan(space)]


async def test_no_value_can_be_read_on_the_server_and_fields_merge_there(opener: Any, hub: Hub):
    one, two = await opener(), await opener()
    await one.save_document("notes", "1", {"title": "secret", "deep": {"n": 4711}, "list": ["hidden"], "e": {}})
    await synced(one, two)
    assert await body(two) == {"title": "secret", "deep": {"n": 4711}, "list": ["hidden"], "e": {}}
    await one.save_document("notes", "1", {"title": "covert"})
    await two.save_document("notes", "1", {"deep": {"n": 4711, "m": "quiet"}})
    await synced(one, two, one)
    assert await body(one) == await body(two)
    assert await body(one) == {"title": "covert", "deep": {"n": 4711, "m": "quiet"}, "list": ["hidden"], "e": {}}
    text = await held(hub)
    assert "title" in text
    assert not any(word in text for word in ("secret", "4711", "hidden", "covert", "quiet"))


async def test_crdt_values_leave_as_they_are_and_are_joined(opener: Any):
    one, two = await opener(), await opener()
    for device, amount in ((one, 1), (two, 2)):
        await device.save_document("notes", "k", {f"secret {amount}": "x"})
        await device.crdt_increment("notes", "k", "n", amount)
    for device in (one, two, one):
        assert (await device.sync_now()).success
    for device in (one, two):
        document = await device.get_document("notes", "k")
        assert (document["n"], document["secret 1"], document["secret 2"]) == (3, "x", "x")


async def test_conflicts_and_what_was_lost_are_told_decoded(opener: Any):
    one, two = await opener(), await opener()
    await one.save_document("notes", "1", {"a": "base", "b": 1})
    await synced(one, two)
    await one.save_document("notes", "1", {"a": "first"})
    await asyncio.sleep(0.05)
    await two.save_document("notes", "1", {"a": "second"})
    await synced(two, one, two)
    assert await body(one) == await body(two) == {"a": "second", "b": 1}
    assert [entry.body for entry in await one.lost_changes()] == [{"a": "first"}]
    await one.delete_document("notes", "1")
    await asyncio.sleep(0.05)
    await two.save_document("notes", "1", {"b": 2})
    await synced(one, two, one)
    assert await body(one) == await body(two) == {"a": "second", "b": 2}


@pytest.mark.parametrize("answer", ["<html>", "[]", '{"server_changes":[{"document":{}}]}', "[" * 100_000])
async def test_an_answer_that_is_none_is_asked_for_again(opener: Any, answer: str):
    device = await opener()
    await device.save_document("notes", "1", {"a": 1})

    async def answering(database: str, text: str) -> str:
        return answer

    device._client._inner.exchange = answering
    result = await device.sync_now()
    assert not result.success
    assert "the server's answer can't be used" in result.errors[0]
    del device._client._inner.exchange
    await synced(device)


async def test_a_change_that_is_sent_again_is_the_same_change(opener: Any):
    device = await opener()
    await device.save_document("notes", "1", {"a": 1})
    inner = device._client._inner
    exchange, sent = inner.exchange, []

    async def losing(database: str, text: str) -> str:
        sent.append(text)
        answer: str = await exchange(database, text)
        if len(sent) == 1:
            raise ps.Unreachable("the answer was lost")
        return answer

    inner.exchange = losing
    assert not (await device.sync_now()).success
    await synced(device)
    assert sent[0] == sent[1]


async def test_what_was_moved_changed_or_never_encoded_is_refused(opener: Any, hub: Hub):
    one, two = await opener(), await opener()
    await one.save_document("notes", "1", {"a": 1})
    await synced(one)
    plain = ps.LocalTransport(hub)
    change = '{"collection":"notes","key":"2","operation":"insert","document":{"a":%s}}'
    for document in ("7", '["encoded:1","AAAA"]', f'["encoded:1","{encode("1", "notes/1/a")}"]'):
        await plain.exchange("default", '{"client_id":"evil","changes":[' + change % document + "]}")
        result = await two.sync_now()
        assert not result.success and "notes/2/a" in result.errors[0]
        assert await two.get_document("notes", "2") is None


async def test_plain_values_are_taken_where_that_is_allowed(opener: Any, hub: Hub):
    device = await opener(accepts_plain=True)
    change = (
        '{"client_id":"old","changes":[{"collection":"notes","key":"1","operation":"insert","document":{"a":7}}]}'
    )
    await ps.LocalTransport(hub).exchange("default", change)
    await synced(device)
    assert await body(device) == {"a": 7}


async def test_buckets_travel_encoded_too(opener: Any):
    one, two = await opener(), await opener()
    data = random.Random(1).randbytes(300_000)
    await one.bucket("files").write("a", data)
    await synced(one, two)
    assert await two.bucket("files").read("a") == data


async def test_everything_else_is_the_inner_transport_s(hub: Hub):
    client = ps.EncodedTransport(ps.HttpClient("localhost"), encode, decode)
    client.set_token("another")
    assert client.url == "http://localhost"
    await client.close()
    client = ps.EncodedTransport(ps.LocalTransport(hub), encode, decode)
    stream = client.pokes("default")
    assert await anext(stream) == 0
    await client.close()
    assert [head async for head in stream] == []


async def test_a_backend_behind_callbacks_sees_only_what_is_encoded():
    backend = Backend()
    client = ps.EncodedTransport(ps.CallbackTransport(backend.push, backend.pull), encode, decode)
    name = f"encoded-{next(numbers)}"
    async with await ps.open(name, server=client, auto_sync=False, engine=ps.StorageEngine.MEMORY) as device:
        await device.save_document("notes", "1", {"title": "secret"})
        await synced(device)
        ((_, document),) = backend.documents().items()
        assert list(document) == ["title"] and "secret" not in str(document)
        backend.edit("notes", "2", document)
        result = await device.sync_now()
        assert not result.success and "notes/2/title can't be decoded" in result.errors[0]
