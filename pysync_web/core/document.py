"""A document as registers: every leaf has the timestamp of its last change, so two states merge field by field.

A *state* is a body and stamps. A leaf is a scalar, a list, an empty object or a CRDT value; its register lies at its
path, a JSON Pointer (RFC 6901). A register dominates older ones at its own path and below it; two CRDT values of one
kind with the same timestamp are joined. Merging is the union of registers without the dominated ones: commutative,
associative, idempotent (an LWW-element map; Shapiro et al., *A comprehensive study of CRDTs*, 2011). The same shape
serves a whole document, a partial change and a delete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from .. import crdt
from ..causality import VersionVector
from ..crdt import MARK, is_crdt
from ..values import JSON, dumps, loads, same

Body: TypeAlias = dict[str, JSON]


class State(NamedTuple):
    """A body (None: absent) whose leaves were written at ``since``, except where ``stamps`` says otherwise.

    ``stamps`` maps JSON Pointers to timestamps: leaves with a stamp of their own, and paths without a leaf (a
    field that was removed, an object that was reset; ``""`` is the document itself).
    """

    body: Body | None
    since: str
    stamps: Mapping[str, str] = MappingProxyType({})

    @property
    def timestamp(self) -> str:
        """The latest timestamp of all registers."""
        return max(self.since, *self.stamps.values()) if self.stamps else self.since


class Document(NamedTuple):
    """A state with its version and the id of the change that last touched it."""

    state: State
    version: VersionVector
    op_id: str = ""

    @property
    def body(self) -> Body | None:
        """The fields, None where the document is deleted."""
        return self.state.body

    @property
    def timestamp(self) -> str:
        """The latest timestamp of all fields."""
        return self.state.timestamp


ABSENT: Final = State(None, "")
"""The state of a document that nobody has written."""

TOUCHED: Final = f"/{MARK}"
"""The path whose stamp is the time of the last change of a CRDT value; there is never anything at it."""

_REMOVED: Final = object()
_Registers: TypeAlias = "dict[str, tuple[str, Any]]"


def inserted(body: Body, at: str) -> State:
    """Give the state of a new document."""
    return State(body, at) if body else State({}, at, {"": at})


def deleted(at: str) -> State:
    """Give the state of a document that was deleted: a tombstone."""
    return State(None, at, {"": at})


def changed(
    old: Body, new: Body, at: str, life_at: Callable[[str], str | None] = lambda place: None
) -> State | None:
    """Give the partial state that turns one body into another, or None where they are the same.

    Nested objects are compared member by member, everything else is one leaf. Of a CRDT value what is new is what
    the old one does not include; ``life_at`` gives the timestamp of its register.
    """
    body: Body = {}
    stamps: dict[str, str] = {}
    if old and not new:
        return State({}, at, {"": at})
    _compare(old, new, "", body, stamps, at)
    for path in [path for path in stamps if path and not stamps[path]]:
        stamps[path] = life_at(path) or at
        stamps[TOUCHED] = at
    return State(body, at, stamps) if body or stamps else None


def merge(a: State, b: State) -> State:
    """Give the least state that contains all registers of both which nothing dominates."""
    if not a.since and not a.stamps:
        return b
    if not b.since and not b.stamps:
        return a
    if _buries(b, (a,)):
        return b
    return _merge_flat((a, b)) if _is_flat(a) and _is_flat(b) else _merge_deep((a, b))


def merge_all(states: Sequence[State]) -> State:
    """Give what merging states one after the other gives, with the work of one merge; of none, the absent one."""
    known = [state for state in states if state.since or state.stamps]
    if len(known) < 2:
        return known[0] if known else ABSENT
    if _buries(known[-1], known[:-1]):
        return known[-1]
    return _merge_flat(known) if all(map(_is_flat, known)) else _merge_deep(known)


def restamped(state: State, at: str, later_than: str = "") -> State:
    """Give the same change as if what in it is later than a time, by default all, had been made at another."""
    body = _restamped_crdts(state.body, at, later_than)
    since = at if not state.since or state.since > later_than else state.since
    stamps = {path: at if not stamp or stamp > later_than else stamp for path, stamp in state.stamps.items()}
    stamps |= {path: stamp for path, stamp in state.stamps.items() if is_crdt(_lookup(body, path))}
    return State(
        body,
        since,
        {path: stamp for path, stamp in stamps.items() if stamp != since or not _is_leaf(body, path)},
    )


def removals(state: State) -> list[str]:
    """List the JSON Pointers of the fields that a partial state removes."""
    return sorted(path for path in state.stamps if path and _lookup(state.body, path) is _REMOVED)


def life_of(state: State, path: str, first: str) -> str:
    """Give the timestamp of the register of a CRDT value at a path, or of the one that is to begin there.

    That is ``first``, or the time of the last register at the path or above it: what begins now had seen that.
    """
    registers = _registers(state)
    here = registers.get(path)
    if here is not None and is_crdt(here[1]):
        return here[0]
    return max([first, *(registers[upper][0] for upper in (path, *_above(path)) if upper in registers)])


def place_of(names: Iterable[str]) -> str:
    """Give the JSON Pointer of the names that lead to a leaf."""
    path = ""
    for name in names:
        path = _join(path, name)
    return path


def lost(before: State, after: State, known: Body | None = None) -> State | None:
    """Give the part of a state whose values did not survive in another, or None.

    Values that ``known`` has too do not count: whoever replaced them had seen them.
    """
    body: Body = {}
    stamps: dict[str, str] = {}
    for path, (stamp, value) in _registers(before).items():
        survivor = _lookup(after.body, path)
        gone = survivor is _REMOVED or not _survives(value, survivor)
        if path and gone and value is not _REMOVED and value != {}:
            seen = _lookup(known, path)
            if seen is not _REMOVED and _survives(value, seen):
                continue
            _assign(body, path, value)
            stamps[path] = stamp
    return State(body, before.since, stamps) if stamps else None


def news(before: State, after: State) -> State | None:
    """Give the part of a state whose registers another has not just so, or None: merged into that, it gives both."""
    known = _registers(before)
    fresh = {
        path: register
        for path, register in _registers(after).items()
        if path not in known or not _is_same_register(register, known[path])
    }
    return _render(fresh, _all_above(fresh)) if fresh else None


def part(state: State, paths: Collection[str]) -> State | None:
    """Give the part of a state that lies in the registers at some paths, or None where there are none of them."""
    found = {path: register for path, register in _registers(state).items() if path in paths}
    return _render(found, _all_above(found)) if found else None


def paths_of(state: State) -> list[str]:
    """List the JSON Pointers of a state's registers, in order."""
    return sorted(_registers(state))


