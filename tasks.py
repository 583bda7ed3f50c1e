"""The project's tasks: `inv --list` shows them. Put your own at the end."""

from remote.tasks import namespace

# A task of your own:
#
#     from invoke import task
#     from remote.connection import connect
#
#     @task
#     def gpus(c):
#         """Show the GPUs of the server."""
#         with connect() as server:
#             server.run("nvidia-smi")
#
#     namespace.add_task(gpus)

__all__ = ["namespace"]
