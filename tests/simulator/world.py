"""A world of replicas, a network and a server: a heap of events and a loop, no clock, no event loop, no threads.

The same seed gives the same run, on every platform: chance comes from two generators, time is a number, and
nothing depends on the order of a set. After the events come the healing and the last checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from typing import Any
from zlib import crc32

from pysync_web.core import wire
from pysync_web.core.conflict import Conflict, ConflictStrategy, Decision, Wait
from pysync_web.core.delta import DeltaMismatch
from pysync_web.core.exchange import ExchangeOptions, Outcome
from pysync_web.core.recorded import Deed
from pysync_web.core.replica import LeaseLost, Write, WriteOptions
from pysync_web.core.strategies import decode_strategy, three_way_merge
from pysync_web.core.wire import Problem, SyncRequest, SyncResponse, encode_request
from pysync_web.crdt import Add, Increment, Remove
from pysync_web.errors import OutboxFull, Rejected
from pysync_web.values import NoCollecting, dumps, loads

from .checkers import Checkers, Plan, Violation, is_tally, originals
from .choosing import Choosing
from .deciding import CUSTOM, STRATEGIES, by_hand, merge_kind, resolve, restored
from .meetings import Meetings
from .model import Knowledge, Name
from .profile import BOUNDS, COLLECTIONS, below, draw, mix, parts, pick, tally_rate
from .sharing import shared_texts
from .storage import Crash, SimulatedStorage, Snapshot
from .subject import Subject
from .users import imagine

START_MS = 1_800_000_000_000
DATABASE = "world"
MOST_EXCHANGES = 60
MOST_SWEEPS = 6
MOST_DECISIONS = 20
"""How many sweeps there may be where people have conflicts to decide between them."""


@dataclass(slots=True)
class Session:
    """One exchange that a handle has under way; ``number`` tells it from those before and after."""

    number: int
    request: SyncRequest
    options: ExchangeOptions
    is_repeated: bool = False
    """Whether the request may have been sent before."""


@dataclass(slots=True, eq=False)
class Handle:
    """One process or tab on a replica's storage."""

    lease: int = 0
    session: Session | None = None


@dataclass(slots=True)
class Device:
    """A replica, as the checkers and the world see it."""

    label: str
    storage: SimulatedStorage
    wanted: tuple[str, ...] | None
    is_merging: bool
    skew_ms: int
    handles: list[Handle]
    knowledge: Knowledge = field(default_factory=Knowledge)
    cut: str = ""
    backup: tuple[Snapshot, Knowledge] | None = None
    opened_at: int = 0
    """The last change that may wait in a copy of the storage too: copies are made while nobody has it open."""
    strategy: str = ""
    """How its conflicts are decided, in a world where that is chosen; "" elsewhere."""
    is_plain: bool = False
    """Whether it asks for whole documents, because a delta came that it could not use."""

    def open_again(self) -> None:
        """Let what waits take in no more of what is done to CRDT values."""
        self.opened_at = loads(self.storage.text("meta", ("counters",)) or '{"n":0}')["n"]


