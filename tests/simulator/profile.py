"""What one seed does to its replicas: each draws its own mix of faults, so that rare ones meet rare ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from pysync_web.core.outbox import Bounds
from pysync_web.core.push import MAX_SKEW_MS

BOUNDS = Bounds(60, 1_000_000)
YEAR_MS = 365 * 24 * 3_600_000
STRATEGIES_SHARE = 0.1
MEETINGS_SHARE = 0.08
RESTORES_SHARE = 0.05
CHOICES_SHARE = 0.17
COLLECTIONS = ("notes", "todos")


@dataclass(slots=True)
class Profile:
    """Faults and sizes of a run. Rates are probabilities: a message's, a commit's, or an event's of their kind."""

    replicas: int = 3
    merging: list[bool] = field(default_factory=list)
    """For each replica, whether it merges fields; otherwise the last write wins."""
    subsets: list[tuple[str, ...] | None] = field(default_factory=list)
    handles: int = 1
    keys: int = 6
    pace_ms: int = 500
    sync_ms: int = 500
    delay_ms: int = 50
    page_limit: int = 1000
    push_limit: int = 500
    write_rate: float = 0.45
    atomic_rate: float = 0.05
    lose_request: float = 0.0
    lose_answer: float = 0.0
    duplicate: float = 0.0
    late_duplicate: float = 0.0
    repeat_answer: float = 0.0
    wild_delay: float = 0.0
    crash: float = 0.0
    server_crash: float = 0.0
    skews_ms: list[int] = field(default_factory=list)
    server_skew_ms: int = 0
    partition: float = 0.0
    takeover: float = 0.0
    jump: float = 0.0
    wipe: float = 0.0
    restore: float = 0.0
    clone: float = 0.0
    refuse: int = 0
    """The server's guard refuses a document with a value that this divides; 0 refuses none."""
    tally_rate: float = 0.0
    """How many of the writes change CRDT values."""
    has_strategies: bool = False
    """Whether each device, and now and then a call, has a strategy of its own, and people decide."""
    restore_rate: float = 0.0
    """How often, of the times that a user does something, an entry of the ledger is restored."""
    meet_ms: int = 0
    """How long it is, on the average, until a device meets another one again; 0: they never meet."""
    bundle_rate: float = 0.0
    """How many of the meetings are files, which somebody else takes in later."""
    channel_breaks: float = 0.0
    choose_rate: float = 0.0
    """How often, of the times that a user does something, other documents are chosen; 0: everybody holds all."""
    shed_rate: float = 0.0
    """How often, of these times, a device drops copies, or old deletes."""
    ttl_rate: float = 0.0
    """How often, of these times, it is set anew which documents expire."""
    delta: float = 0.0
    """How long a delta may be, of its document; 0: documents come whole."""
    pokes: float = 0.0
    tend_ms: int = 0
    """How long it is, on the average, until the server tends to its data again; 0: it never does."""
    retention_ms: int = 0

    def text(self) -> str:
        """Name what is not as usual."""
        usual = asdict(Profile())
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if value != usual[name])


