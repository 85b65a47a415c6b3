"""A virtual machine that follows all ways through a pattern at once, so that its steps grow with the text only.

It is the machine of Thompson and Pike (R. Cox, "Regular Expression Matching: the Virtual Machine Approach", 2009):
threads in order of priority, each with the places of its groups, at most one thread an instruction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import Final, TypeAlias

from ...deferred import dataclass
from .syntax import Chars, Choice, Empty, Group, Node, PatternError, Place, Repeat, Series, Tree

MAX_PROGRAM: Final = 4000
MAX_SETS: Final = 200_000
"""Characters that all different sets of a pattern may be written in: compiling more would take long."""

REPORT: Final = 2000

Spend: TypeAlias = Callable[[int], None]
Spans: TypeAlias = tuple[int, ...]
"""Begin and end of the match, then of each group, -1 where it took no part."""

CHAR, SPLIT, JUMP, SAVE, PLACE, MATCH = range(6)


class CharSet:
    """Tells of characters whether they are in a set, and remembers it."""

    __slots__ = ("known", "match")

    def __init__(self, source: str) -> None:
        self.match = re.compile(source).fullmatch
        self.known: dict[str, bool] = {}

    def holds(self, char: str) -> bool:
        """Tell whether a character is in the set."""
        found = self.known.get(char)
        if found is None:
            if len(self.known) >= 4096:
                self.known.clear()
            found = self.known[char] = self.match(char) is not None
        return found


@dataclass(slots=True)
class Program:
    """Instructions: an operation, its operand, and for a split the way that comes second."""

    groups: int
    operations: list[int] = field(default_factory=list)
    operands: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    sets: list[CharSet] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, operation: int, operand: int = 0, second: int = 0) -> int:
        """Append an instruction and give its number."""
        if len(self.operations) >= MAX_PROGRAM:
            raise PatternError("it repeats too much")
        self.operations.append(operation)
        self.operands.append(operand)
        self.seconds.append(second)
        return len(self.operations) - 1


def assemble(tree: Tree) -> Program:
    """Make the program of a pattern, or raise :class:`PatternError` if it would be too long."""
    program = Program(tree.groups)
    known: dict[str, int] = {}
    program.add(SAVE, 0)
    _emit(tree.root, program, known)
    program.add(SAVE, 1)
    program.add(MATCH)
    return program


def _emit(node: Node, program: Program, known: dict[str, int]) -> None:
    match node:
        case Chars(source):
            if source not in known:
                if sum(map(len, known)) + len(source) > MAX_SETS:
                    raise PatternError("its classes hold too many ranges")
                known[source] = len(program.sets)
                program.sets.append(CharSet(source))
            program.add(CHAR, known[source])
        case Place(kind):
            program.places.append(kind)
            program.add(PLACE, len(program.places) - 1)
        case Series(parts):
            for part in parts:
                _emit(part, program, known)
        case Group(body, number):
            program.add(SAVE, 2 * number)
            _emit(body, program, known)
            program.add(SAVE, 2 * number + 1)
        case Choice(options):
            _emit_choice(options, program, known)
        case Repeat():
            _emit_repeat(node, program, known)
        case Empty():
            pass


def _emit_choice(options: tuple[Node, ...], program: Program, known: dict[str, int]) -> None:
    ends = []
    for option in options[:-1]:
        split = program.add(SPLIT)
        program.operands[split] = split + 1
        _emit(option, program, known)
        ends.append(program.add(JUMP))
        program.seconds[split] = len(program.operations)
    _emit(options[-1], program, known)
    for end in ends:
        program.operands[end] = len(program.operations)


def _emit_repeat(node: Repeat, program: Program, known: dict[str, int]) -> None:
    for _ in range(node.least - (node.most is None and node.least > 0)):
        _emit(node.body, program, known)
    if node.most is None:
        # ``x*`` is ``(x+)?``: a body that matches nothing must still be able to end the loop.
        skip = program.add(SPLIT) if node.least == 0 else None
        begin = len(program.operations)
        _emit(node.body, program, known)
        _aim(program, program.add(SPLIT), begin, len(program.operations), node.is_lazy)
        if skip is not None:
            _aim(program, skip, begin, len(program.operations), node.is_lazy)
        return
    splits = []
    for _ in range(node.most - node.least):
        splits.append(program.add(SPLIT))
        _emit(node.body, program, known)
    for split in splits:
        _aim(program, split, split + 1, len(program.operations), node.is_lazy)


def _aim(program: Program, split: int, go_on: int, stop: int, is_lazy: bool) -> None:
    first, second = (stop, go_on) if is_lazy else (go_on, stop)
    program.operands[split], program.seconds[split] = first, second


def search(program: Program, text: str, start: int, spend: Spend) -> Spans | None:
    """Find the first match at or behind ``start``, of all that begin there the one that Perl would find."""
    nothing: Spans = (-1,) * (2 * program.groups + 2)
    operations, operands, sets = program.operations, program.operands, program.sets
    threads: list[tuple[int, Spans]] = []
    seen: set[int] = set()
    found: Spans | None = None
    steps = 0
    for at in range(start, len(text) + 1):
        if found is None:
            _follow(program, 0, nothing, at, text, threads, seen)
        elif not threads:
            break
        char = text[at : at + 1]
        following: list[tuple[int, Spans]] = []
        seen_next: set[int] = set()
        for counter, spans in threads:
            if operations[counter] == MATCH:
                found = spans
                break
            if char and sets[operands[counter]].holds(char):
                _follow(program, counter + 1, spans, at + 1, text, following, seen_next)
        steps += 1 + len(seen) + len(threads)
        if steps >= REPORT:
            spend(steps)
            steps = 0
        threads, seen = following, seen_next
    spend(steps)
    return found


def _follow(
    program: Program,
    counter: int,
    spans: Spans,
    at: int,
    text: str,
    threads: list[tuple[int, Spans]],
    seen: set[int],
) -> None:
    """Go on from an instruction to all that read a character, in order of priority."""
    operations, operands = program.operations, program.operands
    stack = [(counter, spans)]
    while stack:
        counter, spans = stack.pop()
        while counter not in seen:
            seen.add(counter)
            operation = operations[counter]
            if operation == SPLIT:
                stack.append((program.seconds[counter], spans))
                counter = operands[counter]
            elif operation == JUMP:
                counter = operands[counter]
            elif operation == SAVE:
                slot = operands[counter]
                spans = (*spans[:slot], at, *spans[slot + 1 :])
                counter += 1
            elif operation == PLACE:
                if not is_at(program.places[operands[counter]], text, at):
                    break
                counter += 1
            else:
                threads.append((counter, spans))
                break


_WORD = CharSet(r"\w")


def is_at(kind: str, text: str, at: int) -> bool:
    """Tell whether a place in a text is of a kind."""
    match kind:
        case "start":
            return at == 0
        case "end":
            return at == len(text)
        case "line start":
            return at == 0 or text[at - 1] == "\n"
        case "line end":
            return at == len(text) or text[at] == "\n"
        case _:
            before = at > 0 and _WORD.holds(text[at - 1])
            behind = at < len(text) and _WORD.holds(text[at])
            return (before != behind) == (kind == "word")
