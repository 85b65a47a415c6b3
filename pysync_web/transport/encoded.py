"""A transport around another one: the values of documents leave the device encoded, and only so.

Each value is encoded by itself, a list as one. So a server that can read nothing still merges field by field; what it
sees is which collections, keys and names of fields there are, how long values are, and when they change. CRDT values
it must read to join them: they leave as they are, so what is secret does not belong into one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

from ..core.arguments import check_function, check_members
from ..core.ports import Transport
from ..core.wire import Subscription
from ..crdt import is_crdt
from ..errors import Rejected, SchemaError, Unreachable
from ..values import JSON, decode, dumps, loads

Coder: TypeAlias = Callable[[str, str], str]

MARK: Final = "encoded:1"
_PART: Final = 60_000  # a text in a document is not as long as it likes


class EncodedTransport:
    """Encodes what goes out and decodes what comes in, as end-to-end encryption does.

    ``encode(text, place)`` gives the text that stands for a value's JSON text, ``decode(text, place)`` turns it back
    and raises where it can't or where somebody tampered with it. ``place`` is the value's collection, key and path:
    what was moved elsewhere is found out. ``encode`` gives the same text for the same value and place each time (a
    nonce is derived from both, as AES-SIV does): a change that is sent again is the same change.

    ``accepts_plain`` takes values that nobody encoded as they are; by default they are refused. Documents travel
    whole, and can't be filtered by their values. Everything else is the inner transport's.
    """

    can_filter = False

    def __init__(self, inner: Transport, encode: Coder, decode: Coder, *, accepts_plain: bool = False) -> None:
        check_members("inner: a transport", inner, ("exchange", "pokes", "close"))
        check_function("encode", encode)
        check_function("decode", decode)
        self._inner = inner
        self._encode = encode
        self._decode = decode
        self._accepts_plain = accepts_plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def exchange(self, database: str, body: str) -> str:
        """Send a request with its values encoded, and give the answer with its values decoded."""
        request = loads(body)
        request.pop("delta", None)  # a part of a value can't be decoded
        names: dict[str | None, str] = {}
        for change in request.get("changes", ()):
            name = names[change.get("op_id")] = f"{change['collection']}/{change['key']}"
            for member in ("document", "delta"):
                if member in change:
                    change[member] = _mapped(change[member], name, self._encoded)
        answer = await self._inner.exchange(database, dumps(request))
        try:
            return dumps(self._opened(decode(answer, "answer"), names))
        except (SchemaError, KeyError, TypeError, AttributeError) as error:
            raise Unreachable(f"the server's answer can't be used: {error}") from error

    def pokes(
        self, database: str, collections: Collection[str] | None = None, parts: Sequence[Subscription] = ()
    ) -> AsyncIterator[int]:
        """Yield the inner transport's pokes."""
        return self._inner.pokes(database, collections, parts)

    async def close(self) -> None:
        """Close the inner transport."""
        await self._inner.close()

    def _opened(self, answer: Any, names: dict[str | None, str]) -> Any:
        for change in (*answer.get("server_changes", ()), *answer.get("conflicts", ())):
            if "document" in change:
                name = f"{change['collection']}/{change['key']}"
                change["document"] = _mapped(change["document"], name, self._decoded)
        for result in answer.get("results", ()):
            for part in (result.get("lost"), result.get("overwritten")):
                if part is not None:
                    part["document"] = _mapped(part["document"], names[result["op_id"]], self._decoded)
        return answer

    def _encoded(self, value: JSON, place: str) -> JSON:
        text = self._encode(dumps(value), place)
        return [MARK, *(text[start : start + _PART] for start in range(0, len(text), _PART))]

    def _decoded(self, value: JSON, place: str) -> JSON:
        if not isinstance(value, list) or value[:1] != [MARK]:
            if self._accepts_plain:
                return value
            raise Rejected(f"{place} is not encoded", status=422, code="not_encoded")
        try:
            return loads(self._decode("".join(str(part) for part in value[1:]), place))
        except Exception as error:
            message = f"{place} can't be decoded: {type(error).__name__} {error}"
            raise Rejected(message, status=422, code="undecodable") from error


def _mapped(value: JSON, place: str, change: Callable[[JSON, str], JSON]) -> JSON:
    """Give a body with each value changed; objects stay what they are, an empty one and a CRDT value too."""
    if is_crdt(value):
        return value
    if isinstance(value, dict):
        return {name: _mapped(inner, f"{place}/{name}", change) for name, inner in value.items()}
    return change(value, place)
