"""What a server forgets, and what becomes of replicas that come back later: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from pysync_web.core.exchange import load_sync
from pysync_web.core.retention import STEP
from pysync_web.core.scope import Wish
from pysync_web.core.wire import encode_request
from pysync_web.errors import Rejected
from pysync_web.values import loads
from tests.simulator.lab import Device, Lab, texts
from tests.simulator.storage import run

BOTH = pytest.mark.parametrize("merging", [False, True])


def forgotten(lab: Lab) -> int:
    """Let 100 days pass, and the server forget what is over 90 days old; give how many deletes that were."""
    lab.pass_days(100)
    return lab.tend().forgotten


def count(lab: Lab, space: str) -> int:
    """Count what the server has in a space."""
    return len(lab.server.rows(space))


async def choose_cursor(tx: Any, cursor: int) -> None:
    """Let a replica stand somewhere else, as one whose storage could not keep the last page."""
    sync = await load_sync(tx)
    sync.cursor = cursor
    tx.put("meta", ("sync",), sync.text())


def agree(lab: Lab, *devices: Device) -> dict[str, Any]:
    """Sync all; give the notes that everybody has. Of each collection they are what the server has."""
    lab.settle(*devices)
    documents = {(str(key[0]), str(key[1])): loads(text).get("document") for key, text in lab.server.rows("docs")}
    seen = {name: body for name, body in documents.items() if body is not None}
    for device in devices:
        names = [(str(key[0]), str(key[1])) for key, _ in device.storage.rows("docs")]
        shown = {(col, key): body for col, key in names if (body := device.see(key, col)) is not None}
        assert shown == seen
        assert sum(loads(text)["count"] for text in texts(device.storage, "collections")) == len(seen)
    return {key: body for (collection, key), body in seen.items() if collection == "notes"}


def test_old_deletes_go_with_all_that_is_known_of_them():
    lab = Lab()
    a, b = lab.replicas("a b")
    for i in range(3):
        a.save(f"k{i}", {"n": i})
    lab.settle(a, b)
    a.delete("k0")
    a.sync()
    lab.pass_days(50)
    a.delete("k1")
    a.sync()
    lab.pass_days(50)
    assert lab.tend()[:3] == (0, 1, False)
    assert lab.document("k0") is None and lab.document("k1")["operation"] == "delete"
    assert [loads(text)[:2] for text in texts(lab.server, "feed")] == [["notes", "k2"], ["notes", "k1"]]
    assert [loads(text) for text in texts(lab.server, "graves")] == [["notes", "k1"]]
    assert count(lab, "ops") == 1 and count(lab, "journal") == 1
    assert lab.tend()[:3] == (0, 0, False)
    assert agree(lab, a, lab.replica("c")) == {"k2": {"n": 2}}


def test_nothing_to_forget_writes_nothing():
    lab = Lab()
    a = lab.replica()
    a.save("k", {"n": 1})
    a.delete("k")
    a.sync()
    commits = lab.server.commits
    assert lab.tend()[:3] == (0, 0, False)
    assert lab.server.commits == commits


def test_who_has_seen_the_delete_need_not_pull_again():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"n": 1})
    lab.settle(a, b)
    a.delete("k")
    lab.settle(a, b)
    assert forgotten(lab) == 1
    cursor = b.cursor
    outcomes = b.sync()
    assert b.cursor == cursor > 0 and not any(one.has_diverged for one in outcomes)


def test_who_has_not_seen_the_delete_is_told_to_pull_again_and_drops_the_document():
    lab = Lab()
    a, b = lab.replicas("a b")
    for key in ("gone", "stays"):
        a.save(key, {"n": 1})
    lab.settle(a, b)
    a.delete("gone")
    a.sync()
    assert forgotten(lab) == 1
    with pytest.raises(Rejected, match="pulls everything") as refused:
        b.exchange()
    assert (refused.value.status, refused.value.code) == (410, "resync")
    b.sync()
    assert b.see("gone") is None and b.see("stays") == {"n": 1}
    assert b.ledger() == []
    assert agree(lab, a, b) == {"stays": {"n": 1}}


@BOTH
def test_an_edit_of_a_document_whose_delete_was_forgotten_goes_to_the_ledger(merging: bool):
    lab = Lab()
    a, b = lab.replicas("a b", merging=merging)
    a.save("k", {"n": 1})
    lab.settle(a, b)
    a.delete("k")
    a.sync()
    b.save("k", {"mine": 2})
    b.save("new", {"n": 3})
    assert forgotten(lab) == 1
    b.sync()
    (entry,) = b.ledger()
    assert (entry.kind, entry.code, entry.operation) == ("purged", "purged", "update")
    assert entry.body == {"n": 1, "mine": 2}
    assert agree(lab, a, b) == {"new": {"n": 3}}
    assert b.pending() == []


def test_a_replica_that_was_offline_for_longer_pushes_all_that_it_made_meanwhile():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("k", {"n": 1})
    lab.settle(a, b)
    for i in range(5):
        b.save(f"b{i}", {"n": i})
        a.save(f"a{i}", {"n": i})
        a.sync()
        lab.pass_days(40)
        lab.tend()
    made = {f"{name}{i}": {"n": i} for name in "ab" for i in range(5)}
    assert agree(lab, a, b) == {"k": {"n": 1}, **made}
    assert b.ledger() == []


def test_a_first_push_of_old_documents_goes_through():
    lab = Lab()
    a, b = lab.replicas("a b")
    b.save("b", {"n": 1})
    a.save("k", {"n": 1})
    a.sync()
    forgotten(lab)
    assert agree(lab, a, b) == {"k": {"n": 1}, "b": {"n": 1}}
    assert b.ledger() == []


@BOTH
@pytest.mark.parametrize("has_pulled", [False, True])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_was_decided_before_the_answer_was_lost_is_not_done_again(
    merging: bool, has_pulled: bool, is_deleted: bool
):
    """The request arrived, its answer did not, and the replica was silent until its op ids were forgotten."""
    lab = Lab()
    a, b = lab.replicas("a b", merging=merging)
    a.save("other", {"n": 1})
    a.sync()
    if has_pulled:
        b.sync()
    b.save("k", {"n": 1})
    lost = b.request()
    lab.serve(encode_request(lost))
    a.sync()
    assert a.see("k") == {"n": 1}
    if is_deleted:
        a.delete("k")
    else:
        a.save("k", {"n": 2})
    a.sync()
    assert forgotten(lab) == is_deleted
    assert count(lab, "ops") == 0 and count(lab, "replicas") == 0
    before = lab.document("k")
    assert agree(lab, a, b) == {"other": {"n": 1}, **({} if is_deleted else {"k": {"n": 2}})}
    assert lab.document("k") == before and b.pending() == []
    assert [(entry.kind, entry.body) for entry in b.ledger()] == ([("purged", {"n": 1})] if is_deleted else [])


def test_what_never_arrived_is_pushed_however_late():
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("other", {"n": 1})
    lab.settle(a, b)
    b.save("other", {"mine": 1})
    b.save("k", {"n": 1})
    b.sync()
    b.save("k", {"n": 2})
    b.request()
    a.save("other", {"n": 2})
    a.sync()
    forgotten(lab)
    assert agree(lab, a, b)["k"] == {"n": 2}
    assert b.pending() == []


def test_an_edit_on_top_of_what_had_arrived_is_kept():
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("other", {"n": 1})
    lab.settle(a, b)
    b.save("k", {"n": 1})
    lab.serve(encode_request(b.request()))
    b.save("k", {"later": True})
    a.sync()
    a.save("k", {"theirs": True})
    a.sync()
    forgotten(lab)
    assert agree(lab, a, b)["k"] == {"n": 1, "later": True, "theirs": True}


def test_of_a_replica_that_is_known_nothing_is_in_doubt():
    """Its last request would be known too, so the one in flight has not arrived, and is pushed after all."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("old", {"n": 1})
    lab.settle(a, b)
    a.delete("old")
    a.sync()
    lab.pass_days(80)
    b.save("first", {"n": 1})
    b.take(lost := b.request(), lab.serve(encode_request(lost)).replace('"has_more":false', '"has_more":true'))
    lab.pass_days(20)
    run(b.storage.write(lambda tx: choose_cursor(tx, 1)))
    b.save("k", {"n": 1})
    b.request()
    lab.tend()
    assert agree(lab, a, b) == {"first": {"n": 1}, "k": {"n": 1}}
    assert b.ledger() == []


