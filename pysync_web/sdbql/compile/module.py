"""Python source under construction: functions, constants and the marks that lead from a line back to the query.

Nothing of a query's text gets into the source: names are numbered, values lie in a table. The one ``exec`` is here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from types import TracebackType
from typing import Any, Final

from ...deferred import dataclass

FILE: Final = "<sdbql>"
_DEEPEST: Final = 25  # brackets in one expression, far from what Python's own parser refuses
NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression.

    ``test`` has the same truth and may be cheaper. ``kind`` is what is known of the value's type, ``free`` the
    variables that it needs, ``collection`` the code for the name of the collection that a document comes from.
    """

    text: str
    depth: int = 1
    kind: str = ""
    free: frozenset[str] = frozenset()
    test: str = ""
    constant: Any = NOTHING
    is_pure: bool = True
    collection: str = ""

    @property
    def truth(self) -> str:
        """The cheapest expression of the same truth."""
        return self.test or self.text

    @property
    def is_constant(self) -> bool:
        """Whether the value is known."""
        return self.constant is not NOTHING


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the query, and the function that is called there."""

    at: int
    label: str = ""


@dataclass(slots=True)
class Loaded:
    """A module that was executed: its functions, and the way back to the query."""

    names: dict[str, Any]
    lines: list[int]
    marks: list[Mark]

    def mark(self, trace: TracebackType | None) -> Mark | None:
        """Find the place in the query that was at work when an error was raised."""
        found = None
        while trace:
            if trace.tb_frame.f_code.co_filename == FILE:
                place = bisect_right(self.lines, trace.tb_lineno) - 1
                found = self.marks[place] if place >= 0 else None
            trace = trace.tb_next
        return found


@dataclass(slots=True)
class Module:
    """The functions of one query."""

    helpers: Mapping[str, Any]
    _functions: list[str] = field(default_factory=list)
    _constants: dict[str, Any] = field(default_factory=dict)
    _known: dict[Any, str] = field(default_factory=dict)
    _marks: list[Mark] = field(default_factory=list)
    _count: int = 0

    def name(self, letter: str) -> str:
        """Make a name that no other has; the letter tells readers what it is."""
        self._count += 1
        return f"{letter}{self._count}"

    def constant(self, value: Any, letter: str = "k") -> str:
        """Put a value into the table and give its name."""
        if value is None or value is True or value is False:
            return str(value)
        key: tuple[Any, ...] = (type(value), value) if type(value) in (str, int) else (id(value),)
        if type(value) is float:
            key = (float, repr(value))  # -0.0 equals 0.0
        if key not in self._known:
            self._known[key] = name = self.name(letter)
            self._constants[name] = value
        return self._known[key]

    def mark(self, at: int, label: str = "") -> str:
        """Give what stands before an expression that can fail: it begins a line of its own."""
        self._marks.append(Mark(at, label))
        return f"#@{len(self._marks) - 1}\n"

    def function(self, name: str, parameters: Iterable[str], lines: Iterable[str]) -> None:
        """Add a function."""
        head = f"def {name}({', '.join(('run', *parameters))}):"
        self._functions.append("\n".join((head, *lines)))

    def shallow(self, code: Code) -> Code:
        """Give the same value with few brackets: what is nested too deep becomes a function."""
        if code.depth <= _DEEPEST:
            return code
        name, parameters = self.name("e"), sorted(code.free)
        self.function(name, parameters, [f" return ({code.text})"])
        call = f"{name}({', '.join(('run', *parameters))})"
        return Code(call, 1, code.kind, code.free, is_pure=code.is_pure, collection=code.collection)

    def evaluate(self, code: Code, run: Any) -> Any:
        """Work out what needs no row; any exception is the caller's."""
        source = "\n".join((*self._functions, f"def fold(run):\n return ({code.text})"))
        return self._execute(source)["fold"](run)

    def load(self) -> Loaded:
        """Execute the module."""
        source = "\n".join(self._functions)
        lines, places = [], []
        for number, line in enumerate(source.split("\n"), 1):
            _, found, mark = line.rpartition("#@")
            if found:
                lines.append(number + 1)
                places.append(self._marks[int(mark)])
        return Loaded(self._execute(source), lines, places)

    def _execute(self, source: str) -> dict[str, Any]:
        names = {**self.helpers, **self._constants}
        exec(compile(source, FILE, "exec"), names)
        return names


Call = Callable[..., Any]
