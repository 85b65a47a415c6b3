"""Devices that hold a part of the documents and change their mind, and a server that forgets what is old.

What is drawn comes from generators of its own, so that worlds without any of this are what they are without it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from pysync_web.core.exchange import ExchangeOptions, Outcome
from pysync_web.core.expiry import SETTINGS, Setting
from pysync_web.core.replica import Write, WriteOptions
from pysync_web.core.scope import Wish
from pysync_web.core.tending import Tended
from pysync_web.core.wire import DeltaWish
from pysync_web.errors import OutboxFull, Rejected
from pysync_web.values import dumps, loads

from .checkers import MS_OF_A_WRITE, Plan, Violation
from .profile import BOUNDS, COLLECTIONS, below, pick
from .storage import Crash

if TYPE_CHECKING:
    from .world import Device, Session, World

FILTERS = (
    ("g == @g", True),
    ("FOR u IN {} FILTER u.g == @g RETURN u", True),
    ("doc.g != @g", True),
    ("doc.b != null", False),
    ("IS_NUMBER(doc.a) && doc.a % 16 == 0", False),
)
"""What a collection is filtered by, and whether that has a variable."""

GROUPS = "xyz"
STEP = 3
"""How many documents go in one transaction where a device lets go of a collection."""


class Choosing:
    """What users choose, what devices drop, what the server tends to, and its pokes."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.tended_at: int | None = None
        """When the server tended to its data, by its clock."""
        if world.profile.tend_ms:
            world.at(self._some(world.profile.tend_ms), self._tend)

    def delta(self, device: Device) -> DeltaWish | None:
        """Give the wish for deltas, but for a device that has just been sent one that it could not use."""
        return DeltaWish(self.world.profile.delta) if self.world.profile.delta and not device.is_plain else None

    def marked(self, given: dict[str, Any] | None) -> dict[str, Any] | None:
        """Put a document into a group by which it may be filtered; the group's name is no value that is followed."""
        if given is None or self.rng.random() < 0.5:
            return given
        return {**given, "g": pick(self.rng, GROUPS)}

    def use(self, device: Device) -> None:
        """Let a device's user choose, or make room, or let documents expire; mostly nothing."""
        profile, dice = self.world.profile, self.rng.random()
        if dice < profile.choose_rate:
            self._choose(device)
        elif dice < profile.choose_rate + profile.shed_rate:
            self._shed(device)
        elif profile.tend_ms and dice > 1 - profile.ttl_rate:
            self._set_ttl(device)

    # Choosing

    def _choose(self, device: Device) -> None:
        """Choose a part of a collection, nothing of it, an exact list, or everything again."""
        dice, collection = self.rng.random(), pick(self.rng, COLLECTIONS)
        wishes: dict[str, Wish | None] | None
        if dice < 0.5:
            wishes = {collection: self._wish(collection)}
        elif dice < 0.6:
            wishes = {collection: Wish()}
        elif dice < 0.75:
            wishes = {collection: None}
        elif dice < 0.9:
            wishes = {name: self._wish(name) for name in COLLECTIONS if self.rng.random() < 0.7}
        else:
            wishes = None
        is_exact = 0.75 <= dice < 0.9
        subject, storage, know = self.world.subject, device.storage, device.knowledge
        if not self._does(device, lambda: subject.choose(storage, wishes, device.wanted, is_exact=is_exact)):
            return
        know.asks = know.asks.after(wishes, is_exact=is_exact)
        know.cursor = min(know.cursor, loads(storage.text("meta", ("sync",)) or '{"cursor":0}')["cursor"])
        self.world.note(lambda: f"{device.label} chooses {wishes}: {know.asks}")

    def _wish(self, collection: str) -> Wish:
        query, has_variable = pick(self.rng, FILTERS)
        return Wish(query.format(collection), {"g": pick(self.rng, GROUPS)} if has_variable else {})

    def let_go(self, device: Device, options: ExchangeOptions) -> None:
        """Let go of what is not wanted any more, before an exchange."""
        world = self.world
        has_more = world.subject.is_leaving(device.storage)
        while has_more:
            commits = device.storage.commits
            try:
                now = world.clock(device)
                has_more = world.subject.drop_unasked(device.storage, now, world.chance, options, STEP)
            finally:
                if device.storage.commits != commits:
                    world.checkers.let_go(device)

    def diverged(self, device: Device, outcome: Outcome, options: ExchangeOptions) -> None:
        """Fetch parts again that are others than the server's; nothing may have made them so."""
        if outcome.diverged and not device.knowledge.was_in_conflict:
            raise Violation("I22", f"{device.label}'s part of {outcome.diverged} is another than the server's")
        for collection in outcome.diverged:
            self.world.subject.begin_part_again(device.storage, collection, options)

    def begin_late(self, device: Device, session: Session, refusal: Rejected) -> None:
        """Pull everything again, as the server has forgotten too much."""
        storage, know = device.storage, device.knowledge
        commits = storage.commits
        is_doubtful = session.is_repeated and not refusal.detail["known"]
        self.world.note(lambda: f"{device.label} begins again, doubtful: {is_doubtful}")
        try:
            self.world.subject.begin_late_resync(storage, session.options, is_doubtful=is_doubtful)
        finally:
            if storage.commits != commits:
                know.cursor, know.is_resync = 0, True
                if is_doubtful:
                    self.world.checkers.never_heard(device)

    # Making room

    def _shed(self, device: Device) -> None:
        """Drop a few copies, or deletes that the server has forgotten too."""
        subject, storage, rows = self.world.subject, device.storage, device.storage.rows("docs")
        if self.rng.random() < 0.4:
            is_done = self._does(device, lambda: subject.drop_tombstones(storage))
        else:
            names = [(str(key[0]), str(key[1])) for key, _ in rows if self.rng.random() < 0.3]
            is_done = self._does(device, lambda: subject.evict(storage, names))
        self.world.note(lambda: f"{device.label} makes room: {is_done}")

    def _does(self, device: Device, step: Callable[[], Any]) -> bool:
        """Do a step of a device; tell whether it was done, though the device may have crashed over it."""
        commits = device.storage.commits
        crash: Crash | None = None
        try:
            step()
        except Crash as caught:
            crash = caught
        if device.storage.commits != commits:
            self.world.checkers.let_go(device)
        if crash is not None:
            self.world.crash(device, pick(self.rng, device.handles))
        return crash is None or crash.is_committed

    # What the server forgets

    def _set_ttl(self, device: Device) -> None:
        """Let documents expire by the number in a field, or not any more; so many of them at once, others later."""
        world, rng = self.world, self.rng
        name = (SETTINGS, pick(rng, COLLECTIONS))
        seen = world.subject.read(device.storage, *name)
        before = seen.body if seen else None
        after_ms = world.server_ms - MS_OF_A_WRITE * below(rng, 1 + len(world.checkers.model.writes))
        after = None if before is not None and rng.random() < 0.4 else Setting("a", after_ms).body()
        write = Write(*name, after, dumps(after) if after is not None else "", replace=True)
        options = WriteOptions(None, BOUNDS)
        commits = device.storage.commits
        crash: Crash | None = None
        try:
            world.subject.write(device.storage, [write], world.clock(device), world.chance, options)
        except OutboxFull:
            return
        except Crash as caught:
            crash = caught
        world.note(lambda: f"{device.label} lets {name[1]} expire: {after}")
        if device.storage.commits != commits:
            world.checkers.wrote(device, [Plan(name, before, after)])
        if crash is not None:
            world.crash(device, pick(rng, device.handles))

    def _tend(self) -> None:
        self.world.at(self._some(self.world.profile.tend_ms), self._tend)
        if self.world.is_server_up:
            self.tend()

    def tend(self) -> bool:
        """Let the server do its upkeep; tell whether there was anything to do."""
        world, commits = self.world, self.world.server.commits
        now = self.tended_at = world.server_ms
        done: Tended | None = None
        try:
            done = world.subject.tend(world.server, now, now - world.profile.retention_ms, world.chance)
        except Crash as crash:
            world.crash_server(crash)
        world.note(lambda: f"the server tends: {done}")
        if world.server.commits != commits:
            world.checkers.tended(world.server, now)
            self.poke()
        return world.server.commits != commits

    def check_gone(self) -> None:
        """Check that nothing is left of what had expired when the server tended to its data for the last time."""
        if self.tended_at is not None:
            self.world.checkers.gone(self.world.server, self.tended_at)

    # Pokes

    def poke(self) -> None:
        """Tell devices that something has changed; some hear it before or long after the data, or not."""
        world = self.world
        head = loads(world.server.text("hub", ("state",)) or "{}")["head"]
        for device in world.devices:
            if not world.is_calm and self.rng.random() < world.profile.pokes:
                world.at(self._some(world.profile.delay_ms), self._hear, device, head)

    def _hear(self, device: Device, head: int) -> None:
        if device.cut in ("both", "down"):
            return
        if self._does(device, lambda: self.world.subject.poked(device.storage, head)):
            self.world.ask_now(device, pick(self.rng, device.handles))

    def _some(self, ms: int) -> int:
        return int(self.rng.random() * 2 * ms)
