"""The server's log: a line for each exchange, of what was done and never of contents, as text or as JSON.

No key, body or token gets into it, so of an error only the type and the places are told: its words may quote.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

from ..errors import StorageError

Format: TypeAlias = Literal["text", "json"]

LOGGER: Final = logging.getLogger("pysync_web.server")
_MOST_PLACES: Final = 10


def set_up(form: Format) -> None:
    """Write the log of this process to its standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    LOGGER.setLevel(logging.INFO)


class JsonLines(logging.Formatter):
    """Makes each record one line of JSON; ``fields`` of the record are its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line: dict[str, Any] = {"time": _time(record), "level": record.levelname, "logger": record.name}
        line |= getattr(record, "fields", None) or {"message": record.getMessage()}
        if record.exc_info and record.exc_info[1]:
            line["error"] = described(record.exc_info[1])
        return json.dumps(line)


class TextLines(logging.Formatter):
    """Makes each record one line to be read by people."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            line += f": {described(record.exc_info[1])}"
        return line if line.isprintable() else json.dumps(line)[1:-1]


def described(error: BaseException) -> str:
    """Say what an error was and where it came from, with its words only where they speak of the storage alone."""
    words = f"{type(error).__name__}: {error}" if isinstance(error, StorageError) else type(error).__name__
    places = ", ".join(_places(error.__traceback__)[-_MOST_PLACES:])
    cause = error.__cause__ or error.__context__
    return f"{words} at {places or 'no place'}" + (f", because of {described(cause)}" if cause else "")


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(trace)]


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
