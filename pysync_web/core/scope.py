"""What a replica has chosen to hold: everything, or parts of it, and how far a choice has been carried out.

A choice that changes is carried out in small steps, each in the transaction of an answer: what was left out comes as
a snapshot in the order of the keys, what is not asked for any more goes. It can be broken off anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, NamedTuple

from ..deferred import dataclass
from ..values import JSON, dumps, loads
from .expiry import SETTINGS
from .ports import ReadTransaction, WriteTransaction
from .wire import Had, Snapshot, Subscription


class Wish(NamedTuple):
    """What is wanted of a collection: what a filter lets through, or (``query`` None) all of it."""

    query: str | None = None
    bind_vars: dict[str, JSON] = {}  # noqa: RUF012 (never changed)


@dataclass(slots=True)
class Choice:
    """What was chosen for a collection; ``wish`` None: nothing.

    ``snapshot`` is there until everything has come, unless the feed from its beginning brings it. Where it
    ``sweeps``, what was not brought goes at the end, because it is not known what was there. ``leaves`` until what is
    here of a collection that is not wanted has gone; ``after`` is how far that has come.
    """

    id: str
    wish: Wish | None
    snapshot: Snapshot | None = None
    sweeps: bool = False
    leaves: bool = False
    after: str | None = None


@dataclass(slots=True)
class Scope:
    """The choices by collection; ``has_rest`` says that of collections without one everything is wanted."""

    has_rest: bool = True
    choices: dict[str, Choice] = field(default_factory=dict)
    count: int = 0

    def text(self) -> str:
        """Give the text that stores it."""
        rows = [
            [name, one.id, one.wish, one.snapshot, one.sweeps, one.leaves, one.after]
            for name, one in sorted(self.choices.items())
        ]
        return dumps({"rest": self.has_rest, "choices": rows, "count": self.count})

    def asked(self, collections: tuple[str, ...] | None) -> Asked:
        """Give what a request asks for, where an application syncs some collections or (None) all."""
        wanted = {name: one for name, one in self.choices.items() if one.wish is not None}
        parts = {name: one for name, one in wanted.items() if one.snapshot or (one.wish and one.wish.query)}
        subscriptions = tuple(_subscription(name, one) for name, one in sorted(parts.items()))
        if self.has_rest:
            without = tuple(sorted(name for name, one in self.choices.items() if one.wish is None))
            return Asked(collections, subscriptions, without)
        return Asked(tuple(sorted(name for name in wanted if name not in parts)), subscriptions)

    def holds(self, collection: str) -> bool:
        """Tell whether anything of a collection is wanted."""
        one = self.choices.get(collection)
        return self.has_rest if one is None else one.wish is not None

    def is_partial(self, collection: str) -> bool:
        """Tell whether not everything of a collection is wanted."""
        one = self.choices.get(collection)
        return not self.holds(collection) or bool(one and one.wish and one.wish.query)

    def new_id(self) -> str:
        """Make an id for a choice."""
        self.count += 1
        return str(self.count)


class Asked(NamedTuple):
    """The members of a request that say what is asked for."""

    collections: tuple[str, ...] | None
    subscriptions: tuple[Subscription, ...] = ()
    without: tuple[str, ...] = ()


SCOPE = ("scope",)

HELD = "held"
"""The space of documents that are not asked for any more, and stay for the changes that wait: (collection, key)."""


def read_scope(text: str | None) -> Scope | None:
    """Read what :meth:`Scope.text` gave; None: everything is wanted."""
    if text is None:
        return None
    stored = loads(text)
    return Scope(stored["rest"], {row[0]: _read_choice(*row[1:]) for row in stored["choices"]}, stored["count"])


async def load_scope(tx: ReadTransaction) -> Scope | None:
    """Read what the replica has chosen; None: everything."""
    return read_scope(await tx.get("meta", SCOPE))


async def is_leaving(tx: ReadTransaction) -> bool:
    """Tell whether something is here that is not wanted any more."""
    scope = await load_scope(tx)
    return scope is not None and any(one.leaves for one in scope.choices.values())


async def choose(
    tx: WriteTransaction,
    wishes: Mapping[str, Wish | None],
    cursor: int,
    collections: tuple[str, ...] | None,
    *,
    is_exact: bool = False,
    is_resync: bool = False,
) -> bool:
    """Choose what is wanted of some collections, a wish of None being nothing; tell whether that is another choice.

    ``is_exact``: nothing is wanted of all others, but for settings. ``cursor`` is where the replica stands, and in a
    full pull (``is_resync``) it does not tell what is here.
    """
    scope = await load_scope(tx) or Scope()
    before = scope.text()
    wanted = dict(wishes)
    if is_exact:
        there = [str(key[0]) for key, _ in await tx.scan("collections")]
        wanted |= dict.fromkeys(name for name in (*scope.choices, *there) if name not in wishes)
        wanted[SETTINGS] = Wish()
    for name, wish in wanted.items():
        old = scope.choices.get(name) or Choice("", Wish() if scope.has_rest else None)
        begins = is_exact and cursor == 0 and not old.sweeps  # snapshots alone will bring what is wanted
        if begins or old.wish != wish:
            scope.choices[name] = _changed(scope, old, wish, 0 if is_resync else cursor)
            for key, _ in await tx.scan("seen", (name,)):
                tx.delete("seen", key)
        else:
            scope.choices[name] = old
    if is_exact:
        scope.has_rest = False
    if cursor == 0 and scope.asked(collections).collections != ():
        for one in scope.choices.values():
            one.snapshot = None  # the feed from its beginning brings all of it
    settle(scope)
    if scope.text() != before:
        tx.put("meta", SCOPE, scope.text())
    return scope.text() != before


def _changed(scope: Scope, old: Choice, wish: Wish | None, cursor: int) -> Choice:
    """Give the choice that comes after another one."""
    if wish is None:
        return Choice(scope.new_id(), None, leaves=True)
    if old.wish is None or cursor == 0 or old.snapshot is not None or old.sweeps:
        return Choice(scope.new_id(), wish, Snapshot(), sweeps=True)
    return Choice(scope.new_id(), wish, Snapshot(None, cursor, Had(*old.wish)))


def settle(scope: Scope) -> None:
    """Forget the choices that are as if there were none."""
    for name, one in list(scope.choices.items()):
        is_usual = one.wish == Wish() if scope.has_rest else one.wish is None
        if is_usual and one.snapshot is None and not one.sweeps and not one.leaves:
            del scope.choices[name]


async def choose_everything(tx: WriteTransaction) -> bool:
    """Want everything again; tell whether something was left out. All of it has to be pulled from the beginning."""
    if await tx.get("meta", SCOPE) is None:
        return False
    tx.delete("meta", SCOPE)
    return True


def begin_again(scope: Scope, collections: tuple[str, ...] | None) -> None:
    """Begin all parts anew, for a replica that pulls everything again and drops what that does not bring."""
    is_alone = scope.asked(collections).collections == ()
    for one in scope.choices.values():
        if one.wish is not None:
            one.snapshot, one.sweeps, one.id = Snapshot() if is_alone else None, False, scope.new_id()


def again(scope: Scope, name: str) -> None:
    """Begin one part anew, because what is here is not what the server has."""
    one = scope.choices[name]
    scope.choices[name] = Choice(scope.new_id(), one.wish, Snapshot(), sweeps=True)


def _subscription(name: str, one: Choice) -> Subscription:
    wish = one.wish or Wish()
    return Subscription(one.id, name, wish.query, wish.bind_vars, one.snapshot)


def _read_choice(id: str, wish: Any, snapshot: Any, sweeps: bool, leaves: bool, after: str | None) -> Choice:
    if snapshot is not None:
        key, until, had = snapshot
        snapshot = Snapshot(key, until, None if had is None else Had(*had))
    return Choice(id, None if wish is None else Wish(*wish), snapshot, sweeps, leaves, after)
