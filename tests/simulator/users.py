"""What simulated users write: inserts, changes of fields at any depth, removals, deletes, documents created again.

Every value holds a number of its own, from the eight that belong to its write.
"""

from __future__ import annotations

from random import Random
from typing import Any

from .profile import pick

Body = dict[str, Any]


def imagine(rng: Random, before: Body | None, number: int) -> tuple[Body | None, bool]:
    """Give what a user saves over a body (None: a delete), and whether it is the whole document."""
    dice = rng.random()
    if before is None:
        return _insert(rng, number, dice), True
    if dice < 0.15:
        return None, True
    if dice < 0.60:
        return {pick(rng, "abc"): _value(rng, number)}, False
    if dice < 0.80:
        return {"o": _nested(rng, before.get("o"), number)}, False
    if dice < 0.85:
        return {"o": _value(rng, number)}, False
    if dice < 0.88:
        return {"o": {}, "a": number}, False
    kept = {name: value for name, value in before.items() if rng.random() < 0.5}
    if dice < 0.98 or not before:
        kept[pick(rng, "abc")] = _value(rng, number)
    return kept, True


def _insert(rng: Random, number: int, dice: float) -> Body:
    body: Body = {"a": number}
    if dice < 0.5:
        body["b"] = _value(rng, number + 1)
    if dice < 0.25:
        body["o"] = {"x": number + 2, "p": {"q": number + 3}}
    if dice > 0.98:
        body = {}
    return body


def _nested(rng: Random, before: Any, number: int) -> Body:
    body: Body = dict(before) if type(before) is dict else {}
    name = pick(rng, "xyp")
    if name == "p":
        inner = body.get("p")
        body["p"] = {**(inner if type(inner) is dict else {}), pick(rng, "qr"): _value(rng, number)}
    else:
        body[name] = _value(rng, number)
    return body


def _value(rng: Random, number: int) -> Any:
    dice = rng.random()
    return number if dice < 0.7 else f"t{number}" if dice < 0.85 else [number]
