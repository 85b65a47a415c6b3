"""A document sent as what has changed in it since the version that the other side has."""

from __future__ import annotations

from ..errors import SyncError
from ..values import MAX_DOCUMENT_BYTES, dumps
from .document import Document, place_of, split_place
from .feed import Past, content_of
from .patch import Patch, difference, patched
from .wire import ServerChange, decode_server_change, encode_server_change


class DeltaMismatch(SyncError):
    """A delta came for another version than the one that is here: the documents are asked for whole."""


def delta_text(name: tuple[str, str], before: Past, after: Document, text: str, threshold: float) -> str:
    """Give a document as its difference from an earlier one, or its whole ``text`` where that is not much longer."""
    content = content_of(after)
    if before.content is None or content is None:
        return text
    patch = difference(before.content, content)
    message = {
        "collection": name[0],
        "key": name[1],
        "operation": "update",
        "base": before.sequence,
        "delta": patch.given.get("document", {}),
        "op_id": after.op_id,
        "timestamp": after.timestamp,
        "version_vector": after.version,
    }
    if after.state.since != after.timestamp:
        message["since"] = after.state.since
    if "stamps" in patch.given:
        message["stamps"] = patch.given["stamps"]
    places = [split_place(place) for place in patch.removed]
    for member, part in (("removed", "document"), ("unstamped", "stamps")):
        if gone := [place_of(place[1:]) for place in places if place[0] == part]:
            message[member] = gone
    found = dumps(message)
    return found if len(found) <= threshold * len(text) else text


def rebuilt(change: ServerChange, known: Document | None) -> ServerChange:
    """Give a document that came as a delta whole; raise :class:`DeltaMismatch` where it was made for another one."""
    message = change.delta or {}
    content = content_of(known) if known and known.version.get("server", 0) == message["base"] else None
    name = f"{change.collection}/{change.key}"
    if content is None:
        raise DeltaMismatch(f"{name}: a delta for version {message['base']}, which is not here")
    given = {"document": message["delta"], "stamps": message.get("stamps", {})}
    removed = [place_of(("document", *split_place(place))) for place in message.get("removed", ())]
    removed += [place_of(("stamps", *split_place(place))) for place in message.get("unstamped", ())]
    try:
        whole = patched(content, Patch(given, tuple(removed)))
    except (KeyError, TypeError) as error:
        raise DeltaMismatch(f"{name}: a delta that does not fit the version that is here") from error
    members = {name: message[name] for name in _KEPT if name in message}
    found = decode_server_change({**members, **whole}, name)
    if len(dumps(found.document.body)) > MAX_DOCUMENT_BYTES:
        raise DeltaMismatch(f"{name}: a delta that makes too large a document")
    return found


def whole_size(change: ServerChange) -> int:
    """Give how long the text of a document is when it is sent whole."""
    return len(encode_server_change(change.collection, change.key, change.document))


_KEPT = ("collection", "key", "operation", "op_id", "timestamp", "since", "version_vector")
