"""What a local write may make of a document: nothing that the server would refuse later.

What a person gives was checked as any document is. Here it is about what comes of it with what was there: ``size`` is
the characters of both, ``sent`` the body that will travel.
"""

from __future__ import annotations

from typing import Final

from ..errors import InvalidDocument
from ..values import MAX_DOCUMENT_BYTES, MAX_MEMBERS, check_together, dumps
from .document import Body, State
from .fields import state_at
from .wire import is_pointer

_MANY: Final = 4 * MAX_MEMBERS
"""A text that is no longer than this has too many members in no object."""


def check_saved(place: str, size: int, before: State | None, after: State, sent: Body) -> None:
    """Raise :class:`InvalidDocument` where a save made a document grow over a limit."""
    if len(sent) > MAX_MEMBERS:
        raise InvalidDocument(f"{place}: {len(sent)} members, over the limit of {MAX_MEMBERS}")
    _check_size(place, size, before, after)


def check_done(
    place: str, path: tuple[str, ...], patch: State, size: int, before: State | None, after: State, sent: Body
) -> None:
    """Raise :class:`InvalidDocument` where what was done to a CRDT value is over a limit, or makes it be."""
    if not all(map(is_pointer, patch.stamps)):
        raise InvalidDocument(f"{place}: {'.'.join(path)!r:.60} lies too deep, or has too long names")
    if size > _MANY:
        check_together(sent, place)
        check_together({path[-1]: state_at(after.body, path)}, place)
    _check_size(place, size, before, after)


def _check_size(place: str, size: int, before: State | None, after: State) -> None:
    """Refuse what is too long, but for what is no longer than it was: so one that is too long can be made shorter."""
    if size <= MAX_DOCUMENT_BYTES:
        return
    length = len(dumps(after.body))
    if length > MAX_DOCUMENT_BYTES and (before is None or length > len(dumps(before.body))):
        raise InvalidDocument(f"{place}: {length} bytes, over the limit of {MAX_DOCUMENT_BYTES} bytes")
