"""What a reader sees: the confirmed document with the pending changes on top, never stored itself.

One record a document holds both, ``{"c": confirmed, "p": [pending …]}``, so a read is one look-up, and dropping a
change that was refused is all the rollback there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from itertools import repeat
from typing import Any, Final, NamedTuple

from ..causality import SERVER, VersionVector, advance, join
from ..deferred import dataclass
from ..values import JSON, NoCollecting, dumps, dumps_many, loads, loads_many, quoted
from .document import Body, Document, State, changed, decode_state, encode_state, merge, merge_all
from .fields import shown
from .ports import Key
from .recorded import Deed, fingerprint
from .wire import Change, Operation

_UNKNOWN: Final = object()
_SERVER_TEXT: Final = f'"{SERVER}":'
_DELETED_TEXT: Final = '{"c":{"b":null'
_CONFIRMED_TEXT: Final = '{"c":{"b":{'
_PENDING_TEXT: Final = '{"p":[{"b":{'


class Pending(NamedTuple):
    """A change that the server has not acknowledged.

    ``base`` is the version it was made on where that is no longer the confirmed one; ``unit`` the first number of
    the transaction that it belongs to; ``strategy`` the one that was chosen for this change alone; ``refusals`` how
    often the server has refused a request with nothing but it; ``deeds`` what was done to CRDT values; ``relays``
    says that there are some of others in it. ``contains`` is the version that another device showed, where the change
    is not this replica's own but came from there: it is merged by its stamps, whoever has seen what.
    """

    op_id: str
    n: int
    operation: Operation
    state: State
    merge: str | None = None
    base: VersionVector | None = None
    unit: int | None = None
    deeds: tuple[Deed, ...] = ()
    relays: bool = False
    strategy: str | None = None
    refusals: int = 0
    contains: VersionVector | None = None


class Waiting(NamedTuple):
    """A conflict that waits for a decision, between the confirmed version and the pending changes.

    ``base`` is the last version that both had seen; ``asks`` says that functions of the application have yet to be
    asked; ``clashes`` are JSON Pointers to what both changed differently, where that is known.
    """

    base: Document | None
    reason: str
    at_ms: int
    asks: bool = False
    clashes: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """A document as a replica stores it. It is never changed, so what it shows is worked out once.

    While a conflict is ``waiting``, a reader sees the pending changes on its base, not on the confirmed version.
    """

    confirmed: Document | None = None
    pending: tuple[Pending, ...] = ()
    waiting: Waiting | None = None
    _state: Any = field(default=_UNKNOWN, init=False, compare=False, repr=False)

    @property
    def base(self) -> Document | None:
        """The document that the pending changes lie on, as a reader sees them."""
        return self.waiting.base if self.waiting else self.confirmed

    @property
    def state(self) -> State | None:
        """The state of the confirmed document with all pending changes applied."""
        if self._state is _UNKNOWN:
            self._state = _current_state(self)
        state: State | None = self._state
        return state

    @property
    def sequence(self) -> int:
        """The server's number of the confirmed version, 0 of none."""
        return self.confirmed.version.get(SERVER, 0) if self.confirmed else 0

    @property
    def is_shown(self) -> bool:
        """Whether a reader sees a document."""
        state = self.state
        return state is not None and state.body is not None


class View(NamedTuple):
    """What is read: a body, its CRDT values as they are stored, with its version and timestamp."""

    body: Body
    version: VersionVector
    timestamp: str

    def document(self, key: str) -> dict[str, JSON]:
        """Give the document as an application gets it, with ``_key``, ``_version`` and ``_timestamp``."""
        return {"_key": key, **shown(self.body), "_version": self.version, "_timestamp": self.timestamp}


EMPTY: Final = Record()


def view(record: Record, replica: str) -> View | None:
    """Give what a reader sees, or None where the document is absent or deleted."""
    return view_of(record, record.state, replica)


def view_of(record: Record, state: State | None, replica: str) -> View | None:
    """Give what a reader sees of a record whose current state is known."""
    if state is None or state.body is None:
        return None
    return View(state.body, version_of(record, replica), state.timestamp)


def version_of(record: Record, replica: str) -> VersionVector:
    """Give the version of what a record shows: what is confirmed, this replica's changes, what others have shown."""
    version = record.base.version if record.base else {}
    return with_changes(version, record.pending, replica)


def with_changes(version: VersionVector, changes: Sequence[Pending], replica: str) -> VersionVector:
    """Give the version of who has seen some pending changes, too."""
    own = 0
    for change in changes:
        if change.contains is None:
            own = change.n
        else:
            version = join(version, change.contains)
    return advance(version, replica, own) if own else version


