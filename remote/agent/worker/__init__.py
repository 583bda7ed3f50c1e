"""The supervisor of one job, from its environment to its end."""
