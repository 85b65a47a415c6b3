"""CRDT values: what each kind does, what stays small, and what is refused from outside."""

from __future__ import annotations

import pytest

from pysync_web import crdt
from pysync_web.causality import timestamp
from pysync_web.crdt import Add, Assign, Clear, Discard, Increment, Remove, Replace, Update
from pysync_web.errors import InvalidDocument, SchemaError
from pysync_web.values import MAX_INTEGER, canonical, dumps, loads

EARLY, LATE = timestamp(1_700_000_000_000), timestamp(1_700_000_000_000, 1)


def after(state, *done):
    """Give a state after operations, each a pair of a replica and what it did."""
    for replica, what in done:
        state = crdt.merge(state, crdt.change(state, what, replica))
    return crdt.check(state)


def new(kind, *done):
    """Give a new state after operations."""
    return after(crdt.empty(kind), *done)


def apart(base, *sides):
    """Give what comes of operations that replicas did to one state at the same time."""
    return crdt.merge_all([after(base, *side) for side in sides])


def test_a_counter_adds_up_what_replicas_count_at_the_same_time():
    base = new("pn_counter", ("r1", Increment(5)))
    assert crdt.value(apart(base, [("r1", Increment(-2))], [("r2", Increment(10))])) == 13
    assert crdt.value(apart(new("g_counter"), [("r1", Increment())], [("r2", Increment(2))])) == 3


def test_of_two_writes_the_later_stands_and_of_two_at_once_the_larger_replica():
    base = new("lww_register", ("r1", Assign("old", EARLY)))
    assert crdt.value(apart(base, [("r1", Assign("b", LATE))], [("r2", Assign("c", EARLY))])) == "b"
    assert crdt.value(apart(base, [("r1", Assign("b", LATE))], [("r2", Assign("c", LATE))])) == "c"
    assert crdt.change(after(base, ("r1", Assign(1, LATE))), Assign(2, EARLY), "r2") == crdt.empty("lww_register")


def test_a_register_keeps_all_values_of_one_moment_until_someone_decides():
    both = apart(new("mv_register", ("r1", Replace(0))), [("r1", Replace("x"))], [("r2", Replace(7))])
    assert crdt.value(both) == [7, "x"]
    assert crdt.value(after(both, ("r3", Replace("both")))) == ["both"]


def test_an_addition_wins_over_a_removal_at_the_same_time():
    base = new("or_set", ("r1", Add("x")), ("r1", Add("y")))
    assert crdt.value(apart(base, [("r1", Add("x"))], [("r2", Remove("x"))], [("r3", Clear())])) == ["x"]


def test_elements_are_told_apart_by_their_text_and_listed_in_order():
    elements = [{"b": 1}, "b", [2], 1.0, None, True, "a", 1, False, 0.5]
    for kind in ("g_set", "or_set"):
        found = crdt.value(new(kind, *(("r1", Add(element)) for element in elements)))
        assert dumps(found) == dumps([None, False, True, 0.5, 1, 1.0, "a", "b", [2], {"b": 1}])


def test_a_key_that_is_updated_stays_when_another_replica_removes_it():
    tag = lambda name: Update("tags", "or_set", Add(name))  # noqa: E731
    base = new("or_map", ("r1", tag("old")), ("r1", Update("n", "pn_counter", Increment(3))))
    merged = apart(base, [("r1", tag("new"))], [("r2", Discard("tags")), ("r2", Discard("n"))])
    assert crdt.value(merged) == {"tags": ["new"]}


def test_an_increment_brings_back_its_own_replicas_sum_alone():
    count = Update("n", "pn_counter", Increment(10))
    base = new("or_map", ("r1", count), ("r2", count))
    merged = apart(base, [("r1", Update("n", "pn_counter", Increment(1)))], [("r3", Discard("n"))])
    assert crdt.value(merged) == {"n": 11}
    assert crdt.value(after(after(base, ("r3", Discard("n"))), ("r1", count))) == {"n": 10}


