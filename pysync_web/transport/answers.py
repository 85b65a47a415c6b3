"""Judges what came back over HTTP: a usable text, or the error that says what to do about it.

A proxy, a captive portal or a wrong address may answer anything: what is not our JSON is no answer at all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from ..deferred import dataclass
from ..errors import SchemaError, Unreachable
from ..values import JSON, decode
from .problems import refusal_from

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""An answer larger than that is not read to its end."""

MAX_RETRY_AFTER_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer: names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def text_of(answer: Answer) -> str:
    """Give a successful answer's JSON text; raise ``Unreachable``, ``Rejected`` or ``Unauthorized`` for any other."""
    check_status(answer)
    if not _is_json(answer.headers):
        raise Unreachable(f"the server answered {_kind(answer.headers)} where JSON was due: {_HINT}")
    content = answer.content.strip()
    if not content:
        raise Unreachable("the server's answer is empty")
    if content[:1] != b"{" or content[-1:] != b"}":
        raise Unreachable(f"the server's answer is cut off after {len(content)} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreachable(f"the server's answer is not UTF-8 at byte {error.start}") from error


def check_status(answer: Answer) -> None:
    """Return if the status is 200, or raise the error that it stands for."""
    status = answer.status
    if status == 200:
        return
    if status < 400:
        where = answer.headers.get("location", "elsewhere")[:200]
        what = f"redirects to {where}" if 300 <= status < 400 else f"answered {status}"
        raise Unreachable(f"the server {what}: {_HINT}")
    if "html" in answer.headers.get("content-type", "") and status not in (401, 403, 413) and status < 500:
        raise Unreachable(f"the server answered {status} with a web page: {_HINT}")
    raise refusal_from(status, _problem(answer), retry_after_s(answer.headers)).error()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Give the seconds that ``Retry-After`` asks to wait (it may name a date), 0 to a day, or None."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text.isascii() and text.isdecimal() else _seconds_until(text, headers)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


_HINT: Final = "is this address a sync server, and the network open?"


def _seconds_until(text: str, headers: Mapping[str, str]) -> float:
    """Give the seconds to a date by the server's own clock where it told the time, else by this one."""
    from email.utils import parsedate_to_datetime  # it takes as long to import as all else here

    at = parsedate_to_datetime(text).timestamp()
    try:
        return at - parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return at - time.time()


def _is_json(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "")[:60] or "nothing readable"


def _problem(answer: Answer) -> JSON:
    if not _is_json(answer.headers):
        return None
    try:
        return decode(answer.content, "answer")
    except SchemaError:
        return None
