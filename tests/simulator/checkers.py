"""The invariants, checked after every commit against the model of what really happened.

They read what lies in storage and what was answered; they call nothing of the code under test but the reading of
a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pysync_web import crdt
from pysync_web.causality import SERVER
from pysync_web.core.expiry import SETTINGS
from pysync_web.core.optimistic import decode_record
from pysync_web.core.replica import STUBS
from pysync_web.core.wire import SyncRequest, SyncResponse
from pysync_web.values import dumps, loads

from .model import Body, Knowledge, Model, Name, Operation, Written, tokens
from .storage import Key, SimulatedStorage

INVARIANTS = {
    "I1": "no acknowledged local write is lost",
    "I2": "each change is effective exactly once",
    "I3": "replicas that have seen the same hold the same",
    "I4": "no effect is seen before its causes",
    "I5": "a replica reads its own writes at once",
    "I6": "what a replica has seen it never unsees",
    "I7": "a transaction's changes reach the server together",
    "I8": "a replica's number names one change",
    "I9": "the cursor only moves forward, and over nothing that was not taken in",
    "I10": "a message that comes again changes nothing",
    "I12": "once faults end, everything is sent and agreed on within a bound",
    "I14": "the ledger has what was lost, and nothing else",
    "I16": "counters and sets are exact",
    "I19": "an idle exchange writes nothing",
    "I20": "after a meeting that went through, each has what the other had",
    "I21": "a device shows what it has asked for, and nothing else",
    "I22": "nothing is fetched again where nothing went wrong",
    "I23": "what has expired is gone, and nothing else",
}

MS_OF_A_WRITE = 8000
"""What lies between the numbers of two writes, read as moments in seconds: settings let documents expire by these."""


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant} ({INVARIANTS[invariant]}): {text}")
        self.invariant = invariant


class Replica(Protocol):
    """What the checkers need to know of a replica."""

    label: str
    storage: SimulatedStorage
    knowledge: Knowledge
    wanted: tuple[str, ...] | None
    is_merging: bool
    strategy: str


@dataclass(slots=True)
class Plan:
    """One document of a local transaction, as its user means it."""

    name: Name
    before: Body | None
    after: Body | None

    @property
    def kind(self) -> str:
        """What happens to the document."""
        return "delete" if self.after is None else "insert" if self.before is None else "update"


@dataclass(slots=True)
class Checkers:
    """All invariants over one model."""

    model: Model = field(default_factory=Model)
    applied: dict[str, int] = field(default_factory=dict)
    requests: dict[str, list[Any]] = field(default_factory=dict)
    dots: dict[tuple[str, int], str] = field(default_factory=dict)
    units: dict[tuple[int, str], int] = field(default_factory=dict)
    of_collection: dict[str, int] = field(default_factory=dict)
    last_operation: dict[tuple[Name, str], int] = field(default_factory=dict)
    pushes: int = 0
    copies: int = 0
    regrown: set[str] = field(default_factory=set)
    """Changes that contain part of what the server has under another id: the other copy sent it."""
    brought: set[str] = field(default_factory=set)
    """Changes that are what a device showed, here or elsewhere."""
    replicas: Sequence[Any] = ()
    is_forgetful: bool = False
    """Whether the server tends to its data: who pulls everything again may know what it had not been told before."""
    has_parts: bool = False
    """Whether devices hold parts of the documents, drop copies, and the server forgets."""

    def wrote(self, replica: Replica, plans: Sequence[Plan], unit: int | None = None) -> None:
        """Check a local transaction that was committed, and note its writes."""
        know = replica.knowledge
        past, before = know.know, know.last_at
        for plan in plans:
            if plan.before == plan.after:
                continue
            written = self.model.add(plan.name, plan.kind, plan.before, plan.after, past)
            bit = 1 << written.id
            collection = plan.name[0]
            self.of_collection[collection] = self.of_collection.get(collection, 0) | bit
            know.know |= bit
            know.own |= bit
            self._check_own_write(replica, plan, written, unit, before)

    def _check_own_write(
        self, replica: Replica, plan: Plan, written: Written, unit: int | None, last_at: str
    ) -> None:
        name, bit = plan.name, 1 << written.id
        text = replica.storage.text("docs", name)
        if shown(text) != plan.after:
            raise Violation("I5", f"{replica.label} wrote {name} = {plan.after} and reads {shown(text)}")
        pending = loads(text).get("p", []) if text else []
        if plan.after is None and self._was_undone(replica, name, pending, bit):
            return
        self._note_change(replica, written, pending[-1], unit, last_at)

    def tallied(self, replica: Replica, name: Name) -> None:
        """Note that what was done to the CRDT values of a document was committed."""
        know = replica.knowledge
        written = self.model.add(name, "update", {}, {}, know.know)
        bit = 1 << written.id
        self.of_collection[name[0]] = self.of_collection.get(name[0], 0) | bit
        know.know |= bit
        know.own |= bit
        pending = loads(replica.storage.text("docs", name) or "")["p"]
        self._note_change(replica, written, pending[-1], None, know.last_at)

    def _note_change(self, replica: Replica, written: Written, last: Any, unit: int | None, last_at: str) -> None:
        """Note which change carries a write."""
        know, name, bit = replica.knowledge, written.name, 1 << written.id
        behind = know.behind.get(name, 0)
        written.at = max(last["d"], *last.get("s", {}).values(), "")
        if written.at <= last_at:
            raise Violation("I5", f"{replica.label} wrote at {written.at}, after {last_at}: its clock went back")
        know.last_at = max(know.last_at, written.at)
        known = know.operations.get(last["i"]) or Operation(name, 0, 0, unit)
        behind |= known.behind | bit
        know.operations[last["i"]] = known._replace(own=known.own | bit, behind=behind)
        know.behind[name] = behind

    def _was_undone(self, replica: Replica, name: Name, pending: list[Any], bit: int) -> bool:
        """Tell whether a delete took back an insert that had not been sent, and note that both are gone."""
        before = loads(originals(replica.storage)[("docs", name)] or "{}").get("p", [])
        if len(before) <= len(pending):
            return False
        know = replica.knowledge
        elsewhere = 0
        for other in self.replicas if self.copies else ():
            if other is not replica:
                elsewhere |= waiting(other.storage, other.knowledge)
        undone = bit | know.operations[before[-1]["i"]].own
        self.model.undone |= undone
        self.model.may_lose |= undone & ~elsewhere
        behind = self._of_server(name, replica.storage.text("docs", name))
        for change in pending:
            behind |= know.operations[change["i"]].behind
        know.behind[name] = behind
        return True

    def took(
        self, replica: Replica, request: SyncRequest | None, response: SyncResponse | None, *, is_new_epoch: bool
    ) -> None:
        """Check what a committed answer changed in a replica."""
        before = originals(replica.storage)
        replica.knowledge.was_in_conflict |= response is not None and bool(response.conflicts)
        if replica.strategy:
            self._note_held(replica)
        entries = [loads(replica.storage.text("ledger", key) or "") for space, key in before if space == "ledger"]
        for entry in entries:
            self.noted(replica, entry, self.own(replica, entry["op_id"]) or self._renamed(replica, entry, before))
        for (space, key), text in before.items():
            if space == "docs":
                self._check_document(replica, (key[0], key[1]), text, request, response, is_new_epoch)
        for entry in entries:
            self.check_entry(replica, entry)
        if response is not None and request is not None:
            self._check_cursor(replica, request, response, is_new_epoch)

    def noted(self, replica: Replica, entry: Any, own: int) -> None:
        """Note what an entry of the ledger keeps, given the writes of the change that it is about."""
        if entry["kind"] == "removed":
            return  # it is sent all the same
        if is_tally((entry["collection"], entry["key"])):
            if entry["kind"] != "purged":
                raise Violation("I16", f"{replica.label} lost what was counted: {entry}")
            for number in crdt.value(entry["body"]["in"]["all"]) if entry["body"] else ():
                self.model.may_lose |= 1 << number
        if entry["body"] is None:
            self.model.ledger_deletes |= own
        self.model.ledger_tokens |= tokens(entry["body"])

    def _check_document(
        self,
        replica: Replica,
        name: Name,
        before: str | None,
        request: SyncRequest | None,
        response: SyncResponse | None,
        is_new_epoch: bool,
    ) -> None:
        know = replica.knowledge
        text = replica.storage.text("docs", name)
        if text is None and self.has_parts:
            for change in loads(before or "{}").get("p", ()):
                if know.is_resync and change["k"] == "delete":  # nobody has the document any more
                    self.model.ledger_deletes |= know.operations[change["i"]].own
            self._went(replica, name)
            return
        old, new = loads(before or "{}"), loads(text or "{}")
        confirmed, pending = new.get("c"), new.get("p", [])
        behind = self._of_server(name, text)
        if confirmed is not None:
            self._check_confirmed(replica, name, confirmed, old.get("c"), is_new_epoch)
            know.know |= self.model.shown_at.get((name, confirmed["v"].get("server", 0)), 0)
        seen_before = know.behind.get(name, 0)
        for change in pending:
            operation = know.operations.get(change["i"])
            if operation is None:
                operation = self._replacement(know, name, change, old.get("p", []), behind, seen_before)
                know.operations[change["i"]] = operation
            behind |= operation.behind
        if response is not None and not replica.is_merging and not replica.strategy:
            self._check_winner(replica, name, before, new, response)
        missing = seen_before & ~behind
        body = shown(text) if missing else None
        for written in self.model.members(missing):
            problem = self.model.unaccounted(written, body, behind)
            if problem:
                raise Violation("I6", f"{replica.label} no longer shows it: {problem}")
        know.behind[name] = behind

    def let_go(self, replica: Replica) -> None:
        """Note which documents a replica has dropped in a commit, as it need not have them."""
        before = originals(replica.storage)
        for space, key in before:
            if space == "ledger":
                entry = loads(replica.storage.text("ledger", key) or "")
                self.noted(replica, entry, self.own(replica, entry["op_id"]))
            elif space == "docs" and replica.storage.text("docs", key) is None:
                self._went(replica, (key[0], key[1]))

    def _went(self, replica: Replica, name: Name) -> None:
        """Let a replica have seen nothing of others in a document that it let go: that is made anew here."""
        know = replica.knowledge
        know.know &= ~know.behind.pop(name, 0) | know.own
        know.has_let_go = True

    def never_heard(self, replica: Replica) -> None:
        """Note that a replica came back so late that what the server told it of its last push is forgotten."""
        client_id = loads(replica.storage.text("meta", ("counters",)) or "{}")["replica"]
        unheard = {number for number, told in self.model.told.items() if told == client_id}
        self.model.unheard |= unheard - self.model.ledger_tokens

    def _note_held(self, replica: Replica) -> None:
        """Note which writes wait for a decision: others may see what came after them before they see them."""
        rows = {key: loads(text) for key, text in replica.storage.rows("docs")}
        numbers = {change["n"] for record in rows.values() if "w" in record for change in record["p"]}
        size = -1
        while len(numbers) != size:
            size = len(numbers)
            for record in rows.values():
                pending = record.get("p", ())
                units = {
                    c["x"] for other in rows.values() for c in other.get("p", ()) if c["n"] in numbers and "x" in c
                }
                first = next((i for i, c in enumerate(pending) if c["n"] in numbers or c.get("x") in units), None)
                numbers |= {c["n"] for c in pending[first:]} if first is not None else set()
        for record in rows.values():
            for change in record.get("p", ()):
                operation = replica.knowledge.operations.get(change["i"])
                if change["n"] in numbers and operation is not None:
                    self.model.held |= operation.own

    def _renamed(self, replica: Replica, entry: Any, before: dict[tuple[str, Key], str | None]) -> int:
        """Give the writes of a change that got another id, as a copy had used it, and lost in one transaction."""
        text = before.get(("docs", (entry["collection"], entry["key"])))
        for change in loads(text).get("p", ()) if text else ():
            if latest(change) == entry["timestamp"]:
                return replica.knowledge.operations[change["i"]].own
        return 0

    def own(self, replica: Replica, op_id: str) -> int:
        """Give the writes that a change here, or one that the server took, was made of."""
        found = (replica.knowledge.operations.get(op_id), self.model.accepted.get(op_id))
        mine, theirs = (operation.own if operation else 0 for operation in found)
        return mine | theirs

    def _replacement(
        self, know: Knowledge, name: Name, change: Any, gone: list[Any], behind: int, seen: int
    ) -> Operation:
        """Describe a change that a replica made itself, in the place of a pending one or of all of them."""
        for old in gone:
            if old["n"] == change["n"]:
                if old["i"] in self.regrown:
                    self.regrown.add(change["i"])
                before = know.operations[old["i"]]
                return Operation(name, before.own, before.behind | behind, before.unit)
        behind |= seen
        olds = [know.operations[change["i"]] for change in gone]
        own = 0
        for old in olds:
            own |= old.own
        return Operation(name, own, behind, None)

    def _check_confirmed(
        self, replica: Replica, name: Name, confirmed: Any, before: Any, is_new_epoch: bool
    ) -> None:
        sequence = confirmed["v"].get("server", 0)
        known = self.model.states.get((name, sequence))
        if known is not None and not self._is_same(known, normal_confirmed(confirmed)):
            raise Violation(
                "I3",
                f"{replica.label} has {name} at {sequence} as {normal_confirmed(confirmed)}, the server {known}",
            )
        if known is None and sequence:
            raise Violation("I3", f"{replica.label} has {name} at {sequence}, which the server never had")
        last = before["v"].get("server", 0) if before else 0
        if sequence < last and not is_new_epoch and not replica.knowledge.is_resync:
            raise Violation("I6", f"{replica.label} went back in {name} from {last} to {sequence}")

    def _is_same(self, one: Any, other: Any) -> bool:
        """Tell whether two documents are the same; their times may tell of deletes that the server has forgotten."""
        if self.is_forgetful and one and other:
            return dumps(one[0]) == dumps(other[0])
        return dumps(one) == dumps(other)

    def _check_winner(
        self, replica: Replica, name: Name, before: str | None, new: Any, response: SyncResponse
    ) -> None:
        """Check that of two versions that had not seen each other the later one stands, in the total order."""
        old = loads(before or "{}")
        waiting, remote = old.get("p"), new.get("c")
        if not waiting or remote is None or remote == old.get("c") or any("o" in c or "z" in c for c in waiting):
            return  # CRDT values are never in conflict, nor is what came from device to device
        counters = loads(replica.storage.text("meta", ("counters",)) or "{}")
        if remote["v"].get(counters["replica"], 0) >= waiting[0]["n"]:
            return  # some device brought it there
        mine, theirs = waiting[-1], (latest(remote), remote["o"])
        decided = {result.op_id for result in response.results if result.status != "conflict"}
        if any(change["i"] in self.applied or change["i"] in decided for change in waiting):
            return
        if remote["b"] == shown(before):
            return
        is_local = bool(new.get("p"))
        if is_local != ((latest(mine), mine["i"]) > theirs):
            raise Violation(
                "I3",
                f"{replica.label} decided {name} for the {'local' if is_local else 'remote'} one of"
                f" {latest(mine), mine['i']} and {theirs}",
            )

    def check_entry(self, replica: Replica, entry: Any) -> None:
        """Check that a loser did lose: somebody who had not seen it wrote over it."""
        if entry["kind"] != "lost" or entry["op_id"] in self.regrown or replica.knowledge.has_let_go:
            return
        name = (entry["collection"], entry["key"])
        behind = replica.knowledge.behind.get(name, 0) | self.model.server.get(name, 0)
        numbers = {number // 8 for number in tokens(entry["body"])}
        own = self.own(replica, entry["op_id"])
        if not own and self.copies:
            return  # it got another id and lost in one transaction
        if entry["op_id"] in self.brought:
            found = replica.knowledge.operations.get(entry["op_id"]) or self.model.accepted.get(entry["op_id"])
            own |= found.behind if found else 0  # the document had what was made here, too
        numbers |= {written.id for written in self.model.members(own)}
        for number in sorted(numbers):
            if any(self.model.rivals(self.model.writes[number], behind)):
                return
        raise Violation("I14", f"{replica.label} says that {entry} was lost, but all that came later had seen it")

    def _check_cursor(
        self, replica: Replica, request: SyncRequest, response: SyncResponse, is_new_epoch: bool
    ) -> None:
        know = replica.knowledge
        stored = loads(replica.storage.text("meta", ("sync",)) or '{"cursor":0,"is_resync":false}')
        cursor, last = stored["cursor"], know.cursor
        know.cursor, know.is_resync = cursor, stored["is_resync"]
        if is_new_epoch:
            return
        if cursor < last:
            raise Violation("I9", f"{replica.label}'s cursor went back from {last} to {cursor}")
        for sequence in range(last + 1, cursor + 1):
            name = self.model.log[sequence] if sequence < len(self.model.log) else ("", "")
            if name[0] and self.model.sequences.get(name) == sequence and self._is_due(replica, name, request):
                self._check_has(replica, name, sequence)
        is_complete = response.since == request.since == last and not response.has_more and not know.is_resync
        if is_complete:
            self._check_causes(replica)

    def _is_due(self, replica: Replica, name: Name, request: SyncRequest) -> bool:
        """Tell whether a replica must have a document when its cursor has passed it."""
        if not self.has_parts:
            return wants(replica, name)
        if (not request.since and request.subscriptions) or is_evicted(replica, name):
            return False  # snapshots bring it
        body: Body | None = self.model.states[name, self.model.sequences[name]][0]
        return replica.knowledge.asks.lets(name, body)

    def _check_has(self, replica: Replica, name: Name, sequence: int) -> None:
        text = replica.storage.text("docs", name)
        has = (loads(text).get("c") or {"v": {}})["v"].get("server", 0) if text else 0
        if has < sequence:
            raise Violation(
                "I9", f"{replica.label}'s cursor is past {sequence}, but it has {name} at {has} only: {text}"
            )

    def _check_causes(self, replica: Replica) -> None:
        """Check that everything which a replica knows comes with all that its writers had seen."""
        know = replica.knowledge
        if self.has_parts:
            return  # what came before may be among what is not wanted, or was not at that time
        missing = 0
        for written in self.model.members(know.know & ~know.closed & ~self.model.may_lose):
            missing |= written.past
        know.closed = know.know
        for written in self.model.members(missing & ~know.know & ~self.model.excused):
            name = written.name
            text = replica.storage.text("docs", name)
            is_there = self._of_server(name, text) >> written.id & 1
            if is_there or not wants(replica, name):
                continue
            problem = self.model.unaccounted(written, taken_in(text), 0)
            if problem:
                raise Violation("I4", f"{replica.label} shows effects of what it lacks: {problem}")

    def served(self, server: SimulatedStorage, request: SyncRequest) -> None:
        """Check what a push that was committed changed on the server."""
        self.pushes += 1
        record = loads(server.text("replicas", (request.client_id,)) or "{}")
        by_op = {result["op_id"]: self._status(result) for result in record["results"]}
        there = {result["op_id"] for result in record["results"] if SERVER in result["version_vector"]}
        touched = []
        for change in request.changes:
            status = by_op.get(str(change.op_id), "")
            if status:
                self._check_status(request, change, status)
            if status == "applied" and change.op_id not in there:  # a delete of what nobody has any more
                self.model.ledger_deletes |= self.model.sent[str(request.request_id), str(change.op_id)].own
            if status in ("applied", "merged", "duplicate"):
                name = (change.collection, change.key)
                operation = self.model.sent[str(request.request_id), str(change.op_id)]
                if status != "duplicate":
                    self.model.accepted[str(change.op_id)] = operation
                    self.model.taken |= operation.own
                self.model.server[name] = self.model.server.get(name, 0) | operation.behind
                touched.append(name)
        for result in record["results"]:
            for part in (result.get("lost"), result.get("overwritten")):
                for number in sorted(tokens(part["document"])) if part else ():
                    self.model.told[number] = request.client_id
        if request.request_id is not None:
            self.requests[request.request_id] = record["results"]
        for space, key in originals(server):
            if space == "docs":
                self._check_served(server, (key[0], key[1]))
        for name in touched:
            self.model.server_at[(name, self.model.sequences.get(name, 0))] = self.model.server[name]

    def tended(self, server: SimulatedStorage, now_ms: int) -> None:
        """Check what a server deleted because it had expired, and what it has forgotten."""
        rows = {(key[0], key[1]): loads(text) for key, text in server.rows("docs")}
        due = self._due(rows)
        known = sorted(self.model.sequences, key=self.model.sequences.__getitem__)
        for name in [name for name in known if name not in rows]:
            sequence = self.model.sequences.pop(name)
            if self.model.states[name, sequence][0] is not None:
                raise Violation("I23", f"the server has forgotten {name}, which nobody has deleted")
            for written in self.model.members(self.model.server.get(name, 0)):
                self.model.forgotten |= (written.kind == "delete") << written.id
        changed = {name: rows[name]["version_vector"]["server"] for name in known if name in rows}
        changed = {name: n for name, n in changed.items() if n != self.model.sequences[name]}
        for name in sorted(changed, key=changed.__getitem__):
            self._check_expired(server, name, rows[name], due, now_ms)

    def _due(self, rows: dict[Name, Any]) -> dict[str, float]:
        """Give for each collection when a document whose number is 0 expires, in milliseconds."""
        settings = {name[1]: stored.get("document") for name, stored in rows.items() if name[0] == SETTINGS}
        found = {key: body.get("expires") for key, body in settings.items() if body}
        return {key: value[1] * 1000 for key, value in found.items() if type(value) is list and len(value) == 2}

    def _check_expired(
        self, server: SimulatedStorage, name: Name, stored: Any, due: dict[str, float], now_ms: int
    ) -> None:
        before = self.model.states[name, self.model.sequences[name]][0]
        if stored["operation"] != "delete" or not has_expired(name, before, due, now_ms):
            raise Violation("I23", f"the server made {stored} of {name}, which was {before} and due by {due}")
        behind = self.model.server[name]
        written = self.model.add(name, "delete", before, None, behind)
        bit = 1 << written.id
        self.of_collection[name[0]] = self.of_collection.get(name[0], 0) | bit
        self.model.server[name] = behind | bit
        self.model.taken |= bit
        self.model.accepted[stored["op_id"]] = Operation(name, bit, behind | bit)
        self._check_served(server, name)

    def repeated(self, request: SyncRequest, answer: str) -> None:
        """Check a push that was answered without a commit: it was decided before, and the verdicts are the same."""
        first = self.requests.get(str(request.request_id))
        if first != loads(answer)["results"]:
            raise Violation("I10", f"{request.request_id} was answered {first}, and now {answer}")

    def _status(self, result: Any) -> str:
        """Give a verdict; a copied storage may let a change grow that the original has sent: it gets another id."""
        is_reused = result["status"] == "rejected" and result["error"]["code"] == "op_id_reused"
        if not is_reused or not self.copies:
            return str(result["status"])
        self.regrown.add(result["op_id"])
        return ""

    def _check_status(self, request: SyncRequest, change: Any, status: str) -> None:
        op_id = change.op_id
        if op_id in self.applied and status != "duplicate" and not self.is_forgetful:
            raise Violation("I2", f"{op_id} was applied before, and now is {status}")
        if status == "duplicate" and op_id not in self.applied:
            raise Violation("I1", f"{op_id} was never applied, but is called a duplicate")
        if status == "rejected":
            self.model.refused |= self.model.sent[str(request.request_id), op_id].own
        if status not in ("applied", "merged"):
            return
        self.applied[op_id] = self.pushes
        dot = (request.client_id, change.n)
        if self.dots.setdefault(dot, op_id) != op_id and not self.is_forgetful:
            raise Violation("I8", f"{dot} names {self.dots[dot]} and {op_id}")
        unit = self.model.sent[str(request.request_id), op_id].unit
        if (
            unit is not None
            and not self.is_forgetful
            and self.units.setdefault((unit, request.client_id), self.pushes) != self.pushes
        ):
            raise Violation("I7", f"{op_id} came later than the rest of its transaction")

    def _check_served(self, server: SimulatedStorage, name: Name) -> None:
        stored = loads(server.text("docs", name) or "{}")
        sequence, op_id = stored["version_vector"]["server"], stored["op_id"]
        if sequence <= self.model.sequences.get(name, 0):
            raise Violation("I9", f"the server numbered {name} {sequence} after {self.model.sequences[name]}")
        if (name, op_id) in self.last_operation and not self.is_forgetful:
            raise Violation("I2", f"{op_id} changed {name} at {self.last_operation[name, op_id]} and {sequence}")
        self.last_operation[name, op_id] = sequence
        log = self.model.log
        log.extend(("", "") for _ in range(sequence + 1 - len(log)))
        log[sequence] = name
        self.model.sequences[name] = sequence
        self.model.states[name, sequence] = normal_served(stored)
        self.model.server_at[name, sequence] = self.model.server.get(name, 0)
        self.model.shown_at[name, sequence] = self.model.server.get(name, 0)

    def sending(self, replica: Replica, request: SyncRequest) -> None:
        """Note what the changes of a request contain."""
        if replica.strategy:
            self._note_held(replica)
        for change in request.changes:
            operation = replica.knowledge.operations[str(change.op_id)]
            self.model.sent[str(request.request_id), str(change.op_id)] = operation

    def destroyed(self, replica: Replica, others: Sequence[tuple[SimulatedStorage, Knowledge]]) -> None:
        """Note which writes may go with a storage: those that lie unpushed in it alone."""
        self.model.gone.add(loads(replica.storage.text("meta", ("counters",)) or "{}")["replica"])
        elsewhere = 0
        for storage, know in others:
            elsewhere |= waiting(storage, know)
        self.model.may_lose |= waiting(replica.storage, replica.knowledge) & ~elsewhere

    def restored(self, replica: Replica) -> None:
        """Note that what lies in a storage that came back is there again."""
        self.model.may_lose &= ~waiting(replica.storage, replica.knowledge)

    def agree(self, replicas: Sequence[Replica], server: SimulatedStorage) -> None:
        """Check after the healing that everything was sent, that all hold the same, and that nothing is lost."""
        self._check_feed(server)
        self._check_tallies(server)
        for replica in replicas:
            self._check_agrees(replica, server)
        for name, numbers in self.model.of_document.items():
            stored = loads(server.text("docs", name) or "{}")
            behind = self.model.server.get(name, 0)
            for number in numbers:
                if self.model.may_lose >> number & 1 and not behind >> number & 1:
                    continue
                problem = self.model.unaccounted(self.model.writes[number], stored.get("document"), behind)
                if problem:
                    raise Violation("I1", f"on the server: {problem}")

    def _check_tallies(self, server: SimulatedStorage) -> None:
        """Check that a counter has counted every mark in the set beside it, and that no mark is missing."""
        for name, numbers in self.model.of_document.items():
            if not is_tally(name):
                continue
            text = server.text("docs", name)
            body = loads(text)["document"] if text else {}
            marks = crdt.value(body["in"]["all"]) if body else []
            missing = [n for n in numbers if n not in marks and not self.model.may_lose >> n & 1]
            count = crdt.value(body["n"]) if body else 0
            if count != len(marks) or missing or not set(marks) <= set(numbers):
                raise Violation("I16", f"{name} counts {count}, has the marks {marks}, lacks {missing}")

    def _check_feed(self, server: SimulatedStorage) -> None:
        fed = {(name[0], name[1]): key[0] for key, text in server.rows("feed") for name in [loads(text)]}
        if fed != self.model.sequences:
            raise Violation("I9", f"the feed is {fed}, the documents' last sequences {self.model.sequences}")

    def _check_agrees(self, replica: Replica, server: SimulatedStorage) -> None:
        rows = {key: loads(text) for key, text in replica.storage.rows("docs")}
        waiting = sorted(key for key, record in rows.items() if record.get("p"))
        if waiting or replica.storage.rows("outbox"):
            outbox = replica.storage.rows("outbox")
            raise Violation("I12", f"{replica.label} still has to send {waiting} (outbox {outbox})")
        counters = loads(replica.storage.text("meta", ("counters",)) or "{}")
        if counters["pending"] or counters["pending_bytes"]:
            raise Violation("I12", f"{replica.label} counts changes to be sent: {counters}")
        if self.has_parts:
            self._check_shows(replica, rows, server)
        for name, sequence in () if self.has_parts else self.model.sequences.items():
            if wants(replica, name):
                confirmed = rows.get(name, {}).get("c")
                mine = dumps(normal_confirmed(confirmed)) if confirmed else ""
                stored = server.text("docs", name)
                theirs = dumps(normal_served(loads(stored))) if stored else "gone"
                if mine != theirs:
                    raise Violation(
                        "I3", f"{replica.label} has {name} as {mine}, the server at {sequence} {theirs}"
                    )
        self._check_totals(replica, rows)

    def _check_shows(self, replica: Replica, rows: dict[Key, Any], server: SimulatedStorage) -> None:
        """Check that a replica shows what it has asked for as the server has it, but for what it has evicted."""
        asks = replica.knowledge.asks
        expected = {}
        for key, text in server.rows("docs"):
            name, stored = (key[0], key[1]), loads(text)
            if asks.lets(name, stored.get("document")) and not is_evicted(replica, name):
                expected[name] = normal_served(stored)
        mine = {key: normal_confirmed(row["c"]) for key, row in rows.items() if row["c"]["b"] is not None}
        for name in sorted(mine.keys() | expected.keys()):
            is_alike = (name in mine) == (name in expected)
            if not is_alike or not self._is_same(mine[name], expected[name]):
                raise Violation(
                    "I21", f"{replica.label} shows {name} as {mine.get(name)}, not {expected.get(name)}, by {asks}"
                )

    def gone(self, server: SimulatedStorage, now_ms: int) -> None:
        """Check that a server that has just tended to its data has nothing that has expired."""
        rows = {(key[0], key[1]): loads(text) for key, text in server.rows("docs")}
        due = self._due(rows)
        for name, stored in rows.items():
            if has_expired(name, stored.get("document"), due, now_ms):
                raise Violation("I23", f"{name} has expired, and is {stored} by {due}")

    def _check_totals(self, replica: Replica, rows: dict[Key, Any]) -> None:
        counts: dict[str, int] = {}
        for key, record in rows.items():
            if record["c"]["b"] is not None:
                counts[key[0]] = counts.get(key[0], 0) + 1
        stored = {key[0]: loads(text)["count"] for key, text in replica.storage.rows("collections")}
        for collection in sorted(counts.keys() | stored.keys()):
            if counts.get(collection, 0) != stored.get(collection, 0):
                raise Violation("I3", f"{replica.label} counts {stored}, there are {counts}")

    def _of_server(self, name: Name, text: str | None) -> int:
        """Give what lies behind the confirmed version of a stored record."""
        confirmed = loads(text).get("c") if text else None
        sequence = confirmed["v"].get("server", 0) if confirmed else 0
        return self.model.server_at.get((name, sequence), 0)


def is_tally(name: Name) -> bool:
    """Tell whether a document has CRDT values, and nothing else."""
    return name[1].startswith("t") and name[0] != SETTINGS


def shown(text: str | None) -> Body | None:
    """Give the body that a reader of a stored record sees."""
    state = decode_record(text).state
    return state.body if state else None


def taken_in(text: str | None) -> Body | None:
    """Give what a reader sees, or what came from the server where that is in a conflict which waits."""
    record = loads(text) if text else {}
    body: Body | None = record["c"]["b"] if "w" in record else shown(text)
    return body


def originals(storage: SimulatedStorage) -> dict[tuple[str, Key], str | None]:
    """Give what the last commit replaced, by place, in the order of the writing."""
    result: dict[tuple[str, Key], str | None] = {}
    for space, key, text in storage.changes:
        result.setdefault((space, key), text)
    return result


def waiting(storage: SimulatedStorage, know: Knowledge) -> int:
    """Give the writes that wait in a storage to be sent."""
    bits = 0
    for _, text in storage.rows("docs"):
        for change in loads(text).get("p", ()):
            bits |= know.operations[change["i"]].own
    return bits


def wants(replica: Replica, name: Name) -> bool:
    """Tell whether a replica syncs all of a document's collection."""
    is_synced = replica.wanted is None or name[0] in replica.wanted
    return is_synced and replica.knowledge.asks.is_whole(name[0])


def is_evicted(replica: Replica, name: Name) -> bool:
    """Tell whether a replica knows a document, and has no copy of it."""
    return replica.storage.text(STUBS, name) is not None


def has_expired(name: Name, body: Body | None, due: dict[str, float], now_ms: int) -> bool:
    """Tell whether the moment of a document has come; only a number in its field ``a`` is one."""
    number = body.get("a") if body and name[0] in due else None
    return type(number) is int and number * (MS_OF_A_WRITE // 8) + due[name[0]] <= now_ms


def latest(stored: Any) -> str:
    """Give the latest timestamp of a stored state."""
    at: str = max(stored["d"], *stored.get("s", {}).values(), "")
    return at


def normal_confirmed(stored: Any) -> Any:
    """Give a replica's confirmed document in the form in which documents are compared."""
    return [stored["b"], stored["d"], stored.get("s", {}), stored["v"], stored["o"]]


def normal_served(stored: Any) -> Any:
    """Give a server's document in the form in which documents are compared."""
    body = None if stored["operation"] == "delete" else stored["document"]
    since = stored.get("since", stored["timestamp"])
    return [body, since, stored.get("stamps", {}), stored["version_vector"], stored["op_id"]]
