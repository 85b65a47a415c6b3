"""The server's answer to one request, in one transaction: who asks, whether it was asked before, then the changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..causality import SERVER, timestamp
from ..errors import Rejected
from ..values import JSON, dumps, loads
from .answers import Memory, answer, conflict_text
from .fields import is_author
from .hub_state import HubState, begin_epoch, required_state
from .ports import Random, ReadTransaction, WriteTransaction
from .push import MAX_SKEW_MS, TAKEN, Guard, Push
from .recent import Commit
from .retention import note_commit
from .wire import Answer, SyncRequest, encode_result


async def pull(tx: ReadTransaction, request: SyncRequest, now_ms: int, memory: Memory) -> Answer | None:
    """Answer a request without changes from a read snapshot, or None where something must be written."""
    state = await required_state(tx)
    if _is_rolled_back(state, request):
        return None
    if request.epoch not in (None, state.epoch):
        return _epoch_answer(state, request)
    text = await tx.get("replicas", (request.client_id,))
    replica = loads(text) if text else None
    if replica and request.request_id is not None and request.request_id == replica["request"]:
        return None
    if _is_forked(state, request, replica):
        raise _forked([])
    _check_floor(state, request, replica, now_ms)
    fence = replica["fence"] if replica else None
    n = replica["n"] if replica else request.version_vector.get(request.client_id, 0)
    return await answer(tx, request, state, now_ms, fence=fence, n=n, memory=memory)


async def decide(
    tx: WriteTransaction,
    request: SyncRequest,
    now_ms: int,
    rng: Random,
    guard: Guard | None = None,
    memory: Memory | None = None,
    *,
    keeps_times: bool = False,
) -> Answer:
    """Decide the changes of a request and answer it; ``memory`` hears what this did to the feed.

    ``keeps_times``: the times inside CRDT values stay as they are, because others have the same values.
    """
    memory = memory or Memory()
    state = await required_state(tx)
    if _is_rolled_back(state, request):
        await begin_epoch(tx, rng)
        state = await required_state(tx)
    if request.epoch not in (None, state.epoch):
        return _epoch_answer(state, request)
    text = await tx.get("replicas", (request.client_id,))
    replica = loads(text) if text else None
    if replica and request.request_id is not None and request.request_id == replica["request"]:
        return await _repeat(tx, request, state, now_ms, replica, memory)
    if _is_forked(state, request, replica) or await _is_copied(tx, request):
        raise _forked([op for op in _op_ids(request) if await tx.get("ops", (op,))])
    _check_floor(state, request, replica, now_ms)
    n = replica["n"] if replica else request.version_vector.get(request.client_id, 0)
    push = Push(tx, request, state, now_ms, rng, guard, n)
    push.keeps_times = keeps_times
    before = replace(state)
    await push.run()
    memory.commit = Commit(before, state, push.moved)
    fence = rng.randbytes(16).hex()
    results = [encode_result(result) for result in push.results]
    text_of_results = dumps(results)
    record = {"fence": fence, "request": request.request_id, "n": push.n}
    record |= {"cursor": request.since, "at": state.clock, "epoch": state.epoch}
    tx.put("replicas", (request.client_id,), f'{dumps(record)[:-1]},"results":{text_of_results}}}')
    op_ids = [result.op_id for result in push.results if result.status in TAKEN]
    note_commit(tx, state.clock, state.head, request.client_id, op_ids)
    found = await answer(
        tx,
        _page_request(request, results),
        state,
        now_ms,
        fence=fence,
        n=push.n,
        memory=memory,
        results=results,
        extras=push.extras,
        conflicts=push.conflicts,
        skip=push.own,
    )
    return replace(found, results=text_of_results)


async def _repeat(
    tx: ReadTransaction,
    request: SyncRequest,
    state: HubState,
    now_ms: int,
    replica: dict[str, JSON],
    memory: Memory,
) -> Answer:
    """Answer a request that was decided before: the same verdicts, the documents as they are now."""
    results = replica["results"]
    statuses = {result["op_id"]: result["status"] for result in results}
    conflicts = []
    for change in request.changes:
        if statuses.get(str(change.op_id)) == "conflict":
            text = await tx.get("docs", (change.collection, change.key))
            conflicts.append(text or conflict_text(change, None))
    is_behind = _is_behind(state, request)
    found = await answer(
        tx,
        replace(request, limit=0) if is_behind else _page_request(request, results),
        state,
        now_ms,
        fence=replica["fence"],
        n=replica["n"],
        memory=memory,
        results=results,
        extras=[(change.collection, change.key) for change in request.changes if change.op_id in statuses],
        conflicts=conflicts,
    )
    if is_behind:  # what lies behind its cursor is not all there any more: it hears so when it asks for that
        found.head.update({"server_version": {SERVER: request.since}, "has_more": True})
    return found


def _page_request(request: SyncRequest, results: Sequence[JSON]) -> SyncRequest:
    """Ask for no page where a change has no verdict yet: it must not meet the documents of others undecided."""
    return request if len(results) == len(request.changes) else replace(request, limit=0)


def _op_ids(request: SyncRequest) -> Iterator[str]:
    return (change.op_id for change in request.changes if change.op_id is not None)


def _is_forked(state: HubState, request: SyncRequest, replica: dict[str, JSON] | None) -> bool:
    """Tell whether a replica's fence is not the last one given; a new epoch asks for none of an earlier one."""
    if not request.protocol or replica is None or request.fence == replica["fence"]:
        return False
    return request.fence is not None or replica.get("epoch") == state.epoch


