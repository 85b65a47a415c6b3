"""JSON values: strict decoding, canonical text, names, limits, equality and the total order.

Canonical text is compact ASCII with sorted names: it crosses to JavaScript fast, holds no control character,
and two replicas that hold the same value hold the same bytes.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, repeat
from operator import is_
from typing import Any, TypeAlias

from .errors import CorruptData, InvalidDocument, SchemaError

JSON: TypeAlias = Any
"""None, bool, int, float, str, list of JSON or dict of str to JSON."""

MAX_DEPTH = 64
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_MEMBERS = 1024
MAX_NAME_BYTES = 256
MAX_STRING_BYTES = 64 * 1024
MAX_INTEGER = 2**53 - 1
MAX_KEY_BYTES = 128
_LARGEST_OF = ((int, MAX_INTEGER), (float, sys.float_info.max))


def _encoder() -> Callable[[JSON, int], Sequence[str]]:
    """Make the canonical encoder. The C encoder is kept, where ``JSONEncoder.encode`` makes one each time."""
    plain = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: (plain.encode(value),)
    encode: Callable[[JSON, int], Sequence[str]] = make(
        None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False
    )
    return encode


_parts = _encoder()
_join = "".join


def dumps(value: JSON) -> str:
    """Give the canonical text of a value that is known to be valid."""
    return _join(_parts(value, 0))


HOLE = "NaN"
"""What a value may be in Python's JSON and in no other: it is put where something was cut out."""

quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii
"""Give the canonical text of a text, much faster than :func:`dumps`."""


def dumps_many(values: Iterable[JSON]) -> list[str]:
    """Give the canonical text of each of many values that are known to be valid."""
    return list(map(_join, map(_parts, values, repeat(0))))


_scan = json.scanner.make_scanner(json.JSONDecoder())  # type: ignore[attr-defined]


def loads(text: str) -> JSON:
    """Read back canonical text that this library wrote; use :func:`decode` for what comes from outside.

    There is no white space to be looked for around it, which takes ``json.loads`` half of its time. Raises
    :class:`CorruptData` for what is no JSON: the storage is damaged, or somebody else has written to it.
    """
    try:
        value, end = _scan(text, 0)
    except (StopIteration, json.JSONDecodeError):
        end = -1
    return value if end == len(text) else _loads_with_care(text)


def _loads_with_care(text: str) -> JSON:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CorruptData(f"a stored record can't be read: {error}, in {text!r:.60}") from error


def loads_many(texts: Iterable[str]) -> list[JSON]:
    """Read back many canonical texts in one piece, which takes half the time of one after the other."""
    texts = list(texts)
    with NoCollecting():
        try:
            found: list[JSON] = loads(f"[{','.join(texts)}]")
        except CorruptData:
            return list(map(loads, texts))  # the error is about the one that is damaged
    return found


class NoCollecting:
    """Keep the garbage collector from going through what is being made: nothing of it is garbage yet."""

    __slots__ = ("_is_on",)

    def __enter__(self) -> None:
        self._is_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *error: object) -> None:
        if self._is_on:
            gc.enable()


_SCALARS = frozenset({str, int, float, bool, type(None)})
_NAMES_ONLY = frozenset({str})
_CONTAINERS = frozenset({dict, list})
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_ESCAPED_QUOTE = re.compile(r'\\["\\]')
_LEVELS = MAX_DEPTH + 8  # a document lies some levels deep in a message
_LONG = 4096  # a text of so many characters is looked at without counting its brackets first
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_BAD_ESCAPE = re.compile(
    r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F])"
)
_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_DATABASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def canonical(document: JSON, place: str = "document") -> str:
    """Give the canonical text of a user's document, or raise :class:`InvalidDocument` that names the place."""
    if type(document) is not dict:
        raise InvalidDocument(f"{place}: a document is a dict, not {type(document).__name__}")
    if not _is_plain(document):
        _refuse(document, place, InvalidDocument)
    try:
        text = dumps(document)
    except ValueError:
        _refuse(document, place, InvalidDocument)
        raise
    if len(text) > MAX_STRING_BYTES or _has_bad_escape(text):
        _refuse(document, place, InvalidDocument)
        if len(text) > MAX_DOCUMENT_BYTES:
            raise InvalidDocument(f"{place}: {len(text)} bytes, over the limit of {MAX_DOCUMENT_BYTES} bytes")
    return text


