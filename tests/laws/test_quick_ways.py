"""Messages are checked in quick ways that look at everything at once; they say what looking at each part says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pysync_web.causality import timestamp
from pysync_web.core import intake, push
from pysync_web.core.document import Document, State
from pysync_web.core.exchange import build_pull
from pysync_web.core.optimistic import Pending, Record, Waiting, confirmed_texts, encode_record, sequence_of_text
from pysync_web.core.push import Guard
from pysync_web.core.wire import (
    Answer,
    Problem,
    ServerChange,
    decode_change,
    decode_request,
    decode_response,
    decode_server_change,
    encode_server_change,
)
from pysync_web.core.wire.pages import parse_page
from pysync_web.errors import SchemaError
from pysync_web.values import canonical, decode, dumps, parse_each
from tests.laws.strategies import documents, law, scalars, states, texts, values
from tests.simulator.lab import DAY_MS, START_MS, Device, Lab
from tests.simulator.storage import run

TIME = "2026-11-21T07:49:30.12300000Z"
times = st.sampled_from([TIME, TIME, "2026-11-21T07:49:31Z", "never", 1, None])
ids = st.sampled_from(["server", '"v":{', "}}}", "zed"])
odd = st.sampled_from([None, 1, True, -1, "", "x y", [], {}, {"server": -1}, {"server": True}, {"/a": TIME}, TIME])


@st.composite
def server_changes(draw: st.DrawFn) -> Any:
    """A document as a server sends it, often with something about it that is wrong or unusual."""
    change: dict[str, Any] = {
        "collection": "notes",
        "key": draw(st.sampled_from(["1", "2", "é", "a\x01b", "k" * 129])),
        "operation": draw(st.sampled_from(["update", "update", "delete", "insert", "?"])),
        "document": draw(documents),
        "timestamp": TIME,
        "version_vector": draw(st.dictionaries(st.sampled_from(["server", "r1"]), st.integers(0, 3))),
        "op_id": "o" * draw(st.sampled_from([1, 32, 128, 129])),
    }
    if draw(st.booleans()):
        change["stamps"] = draw(st.dictionaries(st.sampled_from(["", "/a", "/b/c", "a", "/" * 65]), times))
    if draw(st.booleans()):
        change["since"] = draw(times)
    if draw(st.booleans()):
        change[draw(st.sampled_from([*change, "stamps", "since", "removed", "more"]))] = draw(odd)
    if draw(st.integers(0, 9)) == 0:
        del change[draw(st.sampled_from(list(change)))]
    return change


def outcome(read: Any) -> Any:
    try:
        return read()
    except SchemaError as error:
        return str(error), error.place, error.code


def changes_in(text: str) -> tuple[ServerChange, ...]:
    """Read an answer's documents, each with the text of its body only where that is what it is."""
    found = decode_response(text).server_changes
    assert all(one.text is None or json.loads(one.text) == one.document.body for one in found)
    return tuple(one._replace(text=None) for one in found)


@law
@given(st.lists(server_changes() | odd, max_size=4))
def test_a_page_of_documents_reads_as_each_of_them_does(page):
    head = {"epoch": "e", "since": 0, "server_version": {"server": 4}, "timestamp": TIME}
    for text in (json.dumps({**head, "server_changes": page}), page_text(page, head)):
        alone = outcome(lambda text=text: each_alone(json.loads(text)["server_changes"]))
        assert outcome(lambda text=text: changes_in(text)) == alone


def each_alone(page: list[Any]) -> tuple[ServerChange, ...]:
    """Read documents one by one."""
    return tuple(decode_server_change(one, f"server_changes[{i}]") for i, one in enumerate(page))


