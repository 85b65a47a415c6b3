"""What can be done with every CRDT value, whatever its kind; states are JSON and are never changed in place.

A *delta* is a state like any other: it is merged, in any order and as often as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import InvalidDocument, SchemaError
from ..values import JSON, canonical
from . import causal, counters, registers, sets
from .context import is_replica
from .kind import Kind, State
from .operations import MARK, Operation

KINDS: Final[dict[str, Kind]] = {**counters.KINDS, **registers.KINDS, **sets.KINDS, **causal.KINDS}


def is_crdt(value: JSON) -> bool:
    """Tell whether a JSON value means to be a CRDT state: an object with the mark. It may still be a wrong one."""
    return type(value) is dict and MARK in value


def empty(kind: str) -> State:
    """Give the state of a kind that nobody has written; an unknown kind raises :class:`InvalidDocument`."""
    if kind not in KINDS:
        raise InvalidDocument(f"{kind!r:.60} is none of the kinds {', '.join(sorted(KINDS))}")
    return KINDS[kind].empty()


def change(state: State, operation: Operation, replica: str) -> State:
    """Give the delta of what a replica does to a state: ``merge(state, delta)`` is the state after it.

    ``replica`` numbers its dots by the state, so a replica changes only a state that contains all its own deltas; one
    that was restored or cloned takes a new id first. An operation without effect gives ``empty(kind)``. What is not
    possible raises :class:`InvalidDocument`: another kind's operation, a value that is not JSON, a number too large.
    """
    if not is_replica(replica):
        raise InvalidDocument(f"{replica!r:.60} is not a replica's id")
    return _kind_of(state).change(state, operation, replica)


def merge(a: State, b: State) -> State:
    """Give the least state that contains both; ``a`` itself, the same object, where it contains ``b`` already.

    Give the larger one first: the work is that of ``b``, besides copying what changes. States of two kinds can't be
    merged and raise :class:`SchemaError`.
    """
    if a[MARK] != b[MARK]:
        raise SchemaError(f"{b[MARK]!r:.60} can't be merged with {a[MARK]!r:.60}")
    return _kind_of(a).merge(a, b)


def merge_all(states: Iterable[State]) -> State:
    """Give what merging states one after the other gives; there is at least one."""
    first, *others = states
    for other in others:
        first = merge(first, other)
    return first


def value(state: State) -> JSON:
    """Give what a person reads: an integer, a value, a list in total order, or an object; it is the caller's own."""
    return _kind_of(state).value(state)


def includes(a: State, b: State) -> bool:
    """Tell whether ``a`` contains all that ``b`` says, so that merging it changes nothing."""
    return merge(a, b) is a


def check(value: JSON, place: str = "state") -> State:
    """Return a state from outside if it is one in its only form, or raise :class:`SchemaError` that names the place.

    A state that passes is safe to merge with any other that has passed. Merging may lead over the limits of size
    (1,000 replicas, 1,024 keys, a document's bytes), so what is to be stored is checked after merging too.
    """
    if not is_crdt(value):
        raise SchemaError(f"an object with {MARK!r} was due", place=place)
    state: State = value
    name = state[MARK]
    if type(name) is not str or name not in KINDS:
        raise SchemaError(f"{name!r:.60} is no kind of CRDT", place=f"{place}.{MARK}")
    _check_json(state, place)
    members = KINDS[name].members
    for member in state:
        if member != MARK and member not in members:
            raise SchemaError(f"{name} has no such member", place=f"{place}.{member}")
    if len(state) <= len(members) and name != registers.LWW_REGISTER:
        missing = next(member for member in members if member not in state)
        raise SchemaError("is missing", place=f"{place}.{missing}")
    KINDS[name].check(state, place)
    return state


def check_delta(delta: JSON, replica: str, known: State | None = None, place: str = "delta") -> State:
    """Return what a replica sent if it may say that to who knows ``known``, or raise :class:`SchemaError`.

    A replica speaks for itself: of others it may say only what is known (code ``not_own``), and of a dot that is
    known not something else (``dot_reused``). So nobody can count for others, nor remove what they have yet to add.
    """
    state = check(delta, place)
    if not is_replica(replica):
        raise SchemaError(f"{replica!r:.60} is not a replica's id", place=place)
    base = empty(state[MARK]) if known is None else known
    if base[MARK] != state[MARK]:
        raise SchemaError(f"is a {base[MARK]} here, not a {state[MARK]}", place=f"{place}.{MARK}")
    _kind_of(state).check_author(state, replica, base, place)
    return state


def authors(state: State) -> set[str]:
    """Name those who have counts or dots in a state: what they do next builds on these."""
    return {*state.get("counts", ()), *state.get("context", ())}


def latest(state: State) -> str:
    """Give the latest hybrid timestamp in a state, "" where there is none: registers alone have them."""
    return _kind_of(state).latest(state)


def restamped(delta: State, at: str, later_than: str = "") -> State:
    """Give a delta with another timestamp where it has one later than a time, by default everywhere.

    For a delta that nobody else has taken in: two states must not give one write two times.
    """
    return _kind_of(delta).restamped(delta, at, later_than)


def _kind_of(state: State) -> Kind:
    return KINDS[state[MARK]]


def _check_json(state: State, place: str) -> None:
    """Raise :class:`SchemaError` unless a state is JSON that a document may hold."""
    try:
        canonical(state, place)
    except InvalidDocument as error:
        where, _, problem = str(error).rpartition(": ")
        raise SchemaError(problem, place=where) from error
