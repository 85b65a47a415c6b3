"""The message pair, and the one decoder through which everything from outside comes in.

A plain client may leave out ``op_id``, ``n``, ``request_id``, ``fence`` and versions; a document travels as the
text that lies in the server's storage, so an answer is put together without encoding a document.
"""

from __future__ import annotations

from .messages import (
    MAX_BODY_BYTES,
    MAX_CHANGES,
    MAX_COLLECTIONS,
    MAX_PAGE,
    MAX_PAGE_BYTES,
    MAX_TRANSACTION,
    NO_DOCUMENT,
    PROTOCOL,
    Answer,
    Change,
    DeltaWish,
    Had,
    Operation,
    Problem,
    Result,
    ServerChange,
    Snapshot,
    Subscription,
    SyncRequest,
    SyncResponse,
)
from .parts import decode_collections, decode_vector, is_pointer
from .requests import (
    decode_change,
    decode_request,
    decode_subscriptions,
    encode_change,
    encode_request,
    encode_subscription,
)
from .responses import (
    decode_losses,
    decode_response,
    decode_server_change,
    decode_stored,
    encode_losses,
    encode_remove,
    encode_result,
    encode_server_change,
)

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_CHANGES",
    "MAX_COLLECTIONS",
    "MAX_PAGE",
    "MAX_PAGE_BYTES",
    "MAX_TRANSACTION",
    "NO_DOCUMENT",
    "PROTOCOL",
    "Answer",
    "Change",
    "DeltaWish",
    "Had",
    "Operation",
    "Problem",
    "Result",
    "ServerChange",
    "Snapshot",
    "Subscription",
    "SyncRequest",
    "SyncResponse",
    "decode_change",
    "decode_collections",
    "decode_losses",
    "decode_request",
    "decode_response",
    "decode_server_change",
    "decode_stored",
    "decode_subscriptions",
    "decode_vector",
    "encode_change",
    "encode_losses",
    "encode_remove",
    "encode_request",
    "encode_result",
    "encode_server_change",
    "encode_subscription",
    "is_pointer",
]
