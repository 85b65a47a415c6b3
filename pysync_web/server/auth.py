"""Decides who may come in: by a token, or, where there is none, by being on the same computer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from ..transport.client import is_loopback
from ..transport.problems import Refusal


class Doorkeeper:
    """Compares credentials in constant time; keeps only the token's hash."""

    def __init__(self, token: str | None) -> None:
        self._digest = None if token is None else _digest(token)

    def refusal(self, headers: Mapping[str, str]) -> Refusal | None:
        """Say why a request may not come in, or give None. Names of headers are case-insensitive or lower case."""
        if self._digest is None:
            return _strange_host(headers.get("host", ""))
        given = _credential(headers)
        if given is None:
            return Refusal(401, "no_token", "A token is needed: Authorization: Bearer, or X-API-Key.")
        if not hmac.compare_digest(_digest(given), self._digest):
            return Refusal(401, "wrong_token", "The token is wrong.")
        return None


def _credential(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip() or None


def _strange_host(host: str) -> Refusal | None:
    """Refuse a name of this computer that is not its own: a web site may have made that name point here."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").lower()
    if is_loopback(name):
        return None
    return Refusal(421, "strange_host", "Without a token this server answers to localhost alone.")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
