"""A storage of the simulator: a table in memory that may crash around a commit, be copied, and be emptied.

A body runs at once, in one step: one that waits for anything but its transaction fails the run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Key = tuple[Any, ...]
Space = tuple[dict[Key, str], list[Key]]
Snapshot = dict[str, dict[Key, str]]


class Crash(Exception):
    """The process that ran the transaction is gone; ``is_committed`` says whether its writes were made."""

    def __init__(self, is_committed: bool) -> None:
        super().__init__("after the commit" if is_committed else "before the commit")
        self.is_committed = is_committed


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise AssertionError("a transaction's body waited for something that is not its transaction")


class Transaction:
    """Writes go straight into the table; what was there before is kept, to take them back."""

    __slots__ = ("_spaces", "undo")

    def __init__(self, spaces: dict[str, Space]) -> None:
        self._spaces = spaces
        self.undo: list[tuple[str, Key, str | None]] = []

    async def get(self, space: str, key: Key) -> str | None:
        found = self._spaces.get(space)
        return found[0].get(key) if found else None

    async def get_many(self, space: str, keys: Sequence[Key]) -> list[str | None]:
        rows = self._spaces[space][0] if space in self._spaces else {}
        return [rows.get(key) for key in keys]

    async def scan(
        self,
        space: str,
        prefix: Key = (),
        *,
        after: Key | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[Key, str]]:
        found = self._spaces.get(space)
        if found is None:
            return []
        rows, keys = found
        low, high = 0, len(keys)
        if after is not None and reverse:
            high = bisect_left(keys, after)
        elif after is not None:
            low = bisect_right(keys, after)
        if limit is not None and not prefix and not reverse:
            high = low + limit
        chosen = keys[low:high]
        if prefix:
            size = len(prefix)
            chosen = [key for key in chosen if key[:size] == prefix]
        if reverse:
            chosen.reverse()
        return [(key, rows[key]) for key in chosen[:limit]]

    def put(self, space: str, key: Key, text: str) -> None:
        rows, keys = self._spaces.get(space) or self._spaces.setdefault(space, ({}, []))
        before = rows.get(key)
        if before is None:
            insort(keys, key)
        self.undo.append((space, key, before))
        rows[key] = text

    def written(self, space: str) -> Collection[Key]:
        return {key for name, key, _ in self.undo if name == space}

    def delete(self, space: str, key: Key) -> None:
        rows, keys = self._spaces.get(space) or self._spaces.setdefault(space, ({}, []))
        before = rows.pop(key, None)
        if before is not None:
            del keys[bisect_left(keys, key)]
            self.undo.append((space, key, before))


class SimulatedStorage:
    """One database. ``on_commit`` is asked before each commit that writes: "", "before" or "after" a crash."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._spaces: dict[str, Space] = {}
        self.on_commit: Callable[[], str] = lambda: ""
        self.commits = 0
        self.changes: list[tuple[str, Key, str | None]] = []
        """What the last commit that wrote anything replaced: (space, key, text before)."""
        if snapshot:
            self.restore(snapshot)

    async def read(self, body: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run a body over the table."""
        tx = Transaction(self._spaces)
        result = await body(tx)
        assert not tx.undo, "a read wrote"
        return result

    async def write(self, body: Callable[[Any], Coroutine[Any, Any, T]], *, relaxed: bool = False) -> T:
        """Run a body and commit, or crash before or after that; take everything back where it raises."""
        tx = Transaction(self._spaces)
        try:
            result = await body(tx)
        except BaseException:
            self._take_back(tx)
            raise
        if not tx.undo:
            return result
        crash = self.on_commit()
        if crash == "before":
            self._take_back(tx)
            raise Crash(is_committed=False)
        self.commits += 1
        self.changes = tx.undo
        if crash:
            raise Crash(is_committed=True)
        return result

    def text(self, space: str, key: Key) -> str | None:
        """Read one text, past all transactions."""
        found = self._spaces.get(space)
        return found[0].get(key) if found else None

    def rows(self, space: str) -> list[tuple[Key, str]]:
        """List a space in order, past all transactions."""
        rows, keys = self._spaces.get(space, ({}, []))
        return [(key, rows[key]) for key in keys]

    def snapshot(self) -> Snapshot:
        """Copy everything, as a backup does."""
        return {space: dict(rows) for space, (rows, _) in self._spaces.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Become what a snapshot holds; an empty one wipes the storage."""
        self._spaces.clear()
        self._spaces.update({space: (dict(rows), sorted(rows)) for space, rows in snapshot.items()})

    def _take_back(self, tx: Transaction) -> None:
        undo = tx.undo
        tx.undo = []
        back = Transaction(self._spaces)
        for space, key, before in reversed(undo):
            if before is None:
                back.delete(space, key)
            else:
                back.put(space, key, before)
