"""Expressions of a query as Python expressions: the quick way where types allow it, a call of an operator else.

Chains of operators and accesses can be a thousand long, so they are walked and not recursed into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...errors import QueryError
from .. import nodes as n
from ..functions.registry import FUNCTIONS
from ..limits import Budget, QueryLimits
from . import equality, operators
from .calls import call, lambda_code
from .module import Code
from .nesting import looked_at
from .run import identity
from .scope import Compiler, Scope, all_of

HELPERS: Final[Mapping[str, Any]] = {
    "_add": operators.add,
    "_sub": operators.subtract,
    "_mul": operators.multiply,
    "_div": operators.divide,
    "_mod": operators.remainder,
    "_neg": operators.negate,
    "_pos": operators.positive,
    "_bits": operators.bits,
    "_inv": operators.invert,
    "_eq": equality.equal,
    "_lt": equality.less,
    "_le": equality.less_or_equal,
    "_in": equality.contains,
    "_like": operators.like,
    "_regex": operators.regex,
    "_similar": operators.similar,
    "_span": operators.span,
    "_span_list": operators.span_list,
    "_item": operators.item,
    "_member": operators.member,
    "_id": identity,
    "_template": operators.template,
    "_spread_array": operators.spread_array,
    "_spread_object": operators.spread_object,
    "_property": operators.property_name,
    "_elements": operators.elements,
    "_items": operators.items,
    "_expand": operators.expand,
    "_cut": operators.cut,
    "_amount": operators.amount,
    "_N": equality.NUMBERS,
}
_ARITHMETIC: Final = {"-": "_sub", "*": "_mul", "/": "_div", "%": "_mod"}
_BOOLEAN: Final = "bool"
_MOST_FOLDS: Final = 200


class _Folding:
    """What stands for a run while constants are worked out: little may be spent."""

    def __init__(self) -> None:
        self.spend = Budget(QueryLimits(steps=2_000, time_s=0.2)).spend


def value(c: Compiler, node: n.Expression, scope: Scope) -> Code:
    """Compile an expression."""
    spine: list[Any] = []
    while (below := _left_of(node)) is not None:
        spine.append(node)
        node = below
    code = _leaf(c, node, scope)
    for above in reversed(spine):
        code = c.module.shallow(_fold(c, _step(c, above, code, scope)))
    return code


def _left_of(node: Any) -> Any:
    match node:
        case n.Binary(left=below) | n.Access(target=below) | n.Index(target=below):
            return below
        case n.Expansion(target=below) | n.Pipe(value=below):
            return below
    return None


def _step(c: Compiler, node: Any, left: Code, scope: Scope) -> Code:
    """Compile a node whose left part is compiled."""
    match node:
        case n.Binary():
            return _binary(c, node, left, value(c, node.right, scope))
        case n.Access():
            return _access(c, left, node.name)
        case n.Index():
            return _index(c, node, left, value(c, node.index, scope))
        case n.Expansion():
            return _expansion(c, node, left, scope)
        case _:
            return call(c, node.call, [left], scope, value)


def _fold(c: Compiler, code: Code) -> Code:
    """Work out now what is the same for all runs; what fails is left to fail when its turn comes."""
    if code.free or not code.is_pure or code.is_constant or code.kind == "lambda":
        return code
    if c.folds >= _MOST_FOLDS:
        return code
    c.folds += 1
    try:
        found = c.module.evaluate(code, _Folding())
    except Exception:
        return Code(code.text, code.depth, code.kind, test=code.test, is_pure=False)
    return constant(c, found)


def constant(c: Compiler, found: Any) -> Code:
    """Give the code of a known value."""
    return Code(c.module.constant(found), 0, kind_of(found), constant=found)


def kind_of(found: Any) -> str:
    """Name what the compiler wants to know of a value's type."""
    if found is None:
        return "null"
    return {bool: "bool", int: "num", float: "num", str: "str", list: "list", dict: "dict"}.get(type(found), "")


def _leaf(c: Compiler, node: n.Expression, scope: Scope) -> Code:
    match node:
        case n.Constant(value=found):
            return constant(c, found)
        case n.Name(name=name):
            return scope[name] if name in scope else _collection(c, node)
        case n.Current():
            if "CURRENT" not in scope:
                raise c.error("CURRENT stands for an element inside [* ...] only", node.at)
            return scope["CURRENT"]
        case n.Bind(is_collection=is_collection):
            return _collection(c, node) if is_collection else c.bind(node)
        case n.Call():
            return c.windows[id(node)] if id(node) in c.windows else _call(c, node, scope)
        case n.Lambda():
            raise c.error("a lambda can only be an argument of a function", node.at)
        case n.Subquery(query=query):
            return c.subquery(c, query, scope)
    return c.module.shallow(_fold(c, _compound(c, node, scope)))


