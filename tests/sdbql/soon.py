"""What a hostile input may take: so much that no slow machine fails, so little that what never ends does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SLOWER = 10 if sys.platform == "emscripten" else 3
EACH = 5 if sys.platform == "emscripten" else 1  # a page takes one in five of the longest lists


@contextmanager
def soon(seconds: float) -> Iterator[None]:
    """Fail where the work inside has used a multiple of the processor seconds that it should."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds * SLOWER
