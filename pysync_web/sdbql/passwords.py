"""Passwords hashed by Argon2id, through the optional library argon2-cffi: the one place that imports it.

What a stored hash asks for is looked at before it is done: a hash made to take all memory is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

MEMORY_KIB: Final = 19_456
ROUNDS: Final = 2
MOST: Final = {"m": 65_536, "t": 10, "p": 8}
MAX_PASSWORD: Final = 4096

_HASH = re.compile(
    r"\$argon2(?:id|i|d)\$v=\d{1,3}\$m=(?P<m>\d{1,9}),t=(?P<t>\d{1,9}),p=(?P<p>\d{1,9})"
    r"\$[A-Za-z0-9+/]{1,128}\$[A-Za-z0-9+/]{1,172}",
    re.ASCII,
)


class PasswordError(Exception):
    """No hash, one that asks for too much, or no library; the message says which."""


def hash_password(password: str, salt: bytes) -> str:
    """Hash a password by Argon2id with 19 MiB and two rounds."""
    low_level = _library().low_level
    found: bytes = low_level.hash_secret(_encoded(password), salt, ROUNDS, MEMORY_KIB, 1, 32, low_level.Type.ID)
    return found.decode()


def verify_password(stored: str, password: str) -> bool:
    """Tell whether a hash is of a password."""
    found = _HASH.fullmatch(stored)
    if not found:
        raise PasswordError("this is no hash of Argon2")
    for name, most in MOST.items():
        if int(found[name]) > most:
            raise PasswordError(f"the hash asks for {name}={found[name]}; the limit is {most}")
    library = _library()
    kind = {"d": "D", "i": "I", "id": "ID"}[stored[len("$argon2") : stored.index("$", 1)]]
    try:
        verified: bool = library.low_level.verify_secret(
            stored.encode(), _encoded(password), getattr(library.low_level.Type, kind)
        )
    except library.exceptions.VerifyMismatchError:
        return False
    except library.exceptions.Argon2Error as error:
        raise PasswordError(f"the hash can't be verified: {error}") from None
    return verified


def _encoded(password: str) -> bytes:
    if len(password) > MAX_PASSWORD:
        raise PasswordError(f"a password of more than {MAX_PASSWORD} characters")
    return password.encode("utf-8", "surrogatepass")


def _library() -> Any:
    try:
        import argon2  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise PasswordError("Argon2 is not here: install the package argon2-cffi") from None
    return argon2
