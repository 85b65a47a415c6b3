"""What a person did to CRDT values, kept beside the change that carries it until that is acknowledged.

A replica that was cloned can't send its changes as they are: its twin may have counted on under the same name. It
does again what was done, under a name of each change's own (:func:`done_again`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from .. import crdt
from ..crdt import Add, Assign, Clear, Discard, Increment, Operation, Remove, Replace, State, Update
from ..deferred import dataclass
from ..values import JSON, dumps
from .document import TOUCHED, merge
from .document import State as DocumentState
from .fields import author, changed_field


@dataclass(frozen=True, slots=True)
class Join:
    """Take in a state, whoever made it."""

    state: State


_OPERATIONS: Final = {
    kind.__name__: kind for kind in (Increment, Assign, Replace, Add, Remove, Clear, Update, Discard, Join)
}


class Deed(NamedTuple):
    """An operation on the CRDT value of a kind at a path of a document."""

    path: tuple[str, ...]
    kind: str
    operation: Operation | Join

    def to_json(self) -> JSON:
        """Give the deed as JSON."""
        return [list(self.path), self.kind, _encoded(self.operation)]

    @classmethod
    def from_json(cls, stored: JSON) -> Deed:
        """Read what :meth:`to_json` gave."""
        path, kind, operation = stored
        return cls(tuple(path), kind, _decoded(operation))


def done(state: DocumentState | None, deed: Deed, replica: str, at: str) -> DocumentState | None:
    """Give the partial state of doing a deed to a document under a name, None where it has no effect."""
    operation = deed.operation
    if isinstance(operation, Join):
        joined = operation.state
        return changed_field(state, deed.path, deed.kind, lambda known, _: _news(known, joined), at)

    def change(known: State, life: str) -> State:
        return crdt.change(known, operation, author(replica, life))

    return changed_field(state, deed.path, deed.kind, change, at)


def _news(known: State, joined: State) -> State:
    """Give a state that is to be joined, the empty one where all of it is known."""
    return crdt.empty(joined[crdt.MARK]) if crdt.includes(known, joined) else joined


def timed(operation: Operation | Join, at: str) -> Any:
    """Give an operation with the time of an assignment in it."""
    match operation:
        case Assign():
            return replace(operation, at=at)
        case Update(operation=inner):
            return replace(operation, operation=timed(inner, at))
    return operation


def remembered(deeds: Sequence[Deed], more: Sequence[Deed]) -> tuple[Deed, ...]:
    """Give deeds with later ones: amounts are summed up, and what a later deed makes void is forgotten."""
    result = list(deeds)
    for deed in more:
        place = _place(deed)
        same_place = next((one for one in result if _place(one) == place), None)
        if same_place is not None and (total := _sum(same_place.operation, deed.operation)) is not None:
            deed = deed._replace(operation=total)
        result = [one for one in result if _place(one)[: len(place)] != place]
        result.append(deed)
    return tuple(result)


def fingerprint(deeds: Sequence[Deed]) -> str | None:
    """Tell deeds from others, None where there are none."""
    return sha256(dumps([deed.to_json() for deed in deeds]).encode()).hexdigest()[:16] if deeds else None


def done_again(before: DocumentState | None, deeds: Sequence[Deed], name: str, at: str) -> DocumentState:
    """Give the partial state of doing deeds again under another name, over what is there before them.

    What has no effect there, as to remove what this very change had added, leaves no more than its time.
    """
    patch = DocumentState({}, at, {TOUCHED: at})
    now = before
    for deed in deeds:
        step = done(now, deed, name, at)
        if step is not None:
            now = merge(now, step) if now else step
            patch = merge(patch, step)
    return patch


def _place(deed: Deed) -> tuple[str, ...]:
    return ("\n".join(deed.path), *_address(deed.operation))


def _address(operation: Operation | Join) -> tuple[str, ...]:
    """Name what an operation decides; one whose address another's begins with, it makes void."""
    match operation:
        case Join(state):
            return ("joined", dumps(state))
        case Increment() | Assign() | Replace():
            return ("value",)
        case Add(element) | Remove(element):
            return ("element", dumps(element))
        case Update(key, _, inner):
            return ("key", key, *_address(inner))
        case Discard(key):
            return ("key", key)
    return ()


def _sum(first: Operation | Join, second: Operation | Join) -> Operation | None:
    match first, second:
        case Increment(a), Increment(b):
            return Increment(a + b)
        case Update(operation=inner), Update(operation=other):
            total = _sum(inner, other)
            return None if total is None else replace(second, operation=total)
    return None


def _encoded(operation: Operation | Join) -> dict[str, Any]:
    members: dict[str, Any] = {field.name: getattr(operation, field.name) for field in fields(operation)}
    if isinstance(operation, Update):
        members["operation"] = _encoded(operation.operation)
    return {"does": type(operation).__name__, **members}


def _decoded(stored: dict[str, Any]) -> Any:
    members = {name: value for name, value in stored.items() if name != "does"}
    if "operation" in members:
        members["operation"] = _decoded(members["operation"])
    return _OPERATIONS[stored["does"]](**members)
