"""Patches give back exactly what they were made from, and a trail every earlier state of a document."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.document import Document, State
from pysync_web.core.feed import decode_entry, enter, pasts
from pysync_web.core.patch import difference, patched
from pysync_web.storage.memory import MemoryStorage
from pysync_web.values import dumps

names = st.sampled_from(["a", "b", "c", "", "x/y", "~", "~1", "0"])
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | st.sampled_from(["", "s", "t"])
values = st.recursive(
    leaves, lambda deeper: st.lists(deeper, max_size=2) | st.dictionaries(names, deeper, max_size=3)
)
objects = st.dictionaries(names, values, max_size=5)


@given(objects, objects)
def test_a_patch_turns_one_object_into_the_other(old: Any, new: Any) -> None:
    """To the last type: 1, 1.0 and true are three values."""
    before = dumps(old)
    assert dumps(patched(old, difference(old, new))) == dumps(new)
    assert dumps(old) == before


@given(objects)
def test_there_is_no_difference_of_the_same(one: Any) -> None:
    """Nothing is given and nothing removed."""
    assert difference(one, one) == ({}, ())


@given(st.lists(st.none() | objects, min_size=1, max_size=12), st.integers(0, 14), st.integers(0, 14))
async def test_a_trail_tells_what_a_replica_may_have(bodies: list[Any], first: int, second: int) -> None:
    """It has one of the states between where it had everything and its cursor, or that can't be told."""
    settled, since = min(first, second), max(first, second)
    storage = MemoryStorage.open(":memory:")
    documents = [
        Document(State(body, "t", {} if body is not None else {"": "t"}), {"server": n})
        for n, body in enumerate(bodies, 1)
    ]

    async def write(tx: Any) -> Any:
        before: Any = (None, 0)
        for n, document in enumerate(documents, 1):
            await enter(tx, ("c", "k"), before, document, n, len(dumps(document.body)))
            before = (document, n)
        assert [key for key, _ in await tx.scan("feed")] == [(len(documents),)]
        return await tx.get("feed", (len(documents),))

    entry = decode_entry(len(documents), await storage.write(write))
    known = pasts(entry, documents[-1], settled, since)
    earlier = [(0, None), *((n, document.body) for n, document in enumerate(documents[:-1], 1))]
    start = max(n for n, _ in earlier if n <= settled)
    due = [(n, body) for n, body in reversed(earlier) if start <= n <= since]
    if known is None:
        assert len(documents) > len(entry.trail)
    else:
        assert [(one.sequence, dumps(one.body)) for one in known] == [(n, dumps(body)) for n, body in due]