async def _is_copied(tx: ReadTransaction, request: SyncRequest) -> bool:
    """Tell whether a copy of a replica has sent, under its own name, what the replica is about to count on from.

    Both contain it then, and what the replica does later would count it again.
    """
    for change in request.changes if request.protocol else ():
        if change.deeds and is_author(request.client_id, change.state):
            text = await tx.get("ops", (str(change.op_id),))
            if text is not None and loads(text).get("by", request.client_id) != request.client_id:
                return True
    return False


def _forked(known: list[str]) -> Rejected:
    return Rejected(
        "this replica's fence is not the last one given: it was restored or cloned, and takes a new id",
        status=409,
        code="replica_forked",
        detail={"known": known},
    )


def _is_behind(state: HubState, request: SyncRequest) -> bool:
    """Tell whether the server has forgotten deletes that a replica has not seen; one that begins needs none."""
    return 0 < max(request.since, request.began) < state.floor and request.since > 0


def _check_floor(state: HubState, request: SyncRequest, replica: dict[str, JSON] | None, now_ms: int) -> None:
    """Refuse a replica for which the server has forgotten too much, before any of its changes is decided.

    Of one that never got an answer, and that the server does not know, no cursor tells how long it was away. So its
    first changes are refused where they are as old as what is forgotten, or its clock is so wrong that this can't be
    told: they may have been decided then.
    """
    latest = timestamp(now_ms + MAX_SKEW_MS)
    is_old = bool(request.protocol and state.floor and not request.since and replica is None) and any(
        not state.forgotten < change.state.timestamp <= latest for change in request.changes
    )
    if is_old or _is_behind(state, request):
        raise Rejected(
            "the server has forgotten deletes, or changes, that this replica has not heard of: it pulls everything"
            ' again, from version_vector {"server": 0} and with the "began" of each answer in the next request, and'
            " drops what does not come",
            status=410,
            code="resync",
            detail={"floor": state.floor, "known": replica is not None},
        )


def _is_rolled_back(state: HubState, request: SyncRequest) -> bool:
    """Tell whether a replica has seen more of this epoch than there is: the server's data were restored."""
    return bool(request.protocol) and request.epoch == state.epoch and request.since > state.head


def _epoch_answer(state: HubState, request: SyncRequest) -> Answer:
    """Tell a replica of an earlier epoch the new one, and up to where its own still holds: it asks again."""
    known_until = min(state.history.get(request.epoch or "", 0), state.head)
    head: dict[str, JSON] = {
        "epoch": state.epoch,
        "since": 0,
        "server_version": {SERVER: known_until},
        "timestamp": state.clock or timestamp(0),
        "has_more": True,
    }
    return Answer(head, [], [])
