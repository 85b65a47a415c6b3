"""Laws of the three-way merge: what one side did is done, the sides may be swapped, and no edit goes untold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.three_way import ABSENT, Clash, merge_three
from pysync_web.values import dumps
from tests.laws.strategies import law

letters = st.sampled_from("abcdefgh")
scalars = st.sampled_from([None, True, 1, 1.0, 2, "x", "y"])
lines = st.lists(letters, max_size=6).map("\n".join)
by_value = st.lists(st.sampled_from([1, 1.0, "x", "y", [1], {"n": 1}]), max_size=6)
items = st.fixed_dictionaries({"n": scalars, "m": scalars})
by_id = st.dictionaries(letters, items, max_size=5).flatmap(
    lambda chosen: st.permutations([{"_id": name, **item} for name, item in chosen.items()])
)
leaves = scalars | lines | by_value | by_id
bodies = st.recursive(
    st.dictionaries(st.sampled_from("abc/~"), leaves, max_size=4),
    lambda inner: st.dictionaries(st.sampled_from("abc/~"), leaves | inner, max_size=4),
    max_leaves=6,
)


def text(value: Any) -> str:
    return "absent" if value is ABSENT else dumps(value)


def swapped(clash: Clash) -> tuple[str, str, str, str]:
    return clash.path, text(clash.base), text(clash.remote), text(clash.local)


@law
@given(bodies, bodies)
def test_what_only_one_side_did_is_done(base, other):
    for one, two in ((base, other), (other, base)):
        merged = merge_three(base, one, two)
        assert dumps(merged.body) == dumps(other) and not merged.clashes


@law
@given(bodies, bodies)
def test_what_both_did_alike_is_done_once(base, other):
    merged = merge_three(base, other, other)
    assert dumps(merged.body) == dumps(other) and not merged.clashes


@law
@given(st.none() | bodies, bodies, bodies)
def test_the_sides_may_be_swapped_if_the_preference_is_too(base, one, two):
    for prefer, other in (("local", "remote"), ("remote", "local")):
        here, there = merge_three(base, one, two, prefer), merge_three(base, two, one, other)
        assert dumps(here.body) == dumps(there.body)
        assert sorted(swapped(clash) for clash in here.clashes) == sorted(
            (clash.path, text(clash.base), text(clash.local), text(clash.remote)) for clash in there.clashes
        )


@law
@given(st.none() | bodies, bodies, bodies)
def test_without_a_clash_the_preference_does_not_matter(base, one, two):
    here, there = merge_three(base, one, two, "local"), merge_three(base, one, two, "remote")
    assert [clash.path for clash in here.clashes] == [clash.path for clash in there.clashes]
    assert here.clashes or dumps(here.body) == dumps(there.body)


@law
@given(bodies, bodies, bodies)
def test_a_member_that_one_side_set_is_there_or_is_told(base, one, two):
    merged = merge_three(base, one, two)
    for side in (one, two):
        for name, value in side.items():
            if type(value) in (dict, list) or (type(value) is str and "\n" in value):
                continue
            changed = name not in base or dumps(base[name]) != dumps(value)
            told = any(
                clash.path.split("/")[1:2] == [name.replace("~", "~0").replace("/", "~1")]
                for clash in merged.clashes
            )
            kept = name in merged.body and dumps(merged.body[name]) == dumps(value)
            lines_of = type(merged.body.get(name)) is str and "\n" in str(merged.body.get(name))
            assert not changed or kept or told or lines_of


@law
@given(by_value, by_value, by_value)
def test_elements_that_one_side_added_are_there_and_those_it_removed_are_not(base, one, two):
    merged = merge_three({"l": base}, {"l": one}, {"l": two})
    counts = [[dumps(item) for item in side].count for side in (base, one, two, merged.body["l"])]
    for item in {dumps(item) for item in [*base, *one, *two]}:
        before, mine, theirs, after = (count(item) for count in counts)
        added, removed = max(mine, theirs, before) - before, before - min(mine, theirs, before)
        assert after == before + added - removed


@law
@given(st.permutations("abcdefgh"), st.data())
def test_moves_of_different_elements_both_survive(base, data):
    two = list(base)
    first, second = data.draw(st.sampled_from(base)), data.draw(st.sampled_from(base))
    one = [item for item in base if item != first]
    one.insert(data.draw(st.integers(0, len(one))), first)
    two.remove(second)
    two.insert(data.draw(st.integers(0, len(two))), second)
    merged = merge_three({"l": list(base)}, {"l": one}, {"l": two})
    assert sorted(merged.body["l"]) == sorted(base)
    if one == list(base):
        assert merged.body["l"] == two
    if two == list(base):
        assert merged.body["l"] == one


@law
@given(st.lists(letters, max_size=8), st.lists(letters, max_size=8), st.lists(letters, max_size=8))
def test_lines_that_one_side_added_are_there_or_the_text_is_a_clash(base, one, two):
    texts = [{"t": "\n".join(["first", *side, "last"])} for side in (base, one, two)]
    merged = merge_three(*texts)
    if merged.clashes:
        return
    found = merged.body["t"].split("\n")
    for side in (one, two):
        for line in set(side):
            if side.count(line) > base.count(line):
                assert line in found


def test_edits_moves_and_additions_of_different_elements_all_come_through():
    base = [{"_id": n, "t": n, "done": False} for n in "abcd"]
    one = [base[3], base[0], {**base[1], "done": True}, base[2], {"_id": "e", "t": "new"}]
    two = [base[0], {**base[1], "t": "B"}, {"_id": "f", "t": "other"}, base[3]]
    merged = merge_three({"l": base}, {"l": one}, {"l": two})
    assert not merged.clashes
    assert [item["_id"] for item in merged.body["l"]] == ["d", "a", "b", "e", "f"]
    assert merged.body["l"][2] == {"_id": "b", "t": "B", "done": True}


def test_an_element_that_one_removed_and_the_other_edited_is_a_clash():
    base = [{"_id": 1, "t": "a"}, {"_id": 2, "t": "b"}]
    merged = merge_three({"l": base}, {"l": base[:1]}, {"l": [base[0], {"_id": 2, "t": "c"}]}, "remote")
    assert [clash.path for clash in merged.clashes] == ["/l/2"]
    assert merged.body["l"] == [{"_id": 1, "t": "a"}, {"_id": 2, "t": "c"}]


def test_lines_merge_and_lines_that_both_changed_are_a_clash_of_the_text():
    base = "title\n\none\ntwo\nthree\n"
    one, two = base.replace("title", "Title"), base.replace("three", "three!")
    assert merge_three({"t": base}, {"t": one}, {"t": two}).body["t"] == "Title\n\none\ntwo\nthree!\n"
    merged = merge_three({"t": base}, {"t": one}, {"t": two.replace("title", "TITLE")})
    assert merged.body["t"] == "Title\n\none\ntwo\nthree!\n"
    assert [clash.path for clash in merged.clashes] == ["/t"]


def test_texts_that_would_take_too_long_to_align_are_a_clash():
    base = "x\n" * 1000
    merged = merge_three({"t": base}, {"t": base + "mine"}, {"t": "theirs\n" + base})
    assert [clash.path for clash in merged.clashes] == ["/t"]


def test_a_field_that_one_renamed_and_the_other_edited_keeps_both_names_or_is_told():
    base, renamed, edited = {"title": "a", "n": 1}, {"name": "a", "n": 1}, {"title": "b", "n": 1}
    merged = merge_three(base, renamed, edited)
    assert merged.body == {"name": "a", "n": 1}
    assert merged.clashes == (Clash("/title", "a", ABSENT, "b"),)
