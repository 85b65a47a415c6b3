"""The one command: what it builds is the same each time and holds what was asked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

import build  # noqa: E402


def test_nothing_is_required_beside_the_standard_library():
    assert build.settings()["project"]["dependencies"] == []


def test_every_pin_is_exact():
    for group in build.settings()["dependency-groups"].values():
        assert all("==" in requirement for requirement in group)


def test_the_page_gets_the_versions_that_run_natively():
    native, page = (set(build.pinned(group)) for group in ("pinned", "page-pytest"))
    assert page <= native


def test_what_npm_installs_is_pinned_and_names_no_registry():
    wanted = json.loads((build.ROOT / "web" / "package.json").read_text())["dependencies"]["pyodide"]
    lock = json.loads((build.ROOT / "web" / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/pyodide"]["version"] == wanted
    assert not any("resolved" in package for package in lock["packages"].values())


def test_the_same_files_give_the_same_archive():
    files = {"b": b"2", "a/c": b"1" * 1000}
    assert build.zipped(files) == build.zipped(dict(reversed(files.items())))


def test_digests_tell_their_parts_apart():
    assert build.digest("ab", "c") != build.digest("a", "bc")


def test_a_tree_holds_what_was_asked_and_nothing_else(tmp_path: Path):
    build.write_tree(tmp_path, {"old": b"1", "kept/deep": b"2"})
    before = (tmp_path / "kept/deep").stat().st_mtime_ns
    build.write_tree(tmp_path, {"new": b"3", "kept/deep": b"2"})
    assert [path.name for path in build.files_below(tmp_path)] == ["deep", "new"]
    assert (tmp_path / "kept/deep").stat().st_mtime_ns == before


def test_the_version_of_the_site_changes_with_any_of_its_files():
    one, two = (json.loads(build.manifest({"a": b"1", "b": content})) for content in (b"2", b"3"))
    assert one["version"] != two["version"]
    assert one["files"]["a"] == two["files"]["a"]


def test_an_archive_is_compiled_for_the_python_that_compiles_it(tmp_path: Path):
    source, target = tmp_path / "source.zip", tmp_path / "target.zip"
    source.write_bytes(build.zipped({"module.py": b"answer = 42", "data.txt": b"as it was"}))
    build.compile_archive(str(source), str(target))
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["data.txt", "module.pyc"]
        assert archive.read("data.txt") == b"as it was"


def test_a_browser_is_found_by_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSYNC_CHROMIUM", build.sys.executable)
    assert build.need_chromium() == build.sys.executable
    monkeypatch.setenv("PYSYNC_CHROMIUM", "")
    monkeypatch.setenv("PATH", "")
    assert build.find_browser("PYSYNC_CHROMIUM", build.CHROMIUMS) == ""
