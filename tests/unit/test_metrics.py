"""What a server tells its operator: metrics and a line for each exchange, and nothing of what passes through it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.core.wire import MAX_COLLECTIONS
from pysync_web.server.metrics import MOST_NAMES, Metrics
from tests.conformance.transport import insert
from tests.unit.server_process import TOKEN, ServerProcess

pytestmark = pytest.mark.native


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that logs JSON."""
    with ServerProcess(tmp_path / "data", "--log-format", "json") as process:
        yield process


def metrics(server: ServerProcess) -> dict[str, float]:
    """Read what was counted: values by name and labels."""
    status, text, headers = server.call("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    return values(text)


def values(text: str) -> dict[str, float]:
    """Read Prometheus's text format."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def push(server: ServerProcess, client: str, *changes: dict[str, Any], **members: Any) -> Any:
    """Push changes to the database ``db``."""
    body = {"database": "db", "client_id": client, "changes": list(changes), **members}
    status, answer, _ = server.call("POST", "/_api/sync/delta", body)
    assert status == 200, answer
    return answer


def change(op_id: str, n: int, stamp: str, **members: Any) -> dict[str, Any]:
    """Give an update of one document that had seen nothing, to be merged by fields."""
    named = {"operation": "update", "collection": "things", "key": "1", "op_id": op_id, "n": n}
    return {**named, "base_version": {}, "timestamp": stamp, **members}


def test_what_exchanges_did_is_counted(server: ServerProcess):
    early, late = "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"
    first = change("op-1", 1, late, document={"a": 1, "b": 1}, operation="insert")
    push(server, "one", first, protocol=1, request_id="r1")
    push(server, "one", first, protocol=1, request_id="r1")
    push(server, "two", change("op-2", 1, early, delta={"a": 2}, merge="fields"), protocol=1)
    push(server, "three", change("op-3", 1, late, delta={"a": 3}), protocol=1)
    push(server, "four", {"operation": "delete", "collection": "things", "key": "1", "op_id": "op-2"})
    push(server, "five", diverged=["things", "others"])
    found = metrics(server)
    assert found['pysync_pushes_total{database="db"}'] == 5
    assert found['pysync_pulls_total{database="db"}'] == 1
    verdicts = {"applied": 2, "merged": 1, "conflict": 1, "rejected": 1}
    assert {v: found[f'pysync_changes_total{{database="db",verdict="{v}"}}'] for v in verdicts} == verdicts
    assert found['pysync_conflicts_total{database="db"}'] == 1
    assert found['pysync_ledger_total{database="db",what="lost"}'] == 1
    assert found['pysync_divergence_total{database="db"}'] == 1, "one report, of two collections"
    assert found['pysync_documents_sent_total{database="db"}'] >= 2
    assert found['pysync_exchange_seconds_count{database="db"}'] == 6
    assert found['pysync_exchange_received_bytes_total{database="db"}'] > 500
    assert found['pysync_exchange_sent_bytes_total{database="db"}'] > 500
    assert found['pysync_oldest_change_age_seconds_bucket{database="db",le="2.592e+06"}'] == 0, "all are years old"
    assert found['pysync_oldest_change_age_seconds_count{database="db"}'] == 4, "the delete has no time"
    assert found["pysync_open_databases"] == 1


def test_lag_is_what_a_replica_had_not_seen_of_others(server: ServerProcess):
    push(server, "one", *(insert(str(i), a=i) for i in range(5)))
    push(server, "two", version_vector={"server": 2})
    found = metrics(server)
    assert found['pysync_lag_changes_sum{database="db"}'] == 3
    assert found['pysync_lag_changes_bucket{database="db",le="0.0"}'] == 1, "its own changes are none"


def test_errors_are_counted_by_code_and_metrics_need_the_token(server: ServerProcess):
    assert server.call("GET", "/metrics", authorization="")[0] == 401
    assert server.call("GET", "/_api/sync/pull/unknown?client_id=a")[0] == 404
    assert server.call("POST", "/_api/sync/delta", {"client_id": "a", "diverged": ["1"]})[0] == 422
    many = [f"c{i}" for i in range(MAX_COLLECTIONS + 1)]
    assert server.call("POST", "/_api/sync/delta", {"database": "db", "client_id": "a", "diverged": many})[0] == 413
    found = metrics(server)
    for code in ("no_token", "unknown_database", "too_many"):
        assert found[f'pysync_errors_total{{code="{code}"}}'] == 1
    assert not any("unknown" in name for name in found if "database=" in name)


def test_an_address_with_a_parameter_of_the_site_is_no_way_around_the_token(server: ServerProcess):
    for path in ("/metrics/", "//metrics", "/METRICS", "/metrics%2F"):
        status, answer, _ = server.call("GET", path, authorization="")
        assert status in (401, 404) and "pysync_" not in str(answer)


def test_two_applications_count_for_themselves_and_names_are_bounded():
    one = Metrics(databases=lambda: 3, streams=lambda: 0)
    two = Metrics(databases=lambda: 5, streams=lambda: 0)
    for i in range(MOST_NAMES + 50):
        one.on_served(f"db{i}", 1, 1, 0.1)
    found = values(one.text().decode())
    labels = {match[1] for name in found if (match := re.search(r'database="(.*?)"', name))}
    assert len(labels) == MOST_NAMES + 1 and "other" in labels
    assert found['pysync_exchange_received_bytes_total{database="other"}'] == 50
    assert values(two.text().decode())["pysync_open_databases"] == 5


def test_every_answer_names_its_request_and_a_problem_does_too(server: ServerProcess):
    _, _, headers = server.call("GET", "/_api/health")
    _, problem, other = server.call("GET", "/_api/nothing")
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
    assert problem["request_id"] == other["x-request-id"] != headers["x-request-id"]
    _, problem, refused = server.call("GET", "/_api/sync/status/db", authorization="", x_request_id="mine\tforged")
    assert problem["request_id"] == refused["x-request-id"]
    server.stop()
    assert json.loads(server.log().splitlines()[-1])["request_id"] == refused["x-request-id"]


def test_each_exchange_is_a_line_of_json(server: ServerProcess):
    body = {"client_id": "a", "changes": [insert("1", a=1), insert("2", a=1)]}
    _, _, headers = server.call("POST", "/_api/sync/push/db", body)
    server.call("GET", "/_api/sync/pull/db?client_id=b")
    server.call("GET", "/_api/health")
    server.call("PUT", "/_api/sync/delta", {})
    server.stop()
    pushed, pulled, refused = (json.loads(line) for line in server.log().splitlines())
    assert (pushed["method"], pushed["route"], pushed["status"]) == ("POST", "/_api/sync/push/{database}", 200)
    assert (pushed["database"], pushed["pushed"]) == ("db", 2)
    assert pushed["pulled"] == 2, "with the time that the server gave them"
    assert pushed["bytes_in"] == len(json.dumps(body)) and pushed["bytes_out"] > 100
    assert pushed["request_id"] == headers["x-request-id"] and pushed["duration_ms"] > 0
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\d\+00:00", pushed["time"])
    assert (pulled["route"], pulled["pulled"]) == ("/_api/sync/pull/{database}", 2)
    assert (refused["status"], refused["code"], refused["level"]) == (405, "method_not_allowed", "INFO")


FAILING = """
import json
from pysync_web.core import hub
from pysync_web.server import __main__ as command
decide = hub.decide
async def failing(tx, request, *more):
    if request.client_id.startswith("failing"):
        raise KeyError(json.dumps([change.state.body for change in request.changes]) + chr(10) + request.client_id)
    return await decide(tx, request, *more)
hub.decide = failing
command.cli()
"""


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_of_the_contents_is_logged_or_counted(tmp_path: Path, form: str):
    canary = "canary"
    program = ("-c", FAILING)
    with ServerProcess(tmp_path / "data", "--log-format", form, program=program) as server:
        device = await ps.open(":memory:", server=server.url, token=TOKEN, database="db", auto_sync=False)
        await device.save_document(f"c{canary}", f"key-{canary}", {canary: f"value-{canary}"})
        assert (await device.sync_now()).success
        named = insert(f"{canary}", text=f"{canary}\nforged line", **{canary: 1})
        for client in (canary, f"failing-{canary}"):
            server.call("POST", "/_api/sync/push/db", {"client_id": client, "changes": [named]})
        wrong = {"client_id": canary, "changes": [{**named, "key": f"{canary}\0"}], canary: canary}
        server.call("POST", "/_api/sync/push/db", wrong)
        server.call("POST", "/_api/sync/push/db", b'{"' + canary.encode())
        server.call("GET", f"/_api/sync/status/{canary}%0aforged?client_id={canary}")
        server.call("GET", f"/_api/{canary}%0aforged?{canary}={canary}")
        server.call("GET", f"/{canary}.html", authorization=f"Bearer {canary}")
        server.call("GET", "/_api/sync/status/db?client_id=a", authorization=f"Bearer {canary}")
        text = server.call("GET", "/metrics")[1]
        await device.close()
    log = server.log()
    lines = log.splitlines()
    assert len(lines) >= 8
    assert canary not in log and canary not in text
    assert TOKEN not in log and "forged" not in log
    assert "KeyError at" in log and "<string>:8" in log, "where it failed is told"
    if form == "json":
        assert all(json.loads(line)["logger"] == "pysync_web.server" for line in lines)
    else:
        assert all(re.match(r"20\d\d-\S+ (INFO|ERROR) pysync_web\.server: request_id=", line) for line in lines)


async def test_a_replica_that_finds_other_documents_tells_the_server_once(server: ServerProcess):
    store = await ps.LocalStore.open(":memory:", engine=ps.StorageEngine.MEMORY)
    config = ps.SyncConfig(database="db", auto_sync=False, page_size=1)
    device = ps.SyncManager(store, ps.HttpClient(server.url, token=TOKEN), config)
    await device.start()
    await device.save_document("things", "1", {"a": 1})
    assert (await device.sync_now()).success
    row = await device.store.storage.read(counted)
    await device.save_document("things", "2", {"a": 1})
    assert (await device.sync_now()).success

    async def lose(tx: Any) -> None:
        tx.delete("docs", ("things", "2"))
        tx.put("collections", ("things",), row)

    await device.store.storage.write(lose)
    result = await device.sync_now()
    assert "others than here" in result.errors[0]
    assert (await device.sync_now()).success
    assert await device.get_document("things", "2")
    assert metrics(server)['pysync_divergence_total{database="db"}'] == 1
    await device.close()


async def counted(tx: Any) -> Any:
    """Read what a replica counts of a collection."""
    return await tx.get("collections", ("things",))
