"""A compiled regular expression, and who searches for it: ``re`` if that is surely cheap, else RE2 or our machine.

Matches follow Rust: an empty match right behind another match does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, Final

from ...errors import QueryError
from ..limits import BUDGET
from .automaton import Automaton, automaton_of
from .cost import ENDLESS, estimate, written
from .machine import Program, Spans, Spend, assemble, search
from .quick import compile_quickly
from .syntax import PatternError, parse_pattern

CHEAP: Final = 3e7
"""Steps that ``re`` may need at most, for it to be asked."""

CHEAP_IF_METERED: Final = 256_000
"""The same for a query that counts what it is given, where each so many of them are a step of the query."""
STEPS_OF_RE: Final = 256

MAX_SOURCE: Final = 50_000
"""Characters in which a pattern may be written for ``re``: compiling longer ones takes long."""

MAX_STEPS: Final = 2_000_000
"""Steps that one call may take on our own machine."""

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^}]*)\}|([0-9A-Za-z_]+))")


class Pattern:
    """A regular expression, ready to search with."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.tree = parse_pattern(text, ignore_case=ignore_case)
        self.program: Program = assemble(self.tree)
        self.source = written(self.tree.root)
        self.cost = estimate(self.tree) if len(self.source) <= MAX_SOURCE else ENDLESS

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The same for Python's ``re``."""
        return re.compile(self.source)

    @cached_property
    def quick(self) -> Any:
        """The same for RE2, if it is there."""
        return compile_quickly(self.tree.root)

    @cached_property
    def automaton(self) -> Automaton | None:
        """The same for a mere yes or no, if that is possible."""
        return automaton_of(self.program)

    def test(self, text: str, spend: Spend | None = None) -> bool:
        """Tell whether a match is anywhere in a text."""
        meter = _Meter(spend)
        if self.automaton is None or self.cost.steps(len(text)) <= meter.cheap or (self.quick and text.isascii()):
            return self._search(text, 0, meter) is not None
        return self.automaton.test(text, meter)

    def matches(self, text: str, spend: Spend | None = None) -> list[str]:
        """Give all matches, one behind the other."""
        return [text[spans[0] : spans[1]] for spans in self.spans(text, spend)]

    def replace(self, text: str, replacement: str, spend: Spend | None = None) -> str:
        """Replace all matches; ``$1``, ``${1}`` and ``${name}`` stand for groups, ``$$`` for a dollar."""
        parts = self._template(replacement)
        result: list[str] = []
        done = length = 0
        for spans in self.spans(text, spend):
            piece = [text[done : spans[0]], *(p if isinstance(p, str) else _part(text, spans, p) for p in parts)]
            length += sum(map(len, piece))
            if length > MAX_STEPS:
                raise QueryError("the replaced text would be too long")
            result += piece
            done = spans[1]
        return "".join([*result, text[done:]])

    def spans(self, text: str, spend: Spend | None = None) -> Iterator[Spans]:
        """Give the places of all matches and their groups, one behind the other."""
        meter = _Meter(spend)
        if self.cost.steps(len(text)) > meter.cheap and not self.test(text, spend):
            return
        at, last = 0, -1
        while at <= len(text):
            found = self._search(text, at, meter)
            meter(1)
            if found is None:
                return
            begin, end = found[0], found[1]
            if begin < end or begin != last:
                yield found
                last = end
            at = end if begin < end else end + 1

    def _search(self, text: str, at: int, meter: _Meter) -> Spans | None:
        """Find the first match at or behind a place."""
        steps = self.cost.steps(len(text))
        if steps <= meter.cheap:
            if meter.cheap < CHEAP:
                meter(int(steps) // STEPS_OF_RE)
            found = self.expression.search(text, at)
            return None if found is None else tuple(place for span in found.regs for place in span)
        if self.quick is not None and text.isascii():
            meter(1 + (len(text) - at) // 16)
            found = self.quick.search(text, at)
            return None if found is None else self._spans_of(found)
        return search(self.program, text, at, meter)

    def _spans_of(self, found: Any) -> Spans:
        return tuple(place for group in range(self.tree.groups + 1) for place in found.span(group))

    def _template(self, replacement: str) -> list[str | int]:
        """Cut a replacement into texts and numbers of groups; a group that does not exist is empty."""
        parts: list[str | int] = []
        done = 0
        for found in _REFERENCE.finditer(replacement):
            parts.append(replacement[done : found.start()])
            done = found.end()
            name = found[2] if found[2] is not None else found[3]
            if found[1]:
                parts.append("$")
            elif name.isascii() and name.isdigit() and int(name[:9]) <= self.tree.groups:
                parts.append(int(name[:9]))
            elif name in self.tree.names:
                parts.append(self.tree.names[name])
        return [*parts, replacement[done:]]


def _part(text: str, spans: Spans, group: int) -> str:
    begin, end = spans[2 * group], spans[2 * group + 1]
    return text[begin:end] if 0 <= begin <= end else ""


class _Meter:
    """Counts the steps of one call, for the query's budget too."""

    def __init__(self, spend: Spend | None) -> None:
        budget = BUDGET.get(None)
        self.cheap = CHEAP_IF_METERED if budget is not None and budget.limits.is_metered else CHEAP
        self.spend = spend
        self.steps = 0

    def __call__(self, steps: int) -> None:
        self.steps += steps
        if self.spend is not None:
            self.spend(steps)
        if self.steps > MAX_STEPS:
            raise QueryError(f"a regular expression took more than {MAX_STEPS:,} steps on one text")


@lru_cache(maxsize=256)
def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Compile a regular expression, or raise :class:`PatternError`."""
    return Pattern(text, ignore_case=ignore_case)


def regex_test(text: str, pattern: str, spend: Spend | None = None) -> bool:
    """Tell for ``=~`` whether a match is anywhere in a text; False if the pattern is none or is too long.

    Raises :class:`QueryError` without a place if that takes too many steps.
    """
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return False
    return compiled.test(text, spend)
