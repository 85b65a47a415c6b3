"""Everything that two replicas can do to one document in a few steps, in every order, with one crash anywhere.

``python -m tests.simulator.small_scope`` tries all of it, on all cores, and prints the count. Who knew what is
followed here, apart from the code under test: of what nobody had seen when they overwrote it, every value must be in
the document or in a ledger, and both replicas and the server must agree in the end.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from pysync_web.core.fields import shown
from pysync_web.core.wire import encode_request
from pysync_web.crdt import Add, Increment, Remove
from pysync_web.values import NoCollecting

from .lab import Device, Lab
from .sharing import shared_texts
from .storage import SimulatedStorage, Snapshot

KINDS = ("set x", "set y", "replace", "delete", "count", "add", "remove")
ERASERS = ("replace", "delete")
MOST_STEPS = 3
CRASHES = ("request", "answer")
"""What is lost with a crash: the request before it arrived, or the answer to it."""


class Plan(NamedTuple):
    """What happens: the steps of both, the first one's before the other's; after how many each syncs; one crash."""

    steps: tuple[tuple[str, ...], tuple[str, ...]]
    syncs: tuple[int, int]
    merging: bool
    crash: tuple[int, str] | None = None


class Step(NamedTuple):
    """A step that was taken, and the steps that who took it knew of."""

    kind: str
    value: Any
    known: frozenset[int]


@dataclass
class Story:
    """A plan as it happens; ``known`` has what each side and the server have heard of."""

    plan: Plan
    taken: list[Step] = field(default_factory=list)
    known: dict[str, set[int]] = field(default_factory=lambda: {"a": set(), "b": set(), "server": set()})
    exchanges: int = 0

    def play(self) -> str | None:
        """Let it happen; say what is wrong at the end, None if nothing is."""
        self.lab = Lab(seed=2)
        self.lab.now_ms, server, *storages = begun()
        self.lab.server.restore(server)
        a, b = (
            self.lab.replica(name, storage=SimulatedStorage(storage), merging=self.plan.merging)
            for name, storage in zip("ab", storages, strict=True)
        )
        for device, steps, sync_after in zip((a, b), self.plan.steps, self.plan.syncs, strict=True):
            for n, kind in enumerate(steps, 1):
                self._take(device, kind)
                if n == sync_after:
                    self._sync(device)
        for device in (a, b, a, b):
            self._sync(device)
        return self._wrong(a, b)

    def _take(self, device: Device, kind: str) -> None:
        n = len(self.taken) + 1
        self.taken.append(Step(kind, n, frozenset(self.known[device.name])))
        self.known[device.name].add(n - 1)
        match kind:
            case "set x" | "set y":
                device.save("k", {kind[-1]: n})
            case "replace":
                device.write(("k", {"x": n}), replace=True)
            case "delete":
                device.delete("k")
            case "count":
                device.do("k", "n", "pn_counter", Increment(1 << n))
            case "add":
                device.do("k", "s", "or_set", Add("e"))
            case "remove":
                device.do("k", "s", "or_set", Remove("e"))

    def _sync(self, device: Device) -> None:
        """Exchange to the end; where the plan says so, a crash takes a request or an answer, and it begins anew."""
        for _ in range(20):
            request = device.request()
            crash = self.plan.crash[1] if self.plan.crash and self.plan.crash[0] == self.exchanges else None
            self.exchanges += 1
            if crash == "request":
                continue
            if request.changes:
                self.known["server"] |= self.known[device.name]
            answer = self.lab.serve(encode_request(request))
            if crash == "answer":
                continue
            outcome = device.take(request, answer)
            if not (outcome.is_stale or outcome.has_more or device.pending()):
                self.known[device.name] |= self.known["server"]
                return
        raise AssertionError("no end of exchanges")

    def _wrong(self, a: Device, b: Device) -> str | None:
        body = self.lab.body("k")
        end = shown(body) if body is not None else None
        if not a.see("k") == b.see("k") == end:
            return f"no agreement: a {a.see('k')}, b {b.see('k')}, server {end}"
        ledger = [entry.body for device in (a, b) for entry in device.ledger()]
        for n, step in enumerate(self.taken):
            if self._is_due(n, step) and not _is_there(step, end) and not _is_in(step, ledger):
                return f"step {n + 1} ({step.kind}) is neither in {end} nor in the ledger {ledger}"
        return self._wrong_count(end)

    def _is_due(self, n: int, step: Step) -> bool:
        """Tell whether nobody who knew of a step has undone it."""
        undoing = {"set x": ("set x",), "set y": ("set y",), "replace": ("set x",), "add": ("remove",)}
        if step.kind in ("delete", "remove"):
            return False
        voiding = (*undoing.get(step.kind, ()), *ERASERS)
        return not any(n in later.known and later.kind in voiding for later in self.taken)

    def _wrong_count(self, end: dict[str, Any] | None) -> str | None:
        """Counters are exact where nobody erases, and never count twice."""
        counted = [1 << step.value for step in self.taken if step.kind == "count"]
        found = (end or {}).get("n", 0)
        is_erased = any(step.kind in ERASERS for step in self.taken)
        if found > sum(counted) or (found != sum(counted) and not is_erased):
            return f"counted {found} of {counted}"
        return None


def _is_there(step: Step, end: dict[str, Any] | None) -> bool:
    if end is None:
        return False
    match step.kind:
        case "set x" | "replace":
            return bool(end.get("x") == step.value)
        case "set y":
            return bool(end.get("y") == step.value)
        case "count":
            return bool(end.get("n", 0) & 1 << step.value)
    return "e" in end.get("s", ())


def _is_in(step: Step, ledger: Sequence[dict[str, Any] | None]) -> bool:
    return any(_is_there(step, shown(body)) for body in ledger if body is not None)


@cache
def begun() -> tuple[int, Snapshot, Snapshot, Snapshot]:
    """Give the time, the server and two replicas that have seen one document."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("k", {"x": 0, "y": 0})
    lab.settle(a, b)
    return lab.now_ms, lab.server.snapshot(), a.storage.snapshot(), b.storage.snapshot()


