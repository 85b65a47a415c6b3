"""Who may come in: tokens, origins, hosts; what every answer carries; what the command line refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysync_web.errors import SchemaError
from tests.unit.server_process import TOKEN, ServerProcess

pytestmark = pytest.mark.native

APP = "https://app.example"
PATHS = [
    ("POST", "/_api/sync/delta"),
    ("GET", "/_api/sync/pull/db"),
    ("POST", "/_api/sync/push/db"),
    ("GET", "/_api/sync/status/db"),
    ("GET", "/_api/sync/stream/db"),
    ("GET", "/metrics"),
    ("GET", "/_api/nothing"),
    ("PUT", "/_api/sync/delta"),
    ("OPTIONS", "/_api/sync/delta"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that pages of two sites may call."""
    options = ("--cors", APP, "--cors", "http://localhost:8000")
    with ServerProcess(tmp_path_factory.mktemp("server"), *options) as process:
        yield process


def test_the_list_of_addresses_is_complete():
    from pysync_web.server.app import App
    from pysync_web.server.config import Config

    routes = {(method, route.path) for route in App(Config()).routes for method in route.methods - {"HEAD"}}
    known = {(method, path.replace("/db", "/{database}")) for method, path in PATHS[:6]}
    assert routes == known | {("GET", "/_api/health")}


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "given",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "", "x-api-key": "wrong"},
        {"authorization": "Bearer wrong", "x-api-key": TOKEN},
        {"authorization": "Bearer t\xf6ken"},
    ],
    ids=str,
)
def test_nobody_comes_in_without_the_token(server: ServerProcess, method, path, given):
    body = {"database": "db", "client_id": "a"} if method in ("POST", "PUT") else None
    status, problem, headers = server.call(method, path, body, **given)
    assert status == 401
    assert problem["code"] in ("no_token", "wrong_token")
    assert headers["content-type"] == "application/problem+json"
    assert headers["www-authenticate"].startswith("Bearer")
    assert not list(server.data.glob("*"))


def test_the_token_comes_as_a_bearer_or_as_an_api_key(tmp_path: Path):
    body = {"database": "db", "client_id": "a"}
    with ServerProcess(tmp_path / "data") as server:
        for given in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
            assert server.call("POST", "/_api/sync/delta", body, authorization=given)[0] == 200
        assert server.call("POST", "/_api/sync/delta", body, authorization="", x_api_key=TOKEN)[0] == 200


def test_a_token_in_the_address_is_none(server: ServerProcess):
    assert server.call("GET", f"/_api/sync/status/db?client_id=a&token={TOKEN}", authorization="")[0] == 401


def test_a_large_body_with_a_wrong_token_still_sees_the_answer(server: ServerProcess):
    body = b" " * 3_000_000
    assert server.call("POST", "/_api/sync/delta", body, authorization="Bearer wrong")[0] == 401


def test_health_is_open_to_all_and_tells_little(server: ServerProcess):
    status, answer, _ = server.call("GET", "/_api/health", authorization="")
    assert (status, answer) == (200, {"status": "ok", "protocol": 1})


def test_every_answer_of_the_api_carries_what_protects_it(server: ServerProcess):
    for path in ("/_api/health", "/_api/sync/status/db?client_id=a", "/_api/nothing"):
        _, _, headers = server.call("GET", path)
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_a_listed_origin_may_call_and_read(server: ServerProcess):
    for origin in (APP, "http://localhost:8000"):
        _, _, headers = server.call("GET", "/_api/health", origin=origin)
        assert headers["access-control-allow-origin"] == origin
        assert "Origin" in headers["vary"]
        assert "access-control-allow-credentials" not in headers
        asked = {"origin": origin, "access-control-request-method": "POST", "authorization": ""}
        status, _, headers = server.call("OPTIONS", "/_api/sync/delta", **asked)
        assert status == 204
        assert headers["access-control-allow-origin"] == origin
        assert set(headers["access-control-allow-methods"].split(", ")) == {"GET", "POST"}
        allowed = headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "content-encoding", "x-api-key"} == set(allowed)


def test_a_refusal_can_be_read_by_a_listed_origin_too(server: ServerProcess):
    status, _, headers = server.call("GET", "/_api/sync/status/db", origin=APP, authorization="")
    assert (status, headers["access-control-allow-origin"]) == (401, APP)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.evil",
        "http://app.example",
        "https://app.example:444",
        "null",
        "*",
    ],
)
def test_no_other_origin_is_ever_named(server: ServerProcess, origin):
    _, _, headers = server.call("GET", "/_api/health", origin=origin)
    assert not [name for name in headers if name.startswith("access-control-")]
    asked = {"origin": origin, "access-control-request-method": "POST", "authorization": ""}
    status, _, headers = server.call("OPTIONS", "/_api/sync/delta", **asked)
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control-")]


