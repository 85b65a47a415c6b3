"""Callbacks of those who want to know what other handles wrote, each called on its own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.ports import Touched


class Watchers:
    """A handle's watchers. One that was added where no event loop ran is called at once."""

    def __init__(self) -> None:
        self._all: dict[object, tuple[Callable[[Touched], None], asyncio.AbstractEventLoop | None]] = {}

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._all)

    def add(self, callback: Callable[[Touched], None]) -> Callable[[], None]:
        """Call back from now on; the result ends it, and may be called again."""
        watcher = object()
        self._all[watcher] = callback, asyncio._get_running_loop()
        return lambda: self._all.pop(watcher, None) and None

    def tell(self, touched: Touched) -> None:
        """Tell all of them, soon."""
        for watcher, (callback, loop) in list(self._all.items()):
            if loop is None:
                callback(touched)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(self._call, watcher, touched)

    def _call(self, watcher: object, touched: Touched) -> None:
        if watcher in self._all:
            self._all[watcher][0](touched)

    def clear(self) -> None:
        """Forget all of them."""
        self._all.clear()
