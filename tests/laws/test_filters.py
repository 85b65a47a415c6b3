"""Laws of filters: they say what the query engine says, alone and together, and their hints leave nothing out."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pysync_web.core.filters import compile_filter
from pysync_web.core.indexes import sort_text, value_at
from pysync_web.errors import QueryError
from pysync_web.sdbql import execute
from tests.laws.strategies import law
from tests.sdbql.meaningful import LARGE, SCALARS, VALUES, Maker, document


class Conditions(Maker):
    """Writes conditions that read no collection."""

    def constant(self) -> str:
        """Give a value that a document may hold."""
        while str(LARGE) in (text := super().constant()):
            pass
        return text

    def lambdas(self) -> str:
        """Call a function with a lambda over an array."""
        while re.search(r"\(([ab]\b)", text := super().lambdas()):
            pass
        return text

    def subquery(self) -> str:
        """Loop over an array."""
        name = self.new()
        inner = self.within(0, [*self.sight, name], self.documents)
        clauses = self.one_of("", f"LET w{name} = {inner.field()} ", f"SORT {name} ", "LIMIT 1 ")
        array = f"[{self.field()}, {self.constant()}]"
        return f"(FOR {name} IN {array} FILTER {inner.condition(0)} {clauses}RETURN {name})"


@st.composite
def problems(draw: st.DrawFn) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """A condition over ``doc`` with the values of its bind variables, and documents of the same few values."""
    rng = Random(draw(st.integers(0, 2**32)))
    palette = [*rng.sample(SCALARS, rng.randint(2, 5)), *rng.sample(VALUES, 2)]
    palette = [one for one in palette if one != LARGE]
    maker = Conditions(rng, palette, 0)
    maker.sight, maker.documents, maker.loops = ["doc"], ["doc"], ["doc"]
    text = " AND ".join(maker.condition() for _ in range(rng.randint(1, 3)))
    values = {"v": rng.choice(palette), "l": rng.choices(palette, k=3), "n": rng.randint(1, 3)}
    binds = {name: value for name, value in values.items() if f"@{name}" in text}
    return text, binds, [{"_key": f"k{at}", **document(rng, palette)} for at in range(rng.randint(0, 6))]


def expected(text: str, binds: dict[str, Any], documents: list[dict[str, Any]]) -> list[bool]:
    """What the engine says of each document alone; one that it can't work out does not match."""
    found = []
    for one in documents:
        try:
            found.append(
                execute(f"FOR doc IN c FILTER {text} RETURN doc._key", {"c": [one]}, binds) == [one["_key"]]
            )
        except QueryError:
            found.append(False)
    return found


def asked(documents: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(one["_key"], {name: value for name, value in one.items() if name != "_key"}) for one in documents]


@law
@given(problems())
def test_a_filter_says_what_the_engine_says(problem: tuple[str, dict[str, Any], list[dict[str, Any]]]):
    text, binds, documents = problem
    try:
        wanted = compile_filter("c", text, binds)
    except QueryError as error:
        assert "at most" in error.message, error
        return
    assert wanted.matching(asked(documents)) == expected(text, binds, documents)
    assert compile_filter(wanted.collection, wanted.text, wanted.bind_vars) == wanted
    whole = compile_filter("c", f"FOR doc IN c FILTER {text} RETURN doc", binds)
    assert whole == wanted


values = st.sampled_from(
    [None, True, False, 0, 1, 1.0, -0.0, 0.0, -1.5, "", "a", "a" * 70, "a" * 70 + "b", [1], {}]
)
fields = st.sampled_from(["a", "b"])
bodies = st.dictionaries(fields, values | st.dictionaries(fields, values, max_size=2), max_size=2)


@law
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "a.b", "doc.b"]), values, st.booleans()), min_size=1), st.data()
)
def test_every_document_that_matches_has_the_value_of_the_hint(
    conditions: list[tuple[str, Any, bool]], data: st.DataObject
):
    sides = [(path, f"@v{at}") for at, (path, _, _) in enumerate(conditions)]
    parts = [f"{path} == {bind}" for path, bind in sides]
    parts = [
        f"({bind} == {path})" if flipped else part
        for part, (path, bind), (_, _, flipped) in zip(parts, sides, conditions, strict=True)
    ]
    wanted = compile_filter("c", " AND ".join(parts), {f"v{at}": one[1] for at, one in enumerate(conditions)})
    documents = [(f"k{at}", one) for at, one in enumerate(data.draw(st.lists(bodies)))]
    if wanted.equality is None:
        assert all(one[1] is None or type(one[1]) in (list, dict) for one in conditions)
        return
    path, value = wanted.equality
    for (_, body), does in zip(documents, wanted.matching(documents), strict=True):
        if does:
            assert value_at(body, path) == value
            assert sort_text(value_at(body, path)) == sort_text(value)


@law
@given(st.lists(st.tuples(st.sampled_from(["k", "l"]), bodies)), st.integers(0, 5))
def test_documents_are_decided_one_by_one(documents: list[tuple[str, dict[str, Any]]], at: int):
    wanted = compile_filter("c", "a + 1 > 0 OR b == 'a'")
    alone = [wanted.matching([one])[0] for one in documents]
    assert wanted.matching(documents) == alone
    assert wanted.matching(documents[at:]) == alone[at:]
