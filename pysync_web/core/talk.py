"""What two devices say to each other when they meet: JSON texts with a version, each from one session to another.

Everything that comes in is read here, once; what is not for this session, or of none of our meetings, is None.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from ..deferred import dataclass
from ..errors import SchemaError
from ..values import JSON, check_collection, decode, dumps
from .inventory import MAX_COUNT, ROUNDS, Row, checked_row
from .meeting import Shown, decode_shown
from .wire import MAX_COLLECTIONS

VERSION: Final = 1
CHUNK_CHARS: Final = 256 * 1024
"""How long a message is, or little more: a chunk ends with the row that fills it."""

MAX_MESSAGE_CHARS: Final = 1024 * 1024
MAX_ROWS: Final = 20_000
MAX_REASON: Final = 1000
WINDOW: Final = 4
"""How many chunks may be under way before one of them is acknowledged."""

_NAME: Final = "pysync_web meeting"
_SESSION = re.compile(r"[0-9a-f]{32}\Z")

Stage: TypeAlias = Literal["call", "offer", "accept", "busy"]
Cause: TypeAlias = Literal["cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Hello:
    """``call`` asks who is there, ``offer`` answers that, ``accept`` settles it; ``busy`` takes an offer back."""

    stage: Stage
    replica: str
    collections: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of an inventory; ``is_last`` ends the round. Chunk ``n`` of what this side sends."""

    n: int
    round: int
    rows: tuple[Row, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How many documents this side is going to send."""

    documents: int


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents, chunk ``n`` of what this side sends."""

    n: int
    documents: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """Chunk ``n`` has been taken in, and stays."""

    n: int


@dataclass(frozen=True, slots=True)
class Pause:
    """This side wants nothing sent for now, or (``is_on`` False) no longer so."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing, said so that the silence is not taken for the end."""


@dataclass(frozen=True, slots=True)
class Done:
    """Everything that this side had to send was acknowledged."""


@dataclass(frozen=True, slots=True)
class End:
    """This side leaves before its time, and why."""

    cause: Cause
    reason: str


Message: TypeAlias = "Hello | Listing | Plan | Documents | Ack | Pause | Alive | Done | End"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with the session it comes from."""

    sender: str
    message: Message


def encode_message(message: Message, sender: str, to: str | None) -> str:
    """Give a message's JSON text; ``to`` None: whoever hears it."""
    head: dict[str, JSON] = {"is": _NAME, "v": VERSION, "from": sender, "type": type(message).__name__.lower()}
    if to is not None:
        head["to"] = to
    match message:
        case Hello(stage, replica, collections):
            names = None if collections is None else sorted(collections)
            head |= {"stage": stage, "replica": replica, "collections": names}
        case Listing(n, round_, rows, is_last):
            head |= {"n": n, "round": round_, "rows": list(rows), "last": is_last}
        case Plan(documents):
            head |= {"documents": documents}
        case Documents():
            raise TypeError("documents are encoded by encode_documents")
        case Ack(n):
            head |= {"n": n}
        case Pause(is_on):
            head |= {"on": is_on}
        case End(cause, reason):
            head |= {"cause": cause, "reason": reason[:MAX_REASON]}
    return dumps(head)


def encode_documents(n: int, texts: Sequence[str], sender: str, to: str) -> str:
    """Give the text of a chunk of documents that are encoded already."""
    head = {"is": _NAME, "v": VERSION, "from": sender, "to": to, "type": "documents", "n": n}
    return f'{dumps(head)[:-1]},"documents":[{",".join(texts)}]}}'


def decode_message(text: object, session: str) -> Envelope | None:
    """Read a message; None where it is not for this session. Raises :class:`SchemaError` for what is none of ours."""
    if not isinstance(text, str):
        raise SchemaError(f"a text was due, not {type(text).__name__}", place="message")
    if len(text) > MAX_MESSAGE_CHARS:
        raise SchemaError(f"{len(text)} characters, over the limit of {MAX_MESSAGE_CHARS}", place="message")
    value = decode(text, "message")
    if type(value) is not dict or value.get("is") != _NAME:
        raise SchemaError("this is no message of a meeting", place="message")
    sender, to = _session(value.get("from")), value.get("to")
    if sender == session or (to is not None and _session(to) != session):
        return None
    if value.get("v") != VERSION:
        raise SchemaError(
            f"the other device speaks version {value.get('v')!r:.20}, this one {VERSION}: update the older one"
        )
    kind = value.get("type")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        raise SchemaError(f"{kind!r:.40} is no type of a message", place="message.type")
    return Envelope(sender, decoder(value))


def _hello(value: dict[str, JSON]) -> Hello:
    names = value.get("collections")
    collections = None
    if names is not None:
        try:
            collections = frozenset(check_collection(name) for name in _list(names, "collections", MAX_COLLECTIONS))
        except ValueError as error:
            raise SchemaError(str(error), place="collections") from error
    stage = _one_of(("call", "offer", "accept", "busy"), value.get("stage"), "stage")
    return Hello(stage, _session(value.get("replica")), collections)


def _listing(value: dict[str, JSON]) -> Listing:
    round_ = _count(value.get("round"), "round", ROUNDS - 1)
    rows = _list(value.get("rows"), "rows", MAX_ROWS)
    checked = tuple(checked_row(round_, row, f"rows[{i}]") for i, row in enumerate(rows))
    return Listing(_count(value.get("n"), "n"), round_, checked, value.get("last") is True)


def _documents(value: dict[str, JSON]) -> Documents:
    documents = _list(value.get("documents"), "documents", MAX_ROWS)
    shown = tuple(decode_shown(one, f"documents[{i}]") for i, one in enumerate(documents))
    return Documents(_count(value.get("n"), "n"), shown)


def _end(value: dict[str, JSON]) -> End:
    cause = _one_of(("cancelled", "failed"), value.get("cause"), "cause")
    return End(cause, str(value.get("reason", ""))[:MAX_REASON])


_DECODERS: Final[dict[str, Any]] = {
    "hello": _hello,
    "listing": _listing,
    "plan": lambda value: Plan(_count(value.get("documents"), "documents")),
    "documents": _documents,
    "ack": lambda value: Ack(_count(value.get("n"), "n")),
    "pause": lambda value: Pause(value.get("on") is True),
    "alive": lambda value: Alive(),
    "done": lambda value: Done(),
    "end": _end,
}


def _session(value: JSON) -> str:
    if isinstance(value, str) and _SESSION.match(value):
        return value
    raise SchemaError(f"{value!r:.60} is not an id of 32 digits", place="message")


def _count(value: JSON, place: str, most: int = MAX_COUNT) -> int:
    if type(value) is int and 0 <= value <= most:
        return value
    raise SchemaError(f"an integer from 0 to {most} was due, not {value!r:.40}", place=place)


def _list(value: JSON, place: str, limit: int) -> list[JSON]:
    if type(value) is not list or len(value) > limit:
        raise SchemaError(f"a list of at most {limit} was due", place=place)
    return value


def _one_of(words: tuple[str, ...], value: JSON, place: str) -> Any:
    if value in words:
        return value
    raise SchemaError(f"{value!r:.40} is none of {', '.join(words)}", place=place)
