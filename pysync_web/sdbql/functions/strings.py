"""Functions of texts: case, cutting, finding and joining. Places in a text count characters, from 0.

A place or a length below 0 counts from the end where a function says so, and is 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import sizes
from .arguments import a_text, an_array, an_integer, an_object, wrong
from .registry import Context, FunctionError, function
from .writing import text_of

_TEXTS = frozenset({str})


@function("UPPER", "TO_UPPER", "TOUPPER", least=1, most=1)
def upper(text: Any) -> str:
    """Give a text in capitals."""
    if type(text) is not str:
        raise wrong(1, "a string", text)
    return text.upper()


@function("LOWER", "TO_LOWER", "TOLOWER", least=1, most=1)
def lower(text: Any) -> str:
    """Give a text in small letters."""
    if type(text) is not str:
        raise wrong(1, "a string", text)
    return text.lower()


@function("TRIM", least=1, most=2)
def trim(value: Any, what: Any = None) -> str:
    """Take white space off both ends (0), the left (1) or the right (2), or the characters of a text off both."""
    text = a_text(value)
    if what is None or type(what) is str:
        return text.strip(what)
    match an_integer(what, 2):
        case 0:
            return text.strip()
        case 1:
            return text.lstrip()
        case 2:
            return text.rstrip()
    raise FunctionError("argument 2 must be 0 (both ends), 1 (left), 2 (right) or a string of characters")


@function("LTRIM", least=1, most=2)
def trim_left(text: Any, characters: Any = None) -> str:
    """Take white space, or given characters, off the left."""
    return a_text(text).lstrip(None if characters is None else a_text(characters, 2))


@function("RTRIM", least=1, most=2)
def trim_right(text: Any, characters: Any = None) -> str:
    """Take white space, or given characters, off the right."""
    return a_text(text).rstrip(None if characters is None else a_text(characters, 2))


@function("LENGTH", least=1, most=1)
def length(value: Any) -> int:
    """Count characters, elements or members; what has none of them counts 0."""
    return len(value) if type(value) in (str, list, dict) else 0


@function("CHAR_LENGTH", "CHAR_COUNT", "CHARACTER_LENGTH", least=1, most=1)
def char_length(text: Any) -> int:
    """Count the characters of a text."""
    return len(a_text(text))


@function("BYTE_LENGTH", least=1, most=1)
def byte_length(text: Any) -> int:
    """Count the bytes of a text in UTF-8."""
    return len(a_text(text).encode("utf-8", "surrogatepass"))


@function("CONCAT", least=0, most=None)
def concat(*values: Any) -> str:
    """Join values as texts, the elements of an array one by one; null is an empty text."""
    if _TEXTS.issuperset(map(type, values)):
        return sizes.join(values)
    return "".join(_texts(values))


@function("CONCAT_SEPARATOR", "CONCAT_WS", least=1, most=None)
def concat_separator(separator: Any, *values: Any) -> str:
    """Join values, or an array's elements, with a text between them; null is left out."""
    separator = a_text(separator)
    return sizes.join(_texts(values), separator)


@function("JOIN", least=1, most=2)
def join(array: Any, separator: Any = ",") -> str:
    """Join the elements of an array with a text between them, a comma if none is given; null is left out."""
    return sizes.join(_texts([an_array(array)]), a_text(separator, 2))


@function("CONTAINS", least=2, most=3)
def contains(text: Any, search: Any, gives_place: Any = False) -> bool | int:
    """Tell whether a text has another one in it, or at which place (-1: nowhere) if the third argument is true."""
    if type(text) is not str:
        raise wrong(1, "a string", text)
    if type(search) is not str:
        raise wrong(2, "a string", search)
    return text.find(search) if gives_place else search in text


@function("STARTS_WITH", least=2, most=2)
def starts_with(text: Any, start: Any) -> bool:
    """Tell whether a text begins with another one."""
    return a_text(text).startswith(a_text(start, 2))


@function("ENDS_WITH", least=2, most=2)
def ends_with(text: Any, end: Any) -> bool:
    """Tell whether a text ends with another one."""
    return a_text(text).endswith(a_text(end, 2))


@function("SUBSTRING", "SUBSTR", least=2, most=3)
def substring(value: Any, start: Any, count: Any = None) -> str:
    """Cut out so many characters from a place on, or all; a start below 0 counts from the end."""
    text = a_text(value)
    begin = an_integer(start, 2)
    if begin < 0:
        begin = max(0, begin + len(text))
    if count is None:
        return text[begin:]
    return text[begin : begin + max(0, an_integer(count, 3))]


@function("LEFT", least=2, most=2)
def left(text: Any, count: Any) -> str:
    """Give the first characters of a text."""
    return a_text(text)[: max(0, an_integer(count, 2))]


@function("RIGHT", least=2, most=2)
def right(value: Any, count: Any) -> str:
    """Give the last characters of a text."""
    text = a_text(value)
    return text[max(0, len(text) - max(0, an_integer(count, 2))) :]


