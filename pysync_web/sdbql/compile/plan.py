"""The order in which clauses work: conditions are taken apart and moved as early as their variables allow.

Only a condition that can't fail is moved, and never past a clause that counts, groups or writes rows: so no query
gets an error or a row by it. LETs before all rows stay before all conditions, too: their variables are no row's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...deferred import dataclass
from .. import nodes as n
from ..functions import FUNCTIONS
from .scope import names_in, walk

_CANT_FAIL: Final = frozenset(("==", "!=", "<", "<=", ">", ">=", "and", "or", "||", "??", "in", "not in"))
_STEADY: Final = (n.Constant, n.Access, n.Index, n.Unary, n.Binary, n.Conditional, n.Array, n.Template)
_OF_THE_TIME: Final = frozenset(("DATE_NOW", "DATE_NOW_ISO"))
"""Functions of the query's time, which is the same whenever it is asked for."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A clause at its place; ``is_moved`` says that it stood further down."""

    clause: n.Clause
    is_moved: bool = False


def plan(clauses: Sequence[n.Clause], outer: set[str]) -> list[Planned]:
    """Put clauses in the order in which they are to work."""
    parts = [_Part(None, [])]
    known = set(outer)
    first = next((place for place, one in enumerate(clauses) if not isinstance(one, n.Let)), 0)
    for clause in clauses:
        if isinstance(clause, n.Filter):
            for condition in conjuncts(clause.condition):
                _place(parts, n.Filter(condition, at=condition.at), known, first)
        else:
            parts.append(_Part(clause, []))
        known |= set(defined(clause))
    planned: list[Planned] = []
    for part in parts:
        planned += [] if part.clause is None else [Planned(part.clause)]
        planned += part.filters
    return planned


@dataclass(frozen=True, slots=True)
class _Part:
    """A clause, none at the beginning, and the conditions that are met right behind it."""

    clause: n.Clause | None
    filters: list[Planned]


def conjuncts(condition: n.Expression) -> list[n.Expression]:
    """Take ``a AND b AND c`` apart."""
    found: list[n.Expression] = []
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, n.Binary) and node.operator == "and":
            stack += (node.right, node.left)
        else:
            found.append(node)
    return found


def defined(clause: n.Clause) -> tuple[str, ...]:
    """Name the variables that a clause makes."""
    match clause:
        case n.For(variable=name) | n.Join(variable=name):
            return (name,)
        case n.Traverse(vertex=vertex, edge=edge) | n.ShortestPath(vertex=vertex, edge=edge):
            return (vertex,) if edge is None else (vertex, edge)
        case n.Let(bindings=bindings):
            return tuple(one.name for one in bindings)
        case n.Collect():
            names = [one.name for one in clause.groups] + [one.name for one in clause.aggregates]
            return (*names, *(one for one in (clause.into, clause.count_into) if one))
        case n.Insert() | n.Update() | n.Remove() | n.Upsert():
            return ("OLD", "NEW")
    return ()


def _place(parts: list[_Part], clause: n.Filter, known: set[str], first: int) -> None:
    """Put a condition as early as it may work, behind conditions that are there already."""
    place = last = len(parts) - 1
    if is_safe(clause.condition, known):
        needed = names_in(clause.condition)
        while place > first and _may_swap(parts[place].clause, needed):
            place -= 1
    parts[place].filters.append(Planned(clause, is_moved=place < last))


def _may_swap(other: n.Clause | None, needed: set[str]) -> bool:
    """Tell whether a condition over some variables may stand before another clause."""
    return other is not None and _lets_pass(other) and not needed.intersection(defined(other))


def _lets_pass(clause: n.Clause) -> bool:
    match clause:
        case n.For() | n.Let() | n.Traverse() | n.ShortestPath():
            return not _has_window(clause)
        case n.Sort():
            return not _has_window(clause)
        case n.Join(kind=kind):
            return kind in ("inner", "left")
    return False


def _has_window(clause: n.Clause) -> bool:
    return any(isinstance(node, n.Call) and node.over is not None for node in walk(clause))


def is_safe(node: n.Expression, known: set[str]) -> bool:
    """Tell whether an expression over known variables can't fail and gives the same each time."""
    for one in walk(node):
        match one:
            case n.Name(name=name):
                if name not in known:
                    return False
            case n.Binary(operator=operator):
                if operator not in _CANT_FAIL:
                    return False
            case n.Unary(operator=operator):
                if operator != "not":
                    return False
            case n.Constant() | n.Access() | n.Index() | n.Conditional() | n.Array():
                pass
            case n.Bind(is_collection=is_collection):
                if is_collection:
                    return False
            case _:
                return False
    return True


def is_steady(node: n.Expression, known: set[str]) -> bool:
    """Tell whether an expression over known variables, which may fail, gives the same each time."""
    return all(_is_steady(one, known) for one in walk(node))


def _is_steady(node: Any, known: set[str]) -> bool:
    match node:
        case n.Name(name=name):
            return name in known
        case n.Bind(is_collection=is_collection):
            return not is_collection
        case n.Call(name=name, over=over):
            found = FUNCTIONS.get(name)
            return over is None and found is not None and (found.name in _OF_THE_TIME or not found.needs_context)
    return isinstance(node, _STEADY)


def path_of(node: Any, variable: str) -> tuple[str, ...]:
    """Give the names of ``variable.a["b"]``, or nothing if an expression is anything else."""
    names: list[str] = []
    while (name := _name_in(node)) is not None:
        names.append(name)
        node = node.target
    if isinstance(node, n.Name) and node.name == variable and names:
        return tuple(reversed(names))
    return ()


def _name_in(node: Any) -> str | None:
    match node:
        case n.Access(name=name) | n.Index(index=n.Constant(value=str(name))):
            return name
    return None


_FLIPPED: Final = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def lookup_of(
    condition: n.Expression, variable: str, known: set[str]
) -> tuple[tuple[str, ...], str, n.Expression] | None:
    """Give path, operator and value of a condition ``variable.path operator value``, either way round.

    The value is the same for each document; to work it out may fail.
    """
    if not isinstance(condition, n.Binary):
        return None
    left, operator, right = condition.left, condition.operator, condition.right
    if operator in _FLIPPED or operator == "in":
        path = path_of(left, variable)
        if path and is_steady(right, known):
            return path, operator, right
    if operator in _FLIPPED:
        path = path_of(right, variable)
        if path and is_steady(left, known):
            return path, _FLIPPED[operator], left
    return None
