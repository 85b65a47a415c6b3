"""Where the parser is in the tokens of a query, what it may read there, and what it says when it can't.

Depth is counted where expressions and queries begin, which is everywhere that the parser calls itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from ...errors import QueryError
from ..lexer import KEYWORDS, RESERVED, Token
from ..nodes import Query
from ..places import nearest, shorten

T = TypeVar("T")

MOST_IN_CHAIN: Final = 250

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_OPENING = frozenset({"(", "[", "{", "${"})
_CLOSED = {"}$": "the template's expression", ")": "the (", "]": "the [", "}": "the {"}
_QUOTED = {"template end": "the end of the template", "chunk": "the template's text", "end": "the end of the query"}
_HINTS = {
    "=": "Equality is written ==.",
    "SELECT": "What to give is written last: RETURN.",
    "WHERE": "Conditions are written FILTER.",
    "HAVING": "Conditions are written FILTER.",
    "GROUP": "Groups are written COLLECT.",
    "FROM": "Collections are read by FOR … IN.",
    "DELETE": "Documents are removed by REMOVE.",
    "->": "A lambda can only be an argument of a function.",
}


class Cursor:
    """A place in the tokens. ``no_in`` says that IN is not an operator here: it names a collection."""

    __slots__ = (
        "_closings",
        "depth",
        "in_expansion",
        "index",
        "max_depth",
        "no_in",
        "query",
        "read_query",
        "tokens",
    )

    def __init__(
        self, query: str, tokens: list[Token], max_depth: int, read_query: Callable[[Cursor], Query]
    ) -> None:
        self.query = query
        self.tokens = tokens
        self.index = 0
        self.depth = 0
        self.max_depth = max_depth
        self.no_in = False
        self.in_expansion = False
        self.read_query = read_query
        self._closings: dict[int, int] | None = None

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.index]

    @property
    def kind(self) -> str:
        """The kind of the token that comes next."""
        return self.tokens[self.index].kind

    def kind_after(self, steps: int = 1) -> str:
        """Give the kind of a later token, ``end`` behind the last."""
        index = self.index + steps
        return self.tokens[index].kind if index < len(self.tokens) else "end"

    def take(self) -> Token:
        """Give the next token and go on."""
        token = self.tokens[self.index]
        self.index += 1
        return token

    def listed(self, read: Callable[[Cursor], T]) -> tuple[T, ...]:
        """Read one thing or more, with commas between them."""
        found = [read(self)]
        while self.skip(","):
            found.append(read(self))
        return tuple(found)

    def skip(self, kind: str) -> bool:
        """Go over the next token if it is of a kind, and say whether it was."""
        if self.tokens[self.index].kind == kind:
            self.index += 1
            return True
        return False

    def expect(self, kind: str) -> Token:
        """Give the next token, which must be of a kind."""
        if self.tokens[self.index].kind != kind:
            self.refuse(kind)
        return self.take()

    def close(self, kind: str, opening: Token, others: str = "") -> None:
        """Go over the bracket that closes what was opened; at the end of the query the opening one is to blame."""
        if self.tokens[self.index].kind == kind:
            self.index += 1
            return
        if self.kind == "end" and opening.kind in _BRACKETS:
            raise self.error(f"This {opening.text} is never closed", opening.at)
        wanted = f"{kind.rstrip('$')} to close {_CLOSED[kind]}"
        self.refuse(f"{others} or {wanted}" if others else wanted)

    def name(self, what: str) -> str:
        """Give the name that comes next: one in backticks, or any that is not reserved."""
        token = self.tokens[self.index]
        if token.kind != "name" and (token.kind not in KEYWORDS or token.kind in RESERVED):
            self.refuse(what)
        self.index += 1
        return token.text

    def is_word(self) -> bool:
        """Say whether a name or a keyword comes next, whatever keyword it is."""
        kind = self.tokens[self.index].kind
        return kind == "name" or kind in KEYWORDS

    def enter(self) -> None:
        """Count one level of nesting, which the caller takes back."""
        self.depth += 1
        if self.depth > self.max_depth:
            raise self.error(f"Nested deeper than {self.max_depth} levels (limit: depth)", self.token.at)

    def after_brackets(self, steps: int) -> str:
        """Give the kind of the token behind the bracket that closes the one at a later token."""
        closing = self._closing(self.index + steps)
        return self.tokens[closing + 1].kind if closing + 1 < len(self.tokens) else "end"

    def kinds_inside(self, steps: int) -> list[str]:
        """Give the kinds of the tokens from a later one to the end of its brackets, without what inner ones hold."""
        kinds: list[str] = []
        index = self.index + steps
        while index < len(self.tokens) and self.tokens[index].kind not in (*_CLOSED, "end"):
            kinds.append(self.tokens[index].kind)
            if self.tokens[index].kind in _OPENING:
                index = self._closing(index)
                kinds.append(")")
            index += 1
        return kinds

    def _closing(self, index: int) -> int:
        """Give the place of the bracket that closes the one at a place: behind all tokens if none does."""
        if self._closings is None:
            self._closings = _pairs(self.tokens)  # once for all, so that looking ahead stays cheap
        return self._closings.get(index, len(self.tokens))

    def error(self, message: str, at: int) -> QueryError:
        """Make an error with its place."""
        return QueryError(message, query=self.query, at=at)

    def refuse(self, wanted: str) -> NoReturn:
        """Raise that something else was expected than what comes next."""
        token = self.token
        hint = "" if wanted == ":" else self._hint(token)
        raise self.error(f"Expected {wanted}, but found {describe(token)}{hint}", token.at)

    def _hint(self, token: Token) -> str:
        hint = _HINTS.get(token.text.upper() if token.kind == "name" else token.kind)
        if hint:
            return f". {hint}"
        if token.kind in RESERVED:
            return f". {token.kind} is a keyword: as a name it stands in backticks" if self._is_name_like() else ""
        likely = nearest(token.text, sorted(KEYWORDS)) if token.kind == "name" else None
        return f". Did you mean {likely}?" if likely else ""

    def _is_name_like(self) -> bool:
        return self.kind_after() in ("IN", "=", ",", ".", ":", "->", ")", "]", "}", "end")


def describe(token: Token) -> str:
    """Say in a message what a token is."""
    if token.kind in _QUOTED:
        return _QUOTED[token.kind]
    match token.kind:
        case "string":
            return f"the string {shorten(token.text)!r}"
        case "template":
            return "a template"
        case "bind":
            return f"@{shorten(token.text)}"
        case "binds":
            return f"@@{shorten(token.text)}"
    return shorten(token.text)


def _pairs(tokens: list[Token]) -> dict[int, int]:
    """Map the places of opening brackets to those of the closing ones."""
    pairs: dict[int, int] = {}
    stack: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind in _OPENING:
            stack.append(index)
        elif token.kind in _CLOSED and stack:
            pairs[stack.pop()] = index
    return pairs
