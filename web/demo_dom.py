"""The few words in which the demo speaks to the page. Text goes in as text only, never as HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from js import document, performance
from pyodide.ffi import create_proxy

Element = Any

_tasks: set[asyncio.Task[Any]] = set()


def part(root: Element, name: str) -> Element:
    """Give the element that bears ``data-part``."""
    return root.querySelector(f'[data-part="{name}"]')


def parts(root: Element, *names: str) -> list[Element]:
    """Give several parts at once."""
    return [part(root, name) for name in names]


def stamp(template: str) -> Element:
    """Copy a template of index.html."""
    return document.getElementById(template).content.firstElementChild.cloneNode(True)


def say(element: Element, text: str) -> None:
    """Set an element's text, unless it is that already: a screen reader hears only what changed."""
    if element.textContent != text:
        element.textContent = text


def mark(element: Element, name: str, value: object) -> None:
    """Set a ``data-`` attribute; False and None remove it, True leaves it empty."""
    if value is None or value is False:
        element.removeAttribute(f"data-{name}")
    else:
        element.setAttribute(f"data-{name}", "" if value is True else str(value))


def listen(element: Element, event: str, handler: Callable[[Any], None]) -> None:
    """Call a handler on an event, for as long as the page lives."""
    element.addEventListener(event, create_proxy(handler))


def spawn(work: Coroutine[Any, Any, Any], failed: Callable[[BaseException], None]) -> None:
    """Run a coroutine beside everything else; an exception goes to ``failed``, never nowhere."""

    def finished(task: asyncio.Task[Any]) -> None:
        _tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failed(error)

    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(finished)


def toast(
    region: Element,
    text: str,
    *,
    kind: str = "info",
    action: str = "",
    act: Callable[[], None] | None = None,
    stays: bool = False,
) -> None:
    """Show a message, for some seconds unless it ``stays``, with one button if there is something to be done."""
    while region.childElementCount >= 3:
        region.firstElementChild.remove()
    card = stamp("toast")
    card.firstElementChild.textContent = text
    mark(card, "kind", kind)
    if kind == "error":
        card.setAttribute("role", "alert")
    region.append(card)
    if act is not None:
        _give_button(card, action, act)
    if not stays:
        asyncio.get_event_loop().call_later(9 if kind == "error" or act else 4, card.remove)


def _give_button(card: Element, word: str, act: Callable[[], None]) -> None:
    def pressed(event: Any) -> None:
        card.remove()
        act()

    button = card.lastElementChild
    button.hidden = False
    button.textContent = word
    listen(button, "click", pressed)


def milestone(name: str) -> None:
    """Leave a mark in the browser's own time line."""
    performance.mark(name)
