"""The bench: ``python3 build.py bench`` prints what was measured beside what it is compared with, and the targets.

Both sides of a row run in turns within one run, and the medians are compared: read the ratios, and run it again on
a machine that does other work. A row that is over its target is measured once more, and all its measurements count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from . import browser, live, merging, native, queries, serving, startup, sync
from .report import Row, merged, table

Wanted = Callable[[str], bool]
AREAS: dict[str, list[Callable[[Wanted, int], Coroutine[Any, Any, list[Row]]]]] = {
    "native": [native.measure, queries.measure_native, live.measure_native, serving.measure],
    "browser": [
        browser.measure,
        queries.measure_in_page,
        sync.measure,
        merging.measure,
        startup.measure,
        live.measure_in_page,
    ],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; give 1 if a target is missed."""
    options = _options(arguments)
    areas = [options.only] if options.only else list(AREAS)
    rows = _measure(areas, lambda name: options.k.lower() in name.lower(), options.rounds)
    over = {row.name_in_full for row in rows if row.is_over}
    if over and not options.once:
        print(f"\nOnce more, because over the target: {'; '.join(sorted(over))}", flush=True)
        rows = merged(rows, _measure(areas, lambda name: name in over, options.rounds))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=1))
    return 1 if any(row.is_over for row in rows) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build.py bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(AREAS), help="only what runs natively, or in a browser")
    parser.add_argument("-k", metavar="WORDS", default="", help="only rows with these words in group and name")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="don't measure again what is over its target")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measurement to a file")
    return parser.parse_args(arguments)


def _measure(areas: list[str], wanted: Wanted, rounds: int) -> list[Row]:
    rows: list[Row] = []
    for area in areas:
        for measure in AREAS[area]:
            rows += asyncio.run(measure(wanted, rounds))
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
