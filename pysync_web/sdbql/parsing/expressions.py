"""Reads expressions: a Pratt parser whose operators are the table ``INFIX``.

Operators of one level associate to the left and are read in a loop, so the left side of a chain may be 250
nodes deep: whoever walks a tree must follow ``Binary.left``, ``Pipe.value`` and ``target`` by a loop, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, cast

from ...deferred import dataclass
from ..lexer import KEYWORDS, MOST_DIGITS, RESERVED, Token
from ..nodes import (
    Access,
    Array,
    Binary,
    Bind,
    Call,
    Case,
    Conditional,
    Constant,
    Current,
    Expansion,
    Expression,
    Index,
    Lambda,
    Name,
    Object,
    Over,
    Pipe,
    Property,
    Quantifier,
    SortKey,
    Spread,
    Subquery,
    Template,
    Unary,
)
from .cursor import MOST_IN_CHAIN, Cursor

UNARY: Final = 15
POSTFIX: Final = 17

BEGINS_QUERY: Final = frozenset(
    {
        *("FOR", "LET", "RETURN", "INSERT", "UPDATE", "REMOVE", "UPSERT"),
        *("REPLACE", "FILTER", "SORT", "LIMIT", "COLLECT", "JOIN"),
    }
)
BEGINS_CLAUSE: Final = BEGINS_QUERY | {"ORDER", "LEFT", "RIGHT", "FULL", "INNER", "WINDOW"}

NOT_CALLED: Final = RESERVED - {"REPLACE", "FILTER", "SORT", "LIMIT", "COLLECT", "JOIN", "LIKE"}
"""Keywords that are no function's name even where a bracket follows."""

_BEGINS_EXPRESSION: Final = frozenset(
    {
        *("name", "number", "string", "template", "bind", "binds", "NOT", "CASE", "TRUE", "FALSE", "NULL"),
        *("(", "[", "{", "-", "+", "!", "~"),
    }
)


@dataclass(frozen=True, slots=True)
class Infix:
    """What a token means behind an expression: how tight it binds, how it is read, and its name in the tree."""

    level: int
    read: Callable[[Cursor, Expression, Infix], Expression]
    operator: str = ""


def expression(c: Cursor) -> Expression:
    """Read an expression, as far as it goes."""
    return climb(c, 0)


def climb(c: Cursor, least: int) -> Expression:
    """Read an expression whose operators outside of brackets bind at least so tight."""
    c.enter()
    prefix = _PREFIX.get(c.kind)
    left = prefix(c) if prefix else _postfix(c)
    length = 0
    while True:
        token = c.tokens[c.index]
        infix = INFIX.get(token.kind)
        if infix is None or infix.level < least or _is_no_operator(c, token.kind):
            c.depth -= 1
            return left
        length += 1
        if length > MOST_IN_CHAIN:
            raise c.error(f"More than {MOST_IN_CHAIN} operators in one chain", token.at)
        left = infix.read(c, left, infix)


def _is_no_operator(c: Cursor, kind: str) -> bool:
    """Say whether IN belongs to the clause around, or NOT is not the beginning of NOT IN and the like."""
    return (kind == "IN" and c.no_in) or (kind == "NOT" and c.kind_after() not in _NEGATED)


def begins_expression(c: Cursor, steps: int = 0) -> bool:
    """Say whether a token can be the first of an expression; a keyword that begins a clause is not one."""
    kind = c.kind_after(steps)
    return kind in _BEGINS_EXPRESSION or (kind in KEYWORDS and kind not in RESERVED and kind not in BEGINS_CLAUSE)


def begins_call(c: Cursor, steps: int = 0) -> bool:
    """Say whether a call comes at a later token, of a function that may be named like a clause."""
    kind = c.kind_after(steps)
    return kind in KEYWORDS and kind not in NOT_CALLED and c.kind_after(steps + 1) == "("


# Operators


def _binary(c: Cursor, left: Expression, infix: Infix) -> Expression:
    at = c.take().at
    return Binary(infix.operator, left, climb(c, infix.level + 1), at=at)


_NEGATED = {"IN": "not in", "LIKE": "not like", "=~": "!~"}


def _negated(c: Cursor, left: Expression, infix: Infix) -> Expression:
    at = c.take().at
    operator = _NEGATED[c.take().kind]
    return Binary(operator, left, climb(c, infix.level + 1), at=at)


def _power(c: Cursor, left: Expression, infix: Infix) -> Expression:
    at = c.take().at
    return Call("POW", (left, climb(c, UNARY)), at=at)  # the right side may have a sign, or be a power itself


def _conditional(c: Cursor, left: Expression, infix: Infix) -> Expression:
    at = c.take().at
    saved, c.no_in = c.no_in, False
    then = climb(c, 0)
    c.expect(":")
    c.no_in = saved
    return Conditional(left, then, climb(c, infix.level), at=at)


