"""What a hub in the shadow of a backend takes in and offers, where the two know different moments of each other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pysync_web.core.hub import Hub
from pysync_web.core.ledger import read_entries
from pysync_web.core.records import Accepted, Pulled, Refused, Sent, SyncRecord
from pysync_web.core.shadow import load_state, offer, settle, take_in
from pysync_web.core.wire import decode_request, decode_stored
from pysync_web.storage.memory import MemoryStorage
from pysync_web.values import dumps

rng = random.Random(7)
NOW = 1_800_000_000_000


class Shadow:
    """A hub with one device before it and a backend behind it, whose every step a test chooses."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.hub = Hub(self.storage)
        self.now = NOW

    async def change(self, key: str, body: dict[str, Any] | None) -> None:
        """Let a plain client change a document, knowing the latest version."""
        self.now += 1
        operation = "delete" if body is None else "update"
        change = {"collection": "c", "key": key, "operation": operation, "document": body}
        request = {"client_id": "device", "changes": [change], "version_vector": {"server": 10**9}}
        await self.hub.exchange(decode_request(dumps(request), database="d"), self.now, rng)

    async def pull(self, *records: SyncRecord, generation: int | None = None) -> bool:
        """Take a page in, as if it had been asked for at a generation, by default now."""
        self.now += 1
        if generation is None:
            generation = (await self.storage.read(load_state)).generation
        page = Pulled(records, since=self.now)
        return await self.storage.write(lambda tx: take_in(tx, page, generation, self.now, rng))

    async def offered(self) -> list[SyncRecord]:
        """Offer what there is."""
        return (await self.storage.write(lambda tx: offer(tx, 0, 100, 10**6))).records

    async def settled(self, *sent: Sent) -> list[SyncRecord]:
        """Note what became of records."""
        return await self.storage.write(lambda tx: settle(tx, sent, {}, self.now, rng))

    async def body(self, key: str) -> dict[str, Any] | None:
        """Give a document of the hub."""
        text = await self.storage.read(lambda tx: tx.get("docs", ("c", key)))
        return decode_stored(text).body if text else None


@pytest.fixture
async def shadow() -> Shadow:
    made = Shadow()
    await made.hub.open(rng)
    return made


async def test_a_delete_is_offered_where_the_insert_may_have_arrived(shadow: Shadow):
    await shadow.change("1", {"a": 1})
    assert [record.operation for record in await shadow.offered()] == ["insert"]
    await shadow.change("1", None)
    (record,) = await shadow.offered()
    assert record.operation == "delete"
    await shadow.settled(Sent(record, Accepted(record.id)))
    assert await shadow.offered() == []


async def test_an_edit_that_was_taken_back_is_offered_where_it_may_have_arrived(shadow: Shadow):
    await shadow.pull(SyncRecord("c", "1", document={"a": 1}))
    await shadow.change("1", {"a": 2})
    await shadow.offered()
    await shadow.change("1", {"a": 1})
    assert [record.document for record in await shadow.offered()] == [{"a": 1}]


async def test_a_page_that_was_asked_for_before_a_push_was_taken_is_not_taken_in_after_it(shadow: Shadow):
    await shadow.pull(SyncRecord("c", "1", document={"a": 1}))
    generation = (await shadow.storage.read(load_state)).generation
    await shadow.change("1", {"a": 2})
    (record,) = await shadow.offered()
    await shadow.settled(Sent(record, Accepted(record.id, "2")))
    assert not await shadow.pull(SyncRecord("c", "1", document={"a": 1}), generation=generation)
    assert await shadow.body("1") == {"a": 2}
    assert await shadow.offered() == []


async def test_a_record_that_changed_while_it_was_refused_is_offered_again_as_it_is_now(shadow: Shadow):
    await shadow.change("1", {"a": 13})
    (record,) = await shadow.offered()
    await shadow.change("1", {"a": 1})
    assert await shadow.settled(Sent(record, Refused(record.id, "no"))) == [record]
    assert await shadow.body("1") == {"a": 1}
    assert [one.document for one in await shadow.offered()] == [{"a": 1}]


async def test_a_refused_delete_brings_the_document_back_and_a_refused_insert_takes_it_away(shadow: Shadow):
    await shadow.pull(SyncRecord("c", "1", document={"a": 1}))
    await shadow.change("1", None)
    await shadow.change("2", {"b": 1})
    sent = [Sent(record, Refused(record.id, "no")) for record in await shadow.offered()]
    assert len(sent) == 2 and await shadow.settled(*sent) == []
    assert (await shadow.body("1"), await shadow.body("2")) == ({"a": 1}, None)
    assert await shadow.offered() == []


async def test_a_document_made_on_both_sides_has_the_fields_of_both(shadow: Shadow):
    await shadow.change("1", {"a": 1, "both": "ours"})
    await shadow.pull(SyncRecord("c", "1", document={"b": 2, "both": "theirs"}, timestamp="2020-01-01T00:00:00Z"))
    assert await shadow.body("1") == {"a": 1, "b": 2, "both": "ours"}
    assert [record.document for record in await shadow.offered()] == [{"a": 1, "b": 2, "both": "ours"}]


async def test_a_document_that_was_deleted_and_made_anew_there_has_nothing_of_its_earlier_life(shadow: Shadow):
    await shadow.pull(SyncRecord("c", "1", document={"a": 1}))
    await shadow.pull(SyncRecord("c", "1", "delete"))
    await shadow.pull(SyncRecord("c", "1", document={"b": 1}))
    assert await shadow.body("1") == {"b": 1}
    assert await shadow.offered() == []


async def test_what_would_be_too_large_when_merged_is_in_the_ledger_and_ours_stands(shadow: Shadow):
    halves = {"ours": ["x" * 60_000] * 3, "theirs": ["y" * 60_000] * 3}
    await shadow.change("1", {"a": halves["ours"]})
    await shadow.pull(SyncRecord("c", "1", document={"b": halves["theirs"]}))
    assert await shadow.body("1") == {"a": halves["ours"]}
    (entry,) = await shadow.storage.read(read_entries)
    assert (entry.kind, entry.code, entry.body) == ("rejected", "document_too_large", {"b": halves["theirs"]})


async def test_a_refusal_that_nobody_waits_for_is_in_the_ledger(shadow: Shadow):
    await shadow.change("1", {"a": 1})
    (record,) = await shadow.offered()
    await shadow.settled(Sent(record, Refused(record.id, "no", "why")))
    (entry,) = await shadow.storage.read(read_entries)
    assert (entry.kind, entry.code, entry.message, entry.body) == ("rejected", "why", "no", {"a": 1})
