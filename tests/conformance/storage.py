"""What every storage promises, as coroutines that need no pytest: hand any of them an empty place.

They hold for all backends alike, natively and inside a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from pysync_web.core.ports import Key, ReadTransaction, Storage, Touched, WriteTransaction
from pysync_web.errors import InvalidDocument, StorageError, TransactionError

PATIENCE_S = 30
SPACE = "meta"
"""One of the core's own spaces: a storage may keep some of their records at hand, and still promises the same."""


class Place(Protocol):
    """Where one database is; empty at first."""

    is_durable: bool
    """Whether it outlives its handles."""

    async def open(self) -> Storage:
        """Give another handle on the database, as another tab or process would have it."""
        ...


Check = Callable[[Place], Coroutine[Any, Any, None]]


# Reading and writing


async def check_what_was_written_is_read(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("a",), '{"n":1}')
    assert await get(storage, ("a",)) == '{"n":1}'
    assert await get(storage, ("b",)) is None
    assert await get(storage, ("a",), space="another") is None
    await put(storage, ("a",), '"é\U0001f600"')
    assert await get(storage, ("a",)) == '"é\U0001f600"'


async def check_a_write_gives_its_bodys_result(place: Place) -> None:
    storage = await place.open()

    async def body(tx: WriteTransaction) -> int:
        tx.put(SPACE, ("a",), "1")
        return 7

    assert await storage.write(body) == 7
    assert await storage.write(body, relaxed=True) == 7
    assert await get(storage, ("a",)) == "1"


async def check_a_transaction_sees_its_own_writes(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("kept",), "1")
    await put(storage, ("gone",), "2")

    async def body(tx: WriteTransaction) -> list[Any]:
        tx.put(SPACE, ("new",), "3")
        tx.delete(SPACE, ("gone",))
        tx.put(SPACE, ("twice",), "4")
        tx.put(SPACE, ("twice",), "5")
        keys: list[Key] = [("kept",), ("gone",), ("new",), ("twice",), ("never",)]
        return [[await tx.get(SPACE, key) for key in keys], await tx.get_many(SPACE, keys)]

    seen = ["1", None, "3", "5", None]
    assert await storage.write(body) == [seen, seen]
    assert await scan(storage) == [(("kept",), "1"), (("new",), "3"), (("twice",), "5")]


async def check_a_scan_sees_its_transactions_own_writes(place: Place) -> None:
    storage = await place.open()
    await put_all(storage, {("p", n): str(n) for n in range(0, 10, 2)})

    async def body(tx: WriteTransaction) -> list[Any]:
        tx.put(SPACE, ("p", 3), "own")
        tx.put(SPACE, ("p", 4), "changed")
        tx.delete(SPACE, ("p", 6))
        tx.delete(SPACE, ("p", 100))
        tx.put(SPACE, ("q", 0), "elsewhere")
        tx.put("another", ("p", 5), "elsewhere")
        first = await tx.scan(SPACE, ("p",), after=("p", 0), limit=3)
        tx.delete(SPACE, ("p", 3))
        return [first, await tx.scan(SPACE, ("p",), limit=3, reverse=True), await tx.scan(SPACE, ("p",))]

    first, last, every = await storage.write(body)
    assert first == [(("p", 2), "2"), (("p", 3), "own"), (("p", 4), "changed")]
    assert last == [(("p", 8), "8"), (("p", 4), "changed"), (("p", 2), "2")]
    assert every == [(("p", 0), "0"), (("p", 2), "2"), (("p", 4), "changed"), (("p", 8), "8")]
    assert await scan(storage, ("p",)) == every


async def check_a_transaction_names_what_it_wrote(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("b",), "1")

    async def body(tx: WriteTransaction) -> None:
        assert set(tx.written(SPACE)) == set()
        tx.put(SPACE, ("a",), "1")
        tx.delete(SPACE, ("b",))
        assert [key for key, _ in await tx.scan(SPACE)] == [("a",)]
        tx.put(SPACE, ("c",), "1")
        tx.put("other", ("d",), "1")
        assert set(tx.written(SPACE)) == {("a",), ("b",), ("c",)}
        assert set(tx.written("nothing")) == set()

    await storage.write(body)


