"""A backend that knows nothing of us, as tests want it: rows with versions and a feed, and faults on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pysync_web as ps


class Crash(BaseException):
    """The program ends here."""


class Backend:
    """Rows by (collection, key); None is one that was deleted. Counts what it was asked."""

    def __init__(self, *, page: int = 1000, checks_versions: bool = False) -> None:
        self.rows: dict[tuple[str, str], tuple[dict[str, Any] | None, int]] = {}
        self.number = 0
        self.page = page
        self.checks_versions = checks_versions
        self.seen: list[str] = []
        self.pushes: list[list[ps.SyncRecord]] = []
        self.pulls: list[Any] = []
        self.fault: Callable[[str], None] = lambda where: None
        self.refuse: Callable[[ps.SyncRecord], bool] = lambda record: False

    def edit(self, collection: str, key: str, document: dict[str, Any] | None) -> None:
        """Change a row by other means than ours."""
        self.number += 1
        self.rows[collection, key] = (document, self.number)

    def documents(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Give what it has."""
        return {name: document for name, (document, _) in self.rows.items() if document is not None}

    async def push(self, records: list[ps.SyncRecord]) -> list[Any]:
        """Take records, each id once."""
        self.fault("push begins")
        self.pushes.append(records)
        verdicts: list[Any] = []
        for record in records:
            document, number = self.rows.get(record.name, (None, 0))
            version = number if document is not None else 0
            if self.refuse(record):
                verdicts.append(ps.Refused(record.id, "not here", "nope"))
            elif self.checks_versions and version and record.version != str(version):
                if record.id in self.seen:
                    verdicts.append(ps.Accepted(record.id, str(version)))
            else:
                if record.id not in self.seen:
                    self.edit(*record.name, record.document)
                    self.seen.append(record.id)
                verdicts.append(ps.Accepted(record.id, str(self.rows[record.name][1])))
            self.fault("within a push")
        self.fault("push ends")
        return verdicts

    async def pull(self, since: int | None) -> ps.Pulled:
        """Give the rows changed after a number."""
        self.fault("pull begins")
        self.pulls.append(since)
        news = sorted((number, name, document) for name, (document, number) in self.rows.items())
        news = [row for row in news if row[0] > (since or 0)]
        records = [
            ps.SyncRecord(*name, "update" if document is not None else "delete", document, version=str(number))
            for number, name, document in news[: self.page]
        ]
        last = news[: self.page][-1][0] if news else since
        self.fault("pull ends")
        return ps.Pulled(records, last, has_more=len(news) > self.page)