def test_maps_are_nested_and_what_is_empty_is_gone():
    put = Update("a", "or_map", Update("b", "or_map", Update("c", "lww_register", Assign([1], EARLY))))
    state = new("or_map", ("r1", put))
    assert crdt.value(state) == {"a": {"b": {"c": [1]}}}
    state = after(state, ("r2", Update("a", "or_map", Update("b", "or_map", Discard("c")))))
    assert crdt.value(state) == {} and state["store"] == {}


def test_a_key_of_two_kinds_keeps_both_and_shows_one():
    merged = apart(
        new("or_map"),
        [("r1", Update("a", "pn_counter", Increment(2)))],
        [("r2", Update("a", "or_set", Add(1)))],
    )
    assert crdt.value(merged) == {"a": [1]}
    assert crdt.value(after(merged, ("r1", Update("a", "or_set", Remove(1))))) == {"a": 2}
    assert crdt.value(after(merged, ("r1", Discard("a")))) == {}


def test_a_reader_owns_what_it_reads_and_a_writer_what_it_wrote():
    mine = {"x": [1]}
    for kind, what in (
        ("mv_register", Replace(mine)),
        ("or_set", Add(mine)),
        ("g_set", Add(mine)),
        ("lww_register", Assign(mine, EARLY)),
        ("or_map", Update("k", "lww_register", Assign(mine, EARLY))),
    ):
        state = new(kind, ("r1", what))
        before = dumps(state)
        mine["x"].append(2)
        read = crdt.value(state)
        inner = read["k"] if kind == "or_map" else read[0] if type(read) is list else read
        inner["x"].append(3)
        assert dumps(state) == before
        mine["x"].pop()


def test_timestamps_can_be_found_and_moved():
    both = new(
        "or_map",
        ("r1", Update("a", "lww_register", Assign(1, EARLY))),
        ("r1", Update("m", "or_map", Update("b", "lww_register", Assign(2, LATE)))),
    )
    later = timestamp(1_800_000_000_000)
    assert crdt.latest(both) == LATE
    assert crdt.latest(crdt.restamped(both, later, EARLY)) == later
    assert dumps(crdt.restamped(both, later, EARLY)).count(EARLY) == 1
    assert dumps(crdt.restamped(both, later)).count(later) == 2
    assert crdt.latest(crdt.restamped(new("lww_register", ("r1", Assign(1, LATE))), EARLY)) == EARLY
    for kind in crdt.KINDS_IN_ORDER:
        assert crdt.latest(crdt.empty(kind)) == ""
        assert crdt.restamped(crdt.empty(kind), later) == crdt.empty(kind)


def test_a_set_does_not_grow_with_what_was_added_and_removed():
    state = crdt.empty("or_set")
    rounds = 10_000
    for n in range(rounds):
        replica = f"r{n % 3}"
        state = crdt.merge(state, crdt.change(state, Add(n % 7), replica))
        state = crdt.merge(state, crdt.change(state, Remove(n % 7), replica))
    assert state["store"] == {} and len(dumps(state)) < 120
    assert sum(ranges[1] for ranges in state["context"].values()) == rounds
    for _ in range(100):
        state = crdt.merge(state, crdt.change(state, Add("again and again"), "r0"))
    assert sum(map(len, state["store"].values())) == 1


def test_what_comes_early_costs_only_until_the_gap_is_filled():
    state, deltas = crdt.empty("or_set"), []
    for n in range(200):
        deltas.append(crdt.change(state, Add(0) if n % 2 else Add(n), "r1"))
        state = crdt.merge(state, deltas[-1])
    odd = crdt.merge_all([crdt.empty("or_set"), *deltas[1::2], *deltas[1::2]])
    assert len(odd["context"]["r1"]) == 200
    assert crdt.merge(odd, loads(dumps(odd))) is odd
    assert crdt.merge_all([odd, *reversed(deltas[::2])]) == state
    assert state["context"] == {"r1": [1, 200]}
    assert crdt.change(odd, Add("next"), "r1")["store"] == {"r1": [[201, "next"]]}


