"""A request as text and back: what a replica has seen, what it changed, what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from operator import itemgetter

from ...causality import MAX_VECTOR, is_ours
from ...errors import SchemaError
from ...values import (
    JSON,
    MAX_INTEGER,
    canonical_many,
    check_collection,
    check_database,
    check_key,
    check_keys,
    decode,
    dumps,
)
from ..document import Body, State, deleted, removals
from ..fields import MARK_TEXT, RESERVED, check_states
from .messages import (
    MAX_CHANGES,
    MAX_COLLECTIONS,
    MAX_PAGE,
    MAX_QUERY,
    PROTOCOL,
    Change,
    DeltaWish,
    Had,
    Operation,
    Snapshot,
    Subscription,
    SyncRequest,
)
from .parts import (
    ID,
    OPERATIONS,
    _kind,
    a_counter,
    a_document,
    a_list,
    a_name,
    an_id,
    an_integer,
    an_object,
    decode_collections,
    decode_stamps,
    decode_vector,
    encode_stamps,
    one_of,
    optional,
)

_CHANGE = ("collection", "key", "operation", "timestamp", "op_id", "n", "base_version")
_change_members = itemgetter(*_CHANGE)


def encode_request(request: SyncRequest) -> str:
    """Give a request's JSON text; the same request gives the same bytes."""
    message: dict[str, JSON] = {
        "protocol": request.protocol,
        "database": request.database,
        "client_id": request.client_id,
        "version_vector": request.version_vector,
        "limit": request.limit,
        "changes": [encode_change(change) for change in request.changes],
    }
    for name in ("request_id", "fence", "epoch", "collections"):
        value = getattr(request, name)
        if value is not None:
            message[name] = value
    if request.diverged:
        message["diverged"] = request.diverged
    if request.subscriptions:
        message["subscriptions"] = [encode_subscription(one) for one in request.subscriptions]
    if request.without:
        message["without"] = request.without
    if request.subscriptions or request.delta is not None:
        message["settled"] = request.settled
    if request.delta is not None:
        message["delta"] = {"threshold": request.delta.threshold, "off": request.delta.off}
    message |= {"began": request.began} if request.began else {}
    return dumps(message)


def encode_subscription(one: Subscription) -> dict[str, JSON]:
    """Give a part of a collection that a replica asks for, as it travels."""
    message: dict[str, JSON] = {"id": one.id, "collection": one.collection}
    if one.query is not None:
        message |= {"query": one.query, "bind_vars": one.bind_vars}
    if one.snapshot is not None:
        after, until, had = one.snapshot
        message["snapshot"] = {"after": after, "until": until}
        if had is not None:
            message["snapshot"]["had"] = {"query": had.query, "bind_vars": had.bind_vars}
    return message


def _decode_subscription(value: JSON, place: str) -> Subscription:
    message = an_object(value, place)
    snapshot = message.get("snapshot")
    if snapshot is not None:
        snapshot = _decode_snapshot(snapshot, f"{place}.snapshot")
    return Subscription(
        an_id(message.get("id"), f"{place}.id"),
        a_name(check_collection, message.get("collection"), f"{place}.collection"),
        optional(_query, message.get("query"), f"{place}.query"),
        an_object(message.get("bind_vars", {}), f"{place}.bind_vars"),
        snapshot,
    )


def _decode_snapshot(value: JSON, place: str) -> Snapshot:
    message = an_object(value, place)
    had = message.get("had")
    if had is not None:
        had = an_object(had, f"{place}.had")
        binds = an_object(had.get("bind_vars", {}), f"{place}.had.bind_vars")
        had = Had(optional(_query, had.get("query"), f"{place}.had.query"), binds)
    after = message.get("after")
    return Snapshot(
        None if after is None else a_name(check_key, after, f"{place}.after"),
        an_integer(message.get("until", 0), f"{place}.until", 0, MAX_INTEGER),
        had,
    )


def _decode_wish(value: JSON, place: str) -> DeltaWish:
    message = an_object(value, place)
    threshold = message.get("threshold", 0.5)
    if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
        raise SchemaError(f"a number from 0 to 1 was due, not {threshold!r:.40}", place=f"{place}.threshold")
    return DeltaWish(float(threshold), decode_collections(message.get("off", []), f"{place}.off"))


def _query(value: JSON, place: str) -> str:
    if type(value) is str and len(value) <= MAX_QUERY:
        return value
    raise SchemaError(f"a query of at most {MAX_QUERY} characters was due, not {_kind(value)}", place=place)


def decode_request(data: bytes | str, *, database: str | None = None) -> SyncRequest:
    """Read a request; ``database`` is the one in the URL, which the body need not repeat."""
    message = an_object(decode(data, "body"), "body")
    named = a_name(check_database, message.get("database", database), "database")
    if database is not None and named != database:
        raise SchemaError(f"{named!r} is not the database {database!r} of the URL", place="database")
    given = a_list(message.get("changes", []), "changes", MAX_CHANGES)
    changes, texts = _decode_changes(given)
    collections = message.get("collections")
    return SyncRequest(
        database=named,
        client_id=an_id(message.get("client_id"), "client_id"),
        version_vector=decode_vector(message.get("version_vector", {}), "version_vector"),
        changes=tuple(changes),
        protocol=an_integer(message.get("protocol", 0), "protocol", 0, PROTOCOL),
        request_id=optional(an_id, message.get("request_id"), "request_id"),
        fence=optional(an_id, message.get("fence"), "fence"),
        epoch=optional(an_id, message.get("epoch"), "epoch"),
        limit=an_integer(message.get("limit", MAX_PAGE), "limit", 0 if changes else 1, MAX_PAGE),
        collections=None if collections is None else decode_collections(collections),
        diverged=decode_collections(message.get("diverged", []), "diverged"),
        subscriptions=decode_subscriptions(message.get("subscriptions", [])),
        without=decode_collections(message.get("without", []), "without"),
        delta=optional(_decode_wish, message.get("delta"), "delta"),
        settled=an_integer(message.get("settled", 0), "settled", 0, MAX_INTEGER),
        began=an_integer(message.get("began", 0), "began", 0, MAX_INTEGER),
        texts=texts,
    )


