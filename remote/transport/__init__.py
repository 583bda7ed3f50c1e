"""Processes, OpenSSH and rsync on the client."""
