"""The table of outcomes in MERGING.md, cell by cell, with two devices and a hub; and conflicts that wait."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.conflict import Conflict
from pysync_web.core.hub import Hub
from pysync_web.core.strategies import decode_strategy, encode_strategy
from pysync_web.storage.memory import MemoryStorage
from pysync_web.values import dumps
from tests.pairs import Table, both_have, lost, put, see, settle

S = ps.ConflictStrategy
BASE = {"title": "t", "n": 1}
MADE = {"made": "by hand"}

# What the device that decides made of the base, what the other one made of it, and what of theirs is lost to mine.
CASES: dict[str, tuple[Any, Any, Any]] = {
    "update ‖ delete": ({"title": "mine", "n": 1}, None, None),
    "delete ‖ update": (None, {"title": "theirs", "n": 1}, {"title": "theirs"}),
    "delete ‖ delete": (None, None, None),
    "create ‖ create": ({"title": "mine", "b": 2}, {"title": "theirs", "a": 1}, {"title": "theirs", "a": 1}),
    "rename ‖ edit": ({"name": "t", "n": 1}, {"title": "theirs", "n": 1}, {"title": "theirs"}),
    "edit ‖ rename": ({"title": "mine", "n": 1}, {"name": "t", "n": 1}, {"name": "t"}),
    "edit ‖ edit": ({"title": "mine", "n": 1}, {"title": "theirs", "n": 1}, {"title": "theirs"}),
}
# By field, with mine later and with theirs later: the document, and what is lost.
BY_FIELD = {
    ("create ‖ create", True): ({"title": "mine", "a": 1, "b": 2}, [{"title": "theirs"}]),
    ("create ‖ create", False): ({"title": "theirs", "a": 1, "b": 2}, [{"title": "mine"}]),
    ("rename ‖ edit", True): ({"name": "t", "n": 1}, [{"title": "theirs"}]),
    ("rename ‖ edit", False): ({"name": "t", "title": "theirs", "n": 1}, []),
    ("edit ‖ rename", True): ({"name": "t", "title": "mine", "n": 1}, []),
    ("edit ‖ rename", False): ({"name": "t", "n": 1}, [{"title": "mine"}]),
    ("edit ‖ edit", True): ({"title": "mine", "n": 1}, [{"title": "theirs"}]),
    ("edit ‖ edit", False): ({"title": "theirs", "n": 1}, [{"title": "mine"}]),
}


def cells() -> list[Any]:
    """Read the table of outcomes."""
    text = (Path(__file__).parents[2] / "pysync_web" / "MERGING.md").read_text("utf-8")
    rows = [line for line in text.partition("<!-- outcomes -->\n")[2].splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in rows)
    return [
        pytest.param(row[0], case, word, id=f"{row[0]} {case}")
        for row in body
        for case, word in zip(head[1:], row[1:], strict=True)
    ]


def strategy_named(name: str) -> Any:
    return S.CUSTOM(lambda conflict: MADE) if name == "CUSTOM" else S[name]


ENGINES = [
    pytest.param(ps.StorageEngine.MEMORY, id="memory"),
    pytest.param(ps.StorageEngine.SQLITE, id="sqlite", marks=pytest.mark.native),
]


@pytest.fixture(params=ENGINES)
async def table(request: Any, tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(request.param, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Table]:
    made = Table(ps.StorageEngine.MEMORY, tmp_path)
    yield made
    await made.close()


def expected(word: str, case: str, mine_is_later: bool) -> tuple[Any, list[Any]]:
    """Give the document that a cell promises, and what lies in the ledger of the device that decided."""
    mine, theirs, lost_theirs = CASES[case]
    if word == "gone":
        return None, []
    if word == "asked":
        return MADE, [lost_theirs, mine_part(case)]
    if word == "by field":
        return BY_FIELD[case, mine_is_later]
    is_larger = len("" if mine is None else dumps(mine)) > len("" if theirs is None else dumps(theirs))
    is_mine = {"later": mine_is_later, "larger": is_larger}.get(word, word == "mine")
    if word == "larger" and mine and theirs and len(dumps(mine)) == len(dumps(theirs)):
        is_mine = mine_is_later
    return (mine, [lost_theirs]) if is_mine else (theirs, [mine])


def mine_part(case: str) -> Any:
    """Give what of my version a document without any of it leaves out."""
    mine = CASES[case][0]
    before = {} if case == "create ‖ create" else BASE
    return mine and {name: value for name, value in mine.items() if before.get(name) != value}


@pytest.mark.parametrize("mine_is_later", [True, False], ids=["mine later", "theirs later"])
@pytest.mark.parametrize(("name", "case", "word"), cells())
async def test_an_outcome_is_as_the_table_says(quick, name, case, word, mine_is_later):
    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=strategy_named(name))
    await both_have(other, mine, None if case == "create ‖ create" else BASE)
    edits = [(other, CASES[case][1]), (mine, CASES[case][0])]
    for device, body in edits if mine_is_later else reversed(edits):
        await put(device, body)
    await other.sync_now()
    await mine.sync_now()
    if word == "waits":
        (conflict,) = await mine.conflicts()
        assert (conflict.local, conflict.remote) == CASES[case][:2] and conflict.reason
        assert await mine.resolve_conflict("notes", "k", MADE)
        document, gone = MADE, expected("asked", case, mine_is_later)[1]
    else:
        document, gone = expected(word, case, mine_is_later)
    await settle(mine, other)
    assert await see(mine) == await see(other) == document
    assert await mine.conflicts() == []
    assert sorted(map(dumps, await lost(mine))) == sorted(map(dumps, gone))
    assert await lost(other) == []


def test_the_table_has_every_strategy_and_every_pair():
    words = {cell.values[0] for cell in cells()}, {cell.values[1] for cell in cells()}
    assert words == ({*S.__members__, "CUSTOM"}, set(CASES))


# What waits


async def waiting(table: Table, **config: Any) -> tuple[ps.SyncManager, ps.SyncManager]:
    """Give a device with a conflict that waits, and the other one."""
    other = await table.open("other")
    mine = await table.open("mine", **{"conflict_strategy": S.MANUAL, **config})
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs", "n": 1})
    await put(mine, {"title": "mine", "n": 1})
    await other.sync_now()
    assert (await mine.sync_now()).success
    return mine, other


async def test_a_conflict_that_waits_keeps_both_sides_shows_the_local_one_and_survives_a_restart(table):
    mine, _ = await waiting(table)
    await mine.close()
    mine = await table.open("mine", conflict_strategy=S.MANUAL)
    (conflict,) = await mine.conflicts()
    assert conflict.local == {"title": "mine", "n": 1} and conflict.remote == {"title": "theirs", "n": 1}
    assert conflict.base == BASE and conflict.reason == "it is to be resolved by hand"
    assert await see(mine) == {"title": "mine", "n": 1}
    assert (await mine.status()).conflicts == 1
    assert ps.Conflict.from_json(json.loads(json.dumps(conflict.to_json()))) == conflict


async def test_nothing_waits_but_what_depends_on_it(table):
    mine, other = await waiting(table)
    async with mine.transaction() as t:
        await t.save_document("notes", "k", {"more": 1})
        await t.save_document("notes", "bound", {"x": 1})
    await put(mine, {"x": 2}, "bound")
    await put(mine, {"x": 3}, "free")
    assert (await mine.sync_now()).success
    await other.sync_now()
    assert (await see(other, "free"), await see(other, "bound")) == ({"x": 3}, None)
    held = [(change.key, change.state) for change in await mine.pending_changes()]
    assert held == [("k", "held"), ("k", "held"), ("bound", "held"), ("bound", "held")]
    assert await see(mine) == {"title": "mine", "n": 1, "more": 1}
    assert await mine.resolve_conflict("notes", "k", ps.AcceptLocal())
    await settle(mine, other)
    assert await see(other) == {"title": "mine", "n": 1, "more": 1} and await see(other, "bound") == {"x": 2}


@pytest.mark.parametrize(
    ("answer", "document", "gone"),
    [
        (ps.AcceptLocal(), {"title": "mine", "n": 1}, [{"title": "theirs"}]),
        (ps.AcceptRemote(), {"title": "theirs", "n": 1}, [{"title": "mine", "n": 1}]),
        (ps.Merge({"title": "ours", "n": 2}), {"title": "ours", "n": 2}, [{"title": "mine"}, {"title": "theirs"}]),
        ({"title": "mine", "t2": "theirs"}, {"title": "mine", "t2": "theirs"}, [{"title": "theirs"}]),
        (None, None, [{"title": "mine"}, {"title": "theirs"}]),
    ],
)
async def test_a_conflict_is_resolved_by_an_ordinary_edit_that_contains_both(table, answer, document, gone):
    mine, other = await waiting(table)
    heard: list[tuple[str, str]] = []
    mine.on_change(lambda change: heard.append((change.change_type, change.key)))
    assert await mine.resolve_conflict("notes", "k", answer)
    assert not await mine.resolve_conflict("notes", "k", answer)
    await settle(mine, other)
    assert await see(mine) == await see(other) == document
    assert sorted(map(dumps, await lost(mine))) == sorted(map(dumps, gone))
    changed = document != {"title": "mine", "n": 1}
    assert ("LocalUpdate" if document else "LocalDelete", "k") in heard or not changed


async def test_what_comes_from_elsewhere_while_a_conflict_waits_is_the_new_other_side(table):
    mine, other = await waiting(table)
    (before,) = await mine.conflicts()
    await put(other, {"title": "theirs again", "n": 1})
    await other.sync_now()
    assert (await mine.sync_now()).success
    (conflict,) = await mine.conflicts()
    assert conflict.remote == {"title": "theirs again", "n": 1} and conflict.base == BASE
    with pytest.raises(ps.ConflictUnresolved):
        await mine.resolve_conflict("notes", "k", None, seen=before)
    await mine.resolve_conflict("notes", "k", ps.AcceptLocal(), seen=conflict)
    await settle(mine, other)
    assert await see(mine) == await see(other) == {"title": "mine", "n": 1}


async def test_a_delete_of_what_is_in_conflict_elsewhere_too_is_no_conflict_any_more(table):
    mine, other = await waiting(table)
    await put(other, None)
    await other.sync_now()
    await put(mine, None)
    await settle(mine, other)
    assert await mine.conflicts() == [] and await see(mine) is None
    assert (await mine.status()).pending == 0


async def test_watchers_hear_that_a_conflict_waits(quick):
    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=S.MANUAL)
    heard: list[ps.Change] = []
    mine.on_change(heard.append)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    await mine.sync_now()
    (told,) = [change for change in heard if change.change_type == "Conflict"]
    assert told.reason == "waiting" and told.document == await mine.get_document(told.collection, told.key)


# Functions of the application


async def answering(conflict: Conflict) -> Any:
    await asyncio.sleep(0)
    return {**(conflict.remote or {}), **(conflict.local or {}), "both": True}


@pytest.mark.parametrize("resolver", [answering, lambda c: {**c.remote, **c.local, "both": True}])
async def test_a_custom_resolver_may_be_a_coroutine_function_or_a_plain_one(table, resolver):
    mine, other = await waiting(table, conflict_strategy=S.CUSTOM(resolver))
    assert await mine.conflicts() == []
    await settle(mine, other)
    assert await see(mine) == await see(other) == {"title": "mine", "n": 1, "both": True}


async def hanging(conflict: Conflict) -> Any:
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("resolver", "reason"),
    [
        (lambda conflict: 1 // 0, "the resolver raised ZeroDivisionError"),
        (hanging, "the resolver gave no answer in 0.05 s"),
        (lambda conflict: {"x": float("nan")}, "the resolver raised InvalidDocument"),
        ("unknown", "there is no resolver 'unknown' in SyncConfig.resolvers"),
    ],
)
async def test_a_resolver_without_an_answer_leaves_the_conflict_waiting_with_the_reason(table, resolver, reason):
    mine, other = await waiting(table, conflict_strategy=S.CUSTOM(resolver), resolver_timeout_s=0.05)
    (conflict,) = await mine.conflicts()
    assert conflict.reason.startswith(reason)
    await put(mine, {"x": 1}, "free")
    await settle(mine, other)
    assert await see(other, "free") == {"x": 1}
    assert await mine.resolve_conflict("notes", "k", ps.AcceptRemote())
    await settle(mine, other)
    assert await see(mine) == {"title": "theirs", "n": 1}


async def test_a_resolver_that_was_slower_than_an_edit_is_asked_again(quick):
    asked: list[Any] = []
    mine: Any = None

    async def resolver(conflict: Conflict) -> Any:
        asked.append(conflict.local)
        if len(asked) == 1:
            await mine.save_document("notes", "k", {"title": "mine, later"})
        return ps.AcceptLocal()

    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=S.CUSTOM(resolver))
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    await mine.sync_now()
    assert asked == [{"title": "mine"}, {"title": "mine, later"}]
    await settle(mine, other)
    assert await see(other) == {"title": "mine, later"}


async def test_a_conflict_that_a_crash_left_undecided_is_asked_about_by_the_next_sync(table):
    class Crash(BaseException):
        pass

    def crashing(conflict: Conflict) -> Any:
        raise Crash

    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.CUSTOM(crashing))
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"})
    await other.sync_now()
    with pytest.raises(Crash):
        await mine.sync_now()
    await mine.close()
    mine = await table.open("mine", conflict_strategy=S.CUSTOM(lambda conflict: {"title": "both"}))
    assert await see(mine) == {"title": "mine"}
    await settle(mine, other)
    assert await see(mine) == await see(other) == {"title": "both"}


async def test_a_hook_may_be_a_coroutine_function_and_one_that_hangs_leaves_it_to_the_strategy(quick):
    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=S.LOCAL_WINS, resolver_timeout_s=0.05)
    await both_have(other, mine, BASE)
    for hook, document in ((hanging, {"title": "mine 0"}), (answering, {"title": "mine 1", "both": True})):
        stop = mine.on_conflict(hook)
        number = int(hook is answering)
        await put(other, {"title": f"theirs {number}"})
        await put(mine, {"title": f"mine {number}"})
        await other.sync_now()
        await settle(mine, other)
        assert await see(other) == document
        stop()


# Which strategy


async def test_a_collection_and_a_call_may_have_strategies_of_their_own(quick):
    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=S.REMOTE_WINS, collection_strategies={"notes": S.LOCAL_WINS})
    await both_have(other, mine, BASE)
    await both_have(other, mine, BASE, "call")
    await other.save_document("rest", "k", {"x": 0})
    await settle(other, mine)
    for device, word in ((other, "theirs"), (mine, "mine")):
        await put(device, {"title": word})
        await put(device, {"title": word}, "call", strategy=S.MANUAL)
        await device.save_document("rest", "k", {"x": word})
    await other.sync_now()
    await mine.sync_now()
    assert [conflict.key for conflict in await mine.conflicts()] == ["call"]
    assert await see(mine) == {"title": "mine"}
    assert (await mine.get_document("rest", "k"))["x"] == "theirs"


async def test_the_strategy_of_a_call_is_kept_with_the_change_through_a_restart(table):
    resolvers = {"both": lambda conflict: {"title": "both"}}
    other = await table.open("other")
    mine = await table.open("mine", resolvers=resolvers)
    await both_have(other, mine, BASE)
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"}, strategy=S.CUSTOM("both"))
    with pytest.raises(ps.InvalidDocument, match="does not survive a restart"):
        await put(mine, {"title": "no"}, strategy=S.CUSTOM(lambda conflict: None))
    with pytest.raises(ps.InvalidDocument, match="no resolver 'none'"):
        await put(mine, {"title": "no"}, strategy=S.CUSTOM("none"))
    await mine.close()
    await other.sync_now()
    mine = await table.open("mine", resolvers=resolvers)
    await settle(mine, other)
    assert await see(other) == {"title": "both"}


async def test_a_new_document_keeps_the_strategy_of_its_call(quick):
    other, mine = await quick.open("other"), await quick.open("mine")
    await put(other, {"title": "theirs"})
    await put(mine, {"title": "mine"}, strategy=S.MANUAL)
    await mine.save_documents("notes", {"many": {"title": "mine"}}, strategy=S.MANUAL)
    await put(other, {"title": "theirs"}, "many")
    await other.sync_now()
    await mine.sync_now()
    assert [conflict.key for conflict in await mine.conflicts()] == ["k", "many"]


async def test_an_edit_with_another_strategy_does_not_grow_into_the_change_before(quick):
    mine = await quick.open("mine")
    await put(mine, {"x": 1})
    await mine.save_document("notes", "k", {"y": 1}, strategy=S.MANUAL)
    await mine.save_document("notes", "k", {"z": 1}, strategy=S.MANUAL)
    assert len(await mine.pending_changes()) == 2


@pytest.mark.parametrize(
    "strategy",
    [*S, ps.ThreeWayMerge(S.LAST_WRITE_WINS), S.CUSTOM("a/b"), ps.ThreeWayMerge(S.CUSTOM("c"))],
)
def test_a_strategy_is_read_back_from_its_name(strategy):
    assert decode_strategy(encode_strategy(strategy)) == strategy


def test_a_fallback_that_may_clash_itself_is_refused():
    with pytest.raises(ps.InvalidDocument):
        ps.ThreeWayMerge(S.THREE_WAY_MERGE)


# Three ways, end to end

LIST = [{"_id": 1, "t": "a"}, {"_id": 2, "t": "b"}]


async def test_a_three_way_merge_makes_both_sides_edits_and_loses_nothing(table):
    other = await table.open("other")
    mine = await table.open("mine", conflict_strategy=S.THREE_WAY_MERGE)
    await both_have(other, mine, {"l": LIST, "text": "one\ntwo\nthree\nfour", "o": {"x": 1, "y": 1}})
    theirs = {"l": [{"_id": 1, "t": "A"}, LIST[1]], "text": "ONE\ntwo\nthree\nfour", "o": {"x": 2, "y": 1}}
    await put(other, theirs)
    await put(mine, {"l": [LIST[1], LIST[0]], "text": "one\ntwo\nthree\nFOUR", "o": {"x": 1, "y": 2}})
    await other.sync_now()
    await settle(mine, other)
    both = {"l": [LIST[1], {"_id": 1, "t": "A"}], "text": "ONE\ntwo\nthree\nFOUR", "o": {"x": 2, "y": 2}}
    assert await see(mine) == await see(other) == both
    assert await lost(mine) == await mine.conflicts() == []


@pytest.mark.parametrize(
    ("fallback", "title", "gone"),
    [(S.LOCAL_WINS, "mine", {"title": "theirs"}), (S.REMOTE_WINS, "theirs", {"title": "mine"})],
)
async def test_a_fallback_decides_where_both_clash_and_the_rest_is_merged(quick, fallback, title, gone):
    other = await quick.open("other")
    mine = await quick.open("mine", conflict_strategy=ps.ThreeWayMerge(fallback))
    await both_have(other, mine, {"title": "t", "l": [1]})
    await put(other, {"title": "theirs", "l": [1, 2]})
    await put(mine, {"title": "mine", "l": [0, 1]})
    await other.sync_now()
    await settle(mine, other)
    assert await see(other) == {"title": title, "l": [0, 1, 2]}
    assert await lost(mine) == [gone]


async def test_what_clashes_is_marked_in_a_conflict_that_waits(quick):
    mine, _ = await waiting(quick, conflict_strategy=S.THREE_WAY_MERGE)
    (conflict,) = await mine.conflicts()
    assert conflict.clashes == ("/title",) and "both sides changed /title" in conflict.reason


async def test_a_block_behind_a_conflict_is_sent_though_it_is_larger_than_a_batch(quick):
    """Found by a simulated world: the conflict's own block, from which nothing may be sent, counted as the batch."""
    mine, other = await waiting(quick, batch_size=1)
    await mine.save_documents("notes", {f"k{i}": {"i": i} for i in range(3)})
    assert (await mine.sync_now()).pushed == 3
    await other.sync_now()
    assert await see(other, "k2") == {"i": 2}


