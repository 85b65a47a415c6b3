"""The usual page of an answer, read so that the text of each document's body is known and need not be written again.

The bodies are cut out where our server puts them, and parsed by themselves. In what is left there stands for each
something that is no JSON: found where the document of a change was, and nowhere else, that shows the cuts
to be right.
"""

from __future__ import annotations

from itertools import repeat
from typing import Final

from ...values import HOLE, JSON, parse_each, parse_with_holes

CANONICAL: Final = ',"canonical":true,"server_changes":['
"""So begins a page whose documents are in canonical text, as our server keeps them."""

_BODY: Final = ',"document":'
_KEY: Final = ',"key":'


def parse_page(text: str, texts: list[str]) -> JSON:
    """Parse an answer, and add the texts of its documents' bodies in order; None where there is anything else."""
    head, *parts = text.split(_BODY)
    if not parts or CANONICAL not in head:
        return None
    bodies, _, tails = zip(*map(str.rpartition, parts, repeat(_KEY)), strict=True)
    try:
        message, hole = parse_with_holes(f"{_BODY}{HOLE}{_KEY}".join([head, *tails]))
        page = message["server_changes"]
        if any(change["document"] is not hole for change in page):
            return None
        for change, body in zip(page, parse_each(bodies), strict=True):
            change["document"] = body
    except (ValueError, KeyError, TypeError):
        return None
    texts += bodies
    return message
