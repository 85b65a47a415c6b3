"""Bad requests get the answer that names what is wrong, where, and which limit; the server goes on."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.server_process import ServerProcess

pytestmark = pytest.mark.native

DELTA = "/_api/sync/delta"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the limits that it has by default."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process


def change(**members: Any) -> dict[str, Any]:
    """Give a change that is right but for the given members."""
    return {"collection": "c", "key": "k", "operation": "insert", "document": {"a": 1}, **members}


def message(*changes: Any, **members: Any) -> dict[str, Any]:
    """Give a request that is right but for the given members."""
    return {"database": "db", "client_id": "a", "changes": list(changes), **members}


def nested(depth: int) -> Any:
    """Give lists inside of each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def raw(document: str) -> bytes:
    """Give a request whose document is this very text."""
    return json.dumps(message(change(document="here"))).replace('"here"', document).encode()


DOCUMENT = "changes[0].document"

WRONG = {
    "malformed": (b'{"database": "db",', 400, "not_json", "body"),
    "empty": (b"", 400, "not_json", "body"),
    "not UTF-8": (b'{"database": "\xff"}', 400, "not_utf8", "body"),
    "a list": ([], 422, "invalid", "body"),
    "NaN": (raw('{"a": NaN}'), 422, "invalid", "body"),
    "Infinity": (raw('{"a": -Infinity}'), 422, "invalid", "body"),
    "a number without end": (raw('{"a": 1e999}'), 422, "invalid", "body"),
    "a long integer": (raw('{"a": 9007199254740992}'), 422, "invalid", "body"),
    "a very long integer": (raw('{"a": ' + "9" * 5000 + "}"), 422, "invalid", "body"),
    "a name twice": (raw('{"a": 1, "a": 2}'), 422, "invalid", "body"),
    "NUL": (raw('{"a": "\\u0000"}'), 422, "invalid", "body"),
    "half a surrogate": (raw('{"a": "\\ud800"}'), 422, "invalid", "body"),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400, "not_json", "body"),
    "depth 10,000": (b"[" * 10_000 + b"]" * 10_000, 400, "too_deep", "body"),
    "database": (message(database="../db"), 422, "invalid", "database"),
    "database of another type": (message(database=["db"]), 422, "invalid", "database"),
    "client_id": (message(client_id="a b"), 422, "invalid", "client_id"),
    "version_vector": (message(version_vector={"a": -1}), 422, "invalid", "version_vector.a"),
    "fence": (message(fence=5), 422, "invalid", "fence"),
    "a change of another type": (message("insert"), 422, "invalid", "changes[0]"),
    "a key that is no text": (message(change(key=7)), 422, "invalid", "changes[0].key"),
    "an empty key": (message(change(key="")), 422, "invalid", "changes[0].key"),
    "collection": (message(change(collection="drop table")), 422, "invalid", "changes[0].collection"),
    "operation": (message(change(operation="upsert")), 422, "invalid", "changes[0].operation"),
    "document": (message(change(document=[1])), 422, "invalid", DOCUMENT),
    "timestamp": (message(change(timestamp="yesterday")), 422, "invalid", "changes[0].timestamp"),
    "base_version": (message(change(base_version={"a": "5"})), 422, "invalid", "changes[0].base_version.a"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_and_where(server: ServerProcess, name):
    body, status, code, place = WRONG[name]
    got, problem, headers = server.call("POST", DELTA, body)
    assert (got, problem["code"]) == (status, code), problem
    assert headers["content-type"] == "application/problem+json"
    assert problem["status"] == status and problem["type"] and problem["title"]
    assert problem["place"].startswith(place)
    assert place in problem["detail"]


def sized(size: int) -> dict[str, Any]:
    """Give a document whose canonical text has this many bytes."""
    texts = ["x" * 60_000] * 4
    return {"a": texts, "b": "x" * (size - len(json.dumps({"a": texts, "b": ""}, separators=(",", ":"))))}


LIMITS = {
    "document": (sized(256 * 1024), sized(256 * 1024 + 1)),
    "text": ({"a": "x" * 65_536}, {"a": "x" * 65_537}),
    "text in bytes": ({"a": "é" * 32_768}, {"a": "é" * 32_768 + "x"}),
    "members": ({str(i): i for i in range(1024)}, {str(i): i for i in range(1025)}),
    "a member's name": ({"n" * 256: 1}, {"n" * 257: 1}),
    "integer": ({"a": 2**53 - 1, "b": 1 - 2**53}, {"a": 2**53}),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_document_may_be_as_large_as_the_limit_and_no_larger(server: ServerProcess, name):
    most, over = LIMITS[name]
    status, answer, _ = server.call("POST", DELTA, message(change(key=name, document=most)))
    assert (status, answer["results"][0]["status"]) == (200, "applied"), answer
    status, problem, _ = server.call("POST", DELTA, message(change(key=name, document=over)))
    assert status in (413, 422), problem
    assert "limit" in problem["detail"] or "outside" in problem["detail"]


@pytest.mark.parametrize(
    ("most", "over", "status"),
    [
        (message(change(key="k" * 128)), message(change(key="k" * 129)), 422),
        (message(change(collection="c" * 64)), message(change(collection="c" * 65)), 422),
        (message(client_id="i" * 128), message(client_id="i" * 129), 422),
        (message(limit=1000), message(limit=1001), 422),
        (message(database="d" * 64), message(database="d" * 65), 422),
        (message(*[change()] * 500), message(*[change()] * 501), 413),
        (message(change(document={"a": nested(60)})), message(change(document={"a": nested(64)})), 422),
        (
            message(version_vector={f"r{i}": 1 for i in range(1000)}),
            message(version_vector={f"r{i}": 1 for i in range(1001)}),
            422,
        ),
    ],
    ids=["key", "collection", "id", "page", "database", "changes", "depth", "vector"],
)
def test_each_limit_holds_to_the_last(server: ServerProcess, most, over, status):
    assert server.call("POST", DELTA, most)[0] == 200
    got, problem, _ = server.call("POST", DELTA, over)
    assert got == status, problem
    assert problem["place"]


def test_the_body_s_limit_counts_what_comes(server: ServerProcess):
    text = json.dumps(message()).encode()
    most = text + b" " * (MIB - len(text))
    assert server.call("POST", DELTA, most)[0] == 200
    status, problem, _ = server.call("POST", DELTA, most + b" ")
    assert (status, problem["code"]) == (413, "body_too_large")
    assert (problem["limit"], problem["maximum"]) == ("body_bytes", MIB)


def test_the_body_s_limit_counts_chunks_of_unknown_length(server: ServerProcess):
    for size, status in ((MIB, 200), (MIB + 1, 413)):
        body = json.dumps(message()).encode().ljust(size)
        chunks = b"".join(b"10000\r\n" + body[i : i + 65536] + b"\r\n" for i in range(0, MIB, 65536))
        rest = body[MIB:]
        chunks += (b"%x\r\n" % len(rest) + rest + b"\r\n" if rest else b"") + b"0\r\n\r\n"
        assert exchange(server, head("Transfer-Encoding: chunked") + chunks).startswith(f"HTTP/1.1 {status} ")


def test_the_body_s_limit_counts_after_decompression(server: ServerProcess):
    words = " ".join(str(i * i) for i in range(200_000))  # that does not shrink too well
    for size, status, code in ((MIB, 400, "not_json"), (MIB + 1, 413, "body_too_large")):
        packed = gzip.compress(words[:size].encode())
        got, problem, _ = server.call("POST", DELTA, packed, content_encoding="gzip")
        assert (got, problem["code"]) == (status, code)


def test_a_compressed_request_is_served(server: ServerProcess):
    packed = gzip.compress(json.dumps(message(change(key="packed"))).encode())
    status, answer, _ = server.call("POST", DELTA, packed, content_encoding="gzip")
    assert (status, answer["results"][0]["status"]) == (200, "applied")


def test_a_bomb_is_taken_for_one(server: ServerProcess):
    bomb = gzip.compress(b" " * 1_000_000, 9)
    assert len(bomb) < 2000
    status, problem, _ = server.call("POST", DELTA, bomb, content_encoding="gzip")
    assert (status, problem["limit"], problem["maximum"]) == (413, "ratio", 100)
    giant = gzip.compress(b" " * 100 * MIB, 9)
    status, problem, _ = server.call("POST", DELTA, giant, content_encoding="gzip")
    assert (status, problem["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x", gzip.compress(b"{}") * 2, b""],
    ids=["plain", "cut off", "with a tail", "two", "nothing"],
)
def test_what_is_not_one_gzip_stream_is_refused(server: ServerProcess, body):
    status, problem, _ = server.call("POST", DELTA, body, content_encoding="gzip")
    assert (status, problem["code"]) == (400, "not_gzip")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_is_not_called_json_is_refused(server: ServerProcess, kind):
    status, problem, _ = server.call("POST", DELTA, message(), content_type=kind or "none")
    assert (status, problem["code"]) == (415, "not_json_type")


def test_an_unknown_encoding_is_refused(server: ServerProcess):
    assert server.call("POST", DELTA, message(), content_encoding="br")[0] == 415


def test_a_body_that_ends_early_has_no_effect(server: ServerProcess):
    body = json.dumps(message(change(key="early"), database="early")).encode()
    with connection(server) as client:
        client.sendall(head(f"Content-Length: {len(body)}") + body[:-1])
        client.shutdown(socket.SHUT_WR)
        assert not client.recv(1)
    assert server.call("GET", "/_api/sync/status/early?client_id=a")[0] == 404


def test_headers_have_a_limit(server: ServerProcess):
    status, problem, _ = server.call("GET", "/_api/health", x_large="x" * 15_000)
    assert status == 200
    status, problem, _ = server.call("GET", "/_api/health", x_large="x" * 17_000)
    assert (status, problem["limit"], problem["maximum"]) == (431, "header_bytes", 16 * 1024)


def test_headers_without_end_are_cut_off(server: ServerProcess):
    with connection(server) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET /_api/health HTTP/1.1\r\n")
        for _ in range(1000):
            client.sendall(b"x-more: " + b"x" * 1000 + b"\r\n")
        assert not client.recv(1), "that the request has not ended yet, and still the connection was closed"


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "client_id"),
        ("?client_id=a&version_vector=5", "version_vector"),
        ("?client_id=a&version_vector=%7B", "version_vector"),
        ("?client_id=a&limit=-1", "limit"),
        ("?client_id=a&limit=many", "limit"),
        ("?client_id=a&collections=a,b-c", "collections[1]"),
    ],
)
def test_a_wrong_query_is_told_what_and_where(server: ServerProcess, query, place):
    assert server.call("POST", DELTA, message())[0] == 200
    status, problem, _ = server.call("GET", f"/_api/sync/pull/db{query}")
    assert status in (400, 422) and problem["place"] == place


