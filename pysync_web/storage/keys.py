"""Keys as bytes that sort like the keys themselves, for backends whose own order is another.

Texts sort by code point, which is the order of their UTF-8; each part ends in a NUL, which no text may hold.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from itertools import chain

from ..core.ports import Key
from ..errors import InvalidDocument

AFTER_ALL = b"\xff"
"""Sorts after every packed key; ``pack(prefix) + AFTER_ALL`` after every key with that prefix."""

_TEXT, _INTEGER, _END = "\x02", "\x01", "\x00"
_NEXT_TEXT, _NEXT_INTEGER = _END + _TEXT, _END + _INTEGER
_OFFSET = 2**63
_INTEGER_BYTES = 18
_SURROGATE = re.compile("[\ud800-\udfff]")


def pack(key: Key) -> bytes:
    """Give a key as bytes; raise :class:`InvalidDocument` for one that can't be stored."""
    try:
        packed = _TEXT + _NEXT_TEXT.join(key) + _END  # type: ignore[arg-type]
    except TypeError:
        packed = "".join([_pack_part(part, key) for part in key])
    if not key:
        raise InvalidDocument("a key has at least one part, this one is ()")
    if packed.count(_END) != len(key):
        raise InvalidDocument(f"key {key!r}: a text in a key holds no NUL")
    try:
        return packed.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocument(f"key {key!r}: a text in a key holds no lone surrogate") from error


def pack_many(keys: Sequence[Key]) -> list[bytes]:
    """Give many keys as bytes: what :func:`pack` does, but faster where all are of texts, or of one integer each."""
    try:
        packed = [_TEXT + _NEXT_TEXT.join(key) + _END for key in keys]  # type: ignore[arg-type]
        if "".join(packed).count(_END) == sum(map(len, keys)):
            return list(map(str.encode, packed))
    except (TypeError, UnicodeEncodeError):
        pass
    return _pack_integers(keys) or list(map(pack, keys))


def _pack_integers(keys: Sequence[Key]) -> list[bytes] | None:
    """Give keys of one integer each as bytes; None where one is something else."""
    parts = list(chain.from_iterable(keys))
    if not {1}.issuperset(map(len, keys)) or not {int}.issuperset(map(type, parts)):
        return None
    if min(parts, default=0) <= -_OFFSET or max(parts, default=0) >= _OFFSET:  # type: ignore[operator]
        return None
    return [b"\x01%016x\x00" % (part + _OFFSET) for part in parts]  # type: ignore[operator]


def _pack_part(part: str | int, key: Key) -> str:
    if type(part) is str:
        return _TEXT + part + _END
    if type(part) is not int:
        raise InvalidDocument(f"key {key!r}: {part!r} is neither a text nor an integer")
    if not -_OFFSET < part < _OFFSET:
        raise InvalidDocument(f"key {key!r}: {part} lies outside ±(2^63-1)")
    return f"{_INTEGER}{part + _OFFSET:016x}{_END}"


def check_keys(keys: Collection[Key]) -> None:
    """Raise :class:`InvalidDocument` if one of many keys can't be stored: what ``pack`` refuses, but faster."""
    parts = list(chain.from_iterable(keys))
    kinds = set(map(type, parts))
    texts = parts if int not in kinds else [part for part in parts if type(part) is str]
    try:
        joined = "".join(texts)  # type: ignore[arg-type]
        is_fine = all(keys) and kinds <= {str, int} and _END not in joined
        is_fine = is_fine and (joined.isascii() or not _SURROGATE.search(joined))
        if int in kinds:
            integers = [part for part in parts if type(part) is int]
            is_fine = is_fine and min(integers) > -_OFFSET and max(integers) < _OFFSET
    except TypeError:
        is_fine = False
    if not is_fine:
        for key in keys:
            pack(key)


def unpack_many(packed: Sequence[bytes]) -> list[Key]:
    """Give back many keys of one space: what :func:`unpack` does, but faster where all are of one integer each."""
    joined = b"".join(packed)
    if not joined.startswith(b"\x01") or len(joined) != _INTEGER_BYTES * len(packed):
        return list(map(unpack, packed))
    numbers = struct.unpack(f">{len(packed)}Q", bytes.fromhex(joined.translate(None, b"\x01\x00").decode()))
    return [(number - _OFFSET,) for number in numbers]


def unpack(packed: bytes) -> Key:
    """Give back the key that was packed."""
    text = packed.decode()
    if text[0] == _TEXT and _NEXT_INTEGER not in text:
        return tuple(text[1:-1].split(_NEXT_TEXT))
    return tuple([_unpack_part(part) for part in text[:-1].split(_END)])


def _unpack_part(part: str) -> str | int:
    return part[1:] if part[0] == _TEXT else int(part[1:], 16) - _OFFSET


def bounds(prefix: Key, after: Key | None, reverse: bool) -> tuple[bytes, bytes]:
    """Give the packed range of a scan: from the first, included, to the second, excluded."""
    low = pack(prefix) if prefix else b""
    high = low + AFTER_ALL
    if after is None:
        return low, high
    if reverse:
        return low, min(high, pack(after))
    return max(low, pack(after) + b"\x00"), high
