"""The cases of queries: JSON files of ``{name, data, query, binds, rows | error}``, for any place and storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("cases")
FILES = sorted(path.stem for path in FOLDER.glob("*.json"))

Case = dict[str, Any]


def cases_of(file: str) -> list[Case]:
    """Give the cases of a file."""
    found: list[Case] = json.loads(FOLDER.joinpath(f"{file}.json").read_text("utf-8"))
    return found


class Failures:
    """Runs a check on many cases and fails with all that failed: thousands of tests would be slow in a page."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        assert kind is not None or not self.told, "\n\n".join(self.told)

    def note(self, case: Case, error: BaseException) -> None:
        """Keep what went wrong with a case."""
        self.told.append(f"{case['name']}\n  {case['query']}\n  {type(error).__name__}: {error}")