async def check_a_write_is_seen_once_it_is_committed_and_ever_after(place: Place) -> None:
    storage, other = await place.open(), await place.open()
    await put(storage, ("a",), "before")

    async def body(tx: WriteTransaction, text: str) -> None:
        tx.put(SPACE, ("a",), text)
        await tx.scan(SPACE)
        if text == "never":
            raise KeyError("on purpose")

    async def follow(handle: Storage, seen: list[str | None]) -> None:
        while not writing.done():
            seen.append(await get(handle, ("a",)))
            await asyncio.sleep(0)

    own: list[str | None] = []
    others: list[str | None] = []
    bodies = [storage.write(lambda tx, text=text: body(tx, text)) for text in ("never", "after", "never")]
    writing = asyncio.ensure_future(asyncio.gather(*bodies, return_exceptions=True))
    await asyncio.gather(writing, follow(storage, own), follow(other, others))
    for seen in (own, others):
        in_order = [text for text in (None, "before", "after") for _ in range(seen.count(text))]
        assert seen == in_order and (seen is others or None not in seen), seen
    assert await get(storage, ("a",)) == "after"
    await until(lambda: is_there(other, ("a",), "after"))


async def check_deleting_what_is_not_there_does_nothing(place: Place) -> None:
    storage = await place.open()
    await storage.write(lambda tx: delete_in(tx, ("a",)))
    assert await scan(storage) == []
    await put(storage, ("a",), "1")
    await storage.write(lambda tx: delete_in(tx, ("a",)))
    assert await get(storage, ("a",)) is None and await scan(storage) == []


async def check_a_large_text_comes_back(place: Place) -> None:
    storage = await place.open()
    ascii, wide = f'"{"x" * 3_000_000}"', f'"{"é€😀" * 100_000}"'
    await put(storage, ("ascii",), ascii)
    await put(storage, ("wide",), wide)
    await put(storage, ("small",), "1")
    if place.is_durable:
        await storage.close()
        storage = await place.open()
    assert await get(storage, ("ascii",)) == ascii
    assert await get(storage, ("wide",)) == wide
    assert await get(storage, ("small",)) == "1"
    assert await exchange(storage, ("small",), wide) == "1"
    assert await exchange(storage, ("small",), "2") == wide
    assert await exchange(storage, ("small",), ascii) == "2"


async def check_many_spaces_stay_apart(place: Place) -> None:
    storage = await place.open()

    async def fill(tx: WriteTransaction) -> None:
        for n in range(200):
            for m in range(5):
                tx.put(f"space {n}", ("k", m), f"{n * m}")

    await storage.write(fill)
    for n in (0, 7, 199):
        assert await scan(storage, ("k",), space=f"space {n}") == [(("k", m), str(n * m)) for m in range(5)]


async def check_a_numbers_text_stays_as_it_is(place: Place) -> None:
    storage = await place.open()
    texts = ["1.0", "1", str(2**53 + 1), str(2**60), "1e400", "-0.0", "null", "true", '""', "{}"]
    await put_all(storage, {(n,): text for n, text in enumerate(texts)})
    if place.is_durable:
        await storage.close()
        storage = await place.open()
    assert [text for _, text in await scan(storage)] == texts


# Keys


async def check_texts_in_keys_sort_by_code_point(place: Place) -> None:
    storage = await place.open()
    texts = ["", "\x01", "\n", "\x1d\x1e\x1f", " ", "A", "Z", "a", "a b", "aa", "é", "\ud7ff", "\ue000"]
    texts += ["\uffff", "\U00010000", "\U0010ffff"]
    await put_all(storage, {(text, "x"): str(n) for n, text in reversed(list(enumerate(texts)))})
    assert [key for key, _ in await scan(storage)] == [(text, "x") for text in texts]
    assert [text for _, text in await scan(storage, reverse=True)] == [str(n) for n in reversed(range(len(texts)))]
    for text in texts:
        assert len(await scan(storage, (text,))) == 1, repr(text)
    if place.is_durable:
        await storage.close()
        storage = await place.open()
        assert [key for key, _ in await scan(storage)] == [(text, "x") for text in texts]


