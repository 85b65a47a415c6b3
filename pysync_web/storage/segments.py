"""How IndexedDB's log of transactions, and the sorted segments that it is folded into, are written as texts.

One text crosses to JavaScript in one piece, and IndexedDB's cost is per record. JSON texts hold no control
characters, so those separate them.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from ..core.ports import Key
from ..deferred import dataclass
from ..errors import CorruptData, InvalidDocument
from .keys import check_keys
from .table import Segment, Space, Table, Writes

SEGMENT_CHARS: Final = 64 * 1024
INLINE_CHARS: Final = 4 * 1024
"""A space that is smaller than this lies in the manifest itself."""

_GROUP, _RECORD, _UNIT = "\x1d", "\x1e", "\x1f"
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


# Records


def encode_writes(writes: Writes) -> str:
    """Give what a transaction wrote as text; raise :class:`InvalidDocument` for what can't be stored."""
    fields: list[str] = []
    for space, written in writes.items():
        puts: Mapping[Key, Any] = written
        deleted: list[Key] = []
        if None in written.values():
            puts = {key: text for key, text in written.items() if text is not None}
            deleted = [key for key, text in written.items() if text is None]
        fields += [_checked_name(space), _join_keys(puts), _join_texts(puts.values()), _join_keys(deleted)]
    return _GROUP.join(fields)


def decode_writes(text: str) -> Iterator[tuple[str, dict[Key, str | None]]]:
    """Give back what was written, in steps: a space may come again, for what was written to it later."""
    fields = text.split(_GROUP) if text else []
    try:
        for i in range(0, len(fields), 4):
            written: dict[Key, Any] = dict(_split_records(fields[i + 1], fields[i + 2]))
            if fields[i + 3]:
                written.update(dict.fromkeys(_split_keys(fields[i + 3])))
            yield fields[i], written
    except (ValueError, IndexError) as error:
        raise CorruptData(f"a record of the log can't be read: {error}") from error


def join_writes(texts: Iterable[str]) -> str:
    """Give one text for the writes of several transactions, one after the other."""
    return _GROUP.join(filter(None, texts))


def label(source: str, text: str) -> str:
    """Write down whose log record this is."""
    return f"{source}{_GROUP}{text}"


def unlabel(record: str) -> tuple[str, str]:
    """Give a log record's source and its text."""
    source, separator, text = record.partition(_GROUP)
    if not separator:
        raise CorruptData("a record of the log can't be read: it has no label")
    return source, text


def is_folded(record: str) -> bool:
    """Tell whether a log record only says that there was one, and mostly whose."""
    _, separator, text = record.partition(_GROUP)
    return not record or (bool(separator) and not text)


def encode_segment(keys: Collection[Key], texts: Collection[str]) -> str:
    """Give a segment's text."""
    return f"{_join_keys(keys)}{_GROUP}{_join_texts(texts)}"


def decode_segment(text: str) -> dict[Key, str]:
    """Give back a segment's texts by key."""
    keys, _, texts = text.partition(_GROUP)
    try:
        return dict(_split_records(keys, texts))
    except (ValueError, IndexError) as error:
        raise CorruptData(f"a segment can't be read: {error}") from error


def _checked_name(space: str) -> str:
    if not space.isprintable():
        raise InvalidDocument(f"space {space!r}: a name holds no control character")
    return space


def _join_texts(texts: Collection[str]) -> str:
    try:
        joined = _RECORD.join(texts)
    except TypeError as error:
        raise InvalidDocument(f"what is stored is a JSON text: {error}") from error
    if texts and (joined.count(_RECORD) != len(texts) - 1 or _GROUP in joined or "" in texts):
        raise InvalidDocument("a JSON text is not empty and holds no control character")
    return joined


def _split_records(keys: str, texts: str) -> Iterable[tuple[Key, str]]:
    return zip(_split_keys(keys), texts.split(_RECORD) if texts else (), strict=True)


def _join_keys(keys: Collection[Key]) -> str:
    """Join keys: ``t2`` and texts for keys of two texts each, ``j2`` and JSON if there are integers among them."""
    if not keys:
        return ""
    check_keys(keys)
    lengths = set(map(len, keys))
    length = lengths.pop()
    if lengths or length > 9:
        return "j0" + _dumps(list(keys))
    parts = list(chain.from_iterable(keys))
    try:
        joined = _UNIT.join(parts)  # type: ignore[arg-type]
    except TypeError:
        return f"j{length}{_dumps(parts)}"
    if joined.count(_UNIT) != len(parts) - 1 or _GROUP in joined:
        return f"j{length}{_dumps(parts)}"
    return f"t{length}{joined}"


def _split_keys(text: str) -> Iterable[Key]:
    if not text:
        return ()
    kind, length = text[0], int(text[1])
    if kind == "j" and length == 0:
        return map(tuple, json.loads(text[2:]))
    parts: Sequence[str | int] = text[2:].split(_UNIT) if kind == "t" else json.loads(text[2:])
    return zip(*[iter(parts)] * length, strict=True)


# Segments


