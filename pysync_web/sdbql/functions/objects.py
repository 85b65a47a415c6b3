"""Functions of objects. Members stay in the order in which they came; of two with one name the later value counts.

Where the server takes an array of objects for one object (names, ``HAS``), so do these.
"""

from __future__ import annotations

from typing import Any

from . import sizes
from .arguments import a_text, an_array, an_object, wrong
from .registry import FunctionError, function

_ABSENT = object()


@function("KEYS", "ATTRIBUTES", least=1, most=1)
def names(value: Any) -> list[str]:
    """Give the names of an object's members, or of those of all objects of an array, each once."""
    return list(dict.fromkeys([name for member in _objects(value) for name in member]))


@function("VALUES", least=1, most=1)
def member_values(value: Any) -> list[Any]:
    """Give the values of an object's members, or of those of all objects of an array."""
    return [item for member in _objects(value) for item in member.values()]


@function("ENTRIES", least=1, most=1)
def entries(value: Any) -> list[list[Any]]:
    """Give an object's members as arrays of name and value."""
    return [[name, item] for name, item in an_object(value).items()]


@function("FROM_ENTRIES", least=1, most=1)
def from_entries(array: Any) -> dict[str, Any]:
    """Make an object of arrays of name and value."""
    made: dict[str, Any] = {}
    for entry in an_array(array):
        if type(entry) is not list or len(entry) != 2 or type(entry[0]) is not str:
            raise FunctionError("each entry must be an array of a string and a value")
        made[entry[0]] = entry[1]
    return made


@function("ZIP_OBJECTS", least=2, most=2)
def zip_objects(keys: Any, values: Any) -> dict[str, Any]:
    """Make an object of an array of names and one of values, as many as the shorter has."""
    pairs = zip(an_array(keys), an_array(values, 2), strict=False)
    made = dict(pairs) if all(type(key) is str for key in keys) else None
    if made is None:
        raise FunctionError("argument 1 must be an array of strings")
    return made


@function("MERGE", "MERGE_OBJECTS", least=1, most=None)
def merge(*objects: Any) -> dict[str, Any]:
    """Make one object of many, or of an array of them; null is passed over."""
    made: dict[str, Any] = {}
    for member in _parts(objects):
        made.update(member)
    return made


@function("MERGE_DEEP", "MERGE_RECURSIVE", "DEEP_MERGE", least=1, most=None)
def merge_deep(*objects: Any) -> dict[str, Any]:
    """Make one object of many, and of objects that are members of one name too."""
    parts = _parts(objects)
    sizes.check_shape(parts)
    made: dict[str, Any] = {}
    for member in parts:
        made = _merged(made, member)
    return made


@function("HAS", "HAS_KEY", least=2, most=2)
def has(value: Any, name: Any) -> bool:
    """Tell whether an object, or any object of an array, has a member of a name."""
    name = a_text(name, 2)
    if type(value) is dict:
        return name in value
    return type(value) is list and any(type(item) is dict and name in item for item in value)


@function("GET", least=2, most=3)
def get(value: Any, path: Any, default: Any = None) -> Any:
    """Give what a path such as ``"a.b.0"`` leads to, or the default where it leads nowhere."""
    path = a_text(path, 2)
    if type(value) is dict and path in value:
        return value[path]
    for step in path.split("."):
        value = _step(value, step)
        if value is _ABSENT:
            return default
    return value


@function("UNSET", "WITHOUT", least=2, most=None)
def unset(value: Any, *keys: Any) -> dict[str, Any]:
    """Give an object without members of some names, given one by one or as arrays."""
    left_out = _names(keys)
    return {name: item for name, item in an_object(value).items() if name not in left_out}


@function("KEEP", least=2, most=None)
def keep(value: Any, *keys: Any) -> dict[str, Any]:
    """Give an object with the members of some names only, given one by one or as arrays."""
    kept = _names(keys)
    return {name: item for name, item in an_object(value).items() if name in kept}


def _objects(value: Any) -> list[dict[str, Any]]:
    if type(value) is dict:
        return [value]
    if type(value) is list and all(type(item) is dict for item in value):
        sizes.check_elements(sum(map(len, value)))
        return value
    raise wrong(1, "an object or an array of objects", value)


def _parts(objects: tuple[Any, ...]) -> list[dict[str, Any]]:
    if len(objects) == 1 and type(objects[0]) is list:
        objects = tuple(objects[0])
    parts = [an_object(item, place) for place, item in enumerate(objects, 1) if item is not None]
    sizes.check_elements(sum(map(len, parts)))
    return parts


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    made = dict(left)
    for name, item in right.items():
        old = made.get(name)
        made[name] = _merged(old, item) if type(old) is dict and type(item) is dict else item
    return made


def _names(keys: tuple[Any, ...]) -> set[str]:
    return {
        a_text(name, place) for place, key in enumerate(keys, 2) for name in (key if type(key) is list else (key,))
    }


def _step(value: Any, step: str) -> Any:
    if type(value) is dict:
        return value.get(step, _ABSENT)
    if type(value) is list and step.removeprefix("-").isdecimal() and len(step) < 9:
        place = int(step)
        return value[place] if -len(value) <= place < len(value) else _ABSENT
    return _ABSENT
