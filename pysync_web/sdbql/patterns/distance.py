"""Levenshtein's distance between two texts: how many characters to insert, delete or replace.

Whole columns of the table are bits of one integer (Myers 1999, in Hyyrö's form of 2003). Between long texts that
should be near, only a band around the diagonal is looked at.
"""

from __future__ import annotations

from typing import Final

SHORT: Final = 512


def levenshtein(a: str, b: str) -> int:
    """Count the edits that make one text of the other."""
    if len(a) < len(b):
        a, b = b, a
    if not b:
        return len(a)
    places: dict[str, int] = {}
    for row, char in enumerate(b):
        places[char] = places.get(char, 0) | 1 << row
    last = 1 << len(b) - 1
    mask = (last << 1) - 1
    down, up, distance = mask, 0, len(b)
    for char in a:
        same = places.get(char, 0)
        diagonal = ((same & down) + down ^ down) | same | up
        right = up | ~(diagonal | down) & mask
        left = down & diagonal
        distance += (right & last > 0) - (left & last > 0)
        right = right << 1 | 1
        down = (left << 1 | ~(diagonal | right)) & mask
        up = right & diagonal & mask
    return distance


def levenshtein_within(a: str, b: str, most: int) -> bool:
    """Tell whether a number of edits makes one text of the other."""
    if abs(len(a) - len(b)) > most:
        return False
    if a == b or max(len(a), len(b)) <= most:
        return True
    if min(len(a), len(b)) <= SHORT:
        return levenshtein(a, b) <= most
    return _in_band(a, b, most)


def _in_band(a: str, b: str, most: int) -> bool:
    """Go along the diagonal; ``before[i]`` is of the column ``row - 1 - most + i``."""
    far = most + 1
    before = [far] * most + list(range(far + 1))
    for row, char in enumerate(a, 1):
        current = [far] * (2 * most + 2)
        for place in range(2 * most + 1):
            column = row - most + place
            if column == 0:
                current[place] = min(row, far)
            elif 0 < column <= len(b):
                above = before[place + 1] if place < 2 * most else far
                beside = current[place - 1] if place else far
                current[place] = min(before[place] + (b[column - 1] != char), above + 1, beside + 1)
        if min(current) >= far:
            return False
        before = current
    return before[len(b) - len(a) + most] <= most