def canonical_many(documents: Sequence[JSON], places: Sequence[str]) -> list[str]:
    """Give the canonical texts of many documents: what :func:`canonical` does, for all at once."""
    if {dict}.issuperset(map(type, documents)) and _are_plain(documents):
        try:
            texts = dumps_many(documents)
        except ValueError:
            texts = []
        if texts and max(map(len, texts)) <= MAX_STRING_BYTES and not _has_bad_escape(_join(texts)):
            return texts
    return [canonical(document, f"document {place!r}") for document, place in zip(documents, places, strict=True)]


def check_together(value: JSON, place: str) -> None:
    """Raise :class:`InvalidDocument` where a value that was put together from checked parts is over a limit."""
    if not _is_plain(value):
        _refuse(value, place, InvalidDocument)


def decode(data: bytes | str, place: str = "body", parse: Callable[[str], JSON] | None = None) -> JSON:
    """Parse JSON from outside, strictly.

    Refused with :class:`SchemaError`: bytes that are not UTF-8, nesting deeper than 64 (found before parsing),
    duplicate names, NaN and infinities, NUL, lone surrogates, integers outside ±(2^53-1). ``parse`` may be another
    way to parse some texts, which gives None for all that are not JSON, or nested too deep, or not of its kind.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        with NoCollecting():
            value = parse(text) if parse else None
            if value is None:
                if (len(text) > _LONG or text.count("{") + text.count("[") > MAX_DEPTH) and not _is_shallow(text):
                    _check_depth(text, place)
                value = _strictly(text)
            members = _count_members(value)  # as many as there are colons behind names, unless a name occurs twice
        if members != text.count('":') or _has_spaced_colons(text):
            json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise SchemaError(f"not UTF-8 at byte {error.start}", place=place, code="not_utf8") from error
    except json.JSONDecodeError as error:
        raise SchemaError(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            place=place,
            code="not_json",
        ) from error
    except SchemaError:
        raise
    except ValueError as error:
        raise SchemaError(str(error), place=place) from error
    if members is None or _has_bad_escape(text) or (not text.isascii() and _SURROGATE.search(text)):
        _refuse(value, place, SchemaError)
    return value


def check_collection(name: object) -> str:
    """Return a collection's name if it is a letter or underscore and up to 63 letters, digits, underscores."""
    if isinstance(name, str) and _COLLECTION.match(name):
        return name
    raise InvalidDocument(f"collection {name!r}: a name is 1 to 64 ASCII letters, digits or _, no digit first")


def check_database(name: object) -> str:
    """Return a database's name if it is 1 to 64 ASCII letters, digits, ``_`` or ``-``."""
    if isinstance(name, str) and _DATABASE.match(name):
        return name
    raise InvalidDocument(f"database {name!r}: a name is 1 to 64 ASCII letters, digits, _ or -, no - first")


def check_key(key: object) -> str:
    """Return a document's key if it is a text of 1 to 128 bytes without control characters."""
    if not isinstance(key, str):
        raise InvalidDocument(f"key {key!r}: a key is a str, not {type(key).__name__}")
    if not key or len(key) > MAX_KEY_BYTES or _CONTROL.search(key) or len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidDocument(f"key {key[:40]!r}: a key has 1 to {MAX_KEY_BYTES} bytes, no control characters")
    return key


def check_keys(keys: Sequence[object]) -> None:
    """Check many keys at once, as :func:`check_key` does."""
    if _NAMES_ONLY.issuperset(map(type, keys)):
        joined = "".join(keys)  # type: ignore[arg-type]
        lengths = list(map(len, keys))  # type: ignore[arg-type]
        fits = min(lengths, default=1) > 0 and max(lengths, default=0) <= MAX_KEY_BYTES
        if fits and joined.isascii() and not _CONTROL.search(joined):
            return
    for key in keys:
        check_key(key)


def same(a: JSON, b: JSON) -> bool:
    """Tell whether two values are the same JSON: ``1``, ``1.0`` and ``true`` are three values."""
    if type(a) is not type(b):
        return False
    if type(a) is dict or type(a) is list:
        return a == b and dumps(a) == dumps(b)
    return bool(a == b)


