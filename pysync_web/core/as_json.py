"""JSON both ways for the flat values that an application sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, Self

from ..errors import InvalidDocument
from ..values import JSON


class AsJson:
    """What a flat dataclass inherits to become JSON and come back."""

    __slots__ = ()

    def to_json(self) -> dict[str, JSON]:
        """Give the value as JSON."""
        members: dict[str, JSON] = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if type(value) is tuple else value for name, value in members.items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` gave; a list becomes a tuple where the value has one.

        What is missing is as it is by default. Raises :class:`InvalidDocument` for what is no such value.
        """
        tuples = {field.name for field in fields(cls) if str(field.type).startswith("tuple")}  # type: ignore[arg-type]
        members = members_of(cls, value).items()
        return cls(**{name: tuple(one) if name in tuples and type(one) is list else one for name, one in members})


def members_of(kind: Any, value: object) -> dict[str, JSON]:
    """Give the members of a dataclass that was written as JSON; raise :class:`InvalidDocument` where it can't be."""
    name = kind.__name__
    if not isinstance(value, Mapping):
        raise InvalidDocument(f"{name}.from_json reads a dict, not {value!r:.60}")
    due = {field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)}
    for given in value:
        if given not in due:
            raise InvalidDocument(f"{name}.from_json: {given!r:.60} is none of its members")
    for member, is_needed in due.items():
        if is_needed and member not in value:
            raise InvalidDocument(f"{name}.from_json: {member!r} is missing")
    return dict(value)
