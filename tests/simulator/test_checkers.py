"""Do the checkers see what is wrong, and only that? Each test shows them a small history that was made by hand."""

from __future__ import annotations

import pytest

from pysync_web.core.wire import decode_request, decode_response, encode_request
from pysync_web.values import dumps, loads
from tests.simulator.checkers import Checkers, Plan, Violation
from tests.simulator.lab import Device, Lab
from tests.simulator.model import Knowledge, Model, flat, token
from tests.simulator.storage import Crash, SimulatedStorage, run

NAME = ("notes", "k")


class Watched:
    """A device with its checkers, which are told of everything that it does."""

    def __init__(self, lab: Lab, checkers: Checkers, label: str, *, merging: bool = False) -> None:
        self.lab, self.checkers, self.label = lab, checkers, label
        self.device: Device = lab.replica(label, merging=merging)
        self.knowledge = Knowledge()
        self.wanted = None
        self.is_merging = merging
        self.strategy = ""

    @property
    def storage(self) -> SimulatedStorage:
        """Its storage, as the checkers read it."""
        return self.device.storage

    def save(self, body: dict | None, key: str = "k") -> None:
        """Save or delete a document, and say so."""
        before = self.device.see(key)
        self.device.write((key, body), replace=True)
        self.checkers.wrote(self, [Plan(("notes", key), before, body)])

    def push(self):
        """Send what waits; give the request and the answer."""
        request = self.device.request()
        self.checkers.sending(self, request)
        commits = self.lab.server.commits
        answer = self.lab.serve(encode_request(request))
        if self.lab.server.commits != commits:
            self.checkers.served(self.lab.server, decode_request(encode_request(request)))
        return request, answer

    def take(self, request, answer) -> None:
        """Take an answer in, and say so."""
        commits = self.storage.commits
        self.device.take(request, answer)
        if self.storage.commits != commits:
            self.checkers.took(self, request, decode_response(answer), is_new_epoch=False)

    def sync(self) -> None:
        """Exchange until nothing waits."""
        for _ in range(5):
            self.take(*self.push())
            if not self.device.pending():
                return


@pytest.fixture
def world():
    lab, checkers = Lab(), Checkers()
    one, two = Watched(lab, checkers, "one"), Watched(lab, checkers, "two")
    checkers.replicas = [one, two]
    return lab, checkers, one, two


def test_a_history_without_faults_is_no_violation(world):
    lab, checkers, one, two = world
    one.save({"a": 0})
    one.sync()
    two.sync()
    two.save({"a": 8})
    two.sync()
    one.sync()
    checkers.agree([one, two], lab.server)


def test_a_document_that_vanishes_from_the_server_is_seen(world):
    lab, checkers, one, _two = world
    one.save({"a": 0})
    one.sync()
    lab.server._spaces["docs"][0].clear()
    with pytest.raises(Violation, match=r"I3|I1|I9"):
        checkers.agree([one], lab.server)


def test_a_value_that_is_lost_without_a_trace_is_seen(world):
    lab, checkers, one, _two = world
    one.save({"a": 0, "b": 1})
    one.sync()
    stored = loads(lab.server.text("docs", NAME))
    del stored["document"]["b"]
    run(lab.server.write(lambda tx: put(tx, "docs", NAME, dumps(stored))))
    with pytest.raises(Violation, match="I1"):
        checkers.agree([], lab.server)


def test_a_change_that_is_still_to_be_sent_is_seen_at_the_end(world):
    lab, checkers, one, _two = world
    one.save({"a": 0})
    with pytest.raises(Violation, match="I12"):
        checkers.agree([one], lab.server)


def test_a_write_that_is_not_read_back_is_seen(world):
    _lab, checkers, one, _two = world
    one.device.write(("k", {"a": 0}))
    with pytest.raises(Violation, match="I5"):
        checkers.wrote(one, [Plan(NAME, None, {"a": 1})])


def test_a_replica_with_another_state_at_the_same_sequence_is_seen(world):
    _lab, checkers, one, two = world
    one.save({"a": 0})
    one.sync()
    checkers.model.states[NAME, 1][0]["a"] = 5
    with pytest.raises(Violation, match="I3"):
        two.sync()


def test_a_cursor_that_moves_past_a_document_is_seen(world):
    _lab, _checkers, one, two = world
    one.save({"a": 0})
    one.sync()
    request, answer = two.push()
    message = loads(answer)
    message["server_changes"] = []
    del message["digest"]
    with pytest.raises(Violation, match="I9"):
        two.take(request, dumps(message))


def test_one_number_for_two_changes_is_seen(world):
    _lab, checkers, one, _two = world
    one.save({"a": 0})
    checkers.dots[(one.device.id, 1)] = "another change"
    with pytest.raises(Violation, match="I8"):
        one.push()


def test_a_change_that_is_applied_twice_is_seen(world):
    lab, checkers, one, _two = world
    one.save({"a": 0})
    request, _ = one.push()
    with pytest.raises(Violation, match="I2"):
        checkers.served(lab.server, request)


