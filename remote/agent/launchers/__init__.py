"""What keeps a worker alive without a connection."""
