"""Whole queries, drawn at random, over a storage with indexes drawn at random: they give what plain lists give.

Indexes are made before and after documents, which change and go in between, by calls and by queries.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import sys
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import pysync_web as ps
from pysync_web.sdbql import execute

from .meaningful import NAMES, Problem, document, problem
from .test_stored import bare

INDEXED = ["x", "y", "z", "x.y", ["x", "y"], ["y", "x", "z"], ["z", "x.y"], "_key"]
QUERIES = 5
EXAMPLES = 20 if sys.platform == "emscripten" else 200
WRITES = re.compile(r"\b(INSERT|UPDATE|REPLACE|REMOVE|UPSERT)\b")

numbers = itertools.count()


@settings(max_examples=EXAMPLES)
@given(st.randoms(use_true_random=True))
async def test_a_storage_with_any_indexes_gives_what_plain_lists_give(rng: Random):
    first = problem(rng, is_stored=True)
    store = await ps.LocalStore.open(f"any-{next(numbers)}", engine=ps.StorageEngine.MEMORY)
    async with ps.SyncManager(store, config=ps.SyncConfig(query_limits=None)) as manager:
        model: dict[str, dict[str, Any]] = {name: {} for name in first.data}
        steps = [("save", name, one) for name, documents in first.data.items() for one in documents]
        steps += [("index", rng.choice(NAMES), rng.choice(INDEXED)) for _ in range(rng.randint(0, 4))]
        if rng.random() < 0.5:
            rng.shuffle(steps)
        for _ in range(QUERIES):
            steps += [change(rng, first.palette) for _ in range(rng.randint(0, 3))]
            while steps:
                await do(manager, model, steps.pop(0), is_unique=rng.random() < 0.2)
            await ask(manager, model, problem(rng, palette=first.palette, is_stored=True))
            await ask(manager, model, problem(rng, palette=first.palette, is_stored=True, writes=True, most=2))


Step = tuple[str, str, Any]


def change(rng: Random, palette: list[Any]) -> Step:
    """Draw a step that changes what is there."""
    key, name = f"k{rng.randint(0, 8)}", rng.choice(NAMES)
    kind = rng.choice(["save", "merge", "delete", "index", "drop"])
    if kind in ("index", "drop"):
        return kind, name, rng.choice(INDEXED)
    return kind, name, {"_key": key, **document(rng, palette)}


async def do(manager: ps.SyncManager, model: dict[str, dict[str, Any]], step: Step, *, is_unique: bool) -> None:
    """Do a step on the storage, and on plain dicts unless a unique index refused it."""
    kind, name, given = step
    if kind == "index":
        with contextlib.suppress(ps.InvalidDocument):
            await manager.create_index(name, given, is_unique)
        return
    if kind == "drop":
        for index in await manager.list_indexes(name):
            await manager.drop_index(name, index.name)
        return
    key, body = given["_key"], {field: one for field, one in given.items() if field != "_key"}
    if kind == "delete":
        await manager.delete_document(name, key)
        model[name].pop(key, None)
        return
    try:
        await manager.save_document(name, key, body, replace=kind == "save")
    except ps.InvalidDocument:
        return
    model[name][key] = {**(model[name].get(key, {}) if kind == "merge" else {}), **body, "_key": key}


async def ask(manager: ps.SyncManager, model: dict[str, dict[str, Any]], given: Problem) -> None:
    """Compare the answers to a query, and what is stored then."""
    data = {name: await manager.query(f"FOR one IN {name} RETURN one") for name in model}
    assert {name: {one["_key"]: one for one in bare(rows)} for name, rows in data.items()} == model
    plain = copy.deepcopy(data)
    wanted: list[Any] | str
    found: list[Any] | str
    try:
        wanted = execute(given.query, plain, given.binds)
    except ps.QueryError as error:
        wanted = error.message
    try:
        found = await manager.query(given.query, given.binds)
    except ps.QueryError as error:
        found = error.message
    except ps.InvalidDocument:
        return  # a unique index, or a number that no document may hold
    if isinstance(wanted, str) and isinstance(found, list) and not WRITES.search(given.query):
        return  # an index spares documents with which the query would have failed
    assert repr(found) == repr(wanted), given
    for name, rows in plain.items():
        model[name] = {one["_key"]: one for one in bare(rows)}
    stored = {name: await manager.query(f"FOR one IN {name} RETURN one") for name in model}
    assert {name: {one["_key"]: one for one in bare(rows)} for name, rows in stored.items()} == model, given