async def check_integers_in_keys_sort_by_value(place: Place) -> None:
    storage = await place.open()
    numbers = [-(2**63) + 1, -(2**53) - 1, -(2**53), -256, -1, 0, 1, 9, 10, 255, 256, 2**53, 2**53 + 1, 2**63 - 1]
    await put_all(storage, {("n", number): str(number) for number in reversed(numbers)})
    assert await scan(storage) == [(("n", number), str(number)) for number in numbers]
    assert await get(storage, ("n", 2**53)) == str(2**53)
    if place.is_durable:
        await storage.close()
        storage = await place.open()
        assert await scan(storage) == [(("n", number), str(number)) for number in numbers]


async def check_keys_sort_part_by_part(place: Place) -> None:
    storage = await place.open()
    keys: list[Key] = [("a",), ("a", 1), ("a", 1, "x"), ("a", 2), ("a ",), ("a ", 0), ("ab", 0), ("b",)]
    await put_all(storage, {key: str(n) for n, key in reversed(list(enumerate(keys)))})
    assert [key for key, _ in await scan(storage)] == keys
    assert [key for key, _ in await scan(storage, ("a",))] == keys[:4]
    assert [key for key, _ in await scan(storage, ("a", 1))] == keys[1:3]


async def check_a_key_that_cant_be_stored_is_refused(place: Place) -> None:
    storage = await place.open()
    for key in ((), ("nul \x00",), ("\ud800",), (2**63,), (-(2**63),), (1.5,), (True,), (None,)):
        try:
            await put(storage, key, "1")  # type: ignore[arg-type]
        except InvalidDocument as error:
            assert "key" in str(error)
        else:
            raise AssertionError(f"{key!r} was stored")
    assert await scan(storage) == []


# Scans


async def check_a_scan_has_its_bounds(place: Place) -> None:
    storage = await place.open()
    await put_all(storage, {(space, n): f"{n}" for space in ("a", "b", "c") for n in range(20)})

    async def numbers(*args: Any, **options: Any) -> list[int]:
        return [key[1] for key, _ in await scan(storage, *args, **options)]  # type: ignore[misc]

    assert await numbers(("b",)) == list(range(20))
    assert await numbers(("b",), reverse=True) == list(range(19, -1, -1))
    assert await numbers(("b",), limit=3) == [0, 1, 2]
    assert await numbers(("b",), limit=3, reverse=True) == [19, 18, 17]
    assert await numbers(("b",), after=("b", 16)) == [17, 18, 19]
    assert await numbers(("b",), after=("b", 3), reverse=True) == [2, 1, 0]
    assert await numbers(("b",), after=("b", 3), limit=2) == [4, 5]
    assert await numbers(("b",), after=("b", 3), limit=2, reverse=True) == [2, 1]
    assert await numbers(("b",), after=("a", 3), limit=1) == [0]
    assert await numbers(("b",), after=("c", 3), limit=1, reverse=True) == [19]
    assert await numbers(("b",), after=("c", 3)) == []
    assert await numbers(("b",), after=("a", 3), reverse=True) == []
    assert await numbers(("b",), after=("b", 19)) == []
    assert await numbers(("b",), after=("b", -5)) == list(range(20))
    assert await numbers(("b",), limit=0) == []
    assert await numbers(("b",), after=("b",)) == list(range(20))
    assert len(await numbers()) == 60
    assert await numbers(after=("b", 19), limit=1) == [0]


