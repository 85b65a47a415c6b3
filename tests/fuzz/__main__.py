"""The fuzzer: ``python3 build.py fuzz`` feeds the query engine texts, guided by the lines that they reach.

It begins with the cases, the corpus and what earlier runs have kept in ``.build/fuzz``; a text that breaks a promise
ends it and is left there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pysync_web"]):
    from . import mutants, target

KEPT = Path(__file__).parents[2] / ".build" / "fuzz"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz; the process ends with 0 if nothing was found."""
    options = _options(arguments)
    kept = options.kept / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "given")
        given.mkdir()
        for number, text in enumerate(mutants.seeds()):
            (given / f"{number:05}").write_bytes(text.encode())
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in mutants.words() if word), "ascii")
        settings = {
            "runs": options.runs,
            "max_total_time": options.seconds,
            "max_len": mutants.LONGEST,
            "rss_limit_mb": 2048,
            "timeout": 20,
            "dict": words,
            "artifact_prefix": f"{options.kept}/",
        }
        flags = [f"-{name}={value}" for name, value in settings.items()]
        atheris.Setup([sys.argv[0], *flags, str(kept), str(given)], one_input)
        atheris.Fuzz()


def one_input(given: bytes) -> None:
    """Decide one input."""
    target.decide(given.decode("utf-8", "replace"))


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build.py fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000_000, help="how many inputs (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=900, help="how long at most (default: %(default)s)")
    parser.add_argument("--kept", type=Path, default=KEPT, metavar="FOLDER", help="where finds and inputs are kept")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