def _collection(c: Compiler, node: n.Name | n.Bind) -> Code:
    if node.name not in c.collections:
        c.loose_names.add(node.name)
    name = c.collection(node)
    text = f"{c.module.mark(node.at)}run.documents({name.text})"
    return Code(text, 1, "list", name.free, is_pure=False)


def _call(c: Compiler, node: n.Call, scope: Scope) -> Code:
    if node.over is not None:
        raise c.error(f"{node.name}(...) OVER stands in RETURN, LET, SORT or FILTER, outside of lambdas", node.at)
    return c.module.shallow(_fold(c, call(c, node, [], scope, value)))


def _compound(c: Compiler, node: n.Expression, scope: Scope) -> Code:
    match node:
        case n.Unary():
            return _unary(c, node, value(c, node.operand, scope))
        case n.Conditional():
            test, then, other = (value(c, one, scope) for one in (node.test, node.then, node.other))
            kind = then.kind if then.kind == other.kind else ""
            return _made(f"({then.text} if {test.truth} else {other.text})", test, then, other, kind=kind)
        case n.Case():
            return _case(c, node, scope)
        case n.Template(parts=parts):
            codes = [constant(c, one) if isinstance(one, str) else value(c, one, scope) for one in parts]
            body = ", ".join(code.text for code in codes)
            return _made(f"{c.module.mark(node.at)}_template(run, [{body}])", *codes, kind="str")
        case n.Array(items=items):
            return _array(c, items, scope)
        case n.Object(members=members):
            return _object(c, members, scope)
        case n.Quantifier():
            return _quantifier(c, node, scope)
    raise c.error("this can't be used as a value", node.at)


def _made(text: str, *parts: Code, kind: str = "", test: str = "", is_pure: bool = True) -> Code:
    depth = 1 + max((part.depth for part in parts), default=0)
    return Code(text, depth, kind, all_of(*parts), test, is_pure=is_pure and all(part.is_pure for part in parts))


# Operators


def _once(c: Compiler, code: Code) -> tuple[str, str]:
    """Give an expression for the first use of a value, and one for the later uses."""
    if code.text.isidentifier():
        return code.text, code.text
    name = c.module.name("t")
    return f"({name} := {code.text})", name


def _binary(c: Compiler, node: n.Binary, left: Code, right: Code) -> Code:
    operator = node.operator
    match operator:
        case "and" | "or":
            test = f"({left.truth} {operator} {right.truth})"
            is_plain = left.kind == right.kind == _BOOLEAN
            return _made(test if is_plain else f"(not not {test})", left, right, kind=_BOOLEAN, test=test)
        case "||":
            return _made(f"({left.text} or {right.text})", left, right)
        case "??":
            first, again = _once(c, left)
            return _made(f"({again} if {first} is not None else {right.text})", left, right)
        case "==":
            return _made(_equal(c, left, right, False), left, right, kind=_BOOLEAN)
        case "!=":
            return _made(_equal(c, left, right, True), left, right, kind=_BOOLEAN)
        case "<" | "<=" | ">" | ">=":
            return _made(_compare(c, operator, left, right), left, right, kind=_BOOLEAN)
        case "in" | "not in":
            return _made(_contains(c, operator, left, right), left, right, kind=_BOOLEAN)
    return _called(c, node, left, right)


def _called(c: Compiler, node: n.Binary, left: Code, right: Code) -> Code:
    """Compile an operator that always is a call, because it may fail."""
    operator, a, b = node.operator, left.text, right.text
    mark = c.module.mark(node.at)
    match operator:
        case "+":
            return _made(f"{mark}_add(run, {a}, {b})", left, right)
        case "-" | "*" | "/" | "%":
            return _made(f"{mark}{_ARITHMETIC[operator]}({a}, {b})", left, right, kind="num")
        case "&" | "|" | "^" | "<<" | ">>":
            return _made(f"{mark}_bits({operator!r}, {a}, {b})", left, right, kind="num")
        case "like":
            return _made(f"{mark}_like({a}, {b})", left, right, kind=_BOOLEAN)
        case "not like":
            return _made(f"(not {mark}_like({a}, {b}))", left, right, kind=_BOOLEAN)
        case "=~" | "!~":
            return _made(f"{mark}_regex(run, {a}, {b}, {operator == '=~'})", left, right, kind=_BOOLEAN)
        case "~=":
            return _made(f"{mark}_similar(run, {a}, {b})", left, right, kind=_BOOLEAN)
        case "..":
            return _made(f"{mark}_span_list(run, {a}, {b})", left, right, kind="list")
    raise c.error(f"there is no operator {operator}", node.at)


