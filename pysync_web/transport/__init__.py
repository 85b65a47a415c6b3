"""Ways to a sync server (HTTP, a hub here, an application's own functions), and channels to other devices."""

from .callback import CallbackTransport
from .channels import SocketChannel, channel_pair, page_channel
from .client import HttpClient
from .encoded import EncodedTransport
from .local import LocalTransport

__all__ = [
    "CallbackTransport",
    "EncodedTransport",
    "HttpClient",
    "LocalTransport",
    "SocketChannel",
    "channel_pair",
    "page_channel",
]
