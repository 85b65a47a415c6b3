"""Which documents of a collection a device wants: a condition, written as a query or as an expression alone.

One document decides by itself, and always the same: a filter reads no other documents, no time and no chance. So
what it says does not depend on which documents are asked about together, or on who asks when. It counts its steps
and no time for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, replace
from hashlib import sha256
from math import inf
from typing import Any, Final

from ..deferred import dataclass
from ..errors import InvalidDocument, QueryError, SchemaError
from ..sdbql import nodes as n
from ..sdbql.ambient import Random
from ..sdbql.compile.plan import conjuncts, defined, path_of
from ..sdbql.engine import Prepared, prepare_tree
from ..sdbql.functions import FUNCTIONS
from ..sdbql.limits import CHUNK, QueryLimits
from ..sdbql.parser import parse_condition
from ..sdbql.printer import format_query
from ..sdbql.source import Document, Lists
from ..sdbql.walk import walk
from ..values import JSON, canonical, check_collection, dumps, loads
from .document import Body

MOST_NODES: Final = 200
DEEPEST: Final = 16
MOST_BIND_BYTES: Final = 64 * 1024
MOST_STEPS: Final = 10_000
"""What a filter may spend on one document: as many steps (see ``sdbql/compile/metering.py``), and as many rows."""

DOCUMENT: Final = "doc"
"""The variable of the document in an expression alone."""

_LIMITS: Final = QueryLimits(steps=MOST_STEPS, rows_scanned=MOST_STEPS, time_s=inf, is_metered=True)
_NO_CHANCE: Final = Random(0)
_OUTER: Final = (n.Let, n.Filter, n.Return)
_INNER: Final = (n.For, n.Let, n.Filter, n.Sort, n.Limit, n.Return)
_HINTS: Final = frozenset((bool, int, float, str))

_PATTERNS: Final = frozenset(("REGEX_TEST", "REGEX_MATCHES", "REGEX_REPLACE"))
_PATTERN_NAMES: Final = frozenset(name for name, one in FUNCTIONS.items() if one.name in _PATTERNS)
_OF_ARGUMENTS: Final = frozenset(
    (
        *_PATTERNS,
        *("LEVENSHTEIN", "FUZZY_MATCH", "SIMILARITY", "BM25"),
        *("REPEAT", "PAD_LEFT", "PAD_RIGHT", "SUBSTITUTE", "RANGE", "GEO_WITHIN"),
        *("VECTOR_SIMILARITY", "VECTOR_DISTANCE", "VECTOR_NORMALIZE"),
    )
)
"""Functions that use their context for nothing but to count their steps; any other that has one is refused."""

_READS: Final = {
    **dict.fromkeys(("DATE_NOW", "DATE_NOW_ISO", "HUMAN_TIME"), "the time"),
    **dict.fromkeys(("COLLECTION_COUNT", "DOCUMENT", "FULLTEXT", "HYBRID_SEARCH"), "other documents"),
    **dict.fromkeys(("VECTOR_INDEX_STATS", "SAMPLE"), "other documents"),
    **dict.fromkeys(("RANDOM", "RANDOM_INT", "UUID", "UUID_V7", "ULID", "NANOID", "ARGON2_HASH"), "chance"),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked and compiled condition on the documents of a collection; filters are equal if they say the same.

    ``text`` is a query that gives the same filter again, with ``bind_vars``. ``equality`` is a hint for a look-up:
    the path of a field, and the value that it has in every document that matches; None where there is no such field.
    """

    collection: str = field(compare=False)
    text: str = field(compare=False)
    bind_vars: dict[str, JSON] = field(compare=False)
    id: str
    equality: tuple[tuple[str, ...], JSON] | None = field(compare=False)
    _prepared: Prepared = field(compare=False, repr=False)

    def matching(self, documents: Sequence[tuple[str, Body]]) -> list[bool]:
        """Tell of documents, each a key and the body as it is shown, whether they match.

        One for which that can't be worked out, or not within the steps that one document has, does not.
        """
        shown = [{**body, "_key": key} for key, body in documents]
        return [one for at in range(0, len(shown), CHUNK) for one in self._decided(shown[at : at + CHUNK])]

    def _decided(self, documents: list[Document]) -> list[bool]:
        """Decide about documents in one run; where that fails or costs more than one may, in halves."""
        source = Lists({self.collection: documents})
        try:
            rows = self._prepared.execute(source, now=lambda: 0, rng=_NO_CHANCE, copies=False)
        except QueryError:
            if len(documents) == 1:
                return [False]
            middle = len(documents) // 2
            return self._decided(documents[:middle]) + self._decided(documents[middle:])
        found = set(map(id, rows))
        return [id(document) in found for document in documents]


