"""Whatever is sent, the server answers with its own words and never fails."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from pysync_web.server import create_app

pytestmark = pytest.mark.native

SEEDS = 40
REQUESTS = 50
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 1e308, 2**53, 2**80, "", "a", "\0", "\ud800", "é" * 200, "x" * 70_000),
    *([], [[]], {}, {"": {}}, {"a": None}, {"server": 5}, {"/a": "2024-01-15T10:30:00Z"}, {"": "x"}, ["/a", 7]),
    *("insert", "delete", "fields", "2024-01-15T10:30:00Z", "9999-12-31T23:59:59.99999999Z", "../x", "/a/b~2"),
]


def valid(rng: random.Random) -> dict[str, Any]:
    """Give a request that may be right."""
    changes = []
    for n in range(rng.randrange(4)):
        change: dict[str, Any] = {"collection": "c", "key": rng.choice("abc"), "document": {"a": {"b": [n]}}}
        change |= {"operation": rng.choice(["insert", "update", "delete"]), "timestamp": "2024-01-15T10:30:00Z"}
        change |= {"op_id": f"op{rng.randrange(20)}", "n": n + 1, "base_version": {"server": rng.randrange(5)}}
        change |= rng.choice([{}, {"delta": {"x": 1}}, {"merge": "fields"}, {"transaction": 1}])
        change |= rng.choice([{}, {"stamps": {"/a": "2024-01-15T10:30:00Z"}}, {"removed": ["/a/b"]}, {"since": ""}])
        changes.append(change)
    request = {"database": "db", "client_id": rng.choice("xy"), "changes": changes, "protocol": rng.randrange(2)}
    return request | {"version_vector": {"server": rng.randrange(9), "x": 3}, "limit": rng.randrange(1001)}


def spoil(value: Any, rng: random.Random) -> Any:
    """Put something odd somewhere into a value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        spoilt = {**value, name: spoil(value[name], rng)}
        return {member: spoilt[member] for member in spoilt if rng.random() < 0.97}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i = rng.randrange(len(value))
        return [*value[:i], spoil(value[i], rng), *value[i + 1 :]]
    return rng.choice(ODD)


def spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        i = rng.randrange(len(changed) + 1)
        changed[i : i + rng.randrange(3)] = rng.choice(
            [b"", b"\xff", b"{", b"]", b'"', b",", b"9" * 30, b"\\u0000"]
        )
    return bytes(changed)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_no_request_makes_the_server_fail(seed):
    rng = random.Random(seed)
    app = create_app()
    statuses = set()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for _ in range(REQUESTS):
            body = valid(rng)
            for _ in range(rng.randrange(3)):
                body = spoil(body, rng)
            content = json.dumps(body).encode()
            if rng.random() < 0.3:
                content = spoil_bytes(content, rng)
            path = rng.choice(["delta", "push/db", "delta"])
            headers = {"content-type": "application/json"}
            async with asyncio.timeout(10):
                answer = await client.post(f"/_api/sync/{path}", content=content, headers=headers)
            statuses.add(answer.status_code)
            assert answer.status_code in (200, 400, 409, 413, 422), (content, answer.text)
            assert answer.status_code == 200 or answer.json()["detail"], content
    await app.databases.close()
    assert 200 in statuses and len(statuses) > 1