def united(a: State, b: State) -> State:
    """Give what two replicas without a server make of their states of one document: the same on both.

    It is what :func:`merge` gives, but for a delete that meets a document with changes that are no earlier: that
    stands whole, its older fields as if they had been written at the time of the delete.
    """
    if (a.body is None) != (b.body is None):
        gone, there = (a, b) if a.body is None else (b, a)
        if there.timestamp >= gone.timestamp:
            return merge(_raised(there, gone.timestamp), gone)
    return merge(a, b)


def encode_state(state: State) -> dict[str, JSON]:
    """Give the members that store a state: ``b`` body, ``d`` since, ``s`` stamps."""
    stored: dict[str, JSON] = {"b": state.body, "d": state.since}
    if state.stamps:
        stored["s"] = state.stamps
    return stored


def decode_state(stored: dict[str, JSON]) -> State:
    """Read what :func:`encode_state` gave."""
    return State(stored["b"], stored["d"], stored["s"]) if "s" in stored else State(stored["b"], stored["d"])


def copy_body(body: Body) -> Body:
    """Give a body that shares nothing with the first."""
    result: Body = loads(dumps(body))
    return result


def _raised(state: State, at: str) -> State:
    """Give a document whose fields are no older than a time; what it had removed before then, it no longer tells."""
    gone = {path for path in removals(state) if state.stamps[path] < at}
    stamps = {path: max(stamp, at) for path, stamp in state.stamps.items() if path not in gone}
    return State(state.body, max(state.since, at), stamps)


def _is_same_register(one: tuple[str, Any], other: tuple[str, Any]) -> bool:
    if one[0] != other[0] or _REMOVED in (one[1], other[1]):
        return one[0] == other[0] and one[1] is other[1]
    return same(one[1], other[1])


def _compare(old: Body, new: Body, path: str, body: Body, stamps: dict[str, str], at: str) -> None:
    for name in old.keys() - new.keys():
        stamps[_join(path, name)] = at
    for name, value in new.items():
        before = old.get(name, _REMOVED)
        if before is not _REMOVED and same(before, value):
            continue
        if is_crdt(value):
            if not _survives(value, before):
                body[name] = value
                stamps[_join(path, name)] = ""  # its life, which is put in later
        elif type(value) is dict and value and type(before) is dict and before and MARK not in before:
            inner: Body = {}
            _compare(before, value, _join(path, name), inner, stamps, at)
            if inner:
                body[name] = inner
        else:
            body[name] = value