def test_many_gaps_in_what_was_seen_do_not_make_merging_slow():
    """A replica that leaves gaps between its dots costs others a look at each dot, not at each gap for each key."""
    store = {f"k{n}": {"or_set": {"r1": [[6 * n + 1, 0], [6 * n + 4, 1]]}} for n in range(1000)}
    base = {"$crdt": "or_map", "context": {"r1": [1, 9000]}, "store": store}
    gaps = [n for first in range(1, 30_000, 3) for n in (first, first)]
    hostile = crdt.check({"$crdt": "or_map", "context": {"r1": gaps}, "store": {}})
    looked = 0

    class Counted(list):
        def __getitem__(self, at):
            nonlocal looked
            looked += 1
            return super().__getitem__(at)

    hostile["context"]["r1"] = Counted(gaps)
    assert crdt.value(crdt.merge(crdt.check(base), hostile)) == {}
    assert looked < 100_000


def test_a_hundred_replicas_count_to_a_million_in_less_than_10_kib():
    replicas = [f"{n:032x}" for n in range(100)]
    state = crdt.empty("pn_counter")
    for n in range(20_000):
        state = crdt.merge(state, crdt.change(state, Increment(50 if n % 3 else -50), replicas[n % 100]))
    assert len(dumps(state)) < 10 * 1024
    largest = {"$crdt": "pn_counter", "counts": {replica: [1_000_000, 1_000_000] for replica in replicas}}
    assert len(dumps(crdt.check(largest))) < 10 * 1024


def test_a_million_steps_leave_small_contexts_wherever_they_are():
    states = {
        "or_set": [Add("x"), Remove("x")],
        "mv_register": [Replace(1)],
        "or_map": [Update("k", "pn_counter", Increment()), Update("k", "or_set", Add(1)), Discard("k")],
    }
    for kind, done in states.items():
        state = {**crdt.empty(kind), "context": {"r1": [1, 1_000_000]}}
        for what in done:
            if kind == "or_map" and type(what) is Update and what.kind == "or_set":
                continue
            state = after(state, ("r1", what))
        assert len(dumps(state)) < 120


def test_maps_within_maps_end_at_a_depth_that_a_document_holds():
    def nested(depth):
        what = Update("k", "or_set", Add([[[[1]]]]))
        for _ in range(depth - 1):
            what = Update("k", "or_map", what)
        return what

    state = new("or_map", ("r1", nested(crdt.MAX_NESTING)))
    canonical({"field": state})
    with pytest.raises(InvalidDocument, match="maps nested deeper than 24 levels"):
        crdt.change(crdt.empty("or_map"), nested(crdt.MAX_NESTING + 1), "r1")
    deeper = {"$crdt": "or_map", "context": state["context"], "store": {"k": {"or_map": state["store"]}}}
    with pytest.raises(SchemaError, match="maps nested deeper than 24 levels") as caught:
        crdt.check(deeper)
    assert caught.value.code == "too_deep"


@pytest.mark.parametrize(
    ("kind", "what", "problem"),
    [
        ("g_counter", Increment(-1), "only grows"),
        ("g_counter", Increment(True), "an amount is an integer"),
        ("pn_counter", Increment(1.5), "an amount is an integer"),
        ("pn_counter", Increment(2**53), "an amount is an integer"),
        ("pn_counter", Add(1), "pn_counter has no operation Add"),
        ("lww_register", Replace(1), "lww_register has no operation Replace"),
        ("lww_register", Assign(1, "yesterday"), "at: 'yesterday'"),
        ("lww_register", Assign(1, "2024-01-01T00:00:00Z"), "not written as a hybrid timestamp"),
        ("lww_register", Assign(float("nan"), EARLY), "nan is not JSON"),
        ("mv_register", Increment(), "mv_register has no operation Increment"),
        ("mv_register", Replace({1: 2}), "name is a str"),
        ("g_set", Remove(1), "g_set has no operation Remove"),
        ("g_set", Add({1}), "set is not JSON"),
        ("or_set", Replace(1), "or_set has no operation Replace"),
        ("or_set", Add(2**53), "an integer outside"),
        ("or_map", Add(1), "or_map has no operation Add"),
        ("or_map", Update("a", "tree", Add(1)), "'tree' is none of the kinds"),
        ("or_map", Update("a\0", "or_set", Add(1)), "NUL"),
        ("or_map", Update("a" * 257, "or_set", Add(1)), "over the limit of 256 bytes"),
        ("or_map", Update("a", "or_set", Increment()), "or_set has no operation Increment"),
        ("or_map", Update("a", "g_set", Increment()), "g_set has no operation Increment"),
        ("or_map", Update("a", "lww_register", Add(1)), "lww_register has no operation Add"),
        ("or_map", Update("a", "g_counter", Increment(-1)), "only grows"),
    ],
)
def test_what_can_not_be_done_is_said(kind, what, problem):
    with pytest.raises(InvalidDocument, match=problem):
        crdt.change(crdt.empty(kind), what, "r1")


