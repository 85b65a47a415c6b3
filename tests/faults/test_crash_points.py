"""A crash before and after every single commit of a story: it goes on from there, and ends as if nothing had been.

A story is run once to count the commits of its storages, then once for each of them and each side of it. What crashed
starts again, and its last step is done again, as a user or a timer would.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pysync_web.core.expiry import STEP
from pysync_web.core.wire import encode_request
from pysync_web.values import loads
from tests.simulator.lab import Lab
from tests.simulator.storage import Crash, SimulatedStorage

pytestmark = pytest.mark.native

Step = Callable[[], object]
Story = Callable[["Stage"], list[Step]]


class Stage:
    """A lab in which the storage ``watched`` may crash at one of its commits."""

    def __init__(self, merging: bool) -> None:
        self.lab = Lab()
        self.one = self.lab.replica("one", merging=merging)
        self.two = self.lab.replica("two", merging=merging)
        self.count = 0
        self.crash_at: tuple[int, str] | None = None

    def watch(self, storages: list[SimulatedStorage]) -> None:
        """Count the commits of storages from now on, and crash at the one that was chosen."""
        for storage in storages:
            storage.on_commit = self._commit

    def _commit(self) -> str:
        self.count += 1
        return self.crash_at[1] if self.crash_at is not None and self.crash_at[0] == self.count else ""

    def tell(self, steps: list[Step]) -> None:
        """Do the steps; one that a crash cuts off is done again."""
        for step in steps:
            try:
                step()
            except Crash:
                self._start_again()
                step()

    def _start_again(self) -> None:
        for device in (self.one, self.two):
            self.lab.subject.open(device.storage, self.lab.rng)

    def agree(self) -> dict[str, object]:
        """Let everybody sync; give what all of them see, which must be what the server has."""
        for storage in (self.lab.server, self.one.storage, self.two.storage):
            storage.on_commit = str
        self.lab.settle(self.one, self.two, self.one)
        seen = {}
        for (collection, key), text in self.lab.server.rows("docs"):
            if collection != "notes":
                continue
            body = loads(text).get("document")
            assert self.one.see(key) == self.two.see(key) == body, key
            seen[key] = body
        assert self.one.pending() == self.two.pending() == []
        return seen


def write_story(stage: Stage) -> list[Step]:
    """Somebody writes: new documents, edits, a delete, a transaction."""
    stage.watch([stage.one.storage])
    return [
        lambda: stage.one.save("a", {"n": 1}),
        lambda: stage.one.save("a", {"m": {"x": 1}}),
        lambda: stage.one.write(("b", {"n": 1}), ("c", {"n": 2}), is_atomic=True),
        lambda: stage.one.delete("b"),
        lambda: stage.one.save("b", {"again": True}),
    ]


def push_story(stage: Stage) -> list[Step]:
    """What was written is pushed, while more is written."""
    write = [*write_story(stage)]
    stage.watch([stage.one.storage, stage.lab.server])
    return [*write, stage.one.sync, lambda: stage.one.save("a", {"n": 3}), stage.one.sync]


def pull_story(stage: Stage) -> list[Step]:
    """What another pushed is pulled, over edits of one's own."""
    for i in range(5):
        stage.two.save(f"k{i}", {"n": i})
    stage.two.save("a", {"theirs": 1})
    stage.two.sync()
    stage.one.page_limit = 2
    stage.watch([stage.one.storage, stage.lab.server])
    return [
        lambda: stage.one.save("a", {"mine": 1}),
        stage.one.sync,
        lambda: stage.one.delete("k3"),
        stage.one.sync,
    ]


def fork_story(stage: Stage) -> list[Step]:
    """A replica is restored from an older copy, finds that it was, and becomes another."""
    stage.one.save("a", {"n": 1})
    stage.one.sync()
    backup = stage.one.storage.snapshot()
    stage.one.save("a", {"n": 2})
    stage.one.save("b", {"n": 1})
    stage.one.sync()
    stage.one.storage.restore(backup)
    stage.one.save("c", {"n": 1})
    stage.watch([stage.one.storage, stage.lab.server])
    return [stage.one.sync, lambda: stage.one.save("d", {"n": 1}), stage.one.sync]


def resync_story(stage: Stage) -> list[Step]:
    """Everything is pulled again, with changes pending."""
    for i in range(5):
        stage.two.save(f"k{i}", {"n": i})
    stage.lab.settle(stage.two, stage.one)
    stage.one.page_limit = 2
    stage.watch([stage.one.storage, stage.lab.server])
    return [
        lambda: stage.one.save("a", {"n": 1}),
        lambda: stage.lab.subject.begin_resync(stage.one.storage, stage.one.options),
        stage.one.sync,
    ]


