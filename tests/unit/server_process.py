"""Runs the real server as a process for tests, on a port that is free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

TOKEN = "token-for-tests"


class ServerProcess:
    """``python -m pysync_web.server`` on a folder; it keeps its port when it is started again."""

    def __init__(
        self,
        data: Path,
        *options: str,
        token: str | None = TOKEN,
        program: tuple[str, ...] = ("-m", "pysync_web.server"),
    ) -> None:
        self.data = data
        self.program = program
        self.options = options
        self.token = token
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.greeting: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the process; return when it listens."""
        command = [sys.executable, *self.program, "--port", str(self.port), "--data", str(self.data)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSYNC_")}
        if self.token is not None:
            environment["PYSYNC_TOKEN"] = self.token
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options], stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("pysync_web listens on http"), f"the server said {first!r}: {self.log()}"
        self.greeting = [first]
        self.port = int(first.partition(", ")[0].rpartition(":")[2])
        return self

    def log(self) -> str:
        """Give what it wrote to its standard error."""
        return (self.data.parent / f"{self.data.name}.log").read_text("utf-8", "replace")

    def end(self, how: signal.Signals) -> None:
        """End the process by a signal and wait for it; nothing happens if it has ended."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def stop(self) -> None:
        """Ask it to end."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.end(signal.SIGKILL)

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bool = False, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request with the token and the given headers, "" for none; give status, JSON or text, headers."""
        sent_body = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, sent_body, method=method)
        sent = {"content-type": "application/json"} if body is not None else {}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in sent.items():
            if value:
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
                return answer.status, content if raw else decoded(content), lower(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, decoded(error.read()), lower(error.headers)


def lower(headers: Any) -> dict[str, str]:
    """Give headers under their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def decoded(content: bytes) -> Any:
    """Give JSON as values, anything else as text."""
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
