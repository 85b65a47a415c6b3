"""Which documents expire when: settings that sync as documents do, and entries in the order of time.

A setting lies in the reserved collection ``_ttl`` under the name of the collection that it is for. The entries follow
each write, so finding what is due reads nothing else; they are made, and removed again, in small steps. A hub and a
replica without a server do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple, TypeAlias

from ..causality import normalize_timestamp, parse_timestamp
from ..errors import SchemaError
from ..values import JSON, dumps, loads
from .document import Body
from .fields import shown
from .indexes import value_at
from .outbox import Name
from .ports import Key, ReadTransaction, WriteTransaction

SETTINGS: Final = "_ttl"
"""The reserved collection of settings: the key names a collection."""

STEP: Final = 500
"""How many documents one transaction looks at or expires."""

SECONDS_BELOW: Final = 100_000_000_000
"""A number below this counts seconds since 1970 (up to the year 5138), another one milliseconds (from 1973 on)."""

LATEST: Final = 2**53
"""No entry lies further from 1970 than so many milliseconds."""

MOST_SECONDS: Final = 1_000_000_000_000

_PLANS: Final = "ttl"  # (collection) → the field that its entries are made of, and how far they are
_ENTRIES: Final = "expiry"  # (collection, moment in ms, key) → null
_MOMENTS: Final = "moments"  # (collection, key) → the moment in its entry

BodyOf: TypeAlias = "Callable[[str], Body | None]"
"""Reads the body of a document from the text under which it is stored; None where it is deleted."""


class Setting(NamedTuple):
    """Documents of a collection expire so many milliseconds after the moment that a field of theirs tells."""

    field: str
    after_ms: int

    def body(self) -> Body:
        """Give the document that holds the setting, in one member, so that two settings never mix."""
        return {"expires": [self.field, self.after_ms / 1000]}


def decode_setting(body: Body | None) -> Setting | None:
    """Read a setting; what is none, as anybody may write there, is no setting."""
    match body:
        case {"expires": [str(field), int(after_s) | float(after_s)]} if 0 <= after_s <= MOST_SECONDS:
            return Setting(field, round(after_s * 1000))
    return None


def moment_of(body: Body | None, field: str | None) -> int | None:
    """Give the milliseconds since 1970 that a field tells, as ISO 8601 with a zone or a number, or None."""
    if body is None or field is None:
        return None
    match value_at(shown(body), field.split(".")):
        case str(text):
            try:
                return parse_timestamp(normalize_timestamp(text))[0]
            except SchemaError:
                return None
        case bool():
            return None
        case int(number) | float(number):
            return round(number * 1000 if abs(number) < SECONDS_BELOW else min(max(number, -LATEST), LATEST))
    return None


async def read_settings(tx: ReadTransaction, body_of: BodyOf) -> dict[str, Setting]:
    """Read the settings by collection."""
    rows = await tx.scan("docs", (SETTINGS,))
    found = {str(key[1]): decode_setting(body_of(text)) for key, text in rows}
    return {collection: setting for collection, setting in found.items() if setting is not None}


async def note_written(tx: WriteTransaction, names: Collection[Key], body_of: BodyOf) -> None:
    """Bring the entries up to date with documents that a transaction has written."""
    fields: dict[str | int, str | None] = {}
    for collection in {name[0] for name in names}:
        text = await tx.get(_PLANS, (collection,))
        if text is not None:
            fields[collection] = loads(text)["field"]
    if not fields:
        return
    wanted = [name for name in names if name[0] in fields]
    for name, text in zip(wanted, await tx.get_many("docs", wanted), strict=True):
        body = body_of(text) if text is not None else None
        await _note(tx, (str(name[0]), str(name[1])), moment_of(body, fields[name[0]]))


async def is_due(tx: ReadTransaction, body_of: BodyOf, now_ms: int) -> bool:
    """Tell whether :func:`take_due` would find anything to do."""
    wanted, plans = await read_settings(tx, body_of), await _plans(tx)
    for collection in wanted.keys() | plans.keys():
        setting, plan = wanted.get(collection), plans.get(collection)
        if setting is None or plan is None or plan["field"] != setting.field or plan["after"] is not None:
            return True
        rows = await tx.scan(_ENTRIES, (collection,), limit=1)
        if rows and _is_over(rows[0][0][1], setting, now_ms):
            return True
    return False


async def take_due(tx: WriteTransaction, body_of: BodyOf, now_ms: int) -> tuple[list[Name], bool]:
    """Do one step: give documents that have expired, to be deleted in this transaction, and whether there is more."""
    wanted, plans = await read_settings(tx, body_of), await _plans(tx)
    for collection in sorted(wanted.keys() | plans.keys()):
        setting, plan = wanted.get(collection), plans.get(collection)
        if plan is not None and (setting is None or plan["field"] != setting.field):
            await _clear(tx, collection)
            return [], True
        if setting is None:
            continue
        if plan is None or plan["after"] is not None:
            await _build(tx, body_of, collection, setting.field, plan["after"] if plan else "")
            return [], True
        if names := await _due(tx, collection, setting, now_ms):
            return names, True
    return [], False


async def _plans(tx: ReadTransaction) -> dict[str, dict[str, JSON]]:
    """Read for each collection the field of its entries (None: they go), and the key up to which they are made."""
    return {str(key[0]): loads(text) for key, text in await tx.scan(_PLANS)}


def _put_plan(tx: WriteTransaction, collection: str, field: str | None, after: str | None) -> None:
    tx.put(_PLANS, (collection,), dumps({"field": field, "after": after}))


async def _clear(tx: WriteTransaction, collection: str) -> None:
    rows = await tx.scan(_MOMENTS, (collection,), limit=STEP)
    for key, _ in rows:
        await _note(tx, (collection, str(key[1])), None)
    if len(rows) < STEP:
        tx.delete(_PLANS, (collection,))
    else:
        _put_plan(tx, collection, None, None)


async def _build(tx: WriteTransaction, body_of: BodyOf, collection: str, field: str, after: str) -> None:
    rows = await tx.scan("docs", (collection,), after=(collection, after), limit=STEP)
    for key, text in rows:
        await _note(tx, (collection, str(key[1])), moment_of(body_of(text), field))
    _put_plan(tx, collection, field, str(rows[-1][0][1]) if len(rows) == STEP else None)


async def _due(tx: WriteTransaction, collection: str, setting: Setting, now_ms: int) -> list[Name]:
    names: list[Name] = []
    for key, _ in await tx.scan(_ENTRIES, (collection,), limit=STEP):
        if not _is_over(key[1], setting, now_ms):
            break
        names.append((collection, str(key[2])))
    for name in names:
        await _note(tx, name, None)
    return names


def _is_over(moment: int | str, setting: Setting, now_ms: int) -> bool:
    return int(moment) + setting.after_ms <= now_ms


async def _note(tx: WriteTransaction, name: Name, moment: int | None) -> None:
    """Let a document have one entry, at a moment, or (None) none."""
    text = await tx.get(_MOMENTS, name)
    if moment == (None if text is None else int(text)):
        return
    if text is not None:
        tx.delete(_ENTRIES, (name[0], int(text), name[1]))
        tx.delete(_MOMENTS, name)
    if moment is not None:
        tx.put(_ENTRIES, (name[0], moment, name[1]), "null")
        tx.put(_MOMENTS, name, str(moment))
