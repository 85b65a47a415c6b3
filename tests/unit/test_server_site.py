"""The web site that a server may serve beside its API."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.unit.server_process import ServerProcess, lower

pytestmark = pytest.mark.native

FILES = {
    "index.html": b"<!doctype html><title>Site</title>",
    "boot.js": b"1",
    "module.mjs": b"export default 1",
    "code.wasm": b"\0asm",
    "style.css": b"a{}",
    "app.webmanifest": b"{}",
    "manifest.json": b"{}",
    "demo.py": b"print(1)",
    "icon.svg": b"<svg/>",
    "pack.whl": b"PK",
    "app.3bde83de4171.js": b"2",
    "sw.js": b"3",
    "sub/index.html": b"sub",
    ".hidden": b"secret",
    ".git/config": b"secret",
    "big.txt": b"plain" * 1000,
    "big.txt.gz": gzip.compress(b"plain" * 1000),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a site; a secret lies beside the site's folder."""
    root = tmp_path_factory.mktemp("server")
    for name, content in FILES.items():
        path = root / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "secret.txt").write_bytes(b"secret")
    (root / "site" / "link.txt").symlink_to(root / "secret.txt")
    with ServerProcess(root / "data", "--web", str(root / "site")) as process:
        yield process


def get(server: ServerProcess, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Send a request without a token; give status, content and headers."""
    request = urllib.request.Request(server.url + path, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), lower(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), lower(error.headers)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/sub/", "text/html; charset=utf-8"),
        ("/boot.js", "text/javascript; charset=utf-8"),
        ("/module.mjs", "text/javascript; charset=utf-8"),
        ("/code.wasm", "application/wasm"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/app.webmanifest", "application/manifest+json"),
        ("/manifest.json", "application/json"),
        ("/demo.py", "text/x-python; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/pack.whl", "application/zip"),
    ],
)
def test_files_have_their_types_and_a_strict_policy(server: ServerProcess, path, kind):
    status, content, headers = get(server, path)
    name = path.strip("/") or "index.html"
    assert (status, content) == (200, FILES[name if name in FILES else f"{name}/index.html"])
    assert headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["service-worker-allowed"] == "/"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe-inline" not in headers["content-security-policy"]


def test_what_is_known_is_not_sent_again(server: ServerProcess):
    _, _, headers = get(server, "/boot.js")
    assert headers["cache-control"] == "no-cache"
    for known in (headers["etag"], f'"other", W/{headers["etag"]}', "*"):
        status, content, again = get(server, "/boot.js", if_none_match=known)
        assert (status, content, again["etag"]) == (304, b"", headers["etag"])
    assert get(server, "/boot.js", if_none_match='"other"')[0] == 200


def test_what_names_its_version_is_kept_for_ever(server: ServerProcess):
    for path in ("/boot.js?v=123", "/app.3bde83de4171.js"):
        assert "immutable" in get(server, path)[2]["cache-control"]
    for path in ("/sw.js?v=123", "/index.html?v=1", "/?v=1", "/manifest.json?v=1", "/boot.js"):
        assert get(server, path)[2]["cache-control"] == "no-cache"


def test_a_file_compressed_beforehand_is_sent_to_who_takes_it(server: ServerProcess):
    status, content, headers = get(server, "/big.txt", accept_encoding="gzip, br")
    assert (status, headers["content-encoding"], headers["content-type"]) == (
        200,
        "gzip",
        "text/plain; charset=utf-8",
    )
    assert gzip.decompress(content) == FILES["big.txt"]
    status, content, plain = get(server, "/big.txt")
    assert (content, "content-encoding" in plain) == (FILES["big.txt"], False)
    assert plain["etag"] != headers["etag"]
    assert plain["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/..%5c..%5csecret.txt",
        "/sub/../../secret.txt",
        "//secret.txt",
        "/link.txt",
        "/.hidden",
        "/.git/config",
        "/%2egit/config",
        "/a%00b",
        "/boot.js/",
        "/sub",
        "/C:/secret.txt",
        "/" + "a" * 5000,
    ],
)
def test_nothing_outside_of_the_folder_is_ever_sent(server: ServerProcess, path):
    status, content, headers = get(server, path)
    assert status == 404, content
    assert b"secret" not in content
    assert headers["content-type"] == "application/problem+json"


def test_a_site_is_read_only(server: ServerProcess):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, content, _ = get(server, "/boot.js", method)
        assert (status, json.loads(content)["code"]) == (405, "method_not_allowed")
    status, content, headers = get(server, "/boot.js", "HEAD")
    assert (status, content, headers["content-length"]) == (200, b"", "1")


def test_a_part_of_a_file_can_be_asked_for(server: ServerProcess):
    status, content, _ = get(server, "/big.txt", range="bytes=0-4")
    assert (status, content) == (206, b"plain")


def test_the_api_still_asks_for_its_token(server: ServerProcess):
    assert get(server, "/_api/sync/status/db")[0] == 401
    assert get(server, "/_api/")[0] == 401
