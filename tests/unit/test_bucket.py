"""Binary values that sync: every length comes back as it went in, once in storage, and never with a piece missing."""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import pytest

import pysync_web as ps
from pysync_web.core.hub import Hub
from pysync_web.manager.chunks import CHUNK_BYTES, CHUNKS
from pysync_web.storage.memory import MemoryStorage

numbers = itertools.count()
MIB = 1024 * 1024
Opener = Callable[..., Awaitable[ps.SyncManager]]


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
async def hub() -> Hub:
    made = Hub(MemoryStorage())
    await made.open(random.SystemRandom())
    return made


@pytest.fixture
async def opener(hub: Hub) -> AsyncIterator[Opener]:
    opened: list[ps.SyncManager] = []

    async def open_one(**options: object) -> ps.SyncManager:
        chosen = {"auto_sync": False, "engine": ps.StorageEngine.MEMORY, **options}
        name = f"bucket-{next(numbers)}"
        opened.append(await ps.open(name, server=ps.LocalTransport(hub), **chosen))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for manager in opened:
        await manager.close()


async def synced(*devices: ps.SyncManager) -> None:
    for device in devices:
        result = await device.sync_now()
        assert result.success, result.errors


async def in_parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def chunk_count(device: ps.SyncManager) -> int:
    return (await device.statistics()).collections.get(CHUNKS, 0)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, MIB - 1, MIB, MIB + 1])
