"""The order in which changes are sent: numbered entries that name documents, in blocks that travel whole.

The changes themselves lie in their documents' records. A change may be merged into an earlier one that waits only
inside the open block: everything it was caused by travels in the same request, which the server takes whole or
not at all where something is in conflict. So no other replica ever sees an effect without its cause.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from typing import ClassVar, Final, NamedTuple

from ..errors import InvalidDocument, OutboxFull
from ..values import dumps, loads
from .arguments import check_count
from .as_json import AsJson
from .ports import ReadTransaction, WriteTransaction

BLOCK_CHANGES: Final = 100
BLOCK_BYTES: Final = 512 * 1024

Name = tuple[str, str]
"""(collection, key)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds(AsJson):
    """How much may wait: the number of changes, and the bytes of their texts.

    ``Bounds.MOBILE`` and ``Bounds.DESKTOP`` are a tenth of ``Bounds.DEFAULT`` and some four times as much or more.
    """

    changes: int = 100_000
    bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("changes", "bytes"):
            check_count(f"Bounds.{name}", getattr(self, name))

    DEFAULT: ClassVar[Bounds]
    MOBILE: ClassVar[Bounds]
    DESKTOP: ClassVar[Bounds]


Bounds.DEFAULT = Bounds()
Bounds.MOBILE = Bounds(10_000, 32 * 1024 * 1024)
Bounds.DESKTOP = Bounds(1_000_000, 1024 * 1024 * 1024)


@dataclasses.dataclass(slots=True)
class Counters:
    """What a replica counts; it lies in storage and changes with the documents.

    ``n`` is the last number given; ``block`` the first number of the open block, ``block_count`` and
    ``block_bytes`` its size, ``priority`` its priority; ``pending`` and ``pending_bytes`` what waits, ``urgent`` how
    much of it with a priority; ``lease`` numbers the leaders.
    """

    replica: str
    clock: str = ""
    n: int = 0
    block: int = 1
    block_count: int = 0
    block_bytes: int = 0
    pending: int = 0
    pending_bytes: int = 0
    lease: int = 0
    format: int = 1
    priority: int = 0
    urgent: int = 0

    def text(self) -> str:
        """Give the text that stores the counters."""
        priority = f'"priority":{self.priority},"urgent":{self.urgent},' if self.priority or self.urgent else ""
        return (
            f'{{"block":{self.block},"block_bytes":{self.block_bytes},"block_count":{self.block_count},'
            f'"clock":"{self.clock}","format":{self.format},"lease":{self.lease},"n":{self.n},'
            f'"pending":{self.pending},"pending_bytes":{self.pending_bytes},{priority}"replica":"{self.replica}"}}'
        )

    def is_open(self, n: int) -> bool:
        """Tell whether a change has not been sent and its block still takes changes."""
        return n >= self.block

    def seal(self) -> None:
        """Begin a new block with the next number."""
        self.block, self.block_count, self.block_bytes = self.n + 1, 0, 0


def replica_of(text: str) -> str:
    """Give the replica's id from the text of its counters, where it is the last member."""
    return text[text.rindex('"', 0, -2) + 1 : -2]


class Run(NamedTuple):
    """Entries with consecutive numbers from ``first``, made by one transaction; None for one that is gone.

    ``size`` is how many bytes their changes had; all runs of a block have its ``priority``.
    """

    first: int
    block: int
    names: tuple[Name | None, ...]
    size: int
    priority: int = 0


class Appender:
    """Numbers new changes of one transaction and writes their entries at its end, in blocks of at most ``most``."""

    def __init__(self, counters: Counters, bounds: Bounds, priority: int = 0, most: int = BLOCK_CHANGES) -> None:
        self._counters = counters
        self._bounds = bounds
        self._priority = priority
        self._most = most
        self._runs: dict[int, Run] = {}

    def reserve(self, changes: int, size: int) -> None:
        """Make sure that the next so many changes lie in one block, or raise :class:`InvalidDocument`."""
        if changes > BLOCK_CHANGES or size > BLOCK_BYTES:
            raise InvalidDocument(
                f"a transaction of {changes} changes ({size} bytes); the limits are"
                f" {BLOCK_CHANGES} changes and {BLOCK_BYTES} bytes"
            )
        self._open_block()
        self._most = max(self._most, changes)
        if self._counters.block_count + changes > self._most or self._counters.block_bytes + size > BLOCK_BYTES:
            self._counters.seal()

    def add(self, name: Name, size: int) -> int:
        """Number a change of a document, or raise :class:`OutboxFull`."""
        counters = self._counters
        self._check_bounds(1, size)
        self._open_block()
        if counters.block_count >= self._most or counters.block_bytes >= BLOCK_BYTES:
            counters.seal()
        counters.n += 1
        counters.block_count += 1
        counters.block_bytes += size
        counters.pending += 1
        counters.pending_bytes += size
        self._note((name,), counters.n, size)
        return counters.n

    def add_many(self, names: Sequence[Name], texts: Sequence[str]) -> list[int]:
        """Number changes of many documents, given with their texts: what :meth:`add` does for each."""
        counters = self._counters
        sizes = list(map(len, texts))
        total = sum(sizes)
        self._check_bounds(len(names), total)
        self._open_block()
        numbers = list(range(counters.n + 1, counters.n + len(names) + 1))
        start = 0
        while start < len(names):
            if counters.block_count >= self._most or counters.block_bytes >= BLOCK_BYTES:
                counters.seal()
            end = min(len(names), start + self._most - counters.block_count)
            while end - start > 1 and counters.block_bytes + sum(sizes[start : end - 1]) >= BLOCK_BYTES:
                end = start + (end - start) // 2
            counters.n += end - start
            counters.block_count += end - start
            size = sum(sizes[start:end])
            counters.block_bytes += size
            self._note(names[start:end], numbers[start], size)
            start = end
        counters.pending += len(names)
        counters.pending_bytes += total
        return numbers

    def _open_block(self) -> None:
        """Begin a new block where the open one has another priority."""
        if self._counters.priority != self._priority:
            self._counters.seal()
            self._counters.priority = self._priority

    def _note(self, names: Sequence[Name], first: int, size: int) -> None:
        counters = self._counters
        run = self._runs.get(counters.block) or Run(first, counters.block, (), 0, counters.priority)
        self._runs[counters.block] = run._replace(names=(*run.names, *names), size=run.size + size)
        counters.urgent += len(names) if counters.priority else 0

    def _check_bounds(self, more: int, size: int) -> None:
        counters = self._counters
        if counters.pending + more > self._bounds.changes or counters.pending_bytes + size > self._bounds.bytes:
            raise OutboxFull(
                f"{counters.pending} changes ({counters.pending_bytes} bytes) wait to be sent; the limits are"
                f" {self._bounds.changes} changes and {self._bounds.bytes} bytes"
            )

    def write(self, tx: WriteTransaction) -> None:
        """Put the entries."""
        for run in self._runs.values():
            _put(tx, run)


