"""Meetings of two devices, in steps between which anything else may happen, and files that are carried to others.

A channel keeps the order and loses nothing until it breaks, which it may do at any message. Who meets whom and what
breaks is drawn from a generator of its own, so that worlds without meetings are what they are without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from pysync_web.causality import timestamp
from pysync_web.core.bundle import decode_bundle, encode_bundle
from pysync_web.core.inventory import ROUNDS, Inventory, Row
from pysync_web.core.meeting import Shown, encode_shown, is_wanted
from pysync_web.core.outbox import Name
from pysync_web.core.push import MAX_SKEW_MS
from pysync_web.core.talk import (
    Documents,
    Done,
    Envelope,
    Listing,
    decode_message,
    encode_documents,
    encode_message,
)
from pysync_web.errors import OutboxFull
from pysync_web.values import loads

from .hearsay import Hearsay, Told
from .profile import BOUNDS, below, pick
from .storage import Crash

if TYPE_CHECKING:
    from .world import Device, Handle, World

SESSIONS = ("0" * 32, "1" * 32)
MOST_AT_ONCE = 4
"""How many documents may be in one message."""


@dataclass(slots=True, eq=False)
class Side:
    """One of two in a meeting; ``promised`` is what lay behind its documents when it looked at what it has."""

    session: str
    device: Device
    handle: Handle
    wanted: frozenset[str] | None
    inventory: Inventory = field(default_factory=Inventory)
    promised: dict[Name, int] = field(default_factory=dict)
    said: list[list[Row]] = field(default_factory=list)
    heard: list[list[Row]] = field(default_factory=list)
    to_send: list[Name] = field(default_factory=list)
    left_there: set[Name] = field(default_factory=set)
    """What it did not take in, as the other's clock is too far ahead."""
    chunks: int = 0
    has_heard_all: bool = False
    last_ms: int = 0

    @property
    def is_there(self) -> bool:
        """Whether the process that meets still runs."""
        return self.handle in self.device.handles


@dataclass(slots=True, eq=False)
class Meeting:
    """Two sides and what is under way between them: (to whom, text, what the checkers know of the documents)."""

    sides: tuple[Side, Side]
    is_broken: bool = False

    def other(self, side: Side) -> Side:
        """Give the other side."""
        return self.sides[side is self.sides[0]]