def documents_of(rows: Sequence[tuple[Key, str]], replica: str) -> list[tuple[str, dict[str, JSON]]]:
    """Give the key and the document, as an application gets it, of each stored record that shows one.

    Where a record is one document and little else, only what is shown of it is parsed.
    """
    found = []
    with NoCollecting():
        bodies, versions, times = _taken_apart([text for _, text in rows], quoted(replica))
        parsed: Any = zip(rows, loads_many(bodies), loads_many(versions), times, strict=True)
        for ((_, key), _), body, version, at in parsed:
            document = body
            if at:
                document["_key"] = key
                document["_version"] = version
                document["_timestamp"] = at
            else:
                document = document_of(key, body, replica)
            if document is not None:
                found.append((key, document))
    return found


def _taken_apart(texts: Sequence[str], replica: str) -> tuple[list[str], list[str], list[str]]:
    """Give the texts of body and version, and the timestamp, of each stored record; or the record and no timestamp.

    A body ends where the last member "d" of the record begins: no text within one has bare quotation marks.
    """
    bodies, versions, times = [], [], []
    for text, (head, _, tail) in zip(texts, map(str.rpartition, texts, repeat(',"d":"')), strict=True):
        body, version, at = text, "null", ""
        follows = tail[29:35]
        if follows == '","i":' and head.startswith(_PENDING_TEXT) and ',"d":"' not in head:
            number = tail[tail.rindex('"n":') + 4 : -3]
            if number.isdigit():
                body, version, at = head[11:], f"{{{replica}:{number}}}", tail[:29]
        elif (
            follows == '","o":' and '"s":{' not in tail and head.startswith(_CONFIRMED_TEXT) and tail[-3:] == "}}}"
        ):
            body, version, at = head[10:], tail[tail.rindex('"v":{') + 4 : -2], tail[:29]
        bodies.append(body)
        versions.append(version)
        times.append(at)
    return bodies, versions, times


def document_of(key: str, stored: dict[str, Any], replica: str) -> dict[str, JSON] | None:
    """Give the document, as an application gets it, of a record as it was parsed, which is used up by that."""
    pending = stored.get("p")
    latest: dict[str, Any]
    if not pending:
        latest = stored["c"]
        version = latest["v"]
    elif "c" not in stored and len(pending) == 1 and pending[0]["k"] == "insert" and "z" not in pending[0]:
        latest = pending[0]
        version = {replica: latest["n"]}
    else:
        seen = view(_decode(stored), replica)
        return seen.document(key) if seen else None
    document: dict[str, JSON] | None = latest["b"]
    if document is not None:
        if "s" in latest:
            document = shown(document)
        document["_key"] = key
        document["_version"] = version
        document["_timestamp"] = latest["d"] if "s" not in latest else _timestamp(latest)
    return document


def body_of_text(text: str) -> Body | None:
    """Give the body that a reader sees of a stored record, None where it is deleted."""
    seen = view_text(text, "")
    return seen.body if seen else None


def view_text(text: str, replica: str) -> View | None:
    """Give what a reader sees of a stored record."""
    return None if is_deleted_text(text) else view(decode_record(text), replica)


def applied(state: State | None, change: Pending) -> State:
    """Give a state after a change. An insert over a document that it had seen replaces it as a whole."""
    if state is None:
        return change.state
    is_whole = change.operation == "insert" and change.base is None and change.contains is None
    if is_whole and state.body is not None:
        patch = changed(state.body, change.state.body or {}, change.state.timestamp, change.state.stamps.get)
        return merge(state, patch) if patch else state
    return merge(state, change.state)


def is_deleted_text(text: str) -> bool:
    """Tell without parsing whether a stored record is a tombstone with nothing pending."""
    return text.startswith(_DELETED_TEXT) and '"p":[' not in text


def sequence_of_text(text: str) -> int | None:
    """Give the server's number of a stored record without parsing its document; None where something is pending.

    The version is the last member of what is confirmed, and that is the last member where nothing is pending.
    """
    if not text.endswith("}}}"):
        return None
    number = text.rpartition(_SERVER_TEXT)[2][:-3]  # it is the last member, but where a name sorts behind it
    if number.isdigit():
        return int(number)
    sequence: int = loads(text[text.rindex('"v":{') + 4 : -2]).get(SERVER, 0)
    return sequence


def decode_record(text: str | None) -> Record:
    """Read a stored record; None is the empty one."""
    return EMPTY if text is None else _decode(loads(text))


def encode_record(record: Record) -> str:
    """Give the text of a record."""
    stored: dict[str, JSON] = {}
    if record.confirmed is not None:
        stored["c"] = _encode_document(record.confirmed)
    if record.pending:
        stored["p"] = [_encode_pending(change) for change in record.pending]
    if record.waiting is not None:
        base, *rest = record.waiting
        stored["w"] = [_encode_document(base) if base else None, *rest]
    return dumps(stored)


