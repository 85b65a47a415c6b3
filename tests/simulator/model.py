"""What really happened, told apart from the code under test: every local write, what it had seen, and where it went.

Every value that is written is unique, so a value tells which write made it. Histories are bit sets of write
numbers: bit ``w`` is set where write ``w`` is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from .asks import Asks

Name = tuple[str, str]
Path = tuple[str, ...]
Body = dict[str, Any]


@dataclass(slots=True)
class Written:
    """One local write. ``past`` is everything that its replica knew before it, of all documents."""

    id: int
    name: Name
    kind: str
    assigned: dict[Path, Any]
    removed: tuple[Path, ...]
    past: int
    at: str = ""

    def overlaps(self, path: Path) -> bool:
        """Tell whether it overwrites a field, a part of it, or what it is a part of."""
        if self.kind != "update":
            return True
        if path in self.assigned:
            return True
        size = len(path)
        return any(other[:size] == path or path[: len(other)] == other for other in (*self.assigned, *self.removed))


@dataclass(slots=True)
class Knowledge:
    """What a replica's storage has seen: everything, and what lies behind each document that it shows."""

    know: int = 0
    closed: int = 0
    behind: dict[Name, int] = field(default_factory=dict)
    last_at: str = ""
    cursor: int = 0
    is_resync: bool = False
    asks: Asks = field(default_factory=Asks)
    own: int = 0
    """What was written here."""
    was_in_conflict: bool = False
    """Whether it got a document beyond its cursor by a conflict: nobody tells it when that leaves its filter."""
    has_let_go: bool = False
    """Whether documents went that it need not have: then it may lack what came before what it knows."""
    operations: dict[str, Operation] = field(default_factory=dict)
    """What the changes contain that wait here; in a copy of this storage they may grow in another way."""

    def copy(self) -> Knowledge:
        """Give what a copy of the storage has seen."""
        return replace(self, behind=dict(self.behind), operations=dict(self.operations))


class Operation(NamedTuple):
    """A change that was numbered: the writes that made it, and all that they had seen of the document."""

    name: Name
    own: int
    behind: int
    unit: int | None = None