def order_key(value: JSON) -> tuple[Any, ...]:
    """Give a sort key: null < false < true < numbers < texts (by code point) < arrays < objects."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, (int, float)):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, list):
        return (4, [order_key(item) for item in value])
    return (5, [(name, order_key(value[name])) for name in sorted(value)])


def _is_plain(document: JSON) -> bool:
    """Tell quickly that all shapes are right; what the text shows better is left to the text."""
    level = [document]
    for _ in range(MAX_DEPTH):
        deeper: list[JSON] = []
        for node in level:
            if type(node) is dict:
                if not _are_members(node):
                    return False
                node = node.values()
            for child in node:
                kind = type(child)
                if kind is dict or kind is list:
                    deeper.append(child)
                elif kind not in _SCALARS or (kind is int and not -MAX_INTEGER <= child <= MAX_INTEGER):
                    return False
        if not deeper:
            return True
        level = deeper
    return False


def _are_members(names: Mapping[Any, JSON]) -> bool:
    for name in names:
        if type(name) is not str or len(name) > MAX_NAME_BYTES // 4:
            return False
    return len(names) <= MAX_MEMBERS


def _are_plain(documents: Sequence[JSON]) -> bool:
    """Tell what :func:`_is_plain` does for many documents: level by level, and no step for one value alone."""
    dicts: Sequence[Any] = documents
    lists: Sequence[Any] = ()
    for _ in range(MAX_DEPTH):
        names = set(chain.from_iterable(dicts))
        if not _NAMES_ONLY.issuperset(map(type, names)) or max(map(len, dicts), default=0) > MAX_MEMBERS:
            return False
        if max(map(len, names), default=0) > MAX_NAME_BYTES // 4:
            return False
        values = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
        types = list(map(type, values))
        kinds = set(types)
        if int in kinds:
            integers = list(_only(int, values, types))
            if max(integers) > MAX_INTEGER or min(integers) < -MAX_INTEGER:
                return False
        kinds -= _SCALARS
        if not kinds:
            return True
        if not _CONTAINERS.issuperset(kinds):
            return False
        dicts, lists = list(_only(dict, values, types)), list(_only(list, values, types))
    return False


def _only(kind: type, values: list[Any], types: list[type]) -> Iterator[Any]:
    return compress(values, map(is_, types, repeat(kind)))


def _refuse(value: JSON, place: str, error: type[InvalidDocument] | type[SchemaError]) -> None:
    """Raise an error for the first part of a value that is not allowed, if there is one."""
    for where, problem in _problems(value, place):
        raise SchemaError(problem, place=where) if error is SchemaError else error(f"{where}: {problem}")


def _problems(value: JSON, place: str) -> Iterator[tuple[str, str]]:
    stack: list[tuple[JSON, str, int]] = [(value, place, 1)]
    while stack:
        node, where, depth = stack.pop()
        problem = _problem(node, depth)
        if problem:
            yield where, problem
        elif type(node) is dict:
            for name, child in node.items():
                name_problem = _name_problem(name)
                if name_problem:
                    yield f"{where}[{name!r:.60}]", name_problem
                stack.append((child, f"{where}.{name}"[:200], depth + 1))
        elif type(node) is list:
            stack.extend((child, f"{where}[{i}]"[:200], depth + 1) for i, child in enumerate(node))


def _problem(node: JSON, depth: int) -> str | None:
    kind = type(node)
    if kind is dict or kind is list:
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if kind is dict and len(node) > MAX_MEMBERS:
            return f"{len(node)} members, over the limit of {MAX_MEMBERS}"
    elif kind is str:
        if len(node) * 4 > MAX_STRING_BYTES and len(node.encode("utf-8", "replace")) > MAX_STRING_BYTES:
            return f"a text over the limit of {MAX_STRING_BYTES} bytes"
        return _text_problem(node)
    elif kind is int:
        if not -MAX_INTEGER <= node <= MAX_INTEGER:
            return "an integer outside ±(2^53-1)"
    elif kind is float:
        if node != node or node in (float("inf"), float("-inf")):
            return f"{node} is not JSON"
    elif kind is not bool and node is not None:
        return f"{kind.__name__} is not JSON"
    return None


def _name_problem(name: object) -> str | None:
    if type(name) is not str:
        return f"a member's name is a str, not {type(name).__name__}"
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        return f"a member's name over the limit of {MAX_NAME_BYTES} bytes"
    return _text_problem(name)


def _text_problem(text: str) -> str | None:
    if "\0" in text:
        return "a text with a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "a text with a lone surrogate"
    return None


def _count_members(value: JSON) -> int | None:
    """Count the members of all objects, or give None where there is a number out of range."""
    count = 0
    values = [value]
    while values:
        kinds = set(map(type, values))
        for kind, most in _LARGEST_OF:
            if kind in kinds:
                numbers = [number for number in values if type(number) is kind]
                if max(numbers) > most or min(numbers) < -most:
                    return None
        deeper: list[JSON] = []
        if dict in kinds:
            dicts = [node for node in values if type(node) is dict]
            count += sum(map(len, dicts))
            for node in dicts:
                deeper += node.values()
        if list in kinds:
            for node in values:
                if type(node) is list:
                    deeper += node
        values = deeper
    return count


def _has_spaced_colons(text: str) -> bool:
    """Tell whether white space stands before a colon; one character is looked for much faster than two."""
    return (
        (" " in text and " :" in text)
        or ("\n" in text and "\n:" in text)
        or ("\t" in text and "\t:" in text)
        or ("\r" in text and "\r:" in text)
    )


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:60]!r} occurs twice in one object")
    return result


def _no_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


_strict = json.JSONDecoder(parse_constant=_no_constant)
_scan_strictly = json.scanner.make_scanner(_strict)  # type: ignore[attr-defined]


def _strictly(text: str) -> JSON:
    """Parse a text without NaN and infinities; most have no white space around them to be looked for."""
    try:
        value, end = _scan_strictly(text, 0)
    except StopIteration:
        return _strict.decode(text)
    return _strict.decode(text) if text[end:].strip(" \t\n\r") else value


def _has_bad_escape(text: str) -> bool:
    """Tell whether an escape stands for NUL or a lone surrogate; one character is looked for much faster than two."""
    return "\\" in text and _BAD_ESCAPE.search(text) is not None


def parse_with_holes(text: str, levels: int = _LEVELS) -> tuple[JSON, list[str]]:
    """Parse a text in which some values are :data:`HOLE`; give also the list that stands for each, one item a hole.

    Raises ValueError for anything else that is no JSON, and where it is nested deeper than so many levels.
    """
    holes: list[str] = []

    def hole(name: str) -> list[str]:
        holes.append(name)
        return holes

    if not _is_shallow(text, levels):
        raise ValueError("nested too deep, or brackets that do not match")
    value, end = json.JSONDecoder(parse_constant=hole).raw_decode(text)
    if end != len(text) or not {HOLE}.issuperset(holes):
        raise ValueError("not JSON")
    return value, holes


def parse_each(texts: Sequence[str]) -> list[JSON]:
    """Parse some texts in one piece; raise ValueError where one is not one value that fits into a list of an answer.

    Holes stand between them, and line ends, which no text in JSON goes beyond: so no value begins in one of them and
    ends in another.
    """
    between = f",\n{HOLE},\n"
    values, holes = parse_with_holes(f"[{between.join(texts)}]", _LEVELS - 2)
    is_each = len(values) == 2 * len(texts) - 1 and len(holes) == len(texts) - 1
    if not is_each or not all(map(is_, values[1::2], repeat(holes))):
        raise ValueError("a text is not one value")
    found: list[JSON] = values[::2]
    return found


def _is_shallow(text: str, levels: int = _LEVELS) -> bool:
    """Tell quickly that brackets are not nested too deep: pairs are taken out, the innermost first."""
    has_escapes = "\\" in text and _ESCAPED_QUOTE.search(text)
    plain = text.replace("\\\\", "").replace('\\"', "") if has_escapes else text
    brackets = plain.encode("utf-8", "replace").translate(_ONE_KIND, _NOT_BRACKETS).replace(b'""', b"")
    if b'"' in brackets:
        brackets = _STRING.sub(b"", brackets)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False


def _check_depth(text: str, place: str) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        mark = token.group()
        if mark in "[{":
            depth += 1
            if depth > _LEVELS:
                raise SchemaError(f"nested deeper than {MAX_DEPTH} levels", place=place, code="too_deep")
        elif mark in "]}":
            depth -= 1
