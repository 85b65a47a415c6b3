"""The requests that the protocol's documentation prints are served as they stand there, on a fresh server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.server_process import ServerProcess

pytestmark = pytest.mark.native

DELTA = """{
"database": "mydb",
"client_id": "client-A",
"version_vector": {
"client-A": 5,
"server": 8
},
"changes": [
{
"collection": "users",
"key": "user-123",
"operation": "insert",
"document": { "name": "Alice", "email": "[email protected]" },
"timestamp": "2024-01-15T10:30:00Z"
}
]
}"""
PUSH = """{
"client_id": "client-A",
"changes": [
{
"collection": "users",
"key": "user-123",
"operation": "update",
"delta": { "email": "[email protected]" },
"base_version": { "client-A": 5, "server": 8 }
}
]
}"""
PULL = '?client_id=client-A&version_vector={"client-A":5,"server":8}&collections=users,orders&limit=100'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with no data."""
    with ServerProcess(tmp_path / "data") as process:
        yield process


def test_a_delta_brings_the_documented_answer(server: ServerProcess):
    status, answer, _ = server.call("POST", "/_api/sync/delta", DELTA.encode())
    assert status == 200
    assert answer["server_version"] == {"client-A": 6, "server": 1}
    assert answer["server_changes"] == []
    assert answer["conflicts"] == []
    assert [result["status"] for result in answer["results"]] == ["applied"]


def test_another_client_gets_the_document_in_the_documented_shape(server: ServerProcess):
    server.call("POST", "/_api/sync/delta", DELTA.encode())
    other = {
        "database": "mydb",
        "client_id": "client-B",
        "version_vector": {"client-B": 0, "server": 0},
        "changes": [],
    }
    status, answer, _ = server.call("POST", "/_api/sync/delta", other)
    assert status == 200
    assert answer["server_version"]["server"] == 1
    [change] = answer["server_changes"]
    assert (change["collection"], change["key"]) == ("users", "user-123")
    assert change["document"] == {"name": "Alice", "email": "[email protected]"}
    assert change["version_vector"] == {"client-A": 6, "server": 1}
    assert change["timestamp"] == "2024-01-15T10:30:00.00000000Z"


def test_a_push_to_a_fresh_server_creates_the_document(server: ServerProcess):
    status, answer, _ = server.call("POST", "/_api/sync/push/mydb", PUSH.encode())
    assert status == 200
    assert answer["server_version"]["server"] == 1
    assert [result["status"] for result in answer["results"]] == ["applied"]
    assert answer["conflicts"] == []


def test_a_pull_brings_what_came_after_the_cursor(server: ServerProcess):
    server.call("POST", "/_api/sync/delta", DELTA.encode())
    server.call("POST", "/_api/sync/push/mydb", PUSH.encode())
    for cursor, keys in ((8, []), (2, []), (1, ["user-123"]), (0, ["user-123"])):
        query = quoted(PULL.replace('"server":8', f'"server":{cursor}'))
        status, answer, _ = server.call("GET", f"/_api/sync/pull/mydb{query}")
        assert status == 200
        assert [change["key"] for change in answer["server_changes"]] == keys
        assert answer["server_version"]["server"] == 2
        assert answer["has_more"] is False


def test_a_pull_is_filtered_by_collections_and_comes_in_pages(server: ServerProcess):
    changes = [
        {"collection": "users" if i % 2 else "notes", "key": str(i), "operation": "insert", "document": {"i": i}}
        for i in range(10)
    ]
    server.call("POST", "/_api/sync/push/mydb", {"client_id": "client-A", "changes": changes})
    cursor, keys, pages = 0, [], 0
    while True:
        vector = f'{{"server":{cursor}}}'
        query = quoted(f"?client_id=client-B&version_vector={vector}&collections=users,orders&limit=4")
        _, answer, _ = server.call("GET", f"/_api/sync/pull/mydb{query}")
        keys += [change["key"] for change in answer["server_changes"]]
        cursor, pages = answer["server_version"]["server"], pages + 1
        if not answer["has_more"]:
            break
    assert (keys, cursor, pages) == (["1", "3", "5", "7", "9"], 10, 3)


def test_a_status_has_the_documented_members(server: ServerProcess):
    server.call("POST", "/_api/sync/delta", DELTA.encode())
    status, answer, _ = server.call("GET", "/_api/sync/status/mydb?client_id=client-A")
    assert status == 200
    assert set(answer) == {"client_id", "server_version", "pending_for_client", "last_sync", "collections_synced"}
    assert answer["client_id"] == "client-A"
    assert answer["server_version"] == {"client-A": 6, "server": 1}
    assert answer["collections_synced"] == ["users"]
    assert answer["last_sync"].endswith("Z")
    status, answer, _ = server.call("GET", "/_api/sync/status/mydb?client_id=client-B")
    assert (answer["pending_for_client"], answer["last_sync"]) == (1, None)


def test_a_push_does_not_move_the_cursor_over_what_others_wrote(server: ServerProcess):
    server.call("POST", "/_api/sync/push/mydb", PUSH.encode().replace(b"client-A", b"client-B"))
    _, pushed, _ = server.call("POST", "/_api/sync/push/mydb", PUSH.encode().replace(b"user-123", b"user-9"))
    assert [change["key"] for change in pushed["server_changes"]] == ["user-9"]  # its time is the server's
    query = quoted(f'?client_id=client-A&version_vector={{"server":{pushed["server_version"]["server"]}}}')
    _, pulled, _ = server.call("GET", f"/_api/sync/pull/mydb{query}")
    assert {change["key"] for change in pulled["server_changes"]} >= {"user-123"}


def test_a_get_of_a_database_that_nobody_wrote_is_not_found_and_creates_none(server: ServerProcess):
    for path in ("pull/nobody?client_id=a", "status/nobody?client_id=a"):
        status, problem, headers = server.call("GET", f"/_api/sync/{path}")
        assert (status, problem["code"]) == (404, "unknown_database")
        assert headers["content-type"] == "application/problem+json"
    assert list(server.data.glob("*")) == []


def test_the_data_outlive_the_process(server: ServerProcess):
    server.call("POST", "/_api/sync/delta", DELTA.encode())
    server.stop()
    server.start()
    _, answer, _ = server.call("GET", "/_api/sync/status/mydb?client_id=client-A")
    assert answer["server_version"] == {"client-A": 6, "server": 1}


def test_a_long_answer_is_compressed_for_who_takes_it(server: ServerProcess):
    changes = [
        {"collection": "c", "key": str(i), "operation": "insert", "document": {"text": "lorem ipsum " * 10}}
        for i in range(100)
    ]
    server.call("POST", "/_api/sync/push/mydb", {"client_id": "client-A", "changes": changes})
    path = "/_api/sync/pull/mydb?client_id=client-B"
    _, plain, headers = server.call("GET", path)
    assert "content-encoding" not in headers and headers["vary"] == "Accept-Encoding"
    for takes, packed in (("br, gzip", True), ("*", True), ("gzip;q=0", False), ("identity", False)):
        _, content, headers = server.call("GET", path, accept_encoding=takes, raw=True)
        assert headers.get("content-encoding") == ("gzip" if packed else None)
        text = gzip.decompress(content) if packed else content
        assert json.loads(text)["server_changes"] == plain["server_changes"]
        assert not packed or len(content) < len(text) / 4


def quoted(query: str) -> str:
    """Escape what Python's own client refuses to send in an address."""
    return query.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
