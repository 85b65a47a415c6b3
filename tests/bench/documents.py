"""The documents that everything is measured with: 10,000 of about 250 bytes, the same in every place and run.

It is also run inside the page, so that no document has to travel there.
"""

from __future__ import annotations

import random
from typing import Any

COUNT = 10_000
READS = 1_000
SAVES = 1_000

_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Tony", "Frances", "Donald", "Radia", "Leslie", "Zoë")
_LAST = ("Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Hoare", "Allen", "Knuth", "Perlman", "Lamport")
_CITIES = ("Lisbon", "Turku", "Graz", "Utrecht", "Leuven", "Porto", "Aarhus", "Brno", "Kraków", "Bilbao")
_TAGS = ("field", "garden", "urgent", "later", "family", "work", "ideas", "house", "travel", "read")
_WORDS = ("water", "the", "beds", "before", "noon", "ask", "about", "seeds", "and", "bring", "new", "gloves")


def make(count: int = COUNT, *, seed: int = 1) -> dict[str, dict[str, Any]]:
    """Give documents by their keys; the same seed gives the same ones."""
    rng = random.Random(seed)
    return {f"{rng.getrandbits(64):016x}": _document(rng, number) for number in range(count)}


def _document(rng: random.Random, number: int) -> dict[str, Any]:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return {
        "name": f"{first} {last}",
        "email": f"{last.lower()}{number}@example.org",
        "age": rng.randrange(18, 90),
        "score": rng.randrange(400) / 4,
        "done": rng.random() < 0.3,
        "address": {"city": rng.choice(_CITIES), "zip": str(rng.randrange(10_000, 99_999))},
        "tags": rng.sample(_TAGS, 2),
        "created_at": f"2025-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:30:00Z",
        "note": " ".join(rng.choice(_WORDS) for _ in range(8)),
    }


def some_keys(documents: dict[str, Any], count: int = READS, *, seed: int = 2) -> list[str]:
    """Give keys of documents at random, some of them twice."""
    keys = list(documents)
    return random.Random(seed).choices(keys, k=count)
