"""The server's feed: the sequence of each document's last change, with a short trail of what was before it.

An entry is ``[collection, key]``, or ``[collection, key, trail]`` with a trail of steps back, the newest first:
``[sequence]`` says that after that change there was no document, ``[sequence, given, removed]`` how it differed from
the next one. So the server can tell what a replica had at its cursor, without remembering any replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..deferred import dataclass
from ..values import JSON, dumps, loads_many, quoted
from .document import Body, Document
from .patch import Object, Patch, difference, patched
from .ports import Key, WriteTransaction
from .wire.parts import many

Name = tuple[str, str]

MOST_STEPS: Final = 8
TRAIL_BYTES: Final = 1024
"""A trail may be this long, or half as long as its document."""

_NAME: Final = itemgetter(0, 1)
_NEW: Final = [[0]]


class Entry(NamedTuple):
    """A document's place in the feed; ``trail`` is as it is stored, ``size`` the length of the stored text."""

    sequence: int
    name: Name
    trail: Sequence[Any]
    size: int


@dataclass(frozen=True, slots=True)
class Past:
    """What a document was after an earlier change; ``content`` None: it was not there, or deleted."""

    sequence: int
    content: Object | None

    @property
    def body(self) -> Body | None:
        """The fields that it had."""
        return None if self.content is None else self.content["document"]


def decode_entry(sequence: int, text: str) -> Entry:
    """Read an entry of the feed."""
    return decode_entries([((sequence,), text)])[0]


def decode_entries(rows: Sequence[tuple[Key, str]]) -> list[Entry]:
    """Read entries of the feed, as a scan gives them."""
    texts = [text for _, text in rows]
    stored = loads_many(texts)
    trails = [one[2] if len(one) > 2 else () for one in stored]
    return list(many(Entry, [key[0] for key, _ in rows], map(_NAME, stored), trails, map(len, texts)))


async def enter(
    tx: WriteTransaction, name: Name, before: tuple[Document | None, int], after: Document, sequence: int, size: int
) -> Entry:
    """Move a document to the end of the feed; ``size`` is the length of its new text, ``before`` what was there."""
    old, old_sequence = before
    if not old_sequence:
        text = f'["{name[0]}",{quoted(name[1])},[[0]]]'
        tx.put("feed", (sequence,), text)
        return Entry(sequence, name, _NEW, len(text))
    trail: list[Any] = [_step(old, old_sequence, after)]
    earlier = await tx.get("feed", (old_sequence,))
    trail += decode_entry(old_sequence, earlier).trail if earlier else []
    trail = _bounded(trail, max(TRAIL_BYTES, size // 2))
    text = dumps([*name, trail])
    tx.delete("feed", (old_sequence,))
    tx.put("feed", (sequence,), text)
    return Entry(sequence, name, trail, len(text))


def pasts(entry: Entry, document: Document, settled: int, since: int) -> list[Past] | None:
    """Give what a replica may have of a document, before this entry; None: it can't be told.

    Its cursor is ``since``, and it had all that there was at ``settled``. Between them it has the document as it was
    when it was asked for, which may be long before: the entry moves on with each change.
    """
    found = []
    content = content_of(document)
    for sequence, *step in entry.trail:
        content = patched(content or {}, Patch(step[0], tuple(step[1]))) if step else None
        if sequence <= since:
            found.append(Past(sequence, content))
        if sequence <= settled:
            return found
    return None


def content_of(document: Document) -> Object | None:
    """Give a document's fields and their stamps as one object, None where it is deleted."""
    state = document.state
    return None if state.body is None else {"document": state.body, "stamps": dict(state.stamps)}


def _step(old: Document | None, sequence: int, new: Document) -> list[JSON]:
    """Say how a document that was after a change differs from the next one."""
    content = content_of(old) if old else None
    if content is None:
        return [sequence]
    patch = difference(content_of(new) or {}, content)
    return [sequence, patch.given, list(patch.removed)]


def _bounded(trail: list[Any], most: int) -> list[Any]:
    """Leave out the oldest steps of a trail that is too long."""
    kept: list[Any] = []
    for step in trail[:MOST_STEPS]:
        most -= len(dumps(step))
        if most < 0:
            break
        kept.append(step)
    return kept
