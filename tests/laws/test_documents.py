"""Laws of merging documents: a join of registers, whatever the order, the repetition and the grouping."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core import document
from pysync_web.core.document import (
    ABSENT,
    changed,
    copy_body,
    decode_state,
    deleted,
    encode_state,
    inserted,
    lost,
    merge,
    merge_all,
    restamped,
)
from pysync_web.values import dumps, loads, same
from tests.laws.strategies import bodies, changes, law, states, times


@law
@given(states(), states())
def test_merging_does_not_depend_on_the_order(a, b):
    assert merge(a, b) == merge(b, a)


@law
@given(states(), states(), states())
def test_merging_does_not_depend_on_the_grouping(a, b, c):
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@law
@given(states(), states())
def test_merging_again_changes_nothing(a, b):
    both = merge(a, b)
    assert merge(both, both) == merge(both, a) == merge(both, b) == both


@law
@given(states(), states())
def test_the_quick_way_for_flat_documents_gives_what_the_general_one_gives(a, b):
    if document._is_flat(a) and document._is_flat(b):
        assert document._merge_flat((a, b)) == document._merge_deep((a, b))


@law
@given(st.lists(states() | changes(), min_size=1, max_size=3), times)
def test_the_quick_way_for_a_delete_gives_what_the_general_one_gives(parts, at):
    assert merge_all([*parts, deleted(at)]) == document._merge_deep([*parts, deleted(at)])
    assert merge(parts[0], deleted(at)) == document._merge_deep([parts[0], deleted(at)])


@law
@given(st.lists(states() | changes(), max_size=5))
def test_merging_many_at_once_is_merging_one_after_the_other(parts):
    one_by_one = ABSENT
    for part in parts:
        one_by_one = merge(one_by_one, part)
    assert merge_all(parts) == one_by_one


@law
@given(states())
def test_nothing_merged_into_a_document_leaves_it(a):
    assert merge(a, ABSENT) == merge(ABSENT, a) == a


@law
@given(states(), states())
def test_time_only_goes_forward(a, b):
    assert merge(a, b).timestamp >= max(a.timestamp, b.timestamp)


@law
@given(st.lists(changes(), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_changes_delivered_in_any_order_and_twice_make_one_document(all_changes, random):
    def delivered(order):
        state = ABSENT
        for change in order:
            state = merge(state, change)
        return merge(state, state)

    shuffled = all_changes * 2
    random.shuffle(shuffled)
    assert delivered(all_changes) == delivered(shuffled)


@law
@given(bodies, bodies, times)
def test_the_difference_of_two_bodies_makes_the_second_of_the_first(old, new, at):
    patch = changed(old, new, at)
    before = inserted(old, "2000-01-01T00:00:00.00000000Z")
    after = merge(before, patch) if patch else before
    assert same(after.body, new)
    assert (patch is None) == same(old, new)


@law
@given(bodies, bodies, bodies, times, times)
def test_edits_of_different_fields_both_survive(base, one, two, t1, t2):
    left, right = {**base, "only-left": one}, {**base, "only-right": two}
    start = inserted(base, "2000-01-01T00:00:00.00000000Z")
    merged = merge(merge(start, changed(base, left, t1)), changed(base, right, t2))
    assert same(merged.body, {**base, "only-left": one, "only-right": two})


@law
@given(states())
def test_a_stored_state_reads_back(a):
    assert decode_state(loads(dumps(encode_state(a)))) == a


@law
@given(changes())
def test_a_change_at_another_time_has_only_that_time(change):
    at = "2090-01-01T00:00:00.00000000Z"
    moved = restamped(change, at)
    assert moved.timestamp == moved.since == at and moved.body == change.body


@law
@given(states(), states())
def test_what_a_merge_loses_is_told(a, b):
    both = merge(a, b)
    gone = lost(a, both)
    if a.body and both.body is not None and gone is None:
        assert lost(a, a) is None
    if gone is not None:
        assert gone.body and not same(both.body, a.body)


@given(bodies)
def test_a_copied_body_shares_nothing(body):
    copy = copy_body(body)
    assert same(copy, body) and copy is not body
