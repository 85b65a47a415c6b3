"""Identifiers, made from the generator and the time that the query was given.

So a query run again with the same of both gives the same; they are no secrets.
"""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Any, Final

from .arguments import an_integer
from .registry import Context, FunctionError, function

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
URL_SAFE: Final = f"{digits}{ascii_letters}-_"
MAX_NANOID: Final = 256


@function("UUID", "UUID_V4", "UUIDV4", least=0, most=0, needs_context=True)
def uuid4(ctx: Context) -> str:
    """Make a random UUID (RFC 9562, version 4)."""
    return _as_uuid(ctx.rng.getrandbits(128), 4)


@function("UUID_V7", "UUIDV7", least=0, most=0, needs_context=True)
def uuid7(ctx: Context) -> str:
    """Make a UUID that begins with the time (RFC 9562, version 7)."""
    return _as_uuid(_ms(ctx) << 80 | ctx.rng.getrandbits(80), 7)


def _as_uuid(bits: int, version: int) -> str:
    bits = bits & ~(0xF000 << 64) & ~(0xC000 << 48) | version << 76 | 0x8000 << 48
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _ms(ctx: Context) -> int:
    return ctx.now_ms() & (1 << 48) - 1


@function("ULID", least=0, most=0, needs_context=True)
def ulid(ctx: Context) -> str:
    """Make a ULID: 48 bits of time and 80 random ones, in Crockford's base 32."""
    bits = _ms(ctx) << 80 | ctx.rng.getrandbits(80)
    return "".join(CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))


@function("NANOID", least=0, most=1, needs_context=True)
def nanoid(ctx: Context, size: Any = 21) -> str:
    """Make a Nano ID of 1 to 256 letters, digits, ``-`` and ``_``."""
    length = an_integer(size, 1)
    if not 1 <= length <= MAX_NANOID:
        raise FunctionError(f"the size must be from 1 to {MAX_NANOID}")
    return "".join(ctx.rng.choices(URL_SAFE, k=length))
