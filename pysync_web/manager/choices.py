"""What a call may choose for its writes alone: a strategy, a priority, tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ..core.conflict import Strategy, check_strategy
from ..core.outbox import BLOCK_CHANGES
from ..core.replica import WriteOptions
from ..core.strategies import encode_strategy
from ..errors import InvalidDocument
from ..values import JSON
from .config import SyncConfig

TAGS: Final = "_tags"
"""The member of a document that holds its tags, each as a name with true, so that two people's tags merge."""

HIGHEST_PRIORITY: Final = 100


def write_options(config: SyncConfig) -> WriteOptions:
    """Give how writes are made that choose nothing."""
    merges = {name: strategy.merge for name, strategy in config.collection_strategies.items()}
    block = min(BLOCK_CHANGES, config.batch_size)
    return WriteOptions(config.conflict_strategy.merge, config.outbox, merges=merges, block=block)


def chosen(options: WriteOptions, config: SyncConfig, strategy: Strategy | None, priority: int) -> WriteOptions:
    """Give how writes are made with a strategy and a priority of their own; raise :class:`InvalidDocument`."""
    if type(priority) is not int or not 0 <= priority <= HIGHEST_PRIORITY:
        raise InvalidDocument(f"a priority is an integer from 0 to {HIGHEST_PRIORITY}, not {priority!r}")
    if strategy is None:
        return replace(options, priority=priority) if priority else options
    check_strategy("strategy", strategy)
    name = encode_strategy(strategy)
    given = getattr(strategy, "fallback", strategy)
    resolver = getattr(given, "resolver", None)
    if resolver is not None and resolver not in config.resolvers:
        raise InvalidDocument(f"there is no resolver {resolver!r} in SyncConfig.resolvers")
    return replace(options, merge=strategy.merge, merges={}, strategy=name, priority=priority)


def tagged(document: dict[str, JSON], tags: Iterable[str] | None) -> dict[str, JSON]:
    """Give a document with exactly these tags, or as it is where None are given."""
    if tags is None:
        return document
    is_list = isinstance(tags, Iterable) and not isinstance(tags, str)
    names = list(tags) if is_list else []
    if not is_list or not all(isinstance(name, str) and name for name in names):
        raise InvalidDocument(f"tags are a collection of texts, not {tags!r:.60}")
    return {**document, TAGS: dict.fromkeys(sorted(names), True)}


def has_tag(document: dict[str, JSON], tag: str) -> bool:
    """Tell whether a document has a tag."""
    tags = document.get(TAGS)
    return type(tags) is dict and tag in tags
