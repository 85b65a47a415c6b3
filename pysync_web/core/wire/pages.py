"""The usual page of an answer, read so that the text of each document's body is known and need not be written again.

The bodies are cut out where our server puts them, and parsed by themselves; so is what is left. An answer that is
written in any other way, or has more in it than documents that were updated, is parsed as a whole.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final

from ...values import JSON, parse_each, parse_strictly

_BODY: Final = ',"document":'
_KEY: Final = ',"key":'


def parse_page(text: str, texts: list[str]) -> JSON:
    """Parse an answer; add the texts of its documents' bodies, in order, where there is nothing else in it."""
    head, *parts = text.split(_BODY)
    bodies, _, tails = zip(*map(str.rpartition, parts, repeat(_KEY)), strict=True) if parts else ((), (), ())
    try:
        values = parse_each(bodies)
        message = parse_strictly(_KEY.join([head, *tails]))
        page = message["server_changes"]
        is_usual = len(page) == len(values) and {dict}.issuperset(map(type, values))
        if is_usual and all(change["operation"] == "update" and "delta" not in change for change in page):
            for change, value in zip(page, values, strict=True):
                change["document"] = value
            texts += bodies
            return message
    except (ValueError, KeyError, TypeError):
        pass
    return parse_strictly(text)
