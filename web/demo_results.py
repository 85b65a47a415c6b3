"""The answer of a query on the page: documents as a table, other values as a list. All of it goes in as text."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

from demo_dom import Element, mark
from demo_notes import counted
from js import document

ROWS = 200
COLUMNS = 40
CELL_CHARS = 1000
LONG = 28

Row = dict[str, Any]


class Results:
    """Draws answers into a region; rows that were not in the answer before light up."""

    def __init__(self, region: Element) -> None:
        self._region = region
        self._before: set[str] | None = None

    def draw(self, rows: list[Any], notes: Container[str]) -> str:
        """Show an answer and say what it holds; a row with the key of one of ``notes`` can open it."""
        shown = rows[:ROWS]
        looks = [_as_json(row) for row in shown]
        is_table = bool(shown) and all(isinstance(row, dict) for row in shown)
        columns = _columns(shown) if is_table else []
        focused = _focused_key(self._region)
        lines, whole = _table(shown, columns[:COLUMNS], notes) if is_table else _list(looks)
        if self._before is not None:
            for line, look in zip(lines, looks, strict=True):
                mark(line, "new", look not in self._before)
        self._before = set(looks)
        self._region.replaceChildren(*([whole] if shown else []))
        if focused:
            _focus_key(self._region, focused)
        return _in_words(len(rows), len(columns))

    def clear(self) -> None:
        """Show nothing."""
        self._before = None
        self._region.replaceChildren()


def _in_words(rows: int, columns: int) -> str:
    words = counted(rows, "row") if rows else "No rows"
    if rows > ROWS:
        words += f", the first {ROWS} shown"
    if columns > COLUMNS:
        words += f", {COLUMNS} of {columns} columns shown"
    return words


def _columns(rows: list[Row]) -> list[str]:
    """Name the columns as they come; of a whole document only what was written into it, and its key."""
    names = dict.fromkeys(name for row in rows for name in row)
    if {"_key", "_version", "_timestamp"} <= names.keys():
        names = {"_key": None} | {name: None for name in names if not name.startswith("_")}
    return list(names)


def _table(rows: list[Row], columns: list[str], notes: Container[str]) -> tuple[list[Element], Element]:
    head = _element("tr", *(_element("th", name) for name in columns))
    for cell in head.children:
        cell.setAttribute("scope", "col")
    lines = [_element("tr", *(_cell(row, name, notes) for name in columns)) for row in rows]
    return lines, _element("table", _element("thead", head), _element("tbody", *lines))


def _cell(row: Row, name: str, notes: Container[str]) -> Element:
    if name not in row:
        return _element("td")
    value = row[name]
    if name == "_key" and isinstance(value, str) and value in notes:
        return _element("td", _opener(row, value))
    text = _in_a_cell(value)
    cell = _element("td", _element("div", text))
    mark(cell, "kind", "none" if value is None else _kind(text))
    return cell


def _kind(text: str) -> str | None:
    """Say how a text takes its place: a long one needs a wide column, a date is not broken in two."""
    if len(text) > LONG:
        return "long"
    return "word" if len(text.split()) == 1 else None


def _opener(row: Row, key: str) -> Element:
    button = _element("button", "Open")
    button.className = "open-result"
    button.type = "button"
    button.setAttribute("data-action", "open-result")
    button.setAttribute("data-key", key)
    title = row.get("title")
    button.setAttribute("aria-label", f"Open {title if isinstance(title, str) and title else 'this note'}")
    return button


def _list(looks: list[str]) -> tuple[list[Element], Element]:
    lines = [_element("li", _element("code", look)) for look in looks]
    return lines, _element("ol", *lines)


def _in_a_cell(value: Any) -> str:
    """Text stands as it is, a list of texts as words with commas, anything else as JSON."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    else:
        text = _as_json(value)
    return text if len(text) <= CELL_CHARS else text[:CELL_CHARS] + "…"


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _element(tag: str, *children: Any) -> Element:
    made = document.createElement(tag)
    made.append(*children)  # a str becomes a text node
    return made


def _focused_key(region: Element) -> str | None:
    inside = region.contains(document.activeElement)
    return document.activeElement.getAttribute("data-key") if inside else None


def _focus_key(region: Element, key: str) -> None:
    for button in region.querySelectorAll(".open-result"):
        if button.getAttribute("data-key") == key:
            button.focus()
            return
