#!/usr/bin/env python3
"""The one command of this project: it sets up, builds, shows, tests and measures.

    python3 build.py demo        a working page, its server, and a browser that shows it
    python3 build.py test        format, lint, types, tidiness; all tests, natively and in browsers

Every command sets up by itself what it needs, once: Python packages in ``.venv``, Pyodide in
``web/node_modules``, and a Chromium if there is none. It begins with nothing but Python 3.11 or later.
What is built lies in ``dist``, what is kept to be quick the next time in ``.build``; both may be deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
import webbrowser
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".build"
DIST = ROOT / "dist"
SITE = DIST / "web"
PYODIDE = ROOT / "web" / "node_modules" / "pyodide"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOXES = ("firefox-esr", "firefox")
PAGE_PYTHON = "314"  # the Python inside Pyodide, for which the page's wheels are chosen
EXTRAS = "server,http,crypto,dev"


class Stop(Exception):
    """The command can't go on; its message is a sentence for the person who gave it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    parser = command_line()
    options, passed_on = parser.parse_known_args(arguments)
    if passed_on and "passed_on" not in options:
        parser.error(f"unrecognized arguments: {shlex.join(passed_on)}")
    options.passed_on = passed_on
    if sys.version_info < (3, 11):
        raise Stop("pysync_web needs Python 3.11 or later: run build.py with one, as in `python3.12 build.py`.")
    os.chdir(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes start here: each would compile anew
    os.environ["PYTHONPYCACHEPREFIX"] = str(CACHE / "python")
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def command_line() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, passes_on: bool = False
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, add_help=not passes_on)
        made.set_defaults(command=run, **({"passed_on": []} if passes_on else {}))
        return made

    demo = command("demo", run_demo, "set up, build, start the server and open the demo in a browser")
    demo.add_argument("--port", type=int, default=6745, help="the server's port (default: %(default)s)")
    demo.add_argument("--no-open", action="store_true", help="print the address, open no browser")
    demo.add_argument("--data", type=Path, default=CACHE / "demo", help="where the server keeps its data")
    command("serve", run_serve, "build, then run the server with the site and its own options", passes_on=True)
    test = command("test", run_test, "run all checks and all tests")
    test.add_argument("--native", action="store_true", help="only what needs no browser")
    test.add_argument("--browser", action="store_true", help="only what needs a browser")
    test.add_argument("--coverage", action="store_true", help="also report the coverage of the native tests")
    test.add_argument("-k", metavar="EXPRESSION", help="only tests whose names match (and no checks), as in pytest")
    command("check", run_check, "format, lint, types and tidiness")
    command("bench", run_bench, "measure, natively and in Chromium, with the bench's own options", passes_on=True)
    command("fuzz", run_fuzz, "feed the query engine texts until one breaks a promise", passes_on=True)
    command("dist", run_dist, "build the wheel and the static site in dist")
    command("setup", run_setup, "install everything that any command needs")
    return parser


# Commands


def run_setup(options: argparse.Namespace) -> int:
    """Install everything that any command needs."""
    set_up_python()
    set_up_page()
    print(f"Chromium: {need_chromium()}")
    print(f"Firefox:  {want_firefox() or 'none; its tests are left out'}")
    return 0


def run_dist(options: argparse.Namespace) -> int:
    """Build the wheel and the static site."""
    for path in build_dist():
        print(f"{path.relative_to(ROOT)}  {size_of(path):,} bytes")
    return 0


def run_demo(options: argparse.Namespace) -> int:
    """Start the server with the site, say where it is, and stay until it is stopped."""
    build_dist()
    options.data.mkdir(parents=True, exist_ok=True)
    address = f"http://localhost:{options.port}/"
    server = subprocess.Popen(server_command("--port", str(options.port), "--data", str(options.data)))
    try:
        wait_until_healthy(server, address)
        print(f"\nThe demo is at {address}   (Ctrl+C ends it)\n", flush=True)
        if not options.no_open:
            webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait(timeout=30)