def _survives(value: JSON, other: Any) -> bool:
    """Tell whether a value is the same as another, or a CRDT value that another includes."""
    if _are_of_one_kind(value, other):
        return crdt.includes(other, value)
    return same(other, value)


def _restamped_crdts(body: JSON, at: str, later_than: str) -> Any:
    """Give a body whose CRDT values have another time where theirs is later than one."""
    if type(body) is not dict:
        return body
    if MARK in body:
        return crdt.restamped(body, at, later_than)
    return {name: _restamped_crdts(value, at, later_than) for name, value in body.items()}


def _buries(state: State, others: Sequence[State]) -> bool:
    """Tell whether a state is the tombstone of a document and later than everything in others: it is what is left."""
    if state.body is not None or len(state.stamps) != 1 or state.stamps.get("") != state.since:
        return False
    return all(other.timestamp < state.since for other in others)


def _merge_deep(states: Sequence[State]) -> State:
    registers: _Registers = {}
    for state in states:
        _unite(registers, _registers(state))
    above = _all_above(registers)
    kept = _prune(registers, above)
    return _render(kept, above if len(kept) == len(registers) else _all_above(kept))


def _is_flat(state: State) -> bool:
    """Tell whether a state has no register deeper than the document's own members."""
    if state.body:
        for value in state.body.values():
            if type(value) is dict and value:
                return False
    return all(path.rfind("/") <= 0 for path in state.stamps) if state.stamps else True


def _merge_flat(states: Sequence[State]) -> State:
    """Give what :func:`_merge_deep` gives, for the usual document, in a fraction of the time."""
    registers: _Registers = {}
    root: tuple[str, Any] | None = None
    for state in states:
        other = _unite_flat(registers, state)
        if other is not None and (root is None or _beats(other, root)):
            root = other
    if root is not None:
        registers = {name: register for name, register in registers.items() if register[0] >= root[0]}
        if not registers:
            return State(None if root[1] is _REMOVED else {}, root[0], {"": root[0]})
    body = {name: value for name, (_, value) in registers.items() if value is not _REMOVED}
    since = _common([registers[name][0] for name in body])
    if not since:
        since = max([stamp for stamp, _ in registers.values()], default="")
        since = max(since, root[0]) if root is not None else since
    stamps = {
        _join("", name): stamp for name, (stamp, value) in registers.items() if stamp != since or value is _REMOVED
    }
    if root is not None:
        stamps[""] = root[0]
    return State(body, since, stamps)


def _unite_flat(registers: _Registers, state: State) -> tuple[str, Any] | None:
    """Add a flat state's registers by the names of its members; give the document's own."""
    since, stamps = state.since, state.stamps
    mine: _Registers = {name: (since, value) for name, value in (state.body or {}).items()}
    root = None
    for path, stamp in stamps.items():
        if not path:
            root = (stamp, _REMOVED if state.body is None else {})
            continue
        name = _name(path[1:])
        mine[name] = (stamp, mine[name][1] if name in mine else _REMOVED)
    _unite(registers, mine)
    return root


def _unite(registers: _Registers, others: _Registers) -> None:
    """Let of two registers at one path the later one stand; CRDT values of one life and kind are joined."""
    if not registers:
        registers.update(others)
        return
    for path, register in others.items():
        mine = registers.get(path)
        if mine is None or _beats(register, mine):
            registers[path] = register
        elif type(mine[1]) is dict and mine[0] == register[0] and _are_of_one_kind(mine[1], register[1]):
            registers[path] = (mine[0], crdt.merge(mine[1], register[1]))


def _are_of_one_kind(a: JSON, b: JSON) -> bool:
    return is_crdt(a) and is_crdt(b) and bool(a[MARK] == b[MARK])


def _beats(register: tuple[str, Any], other: tuple[str, Any]) -> bool:
    return register[0] > other[0] if register[0] != other[0] else _rank(register) > _rank(other)


def _registers(state: State) -> _Registers:
    """Give path → (stamp, value) of every register; an object that only resets has the value {}."""
    registers: _Registers = {}
    stamps = state.stamps
    if state.body is not None:
        _collect(state.body, "", state, registers)
    for path, stamp in stamps.items():
        if path not in registers:
            registers[path] = (stamp, _REMOVED if _lookup(state.body, path) is _REMOVED else {})
    return registers


def _collect(body: Body, path: str, state: State, registers: _Registers) -> None:
    since, stamps = state.since, state.stamps
    for name, value in body.items():
        where = f"{path}/{name}" if name.isalnum() else _join(path, name)
        if (
            type(value) is not dict
            or MARK in value
            or (not value and (where in stamps or not _has_below(stamps, where)))
        ):
            registers[where] = (stamps.get(where, since), value)
        elif value:
            _collect(value, where, state, registers)


