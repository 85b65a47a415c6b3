"""What a test can see of the order here: which way imports go, what the core may not touch, how code looks.

Everything is read from the sources' syntax trees; nothing of them is imported, but for one check at the end.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pysync_web"

# Each part of the package, with the parts that it may import. A part is a module or a folder.
BASE = {"deferred", "errors", "values", "causality"}
MAY_IMPORT = {
    "errors": set(),
    "clock": set(),
    "deferred": set(),
    "values": {"errors"},
    "causality": {"errors", "values"},
    "crdt": BASE,
    "sdbql": BASE,
    "core": BASE | {"crdt", "sdbql"},
    "storage": BASE | {"crdt", "sdbql", "core"},
    "transport": BASE | {"clock", "crdt", "sdbql", "core"},
    "manager": BASE | {"clock", "crdt", "sdbql", "core", "storage", "transport"},
    "server": BASE | {"clock", "crdt", "sdbql", "core", "storage", "transport"},
    "__init__": BASE | {"crdt", "sdbql", "core", "storage", "transport", "manager"},
}

# Modules that no page imports.
NATIVE = {"storage/sqlite.py", "storage/sqlite_thread.py", "storage/processes.py"}

# Modules with dataclasses that every opening of a database uses: to put them off would only make that slower.
ALWAYS_USED = {
    *("core/exchange.py", "core/ledger.py", "core/outbox.py", "core/replica.py", "core/schedule.py"),
    *("manager/config.py", "manager/store.py"),
}

# Parts without time, chance, network and disk, and the modules that would bring those in.
PURE = BASE | {"crdt", "sdbql", "core"}
IMPURE_MODULES = {
    *("asyncio", "concurrent", "multiprocessing", "threading", "signal", "subprocess"),
    *("http", "select", "selectors", "socket", "ssl", "urllib"),
    *("os", "pathlib", "shutil", "sqlite3", "tempfile"),
    *("random", "secrets", "uuid"),
    *("time", "zoneinfo"),
    *("js", "pyodide", "pyodide_js"),
}
# What one file of the core may have all the same.
EXCEPTIONS = {
    ("sdbql/ambient.py", "time"),  # a limit on time needs a clock, and NOW() the time where the caller gives none
    ("sdbql/ambient.py", "random"),  # so does RANDOM() a generator
    ("sdbql/functions/registry.py", "random"),  # the type of that generator
    ("sdbql/compile/module.py", "exec"),  # a query becomes code, as a dataclass does; its values stay values
    ("sdbql/zones.py", "zoneinfo"),  # tables of time zones; what time it is they don't know
}
IMPURE_NAMES = {"hash", "uuid1", "uuid4", "open", "input", "print", "eval", "exec"}
IMPURE_METHODS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}

PAGE_ONLY = {"storage/idb.py", "storage/tabs.py", "storage/witness.py", "transport/fetch.py", "transport/ports.py"}

# What is not in the standard library of every place, and where alone it may be imported.
DRIVERS = {
    "sqlite3": {"storage/sqlite.py"},
    "psycopg": {"storage/postgres.py"},
    "asyncpg": {"storage/postgres.py"},
    "cryptography": {"storage/encrypted.py"},
    "httpx": {"transport/http.py"},
    "argon2": {"sdbql/passwords.py"},
    "re2": {"sdbql/patterns/quick.py"},
    **dict.fromkeys(("js", "pyodide", "pyodide_js"), PAGE_ONLY),
    "starlette": {"server/"},
    "uvicorn": {"server/"},
    "rich_click": {"server/"},
    "prometheus_client": {"server/metrics.py"},
}

LONGEST_FUNCTION = 60  # lines, its docstring aside: a screen


@dataclass(frozen=True)
class Module:
    """A source file of the package."""

    path: Path

    @property
    def name(self) -> str:
        """Its path inside the package, as ``core/wire.py``."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def part(self) -> str:
        """The part of the package that it belongs to, as ``core``."""
        return self.name.partition("/")[0].removesuffix(".py")

    @cached_property
    def text(self) -> str:
        """Its source."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, str(self.path))

    def at(self, node: ast.AST) -> str:
        """Say where a node is, so that an editor can go there."""
        return f"{self.path.relative_to(ROOT)}:{node.lineno}"

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Give all absolute names that are imported anywhere in it, those for type checking too."""
        package = ["pysync_web", *self.name.split("/")[:-1]]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])])
                yield from ((node, f"{origin}.{alias.name}") for alias in node.names)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Give all functions and methods in it, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
EVERY_MODULE = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


