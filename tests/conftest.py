"""Lets tests, fixtures and properties be coroutines, natively and in a page; leaves out what can't run here.

Natively each test has an event loop of its own, closed when it ends. A page has one loop for all, and a test
waits on it by stack switching; what a test left running there is cancelled. Tests in ``tests/browser`` share
one loop too, because the browser that they drive outlives each of them.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

IN_PAGE = sys.platform == "emscripten"
TIMEOUT_S = 60

# The same examples each time: a run that fails for one fails for all. Python is slower inside a page.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("page", parent=hypothesis.settings.get_profile("repeatable"), max_examples=20)
hypothesis.settings.load_profile("page" if IN_PAGE else "repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Install the coroutine support."""
    config.pluginmanager.register(Coroutines(), "coroutines")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out modules that are for the other place as a whole, so that what they import may be missing."""
    if collection_path.suffix != ".py":
        return None
    elsewhere = "native" if IN_PAGE else "browser"
    marked = re.search(rf"^pytestmark\b.*\bmark\.{elsewhere}\b", collection_path.read_text("utf-8"), re.MULTILINE)
    return True if marked and not drives_a_browser(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that drive a browser; skip those that are for the other place; put the longest first."""
    for item in items:
        if drives_a_browser(item.path):
            item.add_marker("browser")
        elif IN_PAGE and item.get_closest_marker("native"):
            item.add_marker(pytest.mark.skip(reason="needs a native Python"))
        elif not IN_PAGE and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="runs inside a page"))
    items.sort(key=seconds_taken, reverse=True)


def seconds_taken(item: pytest.Item) -> float:
    """Give about how long a test takes: one that began last would keep all cores but its own waiting."""
    marker = item.get_closest_marker("takes")
    seconds: float = marker.args[0] if marker else 0
    return seconds


def drives_a_browser(path: Path) -> bool:
    """Say whether a test module stands outside the page and drives a browser."""
    return Path(__file__).parent / "browser" in path.parents


class Coroutines:
    """Runs the coroutines of tests and fixtures."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.own: asyncio.Runner | None = None  # the running test's
        self.shared: asyncio.Runner | None = None  # that of all tests which drive a browser

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Give each test its event loop, and take it back."""
        self.item = item
        before = asyncio.all_tasks() if IN_PAGE else set()
        try:
            return (yield)
        finally:
            self.item = None
            if self.own is not None:
                self.own.close()
                self.own = None
            for left_behind in asyncio.all_tasks() - before if IN_PAGE else ():
                left_behind.cancel()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Close the loop of the tests that drive a browser."""
        if self.shared is not None:
            self.shared.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run a test that is a coroutine function, or a property over one."""
        function = pyfuncitem.obj
        inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
        if inspect.iscoroutinefunction(inner):
            function.hypothesis.inner_test = self.as_plain(inner)
        if not inspect.iscoroutinefunction(function):
            return None
        names = pyfuncitem._fixtureinfo.argnames
        self.runner()(function(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Turn a fixture that is a coroutine function or an asynchronous generator into a plain one, once."""
        function = fixturedef.func
        if not inspect.iscoroutinefunction(function) and not inspect.isasyncgenfunction(function):
            return
        if fixturedef.scope != "function" and not IN_PAGE and not self.uses_shared_loop():
            pytest.fail(f"{fixturedef.argname} is asynchronous and would outlive its event loop: narrow its scope.")
        plain = self.as_plain if inspect.iscoroutinefunction(function) else self.as_plain_generator
        fixturedef.func = plain(function)  # type: ignore[misc]

    def as_plain(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Give a function that runs the coroutine function to its end."""

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return self.runner()(function(*args, **kwargs))

        return plain

    def as_plain_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a generator function that runs the asynchronous one to its ``yield``, and later to its end."""

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Iterator[Any]:
            run = self.runner()  # a fixture ends on the loop that it began on, whichever test runs then
            generator = function(*args, **kwargs)
            yield run(anext(generator))
            assert run(anext(generator, "end")) == "end", "a fixture yields once"

        return plain

    def runner(self) -> Callable[[Awaitable[Any]], Any]:
        """Give what runs an awaitable to its end on the test's loop, as long as its ``timeout`` allows."""
        assert self.item is not None
        marker = self.item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else TIMEOUT_S
        if IN_PAGE:
            from pyodide.ffi import run_sync as run
        elif self.uses_shared_loop():
            self.shared = self.shared or asyncio.Runner()
            run = self.shared.run
        else:
            self.own = self.own or asyncio.Runner()
            run = self.own.run
        return lambda work: run(limited(work, seconds))

    def uses_shared_loop(self) -> bool:
        """Say whether the running test drives a browser."""
        return self.item is not None and self.item.get_closest_marker("browser") is not None


async def limited(work: Awaitable[Any], seconds: float) -> Any:
    """Await something; raise TimeoutError when that takes too long."""
    async with asyncio.timeout(seconds):
        return await work