async def check_keys_are_in_order_name_by_name(place: Place) -> None:
    storage = await place.open()
    pairs: dict[Key, str] = {(f"c{n % 3}", f"{n * 7919 % 101:x}é"): f"{n}" for n in range(100)}
    of_numbers: dict[Key, str] = {("c1", n * 7919 % 101): f"{n}" for n in range(100)}
    mixed: dict[Key, str] = {("c", n % 5, f"{n * 7919 % 101}"): f"{n}" for n in range(50)} | {("b", "x"): "1"}
    for space, records in (("pairs", pairs), ("numbers", of_numbers), ("mixed", mixed)):
        await put_all(storage, records, space=space)
        assert await scan(storage, space=space) == sorted(records.items())
    assert await scan(storage, ("c1",), space="pairs", reverse=True) == sorted(
        (record for record in pairs.items() if record[0][0] == "c1"), reverse=True
    )


async def check_scanning_nothing_gives_nothing(place: Place) -> None:
    storage = await place.open()
    assert await scan(storage) == []
    assert await scan(storage, ("a",), after=("a", 1), limit=5, reverse=True) == []
    await put_all(storage, {("a", "x"): "1", ("c", "x"): "2"})
    assert await scan(storage, ("b",)) == []
    assert await scan(storage, ("a", "x", "y")) == []
    assert await scan(storage, space="another") == []


async def check_a_scan_follows_many_small_changes(place: Place) -> None:
    storage = await place.open()
    model: dict[Key, str] = {}
    for n in range(300):
        key: Key = ("k", n * 7919 % 101)
        if n % 3:
            model[key] = str(n)
            await put(storage, key, str(n))
        else:
            model.pop(key, None)
            await storage.write(lambda tx, key=key: delete_in(tx, key))
        if n % 20 == 0:
            assert await scan(storage) == sorted(model.items())
    assert await scan(storage) == sorted(model.items())


# Bodies


async def check_a_body_that_raises_leaves_no_trace(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("a",), "before")

    async def body(tx: WriteTransaction) -> None:
        tx.put(SPACE, ("a",), "after")
        await tx.scan(SPACE)
        tx.put(SPACE, ("b",), "new")
        raise KeyError("on purpose")

    await expect(KeyError, storage.write(body))
    await expect(KeyError, storage.write(body, relaxed=True))
    assert await scan(storage) == [(("a",), "before")]
    await put(storage, ("c",), "next")
    assert len(await scan(storage)) == 2
    if place.is_durable:
        await storage.close()
        assert len(await scan(await place.open())) == 2


async def check_a_body_that_hides_what_cant_be_stored_fails_too(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("a",), "1")

    async def body(tx: WriteTransaction) -> None:
        tx.put(SPACE, ("a",), "2")
        tx.put(SPACE, ("no\0key",), "2")
        with contextlib.suppress(InvalidDocument):
            await tx.scan(SPACE)

    await expect(InvalidDocument, storage.write(body))
    assert await exchange(storage, ("a",), "3") == "1"
    assert await scan(storage) == [(("a",), "3")]


async def check_awaiting_something_foreign_fails_inside_the_body(place: Place) -> None:
    storage = await place.open()
    noticed = []

    async def foreign(tx: Any) -> None:
        await tx.get(SPACE, ("a",))
        try:
            await asyncio.sleep(0.001)
        except TransactionError as error:
            noticed.append(str(error))
            raise

    async def writing(tx: WriteTransaction) -> None:
        tx.put(SPACE, ("a",), "1")
        await foreign(tx)

    await expect(TransactionError, storage.read(foreign))
    await expect(TransactionError, storage.write(writing))
    assert len(noticed) >= 2 and "await" in noticed[0]
    assert await scan(storage) == []


async def check_a_body_that_hides_its_foreign_await_fails_too(place: Place) -> None:
    storage = await place.open()

    async def body(tx: Any) -> None:
        tx.put(SPACE, ("a",), "1")
        for _ in range(2):
            with contextlib.suppress(TransactionError):
                await asyncio.sleep(0)

    await expect(TransactionError, storage.write(body))
    assert await scan(storage) == []


