"""A plain REST API over SQLite that knows nothing of sync: ``GET /items?since=``, ``PUT`` and ``DELETE /items/{id}``.

``python rest_server.py FOLDER`` prints its port. A file ``broken`` in the folder makes it answer 503, a file ``mute``
makes it do what it is told and break the connection instead of an answer.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
SCHEMA = "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, item TEXT, number INTEGER, changed_at TEXT)"


def database() -> sqlite3.Connection:
    """Open the database."""
    connection = sqlite3.connect(FOLDER / "items.sqlite", isolation_level=None, timeout=20)
    connection.execute(SCHEMA)
    return connection


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet

    def do_GET(self) -> None:
        """List what changed after a number, deletes too."""
        since = int(parse_qs(urlsplit(self.path).query).get("since", ["0"])[0])
        with database() as db:
            found = db.execute("SELECT * FROM items WHERE number > ? ORDER BY number LIMIT 50", (since,)).fetchall()
        rows = [
            {"id": key, "item": item and json.loads(item), "etag": f'"{number}"', "changed_at": at}
            for key, item, number, at in found
        ]
        self.answer(200, {"items": rows, "next": found[-1][2] if found else since, "more": len(found) == 50})

    def do_PUT(self) -> None:
        """Create or replace an item."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if json.loads(body).get("price", 0) < 0:
            self.answer(422, {"detail": "a price is not negative"})
            return
        self.change(body.decode())

    def do_DELETE(self) -> None:
        """Delete an item."""
        self.change(None)

    def change(self, item: str | None) -> None:
        """Write an item unless it is another version than the client knew."""
        key = self.path.rpartition("/")[2]
        with database() as db:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT number FROM items WHERE id = ? AND item IS NOT NULL", (key,)).fetchone()
            known = self.headers.get("If-Match")
            is_other = known is not None and (row is None or known != f'"{row[0]}"')
            if is_other or (row is not None and self.headers.get("If-None-Match") == "*"):
                self.answer(412, {"detail": "another version"})
                return
            (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM items").fetchone()
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            db.execute("REPLACE INTO items VALUES (?, ?, ?, ?)", (key, item, number, at))
        self.answer(200, {}, etag=f'"{number}"')

    def answer(self, status: int, content: Any, **headers: str) -> None:
        """Send an answer, or a fault in its place."""
        if (FOLDER / "mute").exists():
            self.close_connection = True
            return
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def parse_request(self) -> bool:
        """Read a request's head; refuse everything while broken."""
        is_read = super().parse_request()
        if is_read and (FOLDER / "broken").exists():
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(503, {})
            return False
        return is_read

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
