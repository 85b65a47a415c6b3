"""How a log of transactions and sorted segments of records are written as texts.

A text is lines: the first names spaces and keys as JSON, each further line is the JSON text of one record, an empty
one a record that was deleted. JSON texts hold no raw line break, so nothing needs to be escaped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..core.ports import Key
from ..values import JSON, dumps, loads
from .table import Table, Writes

SEGMENT_CHARS: Final = 96 * 1024
INLINE_CHARS: Final = 8 * 1024
"""A space that is smaller than this lies in the manifest itself."""


def encode_writes(writes: Writes) -> str:
    """Give the text of a log record."""
    head = [[space, list(written)] for space, written in writes.items()]
    texts = [text or "" for written in writes.values() for text in written.values()]
    return "\n".join([dumps(head), *texts])


def decode_writes(record: str) -> Writes:
    """Read a log record, or a segment."""
    head, *texts = record.split("\n")
    writes: Writes = {}
    start = 0
    for space, keys in loads(head):
        end = start + len(keys)
        values = [text or None for text in texts[start:end]]
        writes[space] = dict(zip(map(tuple, keys), values, strict=True))
        start = end
    return writes


@dataclass(frozen=True, slots=True)
class Segment:
    """A sorted run of a space's records, from ``first`` up to the next segment's first key."""

    id: int
    space: str
    first: Key
    chars: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which segments make up the table, and the log record up to which they do.

    ``inline`` holds small spaces as a segment's text; ``next_id`` is the number of the next new segment.
    """

    generation: int = 0
    folded: int = 0
    next_id: int = 1
    segments: tuple[Segment, ...] = ()
    inline: str = "[]"

    def text(self) -> str:
        """Give the text that stores the manifest."""
        rows = [[s.id, s.space, list(s.first), s.chars] for s in self.segments]
        return dumps([self.generation, self.folded, self.next_id, rows, self.inline])

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Read what :meth:`text` gave."""
        generation, folded, next_id, rows, inline = loads(text)
        segments = tuple(Segment(i, space, tuple(first), chars) for i, space, first, chars in rows)
        return cls(generation, folded, next_id, segments, inline)

    @property
    def chars(self) -> int:
        """How many characters the segments have together."""
        return sum(segment.chars for segment in self.segments)

    def of_space(self, space: str) -> list[Segment]:
        """Give the segments of a space in the order of their keys."""
        return [segment for segment in self.segments if segment.space == space]

    def holding(self, space: str, key: Key) -> Segment | None:
        """Give the segment in which a key would lie."""
        segments = self.of_space(space)
        index = bisect_right(segments, key, key=lambda segment: segment.first)
        return segments[max(0, index - 1)] if segments else None


@dataclass(frozen=True, slots=True)
class Fold:
    """What folding does: texts of new segments by id, ids of old ones that go, and the manifest after it."""

    manifest: Manifest
    new: dict[int, str] = field(default_factory=dict)
    gone: tuple[int, ...] = ()


def plan_fold(manifest: Manifest, table: Table, dirty: dict[str, set[Key]], folded: int) -> Fold:
    """Plan to fold the log up to record ``folded`` into segments; those without a dirty key stay as they are."""
    kept: list[Segment] = []
    new: dict[int, str] = {}
    gone: list[int] = []
    inline: list[tuple[str, list[tuple[Key, str]]]] = []
    next_id = manifest.next_id
    for space in sorted(table):
        before = manifest.of_space(space)
        rows = table[space].scan((), None, None, False)
        if sum(len(text) for _, text in rows) < INLINE_CHARS:
            inline.append((space, rows))
            gone += [segment.id for segment in before]
            continue
        touched = {segment.id for segment in _touched(before, dirty.get(space, set()))}
        for segment, part in _parts(before, rows):
            if segment is not None and segment.id not in touched:
                kept.append(segment)
                continue
            if segment is not None:
                gone.append(segment.id)
            for run in _runs(part):
                new[next_id] = text = _segment_text([(space, run)])
                kept.append(Segment(next_id, space, run[0][0], len(text)))
                next_id += 1
    made = Manifest(manifest.generation + 1, folded, next_id, tuple(kept), _segment_text(inline))
    return Fold(made, new, tuple(gone))


def _touched(segments: Sequence[Segment], dirty: set[Key]) -> Iterator[Segment]:
    firsts = [segment.first for segment in segments]
    for key in dirty:
        if segments:
            yield segments[max(0, bisect_right(firsts, key) - 1)]


def _parts(
    segments: Sequence[Segment], rows: list[tuple[Key, str]]
) -> Iterator[tuple[Segment | None, list[tuple[Key, str]]]]:
    """Split a space's records by the segments that they belong to."""
    if not segments:
        yield None, rows
        return
    keys = [key for key, _ in rows]
    starts = [0, *(bisect_left(keys, segment.first) for segment in segments[1:]), len(rows)]
    for segment, start, end in zip(segments, starts, starts[1:], strict=False):
        yield segment, rows[start:end]


def _runs(rows: list[tuple[Key, str]]) -> Iterator[list[tuple[Key, str]]]:
    """Cut records into runs of about a segment's size."""
    run: list[tuple[Key, str]] = []
    size = 0
    for key, text in rows:
        run.append((key, text))
        size += len(text)
        if size >= SEGMENT_CHARS:
            yield run
            run, size = [], 0
    if run:
        yield run


def _segment_text(spaces: Iterable[tuple[str, list[tuple[Key, str]]]]) -> str:
    head: list[JSON] = []
    texts: list[str] = []
    for space, rows in spaces:
        head.append([space, [key for key, _ in rows]])
        texts += [text for _, text in rows]
    return "\n".join([dumps(head), *texts])