def test_a_request_whose_answer_was_lost_is_answered_again_before_anything_else():
    """The replica is behind, but known: it hears what became of its changes, and then has to pull again."""
    lab = Lab()
    a, b = lab.replicas("a b")
    a.save("old", {"n": 1})
    lab.settle(a, b)
    a.delete("old")
    a.sync()
    lab.pass_days(80)
    b.save("k", {"n": 1})
    lab.serve(encode_request(b.request()))
    lab.pass_days(20)
    assert lab.tend().forgotten == 1
    outcome = b.exchange()
    assert (outcome.pushed, outcome.has_more, b.pending()) == (1, True, [])
    with pytest.raises(Rejected, match="pulls everything"):
        b.exchange()
    assert agree(lab, a, b) == {"k": {"n": 1}}


def test_a_first_pull_of_many_pages_comes_to_its_end_while_the_server_forgets():
    lab = Lab()
    a = lab.replica("a")
    for i in range(40):
        a.save(f"k{i:02}", {"n": i})
        a.sync()
    for i in range(0, 40, 2):
        a.delete(f"k{i:02}")
        a.sync()
    lab.pass_days(100)
    lab.tend()
    c = lab.replica("c", page_limit=3)
    a.delete("k39")
    a.sync()
    for _ in range(3):
        assert c.exchange().has_more
        lab.pass_days(100)
        lab.tend()
    assert agree(lab, a, c) == {f"k{i:02}": {"n": i} for i in range(1, 39, 2)}