def compile_filter(collection: str, query: str | None, bind_vars: Mapping[str, JSON] | None = None) -> Filter:
    """Make the filter that a text says, either ``FOR u IN collection [LET | FILTER]* RETURN u`` or a condition alone.

    In a condition alone ``doc`` is the document, and any other name that is no variable is a field of it; that of the
    collection is refused, because ``samples.done`` would be no field. None is all documents. Raises
    :class:`QueryError` with the place of what can't be in a filter, :class:`SchemaError` for the name of the
    collection and for bind variables.
    """
    try:
        check_collection(collection)
        binds = loads(canonical({} if bind_vars is None else dict(bind_vars), "bind_vars"))
    except InvalidDocument as error:
        raise SchemaError(str(error)) from error
    if len(dumps(binds)) > MOST_BIND_BYTES:
        raise SchemaError(f"over the limit of {MOST_BIND_BYTES} bytes", place="bind_vars")
    tree, taken = _tree_of(collection, query, binds)
    _check(tree)
    used = {node.name for node in walk(tree) if isinstance(node, n.Bind)}
    if unused := sorted(binds.keys() - used - taken):
        raise SchemaError("no such variable is in the filter", place=f"bind_vars.{unused[0][:60]}")
    binds = {name: value for name, value in binds.items() if name in used}
    prepared = prepare_tree(tree, binds, limits=_LIMITS)
    text = format_query(tree)
    digest = sha256(dumps([collection, text, binds]).encode()).hexdigest()
    return Filter(collection, text, binds, digest[:16], _equality(tree, binds), prepared)


# From a text to a query over one document


def _tree_of(collection: str, query: str | None, binds: Mapping[str, JSON]) -> tuple[n.Query, set[str]]:
    """Give the filter as a query that names its collection, and the bind variables that gave that name."""
    source = n.Name(collection)
    if query is None:
        return n.Query((n.For(DOCUMENT, source), n.Return(n.Name(DOCUMENT)))), set()
    found = parse_condition(query)
    if not isinstance(found, n.Query):
        condition = _Names(query, collection).resolved(found, frozenset((DOCUMENT,)))
        kept = n.Filter(condition, at=condition.at)
        return n.Query((n.For(DOCUMENT, source), kept, n.Return(n.Name(DOCUMENT))), text=query), set()
    first, last = found.clauses[0] if found.clauses else None, found.clauses[-1:]
    if found.creates or not isinstance(first, n.For):
        raise _error(query, found, f"A filter is a condition, or begins with FOR … IN {collection}")
    taken = _check_source(query, first.source, collection, binds)
    clauses = _Names(query, collection, first.variable).clauses(
        found.clauses[1:], frozenset((first.variable,)), _OUTER
    )
    for clause in clauses:
        if first.variable in defined(clause):
            raise _error(query, clause, f"{first.variable} is the document already")
    if last != (n.Return(n.Name(first.variable)),):
        raise _error(query, last[0], f"A filter gives the document itself: RETURN {first.variable}")
    return replace(found, clauses=(replace(first, source=source), *clauses)), taken


def _check_source(query: str, source: n.Expression, collection: str, binds: Mapping[str, JSON]) -> set[str]:
    """Refuse another collection; give the bind variable that names this one, if one does."""
    match source:
        case n.Name(name=name):
            found: JSON = name
        case n.Bind(name=name, is_collection=True):
            if name not in binds:
                raise _error(query, source, f"There is no value for @@{name}")
            found = binds[name]
        case _:
            raise _error(query, source, f"A filter of {collection} reads nothing but its documents")
    if found != collection:
        raise _error(query, source, f"This filter is one of {collection}, and of no other collection")
    return {source.name} if isinstance(source, n.Bind) else set()


