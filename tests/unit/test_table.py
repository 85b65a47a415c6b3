"""A table answers as a sorted dict would, whatever lies over it or is still on disk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.storage.step import run
from pysync_web.storage.table import Cold, Segment, Space, Table, TableReader, TableWriter, touched_by

keys = st.tuples(st.sampled_from("ab"), st.integers(0, 12))
writes = st.dictionaries(keys, st.sampled_from(["x", "y", None]), max_size=10)
scans = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from([(), ("a",), ("b",), ("a", 3), ("c",)]),
        "after": st.none() | keys,
        "limit": st.none() | st.integers(0, 6),
        "reverse": st.booleans(),
    }
)


def expected(model, prefix, after, limit, reverse):
    """Scan a dict the plain way."""
    rows = sorted(model.items(), reverse=reverse)
    rows = [row for row in rows if row[0][: len(prefix)] == prefix]
    if after is not None:
        rows = [row for row in rows if (row[0] < after if reverse else row[0] > after)]
    return rows[:limit]


def applied(model, *changes):
    """Give a dict with writes applied."""
    merged = dict(model)
    for change in changes:
        merged |= change
    return {key: text for key, text in merged.items() if text is not None}


@given(st.lists(writes, max_size=6), writes, writes, scans)
def test_a_scan_sees_the_table_and_what_was_written_over_it(history, earlier, own, scan):
    table, model = Table(), {}
    for change in history:
        table.apply({"s": change})
        model = applied(model, change)
        reader = TableReader(table)
        assert run(reader.scan("s", **scan)) == expected(model, **scan)
    writer = TableWriter(table, {"s": earlier})
    for key, text in own.items():
        writer.put("s", key, text) if text is not None else writer.delete("s", key)
    model = applied(model, earlier, own)
    assert run(writer.scan("s", **scan)) == expected(model, **scan)
    asked = [(space, n) for space in "ab" for n in range(13)]
    assert run(writer.get_many("s", asked)) == [model.get(key) for key in asked]
    assert [run(writer.get("s", key)) for key in asked] == [model.get(key) for key in asked]


@given(st.dictionaries(keys, st.just("old"), min_size=1), st.lists(st.integers(1, 5)), writes, scans, keys)
def test_what_is_on_disk_is_asked_for_and_then_found(stored, sizes, written, scan, wanted):
    rest, segments = sorted(stored.items()), {}
    for size in [*sizes, len(rest)]:
        part, rest = rest[:size], rest[size:]
        if part:
            number = len(segments) + 1
            segment = Segment(number, "s", part[0][0], part[-1][0], len(part), 1)
            segments[number] = segment, dict(part)
    table = Table()
    table["s"].cold = [segment for segment, _ in segments.values()]
    table.apply({"s": written})
    model = applied(stored, written)

    def answer(ask):
        for _ in range(len(segments) + 1):
            try:
                return run(ask())
            except Cold as cold:
                assert cold.segments
                for segment in cold.segments:
                    table["s"].warm(segment, dict(segments[segment.id][1]))
        raise AssertionError("it asks for what it was given")

    reader, writer = TableReader(table), TableWriter(table, {"s": written})
    assert answer(lambda: reader.get("s", wanted)) == model.get(wanted)
    assert answer(lambda: writer.get("s", wanted)) == model.get(wanted)
    assert answer(lambda: reader.get_many("s", [wanted, ("a", 5)])) == [model.get(wanted), model.get(("a", 5))]
    assert answer(lambda: writer.scan("s", **scan)) == expected(model, **scan)
    assert answer(lambda: reader.scan("s", **scan)) == expected(model, **scan)
    assert answer(lambda: reader.scan("s")) == expected(model, (), None, None, False)
    assert table.cold() == []


def test_a_get_asks_for_one_segment_only():
    space = Space()
    space.cold = [Segment(n, "s", (n * 10,), (n * 10 + 5,), 2, 1) for n in range(5)]
    for key, wanted in (((20,), [2]), ((23,), [2]), ((25,), [2]), ((26,), []), ((99,), []), ((-1,), [])):
        try:
            space.need([key])
        except Cold as cold:
            assert [segment.id for segment in cold.segments] == wanted
        else:
            assert wanted == []


def test_a_limited_scan_asks_for_no_more_than_it_needs():
    space = Space()
    space.cold = [Segment(n, "s", (n * 10,), (n * 10 + 9,), 10, 1) for n in range(5)]
    for limit, reverse, wanted in (
        (5, False, [0]),
        (15, False, [0, 1]),
        (5, True, [4]),
        (None, False, [0, 1, 2, 3, 4]),
    ):
        try:
            space.scan((), None, limit, reverse)
        except Cold as cold:
            assert [segment.id for segment in cold.segments] == wanted


def test_a_second_warming_changes_nothing():
    space = Space()
    segment = Segment(1, "s", (1,), (2,), 2, 1)
    space.cold = [segment]
    space.warm(segment, {(1,): "old", (2,): "old"})
    space.apply({(1,): "new", (2,): None})
    space.warm(segment, {(1,): "old", (2,): "old"})
    assert space.texts == {(1,): "new"}


def test_what_was_touched_is_listed_up_to_a_limit():
    assert touched_by({"s": {("a",): "1", ("b",): None}}) == [("s", ("a",)), ("s", ("b",))]
    assert touched_by({"s": {(n,): "1" for n in range(5000)}}) is None
