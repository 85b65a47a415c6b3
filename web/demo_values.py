"""Values of documents in words: what a field holds, which device wrote it, and what of a text is new."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from demo_dom import Element, say
from js import document

MOST_WORDS = 1500
"""Longer texts are shown without marks: to compare them takes too long."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


def in_words(value: Any) -> str:
    """Say what a field holds."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(str(item) for item in value) or "none"
        case _:
            return str(value) or "empty"


def define(target: Element, fields: Iterable[tuple[str, Any]]) -> None:
    """Fill a list of definitions with fields and what they hold."""
    target.replaceChildren()
    for name, value in fields:
        for tag, text in (("dt", name.capitalize()), ("dd", in_words(value)[:600])):
            cell = document.createElement(tag)
            say(cell, text)
            target.append(cell)


def pieces(before: str, after: str) -> list[tuple[str, bool]]:
    """Cut a text into parts, each with whether it is new."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if not before or max(len(old), len(new)) > MOST_WORDS:
        return [(after, False)]
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    parts = [("".join(new[low:high]), tag != "equal") for tag, _, _, low, high in codes]
    return [
        piece for text, is_new in parts for piece in (_trimmed(text) if is_new else [(text, False)]) if piece[0]
    ]


def _trimmed(text: str) -> list[tuple[str, bool]]:
    """Leave out the space around what is new: a mark on it says nothing."""
    begin, words = len(text) - len(text.lstrip()), text.strip()
    return [(text[:begin], False), (words, True), (text[begin + len(words) :], False)]


def show_text(target: Element, before: Any, after: Any) -> None:
    """Show a value, with marks on what of it is new."""
    if isinstance(before, str) and isinstance(after, str) and after:
        target.replaceChildren(*(_piece(text, is_new) for text, is_new in pieces(before, after)))
    else:
        say(target, in_words(after))


def _piece(text: str, is_new: bool) -> Element:
    piece = document.createElement("mark" if is_new else "span")
    piece.textContent = text
    return piece
