"""What a person does to a CRDT value, in words; :func:`~pysync_web.crdt.change` makes a delta of it."""

from __future__ import annotations

from typing import TypeAlias

from ..deferred import dataclass
from ..errors import InvalidDocument
from ..values import JSON, canonical, loads

MARK = "$crdt"
"""The member that names a state's kind."""


@dataclass(frozen=True, slots=True)
class Increment:
    """Add an amount to a counter; only a ``pn_counter`` takes a negative one. An amount of 0 changes nothing."""

    amount: int = 1


@dataclass(frozen=True, slots=True)
class Assign:
    """Set an ``lww_register`` at a hybrid timestamp; without effect where it has a later value."""

    value: JSON
    at: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Set an ``mv_register``: the value replaces all those that this replica has seen."""

    value: JSON


@dataclass(frozen=True, slots=True)
class Add:
    """Add an element, any JSON value, to a ``g_set`` or an ``or_set``."""

    element: JSON


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an element out of an ``or_set``, as far as it was seen: an addition at the same time stays."""

    element: JSON


@dataclass(frozen=True, slots=True)
class Clear:
    """Take out of an ``or_set``, ``mv_register`` or ``or_map`` all that was seen."""


@dataclass(frozen=True, slots=True)
class Update:
    """Apply an operation to the value of a kind under a key of an ``or_map``; it begins empty."""

    key: str
    kind: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class Discard:
    """Take a key out of an ``or_map`` with all that was seen of it: updates at the same time stay."""

    key: str


Operation: TypeAlias = Increment | Assign | Replace | Add | Remove | Clear | Update | Discard


def plain(value: JSON) -> JSON:
    """Give a value of its own that is equal to a user's, or raise :class:`InvalidDocument` if it is not JSON."""
    text = canonical({"value": value}, "value")
    _refuse_mark(value, text)
    return loads(text)["value"]


def check_name(name: str) -> str:
    """Return a name of an ``or_map``, or raise :class:`InvalidDocument` if it is none."""
    _refuse_mark({name: None}, canonical({name: None}, "key"))
    return name


def holds_mark(value: JSON) -> bool:
    """Tell whether an object in a value has the member that marks a CRDT value."""
    stack = [value]
    while stack:
        inner = stack.pop()
        if type(inner) is dict:
            if MARK in inner:
                return True
            stack += inner.values()
        elif type(inner) is list:
            stack += inner
    return False


def _refuse_mark(value: JSON, text: str) -> None:
    """Refuse what could not be saved as a part of a document; ``text`` is the value's."""
    if MARK in text and holds_mark(value):
        raise InvalidDocument(f"the name {MARK!r} is taken: it marks CRDT values")


def unfit(kind: str, operation: object) -> InvalidDocument:
    """Give the error of an operation that a kind does not have."""
    return InvalidDocument(f"{kind} has no operation {type(operation).__name__}")