def _pipe(c: Cursor, left: Expression, infix: Infix) -> Expression:
    at = c.take().at
    token = c.token
    if not c.is_word() or token.kind in NOT_CALLED:
        c.refuse("the name of a function")
    c.index += 1
    call = _call(c, token) if c.kind == "(" else Call(token.text.upper(), (), at=token.at)
    return Pipe(left, call, at=at)


INFIX: Final[dict[str, Infix]] = {
    "?": Infix(1, _conditional),
    "??": Infix(2, _binary, "??"),
    "||": Infix(3, _binary, "||"),
    "|>": Infix(4, _pipe, "|>"),
    "OR": Infix(5, _binary, "or"),
    "AND": Infix(6, _binary, "and"),
    "&&": Infix(6, _binary, "and"),
    "|": Infix(7, _binary, "|"),
    "^": Infix(8, _binary, "^"),
    "&": Infix(9, _binary, "&"),
    **{sign: Infix(10, _binary, sign) for sign in ("==", "!=", "<", "<=", ">", ">=", "=~", "!~", "~=")},
    "IN": Infix(10, _binary, "in"),
    "LIKE": Infix(10, _binary, "like"),
    "NOT": Infix(10, _negated),
    "..": Infix(11, _binary, ".."),
    **{sign: Infix(12, _binary, sign) for sign in ("<<", ">>")},
    **{sign: Infix(13, _binary, sign) for sign in ("+", "-")},
    **{sign: Infix(14, _binary, sign) for sign in ("*", "/", "%")},
    "**": Infix(16, _power),
}


def _unary(c: Cursor) -> Expression:
    token = c.take()
    is_number = c.kind == "number"
    operand = climb(c, UNARY)
    if token.kind == "-" and is_number and isinstance(operand, Constant):
        return Constant(-operand.value, at=token.at)
    return Unary("not" if token.kind in ("NOT", "!") else token.kind, operand, at=token.at)


_PREFIX = dict.fromkeys(("NOT", "!", "-", "+", "~"), _unary)

# What binds tighter than all operators


def _postfix(c: Cursor) -> Expression:
    """Read a value, with accesses and indexes behind it."""
    node = _primary(c)
    length = 0
    while True:
        token = c.tokens[c.index]
        read = _POSTFIX.get(token.kind)
        if read is None:
            return node
        length += 1
        if length > MOST_IN_CHAIN:
            raise c.error(f"More than {MOST_IN_CHAIN} accesses in one chain", token.at)
        node = read(c, node)


def _access(c: Cursor, target: Expression) -> Expression:
    is_optional = c.take().kind == "?."
    if is_optional and c.kind == "[":
        return _index(c, target, is_optional)
    token = c.token
    if token.kind == "bind":
        c.index += 1
        return Index(target, Bind(token.text, at=token.at), is_optional, at=token.at)
    if not c.is_word():
        c.refuse("the name of a field")
    c.index += 1
    return Access(target, token.text, is_optional, at=token.at)


def _index(c: Cursor, target: Expression, is_optional: bool = False) -> Expression:
    opening = c.take()
    if c.kind in ("*", "**"):
        return _expansion(c, target, opening)
    index = _free(c)
    c.close("]", opening)
    return Index(target, index, is_optional, at=opening.at)


_POSTFIX: dict[str, Callable[[Cursor, Expression], Expression]] = {".": _access, "?.": _access, "[": _index}


def _expansion(c: Cursor, target: Expression, opening: Token) -> Expression:
    depth = 0
    while c.kind in ("*", "**"):
        depth += len(c.take().kind)
    if depth > c.max_depth:
        raise c.error(f"More than {c.max_depth} stars", opening.at)
    saved, c.in_expansion = c.in_expansion, True
    condition = _free(c) if c.skip("FILTER") else None
    offset, count = None, _free(c) if c.skip("LIMIT") else None
    if count is not None and c.skip(","):
        offset, count = count, _free(c)
    result = _free(c) if c.skip("RETURN") else None
    c.in_expansion = saved
    c.close("]", opening)
    rest = _rest(c)
    return Expansion(target, depth, condition, offset, count, result, rest, at=opening.at)


def _rest(c: Cursor) -> Expression | None:
    """Read the names behind an expansion, which apply to each element."""
    node: Expression = Current(at=c.token.at)
    length = 0
    while (c.kind == "." and c.kind_after() != "bind") or (c.kind == "?." and c.kind_after() not in ("[", "bind")):
        node = _access(c, node)
        length += 1
        if length > MOST_IN_CHAIN:
            raise c.error(f"More than {MOST_IN_CHAIN} accesses in one chain", c.token.at)
    return node if length else None