async def first_blocks(tx: ReadTransaction, limit: int) -> list[Run]:
    """Read the oldest whole blocks that have at most ``limit`` entries together, at least one block.

    Together they also have no more bytes than one full block may.
    """
    runs = [_read(key[0], text) for key, text in await tx.scan("outbox", limit=limit + BLOCK_CHANGES)]
    return whole_blocks(runs, limit)


def whole_blocks(runs: Sequence[Run], limit: int) -> list[Run]:
    """Choose the first whole blocks as :func:`first_blocks` does."""
    chosen: list[Run] = []
    count = weight = 0
    for block in dict.fromkeys(run.block for run in runs):
        of_block = [run for run in runs if run.block == block]
        entries = sum(name is not None for run in of_block for name in run.names)
        size = sum(run.size for run in of_block)
        if not entries:
            continue
        if chosen and (count + entries > limit or weight + size > BLOCK_BYTES):
            break
        chosen += of_block
        count += entries
        weight += size
    return chosen


async def all_runs(tx: ReadTransaction) -> list[Run]:
    """Read everything that waits, the oldest first."""
    return [_read(key[0], text) for key, text in await tx.scan("outbox")]


def by_priority(runs: Sequence[Run]) -> list[Run]:
    """Put blocks in the order in which they are sent: a higher priority first, the older of equals first.

    Before a block go all earlier ones with a change of one of its documents, and those before them.
    """
    blocks: dict[int, list[Run]] = {}
    for run in runs:
        blocks.setdefault(run.block, []).append(run)
    before: dict[int, set[int]] = {}
    last: dict[Name, int] = {}
    for block in sorted(blocks):
        names = {name for run in blocks[block] for name in run.names if name is not None}
        before[block] = {last[name] for name in names if name in last}
        last |= dict.fromkeys(names, block)
    ordered: dict[int, None] = {}
    for block in sorted(blocks, key=lambda block: (-blocks[block][0].priority, block)):
        needed, found = [block], {block}
        while needed:
            more = before[needed.pop()] - found - ordered.keys()
            found |= more
            needed += more
        ordered |= dict.fromkeys(one for one in sorted(found) if one not in ordered)
    return [run for block in ordered for run in blocks[block]]


def without(runs: Sequence[Run], numbers: Set[int]) -> list[Run]:
    """Give the runs without some of their entries."""
    return [
        run._replace(names=tuple(None if run.first + i in numbers else name for i, name in enumerate(run.names)))
        for run in runs
    ]


def numbered(runs: Sequence[Run]) -> list[tuple[Name, int]]:
    """List the names of runs with their numbers, without those that are gone."""
    return [(name, run.first + i) for run in runs for i, name in enumerate(run.names) if name is not None]


async def oldest(tx: ReadTransaction) -> Name | None:
    """Name the document of the oldest entry."""
    for key, text in await tx.scan("outbox", limit=1):
        return next((name for name in _read(key[0], text).names if name is not None), None)
    return None


async def strike(tx: WriteTransaction, counters: Counters, numbers: Sequence[tuple[int, int]]) -> None:
    """Remove entries, given as (number, size in bytes)."""
    runs: dict[int, Run] = {}
    for n, size in numbers:
        counters.pending -= 1
        counters.pending_bytes = max(0, counters.pending_bytes - size)
        run = next((run for run in runs.values() if run.first <= n < run.first + len(run.names)), None)
        if run is None:
            found = await tx.scan("outbox", after=(n + 1,), limit=1, reverse=True)
            if not found:
                continue
            run = _read(found[0][0][0], found[0][1])
        names = list(run.names)
        if n - run.first < len(names):
            names[n - run.first] = None
        counters.urgent -= 1 if run.priority else 0
        runs[run.first] = run._replace(names=tuple(names))
    for run in runs.values():
        if any(name is not None for name in run.names):
            _put(tx, run)
        else:
            tx.delete("outbox", (run.first,))


def _put(tx: WriteTransaction, run: Run) -> None:
    names = [None if name is None else list(name) for name in run.names]
    priority = {"p": run.priority} if run.priority else {}
    tx.put("outbox", (run.first,), dumps({"k": run.block, "d": names, "s": run.size, **priority}))


def _read(first: int | str, text: str) -> Run:
    stored = loads(text)
    names = tuple(None if name is None else (name[0], name[1]) for name in stored["d"])
    return Run(int(first), stored["k"], names, stored["s"], stored.get("p", 0))
