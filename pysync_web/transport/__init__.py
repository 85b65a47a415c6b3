"""Ways to a sync server, over HTTP or to a hub in the same process, and channels to other devices."""

from .channels import SocketChannel, channel_pair, page_channel
from .client import HttpClient
from .local import LocalTransport

__all__ = ["HttpClient", "LocalTransport", "SocketChannel", "channel_pair", "page_channel"]