def decode_subscriptions(value: JSON) -> tuple[Subscription, ...]:
    """Read the parts of collections that a replica asks for, one of each collection at most."""
    given = a_list(value, "subscriptions", MAX_COLLECTIONS)
    found = tuple(_decode_subscription(one, f"subscriptions[{i}]") for i, one in enumerate(given))
    if len({one.collection for one in found}) < len(found):
        raise SchemaError("a collection has one subscription at most", place="subscriptions")
    return found


def encode_change(change: Change) -> dict[str, JSON]:
    """Give a change as it travels."""
    state = change.state
    message: dict[str, JSON] = {
        "collection": change.collection,
        "key": change.key,
        "operation": change.operation,
    }
    if change.operation != "delete":
        message["document" if change.is_whole else "delta"] = state.body
    encode_stamps(message, state)
    removed = [] if change.is_whole or change.operation == "delete" else removals(state)
    if removed:
        message["removed"] = removed
        latest = message["timestamp"]
        stamps = {p: t for p, t in state.stamps.items() if t != latest or p not in removed}
        message["stamps"] = stamps
    for name in ("op_id", "n", "base_version", "merge", "transaction", "deeds", "contains"):
        value = getattr(change, name)
        if value is not None:
            message[name] = value
    if change.relays:
        message["relays"] = True
    return message


def decode_change(value: JSON, place: str) -> Change:
    """Read what :func:`encode_change` gave, once it is parsed; raise :class:`SchemaError` for what is wrong."""
    message = an_object(value, place)
    operation: Operation = one_of(OPERATIONS, message.get("operation"), f"{place}.operation")
    is_whole = operation == "insert" or "document" in message
    body = None
    if operation != "delete":
        name = "document" if is_whole else "delta"
        body = a_document(message.get(name), f"{place}.{name}")
    state = decode_stamps(message, body, place)
    if operation == "delete":
        state = deleted(state.timestamp)
    base = message.get("base_version")
    return Change(
        collection=a_name(check_collection, message.get("collection"), f"{place}.collection"),
        key=a_name(check_key, message.get("key"), f"{place}.key"),
        operation=operation,
        state=state,
        is_whole=is_whole,
        op_id=optional(an_id, message.get("op_id"), f"{place}.op_id"),
        n=optional(a_counter, message.get("n"), f"{place}.n"),
        base_version=None if base is None else decode_vector(base, f"{place}.base_version"),
        merge=optional(an_id, message.get("merge"), f"{place}.merge"),
        transaction=optional(a_counter, message.get("transaction"), f"{place}.transaction"),
        deeds=optional(an_id, message.get("deeds"), f"{place}.deeds"),
        relays=message.get("relays") is True,
        contains=optional(decode_vector, message.get("contains"), f"{place}.contains"),
    )


def _decode_changes(given: Sequence[JSON]) -> tuple[list[Change], tuple[tuple[Body, str], ...]]:
    """Read many changes; those that are as our client sends most of them are checked together."""
    usual = list(map(_is_usual_change, given))
    together, texts = _decode_usual_changes(list(compress(given, usual)))
    if together and all(usual):
        return together, texts
    found = iter(together)
    return [
        (next(found, None) if is_usual else None) or decode_change(message, f"changes[{i}]")
        for i, (message, is_usual) in enumerate(zip(given, usual, strict=True))
    ], texts


def _is_usual_change(message: JSON) -> bool:
    """Tell whether a change has as many members as one of our client that is no delete; which, is seen later."""
    return type(message) is dict and len(message) == len(_CHANGE) + 1 + ("merge" in message)


def _decode_usual_changes(given: Sequence[dict[str, JSON]]) -> tuple[list[Change], tuple[tuple[Body, str], ...]]:
    """Read changes with all usual members and no others; nothing where there is anything to say against one."""
    try:
        collections, keys, operations, times, op_ids, numbers, bases = zip(
            *map(_change_members, given), strict=True
        )
        wholes = [one["operation"] == "insert" or "document" in one for one in given]
        bodies = [one["document" if is_whole else "delta"] for one, is_whole in zip(given, wholes, strict=True)]
        merges = [one.get("merge") for one in given]
        check_keys(keys)
        for collection in set(collections):
            check_collection(collection)
        for name in RESERVED:
            for body in bodies:
                body.pop(name, None)
        texts = canonical_many(bodies, keys)
        for body, text in zip(bodies, texts, strict=True):
            if MARK_TEXT in text:
                check_states(body, "document")
        counts = [*numbers, *chain.from_iterable(map(dict.values, bases))]
        is_usual = (
            {"insert", "update"}.issuperset(operations)
            and {int}.issuperset(map(type, counts))
            and all(bodies)
            and all(map(is_ours, set(times)))
            and all(map(ID.match, {*op_ids, *merges, *chain.from_iterable(bases)} - {None}))
            and min(numbers) > 0
            and min(counts) >= 0
            and max(map(len, bases)) <= MAX_VECTOR
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return [], ()
    if not is_usual:
        return [], ()
    states = map(State, bodies, times)
    changes = map(Change, collections, keys, operations, states, wholes, op_ids, numbers, bases, merges)
    return list(changes), tuple(zip(bodies, texts, strict=True))