USUAL = {
    "collection": "notes",
    "key": "1",
    "operation": "update",
    "document": {"a": 1},
    "timestamp": TIME,
    "version_vector": {"server": 1},
    "op_id": "o",
}
UNUSUAL: dict[str, list[Any]] = {
    "collection": ["1", "", 1, None],
    "key": ["", "a\x01", 1, None],
    "operation": ["delete", "?", None],
    "document": [{}, [], None],
    "timestamp": ["never", "2026-11-21T07:49:31Z", 1, None],
    "since": ["never", "2026-11-21T07:49:31Z", 1, None],
    "stamps": [{}, [], None, {"a": TIME}, {"/" * 65: TIME}, {"/" + "a" * 16384: TIME}, {"/a": "never"}, {"/a": 1}],
    "version_vector": [{}, [], None, {"server": -1}, {"server": True}, {"a b": 1}, {"server": "1"}],
    "op_id": ["o" * 129, 1, None],
    "removed": [["/a"], ["a"], 1],
    "more": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, some in UNUSUAL.items() for value in some])
def test_one_thing_that_is_unusual_is_not_overlooked(name, value):
    page = [USUAL, {**USUAL, "stamps": {"/a": TIME}, "since": TIME, name: value}, USUAL]
    head = {"epoch": "e", "since": 0, "server_version": {"server": 4}, "timestamp": TIME}
    alone = outcome(lambda: each_alone(page))
    for text in (json.dumps({**head, "server_changes": page}), page_text(page, head)):
        assert outcome(lambda text=text: changes_in(text)) == alone


@st.composite
def sent_changes(draw: st.DrawFn) -> Any:
    """A change as a client sends it, often with something about it that is wrong or unusual."""
    operation = draw(st.sampled_from(["insert", "update", "delete", "?"]))
    change: dict[str, Any] = {
        "collection": "notes",
        "key": draw(st.sampled_from(["1", "2", "é", "a\x01b", "k" * 129])),
        "operation": operation,
        draw(st.sampled_from(["document", "document", "delta"])): draw(documents),
        "timestamp": TIME,
        "op_id": "o" * draw(st.sampled_from([1, 32, 128, 129])),
        "n": draw(st.integers(0, 3)),
        "base_version": draw(st.dictionaries(st.sampled_from(["server", "r1"]), st.integers(0, 3))),
    }
    if draw(st.booleans()):
        change["merge"] = draw(st.sampled_from(["fields", "fields", None, ""]))
    if draw(st.booleans()):
        more = ["stamps", "since", "removed", "transaction", "deeds", "relays", "contains", "more"]
        change[draw(st.sampled_from([*change, *more]))] = draw(odd)
    if draw(st.integers(0, 9)) == 0:
        del change[draw(st.sampled_from(list(change)))]
    return change


def pushed(changes: list[Any]) -> str:
    return json.dumps({"database": "d", "client_id": "c", "changes": changes})


def read_one_by_one(changes: list[Any]) -> Any:
    given = json.loads(json.dumps(changes))
    return outcome(lambda: tuple(decode_change(one, f"changes[{i}]") for i, one in enumerate(given)))


@law
@given(st.lists(sent_changes() | odd, max_size=4))
def test_the_changes_of_a_push_read_as_each_of_them_does(changes):
    assert outcome(lambda: decode_request(pushed(changes)).changes) == read_one_by_one(changes)


@law
@given(st.lists(sent_changes(), max_size=4))
def test_the_texts_of_a_push_are_those_of_its_bodies(changes):
    request = outcome(lambda: decode_request(pushed(changes)))
    if not isinstance(request, tuple):
        bodies = [change.state.body for change in request.changes]
        for body, text in request.texts:
            assert any(body is one for one in bodies) and text == canonical(body)


@law
@given(st.lists(st.lists(sent_changes(), max_size=3), max_size=3))
def test_a_push_stores_and_answers_the_same_without_its_texts(pushes):
    """The changes come again in the second round: each is known by its fingerprint."""
    requests = [outcome(lambda given=given: decode_request(pushed(given))) for given in pushes] * 2
    requests = [request for request in requests if not isinstance(request, tuple)]
    quick, plain = Lab(), Lab()
    for request in requests:
        answers = [
            lab.subject.serve(lab.server, one, lab.now_ms, lab.rng, None)
            for lab, one in ((quick, request), (plain, replace(request, texts=())))
        ]
        assert answers[0] == answers[1]
    assert quick.server.snapshot() == plain.server.snapshot()


