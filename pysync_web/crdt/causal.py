"""Kinds whose whole state is a store of dots with its context: ``or_set``, ``mv_register`` and ``or_map``.

``{"$crdt": kind, "context": {replica: [first, last …]}, "store": …}``. A delta is the same with the dots of one
operation: those that it adds, which the store holds, and those that it has seen and replaces, which it does not.
"""

from __future__ import annotations

from typing import Final

from ..causality import MAX_VECTOR
from ..errors import InvalidDocument, SchemaError
from ..values import dumps
from .context import check_context, context_of, covers, following, is_in, join_contexts, without
from .dots import Dots, Path, Store
from .kind import Kind, State
from .maps import OR_MAP, STORES, check_nesting
from .operations import MARK, Operation
from .registers import MV_REGISTER
from .sets import OR_SET


def _kind(name: str) -> Kind:
    store = STORES[name]
    return Kind(
        members=("context", "store"),
        empty=lambda: {MARK: name, "context": {}, "store": {}},
        change=lambda state, operation, replica: _change(store, state, operation, replica),
        merge=lambda a, b: _merge(store, a, b),
        value=lambda state: store.value(state["store"]),
        check=lambda state, place: _check(store, state, place),
        check_author=lambda delta, replica, known, place: _check_author(store, delta, replica, known, place),
        latest=lambda state: store.latest(state["store"]),
        restamped=lambda state, at, later: {**state, "store": store.restamped(state["store"], at, later)},
    )


def _change(store: Store, state: State, operation: Operation, replica: str) -> State:
    check_nesting(operation)
    context = state["context"]
    if replica not in context and len(context) >= MAX_VECTOR:
        raise InvalidDocument(f"{state[MARK]} has the dots of {MAX_VECTOR} replicas already")
    edit = store.change(state["store"], operation, (replica, following(context, replica)))
    return {MARK: state[MARK], "context": context_of(edit.dots), "store": edit.store}


def _merge(store: Store, a: State, b: State) -> State:
    joined = store.join(a["store"], a["context"], b["store"], b["context"])
    context = join_contexts(a["context"], b["context"])
    if joined is a["store"] and context is a["context"]:
        return a
    return {MARK: a[MARK], "context": context, "store": joined}


def _check(store: Store, state: State, place: str) -> None:
    context = check_context(state["context"], f"{place}.context")
    store.check(state["store"], f"{place}.store")
    met: set[tuple[str, int]] = set()
    for path, dots in store.leaves(state["store"]):
        for replica, entries in dots.items():
            ranges = context.get(replica, [])
            for n, _ in entries:
                if not is_in(ranges, n):
                    problem = f"the context does not contain dot {n} of {replica!r}"
                    raise SchemaError(problem, place=_place(place, path, replica))
                if (replica, n) in met:
                    raise SchemaError(f"dot {n} of {replica!r} stands twice", place=_place(place, path, replica))
                met.add((replica, n))


def _check_author(store: Store, delta: State, replica: str, known: State, place: str) -> None:
    """Look at what a delta says of others, which must be known, and of known dots, which must be the same."""
    if not covers(known["context"], without(delta["context"], replica)):
        raise SchemaError("dots of other replicas that nobody knows", place=f"{place}.context", code="not_own")
    have: dict[Path, Dots] = dict(store.leaves(known["store"]))
    for path, dots in store.leaves(delta["store"]):
        for author, entries in dots.items():
            payloads = dict(have.get(path, {}).get(author, []))
            for n, payload in entries:
                if n in payloads and dumps(payloads[n]) != dumps(payload):
                    problem = f"dot {n} of {author!r} is known with something else"
                    raise SchemaError(problem, place=_place(place, path, author), code="dot_reused")


def _place(place: str, path: Path, replica: str) -> str:
    return ".".join([place, "store", *path, replica])


KINDS: Final = {name: _kind(name) for name in (OR_SET, MV_REGISTER, OR_MAP)}
