"""Which dots a state has seen: a causal context, as ranges of numbers to each replica.

A version vector and a cloud of single dots in one: what arrives in order is one range from 1, what arrives early is
a range of its own until the gap before it fills. Almeida, Shoker, Baquero, *Delta state replicated data types*, 2018.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ..causality import MAX_VECTOR, Dot
from ..errors import InvalidDocument, SchemaError
from ..values import JSON, MAX_INTEGER

Context: TypeAlias = dict[str, list[int]]
"""``{replica: [first, last, first, last …]}``: rising, with at least one number missing between two ranges."""

_REPLICA = re.compile(r"[!-~]{1,128}\Z")


def is_in(ranges: Sequence[int], n: int) -> bool:
    """Tell whether a replica's ranges contain a number."""
    at = bisect_left(ranges, n)
    return at < len(ranges) and (at % 2 == 1 or ranges[at] == n)


def following(context: Context, replica: str) -> int:
    """Give the number of a replica's next dot, or raise :class:`InvalidDocument` where there is none left."""
    ranges = context.get(replica)
    n = ranges[-1] + 1 if ranges else 1
    if n > MAX_INTEGER:
        raise InvalidDocument(f"replica {replica!r} has used up its numbers: take a new id")
    return n


def context_of(dots: Iterable[Dot]) -> Context:
    """Give the context that contains some dots and no others."""
    numbers: dict[str, list[int]] = {}
    for replica, n in dots:
        numbers.setdefault(replica, []).append(n)
    return {replica: _coalesced([(n, n) for n in found]) for replica, found in numbers.items()}


def join_contexts(a: Context, b: Context) -> Context:
    """Give the least context that contains both; ``a`` itself where that is it."""
    result = a
    for replica, ranges in b.items():
        mine = a.get(replica)
        if mine is not None and _contains(mine, ranges):
            continue
        if result is a:
            result = dict(a)
        result[replica] = _coalesced([*_pairs(mine), *_pairs(ranges)]) if mine else ranges
    return result


def covers(a: Context, b: Context) -> bool:
    """Tell whether a context contains another."""
    return all(_contains(a.get(replica, ()), ranges) for replica, ranges in b.items())


def without(context: Context, replica: str) -> Context:
    """Give the part of a context that is about other replicas."""
    return {name: ranges for name, ranges in context.items() if name != replica}


def check_context(value: JSON, place: str) -> Context:
    """Return a context if it is one, in its only form, or raise :class:`SchemaError`."""
    if type(value) is not dict:
        raise SchemaError("an object of replicas was due", place=place)
    check_replicas(value, place)
    for replica, ranges in value.items():
        where = f"{place}.{replica}"
        if type(ranges) is not list or not ranges or len(ranges) % 2:
            raise SchemaError("a list of pairs of numbers was due", place=where)
        before = -1
        for at in range(0, len(ranges), 2):
            first, last = ranges[at], ranges[at + 1]
            check_number(first, f"{where}[{at}]")
            check_number(last, f"{where}[{at + 1}]")
            if not before + 1 < first <= last:
                raise SchemaError("ranges rise, with a gap between any two", place=f"{where}[{at}]")
            before = last
    return value


def check_replicas(value: dict[str, JSON], place: str) -> None:
    """Raise :class:`SchemaError` unless all names are replicas' ids, at most 1,000 of them."""
    if len(value) > MAX_VECTOR:
        raise SchemaError(f"{len(value)} replicas, over the limit of {MAX_VECTOR}", place=place)
    for replica in value:
        if not is_replica(replica):
            raise SchemaError(f"{replica!r:.60} is not a replica's id", place=place)


def is_replica(value: object) -> bool:
    """Tell whether a value is a replica's id: 1 to 128 printable ASCII characters without space."""
    return isinstance(value, str) and _REPLICA.match(value) is not None


def check_number(value: JSON, place: str, low: int = 1) -> int:
    """Return an integer from ``low`` to 2^53-1, or raise :class:`SchemaError`; ``True`` is no integer."""
    if type(value) is int and low <= value <= MAX_INTEGER:
        return value
    raise SchemaError(f"an integer from {low} to 2^53-1 was due, not {value!r:.40}", place=place)


def _contains(outer: Sequence[int], inner: Sequence[int]) -> bool:
    """Tell whether every range of ``inner`` lies within one of ``outer``."""
    for first, last in _pairs(inner):
        at = bisect_left(outer, first)
        if at == len(outer) or not (at % 2 or outer[at] == first) or outer[at | 1] < last:
            return False
    return True


def _pairs(ranges: Sequence[int]) -> Iterable[tuple[int, int]]:
    return zip(ranges[::2], ranges[1::2], strict=True)


def _coalesced(pairs: list[tuple[int, int]]) -> list[int]:
    """Give ranges in order, those that touch or overlap as one."""
    pairs.sort()
    result = list(pairs[0])
    for first, last in pairs[1:]:
        if first > result[-1] + 1:
            result += (first, last)
        elif last > result[-1]:
            result[-1] = last
    return result
