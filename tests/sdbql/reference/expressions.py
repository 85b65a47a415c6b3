"""Expressions, evaluated by walking the tree with a dict of the variables in sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pysync_web import QueryError
from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.compile.calls import BY_NAME
from pysync_web.sdbql.functions import FUNCTIONS
from pysync_web.sdbql.functions.registry import FunctionError

from . import values as v
from .world import World

Env = dict[str, Any]


def value(world: World, node: Any, env: Env) -> Any:
    """Give the value of an expression."""

    def of(inner: Any, **more: Any) -> Any:
        return value(world, inner, {**env, **more} if more else env)

    match node:
        case n.Constant(value=found):
            return found
        case n.Name(name=name):
            return env[name] if name in env else list(world.documents(name))
        case n.Bind(name=name, is_collection=True):
            return list(world.documents(world.binds[name]))
        case n.Bind(name=name):
            return world.binds[name]
        case n.Current():
            return env["CURRENT"]
        case n.Access(target=target, name=name):
            found = of(target)
            if not isinstance(found, dict):
                return None
            return world.identity(found) if name == "_id" else found.get(name)
        case n.Index(target=target, index=index):
            return v.at(of(target), of(index))
        case n.Conditional(test=test, then=then, other=other):
            return of(then) if of(test) else of(other)
        case n.Case():
            return _case(of, node)
        case n.Template(parts=parts):
            return "".join(part if isinstance(part, str) else v.shown(of(part)) for part in parts)
        case n.Array(items=items):
            return [one for item in items for one in _items(of, item)]
        case n.Object(members=members):
            return {name: one for member in members for name, one in _members(of, member)}
        case n.Subquery(query=query):
            return world.rows(query, env)
        case n.Unary(operator=operator, operand=operand):
            return _unary(operator, of(operand))
        case n.Binary(operator=operator, left=left, right=right):
            return _binary(operator, of(left), lambda: of(right))
        case n.Expansion():
            return _expansion(of, node)
        case n.Quantifier():
            return _quantifier(of, node)
        case n.Pipe(value=first, call=call):
            return _call(world, call, (first, *call.arguments), env)
        case n.Call(over=None):
            return _call(world, node, node.arguments, env)
        case n.Call():
            return env[f"window {id(node)}"]
    raise QueryError(f"not a value: {node}")


def _case(of: Callable[..., Any], node: n.Case) -> Any:
    subject = None if node.subject is None else of(node.subject)
    for test, then in node.branches:
        found = of(test)
        if found if node.subject is None else v.compare(subject, found) == 0:
            return of(then)
    return None if node.default is None else of(node.default)


def _items(of: Callable[..., Any], item: Any) -> list[Any]:
    if not isinstance(item, n.Spread):
        return [of(item)]
    found = of(item.value)
    if found is not None and not isinstance(found, list):
        raise FunctionError("... needs an array")
    return found or []


def _members(of: Callable[..., Any], member: Any) -> list[tuple[str, Any]]:
    found = of(member.value)
    if isinstance(member, n.Spread):
        if found is not None and not isinstance(found, dict):
            raise FunctionError("... needs an object")
        return list((found or {}).items())
    if isinstance(member.name, str):
        return [(member.name, found)]
    name = of(member.name)
    if isinstance(name, list | dict):
        raise FunctionError("no name of a member")
    return [(v.shown(name), found)]


def _unary(operator: str, found: Any) -> Any:
    if operator == "not":
        return not found
    v.need_numbers(found)
    return {"-": lambda: -found, "+": lambda: found, "~": lambda: ~v.wrapped(int(found))}[operator]()


def _binary(operator: str, left: Any, right: Callable[[], Any]) -> Any:
    match operator:
        case "and":
            return bool(left and right())
        case "or":
            return bool(left or right())
        case "||":
            return left or right()
        case "??":
            return right() if left is None else left
    other = right()
    match operator:
        case "==" | "!=":
            return (v.compare(left, other) == 0) == (operator == "==")
        case "<" | ">":
            return v.compare(left, other) == (-1 if operator == "<" else 1)
        case "<=" | ">=":
            return v.compare(left, other) != (1 if operator == "<=" else -1)
        case "in" | "not in":
            return v.within(left, other) == (operator == "in")
        case "like" | "not like":
            return v.like(left, other) == (operator == "like")
        case "=~" | "!~":
            if not isinstance(left, str) or not isinstance(other, str):
                return False
            return FUNCTIONS["REGEX_TEST"].call(World.idle(), left, other) == (operator == "=~")
        case "~=":
            both = isinstance(left, str) and isinstance(other, str)
            return both and FUNCTIONS["LEVENSHTEIN"].call(World.idle(), left, other) <= 2
        case "..":
            return list(range(v.whole(left), v.whole(other) + 1))
        case "&" | "|" | "^" | "<<" | ">>":
            return v.bits(operator, left, other)
    return v.calculated(operator, left, other)


def _elements(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _expansion(of: Callable[..., Any], node: n.Expansion) -> list[Any]:
    found = _elements(of(node.target))
    is_bare = node.condition is None and node.count is None and node.result is None and node.rest is None
    for _ in range(node.depth if is_bare else node.depth - 1):
        found = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
    if node.condition is not None:
        found = [one for one in found if of(node.condition, CURRENT=one)]
    if node.count is not None:
        begin = 0 if node.offset is None else v.amount(of(node.offset))
        found = found[begin : begin + v.amount(of(node.count))]
    for part in (node.result, node.rest):
        if part is not None:
            found = [of(part, CURRENT=one) for one in found]
    return found


def _quantifier(of: Callable[..., Any], node: n.Quantifier) -> bool:
    found = _elements(of(node.source))
    condition = node.condition
    if condition is None:
        return {"any": bool(found), "all": True, "none": not found}[node.kind]
    for one in found:
        holds = bool(of(condition, **{node.variable: one}))
        if holds != (node.kind == "all"):
            return node.kind == "any"
    return node.kind != "any"


def _call(world: World, call: n.Call, arguments: tuple[Any, ...], env: Env) -> Any:
    function = FUNCTIONS.get(call.name)
    if function is None:
        raise QueryError(f"no function {call.name}")
    if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
        raise QueryError(f"{call.name} takes other arguments")
    given = [_argument(world, call, place, one, env) for place, one in enumerate(arguments)]
    return function.call(world, *given) if function.needs_context else function.call(*given)


def _argument(world: World, call: n.Call, place: int, node: Any, env: Env) -> Any:
    if isinstance(node, n.Lambda):

        def called(*given: Any) -> Any:
            padded = [*given, *[None] * len(node.parameters)]
            return value(world, node.body, {**env, **dict(zip(node.parameters, padded, strict=False))})

        return called
    if place == 0 and call.name in BY_NAME:
        if isinstance(node, n.Name) and node.name not in env:
            return node.name
        if isinstance(node, n.Bind) and node.is_collection:
            return world.binds[node.name]
    return value(world, node, env)