@st.composite
def new_documents(draw: st.DrawFn) -> Any:
    """A change as a client sends it that makes a document, or something else now and then."""
    change: dict[str, Any] = {
        "collection": draw(st.sampled_from(["notes", "notes", "tasks"])),
        "key": draw(st.text(st.sampled_from("abé\\"), min_size=1, max_size=2)),
        "operation": draw(st.sampled_from(["insert", "update"])),
        "document": draw(st.dictionaries(texts, scalars, min_size=1, max_size=2)),
        "timestamp": draw(st.sampled_from([TIME, timestamp(START_MS), timestamp(START_MS + 1000)])),
        "op_id": draw(st.text(st.sampled_from('abcd"\\'), min_size=1, max_size=8)),
        "n": draw(st.integers(1, 9)),
        "base_version": draw(st.dictionaries(st.sampled_from(["server", "r1"]), st.integers(0, 3))),
        "merge": "fields",
    }
    if draw(st.integers(0, 9)) == 9:
        change |= draw(st.sampled_from(UNLIKELY))
    return usual(change)


def usual(change: dict[str, Any]) -> dict[str, Any]:
    """Leave out the members that are None, as a client does."""
    return {name: value for name, value in change.items() if value is not None}


NEW = {
    "collection": "notes",
    "key": "1",
    "operation": "insert",
    "document": {"a": 1},
    "timestamp": timestamp(START_MS),
    "op_id": "o",
    "n": 1,
    "base_version": {},
    "merge": "fields",
}
UNLIKELY: list[dict[str, Any]] = [
    {"operation": "delete"},
    {"operation": "update", "document": None, "delta": {"a": 1}},
    {"document": {}},
    {"document": {"a": {"$crdt": "g_counter", "counts": {"r1": 1}}}},
    {"timestamp": None},
    {"timestamp": timestamp(START_MS + DAY_MS)},
    {"since": TIME, "stamps": {"/a": timestamp(START_MS)}},
    {"stamps": {"/a": timestamp(START_MS + DAY_MS)}},
    *({name: None} for name in ("op_id", "n", "base_version", "merge")),
    *({"transaction": 1}, {"transaction": 2}, {"deeds": "d"}, {"relays": True}, {"contains": {"r1": 1}}),
]


def served(pushes: list[Any], guard: Guard | None = None) -> list[Any]:
    """Give what a server answers to pushes, each of a client of its own, and all that it stores."""
    lab, answers = Lab(guard=guard), []
    for number, (changes, protocol, client) in enumerate(pushes):
        message = {"client_id": f"{client}{number or ''}", "protocol": protocol, "changes": changes, "limit": 2}
        answers.append(outcome(lambda message=message: lab.serve(json.dumps(message))))
    return [answers, lab.server.snapshot()]


