"""What was measured, as rows: medians of both sides, their ratio, and whether that is within the target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Row:
    """One thing that was measured, several times: ours, and the baseline where there is one.

    ``most`` is the target: of the ratio where there is a baseline, else of ours in ``unit``; None is no target.
    """

    group: str
    name: str
    most: float | None
    unit: str = "ms"
    ours: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    def add(self, ours: float, baseline: float | None = None) -> None:
        """Take in one more measurement."""
        self.ours.append(ours)
        if baseline is not None:
            self.baseline.append(baseline)

    @property
    def name_in_full(self) -> str:
        """Group and name."""
        return f"{self.group}: {self.name}"

    @property
    def measured(self) -> float:
        """The figure that the target is about."""
        return median(self.ours) / median(self.baseline) if self.baseline else median(self.ours)

    @property
    def is_over(self) -> bool:
        """Whether the target is missed."""
        return self.most is not None and self.measured > self.most

    @property
    def verdict(self) -> str:
        """The last column."""
        return "" if self.most is None else "over" if self.is_over else "ok"

    def cells(self) -> list[str]:
        """Give the columns of the table."""
        ours, unit = figure(median(self.ours)), self.unit
        target = "" if self.most is None else f"≤ {figure(self.most)}{'×' if self.baseline else ' ' + unit}"
        if not self.baseline:
            return [self.name, f"{ours} {unit}", "", "", target, self.verdict]
        return [
            self.name,
            f"{ours} {unit}",
            f"{figure(median(self.baseline))} {unit}",
            f"{self.measured:.2f}×",
            target,
            self.verdict,
        ]

    def to_json(self) -> dict[str, Any]:
        """Give the row with all that was measured."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "baseline": self.baseline,
            "measured": self.measured,
            "target": self.most,
            "verdict": self.verdict,
        }


def merged(rows: Iterable[Row], again: Iterable[Row]) -> list[Row]:
    """Give the rows with the measurements of a second run."""
    more = {row.name_in_full: row for row in again}
    for row in (rows := list(rows)):
        if row.name_in_full in more:
            row.ours += more[row.name_in_full].ours
            row.baseline += more[row.name_in_full].baseline
    return rows


HEADS = ["", "ours", "baseline", "ratio", "target", ""]


def table(rows: Iterable[Row]) -> str:
    """Give the rows as a table, a part of it for each group."""
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        if row.ours:
            by_group.setdefault(row.group, []).append(row)
    lines = [
        [group, *HEADS[1:]] if i == 0 else row
        for group, found in by_group.items()
        for i, row in enumerate([HEADS, *(one.cells() for one in found)])
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = []
    for line in lines:
        if line[1] == "ours":
            written.append("")
        first, *others = (
            cell.ljust(width) if i in (0, 5) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        written.append("  ".join([first, *others]).rstrip())
    return "\n".join(written)


def figure(value: float) -> str:
    """Write a number with three digits or so."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
