"""Serves a static web site: right types, revalidation, files compressed beforehand, and a strict policy."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from ..errors import Rejected

TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/zip",
    ".zip": "application/zip",
}
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "service-worker-allowed": "/",
    "vary": "Accept-Encoding",
}
_HASHED = re.compile(r"[.-][0-9a-f]{8,64}\.[a-z0-9.]+\Z")
_REVALIDATED = ("sw.js", ".html", ".webmanifest", "manifest.json")
_FOREVER = "public, max-age=31536000, immutable"


class Site:
    """The files below a folder; names that begin with a dot are not there for anybody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def respond(self, request: Request) -> Response:
        """Answer a GET or HEAD request; raise ``Rejected`` (404, 405)."""
        if request.method not in ("GET", "HEAD"):
            raise Rejected(f"{request.method} is not allowed here.", status=405, code="method_not_allowed")
        takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
        found = await asyncio.to_thread(self._find, request.scope["path"], takes_gzip)
        if found is None:
            raise Rejected("There is no such page.", status=404, code="not_found")
        path, served, stats = found
        headers = {**HEADERS, "cache-control": _caching(request, path)}
        if served != path:
            headers["content-encoding"] = "gzip"
        response = FileResponse(served, headers=headers, media_type=_type(path), stat_result=stats)
        if _is_known(request, response.headers["etag"]):
            kept = {name: value for name, value in response.headers.items() if name in (*headers, "etag")}
            return Response(status_code=304, headers=kept)
        return response

    def _find(self, path: str, takes_gzip: bool) -> tuple[Path, Path, os.stat_result] | None:
        """Give the file that a path means, the one to send (it may be compressed), and the latter's state."""
        names = [name for name in path.split("/") if name]
        if any(name.startswith(".") or "\\" in name or ":" in name or "\0" in name for name in names):
            return None
        meant = self._folder.joinpath(*names)
        if path.endswith("/"):
            meant /= "index.html"
        for served in (meant.with_name(f"{meant.name}.gz"), meant) if takes_gzip else (meant,):
            try:
                resolved = served.resolve(strict=True)
                stats = resolved.stat()
            except OSError:
                continue
            if resolved.is_relative_to(self._folder) and stat.S_ISREG(stats.st_mode):
                return meant, served, stats
        return None


def _caching(request: Request, path: Path) -> str:
    """Let what is named by its version be kept for ever; everything else is asked for again each time."""
    is_versioned = "v" in request.query_params or _HASHED.search(path.name)
    return _FOREVER if is_versioned and not path.name.endswith(_REVALIDATED) else "no-cache"


def _type(path: Path) -> str:
    kind = TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    return kind or "application/octet-stream"


def _is_known(request: Request, etag: str) -> bool:
    """Tell whether the client has this very file already."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or etag in (part.strip().removeprefix("W/") for part in given.split(","))
