"""The least that a server can do with our pushes and pulls: ``python -m tests.bench.plain_server FILE``.

``POST /push`` decodes the body with the standard library's json and writes a row for each change into SQLite, in one
commit with ``synchronous=FULL``. ``GET /pull`` sends the bytes that were given to ``POST /page``.
"""

from __future__ import annotations

import json
import sqlite3
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pysync_web.server.serve import listen


def application(path: str) -> Starlette:
    """Give the application over a database file."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE changes (collection TEXT, key TEXT, body TEXT, PRIMARY KEY (collection, key))")
    page = b""

    async def push(request: Request) -> Response:
        changes = json.loads(await request.body())["changes"]
        rows = [(one["collection"], one["key"], json.dumps(one["document"])) for one in changes]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO changes VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        return Response(b'{"ok":true}', media_type="application/json")

    async def keep(request: Request) -> Response:
        nonlocal page
        page = await request.body()
        return Response(b"")

    async def pull(_: Request) -> Response:
        return Response(page, media_type="application/json")

    routes = [("/push", push, "POST"), ("/page", keep, "POST"), ("/pull", pull, "GET")]
    return Starlette(routes=[Route(path, endpoint, methods=[method]) for path, endpoint, method in routes])


def main() -> None:
    """Serve on a free port, and say which."""
    listener = listen("127.0.0.1", 0)
    print(f"pysync_web listens on http://127.0.0.1:{listener.getsockname()[1]}, as the plain one", flush=True)
    config = uvicorn.Config(
        application(sys.argv[-1]), log_level="warning", access_log=False, http="httptools", ws="none"
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
