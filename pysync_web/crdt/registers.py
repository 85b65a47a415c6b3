"""Registers: one value, the last that was written (``lww_register``), or all that nothing replaced (``mv_register``).

``{"$crdt": "lww_register", "at": timestamp, "by": replica, "value": JSON}``, without the three where nobody has
written. The later timestamp wins, then the replica's id, then the value's text, as documents do it. Inside a map the
writes lie under dots: ``[timestamp, value]``. An ``mv_register`` is dots everywhere, their payloads are its values.
"""

from __future__ import annotations

from typing import Final

from ..causality import Dot, normalize_timestamp
from ..errors import InvalidDocument, SchemaError
from ..values import JSON, dumps, loads
from .context import is_replica
from .dots import Dots, Edit, all_dots, leaf, payloads
from .kind import Kind, State, list_at
from .operations import MARK, Assign, Clear, Operation, Replace, plain, unfit
from .ordering import listed, own

LWW_REGISTER: Final = "lww_register"
MV_REGISTER: Final = "mv_register"


def _empty() -> State:
    return {MARK: LWW_REGISTER}


def _change(state: State, operation: Operation, replica: str) -> State:
    at, value = _assigned(operation)
    delta = {MARK: LWW_REGISTER, "at": at, "by": replica, "value": value}
    return delta if _merge(state, delta) is delta else _empty()


def _merge(a: State, b: State) -> State:
    if "at" not in a or "at" not in b:
        return a if "at" in a or "at" not in b else b
    return b if _written(b) > _written(a) else a


def _written(state: State) -> tuple[str, str, str]:
    return state["at"], state["by"], dumps(state["value"])


def _check(state: State, place: str) -> None:
    if len(state) == 1:
        return
    for name in ("at", "by", "value"):
        if name not in state:
            raise SchemaError("is missing", place=f"{place}.{name}")
    _check_time(state["at"], f"{place}.at")
    if not is_replica(state["by"]):
        raise SchemaError(f"{state['by']!r:.60} is not a replica's id", place=f"{place}.by")


def _check_author(delta: State, replica: str, known: State, place: str) -> None:
    if delta.get("by", replica) != replica and _merge(known, delta) is not known:
        raise SchemaError(f"only {delta['by']!r} may write in its name", place=f"{place}.by", code="not_own")


def _restamped(state: State, at: str, later_than: str) -> State:
    return {**state, "at": at} if state.get("at", "") > later_than else state


def _change_lww(dots: Dots, operation: Operation, dot: Dot) -> Edit:
    at, value = _assigned(operation)
    if max(_writes(dots), default=("", "", "")) >= (at, dot[0], dumps(value)):
        return Edit({}, [])
    return Edit({dot[0]: [[dot[1], [at, value]]]}, [*all_dots(dots), dot])


def _value_lww(dots: Dots) -> JSON:
    return loads(max(_writes(dots))[2]) if dots else None


def _writes(dots: Dots) -> list[tuple[str, str, str]]:
    """List time, replica and canonical text of all writes."""
    return [(time, replica, dumps(value)) for replica, entries in dots.items() for _, (time, value) in entries]


def _check_write(value: JSON, place: str) -> None:
    if len(list_at(value, place)) != 2:
        raise SchemaError("a timestamp and a value were due", place=place)
    _check_time(value[0], f"{place}[0]")


def _latest(dots: Dots) -> str:
    return max([payload[0] for payload in payloads(dots)], default="")


def _restamped_dots(dots: Dots, at: str, later_than: str) -> Dots:
    if _latest(dots) <= later_than:
        return dots
    return {
        replica: [[n, [at if time > later_than else time, value]] for n, (time, value) in entries]
        for replica, entries in dots.items()
    }


def _assigned(operation: Operation) -> tuple[str, JSON]:
    """Give the time and the value of an assignment, looked at."""
    if type(operation) is not Assign:
        raise unfit(LWW_REGISTER, operation)
    try:
        _check_time(operation.at, "at")
    except SchemaError as error:
        raise InvalidDocument(str(error)) from error
    return operation.at, plain(operation.value)


def _check_time(value: JSON, place: str) -> None:
    if normalize_timestamp(value, place) != value:
        raise SchemaError(f"{value!r:.60} is not written as a hybrid timestamp", place=place)


def _change_mv(dots: Dots, operation: Operation, dot: Dot) -> Edit:
    match operation:
        case Replace(value):
            return Edit({dot[0]: [[dot[1], plain(value)]]}, [*all_dots(dots), dot])
        case Clear():
            return Edit({}, all_dots(dots))
    raise unfit(MV_REGISTER, operation)


KINDS: Final = {
    LWW_REGISTER: Kind(
        members=("at", "by", "value"),
        empty=_empty,
        change=_change,
        merge=_merge,
        value=lambda state: own(state.get("value")),
        check=_check,
        check_author=_check_author,
        latest=lambda state: str(state.get("at", "")),
        restamped=_restamped,
    )
}
STORES: Final = {
    LWW_REGISTER: leaf(_change_lww, _value_lww, _check_write, _latest, _restamped_dots),
    MV_REGISTER: leaf(_change_mv, lambda dots: listed(payloads(dots)), lambda value, place: None),
}