def _equal(c: Compiler, left: Code, right: Code, negated: bool) -> str:
    for one, other in ((left, right), (right, left)):
        quick = _equal_known(c, one, other, negated)
        if quick:
            return quick
    text = f"_eq({left.text}, {right.text})"
    return f"(not {text})" if negated else text


def _equal_known(c: Compiler, one: Code, other: Code, negated: bool) -> str:
    """Compare with a value whose type is known, where Python has the same meaning; else give nothing."""
    sign, word = ("!=", "is not") if negated else ("==", "is")
    match other.kind:
        case "null":
            return f"({one.text} {word} None)"
        case "str":
            return f"({one.text} {sign} {other.text})"
        case "bool":
            return f"({one.text} {word} {other.text})"
        case "num":
            if other.is_constant and other.constant not in (0, 1):
                return f"({one.text} {sign} {other.text})"
            if one.kind == "num":
                return f"({one.text} {sign} {other.text})"
            if other.text.isidentifier():
                first, again = _once(c, one)
                text = f"({first} == {other.text} and type({again}) is not bool)"
                return f"(not {text})" if negated else text
    return ""


def _compare(c: Compiler, operator: str, left: Code, right: Code) -> str:
    if left.kind == right.kind and left.kind in ("num", "str"):
        return f"({left.text} {operator} {right.text})"
    for one, other, flipped in ((left, right, False), (right, left, True)):
        if other.kind in ("num", "str") and other.text.isidentifier():
            first, again = _once(c, one)
            quick = f"{other.text} {operator} {again}" if flipped else f"{again} {operator} {other.text}"
            slow = _ordered(operator, other.text, again) if flipped else _ordered(operator, again, other.text)
            test = f"type({first}) in _N" if other.kind == "num" else f"type({first}) is str"
            return f"({quick} if {test} else {slow})"
    return _ordered(operator, left.text, right.text)


def _ordered(operator: str, a: str, b: str) -> str:
    match operator:
        case "<":
            return f"_lt({a}, {b})"
        case "<=":
            return f"_le({a}, {b})"
        case ">":
            return f"(not _le({a}, {b}))"
        case _:
            return f"(not _lt({a}, {b}))"


def _contains(c: Compiler, operator: str, left: Code, right: Code) -> str:
    negation = "not " if operator == "not in" else ""
    if right.is_constant and type(right.constant) is list:
        kinds = set(map(type, right.constant))
        if kinds == {str}:
            first, again = _once(c, left)
            table = c.module.constant(frozenset(right.constant))
            return f"({negation}(type({first}) is str and {again} in {table}))"
        if kinds and kinds <= equality.NUMBERS:
            first, again = _once(c, left)
            table = c.module.constant(frozenset(right.constant))
            return f"({negation}(type({first}) in _N and {again} in {table}))"
    return f"({negation}_in({right.text}, {left.text}))"


def _unary(c: Compiler, node: n.Unary, operand: Code) -> Code:
    mark = c.module.mark(node.at)
    match node.operator:
        case "not":
            return _made(f"(not {operand.truth})", operand, kind=_BOOLEAN)
        case "-":
            return _made(f"{mark}_neg({operand.text})", operand, kind="num")
        case "+":
            return _made(f"{mark}_pos({operand.text})", operand, kind="num")
        case "~":
            return _made(f"{mark}_inv({operand.text})", operand, kind="num")
    raise c.error(f"there is no operator {node.operator}", node.at)


# Parts of values


def _access(c: Compiler, target: Code, name: str) -> Code:
    key = c.module.constant(name)
    if target.collection and name == "_id":
        return _made(f"_id({target.text}, {target.collection})", target, kind="")
    if target.kind == "dict":
        return _made(f"{target.text}.get({key})", target)
    first, again = _once(c, target)
    return _made(f"({again}.get({key}) if type({first}) is dict else None)", target)


def _index(c: Compiler, node: n.Index, target: Code, index: Code) -> Code:
    if index.is_constant and type(index.constant) is str and "." not in index.constant:
        return _access(c, target, index.constant)
    return _made(f"{c.module.mark(node.at)}_item({target.text}, {index.text})", target, index)


def _expansion(c: Compiler, node: n.Expansion, target: Code, scope: Scope) -> Code:
    is_bare = node.condition is None and node.count is None and node.result is None and node.rest is None
    mark = c.module.mark(node.at)
    code = _made(f"{mark}_expand(run, {target.text}, {node.depth}, {is_bare})", target, kind="list")
    if node.condition is not None:
        code = _over(c, "filter", node.condition, code, scope)
    if node.count is not None:
        count = value(c, node.count, scope)
        offset = constant(c, 0) if node.offset is None else value(c, node.offset, scope)
        text = f"{mark}_cut({code.text}, {offset.text}, {count.text})"
        code = _made(text, code, offset, count, kind="list")
    for part in (node.result, node.rest):
        if part is not None:
            code = _over(c, "map", part, code, scope)
    if node.rest is not None and _has_expansion(node.rest):
        code = _made(f"{mark}_expand(run, {code.text}, 1, True)", code, kind="list")
    return looked_at(c.module, code, node.at) if c.is_nesting else code


