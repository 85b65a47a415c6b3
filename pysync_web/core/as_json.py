"""JSON both ways for the flat values that an application sees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self

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
        """Read what :meth:`to_json` gave; a list becomes a tuple where the value has one."""
        fields: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
        tuples = {name for name, field in fields.items() if str(field.type).startswith("tuple")}
        return cls(
            **{name: tuple(one) if name in tuples and one is not None else one for name, one in value.items()}
        )
