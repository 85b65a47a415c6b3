"""Laws of CRDT values: every kind alone, maps that nest them, and a document that has one of each.

A script of bytes says what three replicas do: operations, taking in each other's states, taking in single deltas
late. One example runs the same script for every kind.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pysync_web import crdt
from pysync_web.causality import timestamp
from pysync_web.crdt import Add, Assign, Clear, Discard, Increment, Remove, Replace, Update
from pysync_web.errors import InvalidDocument, SchemaError
from pysync_web.values import JSON, canonical, dumps, loads, order_key

law = settings(max_examples=20 if sys.platform == "emscripten" else 2000)

KINDS = sorted(crdt.KINDS_IN_ORDER)
REPLICAS = ["r1", "r2", "r3"]
SMALL = [None, True, 1, 1.0, "x", [1], {"y": 0}]
TIMES = [timestamp(1_700_000_000_000 + ms) for ms in range(4)]
Removals = list[tuple[int, int]]
Done = tuple[int, str, int, Any]

scripts = st.binary(min_size=12, max_size=24)
seeds = st.integers(0, 2**32)


def operation(kind: str, n: int) -> crdt.Operation:
    """Give the operation of a kind that a number stands for."""
    match kind:
        case "g_counter":
            return Increment(n % 4)
        case "pn_counter":
            return Increment(n % 7 - 3)
        case "lww_register":
            return Assign(SMALL[n % 7], TIMES[n // 7 % 4])
        case "mv_register":
            return Clear() if n % 8 == 7 else Replace(SMALL[n % 8])
        case "g_set":
            return Add(SMALL[n % 7])
        case "or_set":
            return Clear() if n % 16 == 15 else (Add, Add, Remove)[n // 7 % 3](SMALL[n % 7])
    if n % 16 > 13:
        return Clear() if n % 32 == 31 else Discard("ab"[n // 16 % 2])
    inner = KINDS[n % 16 // 2]  # two numbers for each kind, a map among them
    return Update("ab"[n % 2], inner, operation(inner, n // 16 + n % 3 * 5))


@dataclass
class Step:
    """An operation that a replica did, and the earlier ones that it knew, as bits."""

    replica: str
    operation: crdt.Operation
    known: int
    delta: crdt.State


@dataclass
class Play:
    """Three replicas of one value."""

    kind: str
    states: list[crdt.State]
    known: list[int] = field(default_factory=lambda: [0, 0, 0])
    steps: list[Step] = field(default_factory=list)

    def do(self, who: int, what: crdt.Operation) -> None:
        """Let a replica apply an operation, unless a key has another kind there."""
        try:
            delta = crdt.change(self.states[who], what, REPLICAS[who])
        except InvalidDocument as error:
            assert "discard it first" in str(error)
            return
        self.steps.append(Step(REPLICAS[who], what, self.known[who], delta))
        self.known[who] |= 1 << len(self.steps) - 1
        self.take(who, delta)

    def take(self, who: int, state: crdt.State) -> None:
        """Let a replica take in a state."""
        self.states[who] = crdt.merge(self.states[who], state)

    def take_all(self, who: int, other: int) -> None:
        """Let a replica take in all that another has."""
        self.take(who, self.states[other])
        self.known[who] |= self.known[other]

    def together(self) -> crdt.State:
        """Give what all replicas have together."""
        return crdt.merge_all(self.states)


def played(kind: str, script: bytes, singles: bool = True, stored: bool = False) -> Play:
    """Run a script: with single deltas that come late, with states that go through their text after each step."""
    play = Play(kind, [crdt.empty(kind) for _ in REPLICAS])
    for how, what in zip(script[::2], script[1::2], strict=False):
        who = how % 3
        if how // 3 % 4:
            play.do(who, operation(kind, what + how // 12 * 256))
        elif what % 2 or not singles:
            play.take_all(who, (who + 1 + what // 2 % 2) % 3)
        elif play.steps:
            play.take(who, play.steps[what // 2 % len(play.steps)].delta)
        if stored:
            play.states = [loads(dumps(state)) for state in play.states]
    return play


def plays(script: bytes, **options: bool) -> list[Play]:
    """Run a script for every kind."""
    return [played(kind, script, **options) for kind in KINDS]


def text(state: JSON) -> str:
    """Give the text by which states are compared, having looked at the state."""
    return dumps(crdt.check(state))


@law
@given(scripts, seeds)
def test_merging_is_a_join(script: bytes, seed: int) -> None:
    """It does not depend on order and grouping, forgets nothing, and changes nothing the second time."""
    chance = random.Random(seed)
    for play in plays(script):
        check_order(play)
        check_grouping(play, chance)
        check_repetition(play)
        check_growth(play)


def check_order(play: Play) -> None:
    """It does not matter which of two is merged into the other."""
    a, b, _ = play.states
    assert text(crdt.merge(a, b)) == text(crdt.merge(b, a)), play.kind
    for step in play.steps:
        assert dumps(crdt.merge(a, step.delta)) == dumps(crdt.merge(step.delta, a)), play.kind


def check_grouping(play: Play, chance: random.Random) -> None:
    """It does not matter which two of three are merged first, states or deltas."""
    deltas = [step.delta for step in play.steps]
    for a, b, c in (play.states, chance.choices([*play.states, *deltas], k=3)):
        left, right = crdt.merge(crdt.merge(a, b), c), crdt.merge(a, crdt.merge(b, c))
        assert text(left) == text(right), play.kind


def check_repetition(play: Play) -> None:
    """What is there already changes nothing, and what did not change is the very same object."""
    a, b, _ = play.states
    both = crdt.merge(a, b)
    assert crdt.merge(a, a) is a and crdt.merge(both, b) is both and crdt.merge(both, a) is both, play.kind
    assert crdt.merge(a, loads(dumps(a))) is a and crdt.merge(a, crdt.empty(play.kind)) is a, play.kind
    assert text(crdt.merge(a, both)) == text(both), play.kind


def check_growth(play: Play) -> None:
    """What was known before a merge is known after it."""
    a, b, _ = play.states
    both = crdt.merge(a, b)
    assert crdt.includes(both, a) and crdt.includes(both, b), play.kind
    assert (crdt.includes(a, b) and crdt.includes(b, a)) == (dumps(a) == dumps(b)), play.kind
    for step in play.steps:
        after = crdt.merge(a, step.delta)
        assert crdt.includes(after, a) and crdt.includes(after, step.delta), play.kind


@law
@given(scripts)
def test_the_state_says_what_the_operations_mean(script: bytes) -> None:
    for play in plays(script, singles=False):
        for state, known in zip(play.states, play.known, strict=True):
            assert dumps(crdt.value(state)) == dumps(meaning(play, known)), play.kind
        everything = (1 << len(play.steps)) - 1
        assert dumps(crdt.value(play.together())) == dumps(meaning(play, everything)), play.kind


@law
@given(scripts, seeds)
def test_deltas_lost_doubled_and_in_any_order_make_what_states_make(script: bytes, seed: int) -> None:
    chance = random.Random(seed)
    for play in plays(script):
        deltas = [step.delta for step in play.steps] * 2
        chance.shuffle(deltas)
        whole = text(play.together())
        assert text(crdt.merge_all([crdt.empty(play.kind), *deltas])) == whole, play.kind
        some = crdt.merge_all([crdt.empty(play.kind), *deltas[::3]])
        assert text(crdt.merge(some, play.together())) == whole, play.kind
        middle = len(deltas) // 2
        batch = crdt.merge_all([crdt.empty(play.kind), *deltas[middle:]])
        assert text(crdt.merge(crdt.merge_all([crdt.empty(play.kind), *deltas[:middle]]), batch)) == whole, (
            play.kind
        )


@law
@given(scripts)
def test_states_go_through_their_text(script: bytes) -> None:
    for direct, stored in zip(plays(script), plays(script, stored=True), strict=True):
        assert list(map(text, direct.states)) == list(map(text, stored.states)), direct.kind
        assert dumps(crdt.value(direct.states[0])) == dumps(crdt.value(stored.states[0])), direct.kind


@law
@given(scripts)
def test_a_document_of_all_kinds_merges_field_by_field(script: bytes) -> None:
    """The steps go round the fields, so each of them has seen something else of the others."""
    whole, shifted = plays(script), plays(script[2:])
    copies = [[play.states[who] for play in of] for of, who in ((whole, 0), (whole, 1), (shifted, 2))]
    a, b, c = ({state["$crdt"]: state for state in states} for states in copies)

    def merged(one: JSON, two: JSON) -> JSON:
        return {name: crdt.merge(one[name], two[name]) for name in one}

    assert canonical(merged(merged(a, b), a)) == canonical(merged(b, loads(canonical(a))))
    assert canonical(merged(loads(canonical(merged(a, b))), c)) == canonical(merged(merged(b, a), c))
    assert canonical(merged(merged(a, b), c)) == canonical(merged(merged(a, b), merged(c, a)))


@law
@given(scripts)
def test_what_a_replica_sends_is_accepted_under_its_own_name_only(script: bytes) -> None:
    for play in plays(script):
        hub = crdt.empty(play.kind)
        for step in play.steps:
            after = crdt.merge(hub, crdt.check_delta(step.delta, step.replica, hub))
            if after is not hub and play.kind != "g_set":
                try:
                    crdt.check_delta(step.delta, "r4", hub)
                except SchemaError as error:
                    assert error.code == "not_own", play.kind
                else:
                    assert not adds(step.delta), play.kind
            hub = after


@law
@given(scripts, seeds)
def test_damaged_states_are_refused_or_harmless(script: bytes, seed: int) -> None:
    chance = random.Random(seed)
    for play in plays(script):
        whole = play.together()
        damaged = damage(loads(dumps(whole)), chance)
        try:
            crdt.check(damaged)
        except SchemaError:
            continue
        if damaged["$crdt"] != play.kind:
            continue
        one, other = crdt.merge(whole, damaged), crdt.merge(damaged, whole)
        assert text(one) == text(other), play.kind
        assert crdt.includes(one, damaged) and crdt.includes(one, whole), play.kind
        crdt.value(one)


def adds(delta: crdt.State) -> bool:
    """Tell whether a delta has something that its replica alone may say; what is known, everyone may remove."""
    return bool(delta.get("store") or delta.get("counts") or delta.get("at"))


def damage(state: crdt.State, chance: random.Random) -> crdt.State:
    """Change one thing somewhere in a state."""
    garbage = [None, True, -1, 0, 1, 2, 7, 1.5, 2**53, "", "r2", "or_set", [], [1, 2], [[1, 1]], {}, {"r1": [1, 3]}]
    node: JSON = state
    depth = chance.randrange(8)
    while True:
        places = list(node) if type(node) is dict else list(range(len(node)))
        if not places:
            return state
        place = chance.choice(places)
        if depth and type(node[place]) in (dict, list) and node[place]:
            node, depth = node[place], depth - 1
            continue
        match chance.randrange(4):
            case 0:
                del node[place]
            case 1 if type(node) is list:
                node.append(node[place])
            case 1:
                node[chance.choice(["r1", "r2", "r 3", "a", "$crdt"])] = node[place]
            case _:
                node[place] = chance.choice(garbage)
        return state


def meaning(play: Play, known: int) -> JSON:
    """Give the value that the operations of some steps have, from the steps alone."""
    steps = [(i, step.replica, step.known, step.operation) for i, step in enumerate(play.steps) if known >> i & 1]
    found = _meaning(play.kind, steps, [])
    return found[0] if found else crdt.value(crdt.empty(play.kind))


def _meaning(kind: str, steps: Sequence[Done], removals: Removals) -> list[JSON]:
    """Give the value in a list, or an empty list where nothing is left; removals are (step, what it knew)."""
    removals = [*removals, *((i, seen) for i, _, seen, what in steps if type(what) is Clear)]
    match kind:
        case "g_counter" | "pn_counter":
            return _counted(steps, removals)
        case "lww_register":
            return _last(steps, removals)
        case "mv_register":
            removals += [(i, seen) for i, _, seen, what in steps if type(what) is Replace]
            return _all([(i, what.value) for i, _, _, what in steps if type(what) is Replace], removals)
        case "g_set" | "or_set":
            found = []
            for i, _, _, what in steps:
                if type(what) is Add:
                    taken = [(j, seen) for j, _, seen, other in steps if _removes(other, what.element)]
                    found += [(i, what.element)] if not _is_gone(i, removals + taken) else []
            return _all(found, [])
    keys: dict[str, dict[str, list[Done]]] = {}
    for i, replica, seen, what in steps:
        if type(what) is Update:
            keys.setdefault(what.key, {}).setdefault(what.kind, []).append((i, replica, seen, what.operation))
    shown = {}
    for key in sorted(keys):
        gone = [(i, seen) for i, _, seen, what in steps if type(what) is Discard and what.key == key]
        for inner in crdt.KINDS_IN_ORDER:
            value = _meaning(inner, keys[key].get(inner, []), removals + gone)
            if value:
                shown[key] = value[0]
                break
    return [shown] if shown else []


def _removes(what: crdt.Operation, element: JSON) -> bool:
    return type(what) is Remove and dumps(what.element) == dumps(element)


def _is_gone(i: int, removals: Removals, known: int = -1) -> bool:
    """Tell whether a removal, of those known, had seen a step."""
    return any(seen >> i & 1 and known >> j & 1 for j, seen in removals)


def _all(found: list[tuple[int, JSON]], removals: Removals) -> list[JSON]:
    by_text = {dumps(value): value for i, value in found if not _is_gone(i, removals)}
    ordered = sorted(by_text, key=lambda text: (order_key(by_text[text]), text))
    return [[by_text[text] for text in ordered]] if ordered else []


def _last(steps: Sequence[Done], removals: Removals) -> list[JSON]:
    """The largest write that is not removed; one that was not larger than all that it saw has no effect."""
    writes: list[tuple[int, int, tuple[str, ...]]] = []

    def visible(known: int) -> list[tuple[str, ...]]:
        kept = [write for write in writes if known >> write[0] & 1 and not _is_gone(write[0], removals, known)]
        return [write[2] for write in kept if not any(other[1] >> write[0] & 1 for other in kept)]

    for i, replica, seen, what in steps:
        rank = (what.at, replica, dumps(what.value))
        if rank > max(visible(seen), default=("",)):
            writes.append((i, seen, rank))
    left = visible(-1)
    return [loads(max(left)[2])] if left else []


def _counted(steps: Sequence[Done], removals: Removals) -> list[JSON]:
    """Each replica's last sum, if it is not removed: its increments since the last removal that it knew of."""
    sums: dict[str, tuple[int, int]] = {}
    for i, replica, seen, what in steps:
        if what.amount:
            before, so_far = sums.get(replica, (i, 0))
            sums[replica] = (i, what.amount + (0 if _is_gone(before, removals, seen) else so_far))
    left = [so_far for i, so_far in sums.values() if not _is_gone(i, removals)]
    return [sum(left)] if left else []
