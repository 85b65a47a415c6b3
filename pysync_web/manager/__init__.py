"""What an application works with: the sync manager over a local store."""