def _has_expansion(node: Any) -> bool:
    while node is not None:
        if isinstance(node, n.Expansion):
            return True
        node = _left_of(node)
    return False


def _over(c: Compiler, how: str, node: n.Expression, values: Code, scope: Scope) -> Code:
    """Filter or map values by an expression over the current one."""
    name = c.module.name("v")
    inner = {**scope, "CURRENT": Code(name, 0, free=frozenset((name,)))}
    body = c.module.shallow(value(c, node, inner))
    text = body.truth if how == "filter" else body.text
    free = (body.free - {name}) | values.free
    whole = f"list({how}((lambda {name}: {text}), {values.text}))"
    return Code(whole, 3 + max(body.depth, values.depth), "list", free, is_pure=body.is_pure and values.is_pure)


def _quantifier(c: Compiler, node: n.Quantifier, scope: Scope) -> Code:
    source = value(c, node.source, scope)
    if node.condition is None:
        found = {"any": "{} != []", "all": "True", "none": "{} == []"}[node.kind]
        return _made(f"({found.format(f'_elements({source.text})')})", source, kind=_BOOLEAN)
    body = lambda_code(c, n.Lambda((node.variable,), node.condition, at=node.at), scope, value, is_test=True)
    word = "all" if node.kind == "all" else "any"
    mark = c.module.mark(node.at)
    text = f"{word}(map({body.text}, {mark}_expand(run, {source.text}, 1, False)))"
    return _made(f"(not {text})" if node.kind == "none" else text, source, body, body, kind=_BOOLEAN)


def _case(c: Compiler, node: n.Case, scope: Scope) -> Code:
    """Compile branches as one chain of conditions, in parts that are not too deep."""
    default = constant(c, None) if node.default is None else value(c, node.default, scope)
    codes = [(value(c, test, scope), value(c, then, scope)) for test, then in node.branches]
    if node.subject is None:
        return _branches(c, [(test.truth, test, then) for test, then in codes], default)
    subject = value(c, node.subject, scope)
    name = c.module.name("v")
    known = Code(name, 0, subject.kind, frozenset((name,)))
    chain = _branches(c, [(_equal(c, known, test, False), test, then) for test, then in codes], default, known)
    text = f"(lambda {name}: {chain.text})({subject.text})"
    return Code(
        text,
        2 + max(chain.depth, subject.depth),
        chain.kind,
        (chain.free - {name}) | subject.free,
        is_pure=chain.is_pure and subject.is_pure,
    )


def _branches(c: Compiler, branches: Sequence[tuple[str, Code, Code]], default: Code, *more: Code) -> Code:
    code = default
    for test, needed, then in reversed(branches):
        made = _made(f"({then.text} if {test} else {code.text})", needed, then, code, *more)
        code = c.module.shallow(made)
    return code


def _array(c: Compiler, items: Sequence[n.Expression | n.Spread], scope: Scope) -> Code:
    codes = []
    texts = []
    for one in items:
        code = value(c, one.value if isinstance(one, n.Spread) else one, scope)
        codes.append(code)
        is_spread = isinstance(one, n.Spread)
        texts.append(f"*{c.module.mark(one.at)}_spread_array(run, {code.text})" if is_spread else code.text)
    return _made(f"[{', '.join(texts)}]", *codes, kind="list")


def _object(c: Compiler, members: Sequence[n.Property | n.Spread], scope: Scope) -> Code:
    codes: list[Code] = []
    texts: list[str] = []
    for one in members:
        code = value(c, one.value, scope)
        codes.append(code)
        if isinstance(one, n.Spread):
            texts.append(f"**{c.module.mark(one.at)}_spread_object(run, {code.text})")
        elif isinstance(one.name, str):
            texts.append(f"{c.module.constant(one.name)}: {code.text}")
        else:
            name = value(c, one.name, scope)
            codes.append(name)
            texts.append(f"{c.module.mark(one.at)}_property({name.text}): {code.text}")
    return _made(f"{{{', '.join(texts)}}}", *codes, kind="dict")


Value = Callable[[Compiler, n.Expression, Scope], Code]

__all__ = ["FUNCTIONS", "HELPERS", "QueryError", "Value", "constant", "kind_of", "value"]