@dataclass(slots=True)
class Model:
    """The writes, the changes that carry them, and the server's documents at each of their sequences."""

    writes: list[Written] = field(default_factory=list)
    of_document: dict[Name, list[int]] = field(default_factory=dict)
    sent: dict[tuple[str, str], Operation] = field(default_factory=dict)
    """What changes contained as they were sent, by request and change."""
    accepted: dict[str, Operation] = field(default_factory=dict)
    server: dict[Name, int] = field(default_factory=dict)
    server_at: dict[tuple[Name, int], int] = field(default_factory=dict)
    """All that a version has taken in, also what was merged later and changed nothing."""
    shown_at: dict[tuple[Name, int], int] = field(default_factory=dict)
    """What a version had taken in when it was made: who sees it sees this."""
    states: dict[tuple[Name, int], Any] = field(default_factory=dict)
    sequences: dict[Name, int] = field(default_factory=dict)
    log: list[Name] = field(default_factory=lambda: [("", "")])
    """The document of each sequence; sequences count from 1."""
    ledger_tokens: set[int] = field(default_factory=set)
    told: dict[int, str] = field(default_factory=dict)
    """To which replica the server told that a merge lost or overwrote a value; its ledger was to hold that."""
    unheard: set[int] = field(default_factory=set)
    """Values of which the server told it to a replica that did not hear it before that was forgotten, too."""
    gone: set[str] = field(default_factory=set)
    """The replicas whose storage was destroyed, with their ledgers."""
    ledger_deletes: int = 0
    taken: int = 0
    """Writes that the server took, whatever came of them."""
    refused: int = 0
    undone: int = 0
    """Writes that were taken back before they were sent, in one copy of a storage at least."""
    held: int = 0
    """Writes that waited, at some time, for the decision of a conflict."""
    apart: int = 0
    """Writes that somebody lacked who took in, from a device, what had come after them."""
    forgotten: int = 0
    """Deletes that the server knows no more: who never heard of one may make the document again."""
    may_lose: int = 0
    """Writes that lay, unpushed, in a storage that was destroyed, and those undone before they were sent."""

    @property
    def excused(self) -> int:
        """The writes that others need not see, though they may see what came after them."""
        return self.may_lose | self.refused | self.undone | self.held | self.apart

    def add(
        self, name: Name, kind: str, before: Body | None, after: Body | None, past: int, at: str = ""
    ) -> Written:
        """Note a local write that turned one body into another."""
        old, new = flat(before), flat(after)
        made = Written(
            len(self.writes),
            name,
            kind,
            {path: value for path, value in new.items() if path not in old or old[path] != value},
            tuple(path for path in old if path not in new),
            past,
            at,
        )
        self.writes.append(made)
        self.of_document.setdefault(name, []).append(made.id)
        return made

    def members(self, bits: int) -> Iterator[Written]:
        """Give the writes of a bit set, in order."""
        while bits:
            lowest = bits & -bits
            yield self.writes[lowest.bit_length() - 1]
            bits ^= lowest

    def unaccounted(self, write: Written, body: Body | None, behind: int) -> str:
        """Say what of a write is gone without a trace from a document, or ""."""
        if write.kind == "delete":
            if (
                body is None
                or not self._has_deleted_something(write)
                or any(self._delete_is_settled(other, behind) for other in self._same_deletes(write))
            ):
                return ""
            return f"write {write.id} deleted {write.name}, which is there: {body}"
        for path, value in write.assigned.items():
            number = token(value)
            if number is None or _has(at(body, path), value) or self._is_recorded(number):
                continue
            if not self._was_overwritten(write, path, behind):
                return f"write {write.id} set {write.name} {'.'.join(path)} = {value!r}; there is {body}"
        return ""

    def rivals(self, write: Written, behind: int) -> Iterator[Written]:
        """Give the writes of a history that overlap with a write and had not seen it."""
        paths: tuple[Path, ...] = tuple(write.assigned) or ((),)
        for i in self.of_document[write.name]:
            other = self.writes[i]
            is_rival = i != write.id and behind >> i & 1 and not other.past >> write.id & 1
            if is_rival and any(other.overlaps(path) for path in paths):
                yield other

    def _is_recorded(self, number: int) -> bool:
        """Tell whether a value is in a ledger, or would be in that of a replica that is no more."""
        is_noted = number in self.ledger_tokens or number in self.unheard
        return is_noted or self.told.get(number) in self.gone

    def _was_overwritten(self, write: Written, path: Path, behind: int) -> bool:
        """Tell whether somebody who had seen the write wrote over it, and may not have been lost."""
        numbers = self.of_document[write.name]
        for i in islice(numbers, bisect_right(numbers, write.id), None):
            other = self.writes[i]
            is_later = other.past >> write.id & 1 and (not path or other.overlaps(path))
            if is_later and (not self.may_lose >> i & 1 or behind >> i & 1):
                return True
        return False

    def _has_deleted_something(self, write: Written) -> bool:
        """Tell whether there was a document for anybody else: not where the server never took what made it.

        Whoever makes a document sees none, so all that they knew of it had ended.
        """
        past = [self.writes[i] for i in self.of_document[write.name] if write.past >> i & 1]
        ends = [
            one for one in past if one.kind == "insert" or (one.kind == "delete" and not self.refused >> one.id & 1)
        ]
        there = 0
        for one in past:
            ended = 0
            for end in ends:
                ended |= end.past if one.past >> end.id & 1 else 0
            is_made = one.kind == "insert" or (one.kind == "update" and one.past & there & ~ended)
            there |= 1 << one.id if is_made and self.taken >> one.id & 1 else 0
        for end in ends:
            there &= ~end.past
        return bool(there)

    def _same_deletes(self, write: Written) -> Iterator[Written]:
        """Give a delete and those that came to the same without having seen each other."""
        yield write
        for i in self.of_document[write.name]:
            other = self.writes[i]
            if other.kind == "delete" and not other.past >> write.id & 1 and not write.past >> i & 1:
                yield other

    def _delete_is_settled(self, write: Written, behind: int) -> bool:
        is_known = (self.ledger_deletes | self.forgotten) >> write.id & 1
        return bool(is_known) or self._was_overwritten(write, (), behind)


def _has(shown: Any, value: Any) -> bool:
    """Tell whether a value is there; a list may have been merged with another one."""
    if type(shown) is list and type(value) is list:
        return all(one in shown for one in value)
    return bool(shown == value)


def flat(body: Body | None) -> dict[Path, Any]:
    """Give the leaves of a body by their paths."""
    result: dict[Path, Any] = {}
    if body is not None:
        _flatten(body, (), result)
    return result


def at(body: Any, path: Path) -> Any:
    """Give what a body has at a path, or None."""
    for name in path:
        body = body.get(name) if type(body) is dict else None
    return body


def token(value: Any) -> int | None:
    """Give the unique number in a value that a simulated user wrote, None of one that has none."""
    if type(value) is list:
        value = value[0] if value else None
    if type(value) is str:
        return int(value[1:]) if value[1:].isdecimal() else None
    return value if type(value) is int else None


def tokens(body: Body | None) -> set[int]:
    """Give the unique numbers in a body."""
    values = [one for value in flat(body).values() for one in (value if type(value) is list else [value])]
    return {number for value in values if (number := token(value)) is not None}


def _flatten(body: Body, path: Path, result: dict[Path, Any]) -> None:
    for name, value in body.items():
        if type(value) is dict and value:
            _flatten(value, (*path, name), result)
        else:
            result[(*path, name)] = value
