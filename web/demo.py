"""Field notes, the demo of pysync_web: two devices and their server in one page, or one device that fills it.

``start`` is called by boot.js as soon as Python is there. It returns when the first list is drawn from local
data; everything that can wait is imported after that.
"""

from __future__ import annotations

from typing import Any

from demo_device import Device
from demo_dom import listen, milestone, part, spawn
from js import URLSearchParams, console, document, localStorage, location, matchMedia, window

DATABASE = "demo"
LABELS = {"tablet": "Tablet", "phone": "Phone"}
WIDE = "(min-width: 1100px)"

devices: dict[str, Device] = {}


async def start() -> None:
    """Draw the first device's list, then begin everything else beside."""
    connect = {"server": location.origin, "token": _token(), "database": DATABASE}
    first = await _open(_first_device(), connect)
    milestone("first-list")
    first.wire()
    _wire_page(first)
    spawn(_rest(first, connect), _failed)


def _first_device() -> str:
    return str(document.documentElement.getAttribute("data-device"))


async def _open(name: str, connect: dict[str, Any]) -> Device:
    device = Device(name, LABELS[name], connect, _replicas)
    await device.open()
    devices[name] = device
    return device


async def _rest(first: Device, connect: dict[str, Any]) -> None:
    """Open the other device and the server's pane, now or when the window becomes wide enough for them."""
    if document.documentElement.getAttribute("data-layout") == "bench":
        await _complete_bench(first, connect)
        return

    def widened(event: Any) -> None:
        if len(devices) == 1 and document.documentElement.getAttribute("data-layout") == "bench":
            spawn(_complete_bench(first, connect), _failed)

    listen(matchMedia(WIDE), "change", widened)


async def _complete_bench(first: Device, connect: dict[str, Any]) -> None:
    from demo_server import ServerPane

    root = part(document, "server")
    pane = ServerPane(root, location.origin, DATABASE, connect["token"], _replicas)
    first.on_exchange = pane.nudge
    listen(root, "click", lambda event: _server_clicked(pane, event))
    spawn(pane.run(), _failed)
    other = await _open("phone" if first.name == "tablet" else "tablet", connect)
    other.wire()
    other.on_exchange = pane.nudge


def _replicas() -> dict[str, str]:
    return {device.replica_id: device.name for device in devices.values()}


def _server_clicked(pane: Any, event: Any) -> None:
    if event.target.closest('[data-action="more-records"]'):
        pane.show_more()


def _wire_page(first: Device) -> None:
    """Wire what belongs to no device: the keys, the list of keys, the browser's back button."""
    last_used = [first]

    def used(event: Any) -> None:
        root = event.target.closest(".device, .link")
        if root:
            name = root.getAttribute("data-device") or root.getAttribute("data-link")
            last_used[0] = devices.get(name, last_used[0])

    def pressed(event: Any) -> None:
        if dialog.open or event.defaultPrevented:
            return
        if event.key == "?" and not event.target.matches("input, textarea"):
            dialog.showModal()
        elif last_used[0].actions.pressed(event):
            event.preventDefault()

    def clicked(event: Any) -> None:
        if event.target.closest('[data-action="shortcuts"]'):
            dialog.showModal()
        elif event.target.closest('[data-action="close-dialog"]') or event.target.isSameNode(dialog):
            dialog.close()

    dialog = document.getElementById("shortcuts")
    listen(document, "focusin", used)
    listen(document, "pointerdown", used)
    listen(document, "keydown", pressed)
    listen(document, "click", clicked)
    listen(window, "popstate", lambda event: first.actions.leave())


def _token() -> str | None:
    """Take a token from the address (``#token=…``), where no server sees it, and keep it for later starts."""
    given = URLSearchParams.new(location.hash[1:]).get("token")
    if given:
        localStorage.setItem("fieldnotes-token", given)
        window.history.replaceState(None, "", location.pathname + location.search)
    return given or localStorage.getItem("fieldnotes-token") or None


def _failed(error: BaseException) -> None:
    console.error(f"{type(error).__name__}: {error}")
    for device in devices.values():
        device.failed(error)
