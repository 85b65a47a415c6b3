"""What a server counts for a database: its sequence and clock, its epoch, and where earlier epochs ended."""

from __future__ import annotations

from dataclasses import field

from ..deferred import dataclass
from ..errors import Rejected
from ..values import JSON, dumps, loads
from .ports import Random, ReadTransaction, WriteTransaction


@dataclass(slots=True)
class HubState:
    """What the server counts: its sequence and clock, its epoch, and where earlier epochs ended.

    Everything that was deleted, or known by its op id, up to ``floor`` may be forgotten; the last of that was noted
    at ``forgotten``, a time of the server's clock.
    """

    epoch: str
    head: int = 0
    clock: str = ""
    history: dict[str, int] = field(default_factory=dict)
    floor: int = 0
    forgotten: str = ""

    def text(self) -> str:
        """Give the text that stores it."""
        state: dict[str, JSON] = {
            "epoch": self.epoch,
            "head": self.head,
            "clock": self.clock,
            "history": self.history,
        }
        return dumps(state | ({"floor": self.floor, "forgotten": self.forgotten} if self.floor else {}))


async def load_state(tx: ReadTransaction) -> HubState | None:
    """Read what a database counts, None where it was not opened yet."""
    text = await tx.get("hub", ("state",))
    return None if text is None else HubState(**loads(text))


async def create_state(tx: WriteTransaction, rng: Random) -> None:
    """Give a new storage its epoch."""
    if await load_state(tx) is None:
        tx.put("hub", ("state",), HubState(rng.randbytes(16).hex()).text())


async def begin_epoch(tx: WriteTransaction, rng: Random) -> str:
    """End the epoch where it stands, and give the next one."""
    state = await required_state(tx)
    state.history = {**state.history, state.epoch: state.head}
    state.epoch = rng.randbytes(16).hex()
    tx.put("hub", ("state",), state.text())
    return state.epoch


async def required_state(tx: ReadTransaction) -> HubState:
    """Read what a database counts; raise :class:`Rejected` (404) where it was not opened."""
    state = await load_state(tx)
    if state is None:
        raise Rejected("this database was not opened", status=404, code="unknown_database")
    return state


async def head_of(tx: ReadTransaction) -> int:
    """Give the sequence of the last change."""
    return (await required_state(tx)).head
