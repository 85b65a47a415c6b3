"""What devices know from each other, checked after each commit of a meeting against the model of what happened.

Whoever takes in a document knows what lay behind it where it was shown. All of that must be in the document then, or
be overwritten by somebody who had seen it, or be in a ledger, as with what comes from the server.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from pysync_web.core.document import ABSENT
from pysync_web.core.meeting import Shown, is_wanted
from pysync_web.core.optimistic import decode_record
from pysync_web.values import loads

from .checkers import Checkers, Replica, Violation, is_tally, originals, shown
from .model import Body, Name, Operation, token, tokens


class Told(NamedTuple):
    """A document that somebody showed: all that lies behind it, what of that who showed it knew, its last change."""

    name: Name
    body: Body | None
    behind: int
    known: int
    op_id: str
    own: int


@dataclass(slots=True)
class Hearsay:
    """The invariants of meetings, over the model of all the others."""

    checkers: Checkers

    def told(self, replica: Replica, document: Shown) -> Told:
        """Describe a document that a replica shows."""
        name = (document.collection, document.key)
        behind = self._behind(replica, name)
        own = self.checkers.own(replica, document.op_id)
        known = behind & replica.knowledge.know
        return Told(name, document.state.body, behind, known, document.op_id, own)

    def promised(self, replica: Replica, wanted: Set[str] | None) -> dict[Name, int]:
        """Give what lies behind documents that a replica is to tell of; not where a conflict hides the server's."""
        rows = {(key[0], key[1]): loads(text) for key, text in replica.storage.rows("docs")}
        names = [name for name, record in rows.items() if is_wanted(name[0], wanted) and "w" not in record]
        return {name: self._behind(replica, name) for name in names}

    def folded(self, replica: Replica) -> None:
        """Note what is in changes that were made one when they were shown."""
        know = replica.knowledge
        for (space, key), text in originals(replica.storage).items():
            if space != "docs":
                continue
            own = behind = 0
            for change in loads(text or "{}").get("p", ()):
                own |= know.operations[change["i"]].own
                behind |= know.operations[change["i"]].behind
            for change in _record(replica, (key[0], key[1])).get("p", ()):
                know.operations.setdefault(change["i"], Operation((key[0], key[1]), own, behind))

    def heard(self, replica: Replica, told: Sequence[Told], latest: str) -> None:
        """Check what documents of another device changed in a replica, in a commit, and note what it knows now.

        A time that is later than ``latest`` wins against what had seen it, where the server gave that another time.
        """
        before = originals(replica.storage)
        news = [one for one in told if ("docs", one.name) in before]
        self.folded(replica)
        for one in news:
            self._note(replica, one, before[("docs", one.name)])
        entries = [loads(replica.storage.text("ledger", key) or "") for space, key in before if space == "ledger"]
        for entry in entries:
            self.checkers.noted(replica, entry, self.checkers.own(replica, entry["op_id"]))
        for one in news:
            if not is_tally(one.name):
                self._check_kept(replica, one, shown(before[("docs", one.name)]))
        for entry in entries:
            if entry["against_timestamp"] <= latest:
                self.checkers.check_entry(replica, entry)

    def _note(self, replica: Replica, one: Told, before: str | None) -> None:
        """Note the change that a document became here, and that what caused it may come later, or not at all."""
        know, model = replica.knowledge, self.checkers.model
        know.operations.setdefault(one.op_id, Operation(one.name, one.own, one.behind))
        seen = know.behind.get(one.name, 0)
        own = one.behind & ~seen
        for written in model.members(one.behind | seen):
            own |= (written.kind == "delete") << written.id  # what it shows may be a tombstone that came before
        last = _record(replica, one.name)["p"][-1]
        know.operations[last["i"]] = Operation(one.name, own, one.behind | seen)
        self.checkers.brought.add(last["i"])
        know.behind[one.name] = seen | one.behind
        causes = 0
        for written in model.members(one.known & ~know.know):
            causes |= written.past
        know.know |= one.known
        model.apart |= causes & ~know.know
        model.may_lose &= ~own

    def _check_kept(self, replica: Replica, one: Told, before: Body | None) -> None:
        """Check that nothing of two documents is gone without a trace from what they became."""
        model, behind = self.checkers.model, replica.knowledge.behind[one.name]
        body = shown(replica.storage.text("docs", one.name))
        gone = (tokens(before) | tokens(one.body)) - tokens(body) - model.told.keys()
        is_back = body is not None and (before is None or one.body is None)
        for written in model.members(behind if gone or is_back else 0):
            if written.kind == "delete":
                problem = model.unaccounted(written, body, behind) if is_back else ""
            else:
                is_gone = any(token(value) in gone for value in written.assigned.values())
                problem = model.unaccounted(written, body, behind) if is_gone else ""
            if problem:
                raise Violation("I6", f"{replica.label} met somebody, and no longer shows it: {problem}")

    def has_come(self, promised: dict[Name, int], giver: Replica, taker: Replica, left_there: Set[Name]) -> None:
        """Check after a meeting that went through that one has what the other had when they compared.

        What the other doesn't show itself, as it lost to the server's version, is in its outbox until it is told so.
        """
        model = self.checkers.model
        for name, behind in promised.items():
            there = self._behind(taker, name)
            missing = behind & ~there & ~model.may_lose & ~model.undone
            if not missing or name in left_there:
                continue
            mine, theirs = (shown(replica.storage.text("docs", name)) for replica in (giver, taker))
            for written in model.members(missing):
                problem = model.unaccounted(written, theirs, behind | there)
                if problem and not model.unaccounted(written, mine, behind):
                    raise Violation("I20", f"{giver.label} met {taker.label}, which lacks: {problem}")

    def show_the_same(self, one: Replica, other: Replica, names: Sequence[Name], latest: str) -> None:
        """Check that two who have met, while nothing else happened, show the same, but for times after ``latest``.

        Only of what no server has: a conflict that is decided there keeps its number, so until both have synced they
        may show two things for one version.
        """
        for name in names:
            records = [decode_record(replica.storage.text("docs", name)) for replica in (one, other)]
            states = [record.state or ABSENT for record in records if record.confirmed is None]
            if len(states) < 2:
                continue
            mine, theirs = (state.body for state in states)
            if mine != theirs and all(state.timestamp <= latest for state in states):
                raise Violation("I3", f"{one.label} and {other.label} met; {name} is {mine} here, {theirs} there")

    def _behind(self, replica: Replica, name: Name) -> int:
        """Give what lies behind a document as it is shown: while a conflict waits, without the server's version."""
        record = _record(replica, name)
        if "w" not in record:
            return replica.knowledge.behind.get(name, 0)
        base = record["w"][0]
        sequence = base["v"].get("server", 0) if base else 0
        behind = self.checkers.model.server_at.get((name, sequence), 0)
        for change in record.get("p", ()):
            behind |= replica.knowledge.operations[change["i"]].behind
        return behind


def _record(replica: Replica, name: Name) -> dict[str, Any]:
    record: dict[str, Any] = loads(replica.storage.text("docs", name) or "{}")
    return record
