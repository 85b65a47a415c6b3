"""Regular expressions in the syntax of Rust's ``regex``, parsed into a small tree.

A set of characters is kept as the source of a Python expression that matches exactly one character: so the fast
way and the slow way of matching can't disagree on what a character is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from ...deferred import dataclass
from .classes import ESCAPED_SETS, posix_class, property_class

MAX_PATTERN: Final = 1000
MAX_REPEATS: Final = 1000
MAX_SET: Final = 50_000
MAX_GROUPS: Final = 100
MAX_NESTING: Final = 60
SINGLE: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a"}
HEX_LENGTHS: Final = {"x": 2, "u": 4, "U": 8}


class PatternError(Exception):
    """Not a regular expression of the syntax here; the message says why."""


@dataclass(frozen=True, slots=True)
class Empty:
    """Matches nothing, everywhere."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set, as the source of a Python expression."""

    source: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place between characters: ``start``, ``end``, ``line start``, ``line end``, ``word``, ``no word``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The first that leads to a match."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``least`` to ``most`` times, without end if None."""

    body: Node
    least: int
    most: int | None
    is_lazy: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose place is remembered under a number from 1 on."""

    body: Node
    number: int


Node: TypeAlias = Empty | Chars | Place | Series | Choice | Repeat | Group


@dataclass(frozen=True, slots=True)
class Flags:
    """``(?imsxUu)``, as they are at one place of a pattern."""

    i: bool = False
    m: bool = False
    s: bool = False
    x: bool = False
    U: bool = False
    u: bool = True


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed pattern; ``names`` gives numbers of named groups, ``groups`` counts all."""

    root: Node
    groups: int
    names: dict[str, int]


def parse_pattern(text: str, *, ignore_case: bool = False) -> Tree:
    """Parse a pattern, or raise :class:`PatternError`."""
    if len(text) > MAX_PATTERN:
        raise PatternError(f"a regular expression of {len(text)} characters; the limit is {MAX_PATTERN}")
    parser = _Parser(text, Flags(i=ignore_case))
    root = parser.choice(0)
    if parser.at < len(text):
        raise PatternError("a ) without its (")
    return Tree(root, parser.groups, parser.names)


