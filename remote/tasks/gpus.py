"""`inv remote-gpus`, `remote-secrets`: what the server has, and what it keeps for jobs."""

from __future__ import annotations

import sys

from invoke.context import Context
from invoke.tasks import task

from remote.errors import ConfigError
from remote.output import plural, print_json, print_lines, say
from remote.tasks.argparse_task import ArgparseTask
from remote.tasks.exits import exit_on_error
from remote.tasks.sync import TARGET_HELP, server_of
from remote.tasks.tables import gpu_table


@task(help={"target": TARGET_HELP, "json": "all that is known, as JSON"})
@exit_on_error
def remote_gpus(c: Context, target: str = "", json: bool = False) -> None:
    """List the server's GPUs: memory, load, which job or which stranger holds them."""
    from remote.operations.jobs import gpus

    answer = gpus(server_of(target))
    if json:
        print_json(answer)
        return
    if not answer.gpus:
        say("The server has no NVIDIA GPU (no nvidia-smi finds one).")
        return
    print_lines(*gpu_table(answer))
    for place, job in enumerate(answer.waiting, 1):
        gpus_wanted = plural(job.gpus, "GPU")
        print_lines(f"waiting, {place}.: {job.job} ({job.user}) for {gpus_wanted}")


@task(
    klass=ArgparseTask,
    positional=["key"],
    help={
        "key": "the name of the environment variable; without one, the names that are set",
        "target": TARGET_HELP,
        "forget": "remove it from the server",
    },
)
@exit_on_error
def remote_secrets(c: Context, key: str = "", target: str = "", forget: bool = False) -> None:
    """Ask for a secret and keep it on the server, for jobs there, readable by you alone.

    Without a terminal it is read from standard input.
    """
    from remote.operations.jobs import secret

    server = server_of(target)
    if forget and not key:
        raise ConfigError("--forget needs the name of a secret.")
    value = None if forget or not key else _read_secret(key)
    names = secret(server, key, value) if key else secret(server)
    print_lines(*names or ["No secret is set."])


def _read_secret(key: str) -> str:
    """The value that is typed, unseen; raises ConfigError where none is."""
    if sys.stdin.isatty():
        from getpass import getpass

        value = getpass(f"{key}: ")
    else:
        value = sys.stdin.readline().rstrip("\n")
    if not value:
        raise ConfigError("Nothing was typed, so nothing was changed.")
    return value


TASKS = (remote_gpus, remote_secrets)