class World:
    """One run of one seed."""

    def __init__(
        self,
        seed: int,
        subject: Subject | None = None,
        *,
        say: Callable[[str], None] | None = None,
        has_strategies: bool | None = None,
    ) -> None:
        self.seed = seed
        self.subject = subject or Subject()
        self.rng = Random(seed)
        self.chance = Random(seed + 1_000_003)
        self.profile = draw(self.rng)
        mix(Random(seed + 3_000_003), self.profile, has_strategies)
        self.counting = Random(seed + 4_000_003)
        self.profile.tally_rate = tally_rate(self.counting)
        parts(Random(seed + 7_000_003), self.profile)
        self.tactics = Random(seed + 2_000_003) if self.profile.has_strategies else None
        self.mending = Random(seed + 5_000_003)
        self.say = say
        self.now_ms = 0
        self.events = 0
        self.hash = 0
        self.checkers = Checkers()
        self.is_calm = False
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._sessions = 0
        self._units = 0
        self.is_server_up = True
        self._guard = self._refusing(self.profile.refuse)
        self.server = SimulatedStorage()
        self.subject.open_server(self.server, self.chance)
        self.server.on_commit = lambda: self._fate(self.profile.server_crash)
        self.devices: list[Device] = []
        self.checkers.replicas = self.devices
        self.meetings = Meetings(self, Random(seed + 6_000_003)) if self.profile.meet_ms else None
        self.choosing = Choosing(self, Random(seed + 8_000_003)) if self.profile.choose_rate else None
        self.checkers.has_parts = self.choosing is not None
        self.checkers.is_forgetful = self.profile.tend_ms > 0
        for i in range(self.profile.replicas):
            self._add_device(i)

    def run(self, events: int = 1000) -> str:
        """Let so many events happen, heal, check; give the trace's hash. Raises :class:`Violation`."""
        with NoCollecting(), shared_texts():
            return self.run_unshared(events)

    def run_unshared(self, events: int = 1000) -> str:
        """Do so with everything read anew."""
        self.note(self.profile.text)
        heap = self._heap
        while self.events < events:
            time, order, happen, details = heappop(heap)
            self.now_ms = time
            self.events += 1
            self.hash = crc32(b"%d %d" % (time, order), self.hash)
            happen(*details)
        self.heal()
        return self.trace_hash()

    def trace_hash(self) -> str:
        """Give a number for everything that happened and everything that lies in storage."""
        parts = [str(self.hash)]
        for storage in (self.server, *(device.storage for device in self.devices)):
            snapshot = storage.snapshot()
            for space in sorted(snapshot):
                parts += [f"{space}{key}{text}" for key, text in sorted(snapshot[space].items())]
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    # Devices and their users

    def _add_device(self, i: int, storage: SimulatedStorage | None = None, like: Device | None = None) -> Device:
        profile = self.profile
        device = Device(
            label=f"r{len(self.devices)}",
            storage=storage or SimulatedStorage(),
            wanted=profile.subsets[i],
            is_merging=profile.merging[i],
            skew_ms=profile.skews_ms[i],
            handles=[Handle() for _ in range(profile.handles)],
        )
        if like is not None:
            device.knowledge = like.knowledge.copy()
        if self.tactics is not None:
            device.strategy = pick(self.tactics, STRATEGIES)
            device.is_merging = merge_kind(device.strategy) is not None
        self.devices.append(device)
        self._open(device)
        self.at(self._some(profile.pace_ms), self._use, device)
        self.at(self._some(profile.sync_ms), self._sync, device)
        if self.meetings is not None:
            self.at(self._some(profile.meet_ms), self.meetings.meet_somebody, device)
        return device

    def _open(self, device: Device) -> None:
        device.storage.on_commit = str
        self.subject.open(device.storage, self.chance)
        device.open_again()
        device.storage.on_commit = lambda: self._fate(self.profile.crash)

    def _use(self, device: Device) -> None:
        """The user does something, or something happens to the device."""
        profile, rng = self.profile, self.rng
        self.at(self._some(profile.pace_ms), self._use, device)
        if self.tactics is not None:
            self._decide_something(device, self.tactics)
        if profile.restore_rate and self.mending.random() < profile.restore_rate:
            self._restore_entry(device, self.mending)
        if self.choosing is not None:
            self.choosing.use(device)
        dice = rng.random()
        if dice < profile.write_rate:
            self._save(device)
        elif dice < 0.85:
            self._look(device)
        elif dice < 0.87:
            self._trouble(device)
        elif dice < 0.90 and rng.random() < profile.partition:
            device.cut = pick(rng, ("", "", "both", "up", "down"))
            self.note(lambda: f"{device.label} cut={device.cut!r}")
        elif dice < 0.95 and rng.random() < profile.takeover:
            self._take_over(device, pick(rng, device.handles))

    def _trouble(self, device: Device) -> None:
        profile, rng = self.profile, self.rng
        if rng.random() < profile.jump:
            device.skew_ms += pick(rng, (1, -1, 1000, -1000, 60_000, -60_000, 3_600_000, -3_600_000))
            self.note(lambda: f"{device.label} clock is {device.skew_ms} ms off")
        if rng.random() < profile.restore and device.backup is not None:
            self._restore(device)
        if rng.random() < profile.restore or rng.random() < 0.1:
            device.backup = (device.storage.snapshot(), device.knowledge.copy())
            device.open_again()
        if rng.random() < profile.wipe:
            self._wipe(device)
        if rng.random() < profile.clone and len(self.devices) < 8:
            self.checkers.copies += 1
            self._clone(device)

    def _look(self, device: Device) -> None:
        """Read a document twice; nothing may have changed since the last commit."""
        name = self._name(device)
        seen = self.subject.read(device.storage, *name)
        self.hash = crc32(dumps(seen.body if seen else None).encode(), self.hash)

    def _save(self, device: Device) -> None:
        """Save or delete one document, or a few at once."""
        rng = self.rng
        if self.profile.tally_rate and self.counting.random() < self.profile.tally_rate:
            return self._tally(device)
        several = rng.random() < self.profile.atomic_rate
        names = [self._name(device) for _ in range(1 + below(rng, 3) if several else 1)]
        plans: list[Plan] = []
        writes: list[Write] = []
        for name in dict.fromkeys(names):
            plan, write = self._plan(device, name, len(self.checkers.model.writes) + len(plans))
            plans.append(plan)
            writes.append(write)
        options = WriteOptions(self._merge(device), BOUNDS, is_atomic=several, opened_at=device.opened_at)
        if self.tactics is not None and self.tactics.random() < 0.1:
            name = pick(self.tactics, STRATEGIES)
            options = replace(options, strategy=name, merge=merge_kind(name))
        unit = None
        if several:
            unit = self._units = self._units + 1
        now = self.clock(device)
        crash: Crash | None = None
        try:
            self.subject.write(device.storage, writes, now, self.chance, options)
        except OutboxFull:
            return
        except Crash as caught:
            crash = caught
        self.note(lambda: f"{device.label} writes {[(*p.name, p.after) for p in plans]} at {now} {crash or ''}")
        if crash is None or crash.is_committed:
            self.checkers.wrote(device, plans, unit)
        if crash is not None:
            self.crash(device, pick(rng, device.handles))

    def _tally(self, device: Device) -> None:
        """Count, put a mark of its own into a set, and something into another set or out of it."""
        name, rng = (self._name(device)[0], f"t{below(self.counting, 2)}"), self.counting
        tag = pick(rng, (Add, Add, Remove))(pick(rng, "xyz"))
        deeds = [
            Deed(("n",), "pn_counter", Increment(1)),
            Deed(("in", "all"), "g_set", Add(len(self.checkers.model.writes))),
            Deed(("tags",), "or_set", tag),
        ]
        writes = [Write(*name, None, deed=deed) for deed in deeds]
        options = WriteOptions(self._merge(device), BOUNDS, opened_at=device.opened_at)
        crash: Crash | None = None
        try:
            self.subject.write(device.storage, writes, self.clock(device), self.chance, options)
        except OutboxFull:
            return
        except Crash as caught:
            crash = caught
        self.note(lambda: f"{device.label} counts in {name} {tag} {crash or ''}")
        if crash is None or crash.is_committed:
            self.checkers.tallied(device, name)
        if crash is not None:
            self.crash(device, pick(rng, device.handles))

    def _merge(self, device: Device) -> str | None:
        return (ConflictStrategy.MERGE_FIELDS if device.is_merging else ConflictStrategy.LAST_WRITE_WINS).merge

    def _plan(self, device: Device, name: Name, number: int) -> tuple[Plan, Write]:
        """Think of something to do with a document as it is now."""
        seen = self.subject.read(device.storage, *name)
        before = seen.body if seen else None
        given, is_whole = imagine(self.rng, before, number * 8)
        if self.choosing is not None:
            given = self.choosing.marked(given)
        after = given if given is None or is_whole else {**(before or {}), **given}
        text = dumps(given) if given is not None else ""
        return Plan(name, before, after), Write(*name, given, text, replace=is_whole)

    def _name(self, device: Device) -> Name:
        wanted = device.wanted or COLLECTIONS
        return pick(self.rng, wanted), f"k{below(self.rng, self.profile.keys)}"

    # The exchange

    def _take_over(self, device: Device, handle: Handle) -> None:
        try:
            handle.lease = self.subject.lead(device.storage)
        except Crash:
            return self.crash(device, handle)
        self.note(lambda: f"{device.label} has a new leader with lease {handle.lease}")

    def _sync(self, device: Device) -> None:
        """The device's timer is due: its leader, or one who still thinks so, begins an exchange."""
        self.at(self._some(self.profile.sync_ms), self._sync, device)
        handle = pick(self.rng, device.handles)
        if not handle.lease:
            if all(other.lease == 0 for other in device.handles):
                self._take_over(device, handle)
            return
        self.ask_now(device, handle)

    def ask_now(self, device: Device, handle: Handle) -> None:
        """Let a leader begin an exchange, unless it has one under way."""
        if handle.lease and handle.session is None:
            self._begin(device, handle)

    def _options(self, device: Device, lease: int | None) -> ExchangeOptions:
        return ExchangeOptions(
            DATABASE,
            self._resolver(device) if self.tactics else self.subject.resolver,
            collections=device.wanted,
            push_limit=self.profile.push_limit,
            page_limit=self.profile.page_limit,
            lease=lease,
            delta=self.choosing.delta(device) if self.choosing else None,
        )

    def _begin(self, device: Device, handle: Handle) -> None:
        options = self._options(device, handle.lease)
        try:
            if self.choosing is not None:
                self.choosing.let_go(device, options)
            is_repeated = device.storage.text("meta", ("inflight",)) is not None
            request = self.subject.build(device.storage, self.chance, options)
        except LeaseLost:
            handle.lease = 0
            return
        except Crash:
            return self.crash(device, handle)
        self._sessions += 1
        self.checkers.sending(device, request)
        session = handle.session = Session(self._sessions, request, options, is_repeated)
        text = encode_request(request)
        self.hash = crc32(text.encode(), self.hash)
        self.note(lambda: f"{device.label} sends {text}")
        self.at(self.profile.delay_ms * 20, self._give_up, handle, session)
        self._send(device, handle, session, text)

    def _give_up(self, handle: Handle, session: Session) -> None:
        """The deadline of an exchange is over."""
        if handle.session is session:
            handle.session = None

    def _send(self, device: Device, handle: Handle, session: Session, text: str) -> None:
        profile, rng = self.profile, self.rng
        copies = 1
        if profile.duplicate and rng.random() < profile.duplicate:
            copies += 1
        for _ in range(copies):
            if rng.random() >= profile.lose_request:
                self.at(self._delay(), self._arrive, device, handle, session, text)
        if profile.late_duplicate and rng.random() < profile.late_duplicate:
            late = profile.delay_ms * (100 + below(rng, 5000))
            self.at(late, self._arrive, device, handle, session, text)

    def _arrive(self, device: Device, handle: Handle, session: Session, text: str) -> None:
        """A request reaches the server."""
        if device.cut in ("both", "up") or not self.is_server_up:
            return
        answer = self._serve(text)
        if answer is None or (self.profile.lose_answer and self.rng.random() < self.profile.lose_answer):
            return
        times = 1 + (self.profile.repeat_answer > 0 and self.rng.random() < self.profile.repeat_answer)
        for _ in range(times):
            self.at(self._delay(), self._return, device, handle, session, answer)

    def _serve(self, text: str) -> str | Rejected | None:
        """Answer a request; None where the server crashed over it."""
        request = wire.decode_request(text, database=DATABASE)
        commits = self.server.commits
        answer: str | Rejected | None
        try:
            answer = self.subject.serve(
                self.server,
                request,
                self.server_ms,
                self.chance,
                self._guard,
            )
            self.hash = crc32(answer.encode(), self.hash)
        except Rejected as refusal:
            answer = refusal
        except Crash as crash:
            answer = None
            self.crash_server(crash)
        self.note(lambda: f"server answers {answer!r}")
        if self.server.commits != commits and self._has_decided(request):
            if not request.changes:
                raise Violation("I19", f"the server wrote for {text}")
            self.checkers.served(self.server, request)
            if self.choosing is not None:
                self.choosing.poke()
        elif isinstance(answer, str) and request.changes:
            self.checkers.repeated(request, answer)
        return answer

    def _has_decided(self, request: SyncRequest) -> bool:
        """Tell whether the server's last commit was about changes, and not about an index for a filter."""
        return not request.subscriptions or any(space == "replicas" for space, _, _ in self.server.changes)

    def crash_server(self, crash: Crash) -> None:
        """The server's process is gone and starts again, after a while; where it only failed, it keeps its memory."""
        if crash.is_committed:
            self.subject.forget_memory()
        self.is_server_up = False
        self.at(self._some(self.profile.sync_ms * 3), self._restart_server)

    @staticmethod
    def _refusing(divisor: int) -> Any:
        if not divisor:
            return None

        def guard(change: Any, before: Any, after: Any) -> Problem | None:
            del change, before
            value = after.body.get("a") if after.body else None
            is_bad = type(value) is int and value // 8 % divisor == 0
            return Problem("refused", "this value is refused") if is_bad else None

        return guard

    def _restart_server(self) -> None:
        self.is_server_up = True

    def _return(self, device: Device, handle: Handle, session: Session, answer: str | Rejected) -> None:
        """An answer reaches the process that asked, if it is still there; it may no longer wait for it."""
        if device.cut in ("both", "down") or handle not in device.handles:
            return
        if handle.session is session:
            handle.session = None
        elif isinstance(answer, Rejected):
            return
        try:
            again = self._take(device, session, answer)
        except LeaseLost:
            handle.lease = 0
            return
        except Crash:
            return self.crash(device, handle)
        if again and handle.session is None and handle.lease:
            self._begin(device, handle)

    def _take(self, device: Device, session: Session, answer: str | Rejected) -> bool:
        """Take in an answer; tell whether the next exchange should follow at once."""
        storage, request, options = device.storage, session.request, session.options
        commits = storage.commits
        if isinstance(answer, Rejected):
            if answer.code == "resync" and self.choosing is not None:
                self.choosing.begin_late(device, session, answer)
                return True
            if answer.code != "replica_forked":
                raise Violation("I12", f"the server refuses {request}: {answer}")
            self.note(lambda: f"{device.label} forks")
            self.subject.fork(storage, self.chance, options)
            return True
        response = wire.decode_response(answer)
        known = loads(storage.text("meta", ("sync",)) or "{}")
        is_new_epoch = known.get("epoch") not in (None, response.epoch)
        outcome = None
        try:
            outcome = self.subject.apply(storage, request, response, self.clock(device), self.chance, options)
        except DeltaMismatch:
            device.is_plain = True
            return True
        finally:
            if storage.commits != commits:
                self.checkers.took(device, request, response, is_new_epoch=is_new_epoch)
                if known.get("epoch") == response.epoch:
                    self._check_idle(device, request, response)
            self.note(lambda: f"{device.label} took in, at {response.since}: {brief(outcome)}")
        if outcome.has_diverged:
            raise Violation("I3", f"{device.label}'s digest differs after {response}")
        if outcome.is_stale and storage.commits != commits:
            raise Violation("I10", f"{device.label} took in what it calls stale: {response}")
        if self.choosing is not None:
            self.choosing.diverged(device, outcome, options)
            device.is_plain &= outcome.has_more
            if outcome.diverged:
                return True
        if self.tactics is not None:
            for name in outcome.asks:
                self.at(self._delay(), self._ask, device, name)
            return bool(outcome.has_more or outcome.epoch_changed or self.subject.has_pending(storage))
        return bool(outcome.has_more or outcome.epoch_changed or storage.rows("outbox"))

    def _check_idle(self, device: Device, request: SyncRequest, response: SyncResponse) -> None:
        """An answer without news must not have made the replica write."""
        is_news = request.request_id is not None or response.server_changes or response.results
        written = originals(device.storage)
        is_choice = self.choosing is not None and (
            ("meta", ("scope",)) in written or any(space == "held" for space, _ in written)
        )
        is_settled = self.choosing is not None and written.keys() == {("meta", ("sync",))}
        ends_resync = '"is_resync":true' in (written.get(("meta", ("sync",))) or "")
        is_news = is_news or is_choice or is_settled or ends_resync
        if not is_news and response.server_version.get("server") == request.since:
            raise Violation("I19", f"{device.label} wrote for {response}")

    # Deciding

    def _resolver(self, device: Device) -> Any:
        """Give what decides inside a transaction; the same conflict is decided alike each time."""

        def decided(conflict: Conflict) -> Decision:
            strategy = decode_strategy(conflict.strategy or device.strategy)
            first, second = (self.subject.decide(strategy, conflict) for _ in range(2))
            if first != second:
                raise Violation("I3", f"{device.label} decides {conflict} as {first} and as {second}")
            return first

        return decided

    def _ask(self, device: Device, name: Name) -> None:
        """A function of the application is asked, and takes its time."""
        for conflict in self.subject.waiting(device.storage):
            if (conflict.collection, conflict.key) == name:
                self.at(self._delay(), self._answer, device, conflict)

    def _answer(self, device: Device, conflict: Conflict) -> None:
        if not self._settle(device, conflict, self._asked(device, conflict), False):
            self._ask(device, (conflict.collection, conflict.key))

    def _asked(self, device: Device, conflict: Conflict) -> Decision:
        strategy = conflict.strategy or device.strategy
        if strategy.endswith("/" + CUSTOM):
            return three_way_merge(conflict, resolve)
        decision = resolve(conflict) if strategy == CUSTOM else self._resolver(device)(conflict)
        return replace(decision, asks=False) if isinstance(decision, Wait) else decision

    def _decide_something(self, device: Device, rng: Random) -> None:
        """Now and then a person decides a conflict that waits."""
        if rng.random() < 0.15:
            conflicts = self.subject.waiting(device.storage)
            if conflicts:
                conflict = pick(rng, conflicts)
                self._settle(device, conflict, by_hand(rng, conflict), True)

    def _settle(self, device: Device, conflict: Conflict, decision: Decision, is_by_hand: bool) -> bool:
        """Let a decision stand; tell whether it was still the same conflict."""
        storage, commits = device.storage, device.storage.commits
        outcome: Outcome | None = None
        try:
            outcome = self.subject.settle(
                storage,
                conflict,
                decision,
                self.clock(device),
                self.chance,
                self._options(device, None),
                is_by_hand,
            )
        except Crash:
            self.crash(device)
        if storage.commits != commits:
            self.checkers.took(device, None, None, is_new_epoch=False)
        self.note(lambda: f"{device.label} decides {conflict} as {decision}: {brief(outcome)}")
        return outcome is not None or storage.commits != commits

    def _restore_entry(self, device: Device, rng: Random) -> None:
        entries = self.subject.entries(device.storage)
        if not entries:
            return
        entry = pick(rng, entries)
        name = (entry.collection, entry.key)
        if is_tally(name):
            return  # the server has forgotten that document
        seen = self.subject.read(device.storage, *name)
        before = seen.body if seen else None
        after = restored(entry, before)
        write = Write(*name, after, dumps(after) if after is not None else "", replace=True)
        merge = "fields" if device.is_merging else None
        commits = device.storage.commits
        try:
            self.subject.write(
                device.storage, [write], self.clock(device), self.chance, WriteOptions(merge, BOUNDS)
            )
        except OutboxFull:
            return
        except Crash:
            self.crash(device)
        self.note(lambda: f"{device.label} restores {entry}")
        if device.storage.commits != commits:
            self.checkers.wrote(device, [Plan(name, before, after)])

    # Faults

    def _fate(self, rate: float) -> str:
        """Decide what happens at a commit."""
        if not rate or self.is_calm or self.rng.random() >= rate:
            return ""
        return "before" if self.rng.random() < 0.5 else "after"

    def crash(self, device: Device, only: Handle | None = None) -> None:
        """A device's processes, or one of them, are gone and start again."""
        self.note(lambda: f"{device.label} crashed")
        device.handles = [Handle() if only in (None, handle) else handle for handle in device.handles]
        self._open(device)

    def _wipe(self, device: Device) -> None:
        self.note(lambda: f"{device.label} is wiped")
        self._destroy(device, {}, Knowledge())

    def _restore(self, device: Device) -> None:
        assert device.backup is not None
        self.note(lambda: f"{device.label} is restored")
        snapshot, knowledge = device.backup
        self.checkers.copies += 1
        self._destroy(device, snapshot, knowledge.copy())

    def _destroy(self, device: Device, snapshot: Snapshot, knowledge: Knowledge) -> None:
        others = [(SimulatedStorage(snapshot), knowledge)]
        others += [(other.storage, other.knowledge) for other in self.devices if other is not device]
        self.checkers.destroyed(device, others)
        device.storage.restore(snapshot)
        device.knowledge = knowledge
        self.checkers.restored(device)
        self.crash(device)

    def _clone(self, device: Device) -> None:
        i = below(self.rng, self.profile.replicas)
        self.note(lambda: f"{device.label} is cloned as r{len(self.devices)}")
        self.profile.subsets.append(device.wanted)
        self.profile.merging.append(device.is_merging)
        self.profile.skews_ms.append(self.profile.skews_ms[i])
        storage = SimulatedStorage(device.storage.snapshot())
        device.open_again()
        self._add_device(len(self.profile.subsets) - 1, storage, device)

    # Healing

    def heal(self) -> None:
        """End all faults, let every device sync until nothing more happens, and check that all agree."""
        self.is_calm = self.is_server_up = True
        while self._heap:
            time, _, happen, details = heappop(self._heap)
            if happen == self._arrive:
                self.now_ms = time
                details[0].cut = ""
                happen(*details)
        for device in self.devices:
            device.cut = ""
        if self.meetings is not None and self.rng.random() < 0.5:
            self.meetings.meet_all()
        for _ in range(MOST_DECISIONS if self.tactics or self.choosing else MOST_SWEEPS):
            did_something = [self._sync_now(device) for device in self.devices]
            if self.choosing is not None:
                did_something.append(self.choosing.tend())
            if self.tactics is not None:
                did_something += [self._decide_all(device, self.tactics) for device in self.devices]
            if not any(did_something):
                break
        else:
            raise Violation("I12", f"after {MOST_SWEEPS} sweeps the devices still have something to tell")
        if self.choosing is not None:
            self.choosing.check_gone()
        self.checkers.agree(self.devices, self.server)
        if self.meetings is not None and self.meetings.meet_all():
            raise Violation("I20", "they agree, and have something to tell each other")

    def drain(self) -> None:
        """Let everything happen that is under way."""
        while self._heap:
            self.now_ms, _, happen, details = heappop(self._heap)
            happen(*details)

    def _decide_all(self, device: Device, rng: Random) -> bool:
        """Let a person decide everything that waits."""
        conflicts = self.subject.waiting(device.storage)
        for conflict in conflicts:
            self._settle(device, conflict, by_hand(rng, conflict), True)
        return bool(conflicts)

    def _sync_now(self, device: Device) -> bool:
        """Sync one device through a perfect network; tell whether anything was to be done."""
        commits = device.storage.commits
        for _ in range(MOST_EXCHANGES * (5 if self.choosing else 1)):
            self.now_ms += 1
            options = self._options(device, None)
            if self.choosing is not None:
                self.choosing.let_go(device, options)
            is_repeated = device.storage.text("meta", ("inflight",)) is not None
            request = self.subject.build(device.storage, self.chance, options)
            self.checkers.sending(device, request)
            answer = self._serve(encode_request(request))
            assert answer is not None, "the server has ended crashing"
            if not self._take(device, Session(0, request, options, is_repeated), answer):
                return device.storage.commits != commits
        raise Violation("I12", f"{device.label} does not come to an end in {MOST_EXCHANGES} exchanges")

    # Helpers

    def at(self, in_ms: int, happen: Callable[..., None], *details: Any) -> None:
        self._order += 1
        heappush(self._heap, (self.now_ms + in_ms, self._order, happen, details))

    @property
    def server_ms(self) -> int:
        """The time on the server's clock."""
        return START_MS + self.now_ms + self.profile.server_skew_ms

    def _some(self, ms: int) -> int:
        """Give a time around a mean; 0 at a pace of 1, so that much falls into one millisecond."""
        return int(self.rng.random() * 2 * ms)

    def _delay(self) -> int:
        profile, rng = self.profile, self.rng
        if profile.wild_delay and rng.random() < profile.wild_delay:
            return below(rng, profile.delay_ms * 60)
        return below(rng, profile.delay_ms)

    def clock(self, device: Device) -> int:
        return START_MS + self.now_ms + device.skew_ms

    def note(self, text: Callable[[], str]) -> None:
        if self.say is not None:
            self.say(f"{self.events:5} {self.now_ms:9} {text()}")


def brief(outcome: Outcome | None) -> str:
    """Tell what an answer did, without what it did not."""
    if outcome is None:
        return "nothing, it crashed"
    events = [f"{event.change_type} {event.collection}/{event.key}" for event in outcome.events]
    flags = [name for name in ("has_more", "is_stale", "has_diverged", "epoch_changed") if getattr(outcome, name)]
    numbers = f"pushed {outcome.pushed}, pulled {outcome.pulled}, conflicts {outcome.conflicts}"
    return f"{numbers}, {events} {' '.join(flags)}"
