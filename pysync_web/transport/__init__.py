"""Ways to a sync server: over HTTP from a page or a native program, or to a hub in the same process."""

from .client import HttpClient
from .local import LocalTransport

__all__ = ["HttpClient", "LocalTransport"]
