"""What a pattern may cost Python's ``re`` in the worst case, and its text for ``re``.

``re`` tries one way after the other. The number of ways on a text of n characters is bounded here by
``factor * (n + 1) ** degree``; where a repeat holds a repeat, it has no such bound.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ...deferred import dataclass
from .syntax import Chars, Choice, Empty, Group, Node, Place, Repeat, Series, Tree

_PLACES = {
    "start": r"\A",
    "end": r"\Z",
    "line start": "(?m:^)",
    "line end": "(?m:$)",
    "word": r"\b",
    "no word": r"\B",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The bound, with the number of the pattern's parts; ``is_anchored`` if only the text's start can match."""

    size: int
    factor: float
    degree: float
    is_anchored: bool = False

    def steps(self, length: int) -> float:
        """Give the most steps that a search through a text of a length may take."""
        degree = self.degree + (not self.is_anchored)
        if degree > 40:
            return inf
        steps: float = self.size * self.factor * (length + 1.0) ** degree
        return steps


ENDLESS: Final = Cost(1, inf, inf)
"""What nothing bounds."""


def estimate(tree: Tree) -> Cost:
    """Bound what a search for a pattern may cost."""
    size, factor, degree = _bound(tree.root)
    return Cost(size, factor, degree, _is_anchored(tree.root))


def _bound(node: Node) -> tuple[int, float, float]:
    match node:
        case Series(parts):
            size, factor, degree = 1, 1.0, 0.0
            for part in parts:
                more, times, power = _bound(part)
                size, factor, degree = size + more, min(factor * times, 1e300), degree + power
            return size, factor, degree
        case Choice(options):
            bounds = [_bound(option) for option in options]
            return 1 + sum(b[0] for b in bounds), min(sum(b[1] for b in bounds), 1e300), max(b[2] for b in bounds)
        case Group(body, _):
            size, factor, degree = _bound(body)
            return size + 2, factor, degree
        case Repeat(body, least, most, _):
            return _bound_repeat(*_bound(body), least, most)
        case Empty() | Chars() | Place():
            return 1, 1.0, 0.0


def _bound_repeat(
    size: int, factor: float, degree: float, least: int, most: int | None
) -> tuple[int, float, float]:
    if factor == 1 and degree == 0:
        if most is None:
            return size + least, 1.0, 1.0
        return size * (most + 1), float(most - least + 1), 0.0
    if most is None or degree * most > 40:
        return size, inf, inf
    try:
        ways = factor**most * (most - least + 1)
    except OverflowError:
        ways = inf
    return size * (most + 1), ways, degree * most


def _is_anchored(node: Node) -> bool:
    match node:
        case Place("start"):
            return True
        case Series(parts) if parts:
            return _is_anchored(parts[0])
        case Group(body, _):
            return _is_anchored(body)
        case Choice(options):
            return all(map(_is_anchored, options))
    return False


def written(node: Node) -> str:
    """Write a pattern for ``re``."""
    match node:
        case Chars(source):
            # Two parts of a set may hold the same character: one way must be enough, or there are 2**n of them.
            return f"(?>{source})" if source.startswith("(?:") else source
        case Place(kind):
            return _PLACES[kind]
        case Series(parts):
            return "".join(f"(?:{written(part)})" if isinstance(part, Choice) else written(part) for part in parts)
        case Choice(options):
            return "|".join(map(written, options))
        case Group(body, _):
            return f"({written(body)})"
        case Repeat(body, least, most, is_lazy):
            times = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{written(body)}){times}{'?' if is_lazy else ''}"
        case Empty():
            return ""