@EVERY_MODULE
def test_imports_go_one_way(module: Module):
    assert module.part in MAY_IMPORT, f"give {module.part} its place in MAY_IMPORT"
    allowed = MAY_IMPORT[module.part] | {module.part}
    for node, name in module.imports():
        top, _, rest = name.partition(".")
        if top == "pysync_web":
            part = rest.partition(".")[0]
            known = part if part in MAY_IMPORT else "__init__"
            assert known in allowed, f"{module.at(node)}: {module.part} may not import {name}"


@EVERY_MODULE
def test_a_page_makes_few_dataclasses_while_it_imports(module: Module):
    if module.part == "server" or module.name in NATIVE | ALWAYS_USED or module.name == "deferred.py":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            taken = {alias.name for alias in node.names}
            assert "dataclass" not in taken, f"{module.at(node)}: take it from deferred.py"


@EVERY_MODULE
def test_the_core_has_no_time_no_chance_and_no_input(module: Module):
    if module.part not in PURE:
        return
    here = {name for file, name in EXCEPTIONS if file == module.name}
    for node, name in module.imports():
        assert name.partition(".")[0] not in IMPURE_MODULES - here, f"{module.at(node)}: {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_NAMES - here, f"{module.at(node)}: {node.func.id}()"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in IMPURE_METHODS, f"{module.at(node)}: {node.attr}()"


@EVERY_MODULE
def test_the_core_needs_the_standard_library_only(module: Module):
    if module.part not in PURE:
        return
    for node, name in module.imports():
        top = name.partition(".")[0]
        known = top == "pysync_web" or top in sys.stdlib_module_names or module.name in DRIVERS.get(top, ())
        assert known, f"{module.at(node)}: {name}"


@EVERY_MODULE
def test_a_driver_is_imported_in_its_own_file_only(module: Module):
    for node, name in module.imports():
        top = name.partition(".")[0]
        if top in DRIVERS:
            places = DRIVERS[top]
            assert module.name.startswith(tuple(places)), f"{module.at(node)}: {top} belongs to {places}"
        else:
            known = top == "pysync_web" or top in sys.stdlib_module_names
            assert known, f"{module.at(node)}: give {top} its place in DRIVERS"


@EVERY_MODULE
def test_public_names_say_what_they_are(module: Module):
    if module.text.strip():
        assert ast.get_docstring(module.tree), f"{module.name} has no docstring"
    for node in public_definitions(module.tree):
        assert ast.get_docstring(node), f"{module.at(node)}: {node.name} has no docstring"


def public_definitions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Give the classes, functions and methods that are not hidden by an underscore or an overload."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
        if node.name.startswith("_") or decorators & {"overload", "setter", "override"}:
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node)


@EVERY_MODULE
def test_a_function_fits_a_screen(module: Module):
    for function in module.functions():
        begin = function.body[0].end_lineno if ast.get_docstring(function) else function.lineno
        lines = function.end_lineno - begin + 1
        assert lines <= LONGEST_FUNCTION, f"{module.at(function)}: {function.name} has {lines} lines"


def test_nothing_is_left_to_do():
    """No note of unfinished work stands in a source file."""
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in [*source_files(), ROOT / "build.py"]:
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert not unfinished.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_no_test_has_a_twin():
    """Two tests of one name in one class or module: the first would never run."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"), str(path))
        for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
            names = [node.name for node in scope.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
            twins = {name for name in names if name.startswith("test_") and names.count(name) > 1}
            assert not twins, f"{path.relative_to(ROOT)}: {twins}"


def source_files() -> Iterator[Path]:
    """Give the project's own sources in Python and JavaScript."""
    for folder in ("pysync_web", "tests", "web"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".js") and "node_modules" not in path.parts:
                yield path


def test_importing_the_package_brings_in_no_driver():
    """``import pysync_web`` works everywhere, and fast, because drivers wait until they are used."""
    code = "import sys; before = set(sys.modules); import pysync_web; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    brought = {name.partition(".")[0] for name in done.stdout.split()}
    assert not brought & set(DRIVERS)
    assert all(name == "pysync_web" or name in sys.stdlib_module_names for name in brought)


def test_a_page_that_opens_a_database_does_not_wait_for_the_query_language():
    """Parser, compiler and functions take longer to import than all the rest: who asks the first query pays."""
    code = """if True:
        import asyncio, sys
        import pysync_web as ps
        async def opens():
            async with await ps.open("people", engine=ps.StorageEngine.MEMORY) as database:
                await database.save_document("people", "ada", {"name": "Ada"})
                await asyncio.sleep(0.05)  # what a database does in the background has begun
                assert len(await database.query_documents("people")) == 1
        asyncio.run(opens())
        assert "pysync_web.manager.hygiene" in sys.modules, "expiry did not run"
        print(*(name for name in sys.modules if name.startswith("pysync_web.sdbql")))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
