"""Dataclasses that a page makes when it first uses them, not while it imports the library.

What ``dataclasses`` does for a class is to put its methods together as text and to compile that: 1 to 2 ms each in
a page. The library has well over a hundred, of which a page uses some twenty; made at once they were half of the
time that importing it took. Classes that every opening of a database uses are made by ``dataclasses`` as it is.
Natively all are what the standard library makes, at once, slots and all.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

T = TypeVar("T")

_ASKED: Final = ("__init__", "__match_args__", "__dataclass_fields__")


def deferred(**options: Any) -> Callable[[type[T]], type[T]]:
    """Give a decorator like ``dataclasses.dataclass(**options)``, which does its work when the class is first used.

    That is: an instance is made, its fields are asked for, or its signature. It takes ``slots`` and makes none: a
    class with slots is another class than the one that was written.
    """
    chosen = {name: value for name, value in options.items() if name != "slots"}

    def defer(cls: type[T]) -> type[T]:
        for name in _ASKED:
            setattr(cls, name, _Waiting(cls, name, chosen))
        return cls

    return defer


class _Waiting:
    """What a class has in the place of something that is there once it is a dataclass."""

    __slots__ = ("_cls", "_name", "_options")

    def __init__(self, cls: type, name: str, options: dict[str, Any]) -> None:
        self._cls = cls
        self._name = name
        self._options = options

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Make the dataclass, and give what was asked for."""
        for name in _ASKED:
            delattr(self._cls, name)
        dataclasses.dataclass(**self._options)(self._cls)
        return getattr(owner if instance is None else instance, self._name)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
elif sys.platform == "emscripten":  # where there are no threads, of which two might make a class at once
    dataclass = deferred
else:
    dataclass = dataclasses.dataclass
