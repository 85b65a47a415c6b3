"""A store of payloads, each under the dot of the operation that wrote it; the context says what was removed.

A dot that a state has seen and does not hold was removed there, so what is removed costs nothing. Where two states
meet, what one holds stays unless the other has seen it and holds it no more: the ``DotFun`` of Almeida, Shoker,
Baquero, *Delta state replicated data types*, 2018.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import is_, itemgetter
from typing import Any, NamedTuple, TypeAlias

from ..causality import Dot
from ..errors import SchemaError
from ..values import JSON, dumps
from .context import Context, check_number, check_replicas, is_in

Entry: TypeAlias = list[JSON]
"""``[n, payload]``: what the operation with the replica's dot ``n`` wrote."""

Dots: TypeAlias = dict[str, list[Entry]]
"""``{replica: [[n, payload] …]}``, in the order of the numbers, and no replica without one."""

Path: TypeAlias = tuple[str, ...]
"""Where dots lie inside maps: a key, its kind, a key of the map that is there, and so on."""

_number = itemgetter(0)


class Edit(NamedTuple):
    """What an operation does: the store that it adds, and all dots that it adds or has replaced."""

    store: Any
    dots: list[Dot]


class Store(NamedTuple):
    """A kind of value that lives below dots; ``place`` says where, in errors."""

    change: Callable[[Any, Any, Dot], Edit]
    """(store, operation, the operation's dot) → what it does there."""
    join: Callable[[Any, Context, Any, Context], Any]
    """(store, what it has seen, another, what that has seen) → both; the first itself where nothing changes."""
    value: Callable[[Any], JSON]
    """What a person reads."""
    check: Callable[[JSON, str], None]
    """(store, place): raise :class:`SchemaError` unless it is one."""
    leaves: Callable[[Any], Iterator[tuple[Path, Dots]]]
    """All dots in it, with their places."""
    latest: Callable[[Any], str]
    """The latest timestamp in it, "" where there is none."""
    restamped: Callable[[Any, str, str], Any]
    """(store, at, later_than) → the same with another time where it has one later than that."""


def leaf(
    change: Callable[[Dots, Any, Dot], Edit],
    value: Callable[[Dots], JSON],
    check: Callable[[JSON, str], None],
    latest: Callable[[Dots], str] = lambda _: "",
    restamped: Callable[[Dots, str, str], Dots] = lambda dots, _, __: dots,
) -> Store:
    """Make the store of a kind that is dots and nothing else; ``check`` is for one payload."""
    return Store(
        change,
        join_dots,
        value,
        lambda store, place: check_dots(store, place, check),
        lambda dots: iter([((), dots)]),
        latest,
        restamped,
    )


def all_dots(dots: Dots) -> list[Dot]:
    """List the dots that are held."""
    return [(replica, entry[0]) for replica, entries in dots.items() for entry in entries]


def payloads(dots: Dots) -> list[JSON]:
    """List the payloads that are held."""
    return [entry[1] for entries in dots.values() for entry in entries]


def join_dots(a: Dots, seen_by_a: Context, b: Dots, seen_by_b: Context) -> Dots:
    """Give the dots of both that nobody has removed; ``a`` itself where that is it.

    The work is that of ``b`` and its context, besides copying the lists of the replicas that change.
    """
    if not b and _keeps_all(a, seen_by_b):
        return a
    result = a
    for replica in seen_by_b if len(seen_by_b) < len(a) + len(b) else {**a, **b}:
        mine, theirs = a.get(replica, []), b.get(replica, [])
        ranges = seen_by_b.get(replica)
        if ranges is None or not (mine or theirs):
            continue
        joined = _join_entries(mine, seen_by_a.get(replica, []), theirs, ranges)
        if joined is not mine:
            if result is a:
                result = dict(a)
            if joined:
                result[replica] = joined
            else:
                result.pop(replica, None)
    return result


def _keeps_all(dots: Dots, seen: Context) -> bool:
    """Tell quickly, for the few dots of a map's key, that who does not hold them has not seen them either."""
    for replica, entries in dots.items():
        ranges = seen.get(replica)
        if ranges is not None and (len(entries) > 1 or is_in(ranges, entries[0][0])):
            return False
    return True


def _join_entries(mine: list[Entry], seen_by_me: list[int], theirs: list[Entry], ranges: list[int]) -> list[Entry]:
    """Join one replica's entries: what they have not seen stays mine, in each of their ranges theirs decides."""
    if len(ranges) > 2 * (len(mine) + len(theirs)):
        return _join_few(mine, seen_by_me, theirs, ranges)
    result: list[Entry] = []
    is_same, after = True, 0
    for at in range(0, len(ranges), 2):
        first, last = ranges[at], ranges[at + 1]
        begin, end = bisect_left(mine, first, key=_number), bisect_right(mine, last, key=_number)
        known = {entry[0]: entry for entry in mine[begin:end]}
        kept = [
            _agreed(known[entry[0]], entry) if entry[0] in known else entry
            for entry in theirs[bisect_left(theirs, first, key=_number) : bisect_right(theirs, last, key=_number)]
            if entry[0] in known or not is_in(seen_by_me, entry[0])
        ]
        is_same = is_same and len(kept) == len(known) and all(map(is_, kept, known.values()))
        result += mine[after:begin]
        result += kept
        after = end
    return mine if is_same else result + mine[after:]


def _join_few(mine: list[Entry], seen_by_me: list[int], theirs: list[Entry], ranges: list[int]) -> list[Entry]:
    """Join fewer entries than there are ranges, without a look at each: a map does this for each of its keys."""
    known, given = {entry[0]: entry for entry in mine}, {entry[0]: entry for entry in theirs}
    kept: list[Entry] = []
    for n in sorted({**known, **given}):
        if n in known and n in given:
            kept.append(_agreed(known[n], given[n]))
        elif not is_in(ranges if n in known else seen_by_me, n):
            kept.append(known[n] if n in known else given[n])
    return mine if len(kept) == len(mine) and all(map(is_, kept, mine)) else kept


def _agreed(mine: Entry, theirs: Entry) -> Entry:
    """Give the entry of a dot that both hold. It is one and the same, unless its replica told two stories."""
    if mine is theirs or (type(mine[1]) is str and mine == theirs):
        return mine
    return theirs if dumps(theirs) > dumps(mine) else mine


def check_dots(value: JSON, place: str, check: Callable[[JSON, str], None]) -> None:
    """Raise :class:`SchemaError` unless a value is dots in their only form; ``check`` looks at each payload."""
    if type(value) is not dict:
        raise SchemaError("an object of replicas was due", place=place)
    check_replicas(value, place)
    for replica, entries in value.items():
        where = f"{place}.{replica}"
        if type(entries) is not list or not entries:
            raise SchemaError("a list of dots was due", place=where)
        before = 0
        for i, entry in enumerate(entries):
            if type(entry) is not list or len(entry) != 2:
                raise SchemaError("a number and what it wrote were due", place=f"{where}[{i}]")
            n = check_number(entry[0], f"{where}[{i}][0]")
            if n <= before:
                raise SchemaError("numbers rise", place=f"{where}[{i}][0]")
            check(entry[1], f"{where}[{i}][1]")
            before = n
