"""A three-way merge of documents: what each side did since the base is done to both.

Objects merge member by member, lists element by element, texts of several lines line by line (diff3; Khanna et al.,
*A Formal Investigation of Diff3*, 2007). Where both did something else to one thing it is a *clash*: the preferred
side's value stands, and the other is told. Without a clash the result does not depend on which side is which.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..deferred import dataclass
from ..values import JSON, dumps, same
from .document import Body

Side: TypeAlias = Literal["local", "remote"]
Id: TypeAlias = tuple[str, int]
"""An element of a list: its ``_id``, or its text and which of its equals it is."""

ABSENT: Final = object()
MOST_PAIRS: Final = 100_000
"""Texts with more pairs of equal lines than this are one clash: to align them would take too long."""


class Clash(NamedTuple):
    """What both sides changed differently: where (a JSON Pointer), and the three values; ``ABSENT`` for none."""

    path: str
    base: Any
    local: Any
    remote: Any


class Merged(NamedTuple):
    """The merged body, and what both had changed differently, in the order of the paths."""

    body: Body
    clashes: tuple[Clash, ...]


def merge_three(base: Body | None, local: Body, remote: Body, prefer: Side = "local") -> Merged:
    """Merge two bodies that came from one base, None where there was none; ``prefer`` decides each clash."""
    merger = _Merger(prefer)
    body = merger.objects("", base or {}, local, remote)
    return Merged(body, tuple(sorted(merger.clashes, key=lambda clash: clash.path)))


@dataclass(slots=True)
class _Merger:
    prefer: Side
    clashes: list[Clash] = field(default_factory=list)

    def objects(self, path: str, base: Body, local: Body, remote: Body) -> Body:
        merged: Body = {}
        for name in sorted(base.keys() | local.keys() | remote.keys()):
            where = f"{path}/{_escaped(name)}"
            value = self.value(where, *(side.get(name, ABSENT) for side in (base, local, remote)))
            if value is not ABSENT:
                merged[name] = value
        return merged

    def value(self, path: str, base: Any, local: Any, remote: Any) -> Any:
        """Merge three values, each of which may be absent."""
        if _same(local, remote) or _same(base, remote):
            return local
        if _same(base, local):
            return remote
        kinds = {type(local), type(remote)}
        if kinds == {dict}:
            return self.objects(path, base if type(base) is dict else {}, local, remote)
        if kinds == {list}:
            return self.lists(path, base if type(base) is list else [], local, remote)
        if kinds == {str} and type(base) is str and "\n" in base + local + remote:
            return self.texts(path, base, local, remote)
        return self.clash(path, base, local, remote)

    def clash(self, path: str, base: Any, local: Any, remote: Any) -> Any:
        self.clashes.append(Clash(path, base, local, remote))
        return local if self.prefer == "local" else remote

    def lists(self, path: str, base: list[JSON], local: list[JSON], remote: list[JSON]) -> list[JSON]:
        """Merge lists whose elements are known by ``_id`` where all have one of their own, else by value."""
        sides = (base, local, remote)
        by_id = all(map(_have_ids, sides))
        b, mine, theirs = (_elements(side, by_id) for side in sides)
        values: dict[Id, JSON] = {}
        for name in sorted(b.keys() | mine.keys() | theirs.keys()):
            where = f"{path}/{_escaped(name[0])}"
            value = self.value(where, *(side.get(name, ABSENT) for side in (b, mine, theirs)))
            if value is not ABSENT:
                values[name] = value
        order, is_clash = _ordered(list(b), list(mine), list(theirs), values, self.prefer)
        if is_clash:
            self.clashes.append(Clash(path, base, local, remote))
        return [values[name] for name in order]

    def texts(self, path: str, base: str, local: str, remote: str) -> str:
        """Merge texts by lines; lines that both changed are the preferred side's."""
        lines, mine, theirs = (text.split("\n") for text in (base, local, remote))
        if max(_pairs(lines, mine), _pairs(lines, theirs)) > MOST_PAIRS:
            return str(self.clash(path, base, local, remote))
        merged, is_clash = _diff3(lines, mine, theirs, self.prefer)
        if is_clash:
            self.clashes.append(Clash(path, base, local, remote))
        return "\n".join(merged)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _same(a: Any, b: Any) -> bool:
    return a is b or (a is not ABSENT and b is not ABSENT and same(a, b))


def _have_ids(elements: list[JSON]) -> bool:
    ids = [element.get("_id") if type(element) is dict else None for element in elements]
    return None not in ids and len(set(map(dumps, ids))) == len(ids)


def _elements(elements: list[JSON], by_id: bool) -> dict[Id, JSON]:
    counts: Counter[str] = Counter()
    named: dict[Id, JSON] = {}
    for element in elements:
        text = dumps(element["_id"]) if by_id else dumps(element)
        named[text, counts[text]] = element
        counts[text] += 1
    return named


