"""The Python function of one query or subquery: loops inside loops, until a clause needs all rows at once.

Such a clause gathers rows in lists and goes on with a new loop over them; LIMIT turns what was written so far into a
generator, so that nothing is read beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from ...deferred import dataclass
from .. import nodes as n
from .expressions import value
from .module import Code
from .nesting import looked_at
from .plan import Planned
from .scope import Compiler, Scope, names_in

_MOST_LOOPS = 10  # Python nests at most 20 blocks
_ALL = "*"
_SCALARS = ("bool", "num", "str", "null")


@dataclass(slots=True)
class Pipeline:
    """The function under construction.

    ``rows`` are the variables that differ from row to row, ``scope`` these and all others in sight.
    """

    c: Compiler
    planned: Sequence[Planned]
    scope: dict[str, Code]
    is_inner: bool
    rows: dict[str, Code] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    has_begun: bool = False
    at: int = 0
    level: int = 0
    place: int = 0
    loops: list[int] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    is_pure: bool = True
    needs: list[set[str]] = field(default_factory=list)

    def name(self, letter: str) -> str:
        """Make a name."""
        return self.c.module.name(letter)

    def emit(self, text: str) -> None:
        """Write a statement at the place where rows pass."""
        indent = " " * (self.level + 1)
        self.lines.append(f"{indent}{self.c.module.mark(self.at)}{indent}{text}")

    def prepare(self, text: str) -> None:
        """Write a statement before all loops since the last break."""
        self.head.append(f" {text}")

    def value(self, node: n.Expression, scope: Scope | None = None) -> Code:
        """Compile an expression that is to stand here."""
        return self.use(value(self.c, node, self.scope if scope is None else scope))

    def bound(self, node: n.Expression) -> Code:
        """Compile an expression whose value a variable is to have."""
        code = self.value(node)
        is_plain = code.kind in _SCALARS or code.text.isidentifier()
        return looked_at(self.c.module, code, self.at) if self.c.is_nesting and not is_plain else code

    def use(self, code: Code) -> Code:
        """Note which variables code needs."""
        self.used |= code.free
        self.is_pure = self.is_pure and code.is_pure
        return code

    def variable(self, name: str, kind: str = "", collection: Code | None = None) -> str:
        """Make a variable that differs from row to row, and give its name in Python."""
        python = self.name("v")
        free = frozenset((python,)) | (collection.free if collection else frozenset())
        code = Code(python, 0, kind, free, collection=collection.text if collection else "")
        self.scope[name] = self.rows[name] = code
        self.made.add(python)
        self.c.names.add(name)
        return python

    def loop(self, target: str, rows: str, step: int, *, is_counted: bool = True) -> None:
        """Open a loop; what is written from now on is inside. Its rows are those that the step gives, or takes."""
        self.emit(f"for {target} in {rows}:")
        self.level += 1
        self.loops.append(step)
        if is_counted:
            self.passed(step)

    def passed(self, step: int) -> None:
        """Count a row of a step where the query is explained."""
        if self.c.is_explained:
            self.emit(f"run.passed({step})")

    def tick(self, step: int) -> None:
        """Measure from here on the time of a step where the query is explained."""
        if self.c.is_explained:
            self.emit(f"run.tick({step})")

    def skip(self, condition: str) -> None:
        """Leave out the row at hand under a condition."""
        if not self.level:
            self.loop("_", "_ONCE", self.c.step("begin", self.at))
        if self.c.is_explained:
            self.emit(f"if {condition}: run.tick({self.loops[-1]}); continue")
        else:
            self.emit(f"if {condition}: continue")

    # Breaks

    def live(self, *, inclusive: bool = False) -> list[tuple[str, Code]]:
        """Give the variables that clauses behind this one need, or this one as well."""
        needed = self._needed(self.place if inclusive else self.place + 1)
        return [
            (name, code) for name, code in self.rows.items() if _ALL in needed or name in needed or name[0] == " "
        ]

    def _needed(self, first: int) -> set[str]:
        if not self.needs:
            self.needs = [_needed_by(one.clause) for one in self.planned]
        return set().union(*self.needs[first:])

    def close(self) -> None:
        """End all loops: the next statement stands behind them."""
        self.emit("pass")  # the innermost loop may be empty
        self.head += self.lines
        self.lines = []
        self.level = 0
        self.loops = []

    def reopen(
        self, target: str, rows: str, live: Sequence[tuple[str, Code]], step: int, *, is_counted: bool = True
    ) -> None:
        """Go on with rows that were gathered."""
        self.keep(live)
        self.loop(target, rows, step, is_counted=is_counted)

    def keep(self, live: Sequence[tuple[str, Code]]) -> None:
        """Forget the variables of rows, but for some."""
        for name in self.rows:
            self.scope.pop(name, None)
        self.rows = dict(live)
        self.scope.update(self.rows)
        self.made.update(code.text for _, code in live)

    def wrap(self, live: Sequence[tuple[str, Code]]) -> str:
        """Turn all that was written so far into a generator of rows, and give the call of it."""
        self.use_all(live)
        self.emit(f"yield {packed(live)}")
        self.close()
        name, parameters = self.name("g"), sorted(self.used - self.made)
        self.c.module.function(name, parameters, self.head)
        self.head = []
        self.used = set(parameters)
        self.made = set()
        return f"{name}({', '.join(('run', *parameters))})"

    def use_all(self, live: Sequence[tuple[str, Code]]) -> None:
        """Note that the variables of rows are needed here."""
        for _, code in live:
            self.used |= code.free

    def gather(self, live: Sequence[tuple[str, Code]]) -> str:
        """Put the row at hand into a list, and give the list's name."""
        rows = self.name("r")
        self.use_all(live)
        self.prepare(f"{rows} = []; {rows}a = {rows}.append")
        self.emit(f"{rows}a({packed(live)})")
        return rows

    def column(self, code: Code) -> str:
        """Put a value of the row at hand into a list, and give the list's name."""
        column = self.name("c")
        self.prepare(f"{column} = []; {column}a = {column}.append")
        self.emit(f"{column}a({code.text})")
        return column

    def shorten(self) -> None:
        """Break where loops would be nested deeper than Python allows."""
        if self.level >= _MOST_LOOPS:
            live = self.live(inclusive=True)
            rows = self.wrap(live)
            self.reopen(target(live), rows, live, self.c.step("pass on", self.at))

    def forget_rows(self) -> None:
        """Forget all variables that differ from row to row."""
        self.keep(())


def _needed_by(clause: n.Clause) -> set[str]:
    needed = names_in(clause)
    match clause:
        case n.Collect(into=str(), projection=None, keep=()):
            needed.add(_ALL)
        case n.Collect(keep=keep):
            needed.update(keep)
    return needed


def packed(live: Sequence[tuple[str, Code]]) -> str:
    """Give the expression of a row."""
    if len(live) == 1:
        return live[0][1].text
    return f"({', '.join(code.text for _, code in live)})"


def target(live: Sequence[tuple[str, Code]]) -> str:
    """Give what a row is assigned to."""
    return packed(live) if live else "_"
