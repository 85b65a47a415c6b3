"""The syntax tree of a query: frozen dataclasses, each with the offset ``at`` in the query's text where it begins.

``at`` is the operator's place for operators, and the bracket's or the name's for what follows a value. Two trees are
equal if they say the same; ``at`` does not count.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, TypeAlias

from ..deferred import dataclass

At = field(default=0, compare=False, kw_only=True)

# Expressions


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: null, a boolean, a number or a text."""

    value: Any
    at: int = At


@dataclass(frozen=True, slots=True)
class Template:
    """``$"…${expr}…"``: texts and expressions in turn."""

    parts: tuple[str | Expression, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Bind:
    """``@name``: a value from outside; ``@@name`` is the name of a collection."""

    name: str
    is_collection: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or a collection where no variable has that name."""

    name: str
    at: int = At


@dataclass(frozen=True, slots=True)
class Current:
    """``CURRENT``: the element at hand inside ``[* FILTER … RETURN …]``."""

    at: int = At


@dataclass(frozen=True, slots=True)
class Access:
    """``target.name`` and ``target?.name``, for a name that the query itself holds."""

    target: Expression
    name: str
    is_optional: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Index:
    """``target[index]``: an element, from the end if negative, or a member by its name."""

    target: Expression
    index: Expression
    is_optional: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Expansion:
    """``target[* FILTER f LIMIT o, n RETURN r].a.b``: what the rest gives for each element.

    ``depth`` is the number of stars: ``[**]`` flattens one level first. ``result`` is the expression after RETURN,
    and ``rest`` the accesses that follow the bracket, both over :class:`Current`.
    """

    target: Expression
    depth: int = 1
    condition: Expression | None = None
    offset: Expression | None = None
    count: Expression | None = None
    result: Expression | None = None
    rest: Expression | None = None
    at: int = At


@dataclass(frozen=True, slots=True)
class Unary:
    """``NOT ! - ~``; the operator is written ``not``, ``-``, ``+`` or ``~``."""

    operator: str
    operand: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two values, among them ``..``, ``in``, ``not in``, ``like``, ``not like``, ``=~``, ``!~``.

    Words are in small letters: ``and``, ``or``. ``||`` and ``??`` give an operand.
    """

    operator: str
    left: Expression
    right: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : other``."""

    test: Expression
    then: Expression
    other: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Case:
    """``CASE subject WHEN … THEN … ELSE … END``."""

    subject: Expression | None
    branches: tuple[tuple[Expression, Expression], ...]
    default: Expression | None
    at: int = At


@dataclass(frozen=True, slots=True)
class Lambda:
    """``x -> expr`` and ``(a, b) -> expr``; only an argument of a call."""

    parameters: tuple[str, ...]
    body: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Call:
    """``NAME(arguments)``, and ``OVER (…)`` behind it. ``name`` is in capitals."""

    name: str
    arguments: tuple[Expression, ...]
    over: Over | None = None
    at: int = At


@dataclass(frozen=True, slots=True)
class Pipe:
    """``value |> NAME(arguments)``: the value is the call's first argument."""

    value: Expression
    call: Call
    at: int = At


@dataclass(frozen=True, slots=True)
class Quantifier:
    """``ANY x IN source SATISFIES condition``; ``kind`` is ``any``, ``all`` or ``none``."""

    kind: Literal["any", "all", "none"]
    variable: str
    source: Expression
    condition: Expression | None
    at: int = At


@dataclass(frozen=True, slots=True)
class Spread:
    """``...value`` inside an array or an object."""

    value: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, ...b]``."""

    items: tuple[Expression | Spread, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Property:
    """A member of an object: its name, computed if it is an expression, and its value."""

    name: str | Expression
    value: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Object:
    """``{a: 1, b, [c]: 2, ...d}``."""

    members: tuple[Property | Spread, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Subquery:
    """A query in parentheses: the array of its rows."""

    query: Query
    at: int = At


Expression: TypeAlias = (
    Constant
    | Template
    | Bind
    | Name
    | Current
    | Access
    | Index
    | Expansion
    | Unary
    | Binary
    | Conditional
    | Case
    | Lambda
    | Call
    | Pipe
    | Quantifier
    | Array
    | Object
    | Subquery
)

# Clauses


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order."""

    value: Expression
    is_descending: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Over:
    """``OVER (PARTITION BY … ORDER BY …)``."""

    partition: tuple[Expression, ...] = ()
    order: tuple[SortKey, ...] = ()
    at: int = At


