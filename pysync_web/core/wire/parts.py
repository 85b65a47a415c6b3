"""The parts that messages have in common, each read by a function that validates it or says what is wrong where."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, TypeVar

from ...causality import MAX_VECTOR, VersionVector, normalize_timestamp
from ...errors import InvalidDocument, SchemaError
from ...values import JSON, MAX_DOCUMENT_BYTES, MAX_INTEGER, canonical, check_collection
from ..document import Document, State
from ..fields import MARK_TEXT, RESERVED, check_states
from .messages import MAX_COLLECTIONS

MAX_ID = 128
T = TypeVar("T")
ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
OPERATIONS = ("insert", "update", "delete")


def many(kind: type[T], *columns: Iterable[Any]) -> Iterator[T]:
    """Make many named tuples of all their members, in half the time that their own constructors take."""
    new: Callable[..., T] = tuple.__new__
    return map(new, repeat(kind), zip(*columns))  # noqa: B905 - some columns have no end


def decode_vector(value: JSON, place: str) -> VersionVector:
    """Read a version vector: at most 1,000 ids of printable ASCII, each with a count from 0 to 2^53-1."""
    vector = an_object(value, place)
    if len(vector) > MAX_VECTOR:
        raise SchemaError(f"{len(vector)} entries, over the limit of {MAX_VECTOR}", place=place)
    for replica, n in vector.items():
        if not ID.match(replica):
            raise SchemaError(f"{replica!r:.60} is not an id", place=place)
        if type(n) is not int or not 0 <= n <= MAX_INTEGER:
            raise SchemaError("a count is an integer from 0 to 2^53-1", place=f"{place}.{replica}")
    return vector


def decode_collections(value: JSON, place: str = "collections") -> tuple[str, ...]:
    """Read a list of collection names, in order and once each."""
    names = a_list(value, place, MAX_COLLECTIONS)
    return tuple(sorted({a_name(check_collection, name, f"{place}[{i}]") for i, name in enumerate(names)}))


def encode_part(part: Document) -> dict[str, JSON]:
    """Give fields with their stamps, and whose they are where that is known."""
    message: dict[str, JSON] = {"document": part.body}
    if part.op_id:
        message["op_id"] = part.op_id
    encode_stamps(message, part.state)
    return message


def decode_part(value: JSON, place: str) -> Document:
    """Read what :func:`encode_part` gave."""
    message = an_object(value, place)
    body = optional(an_object, message.get("document"), f"{place}.document")
    op_id = optional(an_id, message.get("op_id"), f"{place}.op_id")
    return Document(decode_stamps(message, body, place), {}, op_id or "")


def encode_stamps(message: dict[str, JSON], state: State) -> None:
    """Add ``timestamp``, and ``since`` and ``stamps`` where they say more."""
    latest = message["timestamp"] = state.timestamp
    if state.since != latest:
        message["since"] = state.since
    if state.stamps:
        message["stamps"] = state.stamps


def decode_stamps(message: dict[str, JSON], body: JSON, place: str) -> State:
    """Read a state. A plain client's change may have no timestamp: the server gives it one ("" until then)."""
    given = message.get("timestamp")
    latest = "" if given is None else normalize_timestamp(given, f"{place}.timestamp")
    since = message.get("since")
    since = latest if since is None else normalize_timestamp(since, f"{place}.since")
    stamps = {}
    for path, stamp in an_object(message.get("stamps", {}), f"{place}.stamps").items():
        stamps[a_pointer(path, f"{place}.stamps")] = normalize_timestamp(stamp, f"{place}.stamps[{path!r}]")
    for i, path in enumerate(a_list(message.get("removed", []), f"{place}.removed", 1024)):
        stamps.setdefault(a_pointer(path, f"{place}.removed[{i}]"), latest)
    if body == {} and not stamps:
        stamps[""] = latest
    return State(body, since, stamps)


def a_document(value: JSON, place: str) -> dict[str, JSON]:
    """Read a document's body, without the members that the library gives."""
    body = an_object(value, place)
    for name in RESERVED:
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


def an_object(value: JSON, place: str) -> dict[str, JSON]:
    """Read an object."""
    if type(value) is not dict:
        raise SchemaError(f"an object was due, not {_kind(value)}", place=place)
    return value


def a_list(value: JSON, place: str, limit: int) -> list[JSON]:
    """Read a list of at most so many items."""
    if type(value) is not list:
        raise SchemaError(f"a list was due, not {_kind(value)}", place=place)
    if len(value) > limit:
        raise SchemaError(f"{len(value)} items, over the limit of {limit}", place=place, code="too_many")
    return value


def an_id(value: JSON, place: str) -> str:
    """Read the id of a replica, a change or a request."""
    if isinstance(value, str) and ID.match(value):
        return value
    raise SchemaError(
        f"1 to 128 printable ASCII characters without space were due, not {_kind(value)}", place=place
    )


def a_counter(value: JSON, place: str) -> int:
    """Read the number of a change."""
    return an_integer(value, place, 1, MAX_INTEGER)


def an_integer(value: JSON, place: str, low: int, high: int) -> int:
    """Read an integer in a range."""
    if type(value) is int and low <= value <= high:
        return value
    raise SchemaError(f"an integer from {low} to {high} was due, not {value!r:.40}", place=place)


def a_pointer(path: JSON, place: str) -> str:
    """Read the JSON Pointer of a leaf."""
    if isinstance(path, str) and is_pointer(path):
        return path
    raise SchemaError(f"{path!r:.60} is not a JSON Pointer of at most 64 members", place=place)


def is_pointer(path: str) -> bool:
    """Tell whether a text is the JSON Pointer of a leaf."""
    return (not path or path[0] == "/") and len(path) <= 16384 and path.count("/") <= 64


def one_of(words: tuple[str, ...], value: JSON, place: str) -> Any:
    """Read one of some words."""
    if value in words:
        return value
    raise SchemaError(f"{value!r:.40} is none of {', '.join(words)}", place=place)


def a_name(check: Callable[[object], str], value: JSON, place: str) -> str:
    """Read a name that a function checks."""
    try:
        return check(value)
    except InvalidDocument as error:
        raise SchemaError(str(error), place=place) from error


def optional(check: Callable[[JSON, str], Any], value: JSON, place: str) -> Any:
    """Read what may be missing, or null."""
    return None if value is None else check(value, place)


def _kind(value: JSON) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), repr(value)[:40])