def test_limits_are_kept_by_those_who_write():
    full = new("pn_counter", ("r1", Increment(MAX_INTEGER)))
    with pytest.raises(InvalidDocument, match="past 2"):
        crdt.change(full, Increment(1), "r1")
    with pytest.raises(InvalidDocument, match="outside"):
        crdt.change(full, Increment(1), "r2")
    assert crdt.value(apart(full, [("r2", Increment(-5))], [("r3", Increment(-5))])) == MAX_INTEGER - 10
    beyond = apart(crdt.empty("pn_counter"), *([(f"r{n}", Increment(MAX_INTEGER))] for n in range(2)))
    assert crdt.value(after(beyond, ("r3", Increment(-1)))) == 2 * MAX_INTEGER - 1
    many = {f"r{n}": 1 for n in range(1000)}
    with pytest.raises(InvalidDocument, match="1000 replicas already"):
        crdt.change({"$crdt": "g_counter", "counts": many}, Increment(1), "new")
    context = {replica: [1, 1] for replica in many}
    with pytest.raises(InvalidDocument, match="1000 replicas already"):
        crdt.change({"$crdt": "or_set", "context": context, "store": {}}, Add(1), "new")
    used_up = {"$crdt": "or_set", "context": {"r1": [1, MAX_INTEGER]}, "store": {}}
    with pytest.raises(InvalidDocument, match="take a new id"):
        crdt.change(used_up, Add(1), "r1")
    store = {f"k{n}": {"g_counter": {"r1": [[n + 1, 1]]}} for n in range(1024)}
    state = crdt.check({"$crdt": "or_map", "context": {"r1": [1, 1024]}, "store": store})
    with pytest.raises(InvalidDocument, match="1024 keys already"):
        crdt.change(state, Update("new", "g_counter", Increment()), "r1")
    for name in ("", "r 1", "r" * 129, "ü", 7):
        with pytest.raises(InvalidDocument, match="not a replica's id"):
            crdt.change(full, Increment(), name)
    with pytest.raises(InvalidDocument, match="'tree' is none of the kinds"):
        crdt.empty("tree")
    with pytest.raises(SchemaError, match="can't be merged"):
        crdt.merge(full, crdt.empty("or_set"))


def counter(counts):
    """Give a pn_counter's state."""
    return {"$crdt": "pn_counter", "counts": counts}


def oset(context, store):
    """Give an or_set's state."""
    return {"$crdt": "or_set", "context": context, "store": store}


def omap(store):
    """Give an or_map's state that has seen 9 dots of two replicas."""
    return {"$crdt": "or_map", "context": {"r1": [1, 9], "r2": [1, 9]}, "store": store}