@dataclass(frozen=True, slots=True)
class _Names:
    """Finds the names in a query that are no variables: fields of the document where it has no name of its own."""

    query: str
    collection: str
    variable: str | None = None

    def resolved(self, node: Any, scope: frozenset[str]) -> Any:
        """Give a node with fields in place of names that are not in a scope."""
        match node:
            case tuple():
                return tuple([self.resolved(one, scope) for one in node])
            case n.Name():
                return node if node.name in scope else self._free(node)
            case n.Bind(is_collection=True):
                raise _error(self.query, node, "A filter reads no other collection")
            case n.Query():
                return replace(node, clauses=self.clauses(node.clauses, scope, _INNER))
            case n.Quantifier():
                source = self.resolved(node.source, scope)
                condition = self.resolved(node.condition, scope | {node.variable})
                return replace(node, source=source, condition=condition)
            case n.Lambda():
                scope |= set(node.parameters)
        if not is_dataclass(node):
            return node
        changed = {}
        for one in fields(node):
            changed[one.name] = self.resolved(getattr(node, one.name), scope)
        return replace(node, **changed)  # type: ignore[type-var]

    def clauses(
        self, clauses: Iterable[n.Clause], scope: frozenset[str], allowed: tuple[type, ...]
    ) -> tuple[n.Clause, ...]:
        """Do the same for clauses, each of which sees what those before it define."""
        found = []
        for clause in clauses:
            if not isinstance(clause, allowed):
                word = self.query[clause.at :].split(None, 1)[0].upper()
                raise _error(self.query, clause, f"{word} can't stand here: a filter looks at each document alone")
            for part in (
                [n.Let((one,), at=one.at) for one in clause.bindings] if type(clause) is n.Let else [clause]
            ):
                found.append(self.resolved(part, scope))
                scope |= set(defined(part))
        return tuple(found)

    def _free(self, node: n.Name) -> n.Access:
        if self.variable is None and node.name == self.collection:
            name = node.name
            message = f"{name} is the collection, not a document: a field is {DOCUMENT}.x or x alone"
            raise _error(self.query, node, f"{message}, one that is called {name} is {DOCUMENT}.{name}")
        if self.variable is None:
            return n.Access(n.Name(DOCUMENT, at=node.at), node.name, at=node.at)
        message = f"There is no variable {node.name}; a field is {self.variable}.{node.name}"
        raise _error(self.query, node, f"{message}, and other collections are out of sight")


# What is refused, what is said of it


def _check(tree: n.Query) -> None:
    """Refuse a tree that is too large, and functions of more than their arguments."""
    count = 0
    waiting: list[tuple[Any, int]] = [(tree, -1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, tuple):
            waiting += [(one, depth) for one in node]
        elif is_dataclass(node):
            count += 1
            if count > MOST_NODES:
                raise _error(
                    tree.text, tree, f"A filter has at most {MOST_NODES} parts: give lists as bind variables"
                )
            if depth > DEEPEST:
                raise _error(tree.text, node, f"A filter is nested at most {DEEPEST} levels deep")
            if isinstance(node, n.Call):
                _check_call(tree.text, node)
            if (pattern := _pattern_in(node)) and not isinstance(pattern, n.Constant | n.Bind):
                raise _error(tree.text, pattern, "The pattern in a filter is a text or a bind variable")
            left = getattr(node, "left", None) or getattr(node, "target", None)
            for part in fields(node):
                below = getattr(node, part.name)
                waiting.append((below, depth if below is left else depth + 1))  # a chain is no depth


def _check_call(query: str, node: n.Call) -> None:
    function = FUNCTIONS.get(node.name)
    if node.over is not None:
        raise _error(query, node, f"{node.name} OVER (…) depends on other documents, which a filter can't")
    if function is not None and function.needs_context and function.name not in _OF_ARGUMENTS:
        what = _READS.get(function.name)
        why = f"depends on {what}" if what else "costs more than one document may"
        raise _error(query, node, f"{node.name} {why}: give a filter the value as a bind variable instead")


def _pattern_in(node: Any) -> n.Expression | None:
    """Give the regular expression that a node searches for; to make one for each document would take too long."""
    match node:
        case n.Binary(operator="=~" | "!~"):
            return node.right
        case n.Pipe(value=value, call=call):
            return _pattern_in(replace(call, arguments=(value, *call.arguments)))
        case n.Call(name=name, arguments=(_, pattern, *_)) if name in _PATTERN_NAMES:
            return pattern
    return None


def _equality(tree: n.Query, binds: Mapping[str, JSON]) -> tuple[tuple[str, ...], JSON] | None:
    """Find a field and the value that it must have."""
    variable = next(clause.variable for clause in tree.clauses if isinstance(clause, n.For))
    filters = [clause.condition for clause in tree.clauses if isinstance(clause, n.Filter)]
    for condition in [one for whole in filters for one in conjuncts(whole)]:
        if not isinstance(condition, n.Binary) or condition.operator != "==":
            continue
        for one, other in ((condition.left, condition.right), (condition.right, condition.left)):
            path = path_of(one, variable)
            value = binds[other.name] if isinstance(other, n.Bind) else getattr(other, "value", None)
            is_field = path and path[0] not in ("_key", "_id") and not any("." in name for name in path)
            if is_field and isinstance(other, n.Bind | n.Constant) and type(value) in _HINTS:
                return path, value
    return None


def _error(query: str, node: Any, message: str) -> QueryError:
    return QueryError(message, query=query, at=node.at)
