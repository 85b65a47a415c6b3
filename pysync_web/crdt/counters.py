"""Counters: what each replica has added, and for a ``pn_counter`` taken away; their sum is the value.

As a whole state every replica's totals only grow, and the larger ones stand (Shapiro et al., *A comprehensive study
of CRDTs*, 2011): ``{"$crdt": "g_counter", "counts": {replica: up}}``, ``{"$crdt": "pn_counter", "counts": {replica:
[up, down]}}``, without zeros. Inside a map each replica's totals lie under the dot of its last increment, so that a
removal takes what it has seen (Almeida, Shoker, Baquero, section 7.4; Riak does the same). An increment that a
removal has not seen brings back all that its replica counted there since the last removal that it knew: an increment
may be counted although its sum was removed at the same time, and is never lost.
"""

from __future__ import annotations

from typing import Final

from ..causality import MAX_VECTOR, Dot
from ..errors import InvalidDocument, SchemaError
from ..values import JSON, MAX_INTEGER
from .context import check_number, check_replicas
from .dots import Dots, Edit, Store, leaf, payloads
from .kind import Kind, State, as_it_is, list_at, object_at, timeless
from .operations import MARK, Increment, Operation, unfit

G_COUNTER: Final = "g_counter"
PN_COUNTER: Final = "pn_counter"


def _kind(name: str) -> Kind:
    return Kind(
        members=("counts",),
        empty=lambda: {MARK: name, "counts": {}},
        change=_change,
        merge=_merge,
        value=lambda state: _sum(list(state["counts"].values())),
        check=_check,
        check_author=_check_author,
        latest=timeless,
        restamped=as_it_is,
    )


def _change(state: State, operation: Operation, replica: str) -> State:
    counts, name = state["counts"], state[MARK]
    amount = _amount(name, operation)
    if not amount:
        return {MARK: name, "counts": {}}
    if replica not in counts and len(counts) >= MAX_VECTOR:
        raise InvalidDocument(f"{name} has the counts of {MAX_VECTOR} replicas already")
    mine = [counts[replica]] if replica in counts else []
    total = _added(name, mine, amount)
    _check_sum(name, _sum(list(counts.values())), amount)
    return {MARK: name, "counts": {replica: total}}


def _merge(a: State, b: State) -> State:
    mine = a["counts"]
    result = mine
    for replica, theirs in b["counts"].items():
        count = mine.get(replica)
        larger = theirs if count is None else _larger(count, theirs)
        if larger != count:
            if result is mine:
                result = dict(mine)
            result[replica] = larger
    return a if result is mine else {MARK: a[MARK], "counts": result}


def _check(state: State, place: str) -> None:
    counts = object_at(state["counts"], f"{place}.counts")
    check_replicas(counts, f"{place}.counts")
    check = _check_up if state[MARK] == G_COUNTER else _check_both
    for replica, count in counts.items():
        check(count, f"{place}.counts.{replica}")


def _check_author(delta: State, replica: str, known: State, place: str) -> None:
    for other, count in delta["counts"].items():
        have = known["counts"].get(other)
        if other != replica and (have is None or _larger(have, count) != have):
            raise SchemaError(
                f"only {other!r} may count for itself", place=f"{place}.counts.{other}", code="not_own"
            )


def _store(name: str) -> Store:
    def change(dots: Dots, operation: Operation, dot: Dot) -> Edit:
        replica, n = dot
        amount = _amount(name, operation)
        if not amount:
            return Edit({}, [])
        mine = dots.get(replica, [])
        total = _added(name, [entry[1] for entry in mine], amount)
        _check_sum(name, _sum(payloads(dots)), amount)
        return Edit({replica: [[n, total]]}, [*((replica, entry[0]) for entry in mine), dot])

    return leaf(change, lambda dots: _sum(payloads(dots)), _check_up if name == G_COUNTER else _check_both)


def _amount(name: str, operation: Operation) -> int:
    if type(operation) is not Increment:
        raise unfit(name, operation)
    amount = operation.amount
    if type(amount) is not int or not -MAX_INTEGER <= amount <= MAX_INTEGER:
        raise InvalidDocument(f"an amount is an integer within ±(2^53-1), not {amount!r:.40}")
    if amount < 0 and name == G_COUNTER:
        raise InvalidDocument(f"a {G_COUNTER} only grows: {amount} needs a {PN_COUNTER}")
    return amount


def _added(name: str, totals: list[JSON], amount: int) -> JSON:
    """Add an amount to the sum of a replica's totals."""
    if name == G_COUNTER:
        up: int = sum(totals) + amount
        return _checked_total(up, name)
    up, down = sum(total[0] for total in totals), sum(total[1] for total in totals)
    return [_checked_total(up + max(amount, 0), name), _checked_total(down + max(-amount, 0), name)]


def _checked_total(total: int, name: str) -> int:
    if total > MAX_INTEGER:
        raise InvalidDocument(f"{name}: a replica can't count past 2^53-1")
    return total


def _check_sum(name: str, before: int, amount: int) -> None:
    """Raise where an amount leads out of range; one that leads back is welcome, for several replicas may lead out."""
    after = before + amount
    if abs(after) > MAX_INTEGER and abs(after) > abs(before):
        raise InvalidDocument(f"{name}: {after} lies outside ±(2^53-1)")


def _sum(totals: list[JSON]) -> int:
    """Add up totals of either kind."""
    return sum([total if type(total) is int else total[0] - total[1] for total in totals])


def _larger(a: JSON, b: JSON) -> JSON:
    return max(a, b) if type(a) is int else [max(a[0], b[0]), max(a[1], b[1])]


def _check_up(value: JSON, place: str) -> None:
    check_number(value, place)


def _check_both(value: JSON, place: str) -> None:
    if len(list_at(value, place)) != 2:
        raise SchemaError("what was added and what was taken away were due", place=place)
    check_number(value[0], f"{place}[0]", 0)
    check_number(value[1], f"{place}[1]", 0)
    if value == [0, 0]:
        raise SchemaError("a replica that has counted nothing has no entry", place=place)


KINDS: Final = {name: _kind(name) for name in (G_COUNTER, PN_COUNTER)}
STORES: Final = {name: _store(name) for name in (G_COUNTER, PN_COUNTER)}
