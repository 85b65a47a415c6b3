"""The difference between two JSON objects, as the members that are new and those that are gone.

Nested objects are compared member by member; everything else, lists too, is one value. A patch gives exactly the
other object again, but only over the one that it was made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from ..values import JSON, same
from .document import place_of, split_place

Object: TypeAlias = dict[str, JSON]

_NOTHING: Final = object()


class Patch(NamedTuple):
    """What turns one object into another: a partial object, and JSON Pointers (RFC 6901) to what goes."""

    given: Object
    removed: tuple[str, ...] = ()


def difference(old: Object, new: Object) -> Patch:
    """Give the patch that turns ``old`` into ``new``."""
    removed: list[str] = []
    return Patch(_compared(old, new, (), removed), tuple(removed))


def patched(old: Object, patch: Patch) -> Object:
    """Give the object that a patch makes of ``old``, which stays as it is.

    Raises :class:`KeyError` where what is to be removed is not there: it was another object.
    """
    result = old
    for place in patch.removed:
        result = _without(result, split_place(place))
    return _over(result, patch.given)


def _compared(old: Object, new: Object, path: tuple[str, ...], removed: list[str]) -> Object:
    given: Object = {}
    for name, value in new.items():
        before = old.get(name, _NOTHING)
        if type(value) is dict and type(before) is dict:
            part = _compared(before, value, (*path, name), removed)
            if part:
                given[name] = part
        elif before is _NOTHING or not same(before, value):
            given[name] = value
    removed += [place_of((*path, name)) for name in old if name not in new]
    return given


def _over(old: Object, given: Object) -> Object:
    result = dict(old)
    for name, value in given.items():
        before = result.get(name)
        result[name] = _over(before, value) if type(value) is dict and type(before) is dict else value
    return result


def _without(old: Object, path: Sequence[str]) -> Object:
    name, *rest = path
    result = dict(old)
    if rest:
        result[name] = _without(result[name], rest)
    else:
        del result[name]
    return result
