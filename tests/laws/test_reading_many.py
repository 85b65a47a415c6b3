"""Many records read at once show what each of them shows by itself, however like their texts are to one another."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from pysync_web.causality import timestamp
from pysync_web.core.document import Document, State, inserted
from pysync_web.core.optimistic import Pending, Record, Waiting, decode_record, documents_of, encode_record, view
from tests.laws.strategies import law, states, times, values

ME = "me"
NOW = timestamp(1_700_000_000_000)

# Members and texts that look like those around a body.
names = st.sampled_from(["a", "d", "k", "n", "s", "v", '","d":"'])
texts = st.sampled_from(
    ["x", ',"d":"', '","i":"', '"k":"insert"', '"s":{', '"v":{"server":1}', '"n":1', "}}}", "}]}", "\\"]
)
bodies = st.dictionaries(names, texts | values | st.dictionaries(names, texts, max_size=2), max_size=3)
whole = st.builds(inserted, bodies, times)
any_state = whole | states()
versions = st.dictionaries(
    st.sampled_from(["server", "v", "n", "s", '"v":{', "zed"]), st.integers(1, 20), max_size=2
)
op_ids = st.sampled_from(["0" * 32, "op", '"v":{', ',"d":"'])
confirmed = st.builds(Document, any_state, versions, op_ids)


@st.composite
def pending(draw: st.DrawFn, number: int = 1) -> Pending:
    """A change, most often just a new document."""
    change = Pending(draw(op_ids), number, "insert", draw(whole), draw(st.sampled_from([None, "fields"])))
    match draw(st.integers(0, 7)):
        case 0:
            return change._replace(operation="update", state=draw(any_state))
        case 1:
            return change._replace(base=draw(versions))
        case 2:
            return change._replace(unit=draw(st.integers(0, 20)))
        case 3:
            return change._replace(contains=draw(versions), relays=draw(st.booleans()))
        case 4:
            return change._replace(refusals=2, strategy="local_wins")
        case 5:
            return change._replace(state=draw(any_state))
        case _:
            return change


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record with something in it."""
    base = draw(st.none() | confirmed)
    count = draw(st.sampled_from([1, 1, 1, 2])) if base is None else draw(st.integers(0, 2))
    waits = (
        draw(st.none() | st.builds(Waiting, st.none() | confirmed, texts, st.just(1))) if base and count else None
    )
    return Record(base, tuple(draw(pending(number + 1)) for number in range(count)), waits)


def alone(key: str, text: str) -> Any:
    """Give the document of a record that is read by itself."""
    seen = view(decode_record(text), ME)
    return seen and (key, seen.document(key))


def two_inserts(body: dict[str, Any]) -> Record:
    """A document that was made, deleted and made anew before it was ever sent."""
    first, last = (
        Pending("1", 1, "insert", inserted({"x": {}}, NOW)),
        Pending("2", 2, "insert", inserted(body, NOW)),
    )
    return Record(None, (first, last))


@law
@given(st.lists(records(), max_size=5))
@example([two_inserts({"a": 1})])
@example([Record(Document(State({"a": {"x": 1}}, NOW, {"/a": timestamp(1_700_000_000_009)}), {"server": 1}, "op"))])
@example([Record(Document(inserted({"a": 1}, NOW), {"server": 1, "v": 3}, "op"))])
@example([Record(None, (Pending("1", 1, "insert", inserted({"a": 1}, NOW), unit=1),))])
def test_documents_read_together_are_what_each_of_them_is(drawn):
    rows = [(("notes", f"key {number}"), encode_record(record)) for number, record in enumerate(drawn)]
    one_by_one = [alone(key, text) for (_, key), text in rows]
    assert documents_of(rows, ME) == [found for found in one_by_one if found]