def test_what_is_deleted_and_forgotten_during_a_first_pull_does_not_stay():
    lab = Lab()
    a, c = lab.replica("a"), lab.replica("c", page_limit=2)
    for i in range(6):
        a.save(f"k{i}", {"n": i})
    a.sync()
    c.exchange()
    assert c.see("k0") == {"n": 0}
    a.delete("k0")
    a.sync()
    assert forgotten(lab) == 1
    with pytest.raises(Rejected, match="pulls everything"):
        c.exchange()
    assert agree(lab, a, c) == {f"k{i}": {"n": i} for i in range(1, 6)}


def test_forgetting_goes_on_where_it_ended():
    lab = Lab()
    a = lab.replica("a")
    names = [f"k{i}" for i in range(2 * STEP + 10)]
    a.write(*[(name, {"n": 1}) for name in names])
    a.sync()
    a.write(*[(name, None) for name in names])
    a.sync()
    lab.pass_days(100)
    largest = 0

    def note() -> str:
        nonlocal largest
        largest = max(largest, len({key for space, key, _ in lab.server.changes if space == "docs"}))
        return ""

    lab.server.on_commit = note
    assert lab.tend().forgotten == len(names)
    assert 0 < largest <= STEP
    assert lab.server.rows("docs") == lab.server.rows("feed") == lab.server.rows("ops") == []


def test_a_plain_client_is_told_in_words():
    lab = Lab()
    a = lab.replica("a")
    a.save("k", {"n": 1})
    a.sync()
    a.delete("k")
    a.sync()
    forgotten(lab)
    request = {"client_id": "plain", "version_vector": {"server": 1}, "changes": []}
    with pytest.raises(Rejected, match="pulls everything again, from version_vector") as refused:
        lab.serve(json.dumps(request))
    assert (refused.value.status, refused.value.code) == (410, "resync")
    answer = json.loads(lab.serve(json.dumps(request | {"version_vector": {}})))
    assert answer["server_changes"] == []