def test_collections_that_nobody_has_are_empty(server: ServerProcess):
    status, answer, _ = server.call("GET", "/_api/sync/pull/db?client_id=a&collections=nobody")
    assert (status, answer["server_changes"]) == (200, [])


def test_the_body_s_database_is_that_of_the_address(server: ServerProcess):
    status, problem, _ = server.call("POST", "/_api/sync/push/other", message())
    assert (status, problem["place"]) == (422, "database")


@pytest.mark.parametrize("name", ["..", "a.b", "%2e%2e%2fx", "a%00b", "-a", "d" * 65, "%C3%A9"])
def test_a_database_s_name_is_never_a_path(server: ServerProcess, name):
    status, problem, _ = server.call("POST", f"/_api/sync/push/{name}", {"client_id": "a", "changes": []})
    assert status in (404, 422), problem
    names = {path.name.removesuffix(".sqlite") for path in server.data.glob("*.sqlite")}
    assert names <= {"db", "d" * 64}


def test_databases_whose_names_differ_in_case_are_two(server: ServerProcess):
    server.call("POST", "/_api/sync/push/Mine", message(change(), database="Mine"))
    assert server.call("GET", "/_api/sync/pull/mine?client_id=a")[0] == 404
    assert server.call("GET", "/_api/sync/pull/Mine?client_id=a")[0] == 200


