"""Whole collections looked at in one call: searches by words and by vectors, samples, single documents.

All of it scans; a collection is given by its name, or as the array of its documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from math import log
from typing import Any, Final, TypeAlias

from ..patterns import levenshtein
from ..source import Document, is_open
from ..words import words_of
from .arguments import a_number, a_text, an_integer, an_object, wrong
from .registry import Context, FunctionError, function
from .vectors import a_vector, cosine

MOST_RESULTS: Final = 100
MOST_WORDS: Final = 64
MOST_WORD: Final = 100
K1: Final = 1.5
B: Final = 0.75
AVERAGE_LENGTH: Final = 100
DOCUMENTS: Final = 1000
DOCUMENTS_WITH_WORD: Final = 100
RRF_K: Final = 60
CANDIDATES: Final = 3
MOST_FUSED: Final = 1000
_INDEX_MARKS: Final = ("_idx", "_index", "_vector_idx", "_vec", "_vector")


@function("COLLECTION_COUNT", least=1, most=1, needs_context=True)
def collection_count(ctx: Context, collection: Any) -> int:
    """Count the documents of a collection."""
    return sum(1 for _ in _documents(ctx, collection))


@function("IS_SAME_COLLECTION", least=2, most=2)
def is_same_collection(first: Any, second: Any) -> bool:
    """Tell whether two names, ``_id``s or documents are of the same collection, in any letter case."""
    names = [(one.get("_id") if type(one) is dict else one) for one in (first, second)]
    a, b = (one.partition("/")[0].lower() if type(one) is str else None for one in names)
    return a is not None and a == b


@function("SAMPLE", least=2, most=2, needs_context=True)
def sample(ctx: Context, collection: Any, count: Any) -> list[Document]:
    """Give so many documents by chance, all of them in any order if there are no more."""
    wanted = an_integer(count, 2)
    if wanted < 0:
        raise FunctionError("argument 2 must not be negative")
    documents = list(_documents(ctx, collection))
    return ctx.rng.sample(documents, min(wanted, len(documents)))


@function("DOCUMENT", least=1, most=2, needs_context=True)
def document(ctx: Context, collection: Any, *keys: Any) -> Any:
    """Give a document by its ``_id``, or by collection and key, or an array by an array; null for a missing one."""
    if not keys:
        if type(collection) is list:
            return [_by_id(ctx, one) for one in collection]
        return _by_id(ctx, collection)
    if type(keys[0]) is list:
        return [_by_key(ctx, collection, one) for one in keys[0]]
    return _by_key(ctx, collection, keys[0])


def _by_id(ctx: Context, identifier: Any) -> Document | None:
    collection, slash, key = a_text(identifier).partition("/")
    if not slash:
        raise FunctionError(f"{identifier[:60]!r} is no _id such as 'users/1'")
    return _by_key(ctx, collection, key)


def _by_key(ctx: Context, collection: Any, key: Any) -> Document | None:
    ctx.spend(16)
    if key is None:
        return None
    if type(collection) is list:
        return next((one for one in _documents(ctx, collection) if one.get("_key") == key), None)
    name = _collection(ctx, collection)
    plain = a_text(key, 2).removeprefix(f"{name}/")
    return ctx.source.get(name, plain)


@function("BM25", least=2, most=2, needs_context=True)
def bm25(ctx: Context, text: Any, query: Any) -> float:
    """Score how well a text answers a query, as if it were one of 1000 texts of 100 words; no text scores 0."""
    wanted = _query_words(query, 2)
    if type(text) is not str:
        return 0.0
    ctx.spend(len(text))
    words = words_of(text)
    if not words:
        return 0.0
    rarity = log((DOCUMENTS - DOCUMENTS_WITH_WORD + 0.5) / (DOCUMENTS_WITH_WORD + 0.5))
    length = K1 * (1 - B + B * len(words) / AVERAGE_LENGTH)
    counts = [words.count(word) for word in wanted]
    ctx.spend(len(words) * len(wanted) // 16)
    return sum((rarity * count * (K1 + 1) / (count + length) for count in counts), 0.0)


@function("FULLTEXT", least=3, most=4, needs_context=True)
def fulltext(ctx: Context, collection: Any, field: Any, query: Any, distance: Any = 2) -> list[Document]:
    """Find the documents whose field holds words of a query, or near ones: ``{doc, score, matched}``, the best first.

    A word is near within ``distance`` edits, but never more than half its letters. The score is the share of the
    query's words that were found, where a near one counts less.
    """
    most = an_integer(distance, 4)
    path, wanted = a_text(field, 2), _query_words(query, 3)
    found = _ranked_by_words(ctx, _documents(ctx, collection), path, wanted, most)
    return [{"doc": one, "score": score, "matched": matched} for score, one, matched in found[:MOST_RESULTS]]


def _ranked_by_words(
    ctx: Context, documents: Iterable[Document], path: str, wanted: list[str], distance: int
) -> list[tuple[float, Document, list[str]]]:
    known: dict[tuple[str, str], float] = {}
    found = []
    for one in documents:
        words = set(words_of(_text_at(ctx, one, path)))
        scores = {word: _nearness(ctx, word, words, distance, known) for word in dict.fromkeys(wanted)}
        matched = [word for word, score in scores.items() if score > 0]
        if matched:
            found.append((sum(scores.values()) / len(scores), one, matched))
    return sorted(found, key=lambda entry: -entry[0])


def _nearness(
    ctx: Context, wanted: str, words: set[str], distance: int, known: dict[tuple[str, str], float]
) -> float:
    """Tell how near the nearest of a text's words is: 1 for the same, 0 for none."""
    if wanted in words:
        return 1.0
    most = min(distance, len(wanted) // 2)
    if most <= 0:
        return 0.0
    best = 0.0
    for word in words:
        if abs(len(word) - len(wanted)) > most:
            continue
        pair = (wanted, word)
        if pair not in known:
            ctx.spend(len(word))
            edits = levenshtein(wanted, word)
            known[pair] = 1 - edits / max(len(wanted), len(word)) if edits <= most else 0.0
        best = max(best, known[pair])
    return best


def _text_at(ctx: Context, one: Document, path: str) -> str:
    """Give the text at a path such as ``a.b``; of an array its texts."""
    value: Any = one.get(path)
    if path not in one:
        value = one
        for name in path.split("."):
            value = value.get(name) if type(value) is dict else None
    parts = [part for part in (value if type(value) is list else [value]) if type(part) is str]
    text = " ".join(parts)
    ctx.spend(len(text))
    return text


def _query_words(query: Any, place: int) -> list[str]:
    words = words_of(a_text(query, place))
    if len(words) > MOST_WORDS or any(len(word) > MOST_WORD for word in words):
        raise FunctionError(f"a search takes up to {MOST_WORDS} words of {MOST_WORD} letters")
    return words


@function("HYBRID_SEARCH", least=5, most=6, needs_context=True)
def hybrid_search(
    ctx: Context, collection: Any, index: Any, field: Any, vector: Any, query: Any, options: Any = None
) -> list[Document]:
    """Find documents by vector and by words at once, the best first.

    Each is ``{doc, score, vector_score, text_score, sources}``, with the scores of the searches that found it.
    Options are ``vector_weight`` and ``text_weight`` (0.5 each), ``limit`` (10) and ``fusion``: ``weighted`` sums of
    scores brought to 0 to 1, or ``rrf``, sums of ``1 / (60 + rank)``.
    """
    chosen = {} if options is None else an_object(options, 6)
    limit = an_integer(chosen.get("limit", 10), 6)
    if not 0 <= limit <= MOST_FUSED:
        raise FunctionError(f"the limit must be from 0 to {MOST_FUSED}")
    numbers, documents = a_vector(vector, 4), list(_documents(ctx, collection))
    name = _vector_field(documents, a_text(index, 2), len(numbers))
    by_words = _ranked_by_words(ctx, documents, a_text(field, 3), _query_words(query, 5), 2)
    rankings = {
        "vector": _ranked_by_vector(ctx, documents, name, numbers)[: CANDIDATES * limit],
        "fulltext": [(score, one) for score, one, _ in by_words[: CANDIDATES * limit]],
    }
    weights = {
        "vector": a_number(chosen.get("vector_weight", 0.5), 6),
        "fulltext": a_number(chosen.get("text_weight", 0.5), 6),
    }
    fusion = chosen.get("fusion", "weighted")
    if fusion not in ("weighted", "rrf"):
        raise FunctionError('the fusion is "weighted" or "rrf"')
    return _fused(rankings, weights, is_rrf=fusion == "rrf")[:limit]


Ranking: TypeAlias = Sequence[tuple[float, Document]]


def _fused(rankings: Mapping[str, Ranking], weights: Mapping[str, float], *, is_rrf: bool) -> list[Document]:
    results: dict[int, Document] = {}
    for source, ranking in rankings.items():
        scores = [score for score, _ in ranking]
        low, high = min(scores, default=0.0), max(scores, default=0.0)
        for rank, (score, one) in enumerate(ranking, 1):
            share = (score - low) / (high - low) if high > low else 1.0
            entry = results.setdefault(id(one), {"doc": one, "score": 0.0})
            entry["score"] += 1 / (RRF_K + rank) if is_rrf else weights[source] * share
            entry["vector_score" if source == "vector" else "text_score"] = share
    for entry in results.values():
        scores_of = {"vector": "vector_score", "fulltext": "text_score"}
        entry["sources"] = [source for source, member in scores_of.items() if member in entry]
    return sorted(results.values(), key=lambda entry: -entry["score"])


def _ranked_by_vector(
    ctx: Context, documents: list[Document], name: str | None, vector: list[float]
) -> list[tuple[float, Document]]:
    found = []
    for one in documents:
        value = one.get(name) if name is not None else None
        if _is_vector(value, len(vector)):
            ctx.spend(len(vector))
            found.append((cosine(vector, a_vector(value, 4)), one))
    return sorted(found, key=lambda entry: -entry[0])


def _vector_field(documents: Sequence[Document], index: str, dimension: int | None) -> str | None:
    """Find the field that an index is of: by the index's name, else the first that holds vectors."""
    names = {index, *(index.removesuffix(mark) for mark in _INDEX_MARKS)}
    others = []
    for one in islice(documents, 100):
        for name, value in one.items():
            if _is_vector(value, dimension):
                if name in names:
                    return name
                others.append(name)
    return others[0] if others else None


def _is_vector(value: Any, dimension: int | None) -> bool:
    if type(value) is not list or not value or (dimension is not None and len(value) != dimension):
        return False
    return all(type(item) is int or type(item) is float for item in value)


@function("VECTOR_INDEX_STATS", least=2, most=2, needs_context=True)
def vector_index_stats(ctx: Context, collection: Any, index: Any) -> Document:
    """Tell of the vectors that an index would hold: their field, their dimension, how many there are."""
    documents = list(_documents(ctx, collection))
    name = _vector_field(documents, a_text(index, 2), None)
    lengths = [len(one[name]) for one in documents if name in one and _is_vector(one[name], None)] if name else []
    dimension = max(lengths, default=0)
    return {
        "name": index,
        "field": name,
        "dimension": dimension,
        "metric": "cosine",
        "indexed_vectors": lengths.count(dimension),
    }


def _documents(ctx: Context, collection: Any) -> Iterator[Document]:
    """Give the documents of a collection, each at a cost."""
    if type(collection) is list:
        found: Iterable[Any] = collection
    else:
        found = ctx.source.scan(_collection(ctx, collection))
    for one in found:
        ctx.spend(1)
        if type(one) is dict:
            yield one


def _collection(ctx: Context, name: Any) -> str:
    if type(name) is not str:
        raise wrong(1, "the name of a collection", name)
    known = ctx.source.collections()
    if name in known or is_open(ctx.source):
        return name
    near = get_close_matches(name[:100], known, 1)
    hint = f"; do you mean {near[0]!r}?" if near else ""
    raise FunctionError(f"there is no collection {name[:100]!r}{hint}")
