"""What IndexedDB's log and segments hold comes back as it was, folded or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysync_web.errors import CorruptData, InvalidDocument
from pysync_web.storage import segments
from pysync_web.storage.formats import records_of_format_2
from pysync_web.storage.segments import (
    Manifest,
    decode_segment,
    decode_writes,
    encode_segment,
    encode_writes,
    fold,
    join_writes,
    label,
    unlabel,
)
from pysync_web.storage.table import Table
from tests.unit.test_keys import keys_of_one_space

json_texts = st.sampled_from(['""', "1", '"é\U0001f600"', '{"a":[1,2]}', "x" * 300])


@st.composite
def written(draw):
    """Draw what a transaction wrote to one space."""
    texts = json_texts | st.none()
    return {key: draw(texts) for key in draw(keys_of_one_space())}


all_writes = st.dictionaries(st.sampled_from(["docs", "meta", "ä b", ""]), written(), max_size=3)


def table_of(*steps):
    """Apply steps to an empty table."""
    table = Table()
    for writes in steps:
        table.apply(writes)
    return contents(table)


def contents(table):
    """Give what is in a table."""
    return {name: dict(space.texts) for name, space in table.items() if space.texts}


@given(st.lists(all_writes, max_size=3))
def test_writes_come_back_in_their_order(several):
    record = label("me", join_writes(map(encode_writes, several)))
    source, text = unlabel(record)
    assert source == "me"
    assert table_of(*({space: writes} for space, writes in decode_writes(text))) == table_of(*several)


@given(keys_of_one_space(), json_texts)
def test_a_segment_comes_back(keys, text):
    texts = dict.fromkeys(keys, text)
    assert decode_segment(encode_segment(texts, texts.values())) == texts


@pytest.mark.parametrize("text", ["", "a\x1eb", "a\x1db", 7, None])
def test_a_text_that_would_break_the_record_is_refused(text):
    with pytest.raises(InvalidDocument):
        encode_segment([("a",), ("b",)], [text, "1"])


def test_a_space_with_a_control_character_is_refused():
    with pytest.raises(InvalidDocument, match="control"):
        encode_writes({"a\x1d": {("a",): "1"}})


@pytest.mark.parametrize(
    "text", ["x", "s\x1dt1a", "s\x1dt1a\x1d1\x1e2\x1d", "s\x1dj0{\x1d1\x1d", "s\x1dt2a\x1d1\x1d"]
)
def test_a_damaged_record_is_told(text):
    with pytest.raises(CorruptData):
        list(decode_writes(text))
    with pytest.raises(CorruptData):
        decode_segment(text.partition("\x1d")[2] or "x")


@pytest.mark.parametrize("text", ["", "{}", "[1,2]", '["a",0,0,1,[[1]],""]'])
def test_a_damaged_manifest_is_told(text):
    with pytest.raises(CorruptData):
        Manifest.from_text(text)


class Disk:
    """Segments and a manifest, as the database would hold them."""

    def __init__(self):
        self.manifest = Manifest("identity")
        self.texts = {}

    def load(self):
        """Build the table from what is on disk."""
        self.manifest = Manifest.from_text(self.manifest.text())
        table = self.manifest.table()
        for segment in self.manifest.segments:
            texts = decode_segment(self.texts[segment.id])
            assert list(texts) == sorted(texts) and (segment.first, segment.last) == (min(texts), max(texts))
            table[segment.space].warm(segment, texts)
        assert table.cold() == []
        return table

    def fold(self, table, log, folded, meanwhile=()):
        """Fold a log into it, while some more is written; give what the fold did."""
        touched = {}
        for writes in log:
            for space, some in writes.items():
                touched.setdefault(space, set()).update(some)
        late = iter(meanwhile)
        for unfinished in fold(self.manifest, table, touched):
            result = unfinished
            for writes in late:
                table.apply(writes)
                break
        self.manifest = result.manifest(self.manifest, folded)
        self.texts |= result.new
        for number in result.gone:
            del self.texts[number]
        assert set(self.texts) == {segment.id for segment in self.manifest.segments}
        return result


def some_writes(space="docs"):
    """Draw writes to one space of pairs."""
    keys = st.tuples(st.sampled_from("ab"), st.integers(0, 60))
    return st.dictionaries(keys, st.sampled_from(["1", "x" * 50]) | st.none(), max_size=40).map(
        lambda writes: {space: writes}
    )


@given(
    st.lists(st.lists(some_writes() | some_writes("meta"), max_size=3), max_size=5),
    st.lists(some_writes(), max_size=3),
)
def test_folding_loses_and_invents_nothing(rounds, late):
    disk, table = Disk(), Table()
    with pytest.MonkeyPatch.context() as small:
        small.setattr(segments, "SEGMENT_CHARS", 300)
        small.setattr(segments, "INLINE_CHARS", 200)
        for number, log in enumerate(rounds):
            for writes in log:
                table.apply(writes)
            disk.fold(table, log, number)
            assert contents(disk.load()) == contents(table)
        disk.fold(table, [], 99, meanwhile=late)
        reopened = disk.load()
        for writes in late:
            table.apply(writes)
            reopened.apply(writes)
        assert contents(reopened) == contents(table)


def test_folding_writes_only_what_was_touched():
    disk, table = Disk(), Table()
    many = {"docs": {("d", n): "x" * 1000 for n in range(1000)}}
    table.apply(many)
    disk.fold(table, [many], 1)
    assert len(disk.texts) > 10
    one = {"docs": {("d", 500): "changed"}}
    table.apply(one)
    result = disk.fold(table, [one], 2)
    assert len(result.new) == len(result.gone) == 1
    assert contents(disk.load()) == contents(table)
    assert disk.fold(table, [], 3).new == {}


def test_small_spaces_lie_in_the_manifest_until_they_grow():
    disk, table = Disk(), Table()
    steps = [{"meta": {("a",): "1"}}, {"meta": {(f"k{n}",): "x" * 100 for n in range(100)}}]
    steps.append({"meta": {(f"k{n}",): None for n in range(99)}})
    inline = []
    for number, writes in enumerate(steps):
        table.apply(writes)
        disk.fold(table, [writes], number)
        inline.append(not disk.texts)
        assert contents(disk.load()) == contents(table)
    assert inline == [True, False, True]


def test_everything_in_format_2_is_found_again():
    fixture = json.loads((Path(__file__).parents[1] / "conformance" / "indexeddb_format_2.json").read_text())
    stores = {name: dict(rows) for name, rows in fixture["stores"].items()}
    text = records_of_format_2(
        stores["meta"]["manifest"], list(stores["segments"].values()), list(stores["log"].values())
    )
    found = table_of(*({space: writes} for space, writes in decode_writes(unlabel(text)[1])))
    assert found == {space: {tuple(key): text for key, text in rows} for space, rows in fixture["holds"].items()}


def test_a_damaged_format_2_is_told():
    with pytest.raises(CorruptData, match="format 2"):
        records_of_format_2("[", [], [])
