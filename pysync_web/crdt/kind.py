"""The shape of a kind: what the registry knows of it, and what states without dots or timestamps have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..errors import SchemaError
from ..values import JSON
from .operations import Operation

State: TypeAlias = dict[str, JSON]
"""A CRDT value as JSON: ``{"$crdt": kind, …}``. It is never changed, only replaced."""


class Kind(NamedTuple):
    """What the registry knows of a kind of state; ``place`` says where, in errors."""

    members: tuple[str, ...]
    """The members of its states besides the mark."""
    empty: Callable[[], State]
    """The state that nobody has written."""
    change: Callable[[State, Operation, str], State]
    """(state, operation, replica) → the delta, :class:`InvalidDocument` where the operation is not possible."""
    merge: Callable[[State, State], State]
    """The least state that contains both; the first itself where that is it."""
    value: Callable[[State], JSON]
    """What a person reads."""
    check: Callable[[State, str], None]
    """(state, place): raise :class:`SchemaError` unless the members are right and in their only form."""
    check_author: Callable[[State, str, State, str], None]
    """(delta, replica, known, place): raise :class:`SchemaError` where it says of others what is not known."""
    latest: Callable[[State], str]
    """The latest timestamp in it, "" where there is none."""
    restamped: Callable[[State, str, str], State]
    """(state, at, later_than) → the same with another time where it has one later than that."""


def fits_anyone(delta: State, replica: str, known: State, place: str) -> None:
    """Check nothing: what is said has no author."""


def timeless(state: State) -> str:
    """Give the latest timestamp of a state that has none."""
    return ""


def as_it_is(state: State, at: str, later_than: str) -> State:
    """Give a state that has no timestamp at another time."""
    return state


def object_at(value: JSON, place: str) -> dict[str, JSON]:
    """Return a JSON object, or raise :class:`SchemaError`."""
    if type(value) is not dict:
        raise SchemaError("an object was due", place=place)
    return value


def list_at(value: JSON, place: str) -> list[JSON]:
    """Return a JSON array, or raise :class:`SchemaError`."""
    if type(value) is not list:
        raise SchemaError("a list was due", place=place)
    return value
