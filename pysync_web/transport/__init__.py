"""Ways to a sync server: over HTTP, to a hub in the same process, or to any backend by an application's functions."""

from .callback import CallbackTransport
from .client import HttpClient
from .encoded import EncodedTransport
from .local import LocalTransport

__all__ = ["CallbackTransport", "EncodedTransport", "HttpClient", "LocalTransport"]
