"""Conflicts as an application meets them: its functions are asked, what waits is listed, and decided by hand.

Functions of the application never run inside a storage transaction. A conflict that is theirs to decide waits, they
are asked, and the answer is written if it is still the same conflict; else they are asked again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..core.conflict import (
    AcceptLocal,
    AcceptRemote,
    Answer,
    AsyncResolver,
    Conflict,
    Custom,
    Decision,
    Merge,
    Strategy,
    ThreeWayMerge,
    Wait,
)
from ..core.exchange import ExchangeOptions, Outcome
from ..core.outbox import Name
from ..core.ports import ReadTransaction, WriteTransaction
from ..core.replica import checked_body
from ..core.resolving import read_conflict, settle_conflict
from ..core.strategies import decide, decode_strategy, three_way_merge
from ..core.waiting import waiting_names
from ..errors import ConflictUnresolved
from ..values import canonical, check_collection, check_key
from .config import SyncConfig
from .hooks import Hooks, answer_of, log
from .indexed import IndexedStorage

MOST_ROUNDS: Final = 10
"""How often a function is asked about a conflict that becomes another one while it thinks."""


class Conflicts:
    """The conflicts of one manager. ``options`` gives how its exchanges are made."""

    def __init__(
        self,
        storage: IndexedStorage,
        hooks: Hooks,
        config: SyncConfig,
        rng: Any,
        now_ms: Callable[[], int],
        options: Callable[[], ExchangeOptions],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self._storage = storage
        self._hooks = hooks
        self._config = config
        self._rng = rng
        self._now_ms = now_ms
        self._options = options
        self._on_outcome = on_outcome

    def resolve_at_once(self, conflict: Conflict) -> Decision:
        """Decide inside the transaction that met the conflict, or wait for functions of the application."""
        if self._hooks:
            return Wait("on_conflict is to be asked", asks=True)
        strategy = self._strategy(conflict)
        return strategy if isinstance(strategy, Wait) else decide(strategy, conflict)

    async def ask_about_rest(self) -> None:
        """Ask about what was left undecided when a process ended."""
        names = await self._storage.read(lambda tx: waiting_names(tx, asks=True))
        await self.ask(names)

    async def ask(self, names: Iterable[Name]) -> None:
        """Ask functions about the conflicts of some documents, and write what they decide."""
        for name in names:
            await self._ask(name)

    async def waiting(self) -> list[Conflict]:
        """Give every conflict that waits, in the order of their documents."""

        async def body(tx: ReadTransaction) -> list[Conflict]:
            found = [await read_conflict(tx, name) for name in await waiting_names(tx)]
            return [conflict for conflict in found if conflict is not None]

        return await self._storage.read(body)

    async def resolve(self, collection: str, key: str, answer: Answer, seen: Conflict | None) -> bool:
        """Decide a conflict by hand; tell whether one waited."""
        name = (check_collection(collection), check_key(key))
        decision = _checked(answer, key)

        async def body(tx: WriteTransaction) -> Outcome | None:
            conflict = await read_conflict(tx, name)
            if conflict is None:
                return None
            outcome = await settle_conflict(
                tx, seen or conflict, decision, self._now_ms(), self._rng, self._options(), by_hand=True
            )
            if outcome is None:
                raise ConflictUnresolved(f"{collection}/{key}: it is another conflict by now; look at it again")
            return outcome

        outcome = await self._storage.write(body, is_local=True)
        if outcome is not None:
            self._on_outcome(outcome)
        return outcome is not None

    def _strategy(self, conflict: Conflict) -> Strategy | Wait:
        """Give the strategy that was kept with the change, else that of the collection or the manager."""
        if not conflict.strategy:
            return self._config.strategy_of(conflict.collection)
        try:
            return decode_strategy(conflict.strategy)
        except ValueError:
            return Wait(f"there is no strategy {conflict.strategy!r} here")

    async def _ask(self, name: Name) -> None:
        for _ in range(MOST_ROUNDS):
            conflict = await self._storage.read(lambda tx: read_conflict(tx, name))
            if conflict is None or await self._settle(conflict, await self._decision(conflict)):
                return
        log.warning("the conflict of %s/%s changed faster than it was decided", *name)

    async def _settle(self, conflict: Conflict, decision: Decision) -> bool:
        outcome = await self._storage.write(
            lambda tx: settle_conflict(tx, conflict, decision, self._now_ms(), self._rng, self._options())
        )
        if outcome is not None:
            self._on_outcome(outcome)
        return outcome is not None

    async def _decision(self, conflict: Conflict) -> Decision:
        """Ask the hooks, then the strategy."""
        for hook in self._hooks:
            try:
                answer = await self._call(hook, conflict)
                if answer is not None:
                    return _checked(answer, conflict.key)
            except Exception:
                log.exception("a callback of on_conflict raised")
        strategy = self._strategy(conflict)
        if isinstance(strategy, Wait):
            return strategy
        decision = decide(strategy, conflict)
        if isinstance(decision, Wait) and decision.asks:
            return await self._custom(strategy, conflict)
        return decision

    async def _custom(self, strategy: Strategy, conflict: Conflict) -> Decision:
        """Ask a resolver of the application; one that gives no answer leaves the conflict waiting."""
        custom: Any = strategy.fallback if isinstance(strategy, ThreeWayMerge) else strategy
        answer = await self._answer(custom, conflict)
        return three_way_merge(conflict, lambda _: answer) if isinstance(strategy, ThreeWayMerge) else answer

    async def _answer(self, custom: Custom, conflict: Conflict) -> Decision:
        resolver = custom.resolver
        if isinstance(resolver, str):
            if resolver not in self._config.resolvers:
                return Wait(f"there is no resolver {resolver!r} in SyncConfig.resolvers")
            resolver = self._config.resolvers[resolver]
        try:
            return _checked(await self._call(resolver, conflict), conflict.key)
        except TimeoutError:
            return Wait(f"the resolver gave no answer in {self._config.resolver_timeout_s:g} s")
        except Exception as error:
            log.exception("the resolver of %s/%s raised", conflict.collection, conflict.key)
            return Wait(f"the resolver raised {type(error).__name__}: {error}")

    async def _call(self, function: AsyncResolver, conflict: Conflict) -> Any:
        """Call a plain function, or a coroutine function within the deadline."""
        answer = function(conflict)
        if inspect.isawaitable(answer):
            async with asyncio.timeout(self._config.resolver_timeout_s):
                return await answer_of(answer)
        return answer


def _checked(answer: Any, key: str) -> Decision:
    """Check what a function or a person answered: an answer, a document, or None for a delete."""
    match answer:
        case AcceptLocal() | AcceptRemote() | Wait() | Merge(None):
            return answer
        case None:
            return Merge(None)
    given = answer.document if isinstance(answer, Merge) else answer
    body = checked_body(given, key)
    canonical(body, f"the resolved document {key!r}")
    return Merge(body)
