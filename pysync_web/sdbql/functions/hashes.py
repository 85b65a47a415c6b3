"""Hashes and encodings of texts, which are taken as UTF-8; hexadecimal digits come out small."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

from ..passwords import PasswordError, hash_password, verify_password
from .arguments import a_text
from .registry import Context, FunctionError, function


def _bytes(value: Any, place: int = 1) -> bytes:
    try:
        return a_text(value, place).encode()
    except UnicodeEncodeError:
        raise FunctionError(f"argument {place} holds half a character") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FunctionError("what it decodes to is no text in UTF-8") from None


@function("MD5", least=1, most=1)
def md5(text: Any) -> str:
    """Give the MD5 sum of a text: for checksums, it protects nothing."""
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()


@function("SHA256", least=1, most=1)
def sha256(text: Any) -> str:
    """Give the SHA-256 hash of a text."""
    return hashlib.sha256(_bytes(text)).hexdigest()


@function("SHA512", least=1, most=1)
def sha512(text: Any) -> str:
    """Give the SHA-512 hash of a text."""
    return hashlib.sha512(_bytes(text)).hexdigest()


@function("HMAC_SHA256", least=2, most=2)
def hmac_sha256(key: Any, message: Any) -> str:
    """Give the HMAC of a message under a key, by SHA-256."""
    return hmac.new(_bytes(key), _bytes(message, 2), hashlib.sha256).hexdigest()


@function("BASE64_ENCODE", "TO_BASE64", least=1, most=1)
def base64_encode(text: Any) -> str:
    """Write a text in Base64."""
    return base64.b64encode(_bytes(text)).decode()


@function("BASE64_DECODE", "FROM_BASE64", least=1, most=1)
def base64_decode(text: Any) -> str:
    """Read a text from Base64."""
    try:
        return _text(base64.b64decode(_bytes(text), validate=True))
    except binascii.Error:
        raise FunctionError("this is not Base64") from None


@function("HEX_ENCODE", "TO_HEX", least=1, most=1)
def hex_encode(text: Any) -> str:
    """Write a text's bytes in hexadecimal digits."""
    return _bytes(text).hex()


@function("HEX_DECODE", "FROM_HEX", least=1, most=1)
def hex_decode(text: Any) -> str:
    """Read a text from hexadecimal digits."""
    try:
        return _text(binascii.unhexlify(_bytes(text)))
    except binascii.Error:
        raise FunctionError("these are not pairs of hexadecimal digits") from None


@function("ARGON2_HASH", least=1, most=1, needs_context=True)
def argon2_hash(ctx: Context, password: Any) -> str:
    """Hash a password by Argon2id, with a salt from the query's generator."""
    text = a_text(password)
    ctx.spend(200_000)
    try:
        return hash_password(text, ctx.rng.randbytes(16))
    except PasswordError as error:
        raise FunctionError(str(error)) from None


@function("ARGON2_VERIFY", least=2, most=2, needs_context=True)
def argon2_verify(ctx: Context, stored: Any, password: Any) -> bool:
    """Tell whether a hash is of a password."""
    hashed, text = a_text(stored), a_text(password, 2)
    ctx.spend(200_000)
    try:
        return verify_password(hashed, text)
    except PasswordError as error:
        raise FunctionError(str(error)) from None