async def check_a_body_may_not_begin_a_transaction(place: Place) -> None:
    storage = await place.open()

    async def body(tx: Any) -> None:
        await put(storage, ("inner",), "1")

    async def reading(tx: Any) -> None:
        await get(storage, ("inner",))

    await expect(TransactionError, storage.write(body))
    await expect(TransactionError, storage.read(body))
    await expect(TransactionError, storage.write(reading))
    assert await scan(storage) == []


async def check_a_transaction_is_over_when_its_body_is(place: Place) -> None:
    storage = await place.open()
    kept: list[Any] = []

    async def body(tx: Any) -> None:
        kept.append(tx)
        await tx.get(SPACE, ("a",))

    await storage.read(body)
    await storage.write(body)
    for tx in kept:
        await expect(TransactionError, tx.get(SPACE, ("a",)))
        await expect(TransactionError, tx.get_many(SPACE, [("a",)]))
    await expect(TransactionError, kept[-1].scan(SPACE))
    try:
        kept[-1].put(SPACE, ("a",), "1")
    except TransactionError:
        return
    raise AssertionError("a transaction took a write after its end")


async def check_a_failing_body_harms_no_other(place: Place) -> None:
    storage = await place.open()

    async def body(tx: WriteTransaction, n: int) -> int:
        count = int(await tx.get(SPACE, ("count",)) or "0")
        tx.put(SPACE, ("count",), str(count + 1))
        tx.put(SPACE, ("n", n), str(n))
        await tx.scan(SPACE, ("n",))
        if n % 3 == 0:
            raise KeyError(n)
        return n

    results = await asyncio.gather(
        *(storage.write(lambda tx, n=n: body(tx, n)) for n in range(30)), return_exceptions=True
    )
    for n, result in enumerate(results):
        assert isinstance(result, KeyError) if n % 3 == 0 else result == n, (n, result)
    assert await get(storage, ("count",)) == "20"
    assert [key[1] for key, _ in await scan(storage, ("n",))] == [n for n in range(30) if n % 3]


async def check_writes_happen_in_the_order_they_were_asked_for(place: Place) -> None:
    storage = await place.open()
    await asyncio.gather(*(put(storage, ("last",), str(n)) for n in range(50)))
    assert await get(storage, ("last",)) == "49"


async def check_a_cancelled_write_happens_or_not(place: Place) -> None:
    storage = await place.open()
    writing = [asyncio.ensure_future(increment(storage)) for _ in range(20)]
    await asyncio.sleep(0)
    for one in writing[::2]:
        one.cancel()
    results = await asyncio.gather(*writing, return_exceptions=True)
    kept = sum(result is None for result in results)
    await increment(storage)
    assert kept >= 10 and kept + 1 <= int(await get(storage, ("count",)) or "0") <= 21


# Handles


async def check_what_was_written_outlives_its_handle(place: Place) -> None:
    storage = await place.open()
    records = {("k", n): f'{{"n":{n},"text":"{"x" * 200}"}}' for n in range(500)}
    await put_all(storage, records)
    await storage.write(lambda tx: delete_in(tx, ("k", 7)))
    keeper = None if place.is_durable else await place.open()
    await storage.close()
    again = await place.open()
    assert await get(again, ("k", 8)) == records["k", 8]
    assert await get(again, ("k", 7)) is None
    assert [key for key, _ in await scan(again)] == [("k", n) for n in range(500) if n != 7]
    await put(again, ("k", 7), "again")
    await again.close()
    assert await get(await place.open(), ("k", 7)) == "again"
    if keeper:
        await keeper.close()


async def check_600_increments_by_two_handles_all_count(place: Place) -> None:
    first, second = await place.open(), await place.open()

    async def one_by_one(storage: Storage) -> None:
        for _ in range(150):
            await increment(storage)

    at_once = [increment(storage) for storage in (first, second) for _ in range(150)]
    await asyncio.gather(one_by_one(first), one_by_one(second), *at_once)
    await increment(first)
    await increment(second)
    assert await get(second, ("count",)) == "602"


