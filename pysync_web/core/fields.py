"""CRDT values inside documents: what of a body is one, what a reader sees of it, and what a person does to it.

A CRDT value is a leaf of its document. The timestamp of its register is not that of its last change but of what it
was begun over (:data:`FIRST_LIFE`, or the removal of the field, or of the document): so two that were begun apart
meet as one life and are joined, and a removal ends all that it had seen begin. The time of the last change is kept
at :data:`TOUCHED`, a field that is never there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, overload

from .. import crdt
from ..causality import timestamp
from ..crdt import MARK, is_crdt
from ..errors import InvalidDocument, SchemaError
from ..values import JSON, same
from .document import TOUCHED, Body, State, life_of, place_of

MARK_TEXT: Final = f'"{MARK}"'
"""What a text has where something in it may be a CRDT value."""

RESERVED: Final = ("_key", "_version", "_timestamp")
"""The members of a document that the library gives."""

FIRST_LIFE: Final = timestamp(0)
"""The register's timestamp of a CRDT value that nothing was there before."""


def has_crdts(body: JSON) -> bool:
    """Tell whether there is a CRDT value in a body."""
    return any(True for _ in crdts_in(body))


def crdts_in(body: JSON, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], crdt.State]]:
    """Give every CRDT value in a body with the names that lead to it."""
    if type(body) is dict:
        for name, value in body.items():
            if type(value) is dict:
                if MARK in value:
                    yield (*path, name), value
                else:
                    yield from crdts_in(value, (*path, name))


@overload
def shown(body: Body) -> Body: ...


@overload
def shown(body: None) -> None: ...


def shown(body: Body | None) -> Body | None:
    """Give a body as a reader sees it: with the values of its CRDT values. It is the same object without any."""
    return None if body is None else _mapped(body, crdt.value)


def kept(old: Body, new: Body, key: str) -> Body:
    """Give a body that a person saves, with the CRDT values of the old one where it has what they show.

    What shows something else raises :class:`InvalidDocument`: a CRDT value is changed by its own calls, or removed.
    """
    result = new
    for name, value in old.items():
        if name not in new or type(value) is not dict:
            continue
        given = new[name]
        if MARK not in value:
            inner = kept(value, given, key) if type(given) is dict else given
        elif same(crdt.value(value), given):
            inner = value
        else:
            raise InvalidDocument(
                f"document {key!r}: {name!r} is a {value[MARK]}: change it by the crdt_ calls, or remove it first"
            )
        if inner is not given:
            result = {**result, name: inner}
    return result


def refuse_states(body: Body, key: str) -> None:
    """Raise :class:`InvalidDocument` where a document that a person saves has a member that marks a CRDT value."""
    if crdt.holds_mark(body):
        raise InvalidDocument(f"document {key!r}: the name {MARK!r} is taken: use the crdt_ calls")


def check_states(body: JSON, place: str) -> None:
    """Raise :class:`SchemaError` where a body from outside has a CRDT value that is none, or where none may be."""
    if type(body) is list:
        for i, value in enumerate(body):
            if is_crdt(value):
                raise SchemaError("a CRDT value can't lie in a list", place=f"{place}[{i}]", code="invalid_crdt")
            check_states(value, f"{place}[{i}]")
    elif type(body) is dict:
        if MARK in body:
            raise SchemaError(f"{MARK!r} marks a CRDT value, which a document is not", place=place)
        for name, value in body.items():
            if is_crdt(value):
                crdt.check(value, f"{place}.{name}")
            else:
                check_states(value, f"{place}.{name}")


def author(replica: str, life: str) -> str:
    """Give the name of a replica in a life of a CRDT value: what was removed is never taken for what came after."""
    return replica if life == FIRST_LIFE else f"{replica}@{life}"


def is_author(replica: str, state: State) -> bool:
    """Tell whether there are CRDT values in a state on which a replica builds under its own name."""
    names = {name.partition("@")[0] for _, value in crdts_in(state.body) for name in crdt.authors(value)}
    return replica in names


def check_authors(state: State, replica: str, known: State, place: str) -> None:
    """Raise :class:`SchemaError` where a replica's change says of others what is not known."""
    for path, delta in crdts_in(state.body):
        where = place_of(path)
        life, before = state.stamps.get(where, state.since), state_at(known.body, path)
        is_same = (
            before is not None and before[MARK] == delta[MARK] and known.stamps.get(where, known.since) == life
        )
        crdt.check_delta(delta, author(replica, life), before if is_same else None, ".".join((place, *path)))


def latest(body: JSON) -> str:
    """Give the latest timestamp in the CRDT values of a body, "" of none."""
    return max([crdt.latest(value) for _, value in crdts_in(body)], default="")


def without_crdts(state: State) -> State | None:
    """Give a partial state without its CRDT values, None where nothing is left."""
    places = {place_of(path): path for path, _ in crdts_in(state.body)}
    if not places:
        return state
    body = state.body or {}
    for path in places.values():
        body = _without(body, path)
    stamps = {place: at for place, at in state.stamps.items() if place not in places and place != TOUCHED}
    return State(body, state.since, stamps) if body or stamps else None


