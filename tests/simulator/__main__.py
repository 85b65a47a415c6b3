"""Replay seeds: ``python -m tests.simulator --seed N`` runs one and prints its trace."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from .checkers import Violation
from .mutants import MUTANTS
from .traces import write_hashes
from .world import World


def main() -> int:
    """Run what the command line asks for; give 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="the seed to replay, with its trace")
    parser.add_argument("--seeds", type=int, default=200, help="without --seed: how many to run (default: 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--events", type=int, default=1000, help="events before the healing (default: 1000)")
    parser.add_argument("--mutant", choices=MUTANTS, help="with --seed: a planted bug to look for")
    parser.add_argument("--write-traces", action="store_true", help="write down what the traces hash to, and end")
    parser.add_argument(
        "--strategies", action="store_const", const=True, help="strategies in every world (default: where drawn)"
    )
    parser.add_argument("--quiet", action="store_true", help="no trace")
    options = parser.parse_args()
    if options.write_traces:
        write_hashes()
        return 0
    if options.seed is not None:
        return replay(options)
    found: Counter[str] = Counter()
    began = time.process_time()
    for seed in range(options.first, options.first + options.seeds):
        try:
            World(seed, has_strategies=options.strategies).run(options.events)
        except Violation as violation:
            found[violation.invariant] += 1
            print(f"seed {seed}: {violation}"[:300])
        except Exception as error:
            found["error"] += 1
            print(f"seed {seed}: {type(error).__name__}: {error}"[:300])
    seconds = time.process_time() - began
    print(f"{options.seeds} seeds, {options.seeds * options.events / seconds:,.0f} events a second; {dict(found)}")
    return 1 if found else 0


def replay(options: argparse.Namespace) -> int:
    """Run one seed with its trace."""
    subject = MUTANTS[options.mutant]() if options.mutant else None
    say = None if options.quiet else print
    world = World(options.seed, subject, say=say, has_strategies=options.strategies)
    try:
        print(f"seed {options.seed}: {world.run(options.events)}")
    except Violation as violation:
        print(f"seed {options.seed}, after event {world.events}: {violation}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
