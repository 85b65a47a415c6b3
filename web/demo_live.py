"""One live query at a time: what it answers, now and after every change of the documents, is handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo_dom import spawn

import pysync_web as ps


class Live:
    """Asks one query after another and keeps the last one live. Nothing runs before ``ask`` or after ``end``."""

    def __init__(
        self,
        sync: ps.SyncManager,
        take: Callable[[list[Any]], None],
        refuse: Callable[[ps.QueryError], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._sync = sync
        self._take = take
        self._refuse = refuse
        self._failed = failed
        self._query: Any = None

    def ask(self, sdbql: str, binds: dict[str, Any]) -> None:
        """Ask this query instead of the one before."""
        self.end()
        try:
            self._query = self._sync.live(sdbql, binds)
        except ps.QueryError as error:
            self._refuse(error)
            return
        spawn(self._follow(self._query), self._failed)

    def end(self) -> None:
        """Ask no more."""
        query, self._query = self._query, None
        if query is not None:
            query.close()

    @property
    def is_on(self) -> bool:
        """Whether a query is kept live."""
        return self._query is not None

    async def _follow(self, query: Any) -> None:
        """Hand on each answer. One that fails over the documents of today may be answered after the next change."""
        while query is self._query:
            try:
                rows = await anext(query)
            except StopAsyncIteration:
                return
            except ps.QueryError as error:
                if query is self._query:
                    self._refuse(error)
                continue
            if query is self._query:
                self._take(rows)
