"""Living with jobs, where that takes more than one message: follow, attach, remove, prune."""

from __future__ import annotations

import time
from collections.abc import Sequence

from remote.errors import ConnectError, RemoteError
from remote.files import read_json
from remote.job.messages.gpus import GpusAnswer, GpusRequest
from remote.job.messages.jobs import AttachRequest, LogAnswer, LogRequest
from remote.job.messages.old_jobs import PruneAnswer, PruneRequest, RemoveAnswer, RemoveRequest
from remote.job.status import JobStatus
from remote.output import say, write_raw
from remote.session import TargetSession
from remote.transport.ssh import Ssh

#: How long a broken connection is tried again before following gives up, in seconds.
RETRY_LIMIT = 600.0

#: Seconds between two tries.
RETRY_PAUSE = 3.0


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
    answered = False

    def take(piece: LogAnswer) -> None:
        nonlocal answered, request
        answered = True
        if piece.text:
            write_raw(piece.text)
        request = request.replace(job=piece.id, offset=piece.offset, tail=0, since=0)

    broken = 0.0
    while True:
        try:
            answer = server.agent.call(request, on_answer=take)
            if answer.status is not None:
                return answer.id, answer.status
            raise ConnectError("The connection broke while the log was followed.")
        except ConnectError as error:
            if not answered:
                raise
            broken = before_next_try(error, broken)
        except KeyboardInterrupt:
            if not wait:
                raise
            said = f"\nThe job goes on. Its log: inv remote-logs {job} --follow"
            raise KeyboardInterrupt(said) from None


def before_next_try(error: RemoteError, broken: float) -> float:
    """Say what broke, and wait; raises it where that began, at `broken` (0: now), too long ago."""
    broken = broken or time.monotonic()
    if time.monotonic() - broken > RETRY_LIMIT:
        raise error
    say(f"{error.message} Trying again ...")
    time.sleep(RETRY_PAUSE)
    return broken


def remove(server: TargetSession, job: str, *, force: bool) -> RemoveAnswer:
    """Remove a job that was pulled (with `force` any)."""
    request = RemoveRequest(key=server.key, jobs=(job,), pulled=_pulled(server), force=force)
    return server.agent.call(request)


def prune(server: TargetSession, older: int, *, force: bool, dry_run: bool) -> PruneAnswer:
    """Remove what was of no use for `older` seconds, or tell what that would be."""
    # Only here: most commands of jobs start faster without.
    from remote.operations.submit import declared

    request = PruneRequest(
        key=server.key,
        older=older,
        pulled=_pulled(server),
        force=force,
        dry_run=dry_run,
        python=declared(server.project.root, "requires-python"),
    )
    return server.agent.call(request)


def _pulled(server: TargetSession) -> tuple[str, ...]:
    return tuple(read_json(server.pulled) or ())


def gpus(server: TargetSession) -> GpusAnswer:
    """The server's GPUs, who holds them, and who waits."""
    leases = server.project.settings.get("REMOTE_LEASES", "")
    return server.agent.call(GpusRequest(key=server.key, leases=leases))


def attach_argv(server: TargetSession, job: str) -> list[str]:
    """argv that shows it, as the server says; raises JobError where the job has none."""
    argv = server.agent.call(AttachRequest(key=server.key, job=job)).argv
    return list(argv) if server.ssh is None else over_ssh(server.ssh, argv)


def over_ssh(ssh: Ssh, argv: Sequence[str]) -> list[str]:
    """argv that runs the words there, with a terminal. Each is plain: the message's class says so.

    Inside quotes all login shells read such words alike; csh takes a leading `=` for its own else.
    """
    command = " ".join(f"'{word}'" for word in argv)
    # ssh obeys the first setting of a name that it finds.
    return ["ssh", "-o", "RequestTTY=force", *ssh.command(command)[1:]]