def served_one_by_one(pushes: list[Any], guard: Guard | None = None) -> list[Any]:
    """Do the same where each change is decided alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push.Push, "_meet_nothing", lambda self, changes: False)
        return served(pushes, guard)


@law
@given(
    st.lists(st.tuples(st.lists(new_documents(), max_size=5), st.integers(0, 1), ids), min_size=1, max_size=3),
    st.sampled_from([None, None, lambda change, *_: Problem("no", "no") if "é" in change.key else None]),
)
def test_changes_that_meet_nothing_are_decided_as_each_of_them_is(pushes, guard):
    """All come twice: the second time each is known."""
    assert served(pushes * 2, guard) == served_one_by_one(pushes * 2, guard)


@pytest.mark.parametrize("protocol", [0, 1])
@pytest.mark.parametrize("strange", UNLIKELY)
def test_a_change_that_needs_deciding_is_not_taken_as_it_is(strange, protocol):
    first, second, third = ({**NEW, "key": str(i), "op_id": f"o{i}"} for i in range(3))
    pushes = [([first, usual({**second, **strange}), third], protocol, "zed")]
    assert served(pushes) == served_one_by_one(pushes)


def test_a_new_document_that_meets_another_is_decided():
    other = {**NEW, "document": {"b": 2}, "timestamp": TIME, "op_id": "p"}
    for pushes in ([([NEW, other], 1, "zed")], [([NEW], 1, "zed"), ([other], 1, "zed")]):
        assert served(pushes) == served_one_by_one(pushes)


SENT = {
    "collection": "notes",
    "key": "1",
    "operation": "insert",
    "document": {"a": 1},
    "timestamp": TIME,
    "op_id": "o",
    "n": 1,
    "base_version": {"server": 1},
    "merge": "fields",
}
STRANGE: dict[str, list[Any]] = {
    "collection": ["1", "", 1, None, []],
    "key": ["", "a\x01", 1, None, []],
    "operation": ["delete", "update", "?", None, []],
    "document": [
        *({}, [], None, "text", {"_key": "1"}, {"_key": "1", "a": 1}, {"a": "x" * 65537}, {"n" * 257: 1}),
        *({"a": {"$crdt": "counter"}}, {"a": [{"$crdt": "counter"}]}, {f"{i}": "x" * 60000 for i in range(5)}),
    ],
    "delta": [{}, {"b": 1}, None],
    "timestamp": ["never", "2026-11-21T07:49:31Z", 1, None, []],
    "op_id": ["", "o" * 129, "a b", 1, None, []],
    "n": [0, -1, True, "1", 1.0, None],
    "base_version": [
        *({}, [], None, {"server": -1}, {"server": True}, {"a b": 1}, {"server": "1"}),
        {f"r{i}": 1 for i in range(1001)},
    ],
    "merge": ["", 1, None, [], "a b"],
    "stamps": [{}, [], {"/a": TIME}, {"a": TIME}],
    "since": ["never", TIME, None],
    "removed": [["/a"], ["a"], 1],
    "transaction": [1, 0],
    "relays": [True],
    "contains": [{"r1": 1}, []],
    "more": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, some in STRANGE.items() for value in some])
def test_one_strange_change_among_usual_ones_is_not_overlooked(name, value):
    shorter = {other: SENT[other] for other in SENT if other not in (name, "merge")}
    for strange in ({**SENT, name: value}, {**shorter, name: value}, shorter):
        changes = [SENT, strange, SENT]
        assert outcome(lambda given=changes: decode_request(pushed(given)).changes) == read_one_by_one(changes)


keys = st.sampled_from(["1", "2", "3"])
tricky = st.recursive(
    st.sampled_from([1, None, "x", "NaN", ',"document":', {}, []]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["document", "key", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
plain_texts = st.sampled_from(["a", ',"document":', '"', "NaN"])
ids_or_names = st.sampled_from(["a", "document", "key", "z"])
entries = st.fixed_dictionaries(
    {"collection": plain_texts},
    optional={
        "delta": st.just({}),
        "document": tricky,
        "key": plain_texts,
        "op_id": plain_texts,
        "stamps": st.dictionaries(ids_or_names, plain_texts),
        "version_vector": st.dictionaries(ids_or_names, st.integers(0, 9)),
    },
)


def page_text(page: list[Any], rest: dict[str, Any], style: int = 0) -> str:
    """Write an answer as our server does, or (style 1) with spaces, or (2) with its members in another order."""
    if style == 2:
        page = [dict(reversed(change.items())) for change in page]
    separators = (", ", ": ") if style == 1 else (",", ":")
    changes = json.dumps(page, separators=separators, sort_keys=style == 0)
    return f'{{"a":1,"canonical":true,"server_changes":{changes},{dumps(rest)[1:]}'


@law
@given(
    st.lists(entries, max_size=3),
    st.dictionaries(st.sampled_from(["conflicts", "zz"]), tricky, min_size=1),
    st.data(),
)
@example([{"collection": "a", "delta": {}, "key": "b"}], {"zz": [{"a": 1, "document": {}, "key": "c"}]}, None)
@example([{"collection": "a", "key": "b"}], {"zz": [{"a": 1, "document": {}, "key": "c"}]}, None)
@example([{"collection": "a", "document": {"a": 1, "document": {"x": 1}, "key": "k"}, "key": "b"}], {"zz": 1}, None)
@example([{"collection": "a", "document": "x,\n", "key": "b"}] * 2, {"zz": 1}, None)
def test_an_answer_is_the_same_whether_its_bodies_were_cut_out_or_not(page, rest, data):
    for style in (0, 1, 2):
        text = page_text(page, rest, style)
        places = data.draw(st.lists(st.integers(0, len(text) - 1), max_size=2)) if data else []
        for place in places:
            text = (
                text[:place]
                + data.draw(st.sampled_from(["", '"', "NaN", "[", "}", ',"key":', "\n"]))
                + text[place + 1 :]
            )
        bodies: list[str] = []
        found = parse_page(text, bodies)
        assert bodies == [] or found is not None
        if found is not None:
            assert found == json.loads(text)
            assert list(map(json.loads, bodies)) == [change["document"] for change in found["server_changes"]]


@pytest.mark.parametrize("depth", [69, 70, 100_000])
def test_a_body_that_is_nested_too_deep_is_not_parsed_by_itself(depth):
    change = {"collection": "a", "document": 0, "key": "b"}
    text = page_text([change], {"zz": 1}).replace('"document":0', f'"document":{"[" * depth}{"]" * depth}')
    assert (parse_page(text, []) is None) == (depth > 69)
    for trap in ('{"a":"x,"document":', '{"canonical":true,"server_changes":[{"a":"x,"document":'):
        assert parse_page(f'{trap}{"[" * depth},"key":"}}', []) is None


@law
@given(st.lists(st.tuples(keys, states()), max_size=4))
def test_the_texts_of_bodies_come_with_a_page_of_documents(page):
    usual = [("notes", key, Document(state, {"server": 1}, "op")) for key, state in page if state.body]
    changes = [encode_server_change(*one) for one in usual]
    head = {"epoch": "e", "since": 0, "server_version": {"server": 4}, "timestamp": TIME}
    found = decode_response(Answer(head, changes, []).text()).server_changes
    assert [(one.text, one.document) for one in found] == [(dumps(doc.body), doc) for _, _, doc in usual]


@pytest.mark.parametrize("name", ["ë", "\\u0061", "\\u00e9"])
def test_only_a_body_that_needs_no_second_look_has_its_text(name):
    head = {"epoch": "e", "since": 0, "server_version": {"server": 4}, "timestamp": TIME}
    change = encode_server_change("notes", "1", Document(State({"x": 1}, TIME), {"server": 1}, "op"))
    text = Answer(head, [change.replace("x", name)], []).text()
    for is_canonical in (True, False):
        (found,) = decode_response(text if is_canonical else text.replace('"canonical":true,', "")).server_changes
        assert (found.text is not None) == (name == "\\u00e9" and is_canonical)
        assert list(found.document.body) == [json.loads(f'"{name}"')]


@pytest.mark.parametrize(
    "texts",
    [
        ['{"a":1},{"b":[2', "3]}"],
        ['{"a":[1', "2]}"],
        ['{},NaN,{"a":[1', "2]}"],
        ['{},null,{"a":[1', "2]}"],
        ['"a', 'b",NaN,"c"'],
        ['{"a":"x', 'y"},NaN,{"b":1}'],
        ['{"a":NaN}', "{}"],
        ["NaN", "{}"],
        ["{}", "Infinity"],
        ["1,2", "3"],
        ["{}", "{}]"],
        ["{}]", "{}"],
        ["", "{}"],
        [""],
        ["{} {}"],
        ["[1"],
    ],
)
def test_texts_that_are_one_value_only_together_are_refused(texts):
    with pytest.raises(ValueError, match=r"not one value|Expecting|Invalid control|not JSON|brackets"):
        parse_each(texts)


@law
@given(st.lists(values, min_size=1))
def test_texts_are_parsed_together_as_each_of_them_is(given):
    assert parse_each([json.dumps(value) for value in given]) == given


@law
@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.data())
def test_a_name_that_occurs_twice_is_found_however_the_text_is_written(document, data):
    style = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",", "\n:")]))
    text = json.dumps(document, separators=style, ensure_ascii=data.draw(st.booleans()))
    twice = json.dumps(data.draw(st.sampled_from(list(document))))
    assert decode(text) == document
    with pytest.raises(SchemaError, match="occurs twice"):
        decode(f'{text[:-1]},{twice}:"a colon in a text: \\":"}}')


@pytest.mark.parametrize("is_list", [True, False])
@pytest.mark.parametrize("text", ['"]]]]"', '"[[[["', '"\\"[["', '"\\\\"', "1"])
def test_nesting_is_counted_outside_of_texts(is_list, text):
    def nested(levels: int) -> str:
        opening, closing = ("[", "]") if is_list else (f'{{"b":{text},"a":', "}")
        return opening * levels + text + closing * levels

    assert decode(f"[{nested(71)},{nested(71)}]")
    with pytest.raises(SchemaError, match="nested deeper"):
        decode(f"[{nested(72)},{nested(1)}]")


@st.composite
def pages(draw: st.DrawFn) -> list[tuple[str, str, Document]]:
    """Documents that a server sends: mostly later ones than before, some twice, some deleted."""
    found = []
    for key in draw(st.lists(keys, min_size=1, max_size=3, unique=draw(st.integers(0, 4)) > 0)):
        version = draw(st.dictionaries(ids, st.integers(0, 3), max_size=2)) | {"server": draw(st.integers(1, 9))}
        found.append((draw(st.sampled_from(["notes", "tasks"])), key, Document(draw(states()), version, "op")))
    return found


def taken_in(device: Device, steps: list[Any]) -> list[Any]:
    """Save documents, take in pages; give what each answer did, and all that is stored at last."""
    outcomes = []
    for number, step in enumerate(steps):
        if isinstance(step, str):
            device.save(step, {"a": number})
            continue
        request = run(device.storage.read(lambda tx: build_pull(tx, device.options)))
        head = {"epoch": "e", "since": request.since, "server_version": {"server": 0}}
        head |= {"timestamp": timestamp(1_700_000_000_004), "has_more": True}
        outcomes.append(device.take(request, Answer(head, [encode_server_change(*one) for one in step], []).text()))
    return [outcomes, device.storage.snapshot()]


@law
@given(st.lists(pages() | keys, min_size=1, max_size=5))
@example(
    [[("notes", "1", Document(State({"a": 1, "b": 1}, timestamp(1), {"/a": timestamp(2)}), {"server": 1}, "op"))]]
)
def test_a_page_that_meets_nothing_is_taken_in_as_each_of_its_documents_is(steps):
    async def nothing(*_: object) -> None:
        return None

    together = taken_in(Lab().replica(), steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "look_up", nothing)
        assert taken_in(Lab().replica(), steps) == together


@given(st.lists(pages(), min_size=1, max_size=3))
def test_the_number_of_a_stored_record_is_read_from_the_end_of_its_text(steps):
    for _, _, document in steps[-1]:
        confirmed = Record(document)
        assert sequence_of_text(encode_record(confirmed)) == confirmed.sequence
        assert confirmed_texts([document]) == [encode_record(confirmed)]
        change = Pending("op", 1, "update", document.state, base={"server": 1})
        assert sequence_of_text(encode_record(Record(document, (change,)))) is None
        assert sequence_of_text(encode_record(Record(document, (change,), Waiting(document, "}}}", 1)))) is None
