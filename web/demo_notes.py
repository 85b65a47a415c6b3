"""What a note is, and how notes are ordered and spoken of.

Plain functions without a page. Documents may come from any program, so every field is read with care: what is
not of the expected shape shows as empty, and stays as it is in the document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COLLECTION = "notes"
QUERIES = "queries"
NAMES = ("title", "text", "tags", "done")
TAG_LENGTH = 40
TAGS_PER_NOTE = 12


@dataclass(frozen=True, slots=True)
class Note:
    """One field note as the page shows it; ``edited`` is an ISO 8601 UTC text, which sorts by time."""

    key: str
    title: str
    text: str
    tags: tuple[str, ...]
    done: bool
    edited: str


def note_from(key: str, document: dict[str, Any]) -> Note:
    """Read a note out of a document of any shape."""
    tags = document.get("tags")
    return Note(
        key=key,
        title=_text(document.get("title")),
        text=_text(document.get("text")),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        done=document.get("done") is True,
        edited=_text(document.get("edited")) or _text(document.get("_timestamp")),
    )


def arrange(notes: Iterable[Note]) -> list[Note]:
    """Order notes as the list shows them: the last edited first."""
    return sorted(notes, key=lambda note: (note.edited, note.key), reverse=True)


def in_order(fields: Iterable[str]) -> list[str]:
    """Order names of fields as a note has them, any others behind."""
    names = list(fields)
    return [name for name in NAMES if name in names] + [name for name in names if name not in NAMES]


def tag_from(typed: str) -> str:
    """Make a tag of what was typed: lower case, no ``#``, words joined by hyphens."""
    return "-".join(typed.lower().replace("#", " ").replace(",", " ").split())[:TAG_LENGTH]


def first_line(text: str) -> str:
    """Give the first line that holds something, for the list."""
    return next((line for line in map(str.strip, text.splitlines()) if line), "")[:160]


def age_words(seconds: float) -> str:
    """Say how long ago, in the shortest words that are still true."""
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} d ago"


def span_words(seconds: float) -> str:
    """Say how long, for something that goes on."""
    words = age_words(max(seconds, 5)).removesuffix(" ago")
    return words if seconds >= 5 else "a moment"


def counted(number: int, noun: str) -> str:
    """``1 note``, ``2 notes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


SAMPLES: tuple[dict[str, Any], ...] = (
    {
        "title": "Culvert 14 blocked after the storm",
        "text": "Branches and gravel, about two thirds of the pipe. "
        "Water crosses the track at the low point.\n\n"
        "Needs the small excavator; access from the quarry side only, the bridge at P6 takes 3.5 t.",
        "tags": ["drainage", "urgent"],
        "done": False,
    },
    {
        "title": "Gauge W-07: 1.42 m",
        "text": "Read at 07:40, falling. Float moves freely again after cleaning.\nLast week 1.18 m.",
        "tags": ["water", "reading"],
        "done": True,
    },
    {
        "title": "Boundary stone 118 found",
        "text": "Under moss, 2.3 m north-east of where the 1952 sheet has it. Inscription readable. "
        "Photographed, flagged with pink tape.",
        "tags": ["survey"],
        "done": False,
    },
    {
        "title": "Red kite nest in the oak at P3",
        "text": "Two adults, feeding. Keep the chainsaw crew 300 m off until mid July.",
        "tags": ["birds", "closure"],
        "done": False,
    },
    {
        "title": "Stile on path 23b: step rotten",
        "text": "Second step gives way on the downhill side. Taped off.\n"
        "Oak plank 1100 × 220 × 50, four coach bolts.",
        "tags": ["paths", "repair"],
        "done": False,
    },
    {
        "title": "Trail camera 6: batteries changed",
        "text": "Card swapped, 412 pictures. Strap moved one branch higher, a boar had turned the camera.",
        "tags": ["cameras"],
        "done": True,
    },
)
