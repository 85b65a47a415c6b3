"""CRDT values in documents, as an application changes them: each call is one durable write that never conflicts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .. import crdt
from ..core.fields import field_path, state_at
from ..core.optimistic import View
from ..core.recorded import Deed, Join
from ..core.replica import Write
from ..crdt import Add, Assign, Discard, Increment, Operation, Remove, Update
from ..errors import InvalidDocument
from ..values import JSON, check_collection, check_key


class CrdtFields:
    """The CRDT values of a manager's documents.

    A field is named as in queries: ``address.visits`` lies deeper. A value begins with its first change, and so does
    its document. Where something else is there already, :class:`InvalidDocument` says what.
    """

    def __init__(
        self,
        write: Callable[[Write], Awaitable[View | None]],
        read: Callable[[str, str], Awaitable[View | None]],
    ) -> None:
        self._write = write
        self._read = read

    async def change(self, collection: str, key: str, field: str, kind: str, operation: Operation | Join) -> JSON:
        """Apply any operation of :mod:`pysync_web.crdt` to the value of a kind, and give what it shows then."""
        path = field_path(field)
        write = Write(check_collection(collection), check_key(key), None, deed=Deed(path, kind, operation))
        return _shown(await self._write(write), path)

    async def increment(self, collection: str, key: str, field: str, amount: int) -> int:
        """Add to a ``pn_counter``; give its value."""
        return await self.change(collection, key, field, "pn_counter", Increment(amount)) or 0

    async def assign(self, collection: str, key: str, field: str, value: JSON) -> None:
        """Set an ``lww_register``: the latest assignment stands, whatever else happens to the document."""
        await self.change(collection, key, field, "lww_register", Assign(value, ""))

    async def add(self, collection: str, key: str, field: str, element: JSON, kind: str) -> None:
        """Add an element to a set."""
        await self.change(collection, key, field, kind, Add(element))

    async def remove(self, collection: str, key: str, field: str, element: JSON) -> None:
        """Take an element out of an ``or_set``."""
        await self.change(collection, key, field, "or_set", Remove(element))

    async def put(self, collection: str, key: str, field: str, name: str, value: JSON) -> None:
        """Set a name of an ``or_map`` to a value, which is an ``lww_register`` there."""
        await self.change(collection, key, field, "or_map", Update(name, "lww_register", Assign(value, "")))

    async def discard(self, collection: str, key: str, field: str, name: str) -> None:
        """Take a name out of an ``or_map``."""
        await self.change(collection, key, field, "or_map", Discard(name))

    async def value(self, collection: str, key: str, field: str) -> JSON:
        """Give what a CRDT value shows, None where there is none."""
        return _shown(await self._read(check_collection(collection), check_key(key)), field_path(field))

    async def state(self, collection: str, key: str, field: str) -> crdt.State | None:
        """Give a CRDT value's whole state, as JSON, None where there is none."""
        view = await self._read(check_collection(collection), check_key(key))
        return state_at(view.body, field_path(field)) if view else None

    async def join(self, collection: str, key: str, field: str, state: JSON) -> JSON:
        """Take in a state that :meth:`state` gave, here or elsewhere, now or long ago; give what is shown then.

        Raises :class:`SchemaError` where it is none.
        """
        checked = crdt.check(state)
        return await self.change(collection, key, field, checked[crdt.MARK], Join(checked))


def _shown(view: View | None, path: tuple[str, ...]) -> JSON:
    state = state_at(view.body, path) if view else None
    return None if state is None else crdt.value(state)


def checked_amount(amount: object) -> int:
    """Return an amount that is an integer from 0 on, or raise :class:`InvalidDocument`."""
    if type(amount) is not int or amount < 0:
        raise InvalidDocument(f"an amount is an integer from 0 on, not {amount!r:.40}")
    return amount
