"""The server's own indexes: which documents have a value in a field, for filters that ask for one value.

One is made when a filter first needs it, in small steps, and then written together with the documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..values import JSON, dumps, loads
from .document import Body
from .fields import shown
from .indexes import sort_text, value_at
from .ports import Key, ReadTransaction, WriteTransaction
from .wire import decode_stored

MOST_FIELDS: Final = 8
"""How many fields of a collection may have one; a filter on another field reads the collection."""

SMALL: Final = 256
"""A collection of so few documents is read as fast."""

_STEP: Final = 500
_FIELDS: Final = ("fields",)
_SPACE: Final = "lookups"  # (collection, field, value, key) → null

Fields = dict[str, dict[str, str | None]]
"""For each collection its fields, as ``owner.name``, with the key up to which one is built, None: it is whole."""


async def load_fields(tx: ReadTransaction) -> Fields:
    """Read which fields have one."""
    text = await tx.get("hub", _FIELDS)
    return loads(text) if text else {}


def refresh(
    tx: WriteTransaction, fields: Fields, name: tuple[str, str], before: Body | None, after: Body | None
) -> None:
    """Bring a document's entries up to date."""
    for field in fields.get(name[0], ()):
        old, new = _entry(name, field, before), _entry(name, field, after)
        if old != new:
            if old is not None:
                tx.delete(_SPACE, old)
            if new is not None:
                tx.put(_SPACE, new, "null")


async def build_step(tx: WriteTransaction, collection: str, path: Sequence[str]) -> bool:
    """Build some more of a field's entries; tell whether there is more to do."""
    fields = await load_fields(tx)
    field = ".".join(path)
    known = fields.get(collection, {})
    if field in known and known[field] is None:
        return False
    if field not in known and (len(known) >= MOST_FIELDS or await _is_small(tx, collection)):
        return False
    after = known.get(field) or ""
    rows = await tx.scan("docs", (collection,), after=(collection, after), limit=_STEP)
    for key, text in rows:
        entry = _entry((collection, str(key[1])), field, decode_stored(text).body)
        if entry is not None:
            tx.put(_SPACE, entry, "null")
    is_done = len(rows) < _STEP
    fields[collection] = {**known, field: None if is_done else str(rows[-1][0][1])}
    tx.put("hub", _FIELDS, dumps(fields))
    return not is_done


async def is_needed(tx: ReadTransaction, collection: str, path: Sequence[str]) -> bool:
    """Tell whether there is something to build for a field; one whose name has a dot in it gets none."""
    if any("." in name for name in path):
        return False
    known = (await load_fields(tx)).get(collection, {})
    field = ".".join(path)
    if field in known:
        return known[field] is not None
    return len(known) < MOST_FIELDS and not await _is_small(tx, collection)


async def keys_with(
    tx: ReadTransaction, collection: str, hint: tuple[Sequence[str], JSON], after: str | None, limit: int
) -> list[str] | None:
    """Give the keys, in order, of the documents that may have a value at a path; None where nothing can tell."""
    path, value = hint
    field = ".".join(path)
    known = (await load_fields(tx)).get(collection, {})
    if known.get(field, "") is not None:
        return None  # there is none, or it is not whole yet
    prefix = (collection, field, sort_text(value))
    start = None if after is None else (*prefix, after)
    return [str(key[3]) for key, _ in await tx.scan(_SPACE, prefix, after=start, limit=limit)]


async def _is_small(tx: ReadTransaction, collection: str) -> bool:
    text = await tx.get("collections", (collection,))
    return text is None or int(loads(text)["count"]) < SMALL


def _entry(name: tuple[str, str], field: str, body: Body | None) -> Key | None:
    if body is None:
        return None
    value: Any = value_at(shown(body), field.split("."))
    return None if value is None else (name[0], field, sort_text(value), name[1])
