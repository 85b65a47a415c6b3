"""Laws of the wire: what is encoded reads back, and nothing from outside raises anything but SchemaError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.document import Document, changed, deleted, inserted
from pysync_web.core.wire import (
    Change,
    SyncRequest,
    decode_request,
    decode_response,
    decode_server_change,
    decode_stored,
    encode_request,
    encode_server_change,
)
from pysync_web.errors import SchemaError
from pysync_web.values import dumps, loads
from tests.laws.strategies import bodies, law, names, scalars, states, times, values, vectors

ids = st.text("abc123-", min_size=1, max_size=8)


@st.composite
def sent_changes(draw: st.DrawFn) -> Change:
    at = draw(times)
    operation = draw(st.sampled_from(["insert", "update", "delete"]))
    if operation == "delete":
        state = deleted(at)
    elif operation == "insert":
        state = inserted(draw(bodies), at)
    else:
        state = changed(draw(bodies), draw(bodies), at) or inserted({"a": 1}, at)
    return Change(
        "notes",
        draw(ids),
        operation,
        state,
        operation == "insert",
        op_id=draw(ids),
        n=draw(st.integers(1, 99)),
        base_version=draw(vectors),
        merge=draw(st.none() | st.just("fields")),
        transaction=draw(st.none() | st.integers(1, 9)),
    )


requests = st.builds(
    SyncRequest,
    database=st.just("field"),
    client_id=ids,
    version_vector=vectors,
    changes=st.lists(sent_changes(), max_size=3).map(tuple),
    protocol=st.integers(0, 1),
    request_id=st.none() | ids,
    fence=st.none() | ids,
    epoch=st.none() | ids,
    limit=st.integers(1, 1000),
    collections=st.none() | st.just(("notes", "samples")),
)


@law
@given(requests)
def test_a_request_reads_back_and_is_the_same_bytes_again(request):
    text = encode_request(request)
    assert decode_request(text) == request
    assert encode_request(decode_request(text)) == text


@law
@given(states(), vectors, ids)
def test_a_document_of_the_server_reads_back(state, version, op_id):
    document = Document(state, version, op_id)
    text = encode_server_change("notes", "k", document)
    read = decode_server_change(loads(text))
    assert decode_stored(text) == read.document
    assert (read.collection, read.key) == ("notes", "k")
    assert read.document.body == state.body and read.document.timestamp == state.timestamp
    if state.body is not None:
        assert read.document == document


@law
@given(requests, st.data())
def test_a_request_with_a_wrong_member_is_refused_in_words(request, data):
    message = loads(encode_request(request))
    _spoil(message, data)
    try:
        decode_request(dumps(message))
    except SchemaError as error:
        assert str(error)


@law
@given(st.dictionaries(names | st.sampled_from(["results", "server_changes", "epoch", "since"]), values))
def test_any_answer_is_read_or_refused(message):
    try:
        decode_response(dumps(message))
    except SchemaError:
        return


@law
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    for read in (decode_request, decode_response):
        try:
            read(data)
        except SchemaError:
            continue


def _spoil(node: object, data: st.DataObject) -> None:
    """Put a wrong value somewhere into a message."""
    while isinstance(node, dict) and node:
        name = data.draw(st.sampled_from(sorted(node)))
        if isinstance(node[name], dict) and node[name] and data.draw(st.booleans()):
            node = node[name]
        elif isinstance(node[name], list) and node[name] and data.draw(st.booleans()):
            node = node[name][0]
        else:
            node[name] = data.draw(scalars | st.just([]) | st.just({}))
            return


@pytest.mark.parametrize("name", ["$crdt", "\\u0024crdt", "$\\u0063rdt", "$crd\\u0074"])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_state_that_is_none_is_refused_however_its_mark_is_written(name: str, encoded: bool) -> None:
    document = '{"a":{"' + name + '":"nonsense"}}'
    change = '{"collection":"c","document":' + document + ',"key":"k","op_id":"o","operation":"update",'
    change += '"timestamp":"2027-01-15T08:00:00.00000000Z","version_vector":{"server":1}}'
    answer = '{"epoch":"e","server_changes":[' + change + '],"server_version":{"server":1},"since":0,'
    answer += '"timestamp":"2027-01-15T08:00:00.00000000Z"}'
    with pytest.raises(SchemaError, match=r"document\.a"):
        decode_response(answer.encode() if encoded else answer)
