"""A native Python process in which tests run code, as they do in a page; it can be killed and started again.

Run as a script it is that process: it reads lines of JSON, runs what they hold, and answers with lines of JSON.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 64 * 1024 * 1024


class ProgramError(AssertionError):
    """Python code in a program raised; the message is its traceback."""


class Program:
    """A Python process of its own."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> Self:
        """Start the process."""
        pipe = asyncio.subprocess.PIPE
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", __file__, stdin=pipe, stdout=pipe, env=environment, limit=LIMIT
        )
        return self

    async def python(self, code: str, **values: Any) -> Any:
        """Run Python with ``values`` as variables; give its last expression. Both go as JSON.

        Names stay from one call to the next. ``await`` works anywhere.
        """
        async with self._turn:
            assert self._process and self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps([textwrap.dedent(code), values]).encode() + b"\n")
            answer = json.loads(await self._process.stdout.readline())
        if "error" in answer:
            raise ProgramError(answer["error"])
        return answer["value"]

    async def kill(self) -> None:
        """End the process at once with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._process is not None:
            self._process._transport.close()  # type: ignore[attr-defined]  # or it is collected with a warning
            self._process = None


async def serve() -> None:
    """Run what comes in on standard input until it ends."""
    names: dict[str, Any] = {"__name__": "__main__"}
    reader = asyncio.StreamReader(LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        code, values = json.loads(line)
        try:
            names |= values
            answer = {"value": await run(code, names)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer, default=repr), flush=True)


async def run(code: str, names: dict[str, Any]) -> Any:
    """Run code that may await; give its last expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    for part in (tree, ast.Expression(last.value) if isinstance(last, ast.Expr) else None):
        if part is None:
            return None
        mode = "eval" if isinstance(part, ast.Expression) else "exec"
        value = eval(compile(part, "<program>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.iscoroutine(value):
            value = await value
    return value


if __name__ == "__main__":
    asyncio.run(serve())