def confirmed_texts(documents: Sequence[Document], bodies: Sequence[str] | None = None) -> list[str]:
    """Give the texts of records with nothing pending: what :func:`encode_record` gives for each.

    ``bodies`` are the texts of their bodies, where these are known.
    """
    if not documents:
        return []
    states, versions, op_ids = zip(*documents, strict=True)
    values, since, stamps = zip(*states, strict=True)
    texts = dumps_many(values) if bodies is None else bodies
    rows = zip(texts, since, map(quoted, op_ids), map(_stamps_text, stamps), dumps_many(versions), strict=True)
    return [
        f'{{"c":{{"b":{body},"d":"{at}","o":{op_id}{stamped},"v":{version}}}}}'
        for body, at, op_id, stamped, version in rows
    ]


def new_record_text(
    body_text: str,
    at: str,
    op_id: str,
    n: int,
    merge_kind: str | None,
    unit: int | None,
    strategy: str | None = None,
) -> str:
    """Give the text of a record of a new document that is not empty, around its body's canonical text."""
    merging = f'"g":{dumps(strategy)},' if strategy else ""
    merging += f'"m":"{merge_kind}",' if merge_kind else ""
    unit_part = f',"x":{unit}' if unit is not None else ""
    return f'{{"p":[{{"b":{body_text},"d":"{at}","i":"{op_id}","k":"insert",{merging}"n":{n}{unit_part}}}]}}'


def rebased(record: Record, confirmed: Document | None) -> Record:
    """Put another confirmed document under the pending changes, which remember what they were made on."""
    base = record.base.version if record.base else {}
    pending = tuple(change if change.base is not None else change._replace(base=base) for change in record.pending)
    return Record(confirmed, pending)


def as_change(name: tuple[str, str], record: Record, index: int, replica: str) -> Change:
    """Give a pending change as it is sent; its base contains the changes of this replica before it."""
    pending = record.pending[index]
    return Change(
        collection=name[0],
        key=name[1],
        operation=pending.operation,
        state=pending.state,
        is_whole=pending.operation == "insert",
        op_id=pending.op_id,
        n=pending.n,
        base_version=made_on(record, index, replica),
        merge=pending.merge,
        transaction=pending.unit,
        deeds=fingerprint(pending.deeds),
        relays=pending.relays,
        contains=pending.contains,
    )


def made_on(record: Record, index: int, replica: str) -> VersionVector:
    """Give the version that a pending change was made on."""
    base = record.pending[index].base
    if base is None:
        base = record.confirmed.version if record.confirmed else {}
    return with_changes(base, record.pending[:index], replica)


def _current_state(record: Record) -> State | None:
    if not record.pending:
        return record.base.state if record.base else None
    parts = [record.base.state] if record.base else []
    for change in record.pending:
        if parts and change.operation == "insert":
            parts = [applied(merge_all(parts), change)]
        else:
            parts.append(change.state)
    return merge_all(parts)


def _timestamp(stored: dict[str, JSON]) -> str:
    stamps = stored.get("s")
    since: str = stored["d"]
    return max(since, *stamps.values()) if stamps else since


def _decode(stored: dict[str, Any]) -> Record:
    confirmed, waiting = stored.get("c"), stored.get("w")
    document = _decode_document(confirmed) if confirmed is not None else None
    pending = tuple(_decode_pending(change) for change in stored.get("p", ()))
    if waiting is None:
        return Record(document, pending)
    base, reason, at_ms, asks, clashes = waiting
    found = Waiting(_decode_document(base) if base else None, reason, at_ms, asks, tuple(clashes))
    return Record(document, pending, found)


def _stamps_text(stamps: Mapping[str, str]) -> str:
    return f',"s":{dumps(stamps)}' if stamps else ""


def _encode_document(document: Document) -> dict[str, JSON]:
    return {**encode_state(document.state), "v": document.version, "o": document.op_id}


def _decode_document(stored: dict[str, Any]) -> Document:
    return Document(decode_state(stored), stored["v"], stored["o"])


def _encode_pending(change: Pending) -> dict[str, JSON]:
    stored = encode_state(change.state)
    stored |= {"i": change.op_id, "k": change.operation, "n": change.n}
    for name, value in (
        ("m", change.merge),
        ("v", change.base),
        ("x", change.unit),
        ("g", change.strategy),
        ("r", change.refusals or None),
        ("z", change.contains),
    ):
        if value is not None:
            stored[name] = value
    if change.deeds:
        stored["o"] = [deed.to_json() for deed in change.deeds]
    if change.relays:
        stored["y"] = True
    return stored


def _decode_pending(stored: dict[str, Any]) -> Pending:
    return Pending(
        stored["i"],
        stored["n"],
        stored["k"],
        decode_state(stored),
        stored.get("m"),
        stored.get("v"),
        stored.get("x"),
        tuple(map(Deed.from_json, stored.get("o", ()))),
        stored.get("y", False),
        stored.get("g"),
        stored.get("r", 0),
        stored.get("z"),
    )
