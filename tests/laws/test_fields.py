"""Documents that mix plain fields and CRDT values: their partial states meet in any order and grouping, twice too."""

from __future__ import annotations

from functools import reduce
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pysync_web import crdt
from pysync_web.causality import timestamp
from pysync_web.core.document import (
    ABSENT,
    State,
    changed,
    decode_state,
    deleted,
    encode_state,
    inserted,
    lost,
    merge,
    merge_all,
    restamped,
)
from pysync_web.core.fields import crdts_in, shown
from pysync_web.core.recorded import Deed, done, done_again, remembered, timed
from pysync_web.crdt import Add, Assign, Clear, Discard, Increment, Operation, Remove, Replace, Update
from pysync_web.errors import InvalidDocument
from pysync_web.values import dumps, loads

EXAMPLES = settings(max_examples=2000 if settings().max_examples > 50 else 20)
REPLICAS = ("a", "b", "c")
FIELDS = ("n", "s", "in.s", "in.m")
OPERATIONS: dict[str, list[tuple[str, Operation]]] = {
    "n": [("pn_counter", Increment(3)), ("pn_counter", Increment(-1)), ("g_counter", Increment(1))],
    "s": [("or_set", Add(1)), ("or_set", Add("x")), ("or_set", Remove(1)), ("or_set", Clear()), ("g_set", Add(1))],
    "in.s": [("mv_register", Replace(1)), ("mv_register", Replace(2)), ("lww_register", Assign(5, ""))],
    "in.m": [
        ("or_map", Update("k", "pn_counter", Increment(1))),
        ("or_map", Update("k", "or_set", Add(1))),
        ("or_map", Update("j", "lww_register", Assign("v", ""))),
        ("or_map", Discard("k")),
    ],
}


class Story:
    """Three replicas that change one document, and now and then take in what another has."""

    def __init__(self, seed: int, steps: int) -> None:
        self.rng = Random(seed)
        self.now = 1_800_000_000_000
        self.states: dict[str, State] = dict.fromkeys(REPLICAS, ABSENT)
        self.parts: list[State] = []
        for _ in range(steps):
            self.step(self.rng.choice(REPLICAS))

    def step(self, name: str) -> None:
        self.now += 1
        state, at = self.states[name], timestamp(self.now)
        match self.rng.randrange(12):
            case 0 | 1 | 2:
                self.states[name] = merge(state, self.states[self.rng.choice(REPLICAS)])
                return
            case 3 if state.body is not None:
                part: State | None = deleted(at)
            case 4 | 5:
                part = self.plain(state, at)
            case _:
                part = self.deed(state, name, at)
        if part is not None:
            self.parts.append(part)
            self.states[name] = merge(state, part)

    def plain(self, state: State, at: str) -> State | None:
        body = state.body
        if body is None:
            return inserted({"t": self.now}, at)
        if self.rng.random() < 0.4 and body:
            gone = self.rng.choice(sorted(body))
            return changed(body, {name: value for name, value in body.items() if name != gone}, at)
        return changed(body, {**body, self.rng.choice("tn"): self.now}, at) if "n" not in body else None

    def deed(self, state: State, name: str, at: str) -> State | None:
        field = self.rng.choice(FIELDS)
        kind, operation = self.rng.choice(OPERATIONS[field])
        path = tuple(field.split("."))
        here = next((value for found, value in crdts_in(state.body) if found == path), None)
        if here is not None and here[crdt.MARK] != kind:
            return None
        try:
            return done(state, Deed(path, kind, timed(operation, at)), name, at)
        except InvalidDocument:  # something else is there
            return None


STORIES = st.builds(Story, st.integers(0, 2**32), st.integers(1, 24))


@EXAMPLES
@given(STORIES, st.randoms(use_true_random=False))
def test_parts_make_one_document_in_any_order_and_grouping(story, rng):
    whole = merge_all(story.parts)
    parts = [*story.parts, *rng.sample(story.parts, len(story.parts) // 2)]
    rng.shuffle(parts)
    middle = rng.randint(0, len(parts))
    one_by_one = reduce(merge, parts, ABSENT)
    grouped = merge(merge_all(parts[:middle]), merge_all(parts[middle:]))
    assert text(one_by_one) == text(grouped) == text(whole)


@EXAMPLES
@given(STORIES)
def test_merging_does_not_depend_on_the_order_and_doing_it_again_changes_nothing(story):
    a, b, c = (story.states[name] for name in REPLICAS)
    assert text(merge(a, b)) == text(merge(b, a))
    assert text(merge(merge(a, b), c)) == text(merge(a, merge(b, c)))
    assert text(merge(merge(a, b), b)) == text(merge(a, b))


@EXAMPLES
@given(STORIES)
def test_states_read_back_from_their_text(story):
    for state in story.states.values():
        back = decode_state(loads(dumps(encode_state(state))))
        assert text(back) == text(state)
        for _, value in crdts_in(back.body):
            crdt.check(value)


@EXAMPLES
@given(STORIES)
def test_what_is_merged_is_lost_only_where_something_else_stands(story):
    a, b = story.states["a"], story.states["b"]
    both = merge(a, b)
    gone = lost(a, both)
    assert lost(both, both) is None
    for path, value in crdts_in(a.body):
        there = next((other for found, other in crdts_in(both.body) if found == path), None)
        is_there = there is not None and there[crdt.MARK] == value[crdt.MARK] and crdt.includes(there, value)
        is_lost = any(found == path for found, _ in crdts_in(gone.body if gone else None))
        assert is_there or is_lost


@EXAMPLES
@given(STORIES)
def test_another_time_leaves_lives_as_they_are(story):
    for part in story.parts:
        later = restamped(part, timestamp(story.now + 1000))
        lives = {path: part.stamps.get(path) for path in part.stamps if path.startswith(("/n", "/s", "/in"))}
        for path, value in crdts_in(part.body):
            place = "/" + "/".join(path)
            assert later.stamps.get(place) == lives[place]
            assert crdt.value(value) == crdt.value(next(v for p, v in crdts_in(later.body) if p == path))


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_deeds_done_again_show_the_same(seed, count):
    rng = Random(seed)
    first = state = State({"t": 1}, timestamp(1))
    deeds: tuple[Deed, ...] = ()
    for n in range(count):
        field = rng.choice(FIELDS)
        kind, operation = rng.choice([one for one in OPERATIONS[field] if one[0] == OPERATIONS[field][0][0]])
        at = timestamp(1000 + n)
        deed = Deed(tuple(field.split(".")), kind, timed(operation, at))
        try:
            part = done(state, deed, "a", at)
        except InvalidDocument:  # another kind is there
            part = None
        if part is not None:
            state, deeds = merge(state, part), remembered(deeds, (deed,))
    kept = tuple(Deed.from_json(loads(dumps(deed.to_json()))) for deed in deeds)
    patch = done_again(first, kept, "other", timestamp(5000))
    again = merge(first, patch) if patch else first
    assert dumps(without_empty(shown(again.body or {}))) == dumps(without_empty(shown(state.body or {})))


def without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out values that are empty: what was added and removed again leaves one or none."""
    found = {n: without_empty(v) if isinstance(v, dict) else v for n, v in body.items()}
    return {name: value for name, value in found.items() if value not in ({}, [], 0)}


def text(state: State) -> str:
    """Give the canonical text of a state."""
    return dumps(encode_state(state))
