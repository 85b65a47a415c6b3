"""Laws of values: one text a value, strict reading, a total order."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.errors import InvalidDocument, SchemaError
from pysync_web.values import (
    canonical,
    canonical_many,
    check_key,
    check_keys,
    decode,
    dumps,
    loads,
    order_key,
    same,
)
from tests.laws.strategies import documents, law, texts, values


@law
@given(documents)
def test_a_document_reads_back_from_its_text_and_has_only_one(document):
    text = canonical(document)
    assert same(decode(text), document) and same(loads(text), document)
    shuffled = dict(reversed(list(document.items())))
    assert canonical(shuffled) == text == canonical_many([document], ["key"])[0]
    assert text.isascii() and text.isprintable()


@law
@given(st.recursive(st.floats() | st.integers() | st.text() | st.binary(), st.lists))
def test_what_is_not_json_is_refused_and_nothing_else_is(value):
    document = {"value": value}
    try:
        text = canonical(document)
    except InvalidDocument as error:
        assert "document" in str(error)
    else:
        assert same(decode(text), document)


@law
@given(st.lists(documents | st.just({"bad": float("nan")}) | st.just({1: 2}), max_size=4))
def test_checking_many_documents_is_checking_each(many):
    def one_by_one():
        return [canonical(document, f"document '{i}'") for i, document in enumerate(many)]

    def outcome(check):
        try:
            return check()
        except InvalidDocument as error:
            return str(error)

    assert outcome(one_by_one) == outcome(lambda: canonical_many(many, [str(i) for i in range(len(many))]))


@law
@given(st.lists(st.text(max_size=4) | st.integers(), max_size=4))
def test_checking_many_keys_is_checking_each(keys):
    def refused(check):
        try:
            check()
        except InvalidDocument as error:
            return str(error)
        return None

    assert refused(lambda: check_keys(keys)) == refused(lambda: [check_key(key) for key in keys])


@law
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_bytes_from_outside_are_json_or_are_refused(data):
    try:
        value = decode(data)
    except SchemaError:
        return
    assert same(decode(dumps(value)), value)


@law
@given(values, st.integers(0, 200), st.sampled_from(["", "\\ud800", "NaN", '"', "}", "[" * 80, "1e999", "\\u0000"]))
def test_a_broken_text_is_refused_or_is_still_strict_json(value, place, wrong):
    text = json.dumps(value)
    broken = text[:place] + wrong + text[place:]
    try:
        read = decode(broken)
    except SchemaError:
        return
    assert same(decode(dumps(read)), read)


@law
@given(values, values, values)
def test_the_order_of_values_is_total_and_agrees_with_sameness(a, b, c):
    ka, kb, kc = order_key(a), order_key(b), order_key(c)
    assert (ka < kb) + (ka == kb) + (ka > kb) == 1
    if ka <= kb and kb <= kc:
        assert ka <= kc
    if same(a, b):
        assert ka == kb


@law
@given(values, texts)
def test_sameness_tells_one_from_true_and_from_one_point_zero(value, text):
    assert same(value, loads(dumps(value)))
    assert not same([1], [1.0]) and not same({"a": 1}, {"a": True}) and not same(text, None)