async def check_a_write_sees_what_the_other_handle_wrote_before(place: Place) -> None:
    first, second = await place.open(), await place.open()
    for n in range(20):
        await put(first, ("turn",), f"first {n}")
        seen = await exchange(second, ("turn",), f"second {n}")
        assert seen == f"first {n}", seen
        assert await exchange(first, ("turn",), "back") == f"second {n}"


async def check_random_transactions_by_three_handles_do_as_a_dict_would(place: Place) -> None:
    rng = random.Random(7)
    handles = [await place.open() for _ in range(3)]
    model: dict[Key, str] = {}
    spaces = (SPACE, "another")

    def key() -> Key:
        return (rng.choice("ab"), rng.randrange(40))

    for n in range(400):
        space, seen, changed = (
            rng.choice(spaces),
            [key() for _ in range(3)],
            [key() for _ in range(rng.randrange(1, 9))],
        )
        prefix, limit = rng.choice([(), ("a",), ("b",)]), rng.choice([None, 3])

        async def body(tx: WriteTransaction) -> list[Any]:
            tx.put("turn", ("n",), str(n))  # noqa: B023
            got = [[await tx.get(space, name) for name in seen], await tx.get_many(space, seen)]  # noqa: B023
            got.append(await tx.scan(space, prefix, limit=limit))  # noqa: B023
            for i, name in enumerate(changed):  # noqa: B023
                if i % 3 == 2:
                    tx.delete(space, name)  # noqa: B023
                else:
                    tx.put(space, name, f"{n}" + "x" * (n % 50))  # noqa: B023
            return got

        got = await rng.choice(handles).write(body, relaxed=n % 2 == 0)
        rows = sorted((name[1:], text) for name, text in model.items() if name[0] == space)
        wanted = [row for row in rows if row[0][: len(prefix)] == prefix][:limit]
        found = [model.get((space, *name)) for name in seen]
        assert got == [found, found, wanted], n
        for i, name in enumerate(changed):
            if i % 3 == 2:
                model.pop((space, *name), None)
            else:
                model[space, *name] = f"{n}" + "x" * (n % 50)
        if rng.random() < 0.03 and place.is_durable:
            number = rng.randrange(3)
            await handles[number].close()
            handles[number] = await place.open()


async def check_a_handle_is_told_what_others_wrote(place: Place) -> None:
    first, second = await place.open(), await place.open()
    told: list[Touched] = []
    stop = second.watch(told.append)
    await put(first, ("a", 1), "1")
    await until(lambda: has_heard(told, (SPACE, ("a", 1))))
    assert await get(second, ("a", 1)) == "1"
    await first.write(lambda tx: delete_in(tx, ("a", 1)))
    told.clear()
    await put(first, ("b",), "2")
    await until(lambda: has_heard(told, (SPACE, ("b",))))
    assert await get(second, ("a", 1)) is None
    stop()
    stop()
    told.clear()
    await put(first, ("c",), "3")
    await until(lambda: is_there(second, ("c",), "3"))
    await asyncio.sleep(0.05)
    assert told == []


async def check_a_handle_is_not_told_what_it_wrote_itself(place: Place) -> None:
    first, second = await place.open(), await place.open()
    told: list[Touched] = []
    first.watch(told.append)
    await put(first, ("own",), "1")
    await put(second, ("other",), "2")
    await until(lambda: has_heard(told, (SPACE, ("other",))))
    assert not any(touched and (SPACE, ("own",)) in touched for touched in told)


async def check_a_handle_is_told_of_a_write_too_large_to_list(place: Place) -> None:
    first, second = await place.open(), await place.open()
    told: list[Touched] = []
    second.watch(told.append)
    await put_all(first, {("k", n): str(n) for n in range(3000)})
    await until(lambda: has_heard(told, (SPACE, ("k", 2999))))
    assert len(await scan(second)) == 3000


