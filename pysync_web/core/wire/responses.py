"""An answer as text and back: verdicts, and documents as they lie in the server's storage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import chain, compress, repeat
from operator import itemgetter
from typing import Final

from ...causality import MAX_VECTOR, is_ours, normalize_timestamp
from ...values import (
    JSON,
    MAX_INTEGER,
    NoCollecting,
    check_collection,
    check_key,
    check_keys,
    decode,
    dumps,
    loads,
    quoted,
)
from ..document import ABSENT, Document, State, deleted
from ..fields import MARK_TEXT, check_states
from .messages import MAX_CHANGES, MAX_PAGE, Problem, Result, ServerChange, SyncResponse
from .pages import parse_page
from .parts import (
    ID,
    MAX_ID,
    OPERATIONS,
    a_list,
    a_name,
    a_pointer,
    an_id,
    an_integer,
    an_object,
    decode_part,
    decode_stamps,
    decode_vector,
    encode_part,
    encode_stamps,
    is_pointer,
    many,
    one_of,
    optional,
)

_MEMBERS = ("collection", "key", "operation", "document", "timestamp", "version_vector", "op_id")
_members = itemgetter(*_MEMBERS)
_ESCAPED_MARK: Final = re.compile(r"\\u00[267]")
"""How a letter of the mark of a CRDT value may begin that is written by its number; accents begin otherwise."""
_UNSTAMPED: Final[dict[str, str]] = {}
_STATUSES = ("applied", "duplicate", "merged", "conflict", "rejected")


def decode_response(data: bytes | str) -> SyncResponse:
    """Read a server's answer; unknown members are left alone, wrong ones raise :class:`SchemaError`."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    has_crdts = _may_have_crdts(text)
    texts: list[str] = []
    parse = None if has_crdts or not text.isascii() else partial(parse_page, texts=texts)
    with NoCollecting():
        response = _response(an_object(decode(data, "answer", parse), "answer"), texts)
    if has_crdts:
        _check_states(response)
    return response


def _may_have_crdts(text: str) -> bool:
    """Tell quickly whether the mark of CRDT values may stand in a text: one character is looked for first."""
    return ("$" in text and MARK_TEXT in text) or ("\\" in text and _ESCAPED_MARK.search(text) is not None)


def _check_states(response: SyncResponse) -> None:
    """Look at the CRDT values in an answer that has some."""
    for where, changes in (("server_changes", response.server_changes), ("conflicts", response.conflicts)):
        for i, change in enumerate(changes):
            check_states(change.document.body, f"{where}[{i}].document")
    for i, result in enumerate(response.results):
        check_states(result.lost.body if result.lost else None, f"results[{i}].lost")
        check_states(result.overwritten.body if result.overwritten else None, f"results[{i}].overwritten")


def _response(message: dict[str, JSON], texts: Sequence[str]) -> SyncResponse:
    results = a_list(message.get("results", []), "results", MAX_CHANGES)
    page = a_list(message.get("server_changes", []), "server_changes", MAX_PAGE + MAX_CHANGES)
    conflicts = a_list(message.get("conflicts", []), "conflicts", MAX_CHANGES)
    return SyncResponse(
        request_id=optional(an_id, message.get("request_id"), "request_id"),
        fence=optional(an_id, message.get("fence"), "fence"),
        epoch=an_id(message.get("epoch"), "epoch"),
        since=an_integer(message.get("since"), "since", 0, MAX_INTEGER),
        server_version=decode_vector(message.get("server_version"), "server_version"),
        timestamp=normalize_timestamp(message.get("timestamp"), "timestamp"),
        has_more=bool(message.get("has_more", False)),
        digest=optional(an_id, message.get("digest"), "digest"),
        digests={
            name: an_id(value, f"digests.{name}")
            for name, value in an_object(message.get("digests", {}), "digests").items()
        },
        snapshots=_decode_progress(message.get("snapshots", {})),
        results=tuple(_decode_result(result, f"results[{i}]") for i, result in enumerate(results)),
        server_changes=tuple(_decode_page(page, "server_changes", texts)),
        conflicts=tuple(decode_server_change(change, f"conflicts[{i}]") for i, change in enumerate(conflicts)),
        floor=an_integer(message.get("floor", 0), "floor", 0, MAX_INTEGER),
        began=an_integer(message.get("began", 0), "began", 0, MAX_INTEGER),
    )


