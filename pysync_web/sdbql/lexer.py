"""Cuts a query's text into tokens, in time that grows with its length only.

Keywords are told from names here, but most may still be names: the parser decides where it knows what comes next.
A template becomes the tokens ``template``, ``chunk``, ``${``, those of an expression, ``}$``, … and ``template end``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..errors import QueryError
from .places import shorten

_RESERVED_WORDS: Final = """
    FOR IN FILTER SORT LIMIT RETURN LET COLLECT INSERT UPDATE REPLACE REMOVE UPSERT JOIN INTO WITH
    AND OR NOT LIKE TRUE FALSE NULL CASE WHEN THEN ELSE
"""
_OTHER_WORDS: Final = """
    ORDER BY ASC DESC OUTBOUND INBOUND ANY ALL NONE SOME SHORTEST_PATH GRAPH TO OVER PARTITION END AGGREGATE COUNT
    KEEP DISTINCT SATISFIES CREATE STREAM AS WINDOW TUMBLING SLIDING SIZE MATERIALIZED VIEW REFRESH INNER LEFT RIGHT
    FULL OUTER ON CURRENT
"""
RESERVED: Final = frozenset(_RESERVED_WORDS.split())
"""Keywords that are a variable or a collection in backticks only."""

KEYWORDS: Final = RESERVED | frozenset(_OTHER_WORDS.split())
"""All keywords, in capitals: the kind of the token of each."""

MOST_DIGITS: Final = 100


class Token(NamedTuple):
    """A piece of a query. ``kind`` is a keyword, a sign, or one of the words in small letters.

    Those are ``name``, ``number``, ``string``, ``bind`` (``@a``), ``binds`` (``@@a``), the parts of a template, and
    ``end``. ``text`` is what was written, without quotes and escapes.
    """

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""
    (?:[\s\ufeff]++|--[^\n]*+|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+
    (?:
        (?P<name>[^\W\d]\w*+)
      | (?P<number>[0-9]++(?:\.(?!\.)[0-9]*+)?+(?:[eE][+-]?+[0-9]++)?+)(?P<junk>\w++)?+
      | (?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+')
      | (?P<bind>@@?+\w++)
      | (?P<template>\$["'])
      | (?P<quoted>`[^`\\]*+(?:\\.[^`\\]*+)*+`)
      | (?P<bad>/\*|<>|;|[^-+*/%<>=!~?:,.()\[\]{}|&^])
      | (?P<sign>\.\.\.|\.\.|\?\.|\?\?|\|>|\|\||&&|==|=~|!=|!~|<=|>=|<<|>>|->|~=|\*\*|.)
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_CHUNKS = {
    '"': re.compile(r'(?:[^"\\$]++|\\.|\$\$|\$(?!\{))*+', re.DOTALL),
    "'": re.compile(r"(?:[^'\\$]++|\\.|\$\$|\$(?!\{))*+", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPE_OR_DOLLARS = re.compile(_ESCAPE.pattern + r"|\$\$", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def tokenize(query: str) -> list[Token]:
    """Give a query's tokens, the last of kind ``end``, or raise :class:`QueryError`."""
    if not query.isascii() and (lone := _SURROGATE.search(query)):
        raise QueryError("Half a character (a lone surrogate)", query=query, at=lone.start())
    tokens: list[Token] = []
    templates: list[_Open] = []
    match, position = _TOKEN.match, 0
    while True:
        found = match(query, position)
        assert found is not None and found.lastgroup is not None, "something matches everywhere"
        group = found.lastgroup
        begin, position = found.span(group)
        text = found[group]
        if group == "name":
            word = text.upper()
            tokens.append(Token(word if word in KEYWORDS and text.isascii() else "name", text, begin))
        elif group == "sign":
            if templates and text in "{}":
                if text == "}" and not templates[-1].braces:
                    tokens.append(Token("}$", text, begin))
                    position = _chunk(query, position, tokens, templates)
                    continue
                templates[-1].braces += 1 if text == "{" else -1
            tokens.append(Token(text, text, begin))
        elif group == "template":
            tokens.append(Token("template", text, begin))
            templates.append(_Open(text[1], begin))
            position = _chunk(query, position, tokens, templates)
        elif group == "end":
            if templates:
                raise QueryError("This template is never closed", query=query, at=templates[-1].at)
            tokens.append(Token("end", "", begin))
            return tokens
        else:
            tokens.append(_token(query, group, text, begin))


class _Open:
    """A template that is being read, with the braces that are open in its expression."""

    __slots__ = ("at", "braces", "quote")

    def __init__(self, quote: str, at: int) -> None:
        self.quote = quote
        self.at = at
        self.braces = 0


def _token(query: str, group: str, text: str, at: int) -> Token:
    """Make the token of a rarer kind, or say what is wrong with it."""
    match group:
        case "number":
            return Token("number", text, at)
        case "string":
            return Token("string", _unescape(query, text[1:-1], at, _ESCAPE), at)
        case "bind":
            return Token("binds", text[2:], at) if text[1] == "@" else Token("bind", text[1:], at)
        case "quoted":
            if len(text) == 2:
                raise QueryError("A name in backticks is empty", query=query, at=at)
            return Token("name", _unescape(query, text[1:-1], at, _ESCAPE), at)
        case "junk":
            raise QueryError(f"A number can't go on with {shorten(text)!r}", query=query, at=at)
    raise QueryError(_BAD.get(text) or f"The character {text!r} means nothing here", query=query, at=at)


_BAD = {
    '"': "This string is never closed",
    "'": "This string is never closed",
    "`": "This name in backticks is never closed",
    "/*": "This comment is never closed",
    "<>": "Not equal is written !=",
    ";": "A query has no ; behind it",
    "@": "A name of letters, digits and _ must follow @",
    "$": "A template is written $\"…\" or $'…'",
}


def _chunk(query: str, position: int, tokens: list[Token], templates: list[_Open]) -> int:
    """Read a template's text up to its end or its next expression; give the offset behind."""
    template = templates[-1]
    found = _CHUNKS[template.quote].match(query, position)
    assert found is not None, "an empty chunk matches everywhere"
    end = found.end()
    if found[0]:
        tokens.append(Token("chunk", _unescape(query, found[0], position, _ESCAPE_OR_DOLLARS), position))
    if query.startswith("${", end):
        tokens.append(Token("${", "${", end))
        return end + 2
    if end == len(query) or query[end] != template.quote:
        raise QueryError("This template is never closed", query=query, at=template.at)
    tokens.append(Token("template end", template.quote, end))
    templates.pop()
    return end + 1


def _unescape(query: str, text: str, at: int, escape: re.Pattern[str]) -> str:
    """Read the escapes in a text: JSON's; any other character stands for itself."""
    if "\\" not in text and "$$" not in text:
        return text
    plain = escape.sub(_character, text)
    if _SURROGATE.search(plain):
        raise QueryError("A \\u escape gives half a character (a lone surrogate)", query=query, at=at)
    return plain


def _character(found: re.Match[str]) -> str:
    letters: str | None = found[1]
    if letters is None:
        return "$"
    if len(letters) == 1:
        return _ESCAPED.get(letters, letters)
    if len(letters) == 5:
        return chr(int(letters[1:], 16))
    return chr(0x10000 + ((int(letters[1:5], 16) & 0x3FF) << 10 | int(letters[7:], 16) & 0x3FF))