async def check_one_handle_leads_at_a_time(place: Place) -> None:
    first, second, third = await place.open(), await place.open(), await place.open()
    lost: list[str] = []
    give_up = await first.lead(lambda: lost.append("first"))
    waiting = [asyncio.ensure_future(one.lead(lambda: lost.append("other"))) for one in (second, third)]
    await asyncio.sleep(0.3)
    assert not any(one.done() for one in waiting)
    give_up()
    give_up()
    done, pending = await asyncio.wait(waiting, timeout=PATIENCE_S, return_when="FIRST_COMPLETED")
    assert len(done) == 1 and len(pending) == 1
    await asyncio.sleep(0.1)
    assert sum(one.done() for one in waiting) == 1
    done.pop().result()()
    await asyncio.wait_for(pending.pop(), PATIENCE_S)
    assert lost == []


async def check_leadership_passes_on_when_a_handle_closes(place: Place) -> None:
    first, second = await place.open(), await place.open()
    await first.lead(lambda: None)
    waiting = asyncio.ensure_future(second.lead(lambda: None))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await first.close()
    await asyncio.wait_for(waiting, PATIENCE_S)


async def check_nobody_leads_who_stopped_waiting(place: Place) -> None:
    first, second, third = await place.open(), await place.open(), await place.open()
    give_up = await first.lead(lambda: None)
    cancelled = asyncio.ensure_future(second.lead(lambda: None))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    waiting = asyncio.ensure_future(third.lead(lambda: None))
    give_up()
    await asyncio.wait_for(waiting, PATIENCE_S)


async def check_who_waits_to_lead_is_told_of_the_close(place: Place) -> None:
    first, second = await place.open(), await place.open()
    await first.lead(lambda: None)
    waiting = asyncio.ensure_future(second.lead(lambda: None))
    await asyncio.sleep(0.05)
    await second.close()
    await expect(StorageError, waiting)


async def check_closing_twice_does_nothing(place: Place) -> None:
    storage = await place.open()
    await put(storage, ("a",), "1")
    await storage.close()
    await storage.close()


async def check_a_closed_handle_is_refused_in_words(place: Place) -> None:
    storage = await place.open()
    await storage.close()
    for use in (storage.read, storage.write):
        await expect(StorageError, use(nothing), "closed")
    await expect(StorageError, storage.lead(lambda: None), "closed")


async def check_closing_finishes_what_was_begun(place: Place) -> None:
    storage, other = await place.open(), await place.open()

    async def slow(tx: WriteTransaction) -> None:
        end = time.monotonic() + 0.05
        while time.monotonic() < end:  # a page's sleep would let others run
            pass

    writing = [asyncio.ensure_future(storage.write(slow))]
    await asyncio.sleep(0)
    writing += [asyncio.ensure_future(increment(storage)) for _ in range(20)]
    await asyncio.sleep(0)
    await storage.close()
    results = await asyncio.gather(*writing, return_exceptions=True)
    done = sum(result is None for result in results[1:])
    assert all(result is None or isinstance(result, StorageError) for result in results)
    assert await exchange(other, ("count",), "0") == (str(done) if done else None)


# Room


async def check_compacting_changes_nothing_that_is_stored(place: Place) -> None:
    storage, other = await place.open(), await place.open()
    told: list[Touched] = []
    await put_all(storage, {("k", n): '"%s"' % ("x" * 500) for n in range(400)})
    other.watch(told.append)
    await storage.write(lambda tx: delete_all(tx, [("k", n) for n in range(0, 400, 3)]))
    before = await scan(storage)
    for _ in range(2):
        first, last = await storage.compact()
        assert 0 <= last <= first or not place.is_durable
        assert await scan(storage) == before
        await until(lambda: has_rows(other, before))
    await put(other, ("k", 0), "1")
    await put(storage, ("k", 3), "3")
    await until(lambda: is_there(storage, ("k", 0), "1"))
    await until(lambda: is_there(other, ("k", 3), "3"))
    assert await scan(storage) == sorted([*before, (("k", 0), "1"), (("k", 3), "3")])
    await until(lambda: has_heard(told, (SPACE, ("k", 3))))