class _Parser:
    """Recursive descent; ``flags`` are those in force at ``at``."""

    def __init__(self, text: str, flags: Flags) -> None:
        self.text = text
        self.at = 0
        self.flags = flags
        self.groups = 0
        self.names: dict[str, int] = {}

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def accept(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise PatternError("it ends too early")
        self.at += 1
        return char

    def until(self, mark: str) -> str:
        end = self.text.find(mark, self.at)
        if end < 0:
            raise PatternError(f"a {mark} is missing")
        part = self.text[self.at : end]
        self.at = end + len(mark)
        return part

    def choice(self, depth: int) -> Node:
        if depth > MAX_NESTING:
            raise PatternError(f"nested deeper than {MAX_NESTING} levels")
        options = [self.series(depth)]
        while self.accept("|"):
            options.append(self.series(depth))
        if len(options) == 1:
            return options[0]
        if all(isinstance(option, Chars) for option in options):
            return Chars("(?:" + "|".join(option.source for option in options if isinstance(option, Chars)) + ")")
        return Choice(tuple(options))

    def series(self, depth: int) -> Node:
        parts: list[Node] = []
        while True:
            if self.flags.x:
                self.skip_space()
            char = self.peek()
            if not char or char in "|)":
                break
            if char in "*+?":
                raise PatternError(f"{char} repeats nothing")
            parts.append(self.repeated(self.atom(depth)))
        return parts[0] if len(parts) == 1 else Series(tuple(parts)) if parts else Empty()

    def skip_space(self) -> None:
        while self.peek():
            if self.peek().isspace():
                self.at += 1
            elif self.peek() == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def repeated(self, node: Node) -> Node:
        while True:
            if self.flags.x:
                self.skip_space()
            bounds = self.bounds()
            if bounds is None:
                return node
            least, most = bounds
            if max(least, most or 0) > MAX_REPEATS:
                raise PatternError(f"a repeat of more than {MAX_REPEATS} times")
            is_lazy = self.accept("?") != self.flags.U
            node = Repeat(node, least, most, is_lazy)

    def bounds(self) -> tuple[int, int | None] | None:
        match self.peek():
            case "*":
                found: tuple[int, int | None] = (0, None)
            case "+":
                found = (1, None)
            case "?":
                found = (0, 1)
            case "{":
                self.at += 1
                return self.counts(self.until("}"))
            case _:
                return None
        self.at += 1
        return found

    def counts(self, inner: str) -> tuple[int, int | None]:
        first, comma, second = inner.replace(" ", "").partition(",")
        digits = [part for part in (first, second) if part]
        if not digits or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in digits):
            raise PatternError(f"{{{inner}}} is no number of times; write \\{{ for a brace")
        least = int(first or 0)
        most = int(second) if second else None if comma else least
        if most is not None and most < least:
            raise PatternError(f"{{{inner}}} has its larger number first")
        return least, most

    def atom(self, depth: int) -> Node:
        char = self.take()
        match char:
            case "(":
                return self.group(depth)
            case "[":
                return Chars(self.with_flags(self.char_class(0)))
            case ".":
                return Chars("(?s:.)" if self.flags.s else r"[^\n]")
            case "^":
                return Place("line start" if self.flags.m else "start")
            case "$":
                return Place("line end" if self.flags.m else "end")
            case "\\":
                return self.escape()
            case _:
                return Chars(self.with_flags(_literal(char)))

    def with_flags(self, source: str) -> str:
        if not self.flags.u:
            source = f"(?a:{source})"
        return f"(?i:{source})" if self.flags.i else source

    def group(self, depth: int) -> Node:
        outside = self.flags
        number = 0
        if self.accept("?"):
            if self.peek() in ("=", "!") or self.text[self.at : self.at + 2] in ("<=", "<!"):
                raise PatternError("look-ahead and look-behind are not supported")
            if self.accept("P<") or self.accept("<"):
                number = self.new_group(self.until(">"))
            elif not self.inline_flags():
                return Empty()
        else:
            number = self.new_group(None)
        body = self.choice(depth + 1)
        if not self.accept(")"):
            raise PatternError("a ( without its )")
        self.flags = outside
        return Group(body, number) if number else body

    def new_group(self, name: str | None) -> int:
        self.groups += 1
        if self.groups > MAX_GROUPS:
            raise PatternError(f"more than {MAX_GROUPS} groups")
        if name is not None:
            if not name.isidentifier():
                raise PatternError(f"{name!r} is no name of a group")
            if name in self.names:
                raise PatternError(f"two groups are named {name}")
            self.names[name] = self.groups
        return self.groups

    def inline_flags(self) -> bool:
        """Read ``i-s:`` or ``i-s)``; tell whether a group follows."""
        value = True
        while True:
            char = self.take()
            if char in ":)":
                return char == ":"
            if char == "-" and value:
                value = False
            elif char in "imsxUu":
                self.flags = replace(self.flags, **{char: value})
            else:
                raise PatternError(f"(?{char} is not supported")

    def escape(self) -> Node:
        char = self.take()
        match char:
            case "A":
                return Place("start")
            case "z":
                return Place("end")
            case "b" | "B":
                if self.peek() == "{":
                    raise PatternError(rf"\{char}{{…}} is not supported")
                return Place("word" if char == "b" else "no word")
            case _:
                return Chars(self.with_flags(self.escaped_set(char)))

    def escaped_set(self, char: str) -> str:
        """Give the set of characters behind a backslash, in a class or outside."""
        if char in ESCAPED_SETS:
            return ESCAPED_SETS[char]
        if char in "pP":
            name = self.until("}") if self.accept("{") else self.take()
            found = property_class(name.removeprefix("^"), is_negated=(char == "P") != name.startswith("^"))
            if found is None:
                raise PatternError(rf"\{char}{{{name}}} is no known property")
            return found
        return _literal(self.escaped_char(char))

    def escaped_char(self, char: str) -> str:
        if char in SINGLE:
            return SINGLE[char]
        if char in HEX_LENGTHS:
            return self.hexadecimal(HEX_LENGTHS[char])
        if char.isascii() and char.isdigit():
            raise PatternError("back-references are not supported")
        if char.isascii() and char.isalpha():
            raise PatternError(rf"\{char} is no known escape")
        return char

    def hexadecimal(self, length: int) -> str:
        if self.accept("{"):
            digits = self.until("}")
        else:
            digits = self.text[self.at : self.at + length]
            self.at += length
        try:
            if not digits.isalnum() or len(digits) > 8:
                raise ValueError
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            raise PatternError(f"{digits!r} is no number of a character") from None

    def char_class(self, depth: int) -> str:
        """Read a class after its ``[``; ``&&``, ``--`` and ``~~`` work on all that stands to their left."""
        if depth > MAX_NESTING:
            raise PatternError(f"nested deeper than {MAX_NESTING} levels")
        is_negated = self.accept("^")
        left = self.class_union(depth, is_first=True)
        while not self.accept("]"):
            operator = self.take() + self.take()
            right = self.class_union(depth, is_first=False)
            if operator == "&&":
                left = f"(?:(?={right}){left})"
            elif operator == "--":
                left = f"(?:(?!{right}){left})"
            else:
                left = f"(?:(?!{right}){left}|(?!{left}){right})"
            if len(left) > MAX_SET:
                raise PatternError("a class that is too large")
        return f"(?:(?!{left})(?s:.))" if is_negated else left

    def class_union(self, depth: int, *, is_first: bool) -> str:
        plain: list[str] = []
        nested: list[str] = []
        while True:
            if self.flags.x:
                self.skip_space()
            char = self.peek()
            if not char:
                raise PatternError("a [ without its ]")
            if (char == "]" and not is_first) or self.text[self.at : self.at + 2] in ("&&", "--", "~~"):
                break
            is_first = False
            self.at += 1
            if char == "[":
                nested.append(self.bracketed(depth))
            else:
                self.class_item(char, plain, nested)
        if plain:
            nested.append(f"[{''.join(plain)}]")
        if not nested:
            return "(?!)"
        return nested[0] if len(nested) == 1 else f"(?:{'|'.join(nested)})"

    def bracketed(self, depth: int) -> str:
        if not self.accept(":"):
            return self.char_class(depth + 1)
        name = self.until(":]")
        found = posix_class(name)
        if found is None:
            raise PatternError(f"[:{name}:] is no known class")
        return found

    def class_item(self, char: str, plain: list[str], nested: list[str]) -> None:
        if char == "\\":
            escaped = self.take()
            if escaped in ESCAPED_SETS or escaped in "pP":
                nested.append(self.escaped_set(escaped))
                return
            char = self.escaped_char(escaped)
        is_range = self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", "-", "")
        if not is_range:
            plain.append(_in_class(char))
            return
        self.at += 1
        last = self.take()
        if last == "\\":
            last = self.escaped_char(self.take())
        if last < char:
            raise PatternError(f"the range {char}-{last} goes backwards")
        plain.append(f"{_in_class(char)}-{_in_class(last)}")


def _literal(char: str) -> str:
    return char if char.isalnum() or char in " _" else f"\\U{ord(char):08x}"


def _in_class(char: str) -> str:
    return char if char.isalnum() else f"\\U{ord(char):08x}"
