"""A dataclass that is made when it is first used is, from then on, what ``dataclasses`` would have made at once."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from typing import Any

import pytest

import pysync_web as ps
from pysync_web.deferred import deferred


def make(**options: Any) -> Any:
    """Give a class that nobody has used."""

    @deferred(**options)
    class Point:
        """A place."""

        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, compare=False)

        @classmethod
        def origin(cls) -> Any:
            return cls(0, 0)

        def __post_init__(self) -> None:
            if self.x == 13:
                raise ValueError("no luck")

    return Point


def test_it_is_not_made_before_it_is_used():
    assert "__repr__" not in vars(make(frozen=True, slots=True))


@pytest.mark.parametrize(
    "use",
    [
        lambda cls: cls(1),
        lambda cls: cls.origin(),
        fields,
        is_dataclass,
        lambda cls: cls.__match_args__,
        inspect.signature,
        lambda cls: type("Sub", (cls,), {})(1),
    ],
    ids=["call", "classmethod", "fields", "is_dataclass", "match_args", "signature", "subclass"],
)
def test_whatever_uses_it_first_makes_it(use):
    cls = make(frozen=True)
    use(cls)
    assert "__repr__" in vars(cls)
    assert [one.name for one in fields(cls)] == ["x", "y", "tags"]
    assert list(inspect.signature(cls).parameters) == ["x", "y", "tags"]
    assert repr(cls(1)).endswith("Point(x=1, y=2, tags=[])")


def test_its_instances_are_those_of_a_dataclass():
    cls = make(frozen=True, slots=True)
    one = cls(1, tags=["a"])
    assert one == cls(1) != cls(2) and hash(one) == hash(cls(1))
    assert replace(one, y=5).y == 5 and copy.copy(one) == one
    assert cls(1).tags is not cls(1).tags
    match one:
        case cls(x, y):
            assert (x, y) == (1, 2)
    with pytest.raises(FrozenInstanceError):
        one.x = 2
    with pytest.raises(FrozenInstanceError):
        one.other = 2
    with pytest.raises(ValueError, match="no luck"):
        cls(13)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        cls()


def test_one_that_may_be_changed_can_be():
    cls = make(slots=True)
    one = cls(1)
    one.x = 5
    assert one == cls(5)


def test_one_dataclass_may_be_made_of_another():
    base = make(frozen=True)

    @deferred(frozen=True)
    class Named(base):
        name: str = "nameless"

    assert Named(1, name="Ada").name == "Ada"
    assert [one.name for one in fields(Named)] == ["x", "y", "tags", "name"]
    assert [one.name for one in fields(base)] == ["x", "y", "tags"]


def test_the_library_s_own_come_from_json_before_any_was_made():
    assert ps.SyncResult.from_json(ps.SyncResult(success=True).to_json()).success
    assert ps.SyncConfig.from_json(ps.SyncConfig().to_json()) == ps.SyncConfig()


def test_the_library_s_own_can_be_copied_and_pickled():
    result = ps.SyncResult(success=True, pulled=3)
    assert pickle.loads(pickle.dumps(result)) == result == copy.deepcopy(result)