def _decode_progress(value: JSON) -> dict[str, tuple[str | None, bool]]:
    found = {}
    for name, one in an_object(value, "snapshots").items():
        progress = an_object(one, f"snapshots.{name}")
        after = progress.get("after")
        key = None if after is None else a_name(check_key, after, f"snapshots.{name}.after")
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
        encode_stamps(message, document.state)
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
    encode_stamps(message, document.state)
    return dumps(message)


def _decode_page(page: Sequence[JSON], place: str, texts: Sequence[str]) -> list[ServerChange]:
    """Read many documents; those that are as our server writes most of them are checked together.

    ``texts`` are those of their bodies, or none.
    """
    usual = list(map(_is_usual, page))
    is_plain = all(usual)
    together = _decode_usual(list(compress(page, usual)), texts if is_plain else ())
    if together is not None and is_plain:
        return together
    found = iter(together or ())
    return [
        (next(found, None) if is_usual else None) or decode_server_change(message, f"{place}[{i}]")
        for i, (message, is_usual) in enumerate(zip(page, usual, strict=True))
    ]


def _is_usual(message: JSON) -> bool:
    """Tell whether a document has as many members as one of our server that is there; which, is seen later."""
    return type(message) is dict and len(message) == len(_MEMBERS) + ("since" in message) + ("stamps" in message)


def _decode_usual(page: Sequence[dict[str, JSON]], texts: Sequence[str]) -> list[ServerChange] | None:
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
            and all(map(is_pointer, set(chain.from_iterable(stamps))))
            and all(map(ID.match, set(chain.from_iterable(versions))))
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
    return list(
        many(ServerChange, collections, keys, documents, repeat(None), repeat(False), texts or repeat(None))
    )


def decode_server_change(message: JSON, place: str = "change") -> ServerChange:
    """Read what :func:`encode_server_change` wrote, once it is parsed."""
    message = an_object(message, place)
    if message.get("operation") == "remove" or "delta" in message:
        return _decode_brief(message, place)
    operation = one_of(OPERATIONS, message.get("operation"), f"{place}.operation")
    body = None if operation == "delete" else an_object(message.get("document"), f"{place}.document")
    state = decode_stamps(message, body, place)
    if body is None and "" not in state.stamps:
        state = deleted(state.since)
    return ServerChange(
        a_name(check_collection, message.get("collection"), f"{place}.collection"),
        a_name(check_key, message.get("key"), f"{place}.key"),
        Document(
            state,
            decode_vector(message.get("version_vector"), f"{place}.version_vector"),
            str(message.get("op_id", ""))[:MAX_ID],
        ),
    )


def _decode_brief(message: dict[str, JSON], place: str) -> ServerChange:
    """Read that a document is to be removed, or what has changed in one, which is looked at when it is whole."""
    version = decode_vector(message.get("version_vector"), f"{place}.version_vector")
    collection = a_name(check_collection, message.get("collection"), f"{place}.collection")
    key = a_name(check_key, message.get("key"), f"{place}.key")
    document = Document(ABSENT, version)
    if message["operation"] == "remove":
        return ServerChange(collection, key, document, is_removed=True)
    an_integer(message.get("base"), f"{place}.base", 1, MAX_INTEGER)
    for name in ("delta", "stamps"):
        an_object(message.get(name, {}), f"{place}.{name}")
    for name in ("removed", "unstamped"):
        for i, path in enumerate(a_list(message.get(name, []), f"{place}.{name}", 10_000)):
            a_pointer(path, f"{place}.{name}[{i}]")
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


def _decode_result(value: JSON, place: str) -> Result:
    message = an_object(value, place)
    error = message.get("error")
    problem = None
    if error is not None:
        error = an_object(error, f"{place}.error")
        problem = Problem(*(str(error.get(name, ""))[:1000] for name in ("code", "message", "hint")))
    return Result(
        an_id(message.get("op_id"), f"{place}.op_id"),
        one_of(_STATUSES, message.get("status"), f"{place}.status"),
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
        message["lost"] = encode_part(Document(result.lost, {}))
    if result.overwritten is not None:
        message["overwritten"] = encode_part(result.overwritten)
    return message


def decode_losses(message: dict[str, JSON], place: str = "result") -> tuple[State | None, Document | None]:
    """Read what :func:`encode_losses` gave."""
    lost, overwritten = (
        optional(decode_part, message.get(name), f"{place}.{name}") for name in ("lost", "overwritten")
    )
    return lost.state if lost else None, overwritten
