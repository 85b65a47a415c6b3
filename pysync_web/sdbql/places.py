"""What an error tells besides its place: the known name nearest to an unknown one.

Line, column and caret are made by :class:`~pysync_web.errors.QueryError` itself, from the query and an offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST_NAMES = 2_000
LONGEST_NAME = 64


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Give the known name that is most like a name, in any letter case, or None if none is."""
    if len(name) > LONGEST_NAME:
        return None  # comparing takes time by the product of the lengths
    known = {one.lower(): one for one in islice(names, MOST_NAMES) if len(one) <= LONGEST_NAME}
    found = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Give `` Did you mean X?`` to be put behind a message, or an empty text."""
    found = nearest(name, names)
    return f" Did you mean {found}?" if found else ""


def shorten(text: str, most: int = 40) -> str:
    """Cut what is quoted in a message to a length that can be read."""
    return text if len(text) <= most else text[: most - 1] + "…"
