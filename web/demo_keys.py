"""Which key means what, and where. Letters act outside text fields only: typing is never a command."""

from __future__ import annotations

from typing import Any

from demo_dom import Element

ANYWHERE = {
    "n": "new",
    "/": "search",
    "q": "queries",
    "l": "ledger",
    "c": "cable",
    "s": "sync",
}
ON_A_ROW = {
    "ArrowDown": "next",
    "ArrowUp": "previous",
    "Enter": "edit",
    "Delete": "delete",
    "Backspace": "delete",
    "d": "toggle",
}
COVERS = ("editor", "queries", "ledger", "conflict")
IN_THE_SEARCH = {"ArrowDown": "next", "Escape": "clear_search"}
IN_THE_TAG_FIELD = {"Enter": "add_tag", ",": "add_tag"}


def action_for(event: Any, root: Element) -> str | None:
    """Give the name of the action that a key press asks for, or None."""
    if event.target.matches(".query-form :is(input, textarea)") and event.key == "Enter":
        return _in_a_query(event)
    if _view(root) == "conflict" and event.key == "Enter" and (event.ctrlKey or event.metaKey):
        return "decide"
    if event.ctrlKey or event.metaKey or event.altKey or event.isComposing:
        return None
    target, key = event.target, event.key
    if target.matches("input, textarea, select"):
        return _in_a_field(target, key, root)
    if target.matches(".note-open") and key in ON_A_ROW:
        return ON_A_ROW[key]
    if key == "Escape":
        return "back" if _view(root) in COVERS else None
    if key == "d" and _view(root) == "editor":
        return "done"
    return ANYWHERE.get(key)


def _in_a_field(field: Element, key: str, root: Element) -> str | None:
    match field.getAttribute("data-part"):
        case "title" if key == "Enter":
            return "focus_text"
        case "search":
            return IN_THE_SEARCH.get(key)
        case "tag" if key == "Backspace" and not field.value:
            return "drop_tag"
        case "tag" if key in IN_THE_TAG_FIELD:
            return IN_THE_TAG_FIELD[key]
    return "back" if key == "Escape" else None


def _in_a_query(event: Any) -> str | None:
    if event.target.getAttribute("data-part") == "query-name":
        return "save_query"
    return "run_query" if event.ctrlKey or event.metaKey else None


def _view(root: Element) -> str | None:
    view: str | None = root.getAttribute("data-view")
    return view