def _prune(registers: _Registers, above: set[str]) -> _Registers:
    """Drop every register that a newer one at a path above it dominates."""
    resets = {path: registers[path][0] for path in above if path in registers}
    if not resets:
        return registers
    latest = max(resets.values())
    return {
        path: register
        for path, register in registers.items()
        if register[0] >= latest or not any(resets.get(upper, "") > register[0] for upper in _above(path))
    }


def _render(registers: _Registers, inner: set[str]) -> State:
    """Build the body of a set of registers and the shortest stamps for it.

    A path with a register below it (``inner``) is an object, even where that register says that a member was removed.
    """
    paths = sorted(registers)
    if len(paths) == 1 and not paths[0] and registers[""][1] is _REMOVED:
        return deleted(registers[""][0])
    body: Body = {}
    objects = {"": body}
    leaves: list[str] = []
    for path in paths:
        value = registers[path][1]
        if path in inner:
            _object_at(path, objects)
        elif path:
            end = path.rindex("/")
            parent = _object_at(path[:end], objects)
            if value is not _REMOVED:
                parent[_name(path[end + 1 :])] = value if type(value) is not dict or value else {}
                if not is_crdt(value):  # its time is that of its life
                    leaves.append(path)
    leaves += [path for path in inner if path and path in registers and not objects[path]]
    since = _common([registers[path][0] for path in leaves]) or max([stamp for stamp, _ in registers.values()])
    unstamped = {path for path in leaves if registers[path][0] == since} - inner
    return State(body, since, {path: registers[path][0] for path in paths if path not in unstamped})


def _object_at(path: str, objects: dict[str, Body]) -> Body:
    """Give the object at a path, made where it is not there yet."""
    found = objects.get(path)
    if found is None:
        end = path.rindex("/")
        found = objects[path] = {}
        _object_at(path[:end], objects)[_name(path[end + 1 :])] = found
    return found


def _common(stamps: Sequence[str]) -> str:
    """Give the stamp that most leaves have, the latest of several, "" of none."""
    counts = dict.fromkeys(stamps, 0)
    if len(counts) < 2:
        return stamps[0] if stamps else ""
    for stamp in stamps:
        counts[stamp] += 1
    most = max(counts.values())
    return max([stamp for stamp, count in counts.items() if count == most])


def _rank(register: tuple[str, Any]) -> tuple[str, int, str]:
    stamp, value = register
    if value is _REMOVED:
        return stamp, 0, ""
    if type(value) is dict:
        return stamp, 3 if value else 2, str(value.get(MARK, ""))
    return stamp, 1, dumps(value)


def _assign(body: Body, path: str, value: Any) -> None:
    """Set a leaf, or make sure that it is absent; what stands in the way of the path becomes an object."""
    names = split_place(path)
    node = body
    for name in names[:-1]:
        child = node.get(name)
        if type(child) is not dict:
            child = node[name] = {}
        node = child
    if value is not _REMOVED:
        node[names[-1]] = {} if value == {} else value


def _lookup(body: Body | None, path: str) -> Any:
    """Give the value at a path, or ``_REMOVED``."""
    if body is None:
        return _REMOVED
    node: JSON = body
    for name in split_place(path) if path else ():
        if type(node) is not dict or name not in node:
            return _REMOVED
        node = node[name]
    return node


def _is_leaf(body: Body | None, path: str) -> bool:
    """Tell whether a body has a scalar, a list or an empty object at a path that is not the document itself."""
    found = _lookup(body, path)
    return bool(path) and found is not _REMOVED and not (type(found) is dict and found and MARK not in found)


def _has_below(paths: Collection[str], path: str) -> bool:
    start = path + "/"
    return any(other.startswith(start) for other in paths)


def _above(path: str) -> Iterator[str]:
    while path:
        path = path[: path.rindex("/")]
        yield path


def _all_above(paths: Iterable[str]) -> set[str]:
    """Give every path that lies above one of several."""
    found: set[str] = set()
    for path in paths:
        while path:
            path = path[: path.rindex("/")]
            if path in found:
                break
            found.add(path)
    return found


def _join(path: str, name: str) -> str:
    if "~" in name or "/" in name:
        name = name.replace("~", "~0").replace("/", "~1")
    return f"{path}/{name}"


def split_place(path: str) -> list[str]:
    """Give the names in a JSON Pointer, from the outermost."""
    return [_name(part) for part in path[1:].split("/")]


def _name(part: str) -> str:
    """Give a member's name from its part of a path."""
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part
