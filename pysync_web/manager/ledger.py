"""The ledger as an application meets it: listed, queried, exported, and each entry restored as an ordinary edit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias, get_args

from ..causality import normalize_timestamp, parse_timestamp
from ..core import replica as local
from ..core.arguments import binds_of, check_limit, check_text
from ..core.ledger import Entry, Kind, LedgerBounds, is_to_be_trimmed, put_entry, read_entries, read_entry, trim
from ..core.ports import WriteTransaction
from ..core.replica import Event, Write, WriteOptions
from ..errors import InvalidDocument, QueryError
from ..values import JSON, canonical, dumps
from .hooks import log
from .indexed import IndexedStorage

Entries: TypeAlias = list[Entry]
Rows: TypeAlias = list[JSON]

_KINDS: Final[tuple[str, ...]] = get_args(Kind)
_PAGE: Final = 200
_EVERY_MS: Final = 3_600_000
"""How often the bounds are looked at where nothing was added."""


class Ledger:
    """What did not come through, of one local database."""

    def __init__(
        self,
        storage: IndexedStorage,
        bounds: LedgerBounds,
        rng: Any,
        now_ms: Callable[[], int],
        options: Callable[[], WriteOptions],
        tell: Callable[[Any], None],
    ) -> None:
        self._storage = storage
        self._bounds = bounds
        self._rng = rng
        self._now_ms = now_ms
        self._options = options
        self._tell = tell
        self._looked_ms = 0
        self.warning = ""

    async def list(
        self,
        collection: str | None = None,
        key: str | None = None,
        *,
        kind: Kind | None = None,
        since: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Entries:
        """Give entries, the newest first.

        ``since`` is an ISO 8601 time with a zone; ``after`` the id of the last entry of the page before.
        """
        most = check_limit("limit", limit)
        if after is not None:
            check_text("after", after)
        if kind is not None and kind not in _KINDS:
            raise InvalidDocument(f"kind is one of {', '.join(_KINDS)}, not {kind!r:.60}")
        since_ms = 0 if since is None else parse_timestamp(normalize_timestamp(since, "since"))[0]

        def wanted(entry: Entry) -> bool:
            is_there = collection in (None, entry.collection) and key in (None, entry.key)
            return is_there and kind in (None, entry.kind)

        if most == 0:
            return []
        return await self._storage.read(
            lambda tx: read_entries(tx, limit=most, after=after, wanted=wanted, since_ms=since_ms)
        )

    async def query(self, sdbql: str, bind_vars: Mapping[str, JSON] | None = None) -> Rows:
        """Run a query that reads the collection ``ledger``: ``FOR e IN ledger FILTER e.kind == "lost" RETURN e``.

        An entry is a document with the members of :class:`Entry`; ``_key`` is its id.
        """
        from ..sdbql import execute, parse
        from ..sdbql.walk import is_writing

        if is_writing(parse(sdbql)):
            raise QueryError("The ledger is not written by queries: restore(id) makes an entry an edit again")
        entries = [entry async for entry in self._all()]
        rows = [{"_key": entry.id, **entry.to_json()} for entry in reversed(entries)]
        return execute(sdbql, {"ledger": rows}, binds_of(bind_vars))

    async def export(self) -> AsyncIterator[str]:
        """Give every entry as a line of JSON with its newline (NDJSON), the newest first."""
        async for entry in self._all():
            yield dumps(entry.to_json()) + "\n"

    async def restore(self, entry_id: str, *, replace: bool = False) -> dict[str, JSON] | None:
        """Make an entry an ordinary new edit, and give the document as it is then; the entry stays, marked.

        The fields that were lost are set, leaf by leaf, and the others stay, or (``replace``) go. A lost delete
        deletes again. Raises :class:`InvalidDocument` where there is no such entry.
        """
        check_text("entry_id", entry_id)

        async def body(tx: WriteTransaction) -> tuple[Event | None, dict[str, JSON] | None]:
            entry = await read_entry(tx, entry_id)
            if entry is None:
                raise InvalidDocument(f"the ledger has no entry {entry_id!r}")
            before = await local.read_view(tx, entry.collection, entry.key)
            write = _restoring(entry, before.body if before else None, replace)
            ((event, view),) = await local.write(tx, [write], self._now_ms(), self._rng, self._options())
            put_entry(tx, _marked(entry, self._now_ms()))
            return event, view.document(entry.key) if view else None

        event, document = await self._storage.write(body, is_local=True)
        self._tell([event] if event else [])
        return document

    async def look(self, *, is_new: bool = True) -> None:
        """Keep the ledger within its bounds; warn in time before anything goes."""
        now_ms = self._now_ms()
        if not is_new and now_ms - self._looked_ms < _EVERY_MS:
            return
        self._looked_ms = now_ms
        if not await self._storage.read(lambda tx: is_to_be_trimmed(tx, self._bounds, now_ms)):
            self.warning = ""
            return
        found = await self._storage.write(lambda tx: trim(tx, self._bounds, now_ms))
        if found.warning and found.warning != self.warning:
            log.warning("%s", found.warning)
        if found.gone:
            log.warning("%d entries of the ledger went, as was announced", found.gone)
        self.warning = found.warning

    async def _all(self) -> AsyncIterator[Entry]:
        after: str | None = None
        while page := await self.list(limit=_PAGE, after=after):
            for entry in page:
                yield entry
            after = page[-1].id


def _marked(entry: Entry, now_ms: int) -> Entry:
    return replace(entry, restored_ms=now_ms)


def _restoring(entry: Entry, now: dict[str, JSON] | None, is_whole: bool) -> Write:
    if entry.body is None:
        return Write(entry.collection, entry.key, None)
    body = entry.body if is_whole or now is None else _laid_over(now, entry.body)
    return Write(entry.collection, entry.key, body, canonical(body, f"document {entry.key!r}"), replace=True)


def _laid_over(below: dict[str, JSON], above: dict[str, JSON]) -> dict[str, JSON]:
    """Give a body with the leaves of another one set in it."""
    result = dict(below)
    for name, value in above.items():
        mine = result.get(name)
        if type(value) is dict and type(mine) is dict:
            value = _laid_over(mine, value)
        result[name] = value
    return result