async def test_every_length_comes_back_as_it_went_in_here_and_on_another_device(opener: Opener, size: int):
    one, two = await opener(), await opener()
    data = content(size)
    written = await one.bucket("files").write("a.bin", data)
    assert (written.size, written.sha256) == (size, sha256(data).hexdigest())
    assert written.chunks == -(-size // CHUNK_BYTES)
    assert await one.bucket("files").read("a.bin") == data
    await synced(one, two)
    assert await two.bucket("files").read("a.bin") == data
    assert await two.bucket("files").info("a.bin") == written == ps.BucketEntry.from_json(written.to_json())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_all_kinds_of_bytes_and_streams_of_any_parts_are_the_same_value(opener: Opener, kind: type):
    bucket = (await opener()).bucket("files")
    data = content(300_001)
    entry = await bucket.write("plain", kind(data))
    streamed = await bucket.write("streamed", in_parts(data, 777))
    assert (streamed.sha256, streamed.chunks) == (entry.sha256, entry.chunks)
    assert b"".join([piece async for piece in bucket.open("streamed")]) == data


async def test_what_is_no_bytes_is_refused_and_a_stream_that_breaks_leaves_what_was_there(opener: Opener):
    bucket = (await opener()).bucket("files")
    await bucket.write("a", b"before")
    for wrong in ("text", 7, [b"x"]):
        with pytest.raises(ps.InvalidDocument):
            await bucket.write("a", wrong)  # type: ignore[arg-type]

    async def broken() -> AsyncIterator[bytes]:
        yield content(CHUNK_BYTES)
        raise OSError("the card was pulled out")

    with pytest.raises(OSError, match="card"):
        await bucket.write("a", broken())
    assert await bucket.read("a") == b"before"


async def test_keys_info_and_delete(opener: Opener):
    device = await opener()
    bucket = device.bucket("files")
    for key in ("a/1", "a/2", "b/1"):
        await bucket.write(key, key.encode())
    assert await bucket.keys() == ["a/1", "a/2", "b/1"]
    assert await bucket.keys("a/") == ["a/1", "a/2"]
    assert await bucket.delete("a/1") and not await bucket.delete("a/1")
    assert await bucket.keys("a/") == ["a/2"]
    assert await bucket.info("a/1") is None
    for read in (bucket.read("a/1"), anext(bucket.open("a/1"))):
        with pytest.raises(KeyError):
            await read
    assert await device.bucket("other").keys() == []


async def test_reserved_collections_are_shown_only_when_asked_for(opener: Opener):
    device = await opener()
    await device.save_document("notes", "1", {"a": 1})
    await device.bucket("files").write("a", b"x")
    assert await device.list_collections() == ["notes"]
    assert await device.list_collections(include_reserved=True) == ["_bucket_files", CHUNKS, "notes"]


async def test_a_manager_of_chosen_collections_says_what_a_bucket_needs(opener: Opener):
    device = await opener(collections=("notes",))
    with pytest.raises(ps.InvalidDocument, match="_chunks"):
        device.bucket("files")
    device = await opener(collections=("notes", CHUNKS, "_bucket_files"))
    await device.bucket("files").write("a", b"x")
    assert await device.bucket("files").read("a") == b"x"


async def test_the_same_content_is_stored_once_and_sent_once(opener: Opener):
    one, two = await opener(), await opener()
    data = content(5 * CHUNK_BYTES)
    await one.bucket("files").write("a", data)
    await one.bucket("files").write("b", data)
    await one.bucket("more").write("c", data[: 2 * CHUNK_BYTES] + content(CHUNK_BYTES, 1))
    assert await chunk_count(one) == 6
    await synced(one, two)
    size = 0

    class Measured(ps.LocalTransport):
        async def exchange(self, database: str, body: str) -> str:
            nonlocal size
            size += len(body)
            return await super().exchange(database, body)

    two._client = Measured(two._client._hub)  # type: ignore[union-attr]
    await two.bucket("files").write("again", data)
    await synced(two)
    assert await chunk_count(two) == 6
    assert size < CHUNK_BYTES / 4, "what is there already is not sent again"


async def test_a_piece_that_was_changed_is_found_out(opener: Opener):
    device = await opener()
    bucket = device.bucket("files")
    await bucket.write("a", content(CHUNK_BYTES + 5))
    name = sha256(content(CHUNK_BYTES + 5)[CHUNK_BYTES:]).hexdigest()
    await device.save_document(CHUNKS, name, {"data": [base64.b64encode(b"other").decode()]})
    got = []
    with pytest.raises(ps.CorruptData):
        async for piece in bucket.open("a"):
            got.append(len(piece))  # noqa: PERF401 - what came before the error counts
    assert got == [CHUNK_BYTES], "what is not what it was is never handed out"
    await device.save_document(CHUNKS, name, {"data": ["###"]})
    with pytest.raises(ps.CorruptData):
        await bucket.read("a")


async def test_an_entry_that_does_not_fit_its_pieces_is_found_out(opener: Opener):
    device = await opener()
    bucket = device.bucket("files")
    await bucket.write("a", b"one")
    name = sha256(b"one").hexdigest()
    for file in ([4, name, [name]], [3, name[::-1], [name]], ["?"], None):
        await device.save_document(bucket.collection, "a", {"file": file})
        with pytest.raises(ps.CorruptData):
            await bucket.read("a")


async def test_a_value_over_the_limit_is_refused_and_what_was_there_stands(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pysync_web.manager.bucket.MOST_CHUNKS", 2)
    bucket = (await opener()).bucket("files")
    await bucket.write("a", content(2 * CHUNK_BYTES))
    with pytest.raises(ps.InvalidDocument, match="limit"):
        await bucket.write("a", content(2 * CHUNK_BYTES + 1))
    assert await bucket.read("a") == content(2 * CHUNK_BYTES)


async def test_an_entry_whose_pieces_have_not_come_says_so_or_waits(opener: Opener):
    one, two = await opener(), await opener()
    data = content(CHUNK_BYTES * 2)
    await one.bucket("files").write("a", data)
    entry = await one.get_document("_bucket_files", "a")
    assert entry is not None
    await two.save_document("_bucket_files", "a", {"file": entry["file"]})
    bucket = two.bucket("files")
    assert (await bucket.info("a")) is not None
    with pytest.raises(ps.ContentMissing, match="piece 1 of 2"):
        await bucket.read("a")
    began = asyncio.get_running_loop().time()
    with pytest.raises(ps.ContentMissing):
        await bucket.read("a", timeout_s=0.05)
    assert asyncio.get_running_loop().time() - began >= 0.04
    waiting = asyncio.ensure_future(bucket.read("a", timeout_s=30))
    await asyncio.sleep(0)
    await synced(one, two)
    assert await waiting == data


async def test_two_writes_of_one_key_never_mix(opener: Opener):
    one, two = await opener(), await opener()
    await one.bucket("files").write("a", b"begin")
    await synced(one, two)
    first, second = content(CHUNK_BYTES + 1, 1), b"BEGIN"
    await two.bucket("files").write("a", first)
    await one.bucket("files").write("a", second)
    await synced(one, two, one, two)
    assert await one.bucket("files").read("a") == await two.bucket("files").read("a")
    assert await one.bucket("files").read("a") in (first, second)


async def test_pieces_that_nothing_refers_to_are_collected_after_a_grace_and_others_stay(opener: Opener):
    one, two = await opener(), await opener()
    data, kept = content(2 * CHUNK_BYTES), content(CHUNK_BYTES, 5)
    await one.bucket("files").write("a", data)
    await one.bucket("files").write("b", data[:CHUNK_BYTES] + kept)
    await one.bucket("files").delete("a")
    await asyncio.sleep(0.002)
    assert await one.collect_chunks() == 0, "all of it was used today"
    assert await one.collect_chunks(grace_s=0) == 1
    assert await one.bucket("files").read("b") == data[:CHUNK_BYTES] + kept
    await synced(one, two)
    assert await chunk_count(two) == await chunk_count(one) == 2
    assert await two.bucket("files").read("b") == data[:CHUNK_BYTES] + kept


async def test_nothing_is_collected_by_one_who_does_not_know_what_others_wrote(opener: Opener):
    device = await opener()
    await device.bucket("files").write("a", b"x")
    await device.bucket("files").delete("a")
    device.set_online(False)
    await asyncio.sleep(0.002)
    assert await device.collect_chunks(grace_s=0) == 0


@pytest.mark.parametrize("strategy", list(ps.ConflictStrategy))
@pytest.mark.parametrize("first", ["collector", "writer"])
@pytest.mark.parametrize("had_it", [True, False])
async def test_a_piece_that_another_device_writes_anew_survives_its_collection(
    opener: Opener, strategy: ps.ConflictStrategy, first: str, had_it: bool
):
    collector = await opener(conflict_strategy=strategy)
    writer = await opener(conflict_strategy=strategy)
    reader = await opener(conflict_strategy=strategy)
    data = content(3 * CHUNK_BYTES)
    await collector.bucket("files").write("old", data)
    await collector.bucket("files").delete("old")
    await synced(collector)
    if had_it:
        await synced(writer, reader)
    await writer.bucket("files").write("new", data)
    await asyncio.sleep(0.002)
    if first == "writer":
        collected = await collected_unsynced(collector)
        await synced(writer, collector)
    else:
        collected = await collector.collect_chunks(grace_s=0)
        await synced(collector, writer)
    assert collected == 3
    await synced(collector, writer, reader, collector)
    for device in (collector, writer, reader):
        assert await device.bucket("files").read("new") == data


async def collected_unsynced(device: ps.SyncManager) -> int:
    """Collect as a device does whose sync before has just ended, and whose next has not begun."""
    client, device._client = device._client, None
    try:
        return await device.collect_chunks(grace_s=0)
    finally:
        device._client = client


@pytest.mark.parametrize("had_it", [True, False])
async def test_a_piece_sent_long_before_its_entry_survives_its_collection(opener: Opener, had_it: bool):
    collector, writer = await opener(), await opener()
    data = content(2 * CHUNK_BYTES)
    if had_it:
        await collector.bucket("files").write("old", data)
        await collector.bucket("files").delete("old")
        await synced(collector, writer)

    async def slowly() -> AsyncIterator[bytes]:
        yield data
        await synced(writer, collector)  # the pieces are sent, the entry is not written yet

    await writer.bucket("files").write("new", slowly())
    await asyncio.sleep(0.002)
    assert await collected_unsynced(collector) == 2
    await synced(collector, writer, collector)
    for device in (collector, writer):
        assert await device.bucket("files").read("new") == data


@pytest.mark.native
async def test_twenty_mebibytes_stream_through_a_file_without_ever_being_in_memory_as_a_whole(tmp_path: Path):
    import tracemalloc

    total = 20 * MIB
    digest = sha256()

    async def parts() -> AsyncIterator[bytes]:
        for i in range(total // 65536):
            part = content(65536, i)
            digest.update(part)
            yield part

    async with await ps.open(str(tmp_path / "files.db")) as device:
        bucket = device.bucket("files")
        tracemalloc.start()
        try:
            entry = await bucket.write("big", parts())
            found, size = sha256(), 0
            async for piece in bucket.open("big"):
                found.update(piece)
                size += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (size, found.hexdigest()) == (total, digest.hexdigest()) == (entry.size, entry.sha256)
    assert peak < 6 * MIB, peak


@pytest.mark.native
async def test_values_pass_through_a_real_server_to_a_file_elsewhere(tmp_path: Path):
    from tests.unit.server_process import ServerProcess

    server = ServerProcess(tmp_path / "data").start()
    try:
        one = await ps.open(str(tmp_path / "one.db"), server=server.url, token=server.token, auto_sync=False)
        two = await ps.open(str(tmp_path / "two.db"), server=server.url, token=server.token, auto_sync=False)
        async with one, two:
            data = content(3 * MIB + 1)
            await one.bucket("files").write("a", in_parts(data, 100_000))
            await synced(one, two)
            assert await two.bucket("files").read("a") == data
    finally:
        server.kill()