def test_a_wrong_method_is_told_the_right_one(server: ServerProcess):
    status, problem, headers = server.call("DELETE", DELTA)
    assert (status, problem["code"], headers["allow"]) == (405, "method_not_allowed", "POST")
    assert server.call("POST", "/_api/sync/nothing", message())[0] == 404


def test_requests_that_take_too_long_are_let_go(tmp_path: Path):
    program = with_limits("read_timeout_s=0.5")
    with ServerProcess(tmp_path / "data", program=program) as server:
        with connection(server) as silent, connection(server) as slow, connection(server) as slower:
            slow.sendall(b"GET /_api/health HTTP/1.1\r\nhost: x\r\n")
            slower.sendall(head("Content-Length: 1000") + b"{")
            assert not silent.recv(1) and not slow.recv(1)
            answer = b"".join(iter(lambda: slower.recv(10_000), b"")).decode()
        assert answer.startswith("HTTP/1.1 408 ") and '"read_timeout"' in answer
        assert server.call("GET", "/_api/health")[0] == 200


def test_the_number_of_databases_has_a_limit(tmp_path: Path):
    with ServerProcess(tmp_path / "data", program=with_limits("databases=2")) as server:
        for name, status in (("a", 200), ("b", 200), ("c", 409), ("a", 200)):
            assert server.call("POST", DELTA, message(database=name))[0] == status
        assert server.call("POST", DELTA, message(database="c"))[1]["limit"] == "databases"


