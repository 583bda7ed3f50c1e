"""The client's side of the agent: its zip file, the wire to it, and calls."""
