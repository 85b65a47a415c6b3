"""Prints a tree as a query that is easy to read, and that parses to an equal tree, whatever the tree.

What is short stays on one line; objects, arrays, calls and subqueries that are longer than a line are broken up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..errors import QueryError
from .lexer import KEYWORDS
from .nodes import (
    Access,
    Aggregate,
    Array,
    Binary,
    Bind,
    Binding,
    Call,
    Case,
    Clause,
    Collect,
    Conditional,
    Constant,
    Current,
    Expansion,
    Expression,
    Filter,
    For,
    Index,
    Insert,
    Join,
    Lambda,
    Let,
    Limit,
    Name,
    Object,
    Over,
    Pipe,
    Property,
    Quantifier,
    Query,
    Remove,
    Return,
    ShortestPath,
    Sort,
    SortKey,
    Spread,
    StreamWindow,
    Subquery,
    Template,
    Traverse,
    Unary,
    Update,
    Upsert,
)
from .parser import parse
from .parsing.expressions import BEGINS_CLAUSE, INFIX, POSTFIX, UNARY

WIDTH: Final = 100

_LEVELS: Final = {infix.operator: infix.level for infix in INFIX.values()} | {"not in": 10, "not like": 10}
_CONDITIONAL: Final = INFIX["?"].level
_PIPE: Final = INFIX["|>"].level
_ABOVE_IN: Final = INFIX["IN"].level + 1
_IDENTIFIER = re.compile(r"[^\W\d]\w*\Z")
_FREE_NAMES: Final = frozenset({"COUNT", "SIZE", "VIEW", "STREAM", "GRAPH", "CREATE", "MATERIALIZED", "TUMBLING"})
_FREE_CALLS: Final = _FREE_NAMES | {
    *("FILTER", "SORT", "REPLACE", "JOIN", "LEFT", "RIGHT", "ANY", "ALL", "NONE", "SOME", "LIKE", "KEEP"),
}


def format_query(query: Query | str) -> str:
    """Give a query's text with a line for each clause; parsing it gives an equal tree. Comments are lost.

    A text is parsed first, within the parser's limits. :class:`QueryError` says what is wrong with it, or that a tree
    made by hand is deeper than the stack.
    """
    if isinstance(query, str):
        query = parse(query)
    try:
        return "\n".join([*_head(query), *_lines(query, "")])
    except RecursionError:
        raise QueryError("Nested too deep for this program's stack") from None


def _head(query: Query) -> list[str]:
    """Print CREATE … AS or REFRESH, if there is one."""
    if query.creates is None:
        return []
    kind, name = query.creates
    words = {"stream": "CREATE STREAM {} AS", "view": "CREATE MATERIALIZED VIEW {} AS"}
    return [words.get(kind, "REFRESH MATERIALIZED VIEW {}").format(_name(name))]


def format_expression(node: Expression) -> str:
    """Give an expression's text on one line."""
    return _flat(node, 0)


# Queries


def _lines(query: Query, indent: str) -> list[str]:
    """Print clauses, one or more lines each; what is inside of a loop is indented once."""
    lines = []
    inner = indent
    for clause in query.clauses:
        lines.append(inner + _fit(clause, inner))
        if isinstance(clause, For | Traverse | ShortestPath):
            inner = indent + "  "
    return lines


def _fit(clause: Clause, indent: str) -> str:
    """Print a clause on one line if it fits there, else with broken expressions."""
    text = _clause(clause, _flat)
    if len(indent) + len(text) <= WIDTH:
        return text
    return _clause(clause, lambda node, least: _broken(node, least, indent))


_Show = Callable[[Expression, int], str]