def test_a_repeated_request_with_other_verdicts_is_seen(world):
    _lab, checkers, one, _two = world
    one.save({"a": 0})
    request, answer = one.push()
    checkers.repeated(request, answer)
    with pytest.raises(Violation, match="I10"):
        checkers.repeated(request, dumps({"results": []}))


def test_what_was_undone_before_it_was_sent_may_be_gone(world):
    lab, checkers, one, _two = world
    one.save({"a": 0})
    one.save(None)
    one.sync()
    checkers.agree([one], lab.server)


def test_only_what_lies_nowhere_else_may_go_with_a_storage(world):
    _lab, checkers, one, _two = world
    one.save({"a": 0})
    one.sync()
    one.save({"a": 8})
    checkers.destroyed(one, [(SimulatedStorage(), Knowledge())])
    assert [written.id for written in checkers.model.members(checkers.model.may_lose)] == [1]
    checkers.restored(one)
    assert checkers.model.may_lose == 0


def test_a_value_that_was_overwritten_knowingly_is_accounted_for():
    model = Model()
    first = model.add(NAME, "insert", None, {"a": 0}, past=0)
    assert model.unaccounted(first, {"a": 8}, 0b11)
    model.add(NAME, "update", {"a": 0}, {"a": 8}, past=0b1)
    assert not model.unaccounted(first, {"a": 8}, 0b11)


def test_a_value_that_was_overwritten_by_what_may_be_lost_is_not_accounted_for():
    model = Model()
    first = model.add(NAME, "insert", None, {"a": 0}, past=0)
    model.add(NAME, "update", {"a": 0}, {"a": 8}, past=0b1)
    model.may_lose = 0b10
    assert model.unaccounted(first, {"a": 9}, 0b1)
    assert not model.unaccounted(first, {"a": 8}, 0b11)


def test_a_concurrent_loser_has_to_be_in_the_ledger():
    model = Model()
    first = model.add(NAME, "insert", None, {"a": 0}, past=0)
    model.add(NAME, "insert", None, {"a": 8}, past=0)
    assert [rival.id for rival in model.rivals(first, 0b11)] == [1]
    assert model.unaccounted(first, {"a": 8}, 0b11)
    model.ledger_tokens.add(0)
    assert not model.unaccounted(first, {"a": 8}, 0b11)


def test_a_delete_is_settled_by_another_delete_that_was_overwritten():
    model = Model()
    model.add(NAME, "insert", None, {"a": 0}, past=0)
    mine = model.add(NAME, "delete", {"a": 0}, None, past=0b1)
    model.taken = 0b1
    assert model.unaccounted(mine, {"a": 24}, 0b1111)
    model.add(NAME, "delete", {"a": 0}, None, past=0b1)
    model.add(NAME, "insert", None, {"a": 24}, past=0b101)
    assert not model.unaccounted(mine, {"a": 24}, 0b1111)


def test_a_delete_of_what_only_its_writer_ever_had_is_accounted_for():
    model = Model()
    model.add(NAME, "insert", None, {"a": 0}, past=0)
    model.add(NAME, "delete", {"a": 0}, None, past=0b1)
    model.add(NAME, "insert", None, {"a": 16}, past=0b11)
    model.add(NAME, "update", {"a": 16}, {"a": 24}, past=0b111)
    mine = model.add(NAME, "delete", {"a": 24}, None, past=0b1111)
    model.taken = 0b11111
    assert model.unaccounted(mine, {"a": 40}, 0b111111)
    model.taken = 0b11011
    assert not model.unaccounted(mine, {"a": 40}, 0b111111)


def test_a_delete_of_what_another_delete_had_not_seen_is_not_accounted_for():
    model = Model()
    model.add(NAME, "insert", None, {"a": 0}, past=0)
    model.add(NAME, "delete", {"a": 0}, None, past=0b1)
    model.add(NAME, "update", {"a": 0}, {"a": 16}, past=0b1)
    mine = model.add(NAME, "delete", {"a": 16}, None, past=0b111)
    model.add(NAME, "insert", None, {"a": 32}, past=0b11)
    model.taken = 0b11111
    assert model.unaccounted(mine, {"a": 32}, 0b11111)


def test_values_tell_which_write_made_them():
    assert flat({"a": 1, "o": {"x": [2], "e": {}}}) == {("a",): 1, ("o", "x"): [2], ("o", "e"): {}}
    assert [token(value) for value in (8, "t9", [10], {}, [])] == [8, 9, 10, None, None]


def test_a_storage_that_crashes_before_a_commit_has_nothing_of_it_and_after_it_all():
    storage = SimulatedStorage()
    for fate, left in (("before", None), ("after", "1")):
        storage.on_commit = lambda fate=fate: fate
        with pytest.raises(Crash):
            run(storage.write(lambda tx: put(tx, "docs", NAME, "1")))
        assert storage.text("docs", NAME) == left


async def put(tx, space, key, text):
    """Write one text."""
    tx.put(space, key, text)