def run_serve(options: argparse.Namespace) -> int:
    """Run the server in the foreground with the options given."""
    build_dist()
    with contextlib.suppress(KeyboardInterrupt):
        return subprocess.call(server_command(*options.passed_on))
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Check format, lint, types and tidiness; give 1 if any of them complains."""
    set_up_python()
    return report([*check_steps(), ("tidy", pytest("tests/test_tidy.py", "-q"))])


def run_test(options: argparse.Namespace) -> int:
    """Run the checks, the native tests and those that need a browser, all of them even if one fails."""
    is_native, is_in_browsers = options.native or not options.browser, options.browser or not options.native
    set_up_python()
    chosen = ["tests" if is_native else "tests/browser", *([] if is_in_browsers else ["--ignore=tests/browser"])]
    coverage = ["--cov", "--cov-report=term"] if options.coverage else []
    if is_in_browsers:
        os.environ["PYSYNC_CHROMIUM"] = need_chromium()
        os.environ["PYSYNC_FIREFOX"] = want_firefox()
        build_dist()
    tests = pytest(*chosen, *coverage, *([] if options.k else side_by_side()), k=options.k)
    return report([*(check_steps() if is_native and not options.k else []), ("tests", tests)])


def run_bench(options: argparse.Namespace) -> int:
    """Measure, natively and in Chromium."""
    build_dist()
    os.environ["PYSYNC_CHROMIUM"] = need_chromium()
    return subprocess.call([str(PYTHON), "-m", "tests.bench", *options.passed_on])


def run_fuzz(options: argparse.Namespace) -> int:
    """Fuzz the query engine with a fuzzer that no other command needs."""
    set_up_python()
    run(PYTHON, *PIP, "install", *pinned("fuzz"))
    return subprocess.call([str(PYTHON), "-m", "tests.fuzz", *options.passed_on])


def check_steps() -> list[tuple[str, list[str]]]:
    """Give the checks that are no tests, each a name and a command."""
    python = str(PYTHON)
    return [
        ("format", [python, "-m", "ruff", "format", "--check", "--quiet", "."]),
        ("lint", [python, "-m", "ruff", "check", "--quiet", "."]),
        ("types", [python, "-m", "mypy"]),
    ]


def side_by_side() -> list[str]:
    """Give pytest's options for tests in several processes, each of which takes the next test when it is free.

    There is one process more than there are cores, up to four: a test that drives a browser often waits for it.
    """
    processes = min((os.cpu_count() or 1) + 1, 4)
    return ["--numprocesses", str(processes), "--dist", "load", "--maxschedchunk", "1"]


def pytest(*arguments: str, k: str | None = None) -> list[str]:
    """Give the command that runs pytest in the project's environment."""
    return [str(PYTHON), "-m", "pytest", *arguments, *(["-k", k] if k else [])]


def report(steps: Iterable[tuple[str, list[str]]]) -> int:
    """Run each step, then name those that failed; give the exit code."""
    failed = []
    for name, command in steps:
        print(f"── {name}", flush=True)
        begin = time.monotonic()
        code = subprocess.call(command)
        nothing_matched = code == 5 and "-k" in command
        if code and not nothing_matched:
            failed.append(name)
        print(f"   {'failed' if name in failed else 'passed'} in {time.monotonic() - begin:.1f} s", flush=True)
    if failed:
        print(f"Failed: {'; '.join(failed)}.", flush=True)
    return 1 if failed else 0


def server_command(*options: str) -> list[str]:
    """Give the command that serves the API and the site."""
    return [str(PYTHON), "-m", "pysync_web.server", "--web", str(SITE), *options]


