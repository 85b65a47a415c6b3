"""What the other side has of a document as far as we know, and which news of it are our own coming back.

Used wherever the other side knows nothing of versions: a backend behind callbacks, a store of the application's own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..values import dumps, loads, same
from .document import Body, State, changed, deleted, inserted, lost, merge

MOST_OFFERED: Final = 4
"""How many contents whose fate is unknown are remembered of one document; the oldest is forgotten first."""


class Mirror(NamedTuple):
    """A document as the other side has it (None: not at all), and what it calls that version.

    ``offered`` are later contents that were sent there and may have arrived; ``turn`` counts how often the other side
    has said something since, after which sending one of them again is another matter.
    """

    body: Body | None = None
    version: str | None = None
    offered: tuple[Body | None, ...] = ()
    turn: int = 0

    def text(self) -> str:
        """Give the text that stores it."""
        return dumps({"b": self.body, "v": self.version, "o": list(self.offered), "t": self.turn})


NOTHING: Final = Mirror()


def decode_mirror(text: str | None) -> Mirror:
    """Read what :meth:`Mirror.text` gave; None is a document that the other side never had."""
    if text is None:
        return NOTHING
    stored = loads(text)
    return Mirror(stored["b"], stored["v"], tuple(stored["o"]), stored["t"])


def offered(mirror: Mirror, body: Body | None) -> Mirror:
    """Note that a content is being sent."""
    kept = tuple(one for one in mirror.offered if not same(one, body))
    return mirror._replace(offered=(*kept, body)[-MOST_OFFERED:])


def base_of(mirror: Mirror, seen: Body | None) -> Body | None:
    """Give what the other side had before it came to what is seen there now: the latest of ours that arrived."""
    for body in reversed(mirror.offered):
        if _has_arrived(mirror.body, body, seen):
            return body
    return mirror.body


def difference(old: Body | None, new: Body | None, at: str) -> State | None:
    """Give the change that turns one content into another, None for none."""
    if new is None:
        return None if old is None else deleted(at)
    return inserted(new, at) if old is None else changed(old, new, at)


def patched(body: Body | None, old: Body | None, new: Body) -> Body:
    """Give a body with the changes made on it that lead from an old content to a new one."""
    if body is None or old is None:
        return new if body is None else merge(inserted(body, "0"), inserted(new, "1")).body or {}
    patch = changed(old, new, "1")
    return merge(inserted(body, "0"), patch).body or {} if patch else body


def _has_arrived(before: Body | None, sent: Body | None, seen: Body | None) -> bool:
    """Tell whether everything that a content changed is seen on the other side."""
    if sent is None or seen is None:
        return sent is None and seen is None
    change = difference(before, sent, "1")
    if change is None:
        return False
    return same(sent, seen) or (bool(change.body) and lost(change, inserted(seen, "1")) is None)
