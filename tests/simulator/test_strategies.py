"""Worlds in which each device, and now and then a call, has a strategy of its own, and people decide and restore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pysync_web.core.conflict import Conflict, ConflictStrategy, Merge
from pysync_web.core.exchange import ExchangeOptions, Outcome
from pysync_web.core.intake import apply_response
from pysync_web.core.optimistic import decode_record, encode_record
from pysync_web.core.wire import SyncRequest, SyncResponse
from tests.simulator.checkers import Violation
from tests.simulator.deciding import STRATEGIES
from tests.simulator.mutants import Later
from tests.simulator.storage import SimulatedStorage, run
from tests.simulator.subject import Subject
from tests.simulator.world import World

SEEDS = 60
EVENTS = 300


class LaterLedger(Later):
    """A transaction that keeps what goes to the ledger for another one."""

    def put(self, space: str, key: Any, text: str) -> None:
        if space == "ledger":
            self.writes.append((space, key, text))
        else:
            self._tx.put(space, key, text)

    def delete(self, space: str, key: Any) -> None:
        self._tx.delete(space, key)


class LedgerInAnotherTransaction(Subject):
    """Writes the ledger in a later transaction than what lost the values: now and then a crash is between."""

    def apply(
        self,
        storage: SimulatedStorage,
        request: SyncRequest,
        response: SyncResponse,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
    ) -> Outcome:
        async def body(tx: Any) -> Outcome:
            later = LaterLedger()
            outcome = await apply_response(later.over(tx), request, response, now_ms, rng, options)
            is_crashed = response.server_version.get("server", 0) % 4 == 0
            for space, key, text in () if is_crashed else later.writes:
                tx.put(space, key, text)
            return outcome

        return run(storage.write(body))


class ResolverUsesSetOrder(Subject):
    """Decides as the order of a set happens to be: the same conflict is decided in two ways."""

    calls = 0

    def decide(self, strategy: Any, conflict: Conflict) -> Any:
        self.calls += 1
        decision = super().decide(strategy, conflict)
        if isinstance(decision, Merge) and type(decision.document) is dict and len(decision.document) > 1:
            names = sorted(decision.document, reverse=bool(self.calls % 2))
            return Merge({name: decision.document[name] for name in names[1:]})
        return decision


class ResolutionDoesNotDominate(Subject):
    """Sends what was decided as if it had not seen the other side: it is in conflict again, without an end."""

    def apply(
        self,
        storage: SimulatedStorage,
        request: SyncRequest,
        response: SyncResponse,
        now_ms: int,
        rng: Any,
        options: ExchangeOptions,
    ) -> Outcome:
        async def body(tx: Any) -> Outcome:
            before = {key: decode_record(text) for key, text in await tx.scan("docs")}
            outcome = await apply_response(tx, request, response, now_ms, rng, options)
            for name, text in await tx.scan("docs"):
                record, ids = decode_record(text), {}
                if name in before and record.waiting is None:
                    ids = {change.n: change.op_id for change in before[name].pending}
                made = [one for one in record.pending if ids.get(one.n, one.op_id) != one.op_id]
                if made:
                    record.pending = tuple(
                        one._replace(base={"server": 0}) if one in made else one for one in record.pending
                    )
                    tx.put("docs", name, encode_record(record))
            return outcome

        return run(storage.write(body))


MUTANTS = {
    "ledger_write_in_other_tx": LedgerInAnotherTransaction,
    "resolver_uses_set_order": ResolverUsesSetOrder,
    "resolution_not_dominating": ResolutionDoesNotDominate,
}


def violations(subject: type[Subject], seeds: int) -> Iterator[str]:
    """Say what is found in some worlds."""
    for seed in range(seeds):
        try:
            World(seed, subject(), has_strategies=True).run(EVENTS)
        except (Violation, LookupError, ValueError) as error:
            yield f"seed {seed}: {error}"


@pytest.mark.native
@pytest.mark.timeout(300)
def test_worlds_of_many_strategies_keep_every_promise():
    assert list(violations(Subject, SEEDS)) == []


@pytest.mark.native
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_about_deciding_is_found(name):
    assert next(violations(MUTANTS[name], SEEDS), None), f"{name} survived"


def test_every_strategy_is_drawn():
    assert {strategy.value for strategy in ConflictStrategy} < set(STRATEGIES)
