"""A sync server: ``python -m pysync_web.server``, or :func:`create_app` for an ASGI server of one's own.

It needs the extra ``server``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config, Limits

if TYPE_CHECKING:
    from .app import App

__all__ = ["Config", "Limits", "create_app"]


def create_app(config: Config | None = None) -> App:
    """Give an ASGI application; it closes its databases when its lifespan ends."""
    from .app import App

    return App(config or Config())