def wait_until_healthy(server: subprocess.Popen[bytes], address: str, seconds: float = 30) -> None:
    """Return when the server answers; raise Stop when it ended instead or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Stop(f"The server ended with code {server.returncode}; what it said is above.")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}_api/health", timeout=1):
            return
        time.sleep(0.1)
    raise Stop(f"The server did not answer at {address} within {seconds:.0f} seconds.")


# Setting up


def set_up_python() -> None:
    """Make ``.venv`` with the pinned packages and this project, editable, unless it is as it should be."""
    project = settings()["project"]
    wanted = digest(
        json.dumps([pinned("pinned"), project["version"], project["optional-dependencies"]]), sys.version
    )
    with locked():
        stamp = VENV / "as-wanted"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print("Setting up .venv …", flush=True)
        if not PYTHON.exists():
            make_venv()
        run(PYTHON, *PIP, "install", *pinned("pinned"))
        run(PYTHON, *PIP, "install", "--no-deps", "--no-build-isolation", "--editable", f".[{EXTRAS}]")
        stamp.write_text(wanted)


PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def make_venv() -> None:
    """Make an empty environment; Debian keeps what that takes in a package of its own."""
    command = [sys.executable, "-m", "venv", str(VENV)]
    if subprocess.call(command) and not (install_from_debian("python3-venv") and subprocess.call(command) == 0):
        raise Stop("Python can't make a virtual environment: install its `venv` (Debian: python3-venv).")


def set_up_page() -> None:
    """Install Pyodide from npm, and fetch the wheels that tests load into a page."""
    with locked():
        lock = (ROOT / "web" / "package-lock.json").read_text("utf-8")
        stamp = PYODIDE.parent / ".as-wanted"
        if not (stamp.exists() and stamp.read_text() == digest(lock)):
            if not (shutil.which("npm") and shutil.which("node")) and not install_from_debian("nodejs", "npm"):
                raise Stop("Node.js is needed to install and prepare Pyodide: install `node` and `npm`.")
            print("Setting up Pyodide …", flush=True)
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=ROOT / "web")
            stamp.write_text(digest(lock))
        for group in ("page-pytest", "page-requests"):
            fetch_page_wheels(group)


def fetch_page_wheels(group: str) -> Path:
    """Fetch the pure wheels of a group for the page's Python; give the folder that holds them."""
    folder = CACHE / group / digest(*pinned(group))[:16]
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        unfinished = folder.with_suffix(".part")
        only_pure = [
            "--only-binary=:all:",
            "--platform=any",
            "--implementation=py",
            "--abi=none",
            "--no-deps",
        ]
        wanted = [f"--python-version={PAGE_PYTHON}", "--dest", str(unfinished), *pinned(group)]
        run(PYTHON, *PIP, "download", *only_pure, *wanted)
        unfinished.rename(folder)
    return folder


def pinned(group: str) -> list[str]:
    """Give the requirements of a group in ``pyproject.toml``."""
    requirements: list[str] = settings()["dependency-groups"][group]
    return requirements


def settings() -> dict[str, Any]:
    """Give what ``pyproject.toml`` says."""
    import tomllib  # here, so that an older Python still gets to say that it is too old

    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def need_chromium() -> str:
    """Give the path of a Chromium; on Debian, as root, install one if there is none."""
    found = find_browser("PYSYNC_CHROMIUM", CHROMIUMS)
    if not found and install_from_debian("chromium"):
        found = find_browser("PYSYNC_CHROMIUM", CHROMIUMS)
    if not found:
        raise Stop("No Chromium was found: install Chromium or Chrome, or name its program in PYSYNC_CHROMIUM.")
    return found


def want_firefox() -> str:
    """Give the path of a Firefox, or "" and a sentence if there is none and none can be installed."""
    found = find_browser("PYSYNC_FIREFOX", FIREFOXES)
    if not found and install_from_debian("firefox-esr"):
        found = find_browser("PYSYNC_FIREFOX", FIREFOXES)
    if not found:
        print("No Firefox was found, so its tests are left out: install it, or name it in PYSYNC_FIREFOX.")
    return found


def find_browser(variable: str, names: Iterable[str]) -> str:
    """Give the path of the browser that the variable names, or else of the first on PATH, or ""."""
    wanted = os.environ.get(variable)
    found = map(shutil.which, [wanted] if wanted else names)
    return next((path for path in found if path), "")