def joining(state: State, known: State | None, at: str) -> State:
    """Give what was made elsewhere at a time, with CRDT values that join those of a kind that are known here.

    They take the lives of these, or begin where nothing is; anything else they replace.
    """
    lives = {place_of(path): _life_here(known, path, value, at) for path, value in crdts_in(state.body)}
    if not lives:
        return state
    stamps = {place: stamp or at for place, stamp in state.stamps.items()}
    return State(state.body, state.since or at, {**stamps, **lives, TOUCHED: at})


def _life_here(known: State | None, path: tuple[str, ...], value: crdt.State, at: str) -> str:
    """Give the timestamp of the register of a CRDT value that was made elsewhere."""
    if known is None:
        return FIRST_LIFE
    node: Any = known.body or {}
    for name in path:
        if type(node) is not dict or MARK in node:
            return at
        node = node.get(name, {})
    is_free = node == {} or (is_crdt(node) and node[MARK] == value[MARK])
    return life_of(known, place_of(path), FIRST_LIFE) if is_free else at


def without_others(body: Body, wanted: Body) -> Body:
    """Give a body without the CRDT values that another has, too, but not just so; the same object without any."""
    for path, value in crdts_in(wanted):
        mine = state_at(body, path)
        if mine is not None and not same(mine, value):
            body = _without(body, path)
    return body


def joined(chosen: Body | None, other: Body | None, base: Body | None) -> Body | None:
    """Give a body with what the CRDT values of another add to it: they are never in conflict.

    One that the body has not, though ``base`` had it, was removed from it and stays so. It is the same object where
    nothing is added.
    """
    result = chosen
    for path, state in crdts_in(other) if chosen is not None else ():
        mine = _at(result, path)
        if mine is None and _at(base, path) is None and result is not None:
            result = _put(result, path, state)
        elif result is not None and is_crdt(mine) and mine[MARK] == state[MARK]:
            both = crdt.merge(mine, state)
            result = result if both is mine else _put(result, path, both)
    return result


def unshown(body: Body | None, stored: Body | None) -> Body | None:
    """Give a body that a resolver made of what is shown, with the CRDT values of a stored one where it has them."""
    result = body
    for path, state in crdts_in(stored) if body is not None else ():
        if result is not None and _at(result, path) is not None:
            result = _put(result, path, state)
    return result


def state_at(body: Body | None, path: tuple[str, ...]) -> crdt.State | None:
    """Give the CRDT value at a path, or None."""
    found: JSON = _at(body, path)
    return found if is_crdt(found) else None


def changed_field(
    state: State | None, path: tuple[str, ...], kind: str, change: Callable[[crdt.State, str], crdt.State], at: str
) -> State | None:
    """Give the partial state of a change of a CRDT value: (value, life) → delta; None where that has no effect.

    The value begins with its first change. Raises :class:`InvalidDocument` where something else is there.
    """
    found = _at(state.body if state else None, path)
    if found is not None and not (is_crdt(found) and found[MARK] == kind):
        what = f"a {found[MARK]}" if is_crdt(found) else "an ordinary value"
        raise InvalidDocument(f"{'.'.join(path)!r} is {what} here, not a {kind}: remove it first")
    _check_way(state.body if state else None, path)
    empty = crdt.empty(kind)
    place = place_of(path)
    life = life_of(state, place, FIRST_LIFE) if state else FIRST_LIFE
    delta = change(found or empty, life)
    if same(delta, empty):
        return None
    return State(_put({}, path, delta), at, {place: life, TOUCHED: at})


def field_path(field: str) -> tuple[str, ...]:
    """Give the names that lead to a field, as ``address.city`` tells it, or raise :class:`InvalidDocument`."""
    path = tuple(field.split(".")) if isinstance(field, str) else ()
    if not path or not all(path) or MARK in path:
        raise InvalidDocument(f"{field!r:.60} is not the name of a field")
    if path[0] in RESERVED:
        raise InvalidDocument(f"{field!r:.60} is no field of a document: {path[0]} is given by the library")
    return path


def _check_way(body: Body | None, path: tuple[str, ...]) -> None:
    """Raise where something that is no object stands on the way to a field."""
    node: JSON = body or {}
    for i, name in enumerate(path[:-1]):
        node = node.get(name, {})
        if type(node) is not dict or MARK in node:
            raise InvalidDocument(f"{'.'.join(path[: i + 1])!r} is no object, so there is no {'.'.join(path)!r}")


def _mapped(body: Body, change: Callable[[crdt.State], JSON]) -> Body:
    result = body
    for name, value in body.items():
        if type(value) is dict and value:
            other = change(value) if MARK in value else _mapped(value, change)
            if other is not value:
                result = {**body} if result is body else result
                result[name] = other
    return result


def _without(body: Body, path: tuple[str, ...]) -> Body:
    """Give a body without a leaf, and without what is empty then."""
    name, *rest = path
    inner = _without(body[name], tuple(rest)) if rest else {}
    others = {other: value for other, value in body.items() if other != name}
    return {**others, name: inner} if inner else others


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _put(body: Body, path: tuple[str, ...], value: JSON) -> Body:
    name, *rest = path
    inner = _put(body.get(name) or {}, tuple(rest), value) if rest else value
    return {**body, name: inner}
