"""What every transport promises, as coroutines that need no pytest: ``check_*(connect)``.

``connect()`` gives a new transport to one and the same place each time; a check uses a database of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pysync_web.core.ports import Transport
from pysync_web.errors import Rejected, Unreachable

Connect = Callable[[], Transport]


async def check_an_exchange_brings_an_answer(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        answer = await ask(transport, database)
        assert answer["server_version"]["server"] == answer["since"] == 0
        assert answer["server_changes"] == answer["results"] == []
        assert answer["has_more"] is False


async def check_what_one_pushes_another_pulls(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        pushed = await ask(transport, database, changes=[insert("1", title="milk", n=[1, 1.5, None, True])])
        assert [result["status"] for result in pushed["results"]] == ["applied"]
        other = connect()
        pulled = await ask(other, database, client="other")
        await other.close()
        assert [change["document"] for change in pulled["server_changes"]] == [
            {"title": "milk", "n": [1, 1.5, None, True]}
        ]
        assert pulled["server_version"]["server"] == pushed["server_version"]["server"]


async def check_any_text_comes_through(connect: Connect) -> None:
    text = "é 漢字 😀 \u2028 \u00a0 \\ \" ' </script> \t\n" + chr(0x10FFFF)
    async with connected(connect) as (transport, database):
        await ask(transport, database, changes=[insert("ключ", text=text)])
        pulled = await ask(transport, database, client="other")
        assert pulled["server_changes"][0]["key"] == "ключ"
        assert pulled["server_changes"][0]["document"] == {"text": text}


async def check_many_documents_travel_both_ways(connect: Connect) -> None:
    rng = random.Random(1)
    texts = [rng.randbytes(500).hex() for _ in range(400)]
    async with connected(connect) as (transport, database):
        await ask(transport, database, changes=[insert(str(i), text=text) for i, text in enumerate(texts)])
        pulled = await ask(transport, database, client="other")
        assert [change["document"]["text"] for change in pulled["server_changes"]] == texts


async def check_text_that_repeats_itself_travels_too(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        changes = [insert(str(i), text="a" * 60_000) for i in range(10)]
        answer = await ask(transport, database, changes=changes)
        assert [result["status"] for result in answer["results"]] == ["applied"] * 10


async def check_a_repeated_request_has_its_effect_once(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        body = request(database, changes=[insert("1", a=1)], request_id="r1", protocol=1)
        first = json.loads(await transport.exchange(database, body))
        again = json.loads(await transport.exchange(database, body))
        assert again["results"] == first["results"]
        assert again["fence"] == first["fence"]
        assert (await ask(transport, database, client="other"))["server_version"]["server"] == 1


async def check_a_replica_with_an_old_fence_is_told_so(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        change = insert("1", a=1) | {"op_id": "op-1", "n": 1}
        await ask(transport, database, changes=[change], request_id="r1", protocol=1)
        with raises(Rejected) as caught:
            await ask(transport, database, changes=[change], request_id="r2", protocol=1, fence="old")
        assert caught.error.status == 409
        assert caught.error.code == "replica_forked"
        assert caught.error.detail["known"] == ["op-1"]


async def check_a_wrong_request_is_rejected_with_its_place(connect: Connect) -> None:
    wrong: list[tuple[str, str, int, str]] = [
        ("{", "body", 400, "not_json"),
        ("[" * 100 + "]" * 100, "body", 400, "too_deep"),
        ('{"client_id": "a", "client_id": "b"}', "body", 422, "invalid"),
        ('{"client_id": "a", "limit": NaN}', "body", 422, "invalid"),
        ('{"client_id": 7}', "client_id", 422, "invalid"),
        ('{"client_id": "a", "limit": 1001}', "limit", 422, "invalid"),
        ('{"client_id": "a", "changes": {}}', "changes", 422, "invalid"),
        ('{"client_id": "a", "changes": [{"key": 1}]}', "changes[0].operation", 422, "invalid"),
        (
            '{"client_id": "a", "changes": [{"operation": "delete", "collection": "c", "key": 1}]}',
            "changes[0].key",
            422,
            "invalid",
        ),
        (
            '{"client_id": "a", "changes": [{"operation": "delete", "collection": "1c", "key": "k"}]}',
            "changes[0].collection",
            422,
            "invalid",
        ),
    ]
    async with connected(connect) as (transport, database):
        for body, place, status, code in wrong:
            named = body.replace("{", f'{{"database": "{database}", ', 1) if body.startswith('{"') else body
            with raises(Rejected) as caught:
                await transport.exchange(database, named)
            assert caught.error.detail["place"] == place, (body, caught.error)
            assert (caught.error.status, caught.error.code) == (status, code), (body, caught.error)
            assert place in str(caught.error)


async def check_a_limit_that_was_passed_is_named(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        most = [{"operation": "delete", "collection": "c", "key": "k"}] * 500
        assert len((await ask(transport, database, changes=most))["results"]) == 500
        with raises(Rejected) as caught:
            await ask(transport, database, changes=[*most, most[0]])
        assert (caught.error.status, caught.error.code) == (413, "too_many")
        assert (caught.error.detail["limit"], caught.error.detail["maximum"]) == ("changes", 500)
        assert (await ask(transport, database))["server_version"]["server"] == 0


async def check_a_body_that_nobody_takes_is_rejected_at_once(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        with raises(Rejected) as caught:
            await ask(transport, database, changes=[insert(str(i), text="é" * 20_000) for i in range(210)])
        assert (caught.error.status, caught.error.code) == (413, "body_too_large")
        assert caught.error.detail == {"limit": "body_bytes", "maximum": 8 * 1024 * 1024}


async def check_a_stream_pokes_at_once_and_after_a_commit(connect: Connect) -> None:
    async with connected(connect) as (transport, database), pokes_of(transport, database) as pokes:
        assert await soon(anext(pokes)) == 0
        other = connect()
        await ask(other, database, changes=[insert("1", a=1)])
        assert await soon(anext(pokes)) == 1
        await ask(other, database, changes=[insert("2", a=1), insert("3", a=1)])
        assert await soon(anext(pokes)) == 3
        await ask(other, database)
        await other.close()
    async with connected(connect, database) as (transport, _), pokes_of(transport, database) as pokes:
        assert await soon(anext(pokes)) == 3


async def check_a_slow_reader_gets_the_last_poke(connect: Connect) -> None:
    async with connected(connect) as (transport, database), pokes_of(transport, database) as pokes:
        await soon(anext(pokes))
        for i in range(1, 31):
            await ask(transport, database, changes=[insert(str(i), a=1)])
        while await soon(anext(pokes)) < 30:
            pass


async def check_many_exchanges_at_once(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        asked = (ask(transport, database, f"c{i}", changes=[insert(str(i), a=i)]) for i in range(20))
        answers = await asyncio.gather(*asked)
        heads = {result["version_vector"]["server"] for answer in answers for result in answer["results"]}
        assert heads == set(range(1, 21))


async def check_a_cancelled_exchange_leaves_the_transport_usable(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        body = request(database, changes=[insert("1", a=1)], request_id="r1", protocol=1)
        task = asyncio.ensure_future(transport.exchange(database, body))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        answer = json.loads(await transport.exchange(database, body))
        assert [result["status"] for result in answer["results"]] in (["applied"], ["duplicate"])


async def check_a_stream_can_be_left_at_any_time(connect: Connect) -> None:
    async with connected(connect) as (transport, database):
        for _ in range(3):
            async with pokes_of(transport, database) as pokes:
                await soon(anext(pokes))
        task = asyncio.ensure_future(read_on(transport, database))
        await asyncio.sleep(0.05)
        task.cancel()
        with raises(asyncio.CancelledError):
            await task


async def check_a_closed_transport_says_so(connect: Connect) -> None:
    transport = connect()
    await transport.close()
    await transport.close()
    with raises(Unreachable):
        await ask(transport, "default")
    with raises(Unreachable):
        await read_on(transport, "default")


class raises:
    """As in pytest: the block raises such an error, which is then ``error``."""

    error: Any

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __enter__(self) -> raises:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert error is not None, f"{self.kind.__name__} was due"
        self.error = error
        return isinstance(error, self.kind)


@asynccontextmanager
async def connected(connect: Connect, database: str | None = None) -> AsyncGenerator[tuple[Transport, str]]:
    """Give a transport, to be closed, and a database that nobody has used."""
    transport = connect()
    try:
        yield transport, database or f"check-{random.getrandbits(64):016x}"
    finally:
        await transport.close()


@asynccontextmanager
async def pokes_of(transport: Transport, database: str) -> AsyncGenerator[Any]:
    """Give a stream that is left at the end."""
    async with contextlib.aclosing(transport.pokes(database)) as pokes:  # type: ignore[type-var]
        yield pokes


async def read_on(transport: Transport, database: str) -> None:
    """Read a stream until it ends."""
    async with pokes_of(transport, database) as pokes:
        async for _ in pokes:
            pass


async def soon(work: Any) -> Any:
    """Await what should take a moment."""
    return await asyncio.wait_for(work, 10)


def insert(key: str, **document: Any) -> dict[str, Any]:
    """Give a change that inserts a document."""
    return {"operation": "insert", "collection": "things", "key": key, "document": document}


def request(database: str, client: str = "client", **members: Any) -> str:
    """Give a request's text."""
    return json.dumps({"database": database, "client_id": client, **members}, ensure_ascii=False)


async def ask(transport: Transport, database: str, client: str = "client", **members: Any) -> Any:
    """Exchange a request for an answer."""
    return json.loads(await transport.exchange(database, request(database, client, **members)))


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
