"""Which notes the list shows: all, or those that one query finds, kept live for as long as it is asked.

The query engine is imported when the search field is first entered, never while the page starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from demo_book import Notebook
from demo_live import Live

FIND = """
FOR note IN notes
  FILTER @done == null OR (note.done == true) == @done
  LET tags = (FOR tag IN TO_ARRAY(note.tags) FILTER IS_STRING(tag) RETURN LOWER(tag))
  FILTER ALL begin IN @tags SATISFIES (ANY tag IN tags SATISFIES STARTS_WITH(tag, begin))
  LET text = LOWER(CONCAT_SEPARATOR("\\n", note.title, note.text, tags))
  FILTER ALL word IN @words SATISFIES CONTAINS(text, word)
  RETURN note._key
"""
"""Finds the notes that hold every word and bear a tag that begins with each of the tags asked for."""

SHOWN = {"all": None, "open": False, "done": True}


class Search:
    """What is searched for, and the keys of the notes found; ``found`` is None where all notes are shown."""

    def __init__(
        self, book: Notebook, changed: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._book = book
        self._changed = changed
        self._live = Live(book.sync, self._take, failed, failed)
        self._is_warm = False
        self.text = ""
        self.show = "all"
        self.found: set[str] | None = None

    def ask(self, *, text: str | None = None, show: str | None = None) -> None:
        """Search for other words (``#word``: a tag that begins so), among all notes, the open ones or those done."""
        self.text = self.text if text is None else text.strip()
        self.show = self.show if show is None else show
        if self.text or self.show != "all":
            self._is_warm = True
            self._live.ask(FIND, self._binds())
        else:
            self._live.end()
            self.found = None
        self._changed()

    async def warm_up(self) -> None:
        """Ask once without showing anything: the first letter typed is then as quick as the others."""
        if not self._is_warm:
            self._is_warm = True
            await asyncio.sleep(0.05)  # the field is drawn first as the one that has the cursor
            await self._book.sync.query(FIND, self._binds())

    def _binds(self) -> dict[str, Any]:
        words = self.text.lower().split()
        return {
            "words": [word for word in words if not word.startswith("#")],
            "tags": [word[1:] for word in words if word.startswith("#")],
            "done": SHOWN[self.show],
        }

    def _take(self, keys: list[Any]) -> None:
        self.found = set(keys)
        self._changed()
