"""One run of a compiled query: its data, its limits and what it remembers; also what functions get as context.

Collections that are read more than once are kept as lists, and tables for equality are made when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

from ...errors import QueryError
from ..ambient import Random, clock
from ..limits import Budget
from ..places import did_you_mean, shorten
from ..source import Condition, DataSource, Document, Found, Lists, Request
from .equality import hashable
from .operators import member, type_name
from .pending import Pending, new_key

Path = tuple[str, ...]
Order = tuple[tuple[Path, bool], ...]
_ABSENT: Final = object()


class Run:
    """One run of a query."""

    def __init__(
        self, source: DataSource, binds: Sequence[Any], budget: Budget, now: Callable[[], int], rng: Random
    ) -> None:
        self.data = Pending(source)
        self.source: DataSource = self.data
        self.binds = binds
        self.budget = budget
        self.spend = budget.spend
        self.rows = budget.rows
        self.rng = rng
        self.memo: dict[Any, Any] = {}
        self.counts: dict[int, int] = {}
        self.times: dict[int, float] = {}
        self.used: dict[int, str] = {}
        self._is_plain = isinstance(source, Lists)
        self._now = now
        self._time: int | None = None
        self._names: frozenset[str] | None = None
        self._step = 0
        self._since = clock()

    def now_ms(self) -> int:
        """Give the time of the query: the same whenever it is asked for."""
        if self._time is None:
            self._time = self._now()
        return self._time

    def new_key(self) -> str:
        """Make a key for a document without one: as the source does it, else one of 26 letters and digits."""
        make: Callable[[], str] | None = getattr(self.data.source, "new_key", None)
        return make() if make is not None else new_key(self.now_ms(), self.rng.getrandbits(80))

    # Collections

    def known(self) -> frozenset[str]:
        """Give the names of all collections."""
        if self._names is None:
            self._names = frozenset(self.data.collections())
        return self._names

    def check(self, collection: Any, variables: Iterable[str] | None = None) -> str:
        """Return a collection's name if there is such a collection; ``variables`` might have been meant instead."""
        names = self.known()
        if not isinstance(collection, str):
            raise QueryError(f"The name of a collection is a text, not {type_name(collection)}")
        if collection not in names and not self.data.is_open:
            what = "collection" if variables is None else "variable or collection"
            others = sorted({*(variables or ()), *names} - {collection})
            hint = did_you_mean(collection, others)
            raise QueryError(f"There is no {what} {shorten(collection)!r}.{hint}")
        return collection

    def scan(self, collection: str) -> Iterable[Document]:
        """Give all documents once."""
        return self.rows(self.data.scan(collection))

    def documents(self, collection: str) -> list[Document]:
        """Give all documents as a list that is kept."""
        kept: list[Document] | None = self.memo.get(("all", collection))
        if kept is None:
            kept = list(self.rows(self.data.scan(collection)))
            self.memo["all", collection] = kept
        return kept

    def again(self, collection: str) -> Iterable[Document]:
        """Give all documents once more."""
        return self.rows(self.documents(collection))

    def by_key(self, step: int, collection: str, key: Any, is_inner: bool) -> Iterable[Document]:
        """Give the document of a key."""
        if self._is_plain:
            return self.matching(step, collection, ("_key",), key) if is_inner else self.scan(collection)
        self.used[step] = "_key"
        found = self.data.get(collection, key) if isinstance(key, str) else None
        return () if found is None else self.rows((found,))

    def search(self, step: int, request: Request, is_inner: bool) -> Iterable[Document]:
        """Give at least the documents that meet conditions: through an index of the source if it has one."""
        found = self.data.find(request)
        if found is not None:
            self.used[step] = found.index or ""
            return self.rows(found.documents)
        return self.again(request.collection) if is_inner else self.scan(request.collection)

    def matching(self, step: int, collection: str, path: Path, value: Any) -> Iterable[Document]:
        """Give the documents that have a value at a path: through an index, else a table made once."""
        table = self.memo.get(("table", collection, path))
        if table is None:
            is_id = path == ("_id",)  # which documents need not hold
            found = None if is_id else self._indexed(collection, path, value)
            if found is not None:
                self.used[step] = found.index or ""
                return self.rows(found.documents)
            table = self.table(
                collection, lambda document: identity(document, collection) if is_id else at(document, path)
            )
            self.memo["table", collection, path] = table
        return self.rows(table.get(hashable(value), ()))

    def _indexed(self, collection: str, path: Path, value: Any) -> Found | None:
        found = self.data.find(Request(collection, (Condition(path, "==", value),)))
        return found if found is not None and found.index else None

    def table(self, collection: str, key: Callable[[Document], Any]) -> dict[Hashable, list[Document]]:
        """Make a table of documents by what a function gives for each."""
        table: dict[Hashable, list[Document]] = {}
        for document in self.again(collection):
            table.setdefault(hashable(key(document)), []).append(document)
        return table

    def joined(self, number: str, key: Callable[[Document], Any], collection: str, value: Any) -> list[Document]:
        """Give the documents whose key equals a value; the table lasts as long as the query."""
        table = self.memo.get((number, collection))
        if table is None:
            self.memo[number, collection] = table = self.table(collection, key)
        found = table.get(hashable(value))
        if found is None:
            return []
        self.budget.touch(len(found))
        return found

    def forget(self) -> None:
        """Forget what is kept of collections, since one has changed."""
        self.memo.clear()

    # What runs once

    def once(self, query: Callable[..., Any], *arguments: Any) -> Any:
        """Give the rows of a subquery that has the same for all rows around it."""
        value = self.memo.get(query, _ABSENT)
        if value is _ABSENT:
            self.memo[query] = value = query(self, *arguments)
        return value

    def counted(self, *arguments: Any) -> tuple[Any, ...]:
        """Count the elements of arrays that a lambda is called for."""
        self.spend(8 * sum(len(one) for one in arguments if type(one) is list))
        return arguments

    # What explain wants to know

    def tick(self, step: int) -> None:
        """Note that another step is at work from now on."""
        now = clock()
        self.times[self._step] = self.times.get(self._step, 0.0) + now - self._since
        self._step, self._since = step, now

    def passed(self, step: int) -> None:
        """Note that a step has given a row."""
        self.counts[step] = self.counts.get(step, 0) + 1


def at(value: Any, path: Path) -> Any:
    """Give what lies at a path."""
    for name in path:
        value = member(value, name)
    return value


def identity(document: Any, collection: str) -> Any:
    """Give ``document._id``, which is made of collection and key where the document does not hold it."""
    if type(document) is not dict:
        return None
    key = document.get("_key")
    return document.get("_id") or (f"{collection}/{key}" if key is not None else None)
