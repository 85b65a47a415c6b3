"""Sets: one that only grows (``g_set``), and one where an addition wins over a removal at the same time (``or_set``).

``{"$crdt": "g_set", "elements": [JSON …]}``, in total order. An ``or_set`` is dots whose payloads are its elements
(Bieniusa et al., *An optimized conflict-free replicated set*, 2012); an addition replaces the dots of its element
that it has seen, so there is one for each element and each replica that added it at the same time.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from ..causality import Dot
from ..errors import SchemaError
from ..values import JSON, dumps
from .dots import Dots, Edit, all_dots, leaf, payloads
from .kind import Kind, State, as_it_is, fits_anyone, list_at, timeless
from .operations import MARK, Add, Clear, Operation, Remove, plain, unfit
from .ordering import listed, own, rank

G_SET: Final = "g_set"
OR_SET: Final = "or_set"

_FEW = 3
"""How many elements are put into a list of many one by one, and not by sorting it again."""


def _change(state: State, operation: Operation, replica: str) -> State:
    if type(operation) is not Add:
        raise unfit(G_SET, operation)
    delta: State = {MARK: G_SET, "elements": [plain(operation.element)]}
    return {MARK: G_SET, "elements": []} if _merge(state, delta) is state else delta


def _merge(a: State, b: State) -> State:
    mine, theirs = a["elements"], b["elements"]
    if len(theirs) > _FEW:
        known = {dumps(element) for element in mine}
        new = [element for element in theirs if dumps(element) not in known]
        return {MARK: G_SET, "elements": sorted([*mine, *new], key=rank)} if new else a
    result = mine
    for element in theirs:
        place = rank(element)
        at = bisect_left(result, place, key=rank)
        if at == len(result) or rank(result[at]) != place:
            result = [*result[:at], element, *result[at:]]
    return a if result is mine else {MARK: G_SET, "elements": result}


def _check(state: State, place: str) -> None:
    ranks = [rank(element) for element in list_at(state["elements"], f"{place}.elements")]
    for i in range(1, len(ranks)):
        if ranks[i - 1] >= ranks[i]:
            raise SchemaError("elements stand in order and once each", place=f"{place}.elements[{i}]")


def _change_growing(dots: Dots, operation: Operation, dot: Dot) -> Edit:
    if type(operation) is not Add:
        raise unfit(G_SET, operation)
    return _add(dots, plain(operation.element), dot)


def _change_or(dots: Dots, operation: Operation, dot: Dot) -> Edit:
    match operation:
        case Add(element):
            return _add(dots, plain(element), dot)
        case Remove(element):
            return Edit({}, _dots_with(dots, plain(element)))
        case Clear():
            return Edit({}, all_dots(dots))
    raise unfit(OR_SET, operation)


def _add(dots: Dots, element: JSON, dot: Dot) -> Edit:
    return Edit({dot[0]: [[dot[1], element]]}, [*_dots_with(dots, element), dot])


def _dots_with(dots: Dots, element: JSON) -> list[Dot]:
    """List the dots of an element."""
    text = dumps(element)
    return [
        (replica, entry[0])
        for replica, entries in dots.items()
        for entry in entries
        if entry[1] == element and dumps(entry[1]) == text
    ]


def _check_element(value: JSON, place: str) -> None:
    """Find nothing wrong: every JSON value may be an element."""


KINDS: Final = {
    G_SET: Kind(
        members=("elements",),
        empty=lambda: {MARK: G_SET, "elements": []},
        change=_change,
        merge=_merge,
        value=lambda state: [own(element) for element in state["elements"]],
        check=_check,
        check_author=fits_anyone,
        latest=timeless,
        restamped=as_it_is,
    )
}
STORES: Final = {
    G_SET: leaf(_change_growing, lambda dots: listed(payloads(dots)), _check_element),
    OR_SET: leaf(_change_or, lambda dots: listed(payloads(dots)), _check_element),
}
