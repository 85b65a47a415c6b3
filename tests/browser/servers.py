"""A server and a site on different ports, so that a page outlives its server."""

from __future__ import annotations

from pathlib import Path

from tests.browser.harness import BLANK, Server, Site


def server_for(folder: Path, site: Site, *origins: str) -> Server:
    """Give a server, not started, that pages of the site at these origins may call from another port."""
    options = [word for origin in origins for word in ("--cors", site.address("", origin))]
    return Server(folder, options=tuple(options))


def blank(site: Site, origin: str) -> str:
    """Give the address of a blank page with Python in it, on an origin."""
    return site.address(BLANK, origin)
