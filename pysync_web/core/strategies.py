"""The strategies: plain, repeatable functions from a conflict to a resolution, or to a reason to wait.

``LAST_WRITE_WINS`` and ``LARGER_WINS`` come to the same on every replica; the others are decided by the one replica
whose change meets another at the server, and its decision dominates both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..errors import InvalidDocument
from ..values import dumps
from .conflict import (
    AcceptLocal,
    AcceptRemote,
    Conflict,
    ConflictStrategy,
    Custom,
    Decision,
    Merge,
    Resolution,
    Strategy,
    ThreeWayMerge,
    Wait,
    last_write_wins,
)
from .document import Body
from .three_way import ABSENT, Clash, merge_three

_THREE_WAY: Final = "three_way_merge/"
_CUSTOM: Final = "custom/"


def first_write_wins(conflict: Conflict) -> Resolution:
    """Let what the server has stand: the change that came there first."""
    del conflict
    return AcceptRemote()


def local_wins(conflict: Conflict) -> Resolution:
    """Let the version of the replica that decides stand."""
    del conflict
    return AcceptLocal()


def remote_wins(conflict: Conflict) -> Resolution:
    """Let the other version stand."""
    del conflict
    return AcceptRemote()


def larger_wins(conflict: Conflict) -> Resolution:
    """Let the version with the longer canonical text stand, of equally long ones the later; a delete has none."""
    sizes = [0 if body is None else len(dumps(body)) for body in (conflict.local, conflict.remote)]
    if sizes[0] == sizes[1]:
        return last_write_wins(conflict)
    return AcceptLocal() if sizes[0] > sizes[1] else AcceptRemote()


def manual(conflict: Conflict) -> Wait:
    """Decide nothing."""
    del conflict
    return Wait("it is to be resolved by hand")


def three_way_merge(conflict: Conflict, fallback: Callable[[Conflict], Decision] = manual) -> Decision:
    """Do to the base what each side did; ask ``fallback`` where both did something else to one thing."""
    local, remote = conflict.local, conflict.remote
    if local is None or remote is None:
        return _clashing(fallback(conflict), ("",))
    merged = merge_three(conflict.base, local, remote)
    if not merged.clashes:
        return Merge(merged.body, ({}, {}))
    decision = fallback(conflict)
    match decision:
        case AcceptLocal():
            given_up: tuple[Body, Body] = ({}, _part(remote, merged.clashes))
        case AcceptRemote():
            merged = merge_three(conflict.base, local, remote, "remote")
            given_up = (_part(local, merged.clashes), {})
        case _:
            return _clashing(decision, tuple(dict.fromkeys(clash.path for clash in merged.clashes)))
    return Merge(merged.body, given_up)


_PLAIN: Final[Mapping[ConflictStrategy, Callable[[Conflict], Decision]]] = MappingProxyType(
    {
        ConflictStrategy.LAST_WRITE_WINS: last_write_wins,
        ConflictStrategy.MERGE_FIELDS: last_write_wins,
        ConflictStrategy.FIRST_WRITE_WINS: first_write_wins,
        ConflictStrategy.THREE_WAY_MERGE: three_way_merge,
        ConflictStrategy.LOCAL_WINS: local_wins,
        ConflictStrategy.REMOTE_WINS: remote_wins,
        ConflictStrategy.LARGER_WINS: larger_wins,
        ConflictStrategy.MANUAL: manual,
    }
)


def decide(strategy: Strategy, conflict: Conflict) -> Decision:
    """Decide a conflict; a strategy that is a function of the application is to be asked by the caller."""
    match strategy:
        case Custom():
            return Wait("a resolver is to be asked", asks=True)
        case ThreeWayMerge(fallback):
            return three_way_merge(conflict, lambda same: decide(fallback, same))
    return _PLAIN[strategy](conflict)


def encode_strategy(strategy: Strategy) -> str:
    """Give a strategy's name, as it is kept with a change; raise :class:`InvalidDocument` for a bare function."""
    match strategy:
        case Custom(str() as name):
            return _CUSTOM + name
        case Custom():
            raise InvalidDocument(
                "a function does not survive a restart: name it in SyncConfig.resolvers, and give the name"
            )
        case ThreeWayMerge(fallback):
            return _THREE_WAY + encode_strategy(fallback)
    return str(strategy.value)


def decode_strategy(name: str) -> Strategy:
    """Read what :func:`encode_strategy` gave."""
    if name.startswith(_CUSTOM):
        return Custom(name[len(_CUSTOM) :])
    if name.startswith(_THREE_WAY):
        fallback: Any = decode_strategy(name[len(_THREE_WAY) :])
        return ThreeWayMerge(fallback)
    return ConflictStrategy(name)


def _clashing(decision: Decision, clashes: tuple[str, ...]) -> Decision:
    """Say where both sides clash, if the conflict has to wait for that."""
    if not isinstance(decision, Wait):
        return decision
    places = ", ".join(clash or "the document as a whole" for clash in clashes[:8])
    return Wait(f"both sides changed {places}; {decision.reason}", decision.asks, clashes)


def _part(side: Body, clashes: tuple[Clash, ...]) -> Body:
    """Give what a side had where both clash: its leaves, a list or a text as a whole."""
    part: Body = {}
    for clash in clashes:
        source, target = side, part
        names = [name.replace("~1", "/").replace("~0", "~") for name in clash.path[1:].split("/")]
        for i, name in enumerate(names):
            value = source.get(name, ABSENT)
            if value is ABSENT:
                break
            if type(value) is not dict or i == len(names) - 1:
                target[name] = value
                break
            source, target = value, target.setdefault(name, {})
    return part
