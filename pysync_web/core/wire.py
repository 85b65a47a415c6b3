"""The message pair, and the one decoder through which everything from outside comes in.

A plain client may leave out ``op_id``, ``n``, ``request_id``, ``fence`` and versions; a document travels as the
text that lies in the server's storage, so an answer is put together without encoding a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, repeat
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from ..causality import MAX_VECTOR, VersionVector, is_ours, normalize_timestamp
from ..errors import InvalidDocument, SchemaError
from ..values import (
    JSON,
    MAX_DOCUMENT_BYTES,
    MAX_INTEGER,
    NoCollecting,
    canonical,
    canonical_many,
    check_collection,
    check_database,
    check_key,
    check_keys,
    decode,
    dumps,
    loads,
    quoted,
)
from .document import ABSENT, Body, Document, State, deleted, removals
from .fields import MARK_TEXT, check_states

PROTOCOL: Final = 1
MAX_CHANGES: Final = 500
MAX_TRANSACTION: Final = 100
MAX_PAGE: Final = 1000
MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_COLLECTIONS: Final = 1000
MAX_QUERY: Final = 8 * 1024

Operation: TypeAlias = Literal["insert", "update", "delete"]
Status: TypeAlias = Literal["applied", "duplicate", "merged", "conflict", "rejected"]

MAX_ID = 128

T = TypeVar("T")

_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_MEMBERS = ("collection", "key", "operation", "document", "timestamp", "version_vector", "op_id")
_members = itemgetter(*_MEMBERS)
_CHANGE = ("collection", "key", "operation", "timestamp", "op_id", "n", "base_version")
_change_members = itemgetter(*_CHANGE)
_RESERVED = ("_key", "_version", "_timestamp")
_UNSTAMPED: Final[dict[str, str]] = {}
_OPERATIONS = ("insert", "update", "delete")
_STATUSES = ("applied", "duplicate", "merged", "conflict", "rejected")

_ESCAPED_MARK: Final = re.compile(r"\\u00[267]")
"""How a letter of the mark of a CRDT value may begin that is written by its number; accents begin otherwise."""


class Change(NamedTuple):
    """One change as it is pushed. ``is_whole`` says that the state is a whole document, not a part of one.

    ``transaction`` (the first ``n`` of it) binds changes that are applied together or not at all. ``deeds`` is the
    fingerprint of what was done to CRDT values, which stays the same when a clone does it again under another name.
    ``relays`` says that the change passes on CRDT values that others than its sender may have made. ``contains`` is
    the version that the state has, where it came from device to device: it is merged by its stamps.
    """

    collection: str
    key: str
    operation: Operation
    state: State
    is_whole: bool
    op_id: str | None = None
    n: int | None = None
    base_version: VersionVector | None = None
    merge: str | None = None
    transaction: int | None = None
    deeds: str | None = None
    relays: bool = False
    contains: VersionVector | None = None


class Had(NamedTuple):
    """What a replica held of a collection before its filter was changed; ``query`` None: all of it."""

    query: str | None
    bind_vars: dict[str, JSON]


class Snapshot(NamedTuple):
    """How far a replica has got all that a filter lets through, in the order of keys.

    ``after`` is the last key that was looked at. What was ``had`` up to the sequence ``until`` need not be sent
    again, but for what must go.
    """

    after: str | None = None
    until: int = 0
    had: Had | None = None


class Subscription(NamedTuple):
    """A part of a collection that a replica holds; ``snapshot`` until it has come; ``query`` None: all of it."""

    id: str
    collection: str
    query: str | None = None
    bind_vars: dict[str, JSON] = {}  # noqa: RUF012 (never changed)
    snapshot: Snapshot | None = None


class DeltaWish(NamedTuple):
    """That documents may come as what has changed in them, where that is at most ``threshold`` of their length.

    Those of the collections ``off`` come whole.
    """

    threshold: float = 0.5
    off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a replica sends: its changes, and the cursor from which it wants those of others.

    ``limit`` is how many documents of others it takes, 0 only beside changes. ``collections`` None means all; of
    those in ``subscriptions`` it wants what these say, of those in ``without`` nothing. ``delta`` None: documents
    come whole. ``settled`` is the last cursor at which it had everything; ``began`` is what the last answer said.
    ``protocol`` 0 is a plain client without identity or idempotence. ``diverged`` tells the server's operator of
    which collections, when all had been exchanged, the replica's documents were others than the server's.
    ``texts`` has bodies of the changes, each with its canonical text, where reading them has made that.
    """

    database: str
    client_id: str
    version_vector: VersionVector = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    protocol: int = 0
    request_id: str | None = None
    fence: str | None = None
    epoch: str | None = None
    limit: int = MAX_PAGE
    collections: tuple[str, ...] | None = None
    diverged: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    without: tuple[str, ...] = ()
    delta: DeltaWish | None = None
    settled: int = 0
    began: int = 0
    texts: tuple[tuple[Body, str], ...] = field(default=(), compare=False, repr=False)

    @property
    def since(self) -> int:
        """The cursor: the server's sequence up to which the replica has everything."""
        return self.version_vector.get("server", 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a change was refused: a stable code, what and where, and what may help."""

    code: str
    message: str
    hint: str = ""


NO_DOCUMENT: Final = Problem("no_document", "there is no document to change: what made it was refused, or is gone")
"""Why a part of a document is refused where there is none, as who made it had to know."""


class Result(NamedTuple):
    """The server's verdict on one change; ``version`` is the document's version after it.

    Of a change that was merged, now or when it came first, ``lost`` is the part that later changes had already
    replaced, and ``overwritten`` what it replaced without having seen it; without a body, that is a delete.
    """

    op_id: str
    status: Status
    version: VersionVector = {}  # noqa: RUF012 (never changed)
    error: Problem | None = None
    lost: State | None = None
    overwritten: Document | None = None


class ServerChange(NamedTuple):
    """A document as the server has it.

    ``delta`` is the message where only what has changed came; ``is_removed`` says that the document has left what the
    replica asks for, and is no delete. Of both ``document`` has the version alone.
    """

    collection: str
    key: str
    document: Document
    delta: dict[str, JSON] | None = None
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """The answer: verdicts, what others changed after ``since``, and the new cursor in ``server_version``.

    ``digest`` is the sum over the documents that the replica should now have, or None while ``has_more``;
    ``digests`` those of collections that it asks for in part, as far as they are known. ``snapshots`` tell by
    subscription the last key that was looked at, and whether it was the last. ``floor`` is the sequence up to which
    the server may have forgotten deletes; ``began``, as long as a pull from 0 has not come so far, the sequence where
    it began, to be said again in the next request.
    """

    request_id: str | None
    fence: str | None
    epoch: str
    since: int
    server_version: VersionVector
    timestamp: str
    has_more: bool = False
    digest: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    server_changes: tuple[ServerChange, ...] = ()
    conflicts: tuple[ServerChange, ...] = ()
    floor: int = 0
    began: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as the server makes it: documents are still the texts of its storage.

    ``newest`` is the sequence of the server's last change then, which is not sent; None in one of another epoch.
    ``results`` is the text of those in the head, where it is known.
    """

    head: dict[str, JSON]
    server_changes: list[str]
    conflicts: list[str]
    newest: int | None = None
    results: str | None = None

    def text(self) -> str:
        """Give the response's JSON text."""
        return (
            f'{self._head_text()[:-1]},"server_changes":[{",".join(self.server_changes)}]'
            f',"conflicts":[{",".join(self.conflicts)}]}}'
        )

    def _head_text(self) -> str:
        if self.results is None:
            return dumps(self.head)
        first = dumps({name: value for name, value in self.head.items() if name < "results"})
        last = dumps({name: value for name, value in self.head.items() if name > "results"})
        return f'{first[:-1]},"results":{self.results},{last[1:]}'


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
    message = _object(value, place)
    snapshot = message.get("snapshot")
    if snapshot is not None:
        snapshot = _decode_snapshot(snapshot, f"{place}.snapshot")
    return Subscription(
        _id(message.get("id"), f"{place}.id"),
        _name(check_collection, message.get("collection"), f"{place}.collection"),
        _optional(_query, message.get("query"), f"{place}.query"),
        _object(message.get("bind_vars", {}), f"{place}.bind_vars"),
        snapshot,
    )


def _decode_snapshot(value: JSON, place: str) -> Snapshot:
    message = _object(value, place)
    had = message.get("had")
    if had is not None:
        had = _object(had, f"{place}.had")
        binds = _object(had.get("bind_vars", {}), f"{place}.had.bind_vars")
        had = Had(_optional(_query, had.get("query"), f"{place}.had.query"), binds)
    after = message.get("after")
    return Snapshot(
        None if after is None else _name(check_key, after, f"{place}.after"),
        _integer(message.get("until", 0), f"{place}.until", 0, MAX_INTEGER),
        had,
    )


def _decode_wish(value: JSON, place: str) -> DeltaWish:
    message = _object(value, place)
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
    message = _object(decode(data, "body"), "body")
    named = _name(check_database, message.get("database", database), "database")
    if database is not None and named != database:
        raise SchemaError(f"{named!r} is not the database {database!r} of the URL", place="database")
    given = _list(message.get("changes", []), "changes", MAX_CHANGES)
    changes, texts = _decode_changes(given)
    collections = message.get("collections")
    return SyncRequest(
        database=named,
        client_id=_id(message.get("client_id"), "client_id"),
        version_vector=decode_vector(message.get("version_vector", {}), "version_vector"),
        changes=tuple(changes),
        protocol=_integer(message.get("protocol", 0), "protocol", 0, PROTOCOL),
        request_id=_optional(_id, message.get("request_id"), "request_id"),
        fence=_optional(_id, message.get("fence"), "fence"),
        epoch=_optional(_id, message.get("epoch"), "epoch"),
        limit=_integer(message.get("limit", MAX_PAGE), "limit", 0 if changes else 1, MAX_PAGE),
        collections=None if collections is None else decode_collections(collections),
        diverged=decode_collections(message.get("diverged", []), "diverged"),
        subscriptions=decode_subscriptions(message.get("subscriptions", [])),
        without=decode_collections(message.get("without", []), "without"),
        delta=_optional(_decode_wish, message.get("delta"), "delta"),
        settled=_integer(message.get("settled", 0), "settled", 0, MAX_INTEGER),
        began=_integer(message.get("began", 0), "began", 0, MAX_INTEGER),
        texts=texts,
    )


def decode_subscriptions(value: JSON) -> tuple[Subscription, ...]:
    """Read the parts of collections that a replica asks for, one of each collection at most."""
    given = _list(value, "subscriptions", MAX_COLLECTIONS)
    found = tuple(_decode_subscription(one, f"subscriptions[{i}]") for i, one in enumerate(given))
    if len({one.collection for one in found}) < len(found):
        raise SchemaError("a collection has one subscription at most", place="subscriptions")
    return found


def decode_response(data: bytes | str) -> SyncResponse:
    """Read a server's answer; unknown members are left alone, wrong ones raise :class:`SchemaError`."""
    with NoCollecting():
        response = _response(_object(decode(data, "answer"), "answer"))
    text = data if isinstance(data, str) else data.decode()
    if MARK_TEXT in text or _ESCAPED_MARK.search(text):
        _check_states(response)
    return response


def _check_states(response: SyncResponse) -> None:
    """Look at the CRDT values in an answer that has some."""
    for where, changes in (("server_changes", response.server_changes), ("conflicts", response.conflicts)):
        for i, change in enumerate(changes):
            check_states(change.document.body, f"{where}[{i}].document")
    for i, result in enumerate(response.results):
        check_states(result.lost.body if result.lost else None, f"results[{i}].lost")
        check_states(result.overwritten.body if result.overwritten else None, f"results[{i}].overwritten")


def _response(message: dict[str, JSON]) -> SyncResponse:
    results = _list(message.get("results", []), "results", MAX_CHANGES)
    page = _list(message.get("server_changes", []), "server_changes", MAX_PAGE + MAX_CHANGES)
    conflicts = _list(message.get("conflicts", []), "conflicts", MAX_CHANGES)
    return SyncResponse(
        request_id=_optional(_id, message.get("request_id"), "request_id"),
        fence=_optional(_id, message.get("fence"), "fence"),
        epoch=_id(message.get("epoch"), "epoch"),
        since=_integer(message.get("since"), "since", 0, MAX_INTEGER),
        server_version=decode_vector(message.get("server_version"), "server_version"),
        timestamp=normalize_timestamp(message.get("timestamp"), "timestamp"),
        has_more=bool(message.get("has_more", False)),
        digest=_optional(_id, message.get("digest"), "digest"),
        digests={
            name: _id(value, f"digests.{name}")
            for name, value in _object(message.get("digests", {}), "digests").items()
        },
        snapshots=_decode_progress(message.get("snapshots", {})),
        results=tuple(_decode_result(result, f"results[{i}]") for i, result in enumerate(results)),
        server_changes=tuple(_decode_page(page, "server_changes")),
        conflicts=tuple(decode_server_change(change, f"conflicts[{i}]") for i, change in enumerate(conflicts)),
        floor=_integer(message.get("floor", 0), "floor", 0, MAX_INTEGER),
        began=_integer(message.get("began", 0), "began", 0, MAX_INTEGER),
    )


def _decode_progress(value: JSON) -> dict[str, tuple[str | None, bool]]:
    found = {}
    for name, one in _object(value, "snapshots").items():
        progress = _object(one, f"snapshots.{name}")
        after = progress.get("after")
        key = None if after is None else _name(check_key, after, f"snapshots.{name}.after")
        found[name] = key, progress.get("done") is True
    return found


def encode_remove(collection: str, key: str, sequence: int) -> str:
    """Give the text that says that a document has left what a replica asks for, with the change that it left by."""
    version = {"server": sequence}
    return dumps({"collection": collection, "key": key, "operation": "remove", "version_vector": version})


def encode_server_change(collection: str, key: str, document: Document, body_text: str | None = None) -> str:
    """Give the text under which the server stores a document and sends it; ``body_text`` where its body has one."""
    message: dict[str, JSON] = {}
    if body_text is not None:
        _encode_stamps(message, document.state)
        stamps = dumps(message)[1:-1] if len(message) > 1 else f'"timestamp":"{document.state.timestamp}"'
        version = ",".join([f"{quoted(name)}:{n}" for name, n in sorted(document.version.items())])
        start = f'{{"collection":"{collection}","document":{body_text},"key":{quoted(key)}'
        middle = f'"op_id":{quoted(document.op_id)},"operation":"update"'
        return f'{start},{middle},{stamps},"version_vector":{{{version}}}}}'
    message |= {"collection": collection, "key": key, "op_id": document.op_id, "version_vector": document.version}
    if document.body is None:
        message["operation"] = "delete"
    else:
        message["operation"] = "update"
        message["document"] = document.body
    _encode_stamps(message, document.state)
    return dumps(message)


def _decode_page(page: Sequence[JSON], place: str) -> list[ServerChange]:
    """Read many documents; those that are as our server writes most of them are checked together."""
    usual = list(map(_is_usual, page))
    together = _decode_usual(list(compress(page, usual)))
    if together is not None and all(usual):
        return together
    found = iter(together or ())
    return [
        (next(found, None) if is_usual else None) or decode_server_change(message, f"{place}[{i}]")
        for i, (message, is_usual) in enumerate(zip(page, usual, strict=True))
    ]


def _is_usual(message: JSON) -> bool:
    """Tell whether a document has as many members as one of our server that is there; which, is seen later."""
    return type(message) is dict and len(message) == len(_MEMBERS) + ("since" in message) + ("stamps" in message)


def _decode_usual(page: Sequence[dict[str, JSON]]) -> list[ServerChange] | None:
    """Read documents with all usual members and no others; None where there is anything to say against one."""
    try:
        collections, keys, operations, bodies, latest, versions, op_ids = zip(*map(_members, page), strict=True)
        since = [message.get("since", at) for message, at in zip(page, latest, strict=True)]
        stamps = [message.get("stamps", _UNSTAMPED) for message in page]
        check_keys(keys)
        for collection in set(collections):
            check_collection(collection)
        numbers = list(chain.from_iterable(map(dict.values, versions)))
        times = {*latest, *since, *chain.from_iterable(map(dict.values, stamps))}
        is_usual = (
            {"update"}.issuperset(operations)
            and {dict}.issuperset(map(type, bodies))
            and {int}.issuperset(map(type, numbers))
            and {str}.issuperset(map(type, op_ids))
            and all(bodies)
            and all(map(is_ours, times))
            and all(map(_is_pointer, set(chain.from_iterable(stamps))))
            and all(map(_ID.match, set(chain.from_iterable(versions))))
            and min(numbers, default=0) >= 0
            and max(map(len, versions)) <= MAX_VECTOR
            and max(map(len, op_ids)) <= MAX_ID
        )
    except (KeyError, TypeError, ValueError):
        return None
    if not is_usual:
        return None
    states = many(State, bodies, since, stamps)
    documents = many(Document, states, versions, op_ids)
    return list(many(ServerChange, collections, keys, documents, repeat(None), repeat(False)))


def many(kind: type[T], *columns: Iterable[Any]) -> Iterator[T]:
    """Make many named tuples of all their members, in half the time that their own constructors take."""
    new: Callable[..., T] = tuple.__new__
    return map(new, repeat(kind), zip(*columns))  # noqa: B905 - some columns have no end


def decode_server_change(message: JSON, place: str = "change") -> ServerChange:
    """Read what :func:`encode_server_change` wrote, once it is parsed."""
    message = _object(message, place)
    if message.get("operation") == "remove" or "delta" in message:
        return _decode_brief(message, place)
    operation = _one_of(_OPERATIONS, message.get("operation"), f"{place}.operation")
    body = None if operation == "delete" else _object(message.get("document"), f"{place}.document")
    state = _decode_stamps(message, body, place)
    if body is None and "" not in state.stamps:
        state = deleted(state.since)
    return ServerChange(
        _name(check_collection, message.get("collection"), f"{place}.collection"),
        _name(check_key, message.get("key"), f"{place}.key"),
        Document(
            state,
            decode_vector(message.get("version_vector"), f"{place}.version_vector"),
            str(message.get("op_id", ""))[:MAX_ID],
        ),
    )


def _decode_brief(message: dict[str, JSON], place: str) -> ServerChange:
    """Read that a document is to be removed, or what has changed in one, which is looked at when it is whole."""
    version = decode_vector(message.get("version_vector"), f"{place}.version_vector")
    collection = _name(check_collection, message.get("collection"), f"{place}.collection")
    key = _name(check_key, message.get("key"), f"{place}.key")
    document = Document(ABSENT, version)
    if message["operation"] == "remove":
        return ServerChange(collection, key, document, is_removed=True)
    _integer(message.get("base"), f"{place}.base", 1, MAX_INTEGER)
    for name in ("delta", "stamps"):
        _object(message.get(name, {}), f"{place}.{name}")
    for name in ("removed", "unstamped"):
        for i, path in enumerate(_list(message.get(name, []), f"{place}.{name}", 10_000)):
            _pointer(path, f"{place}.{name}[{i}]")
    return ServerChange(collection, key, document, delta=message)


def decode_stored(text: str) -> Document:
    """Read back what :func:`encode_server_change` wrote and a server keeps: what was checked is not checked again."""
    stored = loads(text)
    body = stored.get("document")
    if not body:
        return decode_server_change(stored).document
    latest = stored["timestamp"]
    state = State(body, stored.get("since", latest), stored.get("stamps", {}))
    return Document(state, stored["version_vector"], stored["op_id"])


def decode_vector(value: JSON, place: str) -> VersionVector:
    """Read a version vector: at most 1,000 ids of printable ASCII, each with a count from 0 to 2^53-1."""
    vector = _object(value, place)
    if len(vector) > MAX_VECTOR:
        raise SchemaError(f"{len(vector)} entries, over the limit of {MAX_VECTOR}", place=place)
    for replica, n in vector.items():
        if not _ID.match(replica):
            raise SchemaError(f"{replica!r:.60} is not an id", place=place)
        if type(n) is not int or not 0 <= n <= MAX_INTEGER:
            raise SchemaError("a count is an integer from 0 to 2^53-1", place=f"{place}.{replica}")
    return vector


def decode_collections(value: JSON, place: str = "collections") -> tuple[str, ...]:
    """Read a list of collection names, in order and once each."""
    names = _list(value, place, MAX_COLLECTIONS)
    return tuple(sorted({_name(check_collection, name, f"{place}[{i}]") for i, name in enumerate(names)}))


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
    _encode_stamps(message, state)
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
    message = _object(value, place)
    operation: Operation = _one_of(_OPERATIONS, message.get("operation"), f"{place}.operation")
    is_whole = operation == "insert" or "document" in message
    body = None
    if operation != "delete":
        name = "document" if is_whole else "delta"
        body = _document(message.get(name), f"{place}.{name}")
    state = _decode_stamps(message, body, place)
    if operation == "delete":
        state = deleted(state.timestamp)
    base = message.get("base_version")
    return Change(
        collection=_name(check_collection, message.get("collection"), f"{place}.collection"),
        key=_name(check_key, message.get("key"), f"{place}.key"),
        operation=operation,
        state=state,
        is_whole=is_whole,
        op_id=_optional(_id, message.get("op_id"), f"{place}.op_id"),
        n=_optional(_counter, message.get("n"), f"{place}.n"),
        base_version=None if base is None else decode_vector(base, f"{place}.base_version"),
        merge=_optional(_id, message.get("merge"), f"{place}.merge"),
        transaction=_optional(_counter, message.get("transaction"), f"{place}.transaction"),
        deeds=_optional(_id, message.get("deeds"), f"{place}.deeds"),
        relays=message.get("relays") is True,
        contains=_optional(decode_vector, message.get("contains"), f"{place}.contains"),
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
        for name in _RESERVED:
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
            and all(map(_ID.match, {*op_ids, *merges, *chain.from_iterable(bases)} - {None}))
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


def _decode_result(value: JSON, place: str) -> Result:
    message = _object(value, place)
    error = message.get("error")
    problem = None
    if error is not None:
        error = _object(error, f"{place}.error")
        problem = Problem(*(str(error.get(name, ""))[:1000] for name in ("code", "message", "hint")))
    return Result(
        _id(message.get("op_id"), f"{place}.op_id"),
        _one_of(_STATUSES, message.get("status"), f"{place}.status"),
        decode_vector(message.get("version_vector", {}), f"{place}.version_vector"),
        problem,
        *decode_losses(message, place),
    )


def encode_result(result: Result) -> dict[str, JSON]:
    """Give a verdict as it travels and as the server stores it."""
    message: dict[str, JSON] = {
        "op_id": result.op_id,
        "status": result.status,
        "version_vector": result.version,
    }
    if result.error is not None:
        message["error"] = {
            "code": result.error.code,
            "message": result.error.message,
            "hint": result.error.hint,
        }
    message.update(encode_losses(result))
    return message


def encode_losses(result: Result) -> dict[str, JSON]:
    """Give the members of a verdict that tell what a merge lost and overwrote, if it did."""
    message: dict[str, JSON] = {}
    if result.lost is not None:
        message["lost"] = _encode_part(Document(result.lost, {}))
    if result.overwritten is not None:
        message["overwritten"] = _encode_part(result.overwritten)
    return message


def decode_losses(message: dict[str, JSON], place: str = "result") -> tuple[State | None, Document | None]:
    """Read what :func:`encode_losses` gave."""
    lost, overwritten = (
        _optional(_decode_part, message.get(name), f"{place}.{name}") for name in ("lost", "overwritten")
    )
    return lost.state if lost else None, overwritten


def _encode_part(part: Document) -> dict[str, JSON]:
    """Give fields with their stamps, and whose they are where that is known."""
    message: dict[str, JSON] = {"document": part.body}
    if part.op_id:
        message["op_id"] = part.op_id
    _encode_stamps(message, part.state)
    return message


def _decode_part(value: JSON, place: str) -> Document:
    message = _object(value, place)
    body = _optional(_object, message.get("document"), f"{place}.document")
    op_id = _optional(_id, message.get("op_id"), f"{place}.op_id")
    return Document(_decode_stamps(message, body, place), {}, op_id or "")


def _encode_stamps(message: dict[str, JSON], state: State) -> None:
    """Add ``timestamp``, and ``since`` and ``stamps`` where they say more."""
    latest = message["timestamp"] = state.timestamp
    if state.since != latest:
        message["since"] = state.since
    if state.stamps:
        message["stamps"] = state.stamps


def _decode_stamps(message: dict[str, JSON], body: JSON, place: str) -> State:
    """Read a state. A plain client's change may have no timestamp: the server gives it one ("" until then)."""
    given = message.get("timestamp")
    latest = "" if given is None else normalize_timestamp(given, f"{place}.timestamp")
    since = message.get("since")
    since = latest if since is None else normalize_timestamp(since, f"{place}.since")
    stamps = {}
    for path, stamp in _object(message.get("stamps", {}), f"{place}.stamps").items():
        stamps[_pointer(path, f"{place}.stamps")] = normalize_timestamp(stamp, f"{place}.stamps[{path!r}]")
    for i, path in enumerate(_list(message.get("removed", []), f"{place}.removed", 1024)):
        stamps.setdefault(_pointer(path, f"{place}.removed[{i}]"), latest)
    if body == {} and not stamps:
        stamps[""] = latest
    return State(body, since, stamps)


def _document(value: JSON, place: str) -> dict[str, JSON]:
    body = _object(value, place)
    for name in _RESERVED:
        body.pop(name, None)
    try:
        text = canonical(body, place)
    except InvalidDocument as error:
        raise SchemaError(str(error)[len(place) + 2 :], place=place, code="invalid_document") from error
    if len(text) > MAX_DOCUMENT_BYTES:
        raise SchemaError(f"over the limit of {MAX_DOCUMENT_BYTES} bytes", place=place, code="document_too_large")
    if MARK_TEXT in text:
        check_states(body, place)
    return body


def _object(value: JSON, place: str) -> dict[str, JSON]:
    if type(value) is not dict:
        raise SchemaError(f"an object was due, not {_kind(value)}", place=place)
    return value


def _list(value: JSON, place: str, limit: int) -> list[JSON]:
    if type(value) is not list:
        raise SchemaError(f"a list was due, not {_kind(value)}", place=place)
    if len(value) > limit:
        raise SchemaError(f"{len(value)} items, over the limit of {limit}", place=place, code="too_many")
    return value


def _id(value: JSON, place: str) -> str:
    if isinstance(value, str) and _ID.match(value):
        return value
    raise SchemaError(
        f"1 to 128 printable ASCII characters without space were due, not {_kind(value)}", place=place
    )


def _counter(value: JSON, place: str) -> int:
    return _integer(value, place, 1, MAX_INTEGER)


def _integer(value: JSON, place: str, low: int, high: int) -> int:
    if type(value) is int and low <= value <= high:
        return value
    raise SchemaError(f"an integer from {low} to {high} was due, not {value!r:.40}", place=place)


def _pointer(path: JSON, place: str) -> str:
    if isinstance(path, str) and _is_pointer(path):
        return path
    raise SchemaError(f"{path!r:.60} is not a JSON Pointer of at most 64 members", place=place)


def _is_pointer(path: str) -> bool:
    return (not path or path[0] == "/") and len(path) <= 16384 and path.count("/") <= 64


def _one_of(words: tuple[str, ...], value: JSON, place: str) -> Any:
    if value in words:
        return value
    raise SchemaError(f"{value!r:.40} is none of {', '.join(words)}", place=place)


def _name(check: Callable[[object], str], value: JSON, place: str) -> str:
    try:
        return check(value)
    except InvalidDocument as error:
        raise SchemaError(str(error), place=place) from error


def _optional(check: Callable[[JSON, str], Any], value: JSON, place: str) -> Any:
    return None if value is None else check(value, place)


def _kind(value: JSON) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), repr(value)[:40])
