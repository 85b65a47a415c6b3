"""What earlier formats of a page's database looked like, for bringing them up to the present one."""

from __future__ import annotations

import json

from ..errors import CorruptData
from .segments import encode_writes, join_writes, label
from .table import Writes


def records_of_format_2(manifest: str | None, segments: list[str], log: list[str]) -> str:
    """Give everything in a database of format 2 as the text of one log record.

    A text was lines there: spaces and keys as JSON in the first, then a record in each, an empty one for a deleted
    one. Segments and log record the same way; the manifest had small spaces as its last member.
    """
    try:
        inline = json.loads(manifest)[-1] if manifest else "[]"
        return label("", join_writes(encode_writes(_writes(text)) for text in (inline, *segments, *log)))
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptData(f"a record of format 2 can't be read: {error}") from error


def _writes(text: str) -> Writes:
    head, *texts = text.split("\n")
    rest = iter(texts)
    return {space: {tuple(key): next(rest) or None for key in keys} for space, keys in json.loads(head)}