class Meetings:
    """All meetings of a world."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.hearsay = Hearsay(world.checkers)

    # A meeting

    def meet_somebody(self, device: Device) -> None:
        """A device's user meets somebody, or makes a file for somebody."""
        world, rng = self.world, self.rng
        world.at(int(rng.random() * 2 * world.profile.meet_ms), self.meet_somebody, device)
        other = pick(rng, world.devices)
        if rng.random() < world.profile.bundle_rate:
            self._write_file(device)
        elif other is not device:
            self._begin(device, other)

    def _begin(self, one: Device, other: Device) -> Meeting | None:
        """Let two begin to meet, unless they are copies that still have one id."""
        if replica_of(one) == replica_of(other):
            return None
        wanted = _both(one.wanted, other.wanted)
        sides = [
            Side(session, device, pick(self.rng, device.handles), wanted)
            for session, device in zip(SESSIONS, (one, other), strict=True)
        ]
        meeting = Meeting((sides[0], sides[1]))
        self.world.note(lambda: f"{one.label} and {other.label} meet")
        for side in sides:
            side.inventory = self.world.subject.inventory(side.device.storage, wanted)
            side.promised = self.hearsay.promised(side.device, wanted)
            self._say_rows(meeting, side)
        return meeting

    def _say_rows(self, meeting: Meeting, side: Side) -> None:
        """Say what is due in the next round."""
        rows = list(side.inventory.rows(side.said, side.heard))
        message = Listing(len(side.said) + 1, len(side.said), tuple(rows), True)
        side.said.append(rows)
        self._say(meeting, side, encode_message(message, side.session, meeting.other(side).session))

    def _say(self, meeting: Meeting, side: Side, text: str, told: Sequence[Told] = ()) -> None:
        world, rng = self.world, self.rng
        meeting.is_broken |= rng.random() < world.profile.channel_breaks and not world.is_calm
        side.last_ms = max(side.last_ms, world.now_ms + below(rng, world.profile.delay_ms))
        world.at(side.last_ms - world.now_ms, self._hear, meeting, meeting.other(side), text, told)

    def _hear(self, meeting: Meeting, side: Side, text: str, told: Sequence[Told]) -> None:
        """A message arrives, if the channel still is and who is to hear it too."""
        if meeting.is_broken or not all(one.is_there for one in meeting.sides):
            return
        envelope = decode_message(text, side.session)
        assert isinstance(envelope, Envelope)
        match envelope.message:
            case Listing(_, _, rows, _):
                side.heard.append(list(rows))
                self._go_on(meeting, side)
            case Documents(_, documents):
                meeting.is_broken |= not self._take(side.device, documents, told, side.handle, side.left_there)
            case Done():
                side.has_heard_all = True
                self._check(meeting.other(side), side)

    def _go_on(self, meeting: Meeting, side: Side) -> None:
        """Say what is due after a round that both sides have said."""
        if len(side.heard) < len(side.said):
            return
        if len(side.said) < ROUNDS:
            self._say_rows(meeting, side)
            if len(side.heard) >= len(side.said):
                self._go_on(meeting, side)
            return
        side.to_send = side.inventory.to_send(side.said[-1], side.heard[-1])
        self._send_some(meeting, side)

    def _send_some(self, meeting: Meeting, side: Side) -> None:
        """Show the next few documents as they are now, or say that these were all."""
        if meeting.is_broken or not side.is_there:
            return
        if not side.to_send:
            self._say(meeting, side, encode_message(Done(), side.session, meeting.other(side).session))
            return
        count = 1 + below(self.rng, MOST_AT_ONCE)
        names, side.to_send = side.to_send[:count], side.to_send[count:]
        found = self._show(side.device, names, side.handle)
        if found is None:
            return
        texts, told = found
        side.chunks += 1
        text = encode_documents(side.chunks, texts, side.session, meeting.other(side).session)
        self._say(meeting, side, text, told)
        self.world.at(below(self.rng, self.world.profile.delay_ms), self._send_some, meeting, side)

    def _check(self, giver: Side, taker: Side) -> None:
        self.hearsay.has_come(giver.promised, giver.device, taker.device, taker.left_there)

    # What both ways of meeting do

    def _show(
        self, device: Device, names: Sequence[Name], handle: Handle | None
    ) -> tuple[list[str], list[Told]] | None:
        """Show documents: their texts, and what lies behind each; None where the device crashed over it."""
        world, storage = self.world, device.storage
        commits = storage.commits
        shown: list[Shown] | None = None
        try:
            shown = world.subject.show(storage, names, world.chance)
        except Crash:
            world.crash(device, handle)
        if storage.commits != commits:
            self.hearsay.folded(device)
        if shown is None:
            return None
        world.note(lambda: f"{device.label} shows {[one[:2] for one in shown or ()]}")
        return [encode_shown(one) for one in shown], [self.hearsay.told(device, one) for one in shown]

    def _take(
        self,
        device: Device,
        shown: Sequence[Shown],
        told: Sequence[Told],
        handle: Handle | None,
        left_there: set[Name],
    ) -> bool:
        """Take documents in; tell whether that went well."""
        world, storage = self.world, device.storage
        commits, now = storage.commits, world.clock(device)
        is_taken = False
        try:
            world.subject.take_in(storage, shown, now, world.chance, BOUNDS)
            is_taken = True
        except OutboxFull:
            pass
        except Crash:
            world.crash(device, handle)
        left_there |= {one[:2] for one in shown if one.state.timestamp > timestamp(now + MAX_SKEW_MS)}
        world.note(lambda: f"{device.label} takes in {[(one[:2], one.state.body) for one in shown]}: {is_taken}")
        if storage.commits != commits:
            self.hearsay.heard(device, told, self._latest())
        return is_taken

    def _latest(self) -> str:
        """Give the latest time that the server would take."""
        return timestamp(self.world.server_ms + MAX_SKEW_MS)

    # A file

    def _write_file(self, device: Device) -> None:
        """Write a file of everything; some take it in, sooner or later, also more than once or its writer itself."""
        world, rng = self.world, self.rng
        names = [key for key, _ in device.storage.rows("docs") if device.wanted is None or key[0] in device.wanted]
        found = self._show(device, names, None)
        if found is None:
            return
        data = encode_bundle(found[0])
        for _ in range(below(rng, 3)):
            taker = pick(rng, world.devices)
            world.at(below(rng, world.profile.meet_ms * 4), self._read_file, taker, data, found[1])

    def _read_file(self, device: Device, data: bytes, told: Sequence[Told]) -> None:
        wanted = _both(device.wanted, None)
        shown = [one for one in decode_bundle(data) if is_wanted(one.collection, wanted)]
        self._take(device, shown, [one for one in told if is_wanted(one.name[0], wanted)], None, set())

    # The end

    def meet_all(self) -> int:
        """Let each meet the next one over channels that don't break; check that both show the same after it.

        Give how many messages with documents were sent.
        """
        devices, chunks = self.world.devices, 0
        for one, other in pairwise(devices):
            meeting = self._begin(one, other)
            if meeting is None:
                continue
            self.world.drain()
            a, b = meeting.sides
            if a.has_heard_all and b.has_heard_all:
                names = (a.promised.keys() | b.promised.keys()) - a.left_there - b.left_there
                self.hearsay.show_the_same(one, other, sorted(names), self._latest())
            chunks += a.chunks + b.chunks
        return chunks


def replica_of(device: Device) -> Any:
    """Give a device's replica id."""
    return loads(device.storage.text("meta", ("counters",)) or "{}")["replica"]


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> frozenset[str] | None:
    """Give the collections that both want; None: all."""
    if one is None or other is None:
        wanted = other if one is None else one
        return None if wanted is None else frozenset(wanted)
    return frozenset(one) & frozenset(other)