def _free(c: Cursor) -> Expression:
    """Read an expression between brackets or words, where IN is always an operator."""
    saved, c.no_in = c.no_in, False
    node = climb(c, 0)
    c.no_in = saved
    return node


# Values


def _primary(c: Cursor) -> Expression:
    token = c.tokens[c.index]
    read = _PRIMARY.get(token.kind)
    if read is not None:
        return read(c)
    return _word(c)


def _word(c: Cursor) -> Expression:
    """Read a variable, a collection or a call, whose name may be a keyword."""
    token = c.token
    if not c.is_word():
        c.refuse("an expression")
    following = c.kind_after()
    if following == "(" and token.kind not in NOT_CALLED:
        c.index += 1
        return _call(c, token)
    if token.kind in RESERVED:
        c.refuse("an expression")
    c.index += 1
    if following == "->":
        c.refuse("an expression")
    if token.kind == "CURRENT" and c.in_expansion:
        return Current(at=token.at)
    return Name(token.text, at=token.at)


def _string(c: Cursor) -> Expression:
    token = c.take()
    return Constant(token.text, at=token.at)


def _number(c: Cursor) -> Expression:
    token = c.take()
    if token.text.isdecimal():
        if len(token.text) > MOST_DIGITS:
            raise c.error(f"An integer of more than {MOST_DIGITS} digits", token.at)
        return Constant(int(token.text), at=token.at)
    value = float(token.text)
    if value == float("inf"):
        raise c.error("This number is too large", token.at)
    return Constant(value, at=token.at)


def _literal(value: bool | None) -> Callable[[Cursor], Expression]:
    return lambda c: Constant(value, at=c.take().at)


def _bind(c: Cursor) -> Expression:
    token = c.take()
    return Bind(token.text, token.kind == "binds", at=token.at)


def _template(c: Cursor) -> Expression:
    opening = c.take()
    parts: list[str | Expression] = []
    while c.kind != "template end":
        if c.kind == "chunk":
            parts.append(c.take().text)
        else:
            brace = c.expect("${")
            parts.append(_free(c))
            c.close("}$", brace)
    c.index += 1
    return Template(tuple(parts), at=opening.at)


def _parentheses(c: Cursor) -> Expression:
    opening = c.take()
    node = _subquery(c, opening) if _begins_query(c) else _free(c)
    c.close(")", opening)
    return node


def _begins_query(c: Cursor) -> bool:
    """Say whether a query comes next, and not a call of a function that is named like a clause."""
    if c.kind not in BEGINS_CLAUSE:
        return False
    if c.kind in NOT_CALLED or (c.kind in BEGINS_QUERY and c.kind_after() != "("):
        return True
    return _has_clauses(c) or (c.kind == "REPLACE" and "," not in c.kinds_inside(2))


_NO_EXPRESSION = frozenset({"FOR", "LET", "RETURN", "INSERT", "UPDATE", "REMOVE", "UPSERT", "WITH"})
_ENDS_VALUE = frozenset({"name", "number", "string", "bind", "binds", "template end", ")", "]", "}"})


def _has_clauses(c: Cursor) -> bool:
    """Say whether the brackets around hold, outside of inner brackets, what no expression holds."""
    before = ""
    for kind in c.kinds_inside(0):
        if (kind in _NO_EXPRESSION and before not in (".", "?.")) or (kind == "REPLACE" and before in _ENDS_VALUE):
            return True
        before = kind
    return False


def _subquery(c: Cursor, opening: Token) -> Expression:
    saved = c.no_in
    c.no_in = False
    query = c.read_query(c)
    c.no_in = saved
    return Subquery(query, at=opening.at)


def _array(c: Cursor) -> Expression:
    opening = c.take()
    items: list[Expression | Spread] = []
    while c.kind != "]":
        items.append(_spread(c) if c.kind == "..." else _free(c))
        if not c.skip(","):
            break
    c.close("]", opening, ",")
    return Array(tuple(items), at=opening.at)


def _spread(c: Cursor) -> Spread:
    at = c.take().at
    return Spread(_free(c), at=at)


def _object(c: Cursor) -> Expression:
    opening = c.take()
    members: list[Property | Spread] = []
    while c.kind != "}":
        members.append(_spread(c) if c.kind == "..." else _member(c))
        if not c.skip(","):
            break
    c.close("}", opening, ",")
    return Object(tuple(members), at=opening.at)


