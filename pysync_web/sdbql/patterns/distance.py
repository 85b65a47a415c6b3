"""Levenshtein's distance between two texts: how many characters to insert, delete or replace.

With a limit only a band around the diagonal can matter, so the work is the shorter text's length times the limit.
"""

from __future__ import annotations


def levenshtein(a: str, b: str) -> int:
    """Count the edits that make one text of the other."""
    return _banded(a, b, max(len(a), len(b)))


def levenshtein_within(a: str, b: str, most: int) -> bool:
    """Tell whether a number of edits makes one text of the other."""
    if abs(len(a) - len(b)) > most:
        return False
    return a == b or _banded(a, b, most) <= most


def _banded(a: str, b: str, most: int) -> int:
    """Give the distance, or any number above ``most`` if it is larger than that."""
    if len(a) < len(b):
        a, b = b, a
    far = most + 1
    before = [min(column, far) for column in range(len(b) + 1)]
    for row, char in enumerate(a, 1):
        begin, end = max(1, row - most), min(len(b), row + most)
        current = [far] * (len(b) + 1)
        if row <= most:
            current[0] = row
        for column in range(begin, end + 1):
            if b[column - 1] == char:
                current[column] = before[column - 1]
            else:
                current[column] = 1 + min(before[column], current[column - 1], before[column - 1])
        if min(current[max(0, begin - 1) : end + 1], default=far) >= far:
            return far
        before = current
    return min(before[len(b)], far)
