"""A meeting with another device over a message channel: both ways at once, in chunks that are durable one by one.

It keeps nothing of its own: a meeting that broke is begun again and compares anew, and what is there is equal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from ..clock import now_ms
from ..core.inventory import ROUNDS, Inventory, Row, read_inventory
from ..core.meeting import Shown, encode_shown, is_wanted, show, take_in
from ..core.outbox import Bounds, Name
from ..core.ports import Channel, Key, Storage
from ..core.replica import Event, load_replica
from ..core.talk import (
    CHUNK_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_ROWS,
    WINDOW,
    Ack,
    Alive,
    Documents,
    Done,
    End,
    Hello,
    Listing,
    Message,
    Pause,
    Plan,
    Stage,
    decode_message,
    encode_documents,
    encode_message,
)
from ..errors import SchemaError, SyncError, TransportError, Unreachable
from ..values import dumps
from .hooks import Hooks
from .results import MeetingResult

READ_AT_ONCE: Final = 500
SHOWN_AT_ONCE: Final = 100
CALL_S: Final = 1.0
BUSY_S: Final = 0.1
GOODBYE_S: Final = 1.0


class Meeting:
    """A meeting under way: await it for its :class:`MeetingResult`.

    That raises ``Unreachable`` where the channel broke or the other side fell silent, and ``SchemaError`` where it
    said what can't be understood; what had been taken in by then stays, and the next meeting goes on from there.
    """

    def __init__(
        self,
        channel: Channel,
        storage: Storage,
        rng: Any,
        *,
        collections: Sequence[str],
        bounds: Bounds,
        on_events: Callable[[list[Event]], None],
        on_progress: Hooks,
        timeout_s: float,
    ) -> None:
        self._channel = channel
        self._storage = storage
        self._rng = rng
        self._wanted = frozenset(collections) or None
        self._bounds = bounds
        self._on_events = on_events
        self._on_progress = on_progress
        self._timeout_s = timeout_s
        self._session: str = rng.randbytes(16).hex()
        self._peer: str | None = None
        self._is_accepted = self._has_heard_itself = False
        self._replica = ""
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._heard_at = time.monotonic()
        self._news = asyncio.Event()
        self._chunks = self._acked = 0
        self._sizes: dict[int, int] = {}
        self._rows: list[list[Row]] = [[] for _ in range(ROUNDS)]
        self._rounds_heard = 0
        self._to_send: int | None = None
        self._to_receive: int | None = None
        self._is_peer_done = self._is_through = False
        self._pauses: dict[str, bool] = {"here": False, "there": False}
        self._counts = {"sent": 0, "received": 0, "changed": 0, "conflicts": 0, "ahead": 0, "too_large": 0}
        self._ended_by: str | None = None
        self.task = asyncio.ensure_future(self._run())

    def __await__(self) -> Generator[Any, None, MeetingResult]:
        """Wait for the end; cancelling that cancels the meeting."""
        return self.task.__await__()

    @property
    def is_paused(self) -> bool:
        """Whether either side has paused the meeting."""
        return any(self._pauses.values())

    def pause(self) -> None:
        """Have neither side send documents until :meth:`resume`; what is under way still arrives."""
        self._set_pause(True)

    def resume(self) -> None:
        """End a pause of this side's."""
        self._set_pause(False)

    def cancel(self) -> None:
        """End the meeting on both sides; each gives what was done so far. Nothing happens at or after its end."""
        if not self._is_through and self._ended_by is None:
            self._end("here")

    def _set_pause(self, is_on: bool) -> None:
        self._pauses["here"] = is_on
        if self._peer is not None:
            self._say(Pause(is_on))
        self._news.set()

    def _end(self, who: str) -> None:
        self._ended_by = who
        self._news.set()

    # The course of a meeting

    async def _run(self) -> MeetingResult:
        tasks = [
            asyncio.ensure_future(part) for part in (self._meet(), self._read(), self._write(), self._keep_alive())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            failed = [task.exception() for task in tasks if task.done() and task.exception()]
            if failed and not self._is_through:
                raise failed[0] or SyncError("the meeting failed")
        except BaseException as error:
            await self._stop(tasks)
            await self._say_goodbye(error)
            raise
        await self._stop(tasks)
        if self._ended_by == "here":
            await self._say_goodbye(None)
        return MeetingResult(**self._counts, ended_by=self._ended_by)  # type: ignore[arg-type]

    async def _stop(self, tasks: Sequence[asyncio.Future[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _say_goodbye(self, error: BaseException | None) -> None:
        """Tell the other side why this one leaves, if it can still be told; close what carries garbage."""
        if self._peer is not None and not isinstance(error, TransportError):
            is_cancelled = error is None or isinstance(error, asyncio.CancelledError)
            message = End("cancelled", "") if is_cancelled else End("failed", str(error) or type(error).__name__)
            with suppress(SyncError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._channel.send(encode_message(message, self._session, self._peer))
        if isinstance(error, SchemaError):
            await self._channel.close()

    async def _meet(self) -> None:
        """Find each other, compare, tell the counts, send, and end when both sides have everything."""
        self._replica = await self._storage.read(load_replica)
        await self._find()
        if self._ended_by is not None:
            return
        names = await self._compare()
        self._to_send = len(names)
        self._say(Plan(len(names)))
        await self._until(lambda: self._to_receive is not None)
        self._tell_progress()
        await self._send_documents(names)
        await self._until(lambda: self._acked == self._chunks)
        if self._ended_by is None:
            self._say(Done())
            await self._until(lambda: self._is_peer_done)
        if self._ended_by is None:
            await self._outgoing.join()
            self._is_through = True

    async def _find(self) -> None:
        """Call until somebody came; who accepted and was heard no more has met somebody else meanwhile."""
        while not self._is_accepted and self._ended_by is None:
            self._peer = None
            self._greet("call", None)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(CALL_S, self._timeout_s / 4) * (1 + self._rng.random())):
                    await self._until(lambda: self._is_accepted)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or for the end."""
        while not condition() and self._ended_by is None:
            self._news.clear()
            await self._news.wait()

    async def _compare(self) -> list[Name]:
        """Say what is here, round by round, and give what the other side has not."""
        inventory = Inventory()
        after: Key | None = ()
        while after is not None:
            after = await self._read_some(inventory, after)
        mine: list[list[Row]] = []
        while len(mine) < ROUNDS and self._ended_by is None:
            rows = list(inventory.rows(mine, self._rows))
            await self._send_rows(len(mine), rows)
            mine.append(rows)
            said = len(mine)
            await self._until(lambda: self._rounds_heard >= said)  # noqa: B023 - it is called in this turn only
        return inventory.to_send(mine[-1], self._rows[-1]) if self._ended_by is None else []

    async def _read_some(self, inventory: Inventory, after: Key) -> Key | None:
        found = await self._storage.read(
            lambda tx: read_inventory(tx, inventory, after or None, READ_AT_ONCE, self._wanted)
        )
        await asyncio.sleep(0)
        return found

    async def _send_rows(self, round_: int, rows: Sequence[Row]) -> None:
        pieces = list(_pieces(rows, [len(dumps(row)) for row in rows])) or [[]]
        for i, piece in enumerate(pieces):
            await self._until(self._has_room)
            if self._ended_by is not None:
                return
            n = self._number(0)
            self._say(Listing(n, round_, tuple(piece), i == len(pieces) - 1))

    async def _send_documents(self, names: Sequence[Name]) -> None:
        """Send documents as they are when their turn comes, never more chunks at once than the window has."""
        texts: list[str] = []
        for start in range(0, len(names), SHOWN_AT_ONCE):
            some = names[start : start + SHOWN_AT_ONCE]
            shown = await self._storage.write(lambda tx, some=some: show(tx, some, self._rng))  # type: ignore[misc]
            fitting = [text for text in map(encode_shown, shown) if len(text) < MAX_MESSAGE_CHARS - 1000]
            self._counts["too_large"] += len(shown) - len(fitting)
            texts += fitting
            pieces = list(_pieces(texts, list(map(len, texts))))
            is_last = start + SHOWN_AT_ONCE >= len(names)
            texts = [] if is_last or not pieces else pieces.pop()
            for piece in pieces:
                await self._until(lambda: self._has_room() and not self.is_paused)
                if self._ended_by is not None:
                    return
                n = self._number(len(piece))
                self._send_text(encode_documents(n, piece, self._session, self._peer or ""))

    def _has_room(self) -> bool:
        return self._chunks - self._acked < WINDOW

    def _number(self, documents: int) -> int:
        self._chunks += 1
        self._sizes[self._chunks] = documents
        return self._chunks

    # What goes out

    def _say(self, message: Message) -> None:
        self._send_text(encode_message(message, self._session, self._peer))

    def _greet(self, stage: Stage, to: str | None) -> None:
        self._send_text(encode_message(Hello(stage, self._replica, self._wanted), self._session, to))

    def _send_text(self, text: str) -> None:
        self._outgoing.put_nowait(text)

    async def _write(self) -> None:
        while True:
            text = await self._outgoing.get()
            await self._channel.send(text)
            self._outgoing.task_done()

    async def _keep_alive(self) -> None:
        """Break the silence now and then, and end the meeting when the other side's lasts too long."""
        while True:
            await asyncio.sleep(self._timeout_s / 4)
            if time.monotonic() - self._heard_at > self._timeout_s:
                raise Unreachable(self._silence())
            if self._is_accepted:
                self._say(Alive())

    def _silence(self) -> str:
        """Say what nobody said anything about."""
        if self._is_accepted:
            return (
                f"the other device fell silent for {self._timeout_s:g} s; {self._counts['received']} documents that"
                f" had come and {self._counts['sent']} that had gone stay, the next meeting goes on from there"
            )
        if self._has_heard_itself:
            return (
                "only this replica itself was on the channel: another handle on its database, or a copy of its files,"
                " which becomes a replica of its own when it first syncs with a server"
            )
        return f"no other device came within {self._timeout_s:g} s"

    # What comes in

    async def _read(self) -> None:
        while True:
            try:
                text = await self._channel.receive()
            except Unreachable:
                if self._is_peer_done and self._acked == self._chunks:
                    self._is_through = True
                    return
                raise
            envelope = decode_message(text, self._session)
            if envelope is None:
                continue
            if isinstance(envelope.message, Hello):
                await self._on_hello(envelope.sender, envelope.message)
            elif envelope.sender == self._peer:
                self._heard_at = time.monotonic()
                await self._on_message(envelope.message)
            self._news.set()

    async def _on_hello(self, sender: str, hello: Hello) -> None:
        """Find one other side: who calls gets an offer, who was offered something accepts the first."""
        if hello.replica == self._replica:
            self._has_heard_itself = True
            return
        if self._is_accepted:
            if sender == self._peer and hello.stage == "busy":
                raise Unreachable("the other device meets somebody else: try again")
            if sender != self._peer and hello.stage in ("offer", "accept"):
                self._greet("busy", sender)
            return
        match hello.stage:
            case "call":
                if self._peer is None:
                    self._greet("offer", sender)
            case "busy":
                if sender == self._peer:
                    self._peer = None
                    await asyncio.sleep(BUSY_S * self._rng.random())
                    self._greet("call", None)
            case _:
                self._on_offer(sender, hello)

    def _on_offer(self, sender: str, hello: Hello) -> None:
        if self._peer is None:
            self._peer = sender
            self._greet("accept", sender)
        elif self._peer != sender:
            self._greet("busy", sender)
            return
        if hello.stage == "accept":
            self._is_accepted = True
            self._heard_at = time.monotonic()
            if hello.collections is not None:
                self._wanted = hello.collections if self._wanted is None else self._wanted & hello.collections
            if self._pauses["here"]:
                self._say(Pause(True))

    async def _on_message(self, message: Message) -> None:
        match message:
            case Listing(n, round_, rows, is_last):
                self._on_rows(round_, rows, is_last)
                self._say(Ack(n))
            case Plan(documents):
                self._to_receive = documents
            case Documents(n, documents):
                await self._take(documents)
                self._say(Ack(n))
                self._tell_progress()
            case Ack(n):
                self._on_ack(n)
            case Pause(is_on):
                self._pauses["there"] = is_on
            case Done():
                self._is_peer_done = True
            case End(cause, reason):
                if cause == "failed":
                    raise SyncError(f"the other device ended the meeting: {reason}")
                self._end("there")

    def _on_rows(self, round_: int, rows: Iterable[Row], is_last: bool) -> None:
        if round_ != self._rounds_heard:
            raise SchemaError(f"round {round_ + 1} was not due", place="message.round")
        self._rows[round_] += rows
        self._rounds_heard += is_last

    def _on_ack(self, n: int) -> None:
        if n != self._acked + 1 or n > self._chunks:
            raise SchemaError(f"chunk {n} was not to be acknowledged", place="message.n")
        self._acked = n
        if documents := self._sizes.pop(n):
            self._counts["sent"] += documents
            self._tell_progress()

    async def _take(self, documents: Sequence[Shown]) -> None:
        """Take in a chunk; when this returns it is durable."""
        for shown in documents:
            if not is_wanted(shown.collection, self._wanted):
                raise SchemaError(f"the collection {shown.collection} was not asked for", place="message.documents")
        intake = await self._storage.write(lambda tx: take_in(tx, documents, now_ms(), self._rng, self._bounds))
        self._counts["received"] += intake.taken
        for name in ("changed", "conflicts", "ahead"):
            self._counts[name] += getattr(intake, name)
        self._on_events(intake.events)

    def _tell_progress(self) -> None:
        if self._on_progress and self._to_send is not None and self._to_receive is not None:
            done = self._counts["sent"] + self._counts["received"] + self._counts["ahead"]
            self._on_progress.call(done, max(done, self._to_send + self._to_receive))


def _pieces(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """Split items into lists of about one chunk each."""
    piece: list[Any] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if piece and (total + size > CHUNK_CHARS or len(piece) >= MAX_ROWS):
            yield piece
            piece, total = [], 0
        piece.append(item)
        total += size
    if piece:
        yield piece
