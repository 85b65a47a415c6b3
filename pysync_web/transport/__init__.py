"""Ways to a sync server (HTTP, a hub here, an application's own functions), and channels to other devices."""