class Manifest(NamedTuple):
    """Which segments make up the table, and the log record up to which they do.

    ``identity`` is the database's own; ``generation`` counts foldings; ``next_id`` is the number of the next new
    segment; ``inline`` holds small spaces as the text of their writes.
    """

    identity: str
    generation: int = 0
    folded: int = 0
    next_id: int = 1
    segments: tuple[Segment, ...] = ()
    inline: str = ""

    def text(self) -> str:
        """Give the text that stores the manifest."""
        rows = [[s.id, s.space, s.first, s.last, s.records, s.chars] for s in self.segments]
        return _dumps([self.identity, self.generation, self.folded, self.next_id, rows, self.inline])

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Read what :meth:`text` gave."""
        try:
            identity, generation, folded, next_id, rows, inline = json.loads(text)
            segments = tuple(
                Segment(id, space, tuple(first), tuple(last), records, chars)
                for id, space, first, last, records, chars in rows
            )
            return cls(identity, generation, folded, next_id, segments, inline)
        except (ValueError, TypeError) as error:
            raise CorruptData(f"the manifest of the database can't be read: {error}") from error

    @property
    def chars(self) -> int:
        """How many characters the segments have together."""
        return sum(segment.chars for segment in self.segments)

    def table(self) -> Table:
        """Make the table, with all segments still on disk."""
        table = Table()
        for segment in self.segments:
            table[segment.space].cold.append(segment)
        for space, written in decode_writes(self.inline):
            table[space].apply(written)
        return table


@dataclass(slots=True)
class Fold:
    """A log being folded: the segments that stay, those that go, the texts of new ones by number."""

    kept: list[Segment]
    gone: list[int]
    new: dict[int, str]
    inline: dict[str, dict[Key, str]]

    def manifest(self, before: Manifest, folded: int) -> Manifest:
        """Give the manifest that holds after the folding."""
        segments = sorted(self.kept, key=lambda segment: (segment.space, segment.first))
        return before._replace(
            generation=before.generation + 1,
            folded=folded,
            next_id=before.next_id + len(self.new),
            segments=tuple(segments),
            inline=encode_writes({space: dict(texts) for space, texts in self.inline.items()}),
        )


def fold(before: Manifest, table: Table, touched: dict[str, set[Key]]) -> Iterator[Fold]:
    """Fold what was written since the manifest, stopping for breath now and then; the last that it gives is whole.

    Only segments with a key that was touched are written anew. The table may change meanwhile: what is written
    then is in the log, after what is folded, and is applied over it.
    """
    result = Fold([], [], {}, {})
    segments: dict[str, list[Segment]] = {}
    for segment in before.segments:
        segments.setdefault(segment.space, []).append(segment)
    for name in sorted(touched.keys() | segments.keys() | {space for space, _ in decode_writes(before.inline)}):
        old, space = segments.get(name, []), table[name]
        dirty = _dirty(old, touched.get(name, set()))
        result.kept += [segment for segment in old if segment.id not in dirty]
        result.gone += sorted(dirty)
        if len(dirty) == len(old) and _is_small(space):
            result.inline[name] = dict(space.texts)
            continue
        for keys in list(_ranges(old, dirty, space)):
            for texts in _runs(space, keys):
                number = before.next_id + len(result.new)
                text = encode_segment(texts, texts.values())
                first, last = next(iter(texts)), next(reversed(texts))
                result.kept.append(Segment(number, name, first, last, len(texts), len(text)))
                result.new[number] = text
                yield result
    yield result


def _is_small(space: Space) -> bool:
    texts = space.texts
    return len(texts) * 20 < INLINE_CHARS and sum(map(len, texts.values())) < INLINE_CHARS


def _dirty(segments: Sequence[Segment], keys: set[Key]) -> set[int]:
    """Give the numbers of the segments in whose ranges these keys lie."""
    if len(keys) > 20 * len(segments):
        return {segment.id for segment in segments}
    firsts = [segment.first for segment in segments]
    return {segments[max(0, bisect_right(firsts, key) - 1)].id for key in keys}


def _ranges(segments: Sequence[Segment], dirty: set[int], space: Space) -> Iterator[list[Key]]:
    """Give the keys of each run of dirty segments, or of the whole space where it has no segment."""
    order = space.in_order()
    if not segments:
        yield list(order)
        return
    starts = [0, *(_place(order, segment.first) for segment in segments[1:]), len(order)]
    run: list[Key] = []
    for segment, start, end in zip(segments, starts, starts[1:], strict=False):
        if segment.id in dirty:
            run += order[start:end]
        elif run:
            yield run
            run = []
    yield run


def _place(order: list[Key], key: Key) -> int:
    place = bisect_right(order, key)
    return place - 1 if place and order[place - 1] == key else place


def _runs(space: Space, keys: Iterable[Key]) -> Iterator[dict[Key, str]]:
    """Cut records into runs of about a segment's size; keys that were deleted meanwhile are left out."""
    run: dict[Key, str] = {}
    chars = 0
    for key in keys:
        text = space.texts.get(key)
        if text is not None:
            run[key] = text
            chars += len(text) + 24
            if chars >= SEGMENT_CHARS:
                yield run
                run, chars = {}, 0
    if run:
        yield run
