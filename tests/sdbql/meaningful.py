"""Draws data, and texts of queries that mean something over them: few fields, few values, so that much is equal.

Most expressions can't fail, because a query that fails says little; some can.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from random import Random
from typing import Any

FIELDS = ["x", "y", "z"]
NAMES = ["a", "b"]
EDGES = "links"
LARGE = 10**17
LONG = "a" * 70
SCALARS = [
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    1.0,
    1.5,
    -0.0,
    1e300,
    LARGE,
    "",
    "a",
    "b",
    "B",
    "ab",
    "1",
    LONG,
    LONG + "b",
]
VALUES = [*SCALARS, [], [1], [True], [1.0, "a"], [[1], 2], {}, {"x": 1}, {"x": True}, {"x": [1, None], "y": "a"}]
COMPARISONS = ["==", "!=", "<", "<=", ">", ">=", "==", "!="]
TOTAL = ["LENGTH", "TYPENAME", "IS_NUMBER", "IS_STRING", "TO_BOOL", "TO_ARRAY", "TO_NUMBER", "IS_EMPTY"]
AGGREGATES = ["SUM", "AVG", "MIN", "MAX", "COUNT", "UNIQUE", "COUNT_DISTINCT", "COLLECT_LIST", "FIRST", "MEDIAN"]
RANKS = ["ROW_NUMBER()", "RANK()", "DENSE_RANK()", "NTILE(2)"]
RUNNING = ["SUM", "COUNT", "MIN", "MAX", "AVG", "FIRST_VALUE", "LAST_VALUE", "LAG", "LEAD", "COLLECT_LIST"]


@dataclass(frozen=True)
class Problem:
    """A query with data and binds."""

    query: str
    data: dict[str, list[dict[str, Any]]]
    binds: dict[str, Any]
    palette: list[Any]


def problem(
    rng: Random, *, writes: bool = False, most: int = 5, palette: list[Any] | None = None, is_stored: bool = False
) -> Problem:
    """Draw a query and data with the same few values; what is to be stored has no integer beyond 2**53."""
    if palette is None:
        scalars = [one for one in SCALARS if not is_stored or one != LARGE]
        palette = [*rng.sample(scalars, rng.randint(2, 6)), *rng.sample(VALUES, 2)]
        palette = [one for one in palette if not is_stored or one != LARGE]
    data = {name: documents(rng, palette) for name in NAMES}
    ends = ["a/k0", "a/k1", "a/k2", "b/k0", "a/gone"]
    data[EDGES] = [{"_key": f"e{at}", "_from": rng.choice(ends), "_to": rng.choice(ends)} for at in range(6)]
    query = Maker(rng, palette, 2, is_stored=is_stored).query(most, writes=writes)
    binds = {"v": rng.choice(palette), "l": rng.choices(palette, k=3), "n": rng.randint(1, 3)}
    return Problem(query, data, binds, palette)


def documents(rng: Random, palette: list[Any], most: int = 8) -> list[dict[str, Any]]:
    """Draw documents with keys in order."""
    size = rng.choice([0, 2, most // 2, most // 2, most, most])
    return [{"_key": f"k{place}", **document(rng, palette)} for place in range(size)]


def document(rng: Random, palette: list[Any]) -> dict[str, Any]:
    """Draw a document; most have all fields, few one whose name has a dot."""
    names = [*(name for name in FIELDS if rng.random() < 0.85), *(["x.y"] if rng.random() < 0.1 else [])]
    return {name: rng.choice(palette) for name in names}


class Maker:
    """Writes a query's text; ``sight`` are the variables in sight, ``documents`` those that hold a document."""

    def __init__(self, rng: Random, palette: list[Any], depth: int, *, is_stored: bool = False) -> None:
        self.rng = rng
        self.palette = palette
        self.depth = depth
        self.is_stored = is_stored
        self.numbers = itertools.count(1)
        self.sight: list[str] = []
        self.documents: list[str] = []
        self.loops: list[str] = []
        self.outer = 0

    def within(self, depth: int, sight: list[str], documents: list[str]) -> Maker:
        """Make another one, of what stands inside."""
        inner = type(self)(self.rng, self.palette, depth, is_stored=self.is_stored)
        inner.numbers = self.numbers
        inner.sight, inner.documents, inner.outer = list(sight), list(documents), len(sight)
        inner.loops = [name for name in self.loops if name in sight]
        return inner

    def one_of(self, *choices: Any) -> Any:
        """Choose."""
        return self.rng.choice(choices)

    def chance(self, in_so_many: int) -> bool:
        """Give true once in so many times."""
        return self.rng.randrange(in_so_many) == 0

    def new(self) -> str:
        """Name a variable that there is not yet."""
        return f"v{next(self.numbers)}"

    # Expressions

    def constant(self) -> str:
        value = self.one_of(*self.palette) if not self.chance(5) else self.one_of(*VALUES)
        return written(value) if not self.chance(6) else "@v"

    def field(self) -> str:
        if not self.sight:
            return self.constant()
        if self.loops and self.chance(12):
            return f"{self.one_of(*self.loops)}._id"
        of = self.one_of(*self.documents) if self.documents and not self.chance(6) else self.one_of(*self.sight)
        return f"{of}.{self.one_of(*FIELDS, *FIELDS, 'x', 'x.y', '_key', '`x.y`')}"

    def condition(self, level: int = 2) -> str:
        match self.rng.randint(0, 9 if level else 5):
            case 0 | 1 | 2:
                return f"{self.field()} {self.one_of(*COMPARISONS)} {self.constant()}"
            case 3:
                return f"{self.constant()} {self.one_of(*COMPARISONS)} {self.field()}"
            case 4:
                array = self.one_of("@l", "[1, 2]", "[null, true]", "[@v]")
                return f"{self.field()} {self.one_of('IN', 'NOT IN')} {array}"
            case 5:
                return f"{self.field()} {self.one_of(*COMPARISONS)} {self.field()}"
            case 6 | 7:
                both = [self.condition(level - 1) for _ in range(2)]
                return f"({both[0]} {self.one_of('AND', 'OR', '||', '&&')} {both[1]})"
            case 8:
                return f"NOT ({self.condition(level - 1)})"
        return self.expression(level - 1)

    def expression(self, level: int = 2) -> str:
        if not level or self.chance(3):
            return self.one_of(self.field, self.constant, self.variable)()
        inner = [self.expression(level - 1) for _ in range(2)]
        match self.rng.randint(0, 16):
            case 0:
                return f"({self.condition()})"
            case 1:
                return f"({self.condition(1)} ? {inner[0]} : {inner[1]})"
            case 2:
                return f"({inner[0]} {self.one_of('??', '||')} {inner[1]})"
            case 3:
                return f"({inner[0]} {self.one_of('+', '-', '*', '/', '%', '&', '<<')} {inner[1]})"
            case 4:
                return f"[{inner[0]}, ...[{inner[1]}]]"
            case 5:
                name = self.one_of('$"q${@n}"', '"p"')
                return f"{{p: {inner[0]}, [{name}]: {inner[1]}}}"
            case 6:
                return f"{self.one_of(*TOTAL)}({inner[0]})"
            case 7 | 8:
                return self.subquery()
            case 9:
                index = self.one_of("0", "-1", "@v", '"x"', '"x.y"')
                return f"{inner[0]}[{index}]"
            case 10:
                return self.expansion(inner[0])
            case 11:
                return self.lambdas()
            case 12:
                test = f"q {self.one_of(*COMPARISONS)} {self.constant()}"
                return f"({self.one_of('ANY', 'ALL', 'NONE')} q IN [{inner[0]}, {inner[1]}] SATISFIES {test})"
            case 13:
                return (
                    f"CASE {self.field()} WHEN {self.constant()} THEN {inner[0]} WHEN 1 THEN {inner[1]} ELSE 0 END"
                )
            case 14:
                return f'$"${{{inner[0]}}}-${{{inner[1]}}}"'
            case 15:
                pattern = self.one_of('"a%"', '"_"', '""')
                return f"({inner[0]} {self.one_of('LIKE', '~=', 'NOT LIKE')} {pattern})"
        return f"({self.one_of('-', '+', 'NOT', '~')} {inner[0]})"

    def variable(self) -> str:
        return self.one_of(*self.sight) if self.sight else self.constant()

    def expansion(self, of: str) -> str:
        inside = "" if self.chance(2) else f" FILTER CURRENT {self.one_of(*COMPARISONS)} {self.constant()}"
        inside += "" if self.chance(2) else f" LIMIT {self.one_of('1', '1, 2', '@n')}"
        inside += "" if self.chance(2) else f" RETURN {self.one_of('CURRENT', 'CURRENT.x', '[CURRENT, @v]')}"
        return f"[{of}, {self.constant()}][{self.one_of('*', '**')}{inside}]{self.one_of('', '.x', '.x.y')}"

    def lambdas(self) -> str:
        array = self.one_of("[1, 2, null]", f"[{self.field()}, {self.field()}]", *NAMES)
        name = self.new()
        inner = self.within(0, [*self.sight, name], [*self.documents, name])
        match self.rng.randint(0, 3):
            case 0:
                return f"MAP({array}, {name} -> {inner.expression(1)})"
            case 1:
                return f"({array} |> FILTER({name} -> {inner.condition(1)}))"
            case 2:
                return f"REDUCE({array}, [], (acc, {name}) -> [...acc, {inner.expression(1)}])"
        return f"ANY({array}, {name} -> {inner.condition(1)})"

    def subquery(self) -> str:
        if self.depth <= 0:
            return f"LENGTH({self.one_of(*NAMES)})"
        inner = self.within(self.depth - 1, self.sight, self.documents)
        query = inner.query(3)
        return f"{self.one_of('', '', 'LENGTH', 'FIRST')}(({query}))"

    # Clauses

    def query(self, most: int, *, writes: bool = False) -> str:
        """Write a whole query of up to so many clauses more than the first loop."""
        clauses = []
        if self.chance(4):
            text, name = self.expression(), self.new()
            clauses.append(f"LET {name} = {text}")
            self.sight.append(name)
            self.outer += 1
        if not self.chance(12):
            clauses.append(self.loop())
        clauses += [self.clause() for _ in range(self.rng.randint(0, most))]
        if writes and self.chance(2):
            clauses.append(self.write())
        return "\n".join([*clauses, self.end()])

    def clause(self) -> str:
        match self.rng.randint(0, 14):
            case 0 | 1:
                return self.loop()
            case 2 | 3 | 4:
                return f"FILTER {' AND '.join(self.condition() for _ in range(self.one_of(1, 1, 2)))}"
            case 5 | 6 | 7:
                text, name = self.expression(), self.new()
                self.sight.append(name)
                return f"LET {name} = {text}"
            case 8 | 9:
                return self.sort()
            case 10 | 11:
                return self.limit()
            case 12:
                return self.collect()
            case 13:
                return self.join()
        text, name = self.window(), self.new()
        self.sight.append(name)
        return f"LET {name} = {text}"

    def loop(self) -> str:
        name = self.new()
        match self.rng.randint(0, 9):
            case 0:
                source = self.one_of("0..2", "[3, 1, 2]", "@l", "RANGE(1, 3)", "2..@n")
            case 1:
                source = self.expression()
            case 2:
                return self.traversal()
            case _:
                source = self.one_of(*NAMES)
                self.documents.append(name)
                self.loops.append(name)
        self.sight.append(name)
        lookup = ""
        if source in NAMES and self.chance(1 if self.is_stored else 3):
            lookup = f"\nFILTER {' AND '.join(self.condition(0) for _ in range(self.one_of(1, 1, 2)))}"
        return f"FOR {name} IN {source}{lookup}"

    def traversal(self) -> str:
        start = self.one_of('"a/k0"', '"a/k1"', *(f"{one}._id" for one in self.documents[:1]))
        vertex, edge, way = self.new(), self.new(), self.one_of("OUTBOUND", "INBOUND", "ANY")
        self.sight += [vertex, edge]
        self.documents.append(vertex)
        if self.chance(3):
            return f'FOR {vertex}, {edge} IN {way} SHORTEST_PATH {start} TO "a/k2" {EDGES}'
        return f"FOR {vertex}, {edge} IN {self.one_of('1..2', '0..1', '1', '2..3')} {way} {start} {EDGES}"

    def sort(self) -> str:
        keys = [f"{self.expression(1)}{self.one_of('', ' DESC', ' ASC')}" for _ in range(self.rng.randint(1, 2))]
        return f"SORT {', '.join(keys)}" + (f"\n{self.limit()}" if self.chance(2) else "")

    def limit(self) -> str:
        return f"LIMIT {self.one_of('1', '2', '3', '1, 2', '0, 1', '@n', '@n, 2', '1 + 1')}"

    def collect(self) -> str:
        count = self.rng.randint(0, 2)
        groups = [(self.new(), self.one_of(self.field, self.expression)()) for _ in range(count)]
        rows = self.sight[self.outer :]
        text = "COLLECT " + ", ".join(f"{name} = {value}" for name, value in groups)
        made = [name for name, _ in groups]
        if self.chance(2):
            made.append(self.new())
            text += f" AGGREGATE {made[-1]} = {self.one_of(*AGGREGATES)}({self.field()})"
        if self.chance(3) or (not made and not self.chance(2)):
            made.append(self.new())
            text += f" INTO {made[-1]}"
            text += self.one_of("", f" = {self.expression(1)}", f" KEEP {self.one_of(*rows)}" if rows else "")
        if self.chance(2) or not made:
            made.append(self.new())
            text += f" WITH COUNT INTO {made[-1]}"
        self.sight[self.outer :] = made
        self.documents = [name for name in self.documents if name in self.sight]
        self.loops = [name for name in self.loops if name in self.sight]
        return text

    def join(self) -> str:
        name, kind = self.new(), self.one_of("", "INNER ", "LEFT ", "RIGHT ", "FULL OUTER ")
        before = f"{self.field()}"
        inner = self.within(0, [*self.sight, name], [*self.documents, name])
        condition = f"{name}.{self.one_of(*FIELDS)} == {before}" if not self.chance(4) else inner.condition()
        more = f" AND {inner.condition(1)}" if self.chance(3) else ""
        self.sight.append(name)
        return f"{kind}JOIN {self.one_of(*NAMES)} AS {name} ON {condition}{more}"

    def window(self) -> str:
        over = f"PARTITION BY {self.field()}" if self.chance(2) else ""
        over += f" ORDER BY {self.field()}{self.one_of('', ' DESC')}" if not over or self.chance(2) else ""
        call = self.one_of(*RANKS) if self.chance(2) else f"{self.one_of(*RUNNING)}({self.field()})"
        return f"{call} OVER ({over})"

    def write(self) -> str:
        name = self.one_of(*NAMES)
        found = [one for one in self.documents if one in self.sight] or ['"k0"', '"k1"', f'"{name}/k2"']
        target, changes = self.one_of(*found), f"{{x: {self.expression(1)}, y: {self.constant()}}}"
        self.sight += ["OLD", "NEW"]
        match self.rng.randint(1 if self.is_stored else 0, 3 if self.is_stored else 4):
            case 0:
                return f"INSERT {changes} INTO {name}"
            case 1:
                return f"UPDATE {target} WITH {changes} IN {name}"
            case 2:
                return f"REPLACE {target} WITH {changes} IN {name}"
            case 3:
                return f"REMOVE {target} IN {name}"
        return f"UPSERT {{x: {self.constant()}}} INSERT {changes} UPDATE {{z: OLD.x}} IN {name}"

    def end(self) -> str:
        if self.chance(6):
            return f"RETURN {{p: {self.window()}, q: {self.expression(1)}}}"
        shown = f"[{', '.join(self.sight)}]" if self.chance(2) else self.expression(3)
        return f"RETURN {self.one_of('', '', 'DISTINCT ')}{shown}"


def written(value: Any) -> str:
    """Give a value as a query writes it."""
    return json.dumps(value)