def sequences(kinds: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Give every row of one to so many steps of some kinds."""
    return [row for length in range(1, most + 1) for row in itertools.product(kinds, repeat=length)]


def plans(most: int = MOST_STEPS) -> Iterator[Plan]:
    """Give every plan: for each pair of kinds every row of steps of both, every order, no crash or one anywhere."""
    seen = set()
    for pair in itertools.combinations_with_replacement(KINDS, 2):
        rows = sequences(sorted(set(pair)), most)
        for steps in itertools.product(rows, rows):
            if steps in seen:
                continue
            seen.add(steps)
            yield from _orders(steps)


def _orders(steps: tuple[tuple[str, ...], tuple[str, ...]]) -> Iterator[Plan]:
    places = itertools.product(range(len(steps[0])), range(len(steps[1])))
    for syncs, merging in itertools.product(places, (False, True)):
        plan = Plan(steps, syncs, merging)
        yield plan
        for exchange, lost in itertools.product(range(4 + bool(syncs[0]) + bool(syncs[1])), CRASHES):
            yield plan._replace(crash=(exchange + 2, lost))


def tried(most: int, part: int, parts: int) -> int:
    """Play one part of all plans and count it; raise AssertionError with the first plan that goes wrong."""
    count = 0
    with NoCollecting(), shared_texts():
        for plan in itertools.islice(plans(most), part, None, parts):
            wrong = Story(plan).play()
            assert wrong is None, f"{plan}: {wrong}"
            count += 1
    return count


def main(most: int = MOST_STEPS) -> None:
    """Play all plans of so many steps."""
    began, parts = time.monotonic(), 64
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        counts = processes.map(tried, [most] * parts, range(parts), [parts] * parts)
        print(f"{sum(counts):,} plans of up to {most} steps each: all agree, nothing is lost outside the ledger")
    print(f"({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
