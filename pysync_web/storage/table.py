"""A table in memory: spaces of JSON texts by key, in order, and transactions over it.

Keys are sorted only when somebody scans: until then a write costs what a dict costs. Part of a table may still be
on disk, in segments; a transaction that asks for it is stopped by :class:`Cold`, and runs again when it is here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from ..core.ports import Key, Touched
from ..errors import TransactionError
from .keys import check_keys

Writes: TypeAlias = "dict[str, dict[Key, str | None]]"
"""What a transaction wrote: for each space, texts by key; None where a key was deleted."""

_UNWRITTEN: dict[Key, str | None] = {}
_MOST_TOUCHED = 1000
_FIRST: Final = itemgetter(0)
_SECOND: Final = itemgetter(1)


class Segment(NamedTuple):
    """A sorted run of a space's records on disk, from the key ``first`` to the key ``last``."""

    id: int
    space: str
    first: Key
    last: Key
    records: int
    chars: int


class Cold(BaseException):
    """A transaction asked for records of segments that are still on disk."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.segments = segments


class Space:
    """The texts of one space by key."""

    __slots__ = ("_changed", "_deleted", "_order", "cold", "texts")

    def __init__(self) -> None:
        self.texts: dict[Key, str] = {}
        self.cold: list[Segment] = []  # what is still on disk, in order
        self._deleted: set[Key] = set()  # what is no more, though a cold segment has it
        self._order: list[Key] = []
        self._changed: list[Key] = []  # keys that came or went since they were last in order

    def apply(self, writes: dict[Key, str | None]) -> None:
        """Take over what was written."""
        texts, changed = self.texts, self._changed
        if None not in writes.values():
            changed += [key for key in writes if key not in texts]
            texts.update(writes)  # type: ignore[arg-type]
            return
        for key, text in writes.items():
            if text is None:
                if self.cold:
                    self._deleted.add(key)
                if texts.pop(key, None) is not None:
                    changed.append(key)
            else:
                if key not in texts:
                    changed.append(key)
                texts[key] = text

    def warm(self, segment: Segment, texts: dict[Key, str]) -> None:
        """Take in a segment's records, but for those that were written since; nothing happens the second time."""
        place = bisect_left(self.cold, segment.first, key=lambda cold: cold.first)
        if place == len(self.cold) or self.cold[place].id != segment.id:
            return
        del self.cold[place]
        for key in texts.keys() & self.texts.keys() | texts.keys() & self._deleted:
            del texts[key]
        self.texts.update(texts)
        self._changed.extend(texts)
        if not self.cold:
            self._deleted.clear()

    def need(self, keys: Iterable[Key]) -> None:
        """Raise :class:`Cold` if some of these keys, which are not in ``texts``, may be on disk."""
        segments = {}
        for key in keys:
            place = bisect_right(self.cold, key, key=lambda segment: segment.first) - 1
            if place >= 0 and key <= self.cold[place].last and key not in self._deleted:
                segments[self.cold[place].id] = self.cold[place]
        if segments:
            raise Cold(list(segments.values()))

    def scan(
        self,
        prefix: Key,
        after: Key | None,
        limit: int | None,
        reverse: bool,
        writes: dict[Key, str | None] = _UNWRITTEN,
    ) -> list[tuple[Key, str]]:
        """List records in a range as if ``writes`` had been applied."""
        written = [key for key in writes if _in_range(key, prefix, after, reverse)]
        most = None if limit is None else limit + len(written)
        keys = self._keys(prefix, after, most, reverse)
        texts = self.texts
        if written:
            keys += sorted(written, reverse=reverse)
            keys.sort(reverse=reverse)
            records = [
                (key, text)
                for key in dict.fromkeys(keys)
                if (text := writes[key] if key in writes else texts[key]) is not None
            ][:limit]
        else:
            records = [(key, texts[key]) for key in keys]
        if self.cold and limit != 0:
            is_full = limit is not None and len(records) == limit
            self._need_range(prefix, after, records[-1][0] if is_full else None, limit, reverse)
        return records

    def _need_range(
        self, prefix: Key, after: Key | None, until: Key | None, limit: int | None, reverse: bool
    ) -> None:
        """Raise :class:`Cold` if records between ``after`` and ``until`` may be on disk."""
        length = len(prefix)
        missing = []
        count = 0
        for segment in reversed(self.cold) if reverse else self.cold:
            near, far = (segment.last, segment.first) if reverse else (segment.first, segment.last)
            if segment.last[:length] < prefix or segment.first[:length] > prefix:
                continue
            if after is not None and (far >= after if reverse else far <= after):
                continue
            if until is not None and (near < until if reverse else near > until):
                continue
            missing.append(segment)
            count += segment.records
            if limit is not None and count >= limit:
                break
        if missing:
            raise Cold(missing)

    def _keys(self, prefix: Key, after: Key | None, limit: int | None, reverse: bool) -> list[Key]:
        order = self.in_order()
        low, high = 0, len(order)
        if prefix:
            length = len(prefix)
            low = bisect_left(order, prefix)
            high = bisect_right(order, prefix, lo=low, key=lambda key: key[:length])
        if after is not None and reverse:
            high = min(high, bisect_left(order, after))
        elif after is not None:
            low = max(low, bisect_right(order, after))
        if not reverse:
            return order[low : high if limit is None else min(high, low + limit)]
        return order[low if limit is None else max(low, high - limit) : max(low, high)][::-1]

    def in_order(self) -> list[Key]:
        """Give all keys, sorted; the list is not the caller's to change."""
        if len(self._changed) > 16 + len(self._order) // 16:
            self._order = _sorted(self.texts)
        else:
            for key in self._changed:
                self._put_in_order(key)
        self._changed.clear()
        return self._order

    def _put_in_order(self, key: Key) -> None:
        order = self._order
        place = bisect_left(order, key)
        is_there = place < len(order) and order[place] == key
        if key in self.texts and not is_there:
            order.insert(place, key)
        elif is_there and key not in self.texts:
            del order[place]