def test_a_database_that_another_process_holds_is_busy(server: ServerProcess):
    assert server.call("POST", DELTA, message(database="held"))[0] == 200
    holder = sqlite3.connect(server.data / "held.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    status, problem, headers = server.call("POST", DELTA, message(change(), database="held"))
    holder.execute("ROLLBACK")
    holder.close()
    assert (status, problem["code"], headers["retry-after"]) == (503, "storage_busy", "1")
    assert server.call("POST", DELTA, message(change(), database="held"))[0] == 200


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        server.call("POST", DELTA, message(change()))
        server.stop()
        path = server.data / "db.sqlite"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 9999")
        database.close()
        before = path.read_bytes()
        server.start()
        status, problem, _ = server.call("POST", DELTA, message(change()))
        assert (status, problem["code"]) == (503, "format_too_new")
        server.stop()
        assert path.read_bytes() == before


def test_a_database_that_is_replaced_is_opened_again(server: ServerProcess):
    assert server.call("POST", DELTA, message(change(key="before"), database="replaced"))[0] == 200
    for path in server.data.glob("replaced.sqlite*"):
        path.unlink()
    status, problem, headers = server.call("POST", DELTA, message(change(key="after"), database="replaced"))
    assert (status, problem["code"], headers["retry-after"]) == (503, "storage_reset", "1")
    status, answer, _ = server.call("POST", DELTA, message(change(key="after"), database="replaced"))
    assert (status, answer["server_version"]["server"]) == (200, 1)


def test_a_failure_tells_nothing_of_the_inside(tmp_path: Path):
    with ServerProcess(tmp_path / "data") as server:
        server.call("POST", DELTA, message(change()))
        server.stop()
        (server.data / "db.sqlite").write_bytes(b"this is no database, it is a secret" * 1000)
        for leftover in server.data.glob("db.sqlite-*"):
            leftover.unlink()
        server.start()
        status, problem, _ = server.call("POST", DELTA, message(change()))
        assert status >= 500
        assert not any(word in json.dumps(problem) for word in ("secret", "sqlite", "Traceback", str(tmp_path)))
        shutil.rmtree(server.data)


def with_limits(limits: str) -> tuple[str, ...]:
    """Give a program that is the server with other limits."""
    lines = ["from functools import partial", "from pysync_web.server import Limits, __main__ as command"]
    return ("-c", "\n".join([*lines, f"command.Limits = partial(Limits, {limits})", "command.cli()"]))


def head(*lines: str) -> bytes:
    """Give the head of a request to the delta address."""
    every = [f"POST {DELTA} HTTP/1.1", "Host: localhost", "Authorization: Bearer token-for-tests"]
    every += ["Content-Type: application/json", "Connection: close", *lines]
    return "\r\n".join(every).encode() + b"\r\n\r\n"


def connection(server: ServerProcess) -> socket.socket:
    """Connect to a server."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def exchange(server: ServerProcess, request: bytes) -> str:
    """Send bytes, give the answer."""
    with connection(server) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(10_000), b"")).decode()
