"""INSERT, UPDATE, REPLACE, REMOVE and UPSERT: one row after the other, when all rows are there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from pysync_web.sdbql import nodes as n
from pysync_web.sdbql.compile.pending import new_key
from pysync_web.sdbql.functions.registry import FunctionError

from . import values as v
from .expressions import Env, value
from .world import World

Document = dict[str, Any]


def changed(world: World, clause: Any, rows: Iterator[Env], sight: Env) -> Iterator[Env]:
    """Write for each row, then go on with OLD and NEW."""
    done = []
    for row in list(rows):
        old, new = _change(world, clause, sight | row)
        done.append(row | {"OLD": old, "NEW": new})
    yield from done


def _change(world: World, clause: Any, env: Env) -> tuple[Document | None, Document | None]:
    name = world.binds[clause.collection.name] if isinstance(clause.collection, n.Bind) else clause.collection.name
    match clause:
        case n.Insert(document=document):
            return None, _insert(world, name, value(world, document, env))
        case n.Remove(target=target):
            old = _target(world, name, value(world, target, env))
            world.write(name, old["_key"], None)
            return old, None
        case n.Update(target=target, changes=changes, is_replace=is_replace):
            old = _target(world, name, value(world, target, env))
            made = value(world, target if changes is None else changes, env | {"OLD": old})
            return old, _update(world, name, old, made, is_replace)
        case n.Upsert(example=example, document=document, changes=changes, is_replace=is_replace):
            found = _example(world, name, value(world, example, env))
            if found is None:
                return None, _insert(world, name, value(world, document, env))
            return found, _update(world, name, found, value(world, changes, env | {"OLD": found}), is_replace)
    raise AssertionError(clause)


def _insert(world: World, collection: str, document: Any) -> Document:
    if not isinstance(document, dict):
        raise FunctionError("INSERT needs an object")
    key = document.get("_key")
    if key is None:
        key = new_key(world.now_ms(), world.rng.getrandbits(80))
    if not isinstance(key, str) or not key or world.find(collection, key) is not None:
        raise FunctionError("no key, or one that is taken")
    made = {"_key": key} | copy.deepcopy(document) | {"_key": key}
    world.write(collection, key, made)
    return made


def _update(world: World, collection: str, old: Document, changes: Any, is_replace: bool) -> Document:
    if not isinstance(changes, dict):
        raise FunctionError("an object is needed")
    kept = {name: old[name] for name in ("_key", "_id") if name in old}
    made = (kept if is_replace else old) | copy.deepcopy(changes) | kept
    world.write(collection, old["_key"], made)
    return made


def _target(world: World, collection: str, given: Any) -> Document:
    key = given.get("_key") if isinstance(given, dict) else given
    if not isinstance(key, str):
        raise FunctionError("no document is named")
    found = world.find(collection, key) or world.find(collection, key.removeprefix(f"{collection}/"))
    if found is None:
        raise FunctionError("no such document")
    return found


def _example(world: World, collection: str, wanted: Any) -> Document | None:
    if isinstance(wanted, str):
        return world.find(collection, wanted.removeprefix(f"{collection}/"))
    if not isinstance(wanted, dict):
        raise FunctionError("UPSERT needs an object or a key")
    for document in world.documents(collection):
        if all(name in document and v.compare(document[name], one) == 0 for name, one in wanted.items()):
            return document
    return None