def _sorted(keys: Collection[Key]) -> list[Key]:
    """Sort keys; pairs with names by one after the other (sorting is stable), in a third of the time."""
    if set(map(len, keys)) != {2} or set(map(type, map(_SECOND, keys))) != {str}:
        return sorted(keys)
    order = sorted(keys, key=_SECOND)
    order.sort(key=_FIRST)
    return order


def _in_range(key: Key, prefix: Key, after: Key | None, reverse: bool) -> bool:
    if key[: len(prefix)] != prefix:
        return False
    return after is None or (key < after if reverse else key > after)


class Table(dict[str, Space]):
    """Spaces by name; one that nobody has written is empty."""

    def __missing__(self, name: str) -> Space:
        """Make a space when it is first named."""
        space = self[name] = Space()
        return space

    def apply(self, writes: Writes) -> None:
        """Take over what a transaction wrote."""
        for name, written in writes.items():
            self[name].apply(written)

    def check(self, writes: Writes) -> None:
        """Raise :class:`InvalidDocument` if a key can't be stored."""
        for name, written in writes.items():
            known = self[name].texts
            check_keys([key for key in written if key not in known])

    def cold(self) -> list[Segment]:
        """List what is still on disk."""
        return [segment for space in self.values() for segment in space.cold]


def touched_by(writes: Writes) -> Touched:
    """List what was written, or give None if that is too much to list."""
    if sum(map(len, writes.values())) > _MOST_TOUCHED:
        return None
    return [(name, key) for name, written in writes.items() for key in written]


class _Over(dict[str, Any]):
    """Stands in for the table and the writes of a transaction that has ended."""

    def __missing__(self, name: str) -> NoReturn:
        raise TransactionError("the transaction has ended: use it only inside the body that was given it")


_OVER: Any = _Over()


class TableReader:
    """A :class:`ReadTransaction` over a table."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        found = self._table[space]
        text = found.texts.get(key)
        if text is None and found.cold:
            found.need((key,))
        return text

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        """Give one text or None for each key."""
        found = self._table[space]
        texts = list(map(found.texts.get, keys))
        if found.cold and None in texts:
            found.need(key for key, text in zip(keys, texts, strict=True) if text is None)
        return texts

    async def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        return self._table[space].scan(prefix, after, limit, reverse)

    def end(self) -> None:
        """Refuse any further use."""
        self._table = _OVER


class TableWriter:
    """A :class:`WriteTransaction` over a table, which it leaves as it is: see ``writes``.

    ``earlier`` is what transactions before it wrote that the table doesn't have yet.
    """

    __slots__ = ("_earlier", "_table", "writes")

    def __init__(self, table: Table, earlier: Writes | None = None) -> None:
        self._table = table
        self._earlier: Writes = earlier or {}
        self.writes: Writes = defaultdict(dict)

    def put(self, space: str, key: Key, text: str) -> None:
        """Store a text."""
        self.writes[space][key] = text

    def delete(self, space: str, key: Key) -> None:
        """Remove a key."""
        self.writes[space][key] = None

    def written(self, space: str) -> Collection[Key]:
        """Give the keys that were put or deleted."""
        return self.writes.get(space, _UNWRITTEN)

    async def get(self, space: str, key: Key) -> str | None:
        """Give the text under a key, or None."""
        for writes in (self.writes, self._earlier):
            written = writes.get(space)
            if written and key in written:
                return written[key]
        found = self._table[space]
        text = found.texts.get(key)
        if text is None and found.cold:
            found.need((key,))
        return text

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        """Give one text or None for each key."""
        written = self._written(space)
        found = self._table[space]
        if found.cold:
            found.need(key for key in keys if key not in written and key not in found.texts)
        if not written:
            return list(map(found.texts.get, keys))
        return [written[key] if key in written else found.texts.get(key) for key in keys]

    async def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, str]]:
        """List records in key order, or in reverse."""
        return self._table[space].scan(prefix, after, limit, reverse, self._written(space))

    def _written(self, space: str) -> dict[Key, str | None]:
        """Give what this transaction and those before it wrote to a space."""
        written = self.writes.get(space)
        earlier = self._earlier.get(space)
        if earlier and written:
            return earlier | written
        return written or earlier or _UNWRITTEN

    def end(self) -> None:
        """Refuse any further use."""
        self._table = self.writes = self._earlier = _OVER