def _clause(clause: Clause, show: _Show) -> str:
    match clause:
        case For(variable, source):
            return f"FOR {_name(variable)} IN {show(source, 0)}"
        case Traverse():
            return _traverse(clause)
        case ShortestPath(vertex, edge, start, goal, direction, edges):
            way = f"SHORTEST_PATH {_start(start)} TO {_flat(goal, 0)} {direction.upper()}"
            return f"FOR {_variables(vertex, edge)} IN {way} {_flat(edges, 0)}"
        case Let(bindings):
            return f"LET {_bindings(bindings, show)}"
        case Filter(condition):
            return f"FILTER {show(condition, 0)}"
        case Join(kind, source, variable, condition):
            alias = "" if source == Name(variable) else f" AS {_name(variable)}"
            word = "" if kind == "inner" else f"{kind.upper()} "
            return f"{word}JOIN {_flat(source, 0)}{alias} ON {show(condition, 0)}"
        case Collect():
            return _collect(clause, show)
        case Sort(keys):
            return f"SORT {_sort_keys(keys)}"
        case Limit(count, offset):
            return f"LIMIT {f'{_flat(offset, 0)}, ' if offset else ''}{_flat(count, 0)}"
        case StreamWindow(kind, size):
            return f"WINDOW {kind.upper()} (SIZE {_text(size)})"
        case Return(value, is_distinct):
            return f"RETURN {'DISTINCT ' if is_distinct else ''}{show(value, 0)}"
    return _write(clause, show)


def _write(clause: Insert | Update | Remove | Upsert, show: _Show) -> str:
    """Print a clause that writes: what stands before its IN has no IN outside of brackets."""
    match clause:
        case Insert(document, collection):
            return f"INSERT {show(document, _ABOVE_IN)} INTO {_flat(collection, 0)}"
        case Update(target, changes, collection, is_replace):
            change = f" WITH {show(changes, _ABOVE_IN)}" if changes else ""
            word = "REPLACE" if is_replace else "UPDATE"
            return f"{word} {show(target, _ABOVE_IN)}{change} IN {_flat(collection, 0)}"
        case Remove(target, collection):
            return f"REMOVE {show(target, _ABOVE_IN)} IN {_flat(collection, 0)}"
        case Upsert(example, document, changes, collection, is_replace):
            first = f"UPSERT {show(example, _ABOVE_IN)} INSERT {show(document, _ABOVE_IN)}"
            word = "REPLACE" if is_replace else "UPDATE"
            return f"{first} {word} {show(changes, _ABOVE_IN)} IN {_flat(collection, 0)}"


def _variables(vertex: str, edge: str | None) -> str:
    return _name(vertex) if edge is None else f"{_name(vertex)}, {_name(edge)}"


def _traverse(clause: Traverse) -> str:
    depth = ""
    if clause.least is not None and clause.most is not None:
        depth = f"{_flat(Binary('..', clause.least, clause.most), 0)} "
    way = f"{depth}{clause.direction.upper()} {_start(clause.start)}"
    return f"FOR {_variables(clause.vertex, clause.edge)} IN {way} {_flat(clause.edges, 0)}"


def _start(node: Expression) -> str:
    """Print where a traversal starts so that the word before it can't be taken for a variable or a function."""
    text = _flat(node, POSTFIX)
    return f"({text})" if text[0] in "([" or text.partition("(")[0] in BEGINS_CLAUSE else text


def _bindings(bindings: Sequence[Binding], show: _Show) -> str:
    return ", ".join(f"{_name(one.name)} = {show(one.value, 0)}" for one in bindings)


def _collect(clause: Collect, show: _Show) -> str:
    words = ["COLLECT"]
    if clause.groups:
        words.append(_bindings(clause.groups, show))
    if clause.aggregates:
        words.append(f"AGGREGATE {', '.join(map(_aggregate, clause.aggregates))}")
    if clause.into is not None:
        projection = f" = {show(clause.projection, 0)}" if clause.projection else ""
        words.append(f"INTO {_name(clause.into)}{projection}")
    if clause.keep:
        words.append(f"KEEP {', '.join(map(_name, clause.keep))}")
    if clause.count_into is not None:
        words.append(f"WITH COUNT INTO {_name(clause.count_into)}")
    return " ".join(words)


def _aggregate(one: Aggregate) -> str:
    return f"{_name(one.name)} = {_function(one.function)}({_list(one.arguments)})"


def _sort_keys(keys: Sequence[SortKey]) -> str:
    return ", ".join(_flat(key.value, 0) + (" DESC" if key.is_descending else "") for key in keys)


# Names and literals


def _name(name: str) -> str:
    """Print a name, in backticks where it could be taken for a keyword."""
    word = name.upper()
    if _IDENTIFIER.match(name) and (word not in KEYWORDS or word in _FREE_NAMES):
        return name
    return _quoted(name)


def _field(name: str) -> str:
    return name if _IDENTIFIER.match(name) else _quoted(name)