def lww(**members):
    """Give an lww_register's state."""
    return {"$crdt": "lww_register", "at": EARLY, "by": "r1", "value": 1} | members


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (None, "state: an object with '$crdt' was due"),
        ([], "state: an object with '$crdt' was due"),
        ({"counts": {}}, "state: an object with '$crdt' was due"),
        ({"$crdt": "tree"}, "state.$crdt: 'tree' is no kind of CRDT"),
        ({"$crdt": ["or_set"]}, "state.$crdt: ['or_set'] is no kind of CRDT"),
        ({"$crdt": "g_counter"}, "state.counts: is missing"),
        ({"$crdt": "g_counter", "counts": {}, "more": 1}, "state.more: g_counter has no such member"),
        ({"$crdt": "g_counter", "counts": []}, "state.counts: an object was due"),
        (
            {"$crdt": "g_counter", "counts": {"r1": -1}},
            "state.counts.r1: an integer from 1 to 2^53-1 was due, not -1",
        ),
        (
            {"$crdt": "g_counter", "counts": {"r1": 0}},
            "state.counts.r1: an integer from 1 to 2^53-1 was due, not 0",
        ),
        ({"$crdt": "g_counter", "counts": {"r1": True}}, "state.counts.r1: an integer"),
        ({"$crdt": "g_counter", "counts": {"r1": 1.0}}, "state.counts.r1: an integer"),
        ({"$crdt": "g_counter", "counts": {"r1": [1, 0]}}, "state.counts.r1: an integer"),
        ({"$crdt": "g_counter", "counts": {"r1": 2**53}}, "state.counts.r1: an integer outside ±(2^53-1)"),
        ({"$crdt": "g_counter", "counts": {"r 1": 1}}, "state.counts: 'r 1' is not a replica's id"),
        ({"$crdt": "g_counter", "counts": {"": 1}}, "state.counts: '' is not a replica's id"),
        ({"$crdt": "g_counter", "counts": {1: 1}}, "state.counts[1]: a member's name is a str, not int"),
        ({"$crdt": "g_counter", "counts": {f"r{n}": 1 for n in range(1001)}}, "state.counts: 1001 replicas, over"),
        (counter({"r1": 1}), "state.counts.r1: a list was due"),
        (counter({"r1": [1]}), "state.counts.r1: what was added and what was taken away"),
        (counter({"r1": [1, -1]}), "state.counts.r1[1]: an integer from 0"),
        (counter({"r1": [False, 1]}), "state.counts.r1[0]: an integer from 0"),
        (counter({"r1": [0, 0]}), "state.counts.r1: a replica that has counted nothing"),
        (lww(at="2024"), "state.at: '2024' is not an ISO 8601"),
        (lww(at="9999-99-99T00:00:00.00000000Z"), "state.at: '9999-99-99"),
        (lww(at="2024-01-01T00:00:00.00099999Z"), "state.at: '2024-01-01T00:00:00.00099999Z' is not written"),
        (lww(at=7), "state.at: 7 is not an ISO 8601"),
        (lww(by=""), "state.by: '' is not a replica's id"),
        (lww(by=None), "state.by: None is not a replica's id"),
        (lww(value=float("inf")), "state.value: inf is not JSON"),
        ({"$crdt": "lww_register", "at": EARLY, "by": "r1"}, "state.value: is missing"),
        ({"$crdt": "lww_register", "value": 1}, "state.at: is missing"),
        (lww(store={}), "state.store: lww_register has no such member"),
        ({"$crdt": "g_set", "elements": {}}, "state.elements: a list was due"),
        ({"$crdt": "g_set", "elements": [2, 1]}, "state.elements[1]: elements stand in order and once each"),
        ({"$crdt": "g_set", "elements": [1, 1]}, "state.elements[1]: elements stand in order and once each"),
        ({"$crdt": "g_set", "elements": [2**60]}, "state.elements[0]: an integer outside"),
        ({"$crdt": "g_set", "elements": ["\ud800"]}, "state.elements[0]: a text with a lone surrogate"),
        ({"$crdt": "or_set", "context": {}}, "state.store: is missing"),
        ({"$crdt": "or_set", "store": {}}, "state.context: is missing"),
        (oset([], {}), "state.context: an object of replicas was due"),
        (oset({"r1": []}, {}), "state.context.r1: a list of pairs"),
        (oset({"r1": 5}, {}), "state.context.r1: a list of pairs"),
        (oset({"r1": [1]}, {}), "state.context.r1: a list of pairs"),
        (oset({"r1": [0, 1]}, {}), "state.context.r1[0]: an integer from 1"),
        (oset({"r1": [1, True]}, {}), "state.context.r1[1]: an integer from 1"),
        (oset({"r1": [2, 1]}, {}), "state.context.r1[0]: ranges rise"),
        (oset({"r1": [1, 2, 3, 4]}, {}), "state.context.r1[2]: ranges rise"),
        (oset({"r1": [5, 6, 1, 2]}, {}), "state.context.r1[2]: ranges rise"),
        (oset({"r 1": [1, 1]}, {}), "state.context: 'r 1' is not a replica's id"),
        (oset({f"r{n}": [1, 1] for n in range(1001)}, {}), "state.context: 1001 replicas, over the limit of 1000"),
        (oset({}, []), "state.store: an object of replicas was due"),
        (oset({}, {"r1": [[1, "x"]]}), "state.store.r1: the context does not contain dot 1 of 'r1'"),
        (oset({"r1": [2, 3]}, {"r1": [[1, "x"]]}), "state.store.r1: the context does not contain dot 1 of 'r1'"),
        (oset({"r1": [1, 3]}, {"r1": []}), "state.store.r1: a list of dots was due"),
        (oset({"r1": [1, 3]}, {"r1": {}}), "state.store.r1: a list of dots was due"),
        (oset({"r1": [1, 3]}, {"r1": [1]}), "state.store.r1[0]: a number and what it wrote were due"),
        (oset({"r1": [1, 3]}, {"r1": [[1]]}), "state.store.r1[0]: a number and what it wrote were due"),
        (oset({"r1": [1, 3]}, {"r1": [[-1, 0]]}), "state.store.r1[0][0]: an integer from 1"),
        (oset({"r1": [1, 3]}, {"r1": [[2, 0], [1, 0]]}), "state.store.r1[1][0]: numbers rise"),
        (oset({"r1": [1, 3]}, {"r1": [[2, 0], [2, 1]]}), "state.store.r1[1][0]: numbers rise"),
        (oset({"r1": [1, 3]}, {"r\n": [[1, 0]]}), "state.store: 'r\\n' is not a replica's id"),
        (omap([]), "state.store: an object was due"),
        (omap({"k": {}}), "state.store.k: a key without a value"),
        (omap({"k": []}), "state.store.k: an object was due"),
        (omap({"k": {"tree": {}}}), "state.store.k: 'tree' is no kind of value"),
        (omap({"k": {"or_set": {}}}), "state.store.k.or_set: an empty value has no entry"),
        (omap({"k": {"or_map": {"l": {}}}}), "state.store.k.or_map.l: a key without a value"),
        (omap({"k": {"g_counter": {"r1": [[1, -1]]}}}), "state.store.k.g_counter.r1[0][1]: an integer from 1"),
        (omap({"k": {"pn_counter": {"r1": [[1, 1]]}}}), "state.store.k.pn_counter.r1[0][1]: a list was due"),
        (omap({"k": {"pn_counter": {"r1": [[1, [0, 0]]]}}}), "a replica that has counted nothing"),
        (omap({"k": {"lww_register": {"r1": [[1, 5]]}}}), "state.store.k.lww_register.r1[0][1]: a list was due"),
        (omap({"k": {"lww_register": {"r1": [[1, ["", 5, 6]]]}}}), "a timestamp and a value were due"),
        (omap({"k": {"lww_register": {"r1": [[1, ["", 5]]]}}}), "r1[0][1][0]: '' is not an ISO 8601"),
        (omap({"k": {"g_set": {"r3": [[1, 5]]}}}), "state.store.k.g_set.r3: the context does not contain dot 1"),
        (
            omap({"k": {"g_set": {"r1": [[1, 5]]}}, "l": {"or_set": {"r1": [[1, 5]]}}}),
            "state.store.l.or_set.r1: dot 1 of 'r1' stands twice",
        ),
        (omap({f"k{n}": {"g_set": {"r1": [[1, 5]]}} for n in range(1025)}), "state.store: 1025 members, over"),
    ],
)
def test_garbage_is_refused_with_its_place(state, problem):
    with pytest.raises(SchemaError) as caught:
        crdt.check(state)
    assert str(caught.value).startswith(problem) or problem in str(caught.value)
    assert caught.value.place.startswith("state")


