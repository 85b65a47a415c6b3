"""What INSERT, UPDATE, REPLACE, REMOVE and UPSERT do to a document: each gives the document before and after.

They write to the run's pending data; later clauses of the same query see it, the source does so when all is done.
"""

from __future__ import annotations

from typing import Any

from ..functions.registry import FunctionError
from ..places import shorten
from ..source import Document
from .equality import equal
from .finish import copied
from .operators import type_name
from .run import Run


def insert(run: Run, collection: str, document: Any) -> Document:
    """Add a document; one without a key gets a new one."""
    if type(document) is not dict:
        raise FunctionError(f"INSERT needs an object, not {type_name(document)}")
    key = document.get("_key")
    if key is None:
        key = run.new_key()
    _check_key(key)
    if run.data.get(collection, key) is not None:
        raise FunctionError(f"there is a document {key!r} in {collection} already")
    fresh: Document = {"_key": key, **copied(run.budget, document)}
    fresh["_key"] = key
    _write(run, collection, key, fresh)
    return fresh


def update(run: Run, collection: str, old: Document, changes: Any, is_replace: bool) -> Document:
    """Give a document other members: all of them, or only those that are named."""
    if type(changes) is not dict:
        raise FunctionError(f"{'REPLACE' if is_replace else 'UPDATE'} needs an object, not {type_name(changes)}")
    key = _check_key(old.get("_key"))
    kept: Document = {name: old[name] for name in ("_key", "_id") if name in old}
    fresh: Document = {**(kept if is_replace else old), **copied(run.budget, changes), **kept}
    _write(run, collection, key, fresh)
    return fresh


def remove(run: Run, collection: str, old: Document) -> None:
    """Remove a document."""
    _write(run, collection, _check_key(old.get("_key")), None)


def target(run: Run, collection: str, given: Any) -> Document:
    """Find the document that a key, an ``_id`` or a document names."""
    key = given.get("_key") if type(given) is dict else given
    if type(key) is not str:
        what = "an object without _key" if type(given) is dict else type_name(given)
        raise FunctionError(f"a document is named by its key, its _id or itself, not by {what}")
    document = run.data.get(collection, key)
    if document is None and key.startswith(f"{collection}/"):
        key = key[len(collection) + 1 :]
        document = run.data.get(collection, key)
    if document is None:
        raise FunctionError(f"there is no document {shorten(key)!r} in {collection}")
    return document


def example(run: Run, collection: str, wanted: Any) -> Document | None:
    """Find the first document that has all the members of an example, which may also be a key."""
    if type(wanted) is str:
        return run.data.get(collection, wanted.removeprefix(f"{collection}/"))
    if type(wanted) is not dict:
        raise FunctionError(f"UPSERT needs an object or a key, not {type_name(wanted)}")
    key = wanted.get("_key")
    if type(key) is str:
        document = run.data.get(collection, key)
        return document if document is not None and _is_like(document, wanted) else None
    found = run.scan(collection)
    return next((document for document in found if _is_like(document, wanted)), None)


def _is_like(document: Document, wanted: Document) -> bool:
    return all(name in document and equal(document[name], value) for name, value in wanted.items())


def _check_key(key: Any) -> str:
    if type(key) is not str or not key:
        raise FunctionError("a document's _key must be a text that is not empty")
    return key


def _write(run: Run, collection: str, key: str, document: Document | None) -> None:
    run.budget.touch(1)
    run.data.write(collection, key, document)
    run.forget()