def install_from_debian(*packages: str) -> bool:
    """Install Debian packages if this is Debian and we are root; say whether that was done."""
    release = Path("/etc/os-release")
    is_debian = release.exists() and "ID=debian" in release.read_text().splitlines()
    if not is_debian or os.name != "posix" or os.geteuid() != 0:
        return False
    print(f"Installing {' and '.join(packages)} …", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600"]
    for step in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        if subprocess.call(apt + step, env=environment, stdout=subprocess.DEVNULL):
            return False
    return True


# Building


def build_dist() -> list[Path]:
    """Build the wheel and the static site, or only what has changed; give both paths."""
    set_up_python()
    set_up_page()
    with locked():
        wheel = build_wheel()
        sources = {"stdlib": PYODIDE / "python_stdlib.zip", "wheel": wheel, "demo": demo_modules()}
        sources |= {group: joined_wheels(group) for group in ("page-pytest", "page-requests")}
        compiled = compile_archives(sources)
        app = app_files(compiled)
        write_tree(SITE, app | {"manifest.json": manifest(app)} | test_files(compiled))
    return [wheel, SITE]


def build_wheel() -> Path:
    """Build the wheel; the same sources give the same bytes."""
    sources = [ROOT / "pyproject.toml", ROOT / "LICENSE", *files_below(ROOT / "pysync_web")]
    sources += [path for path in [ROOT / "README.md"] if path.exists()]
    wanted = digest(*(part for path in sources for part in (path.relative_to(ROOT).as_posix(), path.read_bytes())))
    stamp = CACHE / "wheel-as-wanted"
    built = sorted(DIST.glob("*.whl"))
    if len(built) == 1 and stamp.exists() and stamp.read_text() == wanted:
        return built[0]
    for path in built:
        path.unlink()
    os.environ["SOURCE_DATE_EPOCH"] = "315532800"  # 1980, where zip's calendar begins
    run(PYTHON, "-m", "hatchling", "build", "--target", "wheel", "--directory", DIST, quiet=True)
    stamp.write_text(wanted)
    return next(DIST.glob("*.whl"))


def demo_modules() -> Path:
    """Put the demo's modules in one archive."""
    archive = CACHE / "demo.zip"
    archive.write_bytes(zipped({path.name: path.read_bytes() for path in (ROOT / "web").glob("demo*.py")}))
    return archive


def joined_wheels(group: str) -> Path:
    """Put the wheels of a group in one archive: one request brings them all into a page."""
    folder = fetch_page_wheels(group)
    joined = folder / "joined.zip"
    if not joined.exists():
        files: dict[str, bytes] = {}
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                files |= {name: archive.read(name) for name in archive.namelist()}
        joined.write_bytes(zipped(files))
    return joined


def compile_archives(sources: dict[str, Path]) -> dict[str, bytes]:
    """Give each archive compiled by the page's own Python, which then starts 2 to 4 times faster."""
    program = inspect.getsource(compile_archive)
    version = (PYODIDE / "package.json").read_bytes()
    kept = {
        name: digest(program, RUN_IN_PYODIDE, version, path.read_bytes())[:16] for name, path in sources.items()
    }
    targets = {name: CACHE / "compiled" / f"{name}.{kept[name]}.zip" for name in sources}
    missing = [name for name, target in targets.items() if not target.exists()]
    for name in missing:
        targets[name].parent.mkdir(parents=True, exist_ok=True)
        for outdated in targets[name].parent.glob(f"{name}.*"):
            outdated.unlink()
    if missing:
        print(f"Compiling {', '.join(missing)} for the page …", flush=True)
        pairs = json.dumps([[str(sources[name]), str(targets[name])] for name in missing])
        run("node", "--input-type=module", "--eval", RUN_IN_PYODIDE, PYODIDE / "pyodide.mjs", program, pairs)
    return {name: target.read_bytes() for name, target in targets.items()}


RUN_IN_PYODIDE = """
import { readFileSync, writeFileSync, renameSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [module, program, pairs] = process.argv.slice(1);
try {
    const { loadPyodide } = await import(pathToFileURL(module));
    const pyodide = await loadPyodide({ env: { PYTHONHASHSEED: "0", PYTHONNODEBUGRANGES: "1" } });
    pyodide.runPython(program);
    const compile = pyodide.globals.get("compile_archive");
    for (const [source, target] of JSON.parse(pairs)) {
        pyodide.FS.writeFile("/source.zip", readFileSync(source));
        compile("/source.zip", "/target.zip");
        writeFileSync(target + ".part", pyodide.FS.readFile("/target.zip"));
        renameSync(target + ".part", target);
    }
    process.exit(0);
} catch (error) {
    console.error(error.message);
    process.exit(1);
}
"""


def compile_archive(source: str, target: str) -> None:
    """Copy an archive with each ``.py`` compiled. Runs inside Pyodide, so it imports all that it uses."""
    import importlib.util
    import marshal
    import zipfile

    unchecked_hash = (1).to_bytes(4, "little")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name.endswith(".py"):
                code = marshal.dumps(compile(content, name, "exec", dont_inherit=True))
                hashed = importlib.util.source_hash(content)
                content = importlib.util.MAGIC_NUMBER + unchecked_hash + hashed + code
                name += "c"
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def app_files(compiled: dict[str, bytes]) -> dict[str, bytes]:
    """Give the files of the site, all that the app needs offline."""
    files = {path: content for path, content in web_files().items() if not is_for_tests(path)}
    files = {path: content for path, content in files.items() if not path.endswith(".py")}  # demo.zip has them
    for path in files_below(ROOT / "pysync_web"):
        if path.suffix == ".js":  # a page under a strict policy can import it from a file only
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for name in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"):
        files[f"pyodide/{name}"] = (PYODIDE / name).read_bytes()
    lock = json.loads((PYODIDE / "pyodide-lock.json").read_text("utf-8"))
    files["pyodide/pyodide-lock.json"] = json.dumps(lock | {"packages": {}}).encode()  # none is served
    files["pyodide/python_stdlib.zip"] = compiled["stdlib"]
    files["pysync_web.whl"] = compiled["wheel"]
    files["demo.zip"] = compiled["demo"]
    return files


def test_files(compiled: dict[str, bytes]) -> dict[str, bytes]:
    """Give the files with which the tests run inside a page; the app never loads them."""
    suite = {"pyproject.toml": (ROOT / "pyproject.toml").read_bytes()}
    for path in [*(ROOT / "pysync_web").glob("*.md"), *files_below(ROOT / "tests")]:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("tests/browser/", "tests/bench/")):
            suite[name] = path.read_bytes()
    files = {path: content for path, content in web_files().items() if is_for_tests(path)}
    files |= {f"tests/{group}.zip": compiled[group] for group in ("page-pytest", "page-requests")}
    files["tests/suite.zip"] = zipped(suite)
    files["tests/blank.html"] = BLANK_PAGE.encode()
    return files


