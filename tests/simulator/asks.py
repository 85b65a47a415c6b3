"""What a device has asked for, told apart from the code under test; a filter is asked of a document directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pysync_web.core.expiry import SETTINGS
from pysync_web.core.filters import Filter, compile_filter
from pysync_web.core.scope import Wish
from pysync_web.values import dumps, loads


@dataclass(frozen=True, slots=True)
class Asks:
    """The wishes by collection, None for nothing; ``has_rest`` says that everything is wanted of all others."""

    has_rest: bool = True
    parts: Mapping[str, Wish | None] = field(default_factory=dict)

    def after(self, wishes: Mapping[str, Wish | None] | None, *, is_exact: bool) -> Asks:
        """Give what is asked for after a choice; None is everything again."""
        if wishes is None:
            return Asks()
        if is_exact:
            return Asks(False, {SETTINGS: Wish(), **wishes})
        return Asks(self.has_rest, {**self.parts, **wishes})

    def of(self, collection: str) -> Wish | None:
        """Give what is wanted of a collection."""
        return self.parts.get(collection, Wish() if self.has_rest else None)

    def is_whole(self, collection: str) -> bool:
        """Tell whether every document of a collection is wanted."""
        wish = self.of(collection)
        return wish is not None and wish.query is None

    def lets(self, name: tuple[str, str], body: dict[str, Any] | None) -> bool:
        """Tell whether a document that is there is wanted."""
        wish = self.of(name[0])
        if wish is None or body is None or wish.query is None:
            return wish is not None and body is not None
        return _filter(name[0], wish.query, dumps(wish.bind_vars)).matching([(name[1], body)])[0]


@lru_cache(1000)
def _filter(collection: str, query: str, binds: str) -> Filter:
    return compile_filter(collection, query, loads(binds))