def test_without_a_token_only_this_computer_s_own_names_are_answered(tmp_path: Path):
    with ServerProcess(tmp_path / "data", token=None) as server:
        for host, status in (
            ("localhost", 404),
            ("127.0.0.1:6745", 404),
            ("[::1]:80", 404),
            ("pad.localhost:8000", 404),
            ("evil.example", 421),
            ("localhost.evil.example:6745", 421),
            ("127.evil.example", 421),
            ("127.0.0.1.nip.io", 421),
        ):
            assert server.call("GET", "/_api/sync/status/db?client_id=a", host=host)[0] == status, host
        assert "without a token" in server.greeting[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "Without a token the server listens on this computer alone, not on 0.0.0.0"),
        (("--host", "::"), "Without a token"),
        (("--host", "example.org"), "Without a token"),
        (("--host", "0.0.0.0", "--token", "short"), "needs at least 16 characters"),
        (("--token", "two words"), "a token is printable ASCII"),
        (("--cors", "*"), "is not an origin"),
        (("--cors", "https://app.example/"), "is not an origin"),
        (("--cors", "app.example"), "is not an origin"),
        (("--web", "/no/such/folder"), "is not a folder"),
        (("--max-body", "8388609"), "8388608"),
        (("--durability", "none"), "strict"),
    ],
)
def test_the_command_line_refuses_in_a_sentence(tmp_path: Path, options, words):
    code, said = run("--port", "0", "--data", str(tmp_path / "data"), *options)
    assert code != 0
    assert words in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_said_so(tmp_path: Path, server: ServerProcess):
    code, said = run("--port", str(server.port), "--data", str(tmp_path))
    assert code == 1
    assert said.strip() == f"127.0.0.1:{server.port} can't be listened on: Address already in use"


def test_a_folder_that_can_not_be_is_said_so(tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, said = run("--port", "0", "--data", str(tmp_path / "file"))
    assert (code, said.strip()) == (1, f"{tmp_path / 'file'} can't be the folder for the databases: it is a file")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write")
def test_a_folder_that_can_not_be_written_is_said_so():
    code, said = run("--port", "0", "--data", "/proc/self")
    assert (code, said.count("\n")) == (1, 1) and said.startswith(
        "/proc/self can't be the folder for the databases: "
    )


def test_what_is_not_installed_is_named():
    hide = "import runpy, sys; sys.modules['{}'] = None; "
    code, said = program(hide.format("rich_click") + "runpy.run_module('pysync_web.server', run_name='__main__')")
    assert (code, said.strip()) == (1, "The server needs its extra: pip install 'pysync-web[server]'")
    code, said = program(hide.format("httpx") + "import pysync_web; pysync_web.HttpClient('localhost')")
    assert code == 1
    assert said.strip().endswith("ImportError: HttpClient needs httpx: pip install 'pysync-web[http]'")


@pytest.mark.parametrize(("work", "words"), [("serve", ["--port", "0"]), ("_compact", ["compact"])])
def test_ctrl_c_ends_it_without_a_word(work: str, words: list[str], tmp_path: Path):
    code, said = program(
        "import pysync_web.server.__main__\n"
        "def interrupted(*given): raise KeyboardInterrupt\n"
        f"pysync_web.server.__main__.{work} = interrupted\n"
        f"pysync_web.server.__main__.cli({[*words, '--data', str(tmp_path)]!r})"
    )
    assert (code, said.strip()) == (130, "")


def test_help_names_every_option():
    code, said = run("--help")
    assert code == 0
    for option in ("--host", "--port", "--data", "--token", "--web", "--cors", "--durability", "--max-body"):
        assert option in said


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:8000", "http://[::1]:80"])
def test_an_origin_is_as_a_browser_sends_it(origin):
    from pysync_web.server.config import check_origin

    assert check_origin(origin) == origin
    for wrong in (f"{origin}/", origin.upper(), f"{origin}?a", f"x@{origin}", ""):
        with pytest.raises(SchemaError):
            check_origin(wrong)


def run(*options: str) -> tuple[int, str]:
    """Run the command until it ends by itself; give its exit code and all that it said."""
    return python("-m", "pysync_web.server", *options)


def program(text: str) -> tuple[int, str]:
    """Run a Python program; give its exit code and all that it said."""
    return python("-c", text)


def python(*arguments: str) -> tuple[int, str]:
    """Run Python in a plain environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSYNC_")}
    environment |= {"COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    return done.returncode, done.stdout + done.stderr