async def check_what_was_deleted_leaves_no_room_taken(place: Place) -> None:
    storage = await place.open()
    await put_all(storage, {("k", n): '"%s"' % (chr(97 + n % 26) * 1000) for n in range(1000)})
    await storage.compact()
    (_, full) = await storage.compact()
    assert full >= 1_000_000
    await storage.write(lambda tx: delete_all(tx, [("k", n) for n in range(990)]))
    assert (await storage.compact())[1] < full / 10


async def check_compacting_while_others_write_loses_nothing(place: Place) -> None:
    storage, other = await place.open(), await place.open()
    writing = [increment(one) for one in (storage, other) for _ in range(20)]
    await asyncio.gather(*writing, storage.compact(), other.compact())
    await storage.compact()
    await until(lambda: is_there(storage, ("count",), "40"))
    await until(lambda: is_there(other, ("count",), "40"))


async def check_a_share_says_whether_compacting_is_worth_it(place: Place) -> None:
    storage = await place.open()
    await put_all(storage, {("k", n): '"%s"' % ("x" * 1000) for n in range(100)})
    first, last = await storage.compact(share=1.1)
    assert last >= 100_000 or not place.is_durable
    assert len(await scan(storage)) == 100 and first >= 0


async def check_a_storage_knows_its_size(place: Place) -> None:
    storage = await place.open()
    await put_all(storage, {("k", n): '"%s"' % ("x" * 1000) for n in range(100)})
    usage = await storage.usage()
    assert usage.bytes >= 0 and usage.is_persisted in (None, True, False)
    assert usage.quota is None or usage.quota >= usage.bytes


CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


# Helpers


async def nothing(tx: Any) -> None:
    """A body that does nothing."""


async def put_in(tx: WriteTransaction, key: Key, text: str) -> None:
    tx.put(SPACE, key, text)


async def delete_in(tx: WriteTransaction, key: Key) -> None:
    tx.delete(SPACE, key)


async def delete_all(tx: WriteTransaction, keys: list[Key]) -> None:
    """Delete several keys."""
    for key in keys:
        tx.delete(SPACE, key)


async def put(storage: Storage, key: Key, text: str) -> None:
    await storage.write(lambda tx: put_in(tx, key, text))


async def put_all(storage: Storage, records: dict[Any, str], space: str = SPACE) -> None:
    async def body(tx: WriteTransaction) -> None:
        for key, text in records.items():
            tx.put(space, key, text)

    await storage.write(body)


async def get(storage: Storage, key: Key, space: str = SPACE) -> str | None:
    async def body(tx: ReadTransaction) -> str | None:
        return await tx.get(space, key)

    return await storage.read(body)


async def scan(storage: Storage, *args: Any, space: str = SPACE, **options: Any) -> list[tuple[Key, str]]:
    async def body(tx: ReadTransaction) -> list[tuple[Key, str]]:
        return await tx.scan(space, *args, **options)

    return await storage.read(body)


async def increment(storage: Storage) -> None:
    async def body(tx: WriteTransaction) -> None:
        tx.put(SPACE, ("count",), str(int(await tx.get(SPACE, ("count",)) or "0") + 1))

    await storage.write(body)


async def exchange(storage: Storage, key: Key, text: str) -> str | None:
    """Put a text; give what was there."""

    async def body(tx: WriteTransaction) -> str | None:
        before = await tx.get(SPACE, key)
        tx.put(SPACE, key, text)
        return before

    return await storage.write(body)


async def is_there(storage: Storage, key: Key, text: str) -> bool:
    return await get(storage, key) == text


async def has_rows(storage: Storage, rows: list[tuple[Key, str]]) -> bool:
    return await scan(storage) == rows


async def has_heard(told: list[Touched], name: tuple[str, Key]) -> bool:
    return any(touched is None or name in touched for touched in told)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def expect(kind: type[Exception], work: Awaitable[Any], words: str = "") -> None:
    """Fail unless the work raises this kind of exception, with these words."""
    try:
        await work
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"nothing raised {kind.__name__}")
