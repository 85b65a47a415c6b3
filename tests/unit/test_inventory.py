"""What two devices find out by comparing sums, and what they refuse to compare."""

from __future__ import annotations

from typing import Any

import pytest

from pysync_web.core.inventory import MAX_BUCKETS, ROUNDS, Inventory, Mark, checked_row
from pysync_web.errors import SchemaError

ZERO = "0" * 16


def compared(one: Inventory, other: Inventory) -> tuple[list[Any], list[Any], int]:
    """Give what each has to send, and how many rows of documents they told each other."""
    said: list[list[Any]] = [[], []]
    for _ in range(ROUNDS):
        rows = [list(one.rows(said[0], said[1])), list(other.rows(said[1], said[0]))]
        said = [[*before, now] for before, now in zip(said, rows, strict=True)]
    told = len(said[0][-1]) + len(said[1][-1])
    return one.to_send(said[0][-1], said[1][-1]), other.to_send(said[1][-1], said[0][-1]), told


def inventory(**marks: Mark) -> Inventory:
    return Inventory({"notes": dict(marks)} if marks else {})


@pytest.mark.parametrize(
    ("mine", "theirs", "sent"),
    [
        (Mark(1, {"a": 1}), Mark(1, {"b": 1}), (False, False)),
        (Mark(1, {"a": 2}), Mark(2, {"a": 1}), (True, False)),
        (Mark(1, {"a": 2, "b": 1}), Mark(2, {"a": 1, "b": 2}), (True, True)),
        (Mark(1, {"a": 1}), Mark(2, {"a": 1}), (True, True)),
    ],
    ids=["the same state", "one came after the other", "neither knew the other", "one version of two states"],
)
def test_sent_is_what_the_other_side_has_not_seen(mine: Mark, theirs: Mark, sent: tuple[bool, bool]):
    here, there, _ = compared(inventory(k=mine), inventory(k=theirs))
    assert (bool(here), bool(there)) == sent


def test_a_document_of_one_side_is_sent_and_one_difference_among_many_is_found_in_few_rows():
    many = {f"k{i}": Mark(i * 7919, {"a": i}) for i in range(1, 20_000)}
    here, there, told = compared(inventory(**many), inventory(**many, other=Mark(5, {"b": 1})))
    assert (here, there) == ([], [("notes", "other")]) and told < 50
    assert compared(inventory(**many), inventory(**many)) == ([], [], 0)
    assert len(compared(inventory(), inventory(**many))[1]) == len(many)


@pytest.mark.parametrize(
    ("round_", "row"),
    [
        (0, []),
        (0, ["no name", 1, ZERO]),
        (0, ["notes", -1, ZERO]),
        (0, ["notes", True, ZERO]),
        (0, ["notes", 1, "0"]),
        (0, {"notes": 1}),
        (1, ["notes", "g" * 16]),
        (1, ["notes", *[ZERO] * (MAX_BUCKETS + 1)]),
        (2, ["notes", "k\n", ZERO, {}]),
        (2, ["notes", "k", 7, {}]),
        (2, ["notes", "k", ZERO, {"a": -1}]),
        (2, ["notes", "k", ZERO]),
    ],
)
def test_a_row_of_another_shape_is_refused(round_: int, row: Any):
    with pytest.raises(SchemaError):
        checked_row(round_, row, "row")


def test_who_answers_another_question_is_refused():
    one = inventory(k=Mark(1, {"a": 1}))
    with pytest.raises(SchemaError, match="did not compare the collection notes"):
        list(one.rows([[["notes", 1, ZERO]], [["notes", ZERO]]], [[], [["other", ZERO]]]))
