"""Tells whether a text holds a match at all, by one look-up a character: an automaton whose states are made when met.

A state is the set of instructions that the machine would be at. There may be very many; then those made so far are
forgotten, so neither time nor memory can run away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Final, TypeAlias

from ...deferred import dataclass
from .machine import CHAR, JUMP, MATCH, REPORT, SAVE, SPLIT, Program, Spend

MAX_STATES: Final = 1000
MAX_ARROWS: Final = 50_000
_PLACES: Final = frozenset({"start", "end"})


@dataclass(slots=True)
class State:
    """Instructions that read a character, those that wait for the text's end, and where characters lead."""

    reading: frozenset[int]
    waiting: frozenset[int]
    matches: bool
    following: dict[str, State] = field(default_factory=dict)


Key: TypeAlias = tuple[frozenset[int], frozenset[int], bool]


class Automaton:
    """The automaton of a program; only for one that asks for no places but the text's start and end."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.states: dict[Key, State] = {}
        self.arrows = 0

    def test(self, text: str, spend: Spend) -> bool:
        """Tell whether a match is anywhere in a text."""
        state = self._state([0], is_start=True)
        steps = len(self.program.operations)
        for char in text:
            if state.matches:
                break
            following = state.following.get(char)
            if following is None:
                following = self._step(state, char)
                steps += 8 + 2 * len(following.reading)
                if steps >= REPORT:
                    spend(steps)
                    steps = 0
            state = following
        spend(steps + len(text) // 16)
        return (
            state.matches or self._state((at + 1 for at in state.waiting), is_start=not text, is_end=True).matches
        )

    def _step(self, state: State, char: str) -> State:
        program = self.program
        reached = [at + 1 for at in state.reading if program.sets[program.operands[at]].holds(char)]
        self.arrows += 1
        if len(self.states) >= MAX_STATES or self.arrows >= MAX_ARROWS:
            self.arrows = 0
            self.states.clear()
            state.following.clear()
        found = state.following[char] = self._state([*reached, 0])
        return found

    def _state(self, begin: Iterable[int], *, is_start: bool = False, is_end: bool = False) -> State:
        """Go on from instructions to all that read a character."""
        program = self.program
        seen: set[int] = set()
        reading, waiting, matches = [], [], False
        stack = list(begin)
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            operation, operand = program.operations[at], program.operands[at]
            if operation == CHAR:
                reading.append(at)
            elif operation == SPLIT:
                stack += (operand, program.seconds[at])
            elif operation == JUMP:
                stack.append(operand)
            elif operation == MATCH:
                matches = True
            elif operation == SAVE or (is_start if program.places[operand] == "start" else is_end):
                stack.append(at + 1)
            elif program.places[operand] == "end":
                waiting.append(at)
        key = (frozenset(reading), frozenset(waiting), matches)
        return self.states.setdefault(key, State(*key))


def automaton_of(program: Program) -> Automaton | None:
    """Make the automaton of a program, or None if it asks for places that an automaton does not see."""
    return Automaton(program) if _PLACES.issuperset(program.places) else None