def test_a_plain_client_pages_through_what_is_older_than_the_floor():
    lab = Lab()
    a = lab.replica("a")
    for i in range(6):
        a.save(f"k{i}", {"n": i})
    a.save("gone", {})
    a.sync()
    a.delete("gone")
    a.sync()
    forgotten(lab)
    request: dict[str, Any] = {"client_id": "plain", "version_vector": {}, "changes": [], "limit": 2}
    keys: list[str] = []
    while True:
        answer = json.loads(lab.serve(json.dumps(request)))
        keys += [change["key"] for change in answer["server_changes"]]
        if not answer["has_more"]:
            break
        request |= {"version_vector": answer["server_version"], "began": answer["began"]}
    assert keys == [f"k{i}" for i in range(6)]


@pytest.mark.parametrize("seed", range(25))
def test_pulling_before_and_after_the_server_forgot_come_to_the_same(seed: int):
    """For every cursor c: r(B) = r(r(B[..c]) ∪ compact(B)[c+1..]), or the replica is told 410 and r(B) in the end."""
    rng = Random(seed)
    lab = Lab(seed=seed)
    writers = lab.replicas("a b", merging=rng.random() < 0.5)
    readers = [lab.replica("r0", page_limit=rng.randint(1, 5))]
    for step in range(60):
        writer = rng.choice(writers)
        key = f"k{rng.randrange(8)}"
        if rng.random() < 0.4:
            writer.delete(key)
        else:
            writer.save(key, {"n": step})
        if rng.random() < 0.5:
            writer.sync()
        if rng.random() < 0.3:
            lab.pass_days(rng.choice([1, 30, 60]))
        if rng.random() < 0.2:
            readers.append(rng.choice(readers).copy(f"r{step}", page_limit=rng.randint(1, 5)))
            readers[-1].exchange()
    lab.settle(*writers)
    expected = {key: lab.body(key) for key in (f"k{i}" for i in range(8))}
    told = [reader.copy(f"{reader.name} before") for reader in readers]
    for reader in told:
        reader.sync()
        assert {key: reader.see(key) for key in expected} == expected
    lab.tend(days=45)
    refusals = 0
    for reader in readers:
        late = reader.copy(f"{reader.name} after")
        try:
            late.exchange()
        except Rejected as refused:
            assert refused.code == "resync"
            refusals += 1
        late.sync()
        assert {key: late.see(key) for key in expected} == expected
        assert run(late.storage.read(lambda tx: tx.scan("collections"))) != [] or not any(expected.values())
    assert {key: lab.body(key) for key in expected} == expected
    assert agree(lab, *writers) == {key: body for key, body in expected.items() if body is not None}


def begun_again(lab: Lab, device: Device) -> None:
    """Let a device that was away for too long pull the first page of everything again."""
    with pytest.raises(Rejected) as refused:
        device.exchange()
    device.begin_again(refused.value, is_repeated=True)
    device.exchange()


def test_what_a_later_edit_hides_of_a_change_in_doubt_is_in_the_ledger_when_that_ends():
    lab = Lab()
    a, b = lab.replicas("a b", merging=True, page_limit=1)
    a.save("other", {"n": 1})
    lab.settle(a, b)
    b.save("k", {"n": 2, "mine": 3})
    b.request()
    a.save("k", {"n": 4})
    a.save("later", {"n": 5})
    a.delete("other")
    a.sync()
    forgotten(lab)
    begun_again(lab, b)
    lab.subject.choose(b.storage, {"notes": Wish("doc.n < 0")}, None, is_exact=False)
    b.sync()
    assert b.see("k") is None
    assert b.lost() == [{"n": 2}, {"n": 4, "mine": 3}]


def test_who_makes_a_document_anew_whose_delete_was_forgotten_holds_what_the_server_does():
    lab = Lab()
    a, b = lab.replicas("a b", merging=True)
    a.save("other", {"n": 1})
    lab.settle(a, b)
    lab.subject.choose(b.storage, {"notes": Wish("doc.n >= 0")}, None, is_exact=False)
    b.sync()
    b.save("k", {"n": 2})
    a.save("k", {"n": 4, "theirs": {"deep": 5}})
    a.delete("other")
    a.sync()
    forgotten(lab)
    begun_again(lab, b)
    b.save("k", {"n": 6})
    a.delete("k")
    a.sync()
    forgotten(lab)
    assert agree(lab, b) == {"k": {"n": 6}}
