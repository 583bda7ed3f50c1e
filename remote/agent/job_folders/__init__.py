"""The job folders of a target: found, read, and brought to their end where a worker can't."""