def test_values_nested_too_deep_and_states_too_large_are_refused():
    deep = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(SchemaError, match="nested deeper than 64 levels"):
        crdt.check({"$crdt": "g_set", "elements": [deep]})
    with pytest.raises(SchemaError, match="over the limit of"):
        crdt.check({"$crdt": "g_set", "elements": ["x" * 60_000 + str(n) for n in range(5)]})


KNOWN = {
    "pn_counter": counter({"r1": [5, 0], "r2": [1, 0]}),
    "lww_register": lww(by="r2"),
    "or_set": oset({"r1": [1, 3], "r2": [1, 2]}, {"r1": [[2, "x"]], "r2": [[1, "y"]]}),
    "or_map": omap({"k": {"pn_counter": {"r1": [[4, [5, 0]]], "r2": [[2, [1, 0]]]}}}),
}


@pytest.mark.parametrize(
    ("delta", "code"),
    [
        (counter({"r2": [2, 0]}), "not_own"),
        (counter({"r3": [1, 0]}), "not_own"),
        (counter({"r1": [6, 0], "r2": [1, 1]}), "not_own"),
        (lww(by="r2", at=LATE), "not_own"),
        (lww(by="r2", value=2), "not_own"),
        (oset({"r2": [3, 3]}, {"r2": [[3, "z"]]}), "not_own"),
        (oset({"r2": [1, MAX_INTEGER]}, {}), "not_own"),
        (oset({"r3": [1, 1]}, {}), "not_own"),
        (oset({"r2": [1, 1]}, {"r2": [[1, "other"]]}), "dot_reused"),
        (oset({"r1": [2, 2]}, {"r1": [[2, "other"]]}), "dot_reused"),
        (oset({"r1": [2, 2]}, {"r1": [[2, ["x"]]]}), "dot_reused"),
        (omap({"k": {"pn_counter": {"r1": [[4, [9, 0]]]}}}), "dot_reused"),
        (omap({"k": {"pn_counter": {"r2": [[2, [1, 1]]]}}}), "dot_reused"),
    ],
)
def test_a_replica_may_not_speak_for_others_nor_say_two_things(delta, code):
    crdt.check(delta)
    with pytest.raises(SchemaError) as caught:
        crdt.check_delta(delta, "r1", KNOWN[delta["$crdt"]])
    assert caught.value.code == code