def epoch_story(stage: Stage) -> list[Step]:
    """The server is restored from an older copy; what it lost comes back from those who have it."""
    stage.one.save("a", {"n": 1})
    stage.lab.settle(stage.one, stage.two)
    backup = stage.lab.server.snapshot()
    stage.one.save("a", {"n": 2})
    stage.one.save("b", {"n": 1})
    stage.lab.settle(stage.one, stage.two)
    stage.lab.server.restore(backup)
    stage.lab.subject.new_epoch(stage.lab.server, stage.lab.rng)
    stage.watch([stage.one.storage, stage.two.storage, stage.lab.server])
    return [lambda: stage.one.save("c", {"n": 1}), stage.one.sync, stage.two.sync]


def expiry_story(stage: Stage) -> list[Step]:
    """Documents expire; the setting, the entries and the deletes are all made in small steps."""
    stage.one.write(("notes", {"expires": ["at", 60]}), collection="_ttl")
    stage.one.write(*((f"k{i}", {"at": 1}) for i in range(STEP + 1)))
    stage.one.write(("a", {"at": 2**50}), ("b", {"n": 1}))
    stage.lab.settle(stage.one, stage.two)
    stage.watch([stage.lab.server])
    return [stage.lab.tend, lambda: stage.two.save("a", {"n": 1}), stage.two.sync, stage.lab.tend]


def forget_story(stage: Stage) -> list[Step]:
    """The server forgets old deletes, and a replica that had not seen them comes back with edits."""
    stage.one.write(*((f"k{i}", {"n": i}) for i in range(4)))
    stage.lab.settle(stage.one, stage.two)
    stage.one.write(("k0", None), ("k1", None))
    stage.one.sync()
    stage.two.save("a", {"n": 1})
    stage.lab.serve(encode_request(stage.two.request()))
    stage.two.save("k1", {"mine": 1})
    stage.two.save("k2", {"mine": 2})
    stage.two.page_limit = 2
    stage.lab.pass_days(100)
    stage.watch([stage.two.storage, stage.lab.server])
    return [stage.lab.tend, stage.two.sync]


def evict_story(stage: Stage) -> list[Step]:
    """Copies are dropped, some change elsewhere, and then everything is pulled again."""
    stage.one.write(*((f"k{i}", {"n": i}) for i in range(3)))
    stage.lab.settle(stage.one, stage.two)
    stage.watch([stage.two.storage, stage.lab.server])
    return [
        lambda: stage.two.evict("k0", "k1", "k2"),
        lambda: stage.one.save("k1", {"n": 10}),
        stage.one.sync,
        stage.two.sync,
        lambda: stage.two.save("k2", {"mine": 2}),
        stage.two.sync,
        lambda: stage.lab.subject.begin_resync(stage.two.storage, stage.two.options),
        stage.two.sync,
    ]


STORIES: dict[Story, tuple[int, dict[str, object]]] = {
    write_story: (5, {"a": {"n": 1, "m": {"x": 1}}, "b": {"again": True}, "c": {"n": 2}}),
    push_story: (12, {"a": {"n": 3, "m": {"x": 1}}, "b": {"again": True}, "c": {"n": 2}}),
    pull_story: (10, {"a": {"mine": 1, "theirs": 1}, **{f"k{i}": {"n": i} for i in range(5)}, "k3": None}),
    fork_story: (9, {"a": {"n": 2}, "b": {"n": 1}, "c": {"n": 1}, "d": {"n": 1}}),
    resync_story: (7, {"a": {"n": 1}, **{f"k{i}": {"n": i} for i in range(5)}}),
    expiry_story: (5, {"a": {"at": 2**50, "n": 1}, "b": {"n": 1}, **{f"k{i}": None for i in range(STEP + 1)}}),
    forget_story: (7, {"a": {"n": 1}, "k2": {"n": 2, "mine": 2}, "k3": {"n": 3}}),
    evict_story: (9, {"k0": {"n": 0}, "k1": {"n": 10}, "k2": {"n": 2, "mine": 2}}),
    epoch_story: (10, {"a": {"n": 2}, "b": {"n": 1}, "c": {"n": 1}}),
}


def told(story: Story, crash_at: tuple[int, str] | None) -> tuple[int, dict[str, object]]:
    """Tell a story with a crash, or without; give how many commits it had and how it ends."""
    stage = Stage(merging=True)
    steps = story(stage)
    stage.crash_at = crash_at
    stage.tell(steps)
    return stage.count, stage.agree()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_crash_around_any_commit_changes_nothing_in_the_end(story):
    commits, ending = STORIES[story]
    assert told(story, None) == (commits, ending)
    for number in range(1, commits + 1):
        for side in ("before", "after"):
            assert told(story, (number, side))[1] == ending, f"a crash {side} commit {number}"
