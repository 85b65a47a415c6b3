"""Maps from keys to CRDT values of any kind, maps too: an update wins over a removal at the same time.

The store of a map is ``{key: {kind: store}}``, without empty ones; all in it share the context of the whole state. So
removing a key removes the dots that were seen below it, and nothing stays behind (the ``ORMap`` of Almeida, Shoker,
Baquero, section 7.4). A key is there as long as there is something under it: a set that has lost its last element
is gone. Where replicas gave one key values of different kinds at the same time, all are kept; the first in the order
of ``KINDS_IN_ORDER`` is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from ..causality import Dot
from ..errors import InvalidDocument, SchemaError
from ..values import JSON, MAX_MEMBERS
from . import counters, registers, sets
from .context import Context
from .dots import Dots, Edit, Path, Store, all_dots
from .kind import object_at
from .operations import Clear, Discard, Operation, Update, check_name, unfit

OR_MAP: Final = "or_map"
MAX_NESTING: Final = 24
"""How many maps lie within each other at most: each takes two of a document's 64 levels, what is in them a few."""

KINDS_IN_ORDER: Final = (
    *(OR_MAP, sets.OR_SET, sets.G_SET, registers.MV_REGISTER, registers.LWW_REGISTER),
    *(counters.PN_COUNTER, counters.G_COUNTER),
)

_Entries: TypeAlias = dict[str, dict[str, Any]]


def _change(store: _Entries, operation: Operation, dot: Dot) -> Edit:
    match operation:
        case Update(key, kind, inner):
            return _update(store, key, kind, inner, dot)
        case Discard(key):
            return Edit({}, _all_dots({key: store[key]}) if key in store else [])
        case Clear():
            return Edit({}, _all_dots(store))
    raise unfit(OR_MAP, operation)


def _update(store: _Entries, key: str, kind: str, operation: Operation, dot: Dot) -> Edit:
    if kind not in STORES:
        raise InvalidDocument(f"{kind!r:.60} is none of the kinds {', '.join(sorted(STORES))}")
    check_name(key)
    here = store.get(key, {})
    if here and kind not in here:
        raise InvalidDocument(f"{key!r:.60} is {_shown(here)} here, not {kind}: discard it first")
    if not here and len(store) >= MAX_MEMBERS:
        raise InvalidDocument(f"{OR_MAP} has {MAX_MEMBERS} keys already")
    edit = STORES[kind].change(here.get(kind, {}), operation, dot)
    return Edit({key: {kind: edit.store}} if edit.store else {}, edit.dots)


def check_nesting(operation: Operation) -> None:
    """Raise :class:`InvalidDocument` where an operation reaches deeper than maps may be nested."""
    depth = 1
    while isinstance(operation, Update):
        operation, depth = operation.operation, depth + 1
    if depth > MAX_NESTING + 1:
        raise InvalidDocument(f"maps nested deeper than {MAX_NESTING} levels")


def _join(a: _Entries, seen_by_a: Context, b: _Entries, seen_by_b: Context) -> _Entries:
    result = a
    for key in {**a, **b}:
        mine = a.get(key, {})
        joined = _join_kinds(mine, seen_by_a, b.get(key, {}), seen_by_b)
        if joined is not mine:
            if result is a:
                result = dict(a)
            if joined:
                result[key] = joined
            else:
                result.pop(key, None)
    return result


def _join_kinds(a: dict[str, Any], seen_by_a: Context, b: dict[str, Any], seen_by_b: Context) -> dict[str, Any]:
    result = a
    for kind in {**a, **b}:
        mine: Any = a.get(kind, {})
        joined = STORES[kind].join(mine, seen_by_a, b.get(kind, {}), seen_by_b)
        if joined is not mine:
            if result is a:
                result = dict(a)
            if joined:
                result[kind] = joined
            else:
                result.pop(kind, None)
    return result


def _value(store: _Entries) -> JSON:
    return {key: STORES[_shown(store[key])].value(store[key][_shown(store[key])]) for key in sorted(store)}


def _shown(kinds: dict[str, Any]) -> str:
    return next(kind for kind in KINDS_IN_ORDER if kind in kinds)


def _check(store: JSON, place: str, depth: int = 1) -> None:
    if depth > MAX_NESTING:
        raise SchemaError(f"maps nested deeper than {MAX_NESTING} levels", place=place, code="too_deep")
    for key, kinds in object_at(store, place).items():
        where = f"{place}.{key}"
        if not object_at(kinds, where):
            raise SchemaError("a key without a value", place=where)
        for kind, inner in kinds.items():
            if kind not in STORES:
                raise SchemaError(f"{kind!r:.60} is no kind of value", place=where)
            if not object_at(inner, f"{where}.{kind}"):
                raise SchemaError("an empty value has no entry", place=f"{where}.{kind}")
            if kind == OR_MAP:
                _check(inner, f"{where}.{kind}", depth + 1)
            else:
                STORES[kind].check(inner, f"{where}.{kind}")


def _leaves(store: _Entries) -> Iterator[tuple[Path, Dots]]:
    for key, kinds in store.items():
        for kind, inner in kinds.items():
            for path, dots in STORES[kind].leaves(inner):
                yield (key, kind, *path), dots


def _all_dots(store: _Entries) -> list[Dot]:
    return [dot for _, dots in _leaves(store) for dot in all_dots(dots)]


def _latest(store: _Entries) -> str:
    times = [STORES[kind].latest(inner) for kinds in store.values() for kind, inner in kinds.items()]
    return max(times, default="")


def _restamped(store: _Entries, at: str, later_than: str) -> _Entries:
    return {
        key: {kind: STORES[kind].restamped(inner, at, later_than) for kind, inner in kinds.items()}
        for key, kinds in store.items()
    }


STORES: Final[dict[str, Store]] = {
    **counters.STORES,
    **registers.STORES,
    **sets.STORES,
    OR_MAP: Store(_change, _join, _value, _check, _leaves, _latest, _restamped),
}