@pytest.mark.parametrize(
    "delta",
    [
        counter({"r1": [6, 2], "r2": [1, 0]}),
        counter({"r2": [1, 0]}),
        lww(by="r2"),
        lww(by="r1", at=LATE),
        oset({"r1": [4, 4], "r2": [1, 1]}, {"r1": [[4, "y"]]}),
        oset({"r1": [9, 9]}, {"r1": [[9, "early"]]}),
        oset({"r2": [1, 2]}, {"r2": [[1, "y"]]}),
        oset({"r2": [2, 2]}, {"r2": [[2, "was removed"]]}),
        oset({"r1": [2, 2], "r2": [1, 2]}, {}),
    ],
)
def test_a_replica_may_say_of_others_what_is_known(delta):
    known = KNOWN[delta["$crdt"]]
    assert crdt.check_delta(delta, "r1", known) == delta
    crdt.check(crdt.merge(known, delta))


def test_a_delta_has_a_sender_and_the_kind_that_is_there():
    with pytest.raises(SchemaError, match="delta: '' is not a replica's id"):
        crdt.check_delta(counter({}), "")
    with pytest.raises(SchemaError, match="is a or_set here, not a pn_counter"):
        crdt.check_delta(counter({}), "r1", crdt.empty("or_set"))
    with pytest.raises(SchemaError, match=r"changes\[2\].counts: an object was due"):
        crdt.check_delta(counter([]), "r1", place="changes[2]")
    with pytest.raises(SchemaError) as caught:
        crdt.check_delta(counter({"r2": [1, 0]}), "r1")
    assert caught.value.code == "not_own"


def test_a_replica_that_tells_two_stories_does_not_keep_others_from_agreeing():
    one = oset({"r1": [1, 2]}, {"r1": [[1, 1], [2, "a"]]})
    two = oset({"r1": [1, 2]}, {"r1": [[1, 1.0], [2, "b"]]})
    three = oset({"r1": [1, 2]}, {"r1": [[1, True]]})
    merged = {
        dumps(crdt.merge(crdt.merge(a, b), c))
        for a, b, c in ((one, two, three), (three, two, one), (two, one, three), (three, one, two))
    }
    assert len(merged) == 1
