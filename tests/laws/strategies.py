"""What laws draw from: values, documents, states, versions, and messages; small alphabets, so that things meet."""

from __future__ import annotations

import sys

from hypothesis import settings
from hypothesis import strategies as st

from pysync_web.causality import timestamp
from pysync_web.core.document import ABSENT, State, changed, deleted, inserted, merge

law = settings(max_examples=20 if sys.platform == "emscripten" else 200)

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(texts, values, max_size=4)

names = st.sampled_from(["a", "b", "c/d", "~"])
small = st.sampled_from([None, True, 1, 1.0, "x", [1], {}])
bodies = st.recursive(
    st.dictionaries(names, small, max_size=3),
    lambda inner: st.dictionaries(names, small | inner, max_size=3),
    max_leaves=6,
)
times = st.integers(0, 7).map(lambda ms: timestamp(1_700_000_000_000 + ms))
vectors = st.dictionaries(st.sampled_from(["r1", "r2", "r3", "server"]), st.integers(1, 4))


@st.composite
def changes(draw: st.DrawFn) -> State:
    """A change as replicas make them: an insert, a delete, or the difference of two bodies."""
    at = draw(times)
    match draw(st.integers(0, 3)):
        case 0:
            return deleted(at)
        case 1:
            return inserted(draw(bodies), at)
        case _:
            return changed(draw(bodies), draw(bodies), at) or deleted(at)


@st.composite
def states(draw: st.DrawFn) -> State:
    """What some changes make together."""
    state = ABSENT
    for change in draw(st.lists(changes(), min_size=1, max_size=4)):
        state = merge(state, change)
    return merge(state, state)