BLANK_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A page with Python and pysync_web, for tests</title>
<link rel="icon" href="data:,">
<script type="module" src="../boot_tests.js"></script>
</html>
"""


def web_files() -> dict[str, bytes]:
    """Give what lies in ``web``, but for what npm needs."""
    found = {path.relative_to(ROOT / "web").as_posix(): path for path in files_below(ROOT / "web")}
    npm = ("node_modules/", "package.json", "package-lock.json")
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(npm)}


def is_for_tests(path: str) -> bool:
    """Say whether a file of the site serves the tests only."""
    return path.startswith(("tests", "boot_tests"))


def manifest(files: dict[str, bytes]) -> bytes:
    """List the app's files with their SHA-256, and one version for all, by which a service worker caches."""
    hashes = {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)}
    version = digest(json.dumps(hashes))[:16]
    return json.dumps({"version": version, "files": hashes}, indent=1).encode()


def write_tree(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder hold exactly these files; those that are right already are left alone."""
    for path, content in files.items():
        target = folder / path
        if target.exists() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + ".part")
        unfinished.write_bytes(content)
        unfinished.replace(target)
    for path_found in files_below(folder):
        if path_found.relative_to(folder).as_posix() not in files:
            path_found.unlink()


# Helpers


def files_below(folder: Path) -> Iterator[Path]:
    """Give the files below a folder in a fixed order, without hidden ones, caches and installed packages."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in ("__pycache__", "node_modules"):
            continue
        if path.is_dir():
            yield from files_below(path)
        else:
            yield path


def zipped(files: dict[str, bytes]) -> bytes:
    """Give a zip archive of the files; the same files give the same bytes."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def digest(*parts: str | bytes) -> str:
    """Give the SHA-256 of the parts, each told from the next."""
    hashed = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        hashed.update(len(content).to_bytes(8, "big") + content)
    return hashed.hexdigest()


def size_of(path: Path) -> int:
    """Give the bytes of a file or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in files_below(path))


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Keep other processes that run this program in this folder waiting meanwhile."""
    CACHE.mkdir(exist_ok=True)
    DIST.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: str | Path, cwd: Path = ROOT, quiet: bool = False) -> None:
    """Run a program; raise Stop if it fails."""
    words = [str(word) for word in command]
    words[0] = shutil.which(words[0]) or words[0]
    done = subprocess.run(words, cwd=cwd, capture_output=quiet, text=True, check=False)
    if done.returncode:
        said = f"\n{done.stdout}{done.stderr}" if quiet else ""
        raise Stop(f"This failed with code {done.returncode}: {shlex.join(words)[:200]}{said}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        sys.exit(f"build.py: {stop}")
