"""The functions that an application hangs in: called in order, and one that raises breaks nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from ..core.arguments import check_function

log = logging.getLogger("pysync_web")

T = TypeVar("T")


async def answer_of(work: Awaitable[T]) -> T:
    """Await what an application gave; where it was cancelled, and nobody cancels us, that is an error like others."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it was cancelled") from error


class Hooks:
    """A list of callbacks; each may be a plain or a coroutine function."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._callbacks: list[Callable[..., Any]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(list(self._callbacks))

    def add(self, callback: Callable[..., Any]) -> Callable[[], None]:
        """Hang a callback in; the result takes it out again."""
        check_function(f"a callback of {self._what}", callback)
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def call(self, *args: Any) -> None:
        """Call every callback; a coroutine runs on its own."""
        for callback in list(self._callbacks):
            result = self._try(callback, args)
            if isinstance(result, Coroutine):
                task = asyncio.ensure_future(self._reported(result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def ask(self, *args: Any) -> list[Any]:
        """Call every callback and give their answers; None of one that raised."""
        answers = []
        for callback in list(self._callbacks):
            result = self._try(callback, args)
            answers.append(await self._reported(result) if isinstance(result, Coroutine) else result)
        return answers

    def _try(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            return callback(*args)
        except Exception:
            log.exception("a callback of %s raised", self._what)
            return None

    async def _reported(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await answer_of(coroutine)
        except Exception:
            log.exception("a callback of %s raised", self._what)
            return None