def _member(c: Cursor) -> Property:
    """Read ``name: value``, ``[computed]: value`` or ``name`` alone."""
    token = c.token
    key: str | Expression = token.text
    if token.kind == "[":
        c.index += 1
        key = _free(c)
        c.close("]", token)
    elif token.kind == "bind":
        key = _bind(c)
    elif c.is_word() or token.kind in ("string", "number"):
        c.index += 1
        if c.kind in (",", "}") and token.kind not in ("string", "number"):
            c.index -= 1
            return Property(token.text, _shorthand(c), at=token.at)
    else:
        c.refuse("the name of a member or }")
    c.expect(":")
    return Property(key, _free(c), at=token.at)


def _shorthand(c: Cursor) -> Expression:
    token = c.token
    if token.kind == "CURRENT" and c.in_expansion:
        return _word(c)
    return Name(c.name("the name of a variable"), at=token.at)


def _case(c: Cursor) -> Expression:
    at = c.take().at
    subject = None if c.kind == "WHEN" else _free(c)
    branches: list[tuple[Expression, Expression]] = []
    c.expect("WHEN")
    while True:
        condition = _free(c)
        c.expect("THEN")
        branches.append((condition, _free(c)))
        if not c.skip("WHEN"):
            break
    default = _free(c) if c.skip("ELSE") else None
    c.expect("END")
    return Case(subject, tuple(branches), default, at=at)


def _quantifier(c: Cursor) -> Expression:
    """Read ``ANY x IN …``, or what else the word may be: a function's or a variable's name."""
    if c.kind_after() != "name" and (c.kind_after() not in KEYWORDS or c.kind_after() in RESERVED):
        return _word(c)
    if c.kind_after(2) != "IN":
        return _word(c)
    token = c.take()
    variable = c.take().text
    c.index += 1
    source = climb(c, 0)
    condition = climb(c, 0) if c.skip("SATISFIES") else None
    kind = "any" if token.kind == "SOME" else token.kind.lower()
    return Quantifier(cast(Literal["any", "all", "none"], kind), variable, source, condition, at=token.at)


_PRIMARY: dict[str, Callable[[Cursor], Expression]] = {
    "string": _string,
    "number": _number,
    "TRUE": _literal(True),
    "FALSE": _literal(False),
    "NULL": _literal(None),
    "bind": _bind,
    "binds": _bind,
    "template": _template,
    "(": _parentheses,
    "[": _array,
    "{": _object,
    "CASE": _case,
    **dict.fromkeys(("ANY", "ALL", "NONE", "SOME"), _quantifier),
}

# Calls


def _call(c: Cursor, name: Token) -> Call:
    """Read a call from its bracket on."""
    opening = c.take()
    saved, c.no_in = c.no_in, False
    found = (_subquery(c, opening),) if c.kind in ("FOR", "LET", "RETURN") else _arguments(c)
    c.no_in = saved
    c.close(")", opening, ",")
    over = _over(c) if c.kind == "OVER" and c.kind_after() == "(" else None
    return Call(name.text.upper(), found, over, at=name.at)


def _arguments(c: Cursor) -> tuple[Expression, ...]:
    found: list[Expression] = []
    while c.kind != ")":
        found.append(_lambda(c) if _is_lambda(c) else climb(c, 0))
        if not c.skip(","):
            break
    return tuple(found)


def _is_lambda(c: Cursor) -> bool:
    return c.kind_after() == "->" or (c.kind == "(" and c.after_brackets(0) == "->")


def _lambda(c: Cursor) -> Expression:
    at = c.token.at
    if c.kind == "(":
        opening = c.take()
        parameters = [c.name("a parameter of the lambda")]
        while c.skip(","):
            parameters.append(c.name("a parameter of the lambda"))
        c.close(")", opening, ",")
    else:
        parameters = [c.name("a parameter of the lambda")]
    c.expect("->")
    return Lambda(tuple(parameters), climb(c, 0), at=at)


def _over(c: Cursor) -> Over:
    at = c.take().at
    opening = c.take()
    partition: list[Expression] = []
    order: tuple[SortKey, ...] = ()
    saved, c.no_in = c.no_in, False
    if c.skip("PARTITION"):
        c.expect("BY")
        partition.append(climb(c, 0))
        while c.skip(","):
            partition.append(climb(c, 0))
    if c.kind in ("ORDER", "SORT"):
        c.index += 1
        order = sort_keys(c)
    c.no_in = saved
    c.close(")", opening)
    return Over(tuple(partition), order, at=at)


def sort_keys(c: Cursor) -> tuple[SortKey, ...]:
    """Read the keys of an order, after SORT or ORDER: BY may come first."""
    if c.kind == "BY" and (begins_expression(c, 1) or begins_call(c, 1)):
        c.index += 1
    return c.listed(_sort_key)


def _sort_key(c: Cursor) -> SortKey:
    at = c.token.at
    value: Any = climb(c, 0)
    is_descending = c.skip("DESC")
    if not is_descending:
        c.skip("ASC")
    return SortKey(value, is_descending, at=at)