@function("SPLIT", least=1, most=3)
def split(value: Any, separator: Any = ",", most: Any = None) -> list[str]:
    """Split a text at a separator, an empty one between all characters.

    At most so many parts are made, and the last (with a number below 0, the first) keeps what is left over.
    """
    text, separator = a_text(value), a_text(separator, 2)
    limit = 0 if most is None else an_integer(most, 3)
    if not separator:
        sizes.check_elements(len(text))
        count = len(text) if limit == 0 else min(len(text), abs(limit))
        if limit < 0:
            head = len(text) - count + 1
            return [text[:head], *text[head:]] if text else []
        return [*text[: count - 1], text[count - 1 :]] if text else []
    sizes.check_elements(text.count(separator) + 1)
    if limit < 0:
        return text.rsplit(separator, min(-limit, sizes.MAX_ELEMENTS) - 1)
    return text.split(separator, min(limit, sizes.MAX_ELEMENTS) - 1)


@function("REPEAT", least=1, most=3, needs_context=True)
def repeat(context: Context, value: Any, count: Any = 1, separator: Any = "") -> str:
    """Repeat a text so many times, with another one between if it is given."""
    text, between = text_of(_plain(value)), a_text(separator, 3)
    times = max(0, an_integer(count, 2))
    if not (text or between) or not times:
        return ""
    size = times * len(text) + (times - 1) * len(between)
    sizes.check_text(size)
    context.spend(size)
    return text + (between + text) * (times - 1)


@function("PAD_LEFT", "LPAD", least=2, most=3, needs_context=True)
def pad_left(context: Context, value: Any, length: Any, pad: Any = " ") -> str:
    """Fill a text up to a length from the left."""
    text = text_of(_plain(value))
    return _padding(context, text, length, pad) + text


@function("PAD_RIGHT", "RPAD", least=2, most=3, needs_context=True)
def pad_right(context: Context, value: Any, length: Any, pad: Any = " ") -> str:
    """Fill a text up to a length from the right."""
    text = text_of(_plain(value))
    return text + _padding(context, text, length, pad)


@function("REPLACE", least=3, most=4)
def replace(text: Any, search: Any, by: Any, most: Any = None) -> str:
    """Replace a text inside another one wherever it is, or so many times."""
    times = -1 if most is None else max(0, an_integer(most, 4))
    return _replaced(a_text(text), a_text(search, 2), a_text(by, 3), times)


@function("SUBSTITUTE", least=2, most=4, needs_context=True)
def substitute(context: Context, value: Any, search: Any, by: Any = None, most: Any = None) -> str:
    """Replace a text, or with an object {search: replacement} many, one after the other; a number says how often.

    With an object the number is the third argument, and counts for each of its members.
    """
    text = a_text(value)
    if type(search) is not dict:
        return replace(text, search, "" if by is None else by, most)
    limit = -1 if by is None else max(0, an_integer(by, 3))
    for old, new in an_object(search, 2).items():
        context.spend(len(text) >> 8)
        text = _replaced(text, old, text_of(new), limit)
    return text


def find_first(text: str, search: Any, start: Any = None, end: Any = None) -> int:
    """Give the place where a text is found first in another one, or -1; the search's bounds are places too."""
    begin, stop = _bounds(text, start, end)
    return text.find(a_text(search, 2), begin, stop)


def find_last(text: str, search: Any, start: Any = None, end: Any = None) -> int:
    """Give the place where a text is found last in another one, or -1."""
    begin, stop = _bounds(text, start, end)
    return text.rfind(a_text(search, 2), begin, stop)


@function("CAPITALIZE", least=1, most=1)
def capitalize(value: Any) -> str:
    """Make the first letter a capital and leave the others."""
    text = a_text(value)
    return text[:1].upper() + text[1:]


@function("TITLE_CASE", "INITCAP", least=1, most=1)
def title_case(text: Any) -> str:
    """Make each word's first letter a capital and the others small, with one space between words."""
    return " ".join([word[:1].upper() + word[1:].lower() for word in a_text(text).split()])


@function("WORD_COUNT", least=1, most=1)
def word_count(text: Any) -> int:
    """Count the words of a text: what white space separates."""
    return len(a_text(text).split())


def _texts(values: Iterable[Any]) -> list[str]:
    """Give values as texts, those of an array for itself; the result of joining them is not too long."""
    texts = []
    length = 0
    for value in values:
        for item in value if type(value) is list else (value,):
            if item is not None:
                text = text_of(item)
                length += len(text)
                sizes.check_text(length)
                texts.append(text)
    return texts


def _plain(value: Any) -> Any:
    """Give a string or a number, which stands for its digits."""
    if type(value) in (str, int, float):
        return value
    raise wrong(1, "a string", value)


def _padding(context: Context, text: str, length: Any, pad: Any) -> str:
    missing = an_integer(length, 2) - len(text)
    filling = a_text(pad, 3)
    if missing <= 0:
        return ""
    if not filling:
        raise FunctionError("argument 3 must not be empty")
    sizes.check_text(len(text) + missing)
    context.spend(missing)
    return (filling * (missing // len(filling) + 1))[:missing]


def _replaced(text: str, search: str, by: str, most: int) -> str:
    if most == 0 or search == by:
        return text
    if len(by) > len(search):
        found = text.count(search)
        count = found if most < 0 else min(found, most)
        if count:
            sizes.check_text(len(text) + count * (len(by) - len(search)))
    return text.replace(search, by, min(most, sizes.MAX_ELEMENTS + len(text)))


def _bounds(text: str, start: Any, end: Any) -> tuple[int, int]:
    """Give the first place of a search and the place behind its last."""
    begin = 0 if start is None else max(0, an_integer(start, 3))
    stop = len(text) if end is None else min(len(text), max(-1, an_integer(end, 4)) + 1)
    return begin, stop
