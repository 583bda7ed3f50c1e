"""The agent and the worker: run on the server by its own python3 (3.8 or newer), nothing else."""