@dataclass(frozen=True, slots=True)
class For:
    """``FOR variable IN source``."""

    variable: str
    source: Expression
    at: int = At


Direction: TypeAlias = Literal["outbound", "inbound", "any"]


@dataclass(frozen=True, slots=True)
class Traverse:
    """``FOR vertex, edge IN least..most OUTBOUND start edges``; ``edges`` names the collection of edges."""

    vertex: str
    edge: str | None
    least: Expression | None
    most: Expression | None
    direction: Direction
    start: Expression
    edges: Name | Bind
    at: int = At


@dataclass(frozen=True, slots=True)
class ShortestPath:
    """``FOR vertex, edge IN SHORTEST_PATH start TO goal OUTBOUND edges``."""

    vertex: str
    edge: str | None
    start: Expression
    goal: Expression
    direction: Direction
    edges: Name | Bind
    at: int = At


@dataclass(frozen=True, slots=True)
class Binding:
    """``name = value``."""

    name: str
    value: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Let:
    """``LET a = …, b = …``."""

    bindings: tuple[Binding, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Filter:
    """``FILTER condition``."""

    condition: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Join:
    """``LEFT JOIN source AS variable ON condition``; without AS the variable is named like the collection."""

    kind: Literal["inner", "left", "right", "full"]
    source: Name | Bind
    variable: str
    condition: Expression
    at: int = At


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``name = FUNCTION(argument)``; ``COUNT()`` has none."""

    name: str
    function: str
    arguments: tuple[Expression, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Collect:
    """``COLLECT a = … AGGREGATE s = SUM(…) INTO g = … KEEP x, y WITH COUNT INTO n``."""

    groups: tuple[Binding, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    into: str | None = None
    projection: Expression | None = None
    keep: tuple[str, ...] = ()
    count_into: str | None = None
    at: int = At


@dataclass(frozen=True, slots=True)
class Sort:
    """``SORT a, b DESC``."""

    keys: tuple[SortKey, ...]
    at: int = At


@dataclass(frozen=True, slots=True)
class Limit:
    """``LIMIT count`` and ``LIMIT offset, count``."""

    count: Expression
    offset: Expression | None = None
    at: int = At


@dataclass(frozen=True, slots=True)
class StreamWindow:
    """``WINDOW TUMBLING (SIZE "1m")``, of a stream."""

    kind: Literal["tumbling", "sliding"]
    size: str
    at: int = At


@dataclass(frozen=True, slots=True)
class Insert:
    """``INSERT document INTO collection``."""

    document: Expression
    collection: Name | Bind
    at: int = At


@dataclass(frozen=True, slots=True)
class Update:
    """``UPDATE target WITH changes IN collection``, ``REPLACE`` likewise.

    ``target`` is a key, an ``_id`` or a document. ``changes`` is None in ``UPDATE document IN collection``.
    """

    target: Expression
    changes: Expression | None
    collection: Name | Bind
    is_replace: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Remove:
    """``REMOVE target IN collection``."""

    target: Expression
    collection: Name | Bind
    at: int = At


@dataclass(frozen=True, slots=True)
class Upsert:
    """``UPSERT example INSERT document UPDATE changes IN collection``, or ``REPLACE`` instead of ``UPDATE``."""

    example: Expression
    document: Expression
    changes: Expression
    collection: Name | Bind
    is_replace: bool = False
    at: int = At


@dataclass(frozen=True, slots=True)
class Return:
    """``RETURN DISTINCT value``."""

    value: Expression
    is_distinct: bool = False
    at: int = At


Clause: TypeAlias = (
    For
    | Traverse
    | ShortestPath
    | Let
    | Filter
    | Join
    | Collect
    | Sort
    | Limit
    | StreamWindow
    | Insert
    | Update
    | Remove
    | Upsert
    | Return
)


@dataclass(frozen=True, slots=True)
class Query:
    """Clauses in the order in which they work, the RETURN last if there is one.

    ``creates`` is ``("stream" | "view" | "refresh", name)`` of ``CREATE STREAM name AS``,
    ``CREATE MATERIALIZED VIEW name AS`` and ``REFRESH MATERIALIZED VIEW name``. ``text`` is what was parsed.
    """

    clauses: tuple[Clause, ...]
    creates: tuple[Literal["stream", "view", "refresh"], str] | None = None
    text: str = field(default="", compare=False, kw_only=True)
    at: int = At
