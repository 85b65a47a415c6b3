"""Indexes say what the documents say, whoever wrote them, and refuse what must be unique."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core import replica as local
from pysync_web.core.indexes import Index, Span, create_index, drop_index, load_indexes, look_up, sort_text
from pysync_web.core.ports import WriteTransaction
from pysync_web.core.replica import Write, WriteOptions
from pysync_web.errors import InvalidDocument
from pysync_web.manager.indexed import IndexedStorage
from pysync_web.storage import open_storage
from pysync_web.values import canonical, order_key

BY_CITY = Index("by_city", "users", ("address.city",))
BY_AGE_NAME = Index("by_age_name", "users", ("age", "name"))
BY_MAIL = Index("by_mail", "users", ("mail",), is_unique=True)

scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | st.text()


async def opened() -> IndexedStorage:
    storage = IndexedStorage(await open_storage(":memory:", engine="memory"))
    await storage.write(lambda tx: local.open_replica(tx, random.Random(1)))
    return storage


async def save(storage: IndexedStorage, *documents: tuple[str, dict[str, Any] | None]) -> None:
    writes = [
        Write("users", key, body, canonical(body) if body is not None else "", replace=True)
        for key, body in documents
    ]
    await storage.write(
        lambda tx: local.write(tx, writes, 1_000_000, random.Random(2), WriteOptions()), is_local=True
    )


async def found(storage: IndexedStorage, span: Span) -> list[str]:
    return await storage.read(lambda tx: look_up(tx, span))


async def entries(storage: IndexedStorage) -> int:
    async def body(tx: Any) -> int:
        return len(await tx.scan("index")) + len(await tx.scan("indexed"))

    return await storage.read(body)


@given(scalars, scalars)
def test_texts_of_values_sort_as_the_values_do(a: Any, b: Any):
    if order_key(a) == order_key(b):
        assert sort_text(a) == sort_text(b)
    elif order_key(a) < order_key(b):
        assert sort_text(a) <= sort_text(b)
    short = not any(isinstance(value, str) and len(value) > 60 for value in (a, b))
    if short and float_of(a) != float_of(b):
        assert (sort_text(a) < sort_text(b)) == (order_key(a) < order_key(b))


def float_of(value: Any) -> Any:
    return float(value) if type(value) in (int, float) else order_key(value)


async def test_an_index_follows_saves_changes_and_deletions():
    storage = await opened()
    await save(storage, ("1", {"address": {"city": "Rome"}}), ("2", {"address": {"city": "Oslo"}}), ("3", {"x": 1}))
    assert await storage.write(lambda tx: create_index(tx, BY_CITY))
    assert not await storage.write(lambda tx: create_index(tx, BY_CITY))
    assert await found(storage, Span(BY_CITY, ("Rome",))) == ["1"]
    assert await found(storage, Span(BY_CITY, (None,))) == ["3"]
    await save(storage, ("3", {"address": {"city": "Rome"}}), ("1", {"address": "Rome"}))
    assert await found(storage, Span(BY_CITY, ("Rome",))) == ["3"]
    await save(storage, ("3", None))
    assert await found(storage, Span(BY_CITY, ("Rome",))) == []
    assert await found(storage, Span(BY_CITY)) == ["1", "2"]


async def test_spans_have_bounds_and_begin_with_equal_values():
    storage = await opened()
    await storage.write(lambda tx: create_index(tx, BY_AGE_NAME))
    people = [(f"{age}{name}", {"age": age, "name": name}) for age in (3, -7, 20, 1.5) for name in "ba"]
    await save(storage, *people, ("none", {}))
    everything = ["none", *(f"{age}{name}" for age in (-7, 1.5, 3, 20) for name in "ab")]
    assert await found(storage, Span(BY_AGE_NAME)) == everything
    assert await found(storage, Span(BY_AGE_NAME, (3,))) == ["3a", "3b"]
    assert await found(storage, Span(BY_AGE_NAME, (3,), low=("b",))) == ["3b"]
    assert await found(storage, Span(BY_AGE_NAME, low=(1.5,), high=(3,))) == ["1.5a", "1.5b", "3a", "3b"]
    assert await found(storage, Span(BY_AGE_NAME, high=(-7,))) == ["none", "-7a", "-7b"]


async def test_a_long_span_is_read_in_steps():
    storage = await opened()
    await storage.write(lambda tx: create_index(tx, BY_AGE_NAME))
    await save(storage, *((f"{n:04}", {"age": n}) for n in range(1000)))
    assert await found(storage, Span(BY_AGE_NAME, low=(100,), high=(899,))) == [f"{n:04}" for n in range(100, 900)]


async def test_a_unique_index_refuses_what_is_taken_and_leaves_no_trace():
    storage = await opened()
    await storage.write(lambda tx: create_index(tx, BY_MAIL))
    await save(storage, ("1", {"mail": "a@x"}), ("2", {}), ("3", {"mail": None}))
    with pytest.raises(InvalidDocument, match=r"'4': mail .a@x. is taken by '1'.*by_mail"):
        await save(storage, ("5", {"mail": "b@x"}), ("4", {"mail": "a@x"}))
    assert await found(storage, Span(BY_MAIL, ("b@x",))) == []
    await save(storage, ("1", {"mail": "c@x"}), ("4", {"mail": "a@x"}))  # one gives way to the other at once
    assert await found(storage, Span(BY_MAIL, ("a@x",))) == ["4"]
    long = "y" * 200
    await save(storage, ("6", {"mail": long + "1"}), ("7", {"mail": long + "2"}))


async def test_a_unique_index_cant_be_made_over_what_is_not_unique():
    storage = await opened()
    await save(storage, ("1", {"mail": "a@x"}), ("2", {"mail": "a@x"}))
    with pytest.raises(InvalidDocument, match="unique"):
        await storage.write(lambda tx: create_index(tx, BY_MAIL))
    assert await storage.read(load_indexes) == {}
    assert await entries(storage) == 0


async def test_a_dropped_index_leaves_nothing_behind():
    storage = await opened()
    await storage.write(lambda tx: create_index(tx, BY_MAIL))
    await storage.write(lambda tx: create_index(tx, BY_CITY))
    await save(storage, ("1", {"mail": "a@x"}))
    assert await storage.write(lambda tx: drop_index(tx, "users", "by_mail"))
    assert not await storage.write(lambda tx: drop_index(tx, "users", "by_mail"))
    assert await storage.read(load_indexes) == {"users": [BY_CITY]}
    assert await storage.write(lambda tx: drop_index(tx, "users", "by_city"))
    assert await entries(storage) == 0


async def test_who_listens_hears_of_each_commit_that_wrote_documents_once():
    storage = await opened()
    heard: list[Any] = []
    stop = storage.listen(heard.append)
    await save(storage, ("1", {}), ("2", {}))

    async def other(tx: WriteTransaction) -> None:
        tx.put("meta", ("x",), "1")

    await storage.write(other)
    assert [sorted(names) for names in heard] == [[("users", "1"), ("users", "2")]]
    stop()
    await save(storage, ("3", {}))
    assert len(heard) == 1