def draw(rng: Random) -> Profile:
    """Draw a profile; each fault is there in about half of them."""
    profile = Profile(replicas=3 + below(rng, 4), handles=1 + below(rng, 2))
    kind = below(rng, 5)
    profile.merging = [kind in (0, 1) or (kind == 4 and rng.random() < 0.5) for _ in range(profile.replicas)]
    profile.subsets = [None] * profile.replicas
    if rng.random() < 0.3:
        profile.subsets = [pick(rng, (None, None, ("notes",), ("todos",))) for _ in range(profile.replicas)]
    profile.keys = pick(rng, (1, 2, 4, 8, 16))
    profile.pace_ms = pick(rng, (1, 20, 500, 30_000))
    profile.sync_ms = pick(rng, (1, 1, 2, 6)) * profile.pace_ms
    profile.delay_ms = 1 + profile.pace_ms * pick(rng, (0, 1, 2)) // 2
    profile.write_rate = pick(rng, (0.3, 0.5, 0.7))
    profile.atomic_rate = pick(rng, (0.0, 0.1, 0.3))
    profile.page_limit = pick(rng, (1000, 1000, 7, 1))
    profile.push_limit = pick(rng, (500, 500, 5, 1))
    for name, most in (
        ("lose_request", 0.3),
        ("lose_answer", 0.3),
        ("duplicate", 0.3),
        ("late_duplicate", 0.1),
        ("repeat_answer", 0.2),
        ("wild_delay", 0.3),
        ("crash", 0.05),
        ("server_crash", 0.05),
        ("partition", 0.5),
        ("takeover", 0.2),
        ("jump", 0.2),
        ("wipe", 0.05),
        ("restore", 0.2),
        ("clone", 0.05),
    ):
        if rng.random() < 0.5:
            setattr(profile, name, rng.random() * most)
    largest = pick(rng, (0, 1, 1000, 60_000, 3_600_000, 3 * YEAR_MS))
    profile.skews_ms = [below(rng, 2 * largest + 1) - largest for _ in range(profile.replicas)]
    profile.server_skew_ms = pick(rng, (0, 0, 1000, -60_000, 3_600_000))
    profile.refuse = pick(rng, (0, 0, 0, 13))
    return profile


def tally_rate(rng: Random) -> float:
    """Draw how many of the writes change CRDT values."""
    return pick(rng, (0.0, 0.2, 0.6))


def mix(rng: Random, profile: Profile, has_strategies: bool | None = None) -> None:
    """Draw what else there is in a world: strategies (or as is said), restored entries, meetings; in most nothing.

    Where strategies or meetings are drawn no storage is copied. Versions tell devices what they have seen, and two
    copies count on under one name until the server tells them apart, which other devices can't.
    """
    is_drawn, restores = rng.random() < STRATEGIES_SHARE, rng.random() < RESTORES_SHARE
    profile.has_strategies = is_drawn if has_strategies is None else has_strategies
    if is_drawn and has_strategies is None:
        profile.clone = profile.restore = 0.0
    profile.restore_rate = 0.05 if profile.has_strategies or restores else 0.0
    if rng.random() < MEETINGS_SHARE:
        profile.clone = profile.restore = 0.0
        profile.meet_ms = pick(rng, (3, 10, 30)) * profile.pace_ms
        profile.bundle_rate = pick(rng, (0.0, 0.1, 0.5))
        profile.channel_breaks = pick(rng, (0.0, 0.05, 0.3))
        profile.sync_ms *= pick(rng, (1, 1, 10))


def parts(rng: Random, profile: Profile) -> None:
    """Draw whether devices choose what they hold, and whether the server forgets; in most worlds neither.

    No storage is copied there: a copy does not know what the original has written, nor for how long it was away. And
    nobody meets: a device may be given what it has not chosen.
    """
    if rng.random() >= CHOICES_SHARE or profile.meet_ms:
        return
    profile.clone = profile.restore = 0.0
    profile.subsets = [None] * profile.replicas
    profile.choose_rate = pick(rng, (0.03, 0.1, 0.2))
    profile.shed_rate = pick(rng, (0.0, 0.05))
    profile.delta = pick(rng, (0.0, 0.0, 0.5, 1.0))
    profile.page_limit = pick(rng, (1000, 7, 2, 1))
    profile.pokes = pick(rng, (0.0, 0.5))
    if rng.random() < 0.6:
        # The retention time is short here: a clock is ahead by less than that, or by so much that it shows.
        profile.skews_ms = [skew if skew > MAX_SKEW_MS else min(skew, 0) for skew in profile.skews_ms]
        profile.server_skew_ms, profile.jump = max(profile.server_skew_ms, 0), 0.0
        profile.tend_ms = pick(rng, (5, 20)) * profile.pace_ms
        profile.retention_ms = pick(rng, (2, 10, 50)) * profile.sync_ms
        profile.ttl_rate = pick(rng, (0.0, 0.03, 0.1))


def below(rng: Random, n: int) -> int:
    """Give a number from 0 to n-1, the same one in every version of Python."""
    return int(rng.random() * n)


def pick(rng: Random, items: Sequence[Any]) -> Any:
    """Give one of several."""
    return items[int(rng.random() * len(items))]
