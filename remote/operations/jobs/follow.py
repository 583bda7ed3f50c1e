"""A job that goes on, seen from here: its log as it grows, and its terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from remote.errors import ConnectError, JobError, RemoteError
from remote.job.messages.jobs import AttachRequest, LogAnswer, LogRequest
from remote.job.status import JobStatus
from remote.output import LogOutput, say
from remote.session import TargetSession
from remote.transport import process
from remote.transport.ssh import Ssh

if TYPE_CHECKING:
    from remote.operations.sync import Pulled

#: How long a broken connection is tried again before following gives up, in seconds.
RETRY_LIMIT = 600.0

#: Seconds between two tries.
RETRY_PAUSE = 3.0


@dataclass(frozen=True)
class JobOutcome:
    """A job that was started, or waited for: how it ended, where that was waited for, and what a pull
    brought then.

    Of one that was started, `environment_ready` says whether its environment was there already.
    """

    id: str
    environment_ready: bool | None = None
    status: JobStatus | None = None
    pulled: Pulled | None = None


def follow_log(
    server: TargetSession,
    job: str,
    *,
    wait: bool,
    tail: int = 0,
    since: int = 0,
    silent: bool = False,
) -> tuple[str, JobStatus]:
    """Print the job's log as it grows, with `wait` until it has ended; its id and status then.

    `tail` lines or `since` seconds are shown of what is there, with `silent` nothing. A connection
    that breaks is opened again, and the log goes on where it broke off.
    """
    request = LogRequest(key=server.key, job=job, wait=wait, tail=tail, since=since, silent=silent)
    answered, broken, log = False, 0.0, LogOutput()

    def take(piece: LogAnswer) -> None:
        nonlocal answered, broken, request
        answered, broken = True, 0.0
        if piece.text and not silent:
            log.write(piece.text)
        request = request.replace(job=piece.id, offset=piece.offset, tail=0, since=0)

    while True:
        try:
            answer = server.agent.call(request, on_answer=take)
            if answer.status is not None:
                return answer.id, answer.status
            raise ConnectError(
                "The connection broke while the log was followed.",
                f"Follow it again: inv remote-logs {request.job} --follow",
            )
        except ConnectError as error:
            if not answered:
                raise
            broken = before_next_try(error, broken)
        except KeyboardInterrupt:
            if not wait:
                raise
            said = f"\nThe job keeps running. Its log: inv remote-logs {job} --follow"
            raise KeyboardInterrupt(said) from None


def before_next_try(error: RemoteError, broken: float) -> float:
    """Say what broke, and wait; raises it where that began, at `broken` (0: now), too long ago."""
    broken = broken or time.monotonic()
    if time.monotonic() - broken > RETRY_LIMIT:
        raise error
    say(f"{error.message} Trying again ...")
    time.sleep(RETRY_PAUSE)
    return broken


def attach(server: TargetSession, job: str) -> NoReturn:
    """Become what shows a job's terminal in this one; raises JobError where this is none."""
    argv, env = _terminal(server, job)
    process.become(argv, env=env)


def show_terminal(server: TargetSession, job: str) -> None:
    """Show a job's terminal in this one until it is left or has ended; raises JobError."""
    argv, env = _terminal(server, job)
    sys.stdout.flush()
    process.in_terminal(argv, env=env)


def _terminal(server: TargetSession, job: str) -> tuple[Sequence[str], dict[str, str]]:
    """The command that shows a job's terminal, and its variables."""
    terminal = os.environ.get("TERM", "")
    argv = server.agent.call(AttachRequest(key=server.key, job=job, terminal=terminal)).argv
    if not sys.stdin.isatty():
        raise JobError(
            "A job's terminal is shown in a terminal, and there is none.",
            f"Its log: inv remote-logs {job} --follow",
        )
    env = {name: value for name, value in os.environ.items() if name != "TMUX"}
    return over_ssh(server.ssh, argv) if server.ssh else argv, env


def over_ssh(ssh: Ssh, argv: Sequence[str]) -> list[str]:
    """argv that runs the words there, with a terminal. Each is plain: the message's class says so.

    Inside quotes all login shells read such words alike; csh takes a leading `=` for its own else.
    """
    command = " ".join(f"'{word}'" for word in argv)
    # ssh obeys the first setting of a name that it finds.
    return ["ssh", "-o", "RequestTTY=force", *ssh.command(command)[1:]]