async def test_a_conflict_that_waits_outlives_a_full_pull_and_loses_nothing_to_a_server_that_begins_anew(quick):
    mine, other = await waiting(quick)
    assert (await mine.full_resync()).success
    assert len(await mine.conflicts()) == 1 and await see(mine) == {"title": "mine", "n": 1}
    anew = Hub(MemoryStorage.open(":memory:"))
    await anew.open(random.SystemRandom())
    quick.hub._storage = anew._storage
    await other.close()
    assert (await mine.sync_now()).success
    assert await mine.conflicts() == [] and await lost(mine) == [{"title": "theirs"}]
    fresh = await quick.open("fresh")
    await settle(mine, fresh)
    assert await see(fresh) == {"title": "mine", "n": 1}


@pytest.mark.parametrize("how", ["delete", "update"])
async def test_a_delete_and_an_update_may_have_a_strategy_of_their_own(table, how):
    mine, other = await table.open("mine", conflict_strategy=S.LOCAL_WINS), await table.open("other")
    await both_have(mine, other, {"title": "t", "n": 1})
    if how == "delete":
        await mine.delete_document("notes", "k", strategy=S.REMOTE_WINS)
    else:
        await mine.update_document("notes", "k", lambda _: {"title": "mine", "n": 1}, strategy=S.REMOTE_WINS)
    await put(other, {"title": "theirs", "n": 1})
    await other.sync_now()
    await settle(mine, other)
    assert await see(mine) == await see(other) == {"title": "theirs", "n": 1}
