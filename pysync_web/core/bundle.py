"""Documents as one file: a head, a document a line, and the hash of all that, so that what was cut or changed shows.

A file is checked as a whole before anything of it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ..errors import FormatTooNew, SchemaError
from ..values import decode, dumps
from .meeting import Shown, decode_shown

FORMAT: Final = 1
MAX_BUNDLE_BYTES: Final = 256 * 1024 * 1024
_NAME: Final = "pysync_web bundle"
_PLACE: Final = "bundle"


def encode_bundle(texts: Sequence[str]) -> bytes:
    """Give the file of documents that are encoded already."""
    head = dumps({"documents": len(texts), "format": FORMAT, "is": _NAME})
    content = "".join(f"{line}\n" for line in (head, *texts)).encode()
    return content + (dumps({"sha256": sha256(content).hexdigest()}) + "\n").encode()


def decode_bundle(data: bytes) -> list[Shown]:
    """Read a file; raise :class:`SchemaError` for one that is damaged or none of ours, :class:`FormatTooNew`."""
    if not isinstance(data, bytes):
        raise SchemaError(f"a bundle is bytes, not {type(data).__name__}", place=_PLACE)
    if len(data) > MAX_BUNDLE_BYTES:
        raise SchemaError(f"{len(data)} bytes, over the limit of {MAX_BUNDLE_BYTES}", place=_PLACE)
    documents = _documents_said(data)
    end = data.rfind(b"\n", 0, len(data) - 1) + 1
    if not data.endswith(b"\n") or not data[end:].startswith(b'{"sha256":'):
        raise SchemaError("the file is cut off: its end is missing", place=_PLACE)
    if data[end:] != (dumps({"sha256": sha256(data[:end]).hexdigest()}) + "\n").encode():
        raise SchemaError("the file is damaged: its content is not what its hash was made of", place=_PLACE)
    lines = data[:end].split(b"\n")[1:-1]
    if len(lines) != documents:
        raise SchemaError(f"{len(lines)} documents, where {documents} were due", place=_PLACE)
    return [decode_shown(decode(line, f"line {i}"), f"line {i}") for i, line in enumerate(lines, 2)]


def _documents_said(data: bytes) -> int:
    """Read the head: how many documents there are."""
    line = data[:1000].partition(b"\n")[0]
    try:
        head = decode(line, _PLACE)
    except SchemaError as error:
        raise SchemaError("this is no bundle of pysync_web", place=_PLACE) from error
    if type(head) is not dict or head.get("is") != _NAME or type(head.get("format")) is not int:
        raise SchemaError("this is no bundle of pysync_web", place=_PLACE)
    if head["format"] > FORMAT:
        raise FormatTooNew(
            f"the bundle has format {head['format']}, this pysync_web reads up to {FORMAT}: update it"
        )
    documents = head.get("documents")
    if type(documents) is not int:
        raise SchemaError("it does not say how many documents there are", place=_PLACE)
    return documents
