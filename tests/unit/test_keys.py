"""Packed keys are bytes that sort as the keys do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.errors import InvalidDocument
from pysync_web.storage.keys import AFTER_ALL, bounds, check_keys, pack, pack_many, unpack, unpack_many

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
integers = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-300, 300)
shapes = st.lists(st.sampled_from([texts, integers]), min_size=1, max_size=4)


@st.composite
def keys_of_one_space(draw, least=1):
    """Draw keys that have one type at each position, though not all of one length."""
    shape = draw(shapes)
    lengths = st.integers(1, len(shape))
    return [tuple(draw(part) for part in shape[: draw(lengths)]) for _ in range(draw(st.integers(least, 12)))]


@given(keys_of_one_space())
def test_what_was_packed_is_unpacked(keys):
    check_keys(keys)
    assert [unpack(pack(key)) for key in keys] == keys
    assert pack_many(keys) == list(map(pack, keys))
    assert unpack_many(pack_many(keys)) == keys


@given(keys_of_one_space(least=2))
def test_packed_keys_sort_as_keys_do(keys):
    assert [unpack(packed) for packed in sorted(map(pack, keys))] == sorted(keys)


@given(keys_of_one_space(least=2), st.integers(0, 4), st.booleans(), st.booleans())
def test_a_scans_bounds_hold_exactly_its_keys(keys, length, reverse, is_after):
    prefix = keys[0][:length]
    after = keys[1] if is_after else None
    low, high = bounds(prefix, after, reverse)
    for key in keys:
        is_inside = key[: len(prefix)] == prefix
        if after is not None:
            is_inside = is_inside and (key < after if reverse else key > after)
        assert (low <= pack(key) < high) == is_inside, key


def test_no_key_sorts_after_the_end():
    assert pack(("\U0010ffff",)) < AFTER_ALL and pack((2**63 - 1,)) < AFTER_ALL


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ((), "at least one part"),
        (("a\x00b",), "no NUL"),
        ((1, "\x00"), "no NUL"),
        (("a", "\ud83d"), "no lone surrogate"),
        ((1, "\udc00"), "no lone surrogate"),
        ((2**63,), "outside"),
        (("a", -(2**63)), "outside"),
        ((1.0,), "neither a text nor an integer"),
        (("a", True), "neither a text nor an integer"),
        (("a", None), "neither a text nor an integer"),
        ((b"a",), "neither a text nor an integer"),
        ((("a",),), "neither a text nor an integer"),
    ],
)
def test_a_bad_key_is_refused_alone_and_among_others(key, words):
    with pytest.raises(InvalidDocument, match=words):
        pack(key)
    for others in ([], [("fine",)], [(1,)], [("fine", 1)]):
        with pytest.raises(InvalidDocument, match=words):
            check_keys([*others, key])
        with pytest.raises(InvalidDocument, match=words):
            pack_many([*others, key])