def _function(name: str) -> str:
    return name if _IDENTIFIER.match(name) and (name not in KEYWORDS or name in _FREE_CALLS) else _quoted(name)


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _constant(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _template(parts: Sequence[str | Expression]) -> str:
    shown = [
        _text(part)[1:-1].replace("$", "\\$") if isinstance(part, str) else f"${{{_flat(part, 0)}}}"
        for part in parts
    ]
    return f'$"{"".join(shown)}"'


# Expressions on one line


def _flat(node: Expression, least: int) -> str:
    """Print an expression; in parentheses if its operator binds less tight than it must here."""
    text, level = _shown(node)
    return text if level >= least else f"({text})"


def _shown(node: Expression) -> tuple[str, int]:
    """Print an expression, and tell how tight its loosest operator binds."""
    match node:
        case Constant(value):
            is_negative = isinstance(value, int | float) and _constant(value).startswith("-")
            return _constant(value), UNARY if is_negative else POSTFIX
        case Name(name):
            return _name(name), POSTFIX
        case Binary() | Pipe() | Access() | Index() | Expansion():
            return _spine(node)
        case Unary():
            return _unary(node), UNARY
        case Conditional(test, then, other):
            chosen = f"{_flat(then, 0)} : {_flat(other, _CONDITIONAL)}"
            return f"{_flat(test, _CONDITIONAL + 1)} ? {chosen}", _CONDITIONAL
        case Quantifier(kind, variable, source, condition):
            satisfies = f" SATISFIES {_flat(condition, 0)}" if condition else ""
            return f"{kind.upper()} {_name(variable)} IN {_flat(source, 1)}{satisfies}", 0
        case Lambda(parameters, body):
            names = ", ".join(map(_name, parameters))
            return f"{names if len(parameters) == 1 else f'({names})'} -> {_flat(body, 0)}", 0
    return _value(node), POSTFIX


def _value(node: Expression) -> str:
    """Print what needs no parentheses anywhere."""
    match node:
        case Template(parts):
            return _template(parts)
        case Bind(name, is_collection):
            return f"{'@@' if is_collection else '@'}{name}"
        case Current():
            return "CURRENT"
        case Case(subject, branches, default):
            words = ["CASE", *([_flat(subject, 0)] if subject else [])]
            words += [f"WHEN {_flat(condition, 0)} THEN {_flat(value, 0)}" for condition, value in branches]
            return " ".join([*words, *([f"ELSE {_flat(default, 0)}"] if default else []), "END"])
        case Call():
            return _call(node)
        case Array(items):
            return f"[{_list(items)}]"
        case Object(members):
            return f"{{{', '.join(_member(member, _flat) for member in members)}}}" if members else "{}"
        case Subquery(query):
            return f"({' '.join(_clause(clause, _flat) for clause in query.clauses)})"
    raise TypeError(f"{type(node).__name__} is no expression")


def _list(items: Sequence[Expression | Spread]) -> str:
    return ", ".join(_item(item, _flat) for item in items)


def _item(item: Expression | Spread, show: _Show) -> str:
    return f"...{show(item.value, 0)}" if isinstance(item, Spread) else show(item, 0)


def _member(member: Property | Spread, show: _Show) -> str:
    if isinstance(member, Spread):
        return f"...{show(member.value, 0)}"
    if not isinstance(member.name, str):
        return f"[{_flat(member.name, 0)}]: {show(member.value, 0)}"
    if member.value == Name(member.name) and _name(member.name) == member.name:
        return member.name
    name = member.name if _IDENTIFIER.match(member.name) else _text(member.name)
    return f"{name}: {show(member.value, 0)}"


def _call(call: Call) -> str:
    return f"{_function(call.name)}({_arguments(call)}){_over(call.over)}"


def _arguments(call: Call) -> str:
    match call.arguments:
        case (Subquery(query),) if isinstance(query.clauses[0], For | Let | Return):
            return _value(call.arguments[0])[1:-1]
    return _list(call.arguments)


def _over(over: Over | None) -> str:
    if over is None:
        return ""
    words = []
    if over.partition:
        words.append(f"PARTITION BY {_list(over.partition)}")
    if over.order:
        words.append(f"ORDER BY {_sort_keys(over.order)}")
    return f" OVER ({' '.join(words)})"


def _unary(node: Unary) -> str:
    operand = _flat(node.operand, UNARY)
    if node.operator == "not":
        return f"NOT {operand}"
    if node.operator == "-" and operand[0].isdigit():
        operand = f"({operand})"  # a minus and digits are one number
    return f"{node.operator}{' ' if operand[0] == node.operator else ''}{operand}"


def _spine(node: Expression) -> tuple[str, int]:
    """Print a chain of operators by a loop from its left end, for it may be longer than the stack is deep."""
    chain = []
    left: Expression | None = node
    while left is not None:
        chain.append(left)
        left = _left(left)
    text, level = _shown(chain.pop())
    while chain:
        one = chain.pop()
        wanted = _level(one)
        if level < wanted or _is_misread(text, one):
            text = f"({text})"
        text += _right(one)
        level = _level(one)
    return text, level


def _is_misread(text: str, node: Expression) -> bool:
    """Say whether the left side of a chain's part, which binds tight enough, needs parentheses all the same."""
    match node:
        case Binary(operator, Unary("not")):
            return operator not in ("and", "or", "||", "??")  # by people: NOT a == b is (NOT a) == b
        case Access(Expansion()):
            return True  # or the name would be looked up in each element
        case Access() | Index() | Expansion():
            return text[0].isdigit()
    return False


def _left(node: Expression) -> Expression | None:
    match node:
        case Binary(_, left, _):
            return left
        case Pipe(value, _):
            return value
        case Access(target) | Index(target) | Expansion(target):
            return target
    return None


def _level(node: Expression) -> int:
    match node:
        case Binary(operator):
            return _LEVELS[operator]
        case Pipe():
            return _PIPE
    return POSTFIX


def _right(node: Expression) -> str:
    """Print what stands to the right of a chain's left part."""
    match node:
        case Binary(operator, _, right):
            return f"{_sign(operator)}{_flat(right, _LEVELS[operator] + 1)}"
        case Pipe(_, call):
            return f" |> {_function(call.name)}({_arguments(call)}){_over(call.over)}"
        case Access(_, name, is_optional):
            return f"{'?.' if is_optional else '.'}{_field(name)}"
        case Index(_, index, is_optional):
            return f"{'?.' if is_optional else ''}[{_flat(index, 0)}]"
        case Expansion():
            return _expansion(node)
    raise TypeError(f"{type(node).__name__} has no right side")


def _sign(operator: str) -> str:
    return operator if operator == ".." else f" {operator.upper()} "


def _expansion(node: Expansion) -> str:
    words = ["*" * node.depth]
    if node.condition:
        words.append(f"FILTER {_flat(node.condition, 0)}")
    if node.count:
        words.append(f"LIMIT {f'{_flat(node.offset, 0)}, ' if node.offset else ''}{_flat(node.count, 0)}")
    if node.result:
        words.append(f"RETURN {_flat(node.result, 0)}")
    rest = ""
    accesses = node.rest
    while isinstance(accesses, Access):
        rest = _right(accesses) + rest
        accesses = accesses.target
    return f"[{' '.join(words)}]{rest}"


# Expressions on several lines


def _broken(node: Expression, least: int, indent: str) -> str:
    """Print an expression that may be too long for its line with a line for each of its parts, where it has any."""
    text, level = _shown(node)
    if level < least:
        return f"({text})"
    if len(indent) + len(text) <= WIDTH * 3 // 4:
        return text
    deeper = indent + "  "

    def show(part: Expression, least: int) -> str:
        return _broken(part, least, deeper)

    match node:
        case Object(members) if members:
            return _block("{", [_member(member, show) for member in members], "}", indent)
        case Array(items) if items:
            return _block("[", [_item(item, show) for item in items], "]", indent)
        case Subquery(query):
            return "\n".join(["(", *_lines(query, deeper), f"{indent})"])
        case Call(name, arguments, over) if arguments:
            return _block(f"{_function(name)}(", [show(item, 0) for item in arguments], f"){_over(over)}", indent)
    return text


def _block(opening: str, parts: list[str], closing: str, indent: str) -> str:
    inner = ",\n".join(f"{indent}  {part}" for part in parts)
    return f"{opening}\n{inner}\n{indent}{closing}"