def _ordered(
    base: Sequence[Id], local: Sequence[Id], remote: Sequence[Id], kept: dict[Id, JSON], prefer: Side
) -> tuple[list[Id], bool]:
    """Put the kept elements in order: what nobody moved as it was, each of the others behind its neighbour.

    Tell also whether both had moved one element to different places.
    """
    moved = _moved(base, local), _moved(base, remote)
    fixed = [name for name in base if name in kept and name not in moved[0] and name not in moved[1]]
    known, place = set(base), {name: i for i, name in enumerate(fixed)}
    runs: list[dict[int, list[Id]]] = [{}, {}]
    anchors: list[dict[Id, int]] = [{}, {}]
    for side, names in enumerate((local, remote)):
        anchor = -1
        for name in names:
            if name in place:
                anchor = place[name]
            elif name in kept and (name not in known or name in moved[side]):
                runs[side].setdefault(anchor, []).append(name)
                anchors[side][name] = anchor
    is_clash = False
    for name in [name for name in anchors[0] if name in anchors[1] and anchors[0][name] != anchors[1][name]]:
        is_clash = is_clash or name in known
        loses = int(prefer == "local" if name in known else anchors[0][name] < anchors[1][name])
        runs[loses][anchors[loses][name]].remove(name)
    ordered: list[Id] = []
    for anchor in range(-1, len(fixed)):
        ordered += fixed[anchor : anchor + 1] if anchor >= 0 else []
        ordered += _joined(runs[0].get(anchor, []), runs[1].get(anchor, []))
    return ordered, is_clash


def _joined(mine: list[Id], theirs: list[Id]) -> list[Id]:
    """Give the elements that two sides put at one place, once each; which run is first is the same on both."""
    first, second = sorted((mine, theirs))
    if set(first) == set(second):
        return first
    seen = set(first)
    return first + [name for name in second if name not in seen]


def _moved(base: Sequence[Id], side: Sequence[Id]) -> set[Id]:
    """Give the elements of the base that a side has elsewhere: all but a longest run that kept its order."""
    place = {name: i for i, name in enumerate(base)}
    common = [name for name in side if name in place]
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for i, name in enumerate(common):
        at = bisect_left(tails, place[name])
        before.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [place[name]]
        ends[at : at + 1] = [i]
    stays: set[Id] = set()
    last = ends[-1] if ends else -1
    while last >= 0:
        stays.add(common[last])
        last = before[last]
    return set(common) - stays


def _pairs(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the pairs of equal lines: what it costs to align two texts."""
    mine, theirs = Counter(a), Counter(b)
    return sum(count * theirs[line] for line, count in mine.items())


Edit: TypeAlias = tuple[int, int, list[str]]
"""The lines of the base from one number up to another, and what is there instead."""


def _edits(base: list[str], side: list[str]) -> list[Edit]:
    codes = SequenceMatcher(None, base, side, autojunk=False).get_opcodes()
    return [(low, high, side[first:last]) for tag, low, high, first, last in codes if tag != "equal"]


def _diff3(base: list[str], local: list[str], remote: list[str], prefer: Side) -> tuple[list[str], bool]:
    """Make both sides' edits; tell whether some of them met."""
    edits = [(*edit, 0) for edit in _edits(base, local)] + [(*edit, 1) for edit in _edits(base, remote)]
    merged: list[str] = []
    at, is_clash = 0, False
    for group in _groups(sorted(edits, key=lambda edit: (edit[0], edit[1], edit[3]))):
        low, high = group[0][0], max(edit[1] for edit in group)
        merged += base[at:low]
        mine, theirs = (_made(base, low, high, [edit for edit in group if edit[3] == side]) for side in (0, 1))
        sides = {edit[3] for edit in group}
        is_both = len(sides) == 2
        is_clash = is_clash or (is_both and mine != theirs)
        is_mine = prefer == "local" if is_both else sides == {0}
        merged += mine if is_mine else theirs
        at = high
    return merged + base[at:], is_clash


def _groups(edits: Sequence[tuple[int, int, list[str], int]]) -> list[list[tuple[int, int, list[str], int]]]:
    """Put edits together that overlap or touch: between them is no line that both sides left alone."""
    groups: list[list[tuple[int, int, list[str], int]]] = []
    end = -1
    for edit in edits:
        if groups and edit[0] <= end:
            groups[-1].append(edit)
        else:
            groups.append([edit])
        end = max(end, edit[1])
    return groups


def _made(base: list[str], low: int, high: int, edits: Sequence[tuple[int, int, list[str], int]]) -> list[str]:
    """Give the lines of a part of the base after one side's edits."""
    lines: list[str] = []
    at = low
    for first, last, instead, _ in edits:
        lines += base[at:first] + instead
        at = last
    return lines + base[at:high]
