"""Messages are checked in quick ways that look at everything at once; they say what looking at each part says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.wire import decode_response, decode_server_change
from pysync_web.errors import SchemaError
from pysync_web.values import decode
from tests.laws.strategies import documents, law, texts, values

TIME = "2026-11-21T07:49:30.12300000Z"
odd = st.sampled_from([None, 1, True, -1, "", "x y", [], {}, {"server": -1}, {"server": True}, {"/a": TIME}, TIME])


@st.composite
def server_changes(draw: st.DrawFn) -> Any:
    """A document as a server sends it, often with something about it that is wrong or unusual."""
    change: dict[str, Any] = {
        "collection": "notes",
        "key": draw(st.sampled_from(["1", "2", "é", "a\x01b", "k" * 129])),
        "operation": draw(st.sampled_from(["update", "update", "delete", "insert", "?"])),
        "document": draw(documents),
        "timestamp": TIME,
        "version_vector": draw(st.dictionaries(st.sampled_from(["server", "r1"]), st.integers(0, 3))),
        "op_id": "o" * draw(st.sampled_from([1, 32, 128, 129])),
    }
    if draw(st.booleans()):
        change[draw(st.sampled_from([*change, "stamps", "since", "removed", "more"]))] = draw(odd)
    if draw(st.integers(0, 9)) == 0:
        del change[draw(st.sampled_from(list(change)))]
    return change


def outcome(read: Any) -> Any:
    try:
        return read()
    except SchemaError as error:
        return str(error), error.place, error.code


@law
@given(st.lists(server_changes() | odd, max_size=4))
def test_a_page_of_documents_reads_as_each_of_them_does(page):
    head = {"epoch": "e", "since": 0, "server_version": {"server": 4}, "timestamp": TIME}
    text = json.dumps({**head, "server_changes": page})
    alone = outcome(lambda: tuple(decode_server_change(one, f"server_changes[{i}]") for i, one in enumerate(page)))
    assert outcome(lambda: decode_response(text).server_changes) == alone


@law
@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.data())
def test_a_name_that_occurs_twice_is_found_however_the_text_is_written(document, data):
    style = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",", "\n:")]))
    text = json.dumps(document, separators=style, ensure_ascii=data.draw(st.booleans()))
    twice = json.dumps(data.draw(st.sampled_from(list(document))))
    assert decode(text) == document
    with pytest.raises(SchemaError, match="occurs twice"):
        decode(f'{text[:-1]},{twice}:"a colon in a text: \\":"}}')


@pytest.mark.parametrize("is_list", [True, False])
@pytest.mark.parametrize("text", ['"]]]]"', '"[[[["', '"\\"[["', '"\\\\"', "1"])
def test_nesting_is_counted_outside_of_texts(is_list, text):
    def nested(levels: int) -> str:
        opening, closing = ("[", "]") if is_list else (f'{{"b":{text},"a":', "}")
        return opening * levels + text + closing * levels

    assert decode(f"[{nested(71)},{nested(71)}]")
    with pytest.raises(SchemaError, match="nested deeper"):
        decode(f"[{nested(72)},{nested(1)}]")
