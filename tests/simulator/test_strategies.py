"""Worlds in which each device, and now and then a call, has a strategy of its own, and people decide and restore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pysync_web.core.conflict import Conflict, ConflictStrategy, Merge
from pysync_web.core.exchange import Outcome, apply_response
from pysync_web.core.optimistic import decode_record, encode_record
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
    """Writes the ledger's entry after the transaction that lost the value: a crash in between, and it is gone."""

    def apply(self, storage: SimulatedStorage, *given: Any) -> Outcome:
        later = LaterLedger()
        request, response, now_ms, rng, options = given
        outcome = run(
            storage.write(lambda tx: apply_response(later.over(tx), request, response, now_ms, rng, options))
        )

        async def second(tx: Any) -> None:
            for space, key, text in later.writes:
                tx.put(space, key, text)

        run(storage.write(second))
        return outcome


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

    def apply(self, storage: SimulatedStorage, *given: Any) -> Outcome:
        outcome = super().apply(storage, *given)
        self._forget_base(storage)
        return outcome

    def settle(self, storage: SimulatedStorage, *given: Any) -> Outcome | None:
        outcome = super().settle(storage, *given)
        self._forget_base(storage)
        return outcome

    def _forget_base(self, storage: SimulatedStorage) -> None:
        async def body(tx: Any) -> None:
            for name, text in await tx.scan("docs"):
                record = decode_record(text)
                if record.waiting is None and record.pending and record.confirmed and record.sequence:
                    record.pending = tuple(
                        change if change.merge or change.base else change._replace(base={"none": 1})
                        for change in record.pending
                    )
                    tx.put("docs", name, encode_record(record))

        run(storage.write(body))


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
