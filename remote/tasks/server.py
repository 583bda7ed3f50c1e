"""`inv doctor`, `remote-gpus`, `remote-secrets`: what this machine and the server have, and lack."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.errors import ConfigError
from remote.output import plural, print_lines, printable, say
from remote.tasks.declare import command
from remote.tasks.result import tell, tell_target
from remote.tasks.sync import pool_of, server_of

if TYPE_CHECKING:
    from remote.operations.doctor import Check

#: Variables by which shells, the linker and Python find what they run.
STEERING = re.compile(
    r"PATH|HOME|SHELL|ENV|BASH_ENV|IFS|(LD|DYLD)_\w+|PYTHON[A-Z]+|VIRTUAL_ENV|CONDA_PREFIX"
)


@command(json=True)
def doctor(c: Context, target: str = "") -> None:
    """Check this machine and the server, and print how to fix each problem.

    The exit code is 1 if a problem stops all work.
    Example: inv doctor
    """
    from remote.operations.doctor import examine

    checks = []
    for check in examine(target):
        checks.append(check)
        _show(check)
    tell(checks=checks)
    problems = [check for check in checks if not check.ok]
    stopping = [check for check in problems if check.stops]
    if stopping:
        raise Exit(f"{plural(len(problems), 'problem')}, {len(stopping)} of them blocking.", code=1)
    say(
        f"{plural(len(problems), 'problem')}, none of them blocking."
        if problems
        else "No problems."
    )


def _show(check: Check) -> None:
    mark = "ok" if check.ok else "fail" if check.stops else "warn"
    place = {"here": "laptop", "there": "server"}.get(check.where, check.where)
    print_lines(f"{mark:<4}  {place:<6}  {check.name:<13}  {check.message}".rstrip())
    if not check.ok and check.fix:
        print_lines(f"{'':29}fix: {check.fix}")


@command(json=True)
def remote_gpus(c: Context, target: str = "") -> None:
    """List the GPUs of one or several servers: memory, load, and the job or process that uses them.

    Example: inv remote-gpus
    """
    from remote.operations.placement import gpus_of
    from remote.tasks.tables import gpu_table, waiting_lines

    if servers := pool_of(target):
        from remote.tasks import pools

        pools.list_gpus(servers)
        return
    server = server_of(target)
    answer = gpus_of(server)
    tell_target(server, answer)
    if not answer.gpus:
        say("The server has no GPU that nvidia-smi, amd-smi or rocm-smi finds.")
        return
    print_lines(*gpu_table(answer), *waiting_lines(answer))


@command(
    positional=["key"],
    help={
        "key": "the name of the environment variable; without it, the names that are set are listed",
        "forget": "remove it from the server",
    },
    json=True,
)
def remote_secrets(c: Context, key: str = "", target: str = "", forget: bool = False) -> None:
    """Ask for a secret and store it on the server for jobs, readable only by you.

    Without a terminal it is read from standard input.
    Example: inv remote-secrets WANDB_API_KEY
    """
    from remote.job.messages.target import SecretRequest

    server = server_of(target)
    if forget and not key:
        raise ConfigError("--forget needs the name of a secret.", "inv remote-secrets lists them.")
    if not forget and STEERING.fullmatch(key):
        raise ConfigError(
            f"{key} changes which programs and libraries jobs run, and is no secret.",
            f"For one job: --env {key}=...; for all: a line `export {key}=...` of `setup` in"
            " [tool.remote].",
        )
    value = None if forget or not key else _read_secret(key)
    answer = server.agent.call(SecretRequest(key=server.key, name=key, value=value))
    tell_target(server, answer)
    print_lines(*answer.names or ["No secret is set."])


def _read_secret(key: str) -> str:
    """The value that is typed, unseen; raises ConfigError where none is."""
    if sys.stdin.isatty():
        from getpass import getpass

        value = getpass(printable(f"{key}: "))
    else:
        # All lines: a private key has several. Windows' editors begin a file with a mark.
        value = sys.stdin.read().removeprefix("\ufeff").rstrip("\r\n")
    if not value:
        raise ConfigError(
            "Nothing was typed, so nothing was changed.",
            f"Type the value on a terminal, or pipe it in: inv remote-secrets {shlex.quote(key)} < FILE",
        )
    return value
