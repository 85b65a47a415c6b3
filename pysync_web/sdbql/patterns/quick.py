"""The optional library google-re2, asked where Python's ``re`` might take long: the one place that imports it.

It gets only what means the same to it: its ``\\b`` knows ASCII alone, its classes can't be subtracted, and where
something that may be empty is repeated it takes another way.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from .syntax import Chars, Choice, Empty, Group, Node, Place, Repeat, Series

_PLACES: Final = {"start": r"\A", "end": r"\z", "line start": "(?m:^)", "line end": "(?m:$)"}
_SETS: Final = {
    r"\d": r"\p{Nd}",
    r"\D": r"\P{Nd}",
    r"\w": r"[\p{L}\p{N}_]",
    r"\W": r"[^\p{L}\p{N}_]",
}
_NUMBERED: Final = re.compile(r"\\U([0-9a-f]{8})")
_OTHERWISE: Final = re.compile(r"\(\?[=!a]|\\[sS]")
_SHORTHAND: Final = re.compile(r"\\[dDwW]")
MOST_TIMES: Final = 100
MOST_SOURCE: Final = 5_000


class _Untranslatable(Exception):
    """Something that RE2 does not have, or that it understands in another way."""


def compile_quickly(node: Node) -> Any:
    """Compile a pattern for RE2; None if that is not installed or the pattern is not for it."""
    library = _library()
    if library is None:
        return None
    try:
        source = _written(node)
    except _Untranslatable:
        return None
    if len(source) > MOST_SOURCE:
        return None
    options = library.Options()
    options.log_errors = False
    try:
        return library.compile(source, options)
    except (library.error, UnicodeError):
        return None


@cache
def _library() -> Any:
    try:
        import re2  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None
    return re2


def _written(node: Node) -> str:
    match node:
        case Chars(source):
            return _set(source)
        case Place(kind) if kind in _PLACES:
            return _PLACES[kind]
        case Series(parts):
            return "".join(f"(?:{_written(part)})" for part in parts)
        case Choice(options):
            return "|".join(map(_written, options))
        case Group(body, _):
            return f"({_written(body)})"
        case Repeat(body, least, most, is_lazy) if max(least, most or 0) <= MOST_TIMES and not _may_be_empty(body):
            times = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{_written(body)}){times}{'?' if is_lazy else ''}"
        case Empty():
            return ""
    raise _Untranslatable


def _may_be_empty(node: Node) -> bool:
    match node:
        case Chars():
            return False
        case Series(parts):
            return all(map(_may_be_empty, parts))
        case Choice(options):
            return any(map(_may_be_empty, options))
        case Group(body, _):
            return _may_be_empty(body)
        case Repeat(body, least):
            return least == 0 or _may_be_empty(body)
    return True


def _set(source: str) -> str:
    if _OTHERWISE.search(source):
        raise _Untranslatable
    plain = _SHORTHAND.sub(lambda found: _SETS[found.group()], source)
    return _NUMBERED.sub(lambda found: f"\\x{{{int(found[1], 16):x}}}", plain)
