"""The order in which values are listed: the project's total order, and where that is silent, their canonical text.

Two values are the same element if their texts are the same, so ``1``, ``1.0`` and ``true`` are three.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..values import JSON, dumps, loads, order_key


def rank(value: JSON) -> tuple[tuple[Any, ...], str]:
    """Give a sort key that is the same for no two different values."""
    return order_key(value), dumps(value)


def listed(values: Iterable[JSON]) -> list[JSON]:
    """Give values in order and once each, in a list of the reader's own."""
    by_text = {dumps(value): value for value in values}
    ordered = sorted(by_text.items(), key=lambda item: (order_key(item[1]), item[0]))
    return [own(value) for _, value in ordered]


def own(value: JSON) -> JSON:
    """Give a value that shares nothing with a state."""
    return loads(dumps(value)) if type(value) is dict or type(value) is list else value
